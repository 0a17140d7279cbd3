package amqp1

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/auth/secret"
	"github.com/gatehouse/gatehouse/sas"

	azure "github.com/Azure/go-amqp"
	"github.com/coder/websocket"
)

func TestWebSocket(t *testing.T) {
	t.Parallel()
	world := adaptertest.NewWorld(t, newEngine, secret.New)
	handler, stop := New(Options{}).WebSocket(world.Gate)
	server := httptest.NewTLSServer(handler)
	defer server.Close()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	client := server.Client()
	client.Transport.(*http.Transport).TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	for _, offered := range [][]string{{"AMQPWSB10"}, {"amqp"}, {"other", "amqpwsb10"}} {
		ws, _, err := websocket.Dial(ctx, server.URL+WebSocketPath, &websocket.DialOptions{HTTPClient: client, Subprotocols: offered})
		if err != nil {
			t.Fatal(err)
		}
		if got := ws.Subprotocol(); got != offered[len(offered)-1] { // trap 20
			t.Errorf("offered %v, got %q", offered, got)
		}
		conn, err := azure.NewConn(ctx, websocket.NetConn(ctx, ws, websocket.MessageBinary), &azure.ConnOptions{SASLType: azure.SASLTypeAnonymous(), HostName: "localhost"})
		if err != nil {
			t.Fatal(err)
		}
		audience := "wss://localhost/" + publisher
		if err := putToken(ctx, conn, audience, sas.Sign(audience, "send", adaptertest.SendKey(adaptertest.Sender), time.Now().Add(time.Hour))); err != nil {
			t.Fatal(err)
		}
		session, err := conn.NewSession(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		sender, err := session.NewSender(ctx, publisher, nil)
		if err != nil {
			t.Fatal(err)
		}
		big := toReceiver(strings.Repeat("x", 40000)) // several frames
		big.Properties.MessageID = offered[0]
		if err := sender.Send(ctx, big, nil); err != nil {
			t.Error(err)
		}
		for _, info := range world.Gate.Sessions(adaptertest.Account) {
			if info.Info().Protocol != ProtocolTLS {
				t.Errorf("%+v", info.Info())
			}
		}
		_ = conn.Close()
	}
	_, resp, err := websocket.Dial(ctx, server.URL+WebSocketPath, &websocket.DialOptions{HTTPClient: client, Subprotocols: []string{"mqtt"}})
	if err == nil || resp == nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("another protocol: %v, %v", resp, err)
	}
}
