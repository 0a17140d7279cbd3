package app_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/app/demo"

	"github.com/Azure/go-amqp"
	"github.com/coder/websocket"
)

// amqpSession connects to a listener by AMQP, as an endpoint with its key.
func (g *gateway) amqpSession(ctx context.Context, endpoint, key string) *amqp.Session {
	g.t.Helper()
	o := &amqp.ConnOptions{SASLType: amqp.SASLTypePlain(demo.Account+"/"+endpoint, key), TLSConfig: g.client.Transport.(*http.Transport).TLSClientConfig.Clone()}
	for _, l := range g.Listeners() {
		if l.Adapter != "amqps" {
			continue
		}
		conn, err := amqp.Dial(ctx, "amqps://"+l.Address, o)
		if err != nil {
			g.t.Fatal(err)
		}
		g.t.Cleanup(func() { _ = conn.Close() })
		session, err := conn.NewSession(ctx, nil)
		if err != nil {
			g.t.Fatal(err)
		}
		return session
	}
	g.t.Fatal("there is no listener")
	return nil
}

// What is sent by HTTP is taken by AMQP, and the other way round.
func TestHTTPAndAMQP(t *testing.T) {
	t.Parallel()
	g := serve(t, configure(t, t.TempDir(), inMemory+"listeners: [{adapter: https, address: '127.0.0.1:0'}, {adapter: amqps, address: '127.0.0.1:0'}]\n"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	send, _ := g.keys(demo.Sender)
	_, listen := g.keys(demo.Receiver)

	g.mustSend("m-1")
	receiver, err := g.amqpSession(ctx, demo.Receiver, listen).NewReceiver(ctx, "demo/inboxes/"+demo.Receiver, &amqp.ReceiverOptions{
		SettlementMode: amqp.ReceiverSettleModeSecond.Ptr(), Credit: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := receiver.IssueCredit(1); err != nil {
		t.Fatal(err)
	}
	m, err := receiver.Receive(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if m.Properties.MessageID != "m-1" || string(m.GetData()) != "body of m-1" || *m.Properties.To != "endpoints/"+demo.Receiver {
		t.Errorf("%+v: %s", m.Properties, m.GetData())
	}
	if err := receiver.AcceptMessage(ctx, m); err != nil {
		t.Fatal(err)
	}

	sender, err := g.amqpSession(ctx, demo.Sender, send).NewSender(ctx, "demo/publishers/"+demo.Sender, nil)
	if err != nil {
		t.Fatal(err)
	}
	to, subject := "endpoints/"+demo.Receiver, "readings/7"
	out := amqp.NewMessage([]byte("by AMQP"))
	out.Properties = &amqp.MessageProperties{MessageID: "m-2", To: &to, Subject: &subject}
	out.ApplicationProperties = map[string]any{"site": "oslo", "level": int32(7)}
	out.Annotations = amqp.Annotations{"mine": "kept"}
	if err := sender.Send(ctx, out, nil); err != nil {
		t.Fatal(err)
	}
	got := g.mustTake()
	if got.body != "by AMQP" || got.header.Get("Ce-Id") != "m-2" || got.header.Get("Ce-Subject") != subject || got.header.Get("Ce-Site") != "oslo" || got.header.Get("Ce-Level") != "7" {
		t.Errorf("%+v", got)
	}
	for name, values := range got.header {
		if strings.Contains(strings.Join(values, ""), "$amqp") {
			t.Errorf("%s: %v", name, values)
		}
	}
}

// AMQP comes by WebSocket to the listener of https.
func TestAMQPOverWebSocket(t *testing.T) {
	t.Parallel()
	g := serve(t, configure(t, t.TempDir(), inMemory))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	trusting := &http.Transport{TLSClientConfig: g.client.Transport.(*http.Transport).TLSClientConfig.Clone()}
	defer trusting.CloseIdleConnections()
	ws, _, err := websocket.Dial(ctx, g.base+"/$servicebus/websocket", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: trusting}, Subprotocols: []string{"AMQPWSB10"},
	})
	if err != nil {
		t.Fatal(err)
	}
	send, _ := g.keys(demo.Sender)
	conn, err := amqp.NewConn(ctx, websocket.NetConn(ctx, ws, websocket.MessageBinary), &amqp.ConnOptions{
		HostName: "localhost", SASLType: amqp.SASLTypePlain(demo.Account+"/"+demo.Sender, send),
	})
	if err != nil {
		t.Fatal(err)
	}
	session, err := conn.NewSession(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	sender, err := session.NewSender(ctx, "demo/publishers/"+demo.Sender, nil)
	if err != nil {
		t.Fatal(err)
	}
	to := "endpoints/" + demo.Receiver
	m := amqp.NewMessage([]byte("by WebSocket"))
	m.Properties = &amqp.MessageProperties{To: &to}
	if err := sender.Send(ctx, m, nil); err != nil {
		t.Fatal(err)
	}
	if got := g.mustTake(); got.body != "by WebSocket" {
		t.Errorf("%+v", got)
	}
	// The gateway stops while the connection is open, and waits for its end.
	if err := g.stop(); err != nil {
		t.Error(err)
	}
	<-conn.Done()
}
