package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	quiet = slog.New(slog.DiscardHandler)
	names = []string{"localhost", "127.0.0.1", "::1", "gate.example"}
)

func ensure(t *testing.T, dir string, now time.Time) *Local {
	t.Helper()
	l, err := Ensure(dir, names, now)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// handshake connects a client that trusts the authority to a server with the
// certificate of s, and returns what the server showed.
func handshake(t *testing.T, s *Source, authority, name string) (*x509.Certificate, error) {
	t.Helper()
	roots, err := Authorities(authority)
	if err != nil {
		t.Fatal(err)
	}
	client, server := net.Pipe()
	defer client.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer server.Close()
		c := tls.Server(server, s.Config())
		if c.Handshake() == nil {
			_, _ = c.Read(make([]byte, 1)) // until the client is gone
		}
	}()
	c := tls.Client(client, &tls.Config{RootCAs: roots, ServerName: name})
	err = c.Handshake()
	client.Close()
	<-done
	if err != nil {
		return nil, err
	}
	return c.ConnectionState().PeerCertificates[0], nil
}

func TestEnsure(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "tls")
	now := time.Now()
	l := ensure(t, dir, now)
	if !l.MadeAuthority || !l.MadeCertificate {
		t.Errorf("%+v", l)
	}
	for name, mode := range map[string]os.FileMode{".": 0o700, "ca.key": 0o600, "server.key": 0o600, "ca.pem": 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	s, err := Open(l.Certificate, l.Key, quiet)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		c, err := handshake(t, s, l.Authority, name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if life := c.NotAfter.Sub(c.NotBefore); life > serverTime {
			t.Errorf("the certificate lasts %v", life)
		}
	}
	if _, err := handshake(t, s, l.Authority, "elsewhere.example"); err == nil {
		t.Error("a client takes the certificate for another name")
	}
	ca, err := readCertificate(l.Authority)
	if err != nil || !ca.IsCA || ca.NotAfter.Sub(now) < authorityTime-time.Minute {
		t.Errorf("%v until %v, %v", ca.IsCA, ca.NotAfter, err)
	}
}

func TestEnsureKeepsAndRenews(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Now()
	ensure(t, dir, now)
	if l := ensure(t, dir, now.Add(serverTime-renewBefore-2*time.Hour)); l.MadeAuthority || l.MadeCertificate {
		t.Errorf("what is good is made again: %+v", l)
	}
	if l := ensure(t, dir, now.Add(serverTime-renewBefore)); l.MadeAuthority || !l.MadeCertificate {
		t.Errorf("a certificate near its end: %+v", l)
	}
	l, err := Ensure(dir, append([]string{"new.example"}, names...), now)
	if err != nil || l.MadeAuthority || !l.MadeCertificate {
		t.Errorf("another name: %+v, %v", l, err)
	}
	late := now.Add(authorityTime - 40*24*time.Hour)
	if l := ensure(t, dir, late); l.MadeAuthority || !l.MadeCertificate {
		t.Errorf("near the authority's end: %+v", l)
	}
	c, err := readCertificate(l.Certificate)
	if err != nil || c.NotAfter.After(now.Add(authorityTime)) {
		t.Errorf("the certificate outlives its authority: %v, %v", c.NotAfter, err)
	}
	if l := ensure(t, dir, now.Add(authorityTime-renewBefore)); !l.MadeAuthority || !l.MadeCertificate {
		t.Errorf("an authority near its end: %+v", l)
	}
}

func TestEnsureMendsACertificateButNotAnAuthority(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := ensure(t, dir, time.Now())
	write(t, l.Key, "rubbish")
	if l := ensure(t, dir, time.Now()); l.MadeAuthority || !l.MadeCertificate {
		t.Errorf("%+v", l)
	}
	other := ensure(t, t.TempDir(), time.Now())
	for _, damage := range []func(){
		func() { write(t, filepath.Join(dir, "ca.key"), read(t, other.Key)) },
		func() { remove(t, filepath.Join(dir, "ca.key")) },
		func() { write(t, l.Authority, "rubbish") },
	} {
		damage()
		if _, err := Ensure(dir, names, time.Now()); !errors.Is(err, gatehouse.Invalid) {
			t.Errorf("%v", err)
		}
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a, b := ensure(t, t.TempDir(), now), ensure(t, t.TempDir(), now)
	s, err := Open(a.Certificate, a.Key, quiet)
	if err != nil {
		t.Fatal(err)
	}
	first := s.Certificate(now)
	later := func() *tls.Certificate {
		now = now.Add(2 * checkEvery)
		return s.Certificate(now)
	}
	if later() != first {
		t.Error("what did not change is read again")
	}
	write(t, a.Certificate, read(t, b.Certificate)) // without its key
	touch(t, a.Certificate, now.Add(time.Hour))
	if later() != first {
		t.Error("a certificate without its key is used")
	}
	write(t, a.Key, read(t, b.Key))
	touch(t, a.Key, now.Add(time.Hour))
	if s.Certificate(now) != first {
		t.Error("the files are looked at more than once a second")
	}
	second := later()
	want, err := readCertificate(b.Certificate)
	if err != nil || !second.Leaf.Equal(want) {
		t.Errorf("the certificate was not read again: %v", err)
	}
	remove(t, a.Key)
	if later() != second {
		t.Error("the certificate is gone with its file")
	}
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	l := ensure(t, t.TempDir(), time.Now())
	for _, pair := range [][2]string{{"/no/such", l.Key}, {l.Certificate, l.Authority}} {
		if _, err := Open(pair[0], pair[1], quiet); !errors.Is(err, gatehouse.Invalid) {
			t.Errorf("%v", err)
		}
	}
	broken, empty := filepath.Join(t.TempDir(), "broken.pem"), filepath.Join(t.TempDir(), "empty.pem")
	write(t, broken, read(t, l.Authority)+"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	write(t, empty, "nothing")
	for file, text := range map[string]string{
		"/no/such": "cannot be read", l.Key: "part 1 is a ", l.Certificate: "is not one of an authority", broken: "certificate 2: ", empty: "no certificate",
	} {
		if _, err := Authorities(file); !errors.Is(err, gatehouse.Invalid) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	if n := Names(); len(n) < 3 || n[0] != "localhost" {
		t.Error(n)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

func touch(t *testing.T, file string, to time.Time) {
	t.Helper()
	if err := os.Chtimes(file, to, to); err != nil {
		t.Fatal(err)
	}
}
