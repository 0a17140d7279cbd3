package amqp1

import (
	"bytes"
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/amqp"
	"github.com/gatehouse/gatehouse/amqp/frame"
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

// However a connection ends, what was said last is followed by a close frame.
func TestWebSocketIsClosed(t *testing.T) {
	t.Parallel()
	header := frame.ProtocolHeader(frame.ProtoAMQP)
	start := func() []byte { return frame.Start(nil, frame.TypeAMQP, 0) }
	open := frame.Finish((&frame.Open{ContainerID: "c", MaxFrameSize: 1 << 16}).Append(start()), 0)
	closing := frame.Finish(frame.AppendClose(start(), nil), 0)
	malformed := []byte{0, 0, 0, 12, 2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}
	for name, c := range map[string]struct {
		says  [][]byte
		stops bool // the gateway stops
		mute  bool // the client does not answer its close
		code  websocket.StatusCode
	}{
		"client closes":          {says: [][]byte{header[:], open, closing}, code: websocket.StatusNormalClosure},
		"malformed":              {says: [][]byte{header[:], open, malformed}, code: websocket.StatusNormalClosure},
		"not AMQP":               {says: [][]byte{[]byte("GET / HTTP/1.1\r\n\r\n")}, code: websocket.StatusNormalClosure},
		"gateway stops":          {says: [][]byte{header[:], open}, stops: true, code: websocket.StatusGoingAway},
		"gateway stops, no word": {says: [][]byte{header[:], open}, stops: true, mute: true, code: websocket.StatusGoingAway},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			world := adaptertest.NewWorld(t, newEngine, secret.New)
			handler, stop := New(Options{}).WebSocket(world.Gate)
			stop = sync.OnceFunc(stop)
			server := httptest.NewServer(handler)
			defer server.Close()
			defer stop()
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			ws, _, err := websocket.Dial(ctx, server.URL+WebSocketPath, &websocket.DialOptions{Subprotocols: []string{"AMQPWSB10"}})
			if err != nil {
				t.Fatal(err)
			}
			defer ws.CloseNow() //nolint:errcheck // it is closed
			for _, b := range c.says {
				if err := ws.Write(ctx, websocket.MessageBinary, b); err != nil {
					t.Fatal(err)
				}
			}
			var stopped sync.WaitGroup
			defer stopped.Wait()
			var heard []byte
			for {
				_, b, err := ws.Read(ctx)
				if err != nil {
					if got := websocket.CloseStatus(err); got != c.code {
						t.Errorf("ended with %v behind % x", err, heard)
					}
					break
				}
				heard = append(heard, b...)
				if c.stops && len(heard) > len(header) { // it is open
					c.stops = false
					stopped.Go(stop)
				}
				if bytes.Contains(heard, []byte(amqp.ConnectionForced)) && !c.mute {
					c.mute = true
					if err := ws.Write(ctx, websocket.MessageBinary, closing); err != nil {
						t.Error(err)
					}
				}
			}
			if name == "malformed" && !bytes.Contains(heard, []byte("amqp:")) {
				t.Errorf("it was not told why: % x", heard)
			}
		})
	}
}
