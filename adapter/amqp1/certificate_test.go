package amqp1

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/directory"

	azure "github.com/Azure/go-amqp"
	"github.com/coder/websocket"
)

// TestExternalOverWebSocket proves an endpoint by the certificate of the request
// that the connection began with.
func TestExternalOverWebSocket(t *testing.T) {
	t.Parallel()
	world := adaptertest.NewWorld(t, newEngine, adaptertest.Authenticators(nil))
	handler, stop := New(Options{}).WebSocket(world.Gate)
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	defer server.Close()
	defer stop()
	mine := adaptertest.Certificate(t, nil, nil)
	world.Certify(adaptertest.Sender, directory.CertificateSpec{SHA256: adaptertest.Thumbprint(mine), Rights: []string{"send"}})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	transport := server.Client().Transport.(*http.Transport)
	connect := func(shown ...tls.Certificate) (*azure.Conn, error) {
		own := transport.Clone()
		own.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
		own.TLSClientConfig.Certificates = shown
		defer own.CloseIdleConnections()
		ws, _, err := websocket.Dial(ctx, server.URL+WebSocketPath, &websocket.DialOptions{HTTPClient: &http.Client{Transport: own}, Subprotocols: []string{"AMQPWSB10"}})
		if err != nil {
			t.Fatal(err)
		}
		return azure.NewConn(ctx, websocket.NetConn(ctx, ws, websocket.MessageBinary), &azure.ConnOptions{SASLType: azure.SASLTypeExternal(""), HostName: "localhost"})
	}
	conn, err := connect(mine)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	session, err := conn.NewSession(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	sender, err := session.NewSender(ctx, publisher, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Send(ctx, toReceiver("by certificate"), nil); err != nil {
		t.Error(err)
	}
	if _, err := session.NewReceiver(ctx, adaptertest.Account+"/inboxes/"+adaptertest.Sender, nil); err == nil {
		t.Error("it receives with a certificate that is for sending")
	}
	if conn, err := connect(); err == nil {
		_ = conn.Close()
		t.Error("EXTERNAL is there for a client without a certificate")
	}
}

// TestExternalProvesNothingYet ends a connection that shows a certificate of
// nobody and attaches nothing.
func TestExternalProvesNothingYet(t *testing.T) {
	t.Parallel()
	server, trusting := adaptertest.TLS(t)
	server.ClientAuth = tls.RequestClientCert
	o := Options{AuthTime: 3 * time.Second} // which is also what it has to shake hands
	o.TLS = server
	s := newSite(t, o)
	trusting.Certificates = []tls.Certificate{adaptertest.Certificate(t, nil, nil)}
	conn, err := azure.Dial(s.ctx, "amqps://"+s.address, &azure.ConnOptions{SASLType: azure.SASLTypeExternal(""), TLSConfig: trusting})
	s.must(err)
	defer conn.Close()
	select {
	case <-conn.Done():
	case <-s.ctx.Done():
		t.Error("it may stay")
	}
}
