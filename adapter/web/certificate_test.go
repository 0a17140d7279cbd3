package web

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/directory"
)

// TestCertificateStays has a client that is known by its certificate negotiate.
// Who has not the certificate is not the client, even with the connection's id.
func TestCertificateStays(t *testing.T) {
	t.Parallel()
	server, trusting := adaptertest.TLS(t)
	server.ClientAuth = tls.RequestClientCert
	world := adaptertest.NewWorld(t, newEngine, adaptertest.Authenticators(nil))
	own := adaptertest.Certificate(t, nil, nil)
	world.Certify(receiver, directory.CertificateSpec{SHA256: adaptertest.Thumbprint(own), Rights: []string{"listen"}})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- doors(Options{}, server).Serve(ctx, ln, world.Gate) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	s := &site{TB: t, World: world, address: ln.Addr().String()}
	ask := func(method, below, id string, shown ...tls.Certificate) (int, []byte) {
		t.Helper()
		config := trusting.Clone()
		config.Certificates = shown
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
		address := strings.Replace(s.url("endpoints", receiver, below, "negotiateVersion", "1", "id", id), "http:", "https:", 1)
		r, err := http.NewRequestWithContext(s.within(), method, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		w, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Body.Close() //nolint:errcheck // nothing is lost
		text, err := io.ReadAll(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		return w.StatusCode, text
	}
	status, text := ask("POST", "signalr/negotiate", "", own)
	var negotiated struct {
		ConnectionToken string `json:"connectionToken"`
	}
	if err := json.Unmarshal(text, &negotiated); err != nil || status != http.StatusOK || negotiated.ConnectionToken == "" {
		t.Fatalf("%d %s: %v", status, text, err)
	}
	if status, text = ask("GET", "signalr", negotiated.ConnectionToken); status != http.StatusUnauthorized {
		t.Errorf("nobody polls: %d %s", status, text)
	}
	if status, text = ask("GET", "signalr", negotiated.ConnectionToken, adaptertest.Certificate(t, nil, nil)); status != http.StatusUnauthorized {
		t.Errorf("another polls: %d %s", status, text)
	}
	if status, text = ask("GET", "signalr", negotiated.ConnectionToken, own); status != http.StatusOK {
		t.Errorf("the client polls: %d %s", status, text)
	}
	if status, text = ask("DELETE", "signalr", negotiated.ConnectionToken, own); status != http.StatusAccepted {
		t.Errorf("the client leaves: %d %s", status, text)
	}
}
