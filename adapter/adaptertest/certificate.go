package adaptertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/auth/cert"
	"github.com/gatehouse/gatehouse/auth/secret"
	"github.com/gatehouse/gatehouse/directory"
)

// Certificate returns a certificate for a client, good from an hour ago for a
// day unless change says otherwise, and issued by an authority, or by itself if
// by is nil. change may be nil.
func Certificate(t testing.TB, by *tls.Certificate, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	if change != nil {
		change(template)
	}
	c := tls.Certificate{PrivateKey: key}
	parent, signer := template, c.PrivateKey
	if by != nil {
		parent, signer = by.Leaf, by.PrivateKey
		c.Certificate = by.Certificate
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	if c.Leaf, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	c.Certificate = append([][]byte{der}, c.Certificate...)
	return c
}

// Authority returns the certificate of an authority that can issue those of
// clients, and the pool that trusts it.
func Authority(t testing.TB) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	c := Certificate(t, nil, func(c *x509.Certificate) {
		c.Subject.CommonName = "authority"
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
	pool := x509.NewCertPool()
	pool.AddCert(c.Leaf)
	return &c, pool
}

// Thumbprint returns the SHA-256 hash of a certificate in hex, as definitions
// of endpoints have it.
func Thumbprint(c tls.Certificate) string {
	h := sha256.Sum256(c.Leaf.Raw)
	return hex.EncodeToString(h[:])
}

// Authenticators returns what makes the authenticators of a world: keys, and
// certificates, also those from authorities.
func Authenticators(authorities *x509.CertPool) func(auth.Keys) auth.Authenticator {
	return func(k auth.Keys) auth.Authenticator {
		return auth.Chain{secret.New(k), cert.New(k.(*directory.Directory), authorities)}
	}
}

// Certify sets the client certificates that prove an endpoint.
func (w *World) Certify(e gatehouse.EndpointName, list ...directory.CertificateSpec) {
	w.t.Helper()
	spec := w.Directory.Current().Account(Account).Endpoint(e).Spec()
	spec.Certificates = list
	if _, err := w.Directory.Put(w.t.Context(), Account, spec, 0); err != nil {
		w.t.Fatal(err)
	}
}
