package gate_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
	"github.com/gatehouse/gatehouse/gate"
)

// certified returns a rig in which certificates prove endpoints.
func certified(t testing.TB, authorities *x509.CertPool) *rig {
	t.Helper()
	r := &rig{tb: t, engine: memory.New(memory.Options{})}
	r.World = adaptertest.NewWorld(t, func() engine.Engine { return r.engine }, adaptertest.Authenticators(authorities))
	t.Cleanup(func() {
		for _, s := range r.sessions {
			s.Close()
		}
	})
	return r
}

func by(c tls.Certificate, rights ...string) directory.CertificateSpec {
	return directory.CertificateSpec{SHA256: adaptertest.Thumbprint(c), Rights: rights}
}

func shows(need gatehouse.Rights, all ...auth.Credentials) gate.Attempt {
	return gate.Attempt{Account: account, Endpoint: "PUMP-7", Need: need, Protocol: "test", TLS: true, Credentials: all}
}

func shown(c tls.Certificate) auth.Certificate {
	return auth.Certificate{Chain: []*x509.Certificate{c.Leaf}}
}

// TestCertificateStands says what ends the session of a certificate, and what
// does not.
func TestCertificateStands(t *testing.T) {
	t.Parallel()
	authority, pool := adaptertest.Authority(t)
	first, second := adaptertest.Certificate(t, nil, nil), adaptertest.Certificate(t, nil, nil)
	issued := adaptertest.Certificate(t, authority, func(c *x509.Certificate) { c.DNSNames = []string{"pump-7.example.com"} })
	name := directory.CertificateSpec{DNS: "pump-7.example.com"}
	const both = gatehouse.RightSend | gatehouse.RightListen
	for _, c := range []struct {
		name    string
		shown   tls.Certificate
		need    gatehouse.Rights
		from    []directory.CertificateSpec
		to      []directory.CertificateSpec
		goes    bool
		openers gatehouse.Kind // of another session
	}{
		{"rotation: another is added", first, both, []directory.CertificateSpec{by(first)}, []directory.CertificateSpec{by(first), by(second)}, false, 0},
		{"rotation: the other is taken away", second, both, []directory.CertificateSpec{by(first), by(second)}, []directory.CertificateSpec{by(second)}, false, 0},
		{"rotation: this is taken away", first, both, []directory.CertificateSpec{by(first), by(second)}, []directory.CertificateSpec{by(second)}, true, gatehouse.Unauthenticated},
		{"all are taken away", first, both, []directory.CertificateSpec{by(first)}, nil, true, gatehouse.Unauthenticated},
		{"a right it uses", first, both, []directory.CertificateSpec{by(first)}, []directory.CertificateSpec{by(first, "send")}, true, gatehouse.Forbidden},
		{"a right it does not use", first, gatehouse.RightSend, []directory.CertificateSpec{by(first)}, []directory.CertificateSpec{by(first, "send")}, false, 0},
		{"a name is taken away", issued, both, []directory.CertificateSpec{name}, []directory.CertificateSpec{by(first)}, true, gatehouse.Unauthenticated},
		{"a name of another issuer", issued, both, []directory.CertificateSpec{name}, []directory.CertificateSpec{{DNS: name.DNS, Issuer: adaptertest.Thumbprint(first)}}, true, gatehouse.Unauthenticated},
		{"beside a name", issued, both, []directory.CertificateSpec{name}, []directory.CertificateSpec{by(first), name}, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := certified(t, pool)
			r.Certify(sender, c.from...)
			a := shows(c.need, shown(c.shown))
			s := r.open(a)
			if id := s.Identity(); id.Endpoint != sender || id.Policy != gatehouse.PolicyCertificate || id.Rights != c.need {
				t.Errorf("identity %+v", id)
			}
			r.Certify(sender, c.to...)
			if !c.goes {
				if s.Err() != nil {
					t.Fatalf("it ended: %v", s.Err())
				}
				r.open(a)
				return
			}
			select {
			case <-s.Done():
			default:
				t.Fatal("the session goes on")
			}
			if !errors.Is(s.Err(), gatehouse.Revoked) {
				t.Errorf("it ended with %v", s.Err())
			}
			if k := r.refused(a); k != c.openers {
				t.Errorf("opening another: %v, want %v", k, c.openers)
			}
		})
	}
}

