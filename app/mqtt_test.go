package app_test

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/app/demo"

	"github.com/Azure/go-amqp"
	"github.com/coder/websocket"
	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

// mqtt connects to the listener of mqtts by Eclipse Paho, as an endpoint with a
// password; box gets what comes.
func (g *gateway) mqtt(ctx context.Context, endpoint, password string, change func(*autopaho.ClientConfig)) (client *autopaho.ConnectionManager, box chan *paho.Publish) {
	g.t.Helper()
	box = make(chan *paho.Publish, 10)
	c := autopaho.ClientConfig{
		TlsCfg: g.trusting(), KeepAlive: 30, CleanStartOnInitialConnection: true,
		ConnectUsername: demo.Account + "/" + endpoint, ConnectPassword: []byte(password),
		ClientConfig: paho.ClientConfig{ClientID: endpoint, OnPublishReceived: []func(paho.PublishReceived) (bool, error){
			func(r paho.PublishReceived) (bool, error) { box <- r.Packet; return true, nil },
		}},
	}
	for _, l := range g.Listeners() {
		if l.Adapter == "mqtts" {
			c.ServerUrls = []*url.URL{{Scheme: "mqtts", Host: l.Address}}
		}
	}
	if change != nil {
		change(&c)
	}
	running, cancel := context.WithCancel(context.Background())
	client, err := autopaho.NewConnection(running, c)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { cancel(); <-client.Done() })
	if err := client.AwaitConnection(ctx); err != nil {
		g.t.Fatal(err)
	}
	return client, box
}

const threeWays = "listeners: [{adapter: https, address: '127.0.0.1:0'}, {adapter: amqps, address: '127.0.0.1:0'}, {adapter: mqtts, address: '127.0.0.1:0'}]\n"

