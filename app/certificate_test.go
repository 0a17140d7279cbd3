package app_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/app/demo"
	"github.com/gatehouse/gatehouse/directory"

	"github.com/Azure/go-amqp"
)

const (
	publisher = "demo/publishers/" + demo.Sender
	mailbox   = "demo/inboxes/" + demo.Sender
)

// withCertificates serves https and amqps, and trusts an authority, which is
// returned.
func withCertificates(t *testing.T) (*gateway, *tls.Certificate) {
	t.Helper()
	authority, _ := adaptertest.Authority(t)
	file := filepath.Join(t.TempDir(), "clients.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Leaf.Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	g := serve(t, configure(t, t.TempDir(), inMemory+"tls: {clientCA: "+file+"}\nlisteners: [{adapter: https, address: '127.0.0.1:0'}, {adapter: amqps, address: '127.0.0.1:0'}]\n"))
	return g, authority
}

// certify sets the certificates that prove an endpoint of the demo account.
func (g *gateway) certify(list ...directory.CertificateSpec) {
	g.t.Helper()
	spec := g.Directory.Current().Account(demo.Account).Endpoint(demo.Sender).Spec()
	spec.Certificates = list
	if _, err := g.Directory.Put(g.t.Context(), demo.Account, spec, 0); err != nil {
		g.t.Fatal(err)
	}
}

func byThumbprint(c tls.Certificate, rights ...string) directory.CertificateSpec {
	return directory.CertificateSpec{SHA256: adaptertest.Thumbprint(c), Rights: rights}
}

// trusting returns the configuration of a client with certificates.
func (g *gateway) trusting(certificates ...tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: roots(g.t, g.CA()), Certificates: certificates}
}

// web returns a client of HTTP with certificates.
func (g *gateway) web(certificates ...tls.Certificate) *http.Client {
	transport := &http.Transport{TLSClientConfig: g.trusting(certificates...), ForceAttemptHTTP2: true}
	g.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// post sends a message, by nothing but the connection's certificate.
func (g *gateway) post(c *http.Client, endpoint string) (status int, body string) {
	g.t.Helper()
	w, err := c.Post(g.base+"/demo/publishers/"+endpoint+"/messages", "text/plain", strings.NewReader("x"))
	if err != nil {
		g.t.Fatal(err)
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return w.StatusCode, string(text)
}

// dial connects by AMQP with a certificate and SASL EXTERNAL.
func (g *gateway) dial(ctx context.Context, identity string, certificates ...tls.Certificate) (*amqp.Conn, error) {
	for _, l := range g.Listeners() {
		if l.Adapter == "amqps" {
			return amqp.Dial(ctx, "amqps://"+l.Address, &amqp.ConnOptions{SASLType: amqp.SASLTypeExternal(identity), TLSConfig: g.trusting(certificates...)})
		}
	}
	g.t.Fatal("there is no listener")
	return nil, nil
}

func (g *gateway) session(ctx context.Context, identity string, c tls.Certificate) *amqp.Session {
	g.t.Helper()
	conn, err := g.dial(ctx, identity, c)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = conn.Close() })
	s, err := conn.NewSession(ctx, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	return s
}

// TestCertificateOverHTTP shows certificates of all kinds to the https listener.
func TestCertificateOverHTTP(t *testing.T) {
	t.Parallel()
	g, authority := withCertificates(t)
	stranger, _ := adaptertest.Authority(t)
	named := func(c *x509.Certificate) { c.DNSNames = []string{"pump.example.com"} }
	first, second := adaptertest.Certificate(t, nil, nil), adaptertest.Certificate(t, nil, nil)
	issued := adaptertest.Certificate(t, authority, named)
	late := func(c *x509.Certificate) { named(c); c.NotAfter = time.Now().Add(-time.Minute) }
	old, oldIssued := adaptertest.Certificate(t, nil, late), adaptertest.Certificate(t, authority, late)
	g.certify(byThumbprint(first), byThumbprint(second), byThumbprint(old), directory.CertificateSpec{DNS: "pump.example.com"})
	for _, c := range []struct {
		name     string
		shown    []tls.Certificate
		endpoint string
		status   int
		text     string
	}{
		{"primary thumbprint", []tls.Certificate{first}, demo.Sender, 201, ""},
		{"secondary thumbprint", []tls.Certificate{second}, demo.Sender, 201, ""},
		{"name from an authority", []tls.Certificate{issued}, demo.Sender, 201, ""},
		{"none", nil, demo.Sender, 401, "no credentials"},
		{"unknown", []tls.Certificate{adaptertest.Certificate(t, nil, nil)}, demo.Sender, 401, "thumbprint"},
		{"self-signed with the name", []tls.Certificate{adaptertest.Certificate(t, nil, named)}, demo.Sender, 401, "thumbprint"},
		{"wrong authority", []tls.Certificate{adaptertest.Certificate(t, stranger, named)}, demo.Sender, 401, "authority"},
		{"expired", []tls.Certificate{old}, demo.Sender, 401, "expired"},
		{"expired, from an authority", []tls.Certificate{oldIssued}, demo.Sender, 401, "expired"},
		{"wrong endpoint", []tls.Certificate{first}, demo.Receiver, 401, "does not prove endpoint"},
		{"an endpoint that is not there", []tls.Certificate{first}, "nobody", 401, "does not prove endpoint"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if status, body := g.post(g.web(c.shown...), c.endpoint); status != c.status || !strings.Contains(body, c.text) {
				t.Errorf("%d %s; want %d with %q", status, body, c.status, c.text)
			}
		})
	}
}

