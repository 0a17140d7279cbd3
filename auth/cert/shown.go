package cert

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse/auth"
)

// shown is a certificate that a client showed, as far as it can be judged by
// itself.
type shown struct {
	leaf       *x509.Certificate
	thumbprint [sha256.Size]byte
	chains     [][]*x509.Certificate // from the leaf to trusted authorities; none: nobody trusted vouches for it
}

// maxBetween is how many certificates between that of the client and that of
// its authority are looked at.
const maxBetween = 8

// examine verifies the chain that a client showed. A certificate out of its time
// is judged by the nearest moment of its time, so that the client of one that
// was right can be told.
func (a *authenticator) examine(chain []*x509.Certificate, now time.Time) *shown {
	s := &shown{leaf: chain[0], thumbprint: sha256.Sum256(chain[0].Raw)}
	if a.authorities == nil {
		return s
	}
	switch {
	case now.After(s.leaf.NotAfter):
		now = s.leaf.NotAfter
	case now.Before(s.leaf.NotBefore):
		now = s.leaf.NotBefore
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:min(len(chain), 1+maxBetween)] {
		between.AddCert(c)
	}
	chains, err := s.leaf.Verify(x509.VerifyOptions{
		Roots: a.authorities, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err == nil {
		s.chains = chains
	}
	return s
}

// bound reports whether a binding is about the certificate, and when what it
// proves ends.
func (s *shown) bound(b *auth.Binding) (end time.Time, ok bool) {
	if b.Mark == auth.Thumbprint {
		return s.leaf.NotAfter, string(s.thumbprint[:]) == b.Value
	}
	if !named(s.leaf, b) {
		return time.Time{}, false
	}
	for _, chain := range s.chains {
		if b.Issuer != "" && !issuedBy(chain, b.Issuer) {
			continue
		}
		if e := endOf(chain); e.After(end) {
			end = e
		}
		ok = true
	}
	return end, ok
}

// named reports whether the certificate has the name that a binding wants.
func named(c *x509.Certificate, b *auth.Binding) bool {
	switch b.Mark {
	case auth.DNSName:
		return slices.ContainsFunc(c.DNSNames, func(name string) bool { return strings.EqualFold(name, b.Value) })
	case auth.URI:
		for _, u := range c.URIs {
			if u.String() == b.Value {
				return true
			}
		}
	case auth.CommonName:
		return commonName(c) == b.Value && b.Value != ""
	}
	return false
}

// commonName returns the common name of the subject, or "" if there is not
// exactly one: which of several is meant, readers disagree about.
func commonName(c *x509.Certificate) string {
	name, n := "", 0
	for _, a := range c.Subject.Names {
		if text, ok := a.Value.(string); ok && a.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 3}) {
			name = text
			n++
		}
	}
	if n != 1 {
		return ""
	}
	return name
}

// issuedBy reports whether an authority is in a chain above the leaf.
func issuedBy(chain []*x509.Certificate, issuer string) bool {
	return slices.ContainsFunc(chain[1:], func(c *x509.Certificate) bool {
		h := sha256.Sum256(c.Raw)
		return string(h[:]) == issuer
	})
}

// endOf returns when the first certificate of a chain ends.
func endOf(chain []*x509.Certificate) time.Time {
	end := chain[0].NotAfter
	for _, c := range chain[1:] {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	return end
}
