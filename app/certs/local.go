package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gatehouse/gatehouse"
)

const (
	authorityTime = 10 * 365 * 24 * time.Hour
	serverTime    = 825 * 24 * time.Hour // the longest that all platforms accept
	renewBefore   = 30 * 24 * time.Hour  // its end
	backdate      = time.Hour            // for clients whose clock is behind
)

// A Local is a local authority with a server certificate of it, in files of one
// folder.
type Local struct {
	Authority   string // ca.pem: what clients are to trust
	Certificate string // server.pem
	Key         string // server.key
	// MadeAuthority and MadeCertificate say what was made just now.
	MadeAuthority, MadeCertificate bool
}

// Ensure returns the local authority kept in dir and its server certificate for
// names, host names or addresses. It makes what is missing: the folder, with
// mode 0700, an authority good for ten years, and a certificate good for 825
// days. It makes a new certificate if the one there ends within 30 days, is not
// of the authority, or lacks a name, and a new authority if that one ends
// within 30 days.
func Ensure(dir string, names []string, now time.Time) (*Local, error) {
	l := &Local{
		Authority: filepath.Join(dir, "ca.pem"), Certificate: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server.key"),
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, failed(err)
	}
	ca, err := l.authority(filepath.Join(dir, "ca.key"), now)
	if err != nil {
		return nil, err
	}
	if good(l.Certificate, l.Key, ca.certificate, names, now) {
		return l, nil
	}
	l.MadeCertificate = true
	return l, ca.issue(l.Certificate, l.Key, names, now)
}

func failed(err error) error {
	return gatehouse.Errorf(gatehouse.Unavailable, "the local certificate cannot be made: %w", err)
}

// An authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// authority reads the authority or makes one. One that is there and cannot be
// read is an error: clients trust it, and it is not for us to replace it.
func (l *Local) authority(keyFile string, now time.Time) (*authority, error) {
	certificate, err := readCertificate(l.Authority)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, unreadable(l.Authority, err)
	case now.Add(renewBefore).Before(certificate.NotAfter):
		key, err := readKey(keyFile)
		if err != nil {
			return nil, unreadable(keyFile, err)
		}
		if !key.PublicKey.Equal(certificate.PublicKey) {
			return nil, unreadable(keyFile, errors.New("it is not the key of "+l.Authority))
		}
		return &authority{certificate, key}, nil
	}
	l.MadeAuthority = true
	return makeAuthority(l.Authority, keyFile, now)
}

func unreadable(file string, err error) error {
	return gatehouse.Errorf(gatehouse.Invalid, "%s: %w; put it back, or remove the folder to start over with a new authority, which clients must then be told of", file, err)
}

func makeAuthority(file, keyFile string, now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, failed(err)
	}
	host, _ := os.Hostname()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Gatehouse local authority " + host},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(authorityTime),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, failed(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, failed(err)
	}
	return &authority{certificate, key}, writePair(file, keyFile, key, der)
}

// issue makes a certificate for names, and its key.
func (a *authority) issue(file, keyFile string, names []string, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return failed(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: names[0]},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(serverTime - backdate),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if template.NotAfter.After(a.certificate.NotAfter) {
		template.NotAfter = a.certificate.NotAfter
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return failed(err)
	}
	return writePair(file, keyFile, key, der, a.certificate.Raw)
}

// good reports whether the certificate in file may go on being used.
func good(file, keyFile string, ca *x509.Certificate, names []string, now time.Time) bool {
	c, err := readCertificate(file)
	if err != nil || c.CheckSignatureFrom(ca) != nil || !now.Add(renewBefore).Before(c.NotAfter) {
		return false
	}
	key, err := readKey(keyFile)
	if err != nil || !key.PublicKey.Equal(c.PublicKey) {
		return false
	}
	return !slices.ContainsFunc(names, func(name string) bool { return c.VerifyHostname(name) != nil })
}

func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // it never fails
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}

func readCertificate(file string) (*x509.Certificate, error) {
	der, err := readPEM(file, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func readKey(file string) (*ecdsa.PrivateKey, error) {
	der, err := readPEM(file, "EC PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	return x509.ParseECPrivateKey(der)
}

func readPEM(file, kind string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != kind {
		return nil, errors.New("it has no " + kind + " in PEM")
	}
	return block.Bytes, nil
}

// writePair writes a key, and then the certificate with its chain: a
// certificate is never there without its key.
func writePair(file, keyFile string, key *ecdsa.PrivateKey, chain ...[]byte) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return failed(err)
	}
	if err := replace(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return failed(err)
	}
	var certificates []byte
	for _, c := range chain {
		certificates = append(certificates, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})...)
	}
	if err := replace(file, certificates, 0o644); err != nil {
		return failed(err)
	}
	return nil
}

// replace writes a file that is whole from the moment it is there.
func replace(name string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone already if all went well
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// Names returns what clients on this machine and beside it call it: localhost,
// the loopback addresses and the host's name.
func Names() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if host, err := os.Hostname(); err == nil && host != "" && !slices.Contains(names, host) {
		names = append(names, host)
	}
	return names
}