// What is sent by MQTT is taken by HTTP and by AMQP, field by field.
func TestMQTTToOthers(t *testing.T) {
	t.Parallel()
	g := serve(t, configure(t, t.TempDir(), inMemory+threeWays))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	send, _ := g.keys(demo.Sender)
	_, listen := g.keys(demo.Receiver)
	client, _ := g.mqtt(ctx, demo.Sender, send, nil)
	expiry := uint32(600)
	publish := func() {
		t.Helper()
		_, err := client.Publish(ctx, &paho.Publish{
			Topic: "endpoints/" + demo.Receiver + "/readings/7", QoS: 1, Payload: []byte(`{"t":1}`),
			Properties: &paho.PublishProperties{
				ContentType: "application/json", CorrelationData: []byte("c-1"), ResponseTopic: "inbox", MessageExpiry: &expiry,
				User: paho.UserProperties{{Key: "id", Value: "m-1"}, {Key: "type", Value: "reading"}, {Key: "site", Value: "oslo"}, {Key: "partitionkey", Value: "k"}},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	publish()
	got := g.mustTake()
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Ce-Id": "m-1", "Ce-Type": "reading", "Ce-Subject": "readings/7", "Ce-Site": "oslo", "Ce-Correlationid": "c-1",
		"Ce-Replyto": "endpoints/" + demo.Sender, "Ce-Ttl": "600", "Ce-Partitionkey": "k", "Ce-Source": "/demo/endpoints/" + demo.Sender, "Ce-To": "endpoints/" + demo.Receiver,
	} {
		if got.header.Get(name) != want {
			t.Errorf("%s is %q instead of %q", name, got.header.Get(name), want)
		}
	}
	if got.body != `{"t":1}` {
		t.Errorf("body %s", got.body)
	}

	publish()
	receiver, err := g.amqpSession(ctx, demo.Receiver, listen).NewReceiver(ctx, "demo/inboxes/"+demo.Receiver, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := receiver.Receive(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := m.Properties
	if p.MessageID != "m-1" || *p.Subject != "readings/7" || *p.ContentType != "application/json" || p.CorrelationID != "c-1" || *p.ReplyTo != "endpoints/"+demo.Sender ||
		m.ApplicationProperties["site"] != "oslo" || m.Header.TTL != 10*time.Minute || string(m.GetData()) != `{"t":1}` {
		t.Errorf("%+v %+v %+v %s", m.Header, p, m.ApplicationProperties, m.GetData())
	}
	if err := receiver.AcceptMessage(ctx, m); err != nil {
		t.Fatal(err)
	}
}

// What is sent by HTTP and by AMQP comes by MQTT, field by field.
func TestOthersToMQTT(t *testing.T) {
	t.Parallel()
	g := serve(t, configure(t, t.TempDir(), inMemory+threeWays))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	send, _ := g.keys(demo.Sender)
	_, listen := g.keys(demo.Receiver)
	client, box := g.mqtt(ctx, demo.Receiver, listen, nil)
	if _, err := client.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "inbox/#", QoS: 1}}}); err != nil {
		t.Fatal(err)
	}
	check := func(by string) {
		t.Helper()
		var d *paho.Publish
		select {
		case d = <-box:
		case <-ctx.Done():
			t.Fatal("no message came by " + by)
		}
		p := d.Properties
		if d.Topic != "inbox/readings/7" || string(d.Payload) != `{"t":1}` || p.ContentType != "application/json" || string(p.CorrelationData) != "c-1" ||
			p.ResponseTopic != "endpoints/"+demo.Sender || p.MessageExpiry == nil || *p.MessageExpiry > 600 || *p.MessageExpiry < 500 {
			t.Errorf("%s: %s %+v", by, d, p)
		}
		for name, want := range map[string]string{"id": "m-1", "site": "oslo", "level": "7", "source": "/demo/endpoints/" + demo.Sender, "to": "endpoints/" + demo.Receiver, "ttl": "600"} {
			if got := p.User.Get(name); got != want {
				t.Errorf("%s: %s is %q instead of %q", by, name, got, want)
			}
		}
	}
	h := http.Header{
		"Content-Type": {"application/json"}, "Ce-Specversion": {"1.0"}, "Ce-Id": {"m-1"}, "Ce-To": {"endpoints/" + demo.Receiver}, "Ce-Subject": {"readings/7"},
		"Ce-Correlationid": {"c-1"}, "Ce-Replyto": {"endpoints/" + demo.Sender}, "Ce-Ttl": {"600"}, "Ce-Site": {"oslo"}, "Ce-Level": {"7"},
	}
	if a, err := g.do(ctx, demo.Sender, send, http.MethodPost, g.base+"/demo/publishers/"+demo.Sender+"/messages", h, `{"t":1}`); err != nil || a.status != http.StatusCreated {
		t.Fatalf("%v, %+v", err, a)
	}
	check("HTTP")

	sender, err := g.amqpSession(ctx, demo.Sender, send).NewSender(ctx, "demo/publishers/"+demo.Sender, nil)
	if err != nil {
		t.Fatal(err)
	}
	to, subject, kind, reply := "endpoints/"+demo.Receiver, "readings/7", "application/json", "endpoints/"+demo.Sender
	out := amqp.NewMessage([]byte(`{"t":1}`))
	out.Header = &amqp.MessageHeader{TTL: 10 * time.Minute}
	out.Properties = &amqp.MessageProperties{MessageID: "m-1", To: &to, Subject: &subject, ContentType: &kind, CorrelationID: "c-1", ReplyTo: &reply}
	out.ApplicationProperties = map[string]any{"site": "oslo", "level": int32(7)}
	if err := sender.Send(ctx, out, nil); err != nil {
		t.Fatal(err)
	}
	check("AMQP")
}

// MQTT comes by WebSocket to the listener of https; a session is found again
// there, and taken over.
func TestMQTTOverWebSocket(t *testing.T) {
	t.Parallel()
	g := serve(t, configure(t, t.TempDir(), inMemory+threeWays))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	send, _ := g.keys(demo.Sender)
	lost := make(chan byte, 1)
	g.mqtt(ctx, demo.Sender, send, func(c *autopaho.ClientConfig) {
		c.SessionExpiryInterval, c.CleanStartOnInitialConnection = 600, false
		c.OnServerDisconnect = func(d *paho.Disconnect) { lost <- d.ReasonCode }
		first := true
		c.ReconnectBackoff = func(int) time.Duration {
			if first {
				first = false
				return 0
			}
			return time.Hour
		}
	})
	trusting := &http.Transport{TLSClientConfig: g.trusting()}
	defer trusting.CloseIdleConnections()
	for i, path := range []string{"/mqtt", "/$iothub/websocket"} {
		ws, _, err := websocket.Dial(ctx, g.base+path, &websocket.DialOptions{HTTPClient: &http.Client{Transport: trusting}, Subprotocols: []string{"mqtt"}})
		if err != nil {
			t.Fatal(err)
		}
		conn := websocket.NetConn(ctx, ws, websocket.MessageBinary)
		connect := packets.NewControlPacket(packets.CONNECT)
		c := connect.Content.(*packets.Connect)
		c.ClientID, c.Username, c.UsernameFlag, c.Password, c.PasswordFlag = demo.Sender, demo.Account+"/"+demo.Sender, true, []byte(send), true
		keep := uint32(600)
		c.Properties.SessionExpiryInterval = &keep
		if _, err := connect.WriteTo(conn); err != nil {
			t.Fatal(err)
		}
		ack, err := packets.ReadPacket(conn)
		if err != nil {
			t.Fatal(err)
		}
		if a := ack.Content.(*packets.Connack); a.ReasonCode != 0 || !a.SessionPresent {
			t.Errorf("%s: %s", path, a)
		}
		if i == 0 {
			if code := <-lost; code != 0x8e {
				t.Errorf("the old connection was told 0x%02x", code)
			}
			_ = ws.CloseNow()
			continue
		}
		// The gateway stops while the connection is open, and says so.
		stopped := make(chan error, 1)
		go func() { stopped <- g.stop() }()
		goodbye, err := packets.ReadPacket(conn)
		if err != nil {
			t.Fatal(err)
		}
		if d, ok := goodbye.Content.(*packets.Disconnect); !ok || d.ReasonCode != 0x8b {
			t.Errorf("%s", goodbye)
		}
		_ = ws.Close(websocket.StatusNormalClosure, "")
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	}
}

// Adapters without TLS are there when they are configured, and let in only
// endpoints that allow it.
func TestPlainMQTT(t *testing.T) {
	t.Parallel()
	g := serve(t, configure(t, t.TempDir(), inMemory+"listeners: [{adapter: https, address: '127.0.0.1:0'}, {adapter: mqtt, address: '127.0.0.1:0', connectTime: 5s}]\n"))
	send, _ := g.keys(demo.Sender)
	connect := func() byte {
		t.Helper()
		nc, err := net.Dial("tcp", g.Listeners()[1].Address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		p := packets.NewControlPacket(packets.CONNECT)
		c := p.Content.(*packets.Connect)
		c.CleanStart, c.Username, c.UsernameFlag, c.Password, c.PasswordFlag = true, demo.Account+"/"+demo.Sender, true, []byte(send), true
		if _, err := p.WriteTo(nc); err != nil {
			t.Fatal(err)
		}
		ack, err := packets.ReadPacket(nc)
		if err != nil {
			t.Fatal(err)
		}
		return ack.Content.(*packets.Connack).ReasonCode
	}
	if code := connect(); code != 0 {
		t.Errorf("CONNACK 0x%02x", code)
	}
	spec := g.Directory.Current().Account(demo.Account).Endpoint(demo.Sender).Spec()
	spec.AllowPlaintext = false
	if _, err := g.Directory.Put(t.Context(), demo.Account, spec, 0); err != nil {
		t.Fatal(err)
	}
	if code := connect(); code != 0x87 {
		t.Errorf("CONNACK 0x%02x", code)
	}
}

// A client certificate lets a client in without a password, and without a user
// name if its own name says who it is.
func TestMQTTByCertificate(t *testing.T) {
	t.Parallel()
	g := serve(t, configure(t, t.TempDir(), inMemory+"tls: {clientCertificates: ask}\n"+threeWays))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := adaptertest.Certificate(t, nil, func(c *x509.Certificate) { c.Subject.CommonName = demo.Account + "/" + demo.Sender })
	g.certify(byThumbprint(c, "send"))
	for _, user := range []string{demo.Account + "/" + demo.Sender, ""} {
		client, _ := g.mqtt(ctx, demo.Sender, "", func(cfg *autopaho.ClientConfig) {
			cfg.TlsCfg, cfg.ConnectUsername, cfg.ConnectPassword = g.trusting(c), user, nil
		})
		r, err := client.Publish(ctx, &paho.Publish{Topic: "endpoints/" + demo.Receiver, QoS: 1, Payload: []byte("x")})
		if err != nil || r.ReasonCode != 0 {
			t.Errorf("user %q: %v %+v", user, err, r)
		}
		g.mustTake()
		if err := client.Disconnect(ctx); err != nil {
			t.Error(err)
		}
	}
}