// TestCertificateRotation changes the certificates of an endpoint under a
// connection that stays.
func TestCertificateRotation(t *testing.T) {
	t.Parallel()
	g, _ := withCertificates(t)
	first, second := adaptertest.Certificate(t, nil, nil), adaptertest.Certificate(t, nil, nil)
	one, two := g.web(first), g.web(second)
	for _, step := range []struct {
		listed   []directory.CertificateSpec
		one, two int
	}{
		{[]directory.CertificateSpec{byThumbprint(first)}, 201, 401},
		{[]directory.CertificateSpec{byThumbprint(first), byThumbprint(second)}, 201, 201},
		{[]directory.CertificateSpec{byThumbprint(second)}, 401, 201},
		{[]directory.CertificateSpec{byThumbprint(second, "listen")}, 401, 403},
		{nil, 401, 401},
	} {
		g.certify(step.listed...)
		a, body := g.post(one, demo.Sender)
		b, other := g.post(two, demo.Sender)
		if a != step.one || b != step.two {
			t.Errorf("%+v: %d %s and %d %s, want %d and %d", step.listed, a, body, b, other, step.one, step.two)
		}
	}
}

// TestCertificateTakenAwayWhileWaiting ends a request that waits for a message.
func TestCertificateTakenAwayWhileWaiting(t *testing.T) {
	t.Parallel()
	g, _ := withCertificates(t)
	client := adaptertest.Certificate(t, nil, nil)
	g.certify(byThumbprint(client, "listen"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodDelete, g.base+"/"+mailbox+"/messages/head?timeout=60", nil)
	if err != nil {
		t.Fatal(err)
	}
	status := make(chan int, 1)
	web := g.web(client)
	go func() {
		w, err := web.Do(r)
		if err != nil {
			t.Error(err)
			status <- 0
			return
		}
		_ = w.Body.Close()
		status <- w.StatusCode
	}()
	for len(g.Gate.Sessions(demo.Account)) == 0 && ctx.Err() == nil {
		runtime.Gosched()
	}
	g.certify()
	if got := <-status; got != http.StatusUnauthorized && got != http.StatusForbidden {
		t.Errorf("it was answered with %d", got)
	}
}

// TestCertificateOverAMQP sends and receives by SASL EXTERNAL.
func TestCertificateOverAMQP(t *testing.T) {
	t.Parallel()
	g, authority := withCertificates(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	self := adaptertest.Certificate(t, nil, nil)
	issued := adaptertest.Certificate(t, authority, func(c *x509.Certificate) { c.Subject.CommonName = "pump 7" })
	g.certify(byThumbprint(self), directory.CertificateSpec{CommonName: "pump 7"})
	for _, c := range []tls.Certificate{self, issued} {
		for _, identity := range []string{"", "demo/" + demo.Sender} {
			s := g.session(ctx, identity, c)
			sender, err := s.NewSender(ctx, publisher, nil)
			if err != nil {
				t.Fatal(err)
			}
			to := "endpoints/" + demo.Sender
			if err := sender.Send(ctx, &amqp.Message{Properties: &amqp.MessageProperties{To: &to}, Data: [][]byte{[]byte(identity)}}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	receiver, err := g.session(ctx, "", self).NewReceiver(ctx, mailbox, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := receiver.Receive(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := receiver.AcceptMessage(ctx, m); err != nil {
		t.Fatal(err)
	}

	// Nothing else can be had with it.
	for _, address := range []string{"demo/publishers/" + demo.Receiver, "demo/publishers/nobody", "demo/channels/work"} {
		_, err := g.session(ctx, "", self).NewSender(ctx, address, nil)
		if e, ok := errors.AsType[*amqp.Error](err); !ok || e.Condition != amqp.ErrCondUnauthorizedAccess {
			t.Errorf("%s: %v", address, err)
		}
	}
	stranger := adaptertest.Certificate(t, nil, nil)
	if _, err := g.session(ctx, "", stranger).NewSender(ctx, publisher, nil); err == nil {
		t.Error("a stranger is let in")
	}
	// A client that says who it is, is refused before it attaches; one without a
	// certificate cannot even try.
	for _, c := range []struct {
		identity string
		shown    []tls.Certificate
	}{{"demo/" + demo.Sender, []tls.Certificate{stranger}}, {"demo/" + demo.Receiver, []tls.Certificate{self}}, {"me", []tls.Certificate{self}}, {"", nil}} {
		if conn, err := g.dial(ctx, c.identity, c.shown...); err == nil {
			_ = conn.Close()
			t.Errorf("%q is let in", c.identity)
		}
	}
}

// TestCertificateTakenAway ends the links of a certificate that is no longer
// listed.
func TestCertificateTakenAway(t *testing.T) {
	t.Parallel()
	g, _ := withCertificates(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := adaptertest.Certificate(t, nil, nil)
	g.certify(byThumbprint(client))
	s := g.session(ctx, "", client)
	receiver, err := s.NewReceiver(ctx, mailbox, nil)
	if err != nil {
		t.Fatal(err)
	}
	g.certify()
	_, err = receiver.Receive(ctx, nil)
	if e, ok := errors.AsType[*amqp.LinkError](err); !ok || e.RemoteErr == nil || !strings.Contains(e.RemoteErr.Description, "no longer listed") {
		t.Errorf("a receiver that waited: %v", err)
	}
	if _, err := s.NewReceiver(ctx, mailbox, nil); err == nil {
		t.Error("it is let in again")
	}
}

// TestAsking says which listeners ask clients for certificates.
func TestAsking(t *testing.T) {
	t.Parallel()
	const both = "listeners: [{adapter: https, address: '127.0.0.1:0'%s}, {adapter: amqps, address: '127.0.0.1:0'%s}]\n"
	authority, _ := adaptertest.Authority(t)
	file := filepath.Join(t.TempDir(), "clients.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Leaf.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tls, https, amqps string
		want              string
	}{
		{"", "", "", "amqps"},
		{"tls: {clientCA: " + file + "}\n", "", "", "https amqps"},
		{"tls: {clientCertificates: ask}\n", "", "", "https amqps"},
		{"tls: {clientCertificates: never}\n", "", "", ""},
		{"tls: {clientCertificates: never}\n", ", clientCertificates: ask", "", "https"},
		{"", "", ", clientCertificates: never", ""},
	} {
		text := strings.Replace(strings.Replace(both, "%s", c.https, 1), "%s", c.amqps, 1)
		g := serve(t, configure(t, t.TempDir(), inMemory+c.tls+text))
		var asked []string
		for _, l := range g.Listeners() {
			config := g.trusting()
			config.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(r.AcceptableCAs) > 0 {
					t.Error("only some authorities are asked for")
				}
				asked = append(asked, l.Adapter)
				return new(tls.Certificate), nil
			}
			conn, err := tls.Dial("tcp", l.Address, config)
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.Close()
		}
		if got := strings.Join(asked, " "); got != c.want {
			t.Errorf("%+v: %q is asked for, want %q", c, got, c.want)
		}
		if err := g.stop(); err != nil {
			t.Error(err)
		}
	}
}
