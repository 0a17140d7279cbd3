// Package certs gives listeners their certificate: from files that are read
// again when they change, or from a local authority that it makes under the
// data folder, so that the gateway speaks TLS from its first start.
//
// It trusts nobody on its own: which authorities client certificates are
// checked against is configured.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse"
)

// checkEvery is how often, at most, the files are looked at. They are only
// looked at while clients connect.
const checkEvery = time.Second

// A Source is a certificate that follows its files. It is safe for concurrent
// use and has no goroutine.
type Source struct {
	certificate, key string
	logger           *slog.Logger
	current          atomic.Pointer[tls.Certificate]
	checkAt          atomic.Int64 // Unix nanoseconds of the next look
	seen             atomic.Pointer[stamp]
}

// A stamp tells one state of the two files from another.
type stamp [2]struct {
	modified time.Time
	size     int64
}

// Open reads a certificate with its chain, and its key, both in PEM. The error
// is of kind Invalid.
func Open(certificate, key string, l *slog.Logger) (*Source, error) {
	s := &Source{certificate: certificate, key: key, logger: l}
	pair, st, err := s.load()
	if err != nil {
		return nil, err
	}
	s.current.Store(pair)
	s.seen.Store(&st)
	s.checkAt.Store(time.Now().Add(checkEvery).UnixNano())
	return s, nil
}

// Config returns the configuration of a server that shows the certificate.
func (s *Source) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.Certificate(time.Now()), nil
		},
	}
}

// Certificate returns the certificate as of now. Files that cannot be read, or
// do not fit each other, leave the one before in place, and are logged.
func (s *Source) Certificate(now time.Time) *tls.Certificate {
	at := s.checkAt.Load()
	if now.UnixNano() >= at && s.checkAt.CompareAndSwap(at, now.Add(checkEvery).UnixNano()) {
		s.check()
	}
	return s.current.Load()
}

func (s *Source) check() {
	st, err := s.stat()
	if err != nil || st == *s.seen.Load() {
		return // one that is gone comes again, when it is replaced
	}
	pair, st, err := s.load()
	s.seen.Store(&st)
	if err != nil {
		s.logger.Warn("the certificate changed and cannot be used; the one before stays in use", "error", err)
		return
	}
	s.current.Store(pair)
	s.logger.Info("the certificate was renewed", "file", s.certificate, "expires", pair.Leaf.NotAfter)
}

func (s *Source) stat() (stamp, error) {
	var st stamp
	for i, name := range [...]string{s.certificate, s.key} {
		info, err := os.Stat(name)
		if err != nil {
			return st, err
		}
		st[i].modified, st[i].size = info.ModTime(), info.Size()
	}
	return st, nil
}

// load reads the files. The stamp is from before, so that a change meanwhile is
// seen by the next check.
func (s *Source) load() (*tls.Certificate, stamp, error) {
	st, err := s.stat()
	if err != nil {
		return nil, st, gatehouse.Errorf(gatehouse.Invalid, "the certificate cannot be read: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(s.certificate, s.key)
	if err != nil {
		return nil, st, gatehouse.Errorf(gatehouse.Invalid, "certificate %s with key %s: %w", s.certificate, s.key, err)
	}
	return &pair, st, nil
}

// Authorities reads the certificates of authorities, in PEM. Anything else that
// the file has is an error: one that is passed over would be missed later, by
// clients. The error is of kind Invalid.
func Authorities(file string) (*x509.CertPool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "the authorities of client certificates cannot be read: %w", err)
	}
	pool := x509.NewCertPool()
	n := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		n++
		if block.Type != "CERTIFICATE" {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "%s: part %d is a %s; the file is for certificates of authorities and nothing else", file, n, block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "%s: certificate %d: %w", file, n, err)
		}
		if c.Version >= 3 && !c.IsCA {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "%s: certificate %d, %q, is not one of an authority; list a single client's by its thumbprint at the endpoint", file, n, c.Subject)
		}
		pool.AddCert(c)
	}
	if n == 0 {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "%s has no certificate in PEM", file)
	}
	return pool, nil
}
