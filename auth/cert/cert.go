// Package cert proves identities by the certificates that TLS clients show. An
// endpoint lists the certificates that prove it (auth.Binding): one by its
// thumbprint, which may be self-signed and stands for itself alone; or all that
// have a name, DNS, URI or common name, and come from an authority which the
// gateway trusts. It does not ask whether the endpoint is enabled or revoked;
// the gate does. A certificate proves endpoints and nothing else: trusted code
// has keys.
//
// Listeners do not verify what clients show, because one that is known by its
// thumbprint need not be issued by anyone. All of it is done here: a thumbprint
// is compared with the whole certificate; a name counts only if the chain holds
// up to a trusted authority, with every certificate in its time, and allows the
// authentication of clients. A wildcard in a certificate is no name. What is
// proven lasts until the certificate does, and no longer than those above it.
// Lists of revoked certificates are not read: the binding is taken away instead.
//
// To a client whose certificate proves nothing, an endpoint that does not exist
// and one that lists others look the same: the same kind, the same text, after
// the same work but for comparing a few hashes. That text says only what follows
// from the certificate and from which authorities the gateway trusts.
package cert

import (
	"context"
	"crypto/x509"
	"errors"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
)

// New returns an authenticator for auth.Certificate. authorities are those whose
// certificates prove endpoints by name; with nil, none does. It is safe for
// concurrent use and keeps nothing.
func New(bindings auth.Bindings, authorities *x509.CertPool) auth.Authenticator {
	return &authenticator{bindings: bindings, authorities: authorities}
}

type authenticator struct {
	bindings    auth.Bindings
	authorities *x509.CertPool
}

// Authenticate implements auth.Authenticator.
func (a *authenticator) Authenticate(_ context.Context, r *auth.Request) (gatehouse.Identity, error) {
	c, ok := r.Credentials.(auth.Certificate)
	if !ok || len(c.Chain) == 0 {
		return gatehouse.Identity{}, auth.ErrNotMine
	}
	if r.Endpoint == "" {
		return gatehouse.Identity{}, gatehouse.Errorf(gatehouse.Unauthenticated,
			"a client certificate proves an endpoint and nothing else; trusted code shows a key or a token of a policy of the account")
	}
	shown := a.examine(c.Chain, r.Now) // before anything is looked up, whoever asks
	bindings, err := a.bindings.CertificateBindings(r.Account, r.Endpoint)
	if err != nil && !errors.Is(err, gatehouse.NotFound) {
		return gatehouse.Identity{}, gatehouse.Wrap(gatehouse.Unavailable, err, "the certificate cannot be checked at present; try again shortly")
	}
	refusal := a.unknown(r, shown)
	for i := range bindings {
		id, err := shown.prove(r, &bindings[i])
		switch {
		case err == nil:
			return id, nil
		case !errors.Is(err, errOther):
			refusal = err
		}
	}
	return gatehouse.Identity{}, refusal
}

// unknown is the refusal of a certificate that proves nothing there, and the
// same whatever is there.
func (a *authenticator) unknown(r *auth.Request, s *shown) error {
	const text = "the client certificate with SHA-256 thumbprint %x does not prove endpoint %q of account %q, "
	switch {
	case a.authorities == nil:
		return gatehouse.Errorf(gatehouse.Unauthenticated, text+"and this gateway trusts no authorities of client certificates (tls.clientCA)",
			s.thumbprint, r.Endpoint, r.Account)
	case len(s.chains) == 0:
		return gatehouse.Errorf(gatehouse.Unauthenticated, text+"and it is not one for clients from an authority that this gateway trusts",
			s.thumbprint, r.Endpoint, r.Account)
	}
	return gatehouse.Errorf(gatehouse.Unauthenticated, text+"neither by itself nor by a name it has from its authority", s.thumbprint, r.Endpoint, r.Account)
}

// errOther says that a binding is about another certificate.
var errOther = errors.New("cert: a binding of another certificate")

// prove returns what the certificate proves by one binding. The error is
// errOther unless the binding is about the certificate.
func (s *shown) prove(r *auth.Request, b *auth.Binding) (gatehouse.Identity, error) {
	end, ok := s.bound(b)
	switch {
	case !ok:
		return gatehouse.Identity{}, errOther
	case r.Now.Before(s.leaf.NotBefore):
		return gatehouse.Identity{}, gatehouse.Errorf(gatehouse.Unauthenticated,
			"the client certificate is not valid before %s; look at the clocks of both sides", s.leaf.NotBefore.UTC().Format(time.RFC3339))
	case !r.Now.Before(end):
		return gatehouse.Identity{}, gatehouse.Errorf(gatehouse.Expired,
			"the client certificate expired at %s; use a new one, and list it at the endpoint", end.UTC().Format(time.RFC3339))
	case b.Rights == 0 || !b.Rights.Has(r.Need):
		return gatehouse.Identity{}, gatehouse.Errorf(gatehouse.Forbidden,
			"the client certificate does not have the right that is needed; add it to the rights of the certificate in the definition of endpoint %q", r.Endpoint)
	}
	return gatehouse.Identity{
		Account: r.Account, Endpoint: r.Endpoint, Policy: gatehouse.PolicyCertificate, Rights: b.Rights, Expires: end,
		Proof: b.Proof(r.Account, r.Endpoint),
	}, nil
}