// TestCertificateEnds revokes, disables and deletes who a certificate proved.
func TestCertificateEnds(t *testing.T) {
	t.Parallel()
	client := adaptertest.Certificate(t, nil, nil)
	for name, take := range map[string]func(*rig){
		"revoked": func(r *rig) { r.Revoke(sender) },
		"deleted": func(r *rig) { r.delete(directory.KindEndpoint, sender) },
		"disabled": func(r *rig) {
			spec, yes := r.spec(sender), true
			spec.Disabled = &yes
			r.change(spec)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := certified(t, nil)
			r.Certify(sender, by(client))
			s := r.open(shows(gatehouse.RightSend, shown(client)))
			if _, err := r.Directory.Rotate(context.Background(), account, sender, gatehouse.PolicySend, directory.Primary); err != nil || s.Err() != nil {
				t.Fatalf("it ended with a key that it did not show: %v, %v", err, s.Err())
			}
			take(r)
			if s.Err() == nil {
				t.Error("the session goes on")
			}
		})
	}
}

// TestCertificateExpires ends a session at the end of the certificate.
func TestCertificateExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := certified(t, nil)
		client := adaptertest.Certificate(t, nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Minute) })
		r.Certify(sender, by(client))
		a := shows(gatehouse.RightSend, shown(client))
		s := r.open(a)
		<-time.After(59 * time.Second)
		synctest.Wait()
		if s.Err() != nil {
			t.Fatalf("it ended early: %v", s.Err())
		}
		<-time.After(time.Second)
		synctest.Wait()
		if !errors.Is(s.Err(), gatehouse.Expired) || !strings.Contains(s.Err().Error(), "certificate") {
			t.Errorf("after the end: %v", s.Err())
		}
		if k := r.refused(a); k != gatehouse.Expired {
			t.Errorf("opening another: %v", k)
		}
	})
}

// TestCertificateBesideOthers shows a certificate together with other proofs.
func TestCertificateBesideOthers(t *testing.T) {
	t.Parallel()
	r := certified(t, nil)
	client, stranger := adaptertest.Certificate(t, nil, nil), adaptertest.Certificate(t, nil, nil)
	r.Certify(sender, by(client, "listen"))
	const both = gatehouse.RightSend | gatehouse.RightListen
	if id := r.open(shows(both, key(sender, gatehouse.RightSend), shown(client))).Identity(); id.Rights != both {
		t.Errorf("a key and a certificate prove %+v", id)
	}
	if id := r.open(shows(gatehouse.RightSend, key(sender, gatehouse.RightSend), shown(stranger))).Identity(); id.Policy != gatehouse.PolicySend {
		t.Errorf("a key and a certificate that proves nothing prove %+v", id)
	}
	for _, c := range []struct {
		shown []auth.Credentials
		kind  gatehouse.Kind
		text  string
	}{
		{[]auth.Credentials{token(sender, time.Now().Add(-time.Hour)), shown(stranger)}, gatehouse.Expired, "ExpiredToken"},
		{[]auth.Credentials{shown(stranger), token(sender, time.Now().Add(-time.Hour))}, gatehouse.Expired, "ExpiredToken"},
		{[]auth.Credentials{auth.Password{User: account + "/" + sender, Password: "wrong"}, shown(stranger)}, gatehouse.Unauthenticated, "password"},
		{nil, gatehouse.Unauthenticated, "no credentials were given"},
	} {
		_, err := r.Gate.Open(context.Background(), shows(gatehouse.RightSend, c.shown...))
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%v: refused with %v", c.shown, err)
		}
	}
}
