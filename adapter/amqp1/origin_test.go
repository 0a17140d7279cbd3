package amqp1

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/auth/secret"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/restrict"
	"github.com/gatehouse/gatehouse/rule"
	"github.com/gatehouse/gatehouse/sas"

	azure "github.com/Azure/go-amqp"
	"github.com/coder/websocket"
)

// TestWebSocketOrigins sends from web pages: from those that a restriction
// states, and from others.
func TestWebSocketOrigins(t *testing.T) {
	t.Parallel()
	world := adaptertest.NewWorld(t, newEngine, secret.New)
	handler, stop := New(Options{}).WebSocket(world.Gate)
	server := httptest.NewServer(handler)
	defer server.Close()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	send := func(origin string) error {
		h := http.Header{}
		if origin != "" {
			h.Set("Origin", origin)
		}
		ws, _, err := websocket.Dial(ctx, server.URL+WebSocketPath, &websocket.DialOptions{HTTPHeader: h, HTTPClient: server.Client(), Subprotocols: []string{"amqp"}})
		if err != nil {
			return err
		}
		conn, err := azure.NewConn(ctx, websocket.NetConn(ctx, ws, websocket.MessageBinary), &azure.ConnOptions{SASLType: azure.SASLTypeAnonymous(), HostName: "localhost"})
		if err != nil {
			return err
		}
		defer conn.Close() //nolint:errcheck // what was to be seen was seen
		audience := "wss://localhost/" + publisher
		if err := putToken(ctx, conn, audience, sas.Sign(audience, "send", adaptertest.SendKey(adaptertest.Sender), time.Now().Add(time.Hour))); err != nil {
			return err
		}
		session, err := conn.NewSession(ctx, nil)
		if err != nil {
			return err
		}
		sender, err := session.NewSender(ctx, publisher, nil)
		if err != nil {
			return err
		}
		return sender.Send(ctx, toReceiver("x"), nil)
	}
	const app, evil = "https://app.example.com", "https://evil.example"
	if err := send(app); err == nil {
		t.Error("a page sent though no origins are stated")
	}
	_, err := world.Directory.Update(ctx, adaptertest.Account, directory.Change{Spec: &directory.RestrictionSpec{
		Restriction: restrict.Restriction{Name: "web", Endpoints: rule.Selector{Names: []string{adaptertest.Sender}}, Origins: []string{app}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := send(app); err != nil {
		t.Errorf("a page that is let in: %v", err)
	}
	if err := send(evil); err == nil || ctx.Err() != nil {
		t.Errorf("another page: %v", err)
	}
	if err := send(""); err != nil {
		t.Errorf("no page: %v", err)
	}
}
