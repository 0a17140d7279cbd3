package directory

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
)

// CertificateSpec says which client certificates prove an endpoint. It has
// exactly one of SHA256, DNS, URI and CommonName. The names count only in
// certificates from the authorities that the gateway trusts (tls.clientCA).
type CertificateSpec struct {
	// SHA256 is the thumbprint of the certificate: the SHA-256 hash of it, in
	// hex, also with colons. Whoever issued it, it may be the client itself.
	SHA256 string `json:"sha256,omitempty" yaml:"sha256,omitempty"`
	// DNS is a DNS subject alternative name.
	DNS string `json:"dns,omitempty" yaml:"dns,omitempty"`
	// URI is a URI subject alternative name.
	URI string `json:"uri,omitempty" yaml:"uri,omitempty"`
	// CommonName is the common name of the subject.
	CommonName string `json:"commonName,omitempty" yaml:"commonName,omitempty"`
	// Issuer, with a name, is the thumbprint of an authority that must have
	// issued the certificate, itself or through others. None: any trusted one.
	Issuer string `json:"issuer,omitempty" yaml:"issuer,omitempty"`
	// Rights are send, listen or both; none means both.
	Rights []string `json:"rights,omitempty" yaml:"rights,omitempty"`
}

// Limits of what an endpoint may list.
const (
	maxCertificates = 16
	maxDNSName      = 253
	maxURI          = 512
	maxCommonName   = 256
)

const ownRights = gatehouse.RightSend | gatehouse.RightListen

// certificates checks what an endpoint lists and returns it as it is stored.
func (f *faults) certificates(list []CertificateSpec) string {
	if len(list) > maxCertificates {
		f.add("certificates", "there are %d; at most %d are allowed", len(list), maxCertificates)
		return ""
	}
	var stored []byte
	seen := make([]auth.Binding, 0, len(list))
	for i := range list {
		field := fmt.Sprintf("certificates[%d]", i)
		b, fault, why := list[i].binding()
		if why != "" {
			f.add(strings.TrimSuffix(field+"."+fault, "."), "%s", why)
			continue
		}
		if slices.ContainsFunc(seen, func(s auth.Binding) bool { return s.Mark == b.Mark && s.Value == b.Value && s.Issuer == b.Issuer }) {
			f.add(field, "it is listed before; give all its rights there")
			continue
		}
		seen = append(seen, b)
		stored = appendBinding(stored, &b)
	}
	return string(stored)
}

// binding returns what s means, or the field at fault and why.
func (s *CertificateSpec) binding() (b auth.Binding, fault, why string) {
	const choice = "give one of sha256, dns, uri and commonName"
	for _, m := range [...]struct {
		mark  auth.Mark
		field string
		given string
		check func(string) (value, why string)
	}{
		{auth.Thumbprint, "sha256", s.SHA256, hashOf},
		{auth.DNSName, "dns", s.DNS, checkDNS},
		{auth.URI, "uri", s.URI, checkURI},
		{auth.CommonName, "commonName", s.CommonName, checkCommonName},
	} {
		if m.given == "" {
			continue
		}
		if b.Mark != 0 {
			return b, "", "it has more than one mark; " + choice + ", and list the others by themselves"
		}
		b.Mark = m.mark
		if b.Value, why = m.check(m.given); why != "" {
			return b, m.field, why
		}
	}
	if b.Mark == 0 {
		return b, "", "it says nothing of the certificate; " + choice
	}
	if s.Issuer != "" {
		if b.Mark == auth.Thumbprint {
			return b, "issuer", "a thumbprint stands for one certificate, whoever issued it; leave the issuer out"
		}
		if b.Issuer, why = hashOf(s.Issuer); why != "" {
			return b, "issuer", why
		}
	}
	var unknown string
	b.Rights, unknown = rightsOf(s.Rights)
	switch {
	case unknown != "" || !ownRights.Has(b.Rights):
		return b, "rights", "a certificate can have the rights send and listen, and no others"
	case len(s.Rights) == 0:
		b.Rights = ownRights
	}
	return b, "", ""
}

