package gate

import (
	"slices"
	"time"

	"github.com/gatehouse/gatehouse"
)

// bindingStands checks that the binding by which a certificate proved an
// identity is still one of the endpoint's, and still gives what it gave.
func (g *Gate) bindingStands(id *gatehouse.Identity) error {
	bindings, err := g.Directory.CertificateBindings(id.Account, id.Endpoint)
	if err != nil {
		return gatehouse.Errorf(gatehouse.Revoked, "the certificates of endpoint %q are gone", id.Endpoint)
	}
	for i := range bindings {
		if bindings[i].Proves(id) {
			return nil
		}
	}
	return gatehouse.Errorf(gatehouse.Revoked, "the client certificate that opened this session is no longer listed for endpoint %q, or with fewer rights", id.Endpoint)
}

// telling returns the refusal that tells a client more: of a proof that is
// right, or else the one before. A client that shows a certificate with all it
// does, as browsers may, is so still told what is wrong with its token.
func telling(before, next error) error {
	if before == nil || gatehouse.KindOf(before) == gatehouse.Unauthenticated && gatehouse.KindOf(next) != gatehouse.Unauthenticated {
		return next
	}
	return before
}

// expired is why a session with these proofs ends.
func expired(proofs []gatehouse.Identity, end time.Time) error {
	at := end.UTC().Format(time.RFC3339)
	ofCertificate := func(id gatehouse.Identity) bool {
		return id.Policy == gatehouse.PolicyCertificate && id.Expires.Equal(end)
	}
	if slices.ContainsFunc(proofs, ofCertificate) {
		return gatehouse.Errorf(gatehouse.Expired, "the client certificate expired at %s; use a new one, and list it at the endpoint", at)
	}
	return gatehouse.Errorf(gatehouse.Expired, "ExpiredToken: The token is expired. Expiration time: '%s'.", at)
}
