package auth

import (
	"crypto/sha256"

	"github.com/gatehouse/gatehouse"
)

// A Binding says which client certificates prove an endpoint, and what for.
type Binding struct {
	Mark Mark
	// Value is what the certificate must have: for Thumbprint the 32 bytes of
	// the SHA-256 hash of the certificate, else the name.
	Value string
	// Issuer, if not empty, is the SHA-256 hash (32 bytes) of the certificate of
	// an authority that must have issued it, itself or through others. It is not
	// for Thumbprint.
	Issuer string
	// Rights are RightSend, RightListen or both.
	Rights gatehouse.Rights
}

// A Mark is what a certificate is known by. All but Thumbprint are names, which
// count only in a certificate from an authority that the gateway trusts.
type Mark uint8

// The marks. Their values are part of what is stored.
const (
	Thumbprint Mark = 1 + iota // the certificate itself, whoever issued it
	DNSName                    // a DNS subject alternative name, compared without case
	URI                        // a URI subject alternative name
	CommonName                 // the only common name of the subject
)

// Bindings finds the certificates that prove an endpoint. Names are compared
// without case. Implementations are safe for concurrent use. An error of kind
// NotFound says that there is no such account or endpoint; any other that the
// bindings cannot be had at present.
type Bindings interface {
	// CertificateBindings returns the bindings of an endpoint; the caller may
	// keep them.
	CertificateBindings(a gatehouse.AccountName, e gatehouse.EndpointName) ([]Binding, error)
}

// Proof identifies the binding in Identity.Proof, whatever its rights, so that
// whether it still exists can be asked later.
func (b *Binding) Proof(account gatehouse.AccountName, endpoint gatehouse.EndpointName) [16]byte {
	var space [512]byte
	// No name has the byte 0, an issuer has one length, and the value comes
	// last: no two bindings make the same text.
	t := append(space[:0], "gatehouse certificate proof v1\x00"...)
	t = append(append(t, gatehouse.Fold(account)...), 0)
	t = append(append(t, gatehouse.Fold(endpoint)...), 0)
	t = append(t, byte(b.Mark), byte(len(b.Issuer)))
	h := sha256.Sum256(append(append(t, b.Issuer...), b.Value...))
	return [16]byte(h[:16])
}

// Proves reports whether the binding is the one that proved id, and still gives
// its rights.
func (b *Binding) Proves(id *gatehouse.Identity) bool {
	return b.Rights.Has(id.Rights) && b.Proof(id.Account, id.Endpoint) == id.Proof
}