// hashOf reads a SHA-256 hash in hex, as openssl and others write it.
func hashOf(text string) (hash, why string) {
	raw, err := hex.DecodeString(strings.NewReplacer(":", "", " ", "").Replace(text))
	switch {
	case err != nil:
		return "", "it is not a thumbprint in hex, such as openssl x509 -noout -fingerprint -sha256 shows behind the equals sign"
	case len(raw) == 20:
		return "", "it has 20 bytes, as SHA-1 has; give the SHA-256 thumbprint, which has 32"
	case len(raw) != 32:
		return "", fmt.Sprintf("it has %d bytes; a SHA-256 thumbprint has 32, which are 64 hex digits", len(raw))
	}
	return string(raw), ""
}

func checkDNS(name string) (folded, why string) {
	if strings.Contains(name, "*") {
		return "", "it has a wildcard; list each name that may be used"
	}
	bad := func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '_' && r != '.'
	}
	if len(name) > maxDNSName || strings.ContainsFunc(name, bad) || slices.Contains(strings.Split(name, "."), "") {
		return "", fmt.Sprintf("%q is not a DNS name, such as pump-7.example.com", name)
	}
	return strings.ToLower(name), ""
}

func checkURI(text string) (uri, why string) {
	u, err := url.Parse(text)
	if err != nil || !u.IsAbs() || len(text) > maxURI {
		return "", fmt.Sprintf("it is not a URI with a scheme, of at most %d bytes, such as spiffe://example.com/pump-7", maxURI)
	}
	return u.String(), "" // as that of a certificate is spelled
}

func checkCommonName(name string) (same, why string) {
	if len(name) > maxCommonName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return "", fmt.Sprintf("it is not a text of at most %d bytes without control characters", maxCommonName)
	}
	return name, ""
}

// specOf returns a binding as it is written.
func specOf(b *auth.Binding) CertificateSpec {
	s := CertificateSpec{Issuer: hex.EncodeToString([]byte(b.Issuer))}
	switch b.Mark {
	case auth.Thumbprint:
		s.SHA256 = hex.EncodeToString([]byte(b.Value))
	case auth.DNSName:
		s.DNS = b.Value
	case auth.URI:
		s.URI = b.Value
	case auth.CommonName:
		s.CommonName = b.Value
	}
	switch b.Rights {
	case gatehouse.RightSend:
		s.Rights = []string{"send"}
	case gatehouse.RightListen:
		s.Rights = []string{"listen"}
	}
	return s
}

// What an endpoint lists is stored as, for each binding: its mark and its
// rights, a byte each; value and issuer, with their length before them.

func appendBinding(dst []byte, b *auth.Binding) []byte {
	return appendField(appendField(append(dst, byte(b.Mark), byte(b.Rights)), b.Value), b.Issuer)
}

var errBinding = errors.New("its certificates are not in a form that this version of Gatehouse knows")

// readBindings reads what is stored. It keeps nothing of data.
func readBindings(data []byte) ([]auth.Binding, error) {
	const hash = 32
	var all []auth.Binding
	for len(data) > 0 {
		if len(data) < 2 {
			return nil, errShort
		}
		b := auth.Binding{Mark: auth.Mark(data[0]), Rights: gatehouse.Rights(data[1])}
		value, rest, err := block(data[2:])
		if err != nil {
			return nil, err
		}
		issuer, rest, err := block(rest)
		if err != nil {
			return nil, err
		}
		switch {
		case b.Mark < auth.Thumbprint || b.Mark > auth.CommonName || len(value) == 0,
			b.Mark == auth.Thumbprint && (len(value) != hash || len(issuer) != 0),
			len(issuer) != 0 && len(issuer) != hash,
			b.Rights == 0 || !ownRights.Has(b.Rights):
			return nil, errBinding
		}
		b.Value, b.Issuer = string(value), string(issuer)
		all = append(all, b)
		data = rest
	}
	return all, nil
}

// Bindings returns which client certificates prove the endpoint.
func (e *Endpoint) Bindings() []auth.Binding {
	all, _ := readBindings([]byte(e.bindings())) // that it can be read, the decoder has seen
	return all
}

// CertificateBindings implements auth.Bindings.
func (d *Directory) CertificateBindings(a gatehouse.AccountName, e gatehouse.EndpointName) ([]auth.Binding, error) {
	_, endpoint, err := d.endpoint(a, e)
	if err != nil {
		return nil, err
	}
	return endpoint.Bindings(), nil
}
