package mqttadapter

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/auth/secret"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/mqtt"

	"github.com/eclipse/paho.golang/packets"
)

// A site is an adapter at work in a world of its own.
type site struct {
	testing.TB
	world   *adaptertest.World
	address string
	ctx     context.Context
	stop    context.CancelFunc
}

func newSite(t testing.TB, o Options) *site {
	t.Helper()
	return newSiteOn(t, o, newEngine)
}

// newSiteOn makes a site on an engine, which the end of the test closes.
func newSiteOn(t testing.TB, o Options, newEngine func() engine.Engine) *site {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{TB: t, world: adaptertest.NewWorld(t, newEngine, secret.New), address: ln.Addr().String()}
	serving, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	a := New(o)
	if _, test := t.(*testing.T); test {
		a.idleTime = time.Millisecond // connections are idle and wake all the time
	}
	go func() { served <- a.Serve(serving, ln, s.world.Gate) }()
	s.stop = stop
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	var cancel context.CancelFunc
	s.ctx, cancel = context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return s
}

// newWebSite is a site over WebSocket, with TLS if secure is not nil.
func newWebSite(t testing.TB, o Options, secure *tls.Config) *site {
	t.Helper()
	s := &site{TB: t, world: adaptertest.NewWorld(t, newEngine, secret.New)}
	h, stop := New(o).WebSocket(s.world.Gate)
	web := httptest.NewUnstartedServer(h)
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	if secure == nil {
		web.Start()
	} else {
		web.TLS = secure
		web.StartTLS()
	}
	s.address, s.stop = web.Listener.Addr().String(), stop
	t.Cleanup(func() { stop(); web.Close() })
	var cancel context.CancelFunc
	s.ctx, cancel = context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return s
}

// A way is one of those that clients connect by.
type way struct {
	name  string
	site  *site
	url   func(schemes ...string) string // with the scheme that a client has for it
	trust *tls.Config
}

// everyWay runs a test over each way: TCP, TLS, WebSocket, and that over TLS.
func everyWay(t *testing.T, test func(*testing.T, way)) {
	t.Helper()
	server, trust := adaptertest.TLS(t)
	for i, name := range []string{"TCP", "TLS", "WebSocket", "WebSocket over TLS"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := way{name: name}
			o := Options{}
			switch i {
			case 0:
				w.site = newSite(t, o)
			case 1:
				o.TLS, w.trust = server, trust
				w.site = newSite(t, o)
			case 2:
				w.site = newWebSite(t, o, nil)
			case 3:
				w.trust = trust
				w.site = newWebSite(t, o, server)
			}
			w.url = func(schemes ...string) string {
				u := schemes[i] + "://" + w.site.address
				if i >= 2 {
					u += WebSocketPath
				}
				return u
			}
			test(t, w)
		})
	}
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// login is the right login of an endpoint.
func (s *site) login(e gatehouse.EndpointName) adaptertest.Login {
	return adaptertest.Login{
		Address: s.address, Account: adaptertest.Account, Endpoint: e,
		SendKey: adaptertest.SendKey(e), ListenKey: adaptertest.ListenKey(e),
	}
}

// raw connects and says nothing.
func (s *site) raw() *peer {
	s.Helper()
	p, err := dialPeer(s.address, nil)
	s.must(err)
	s.Cleanup(p.close)
	return p
}

// join connects as an endpoint; change, if not nil, changes the CONNECT.
func (s *site) join(e gatehouse.EndpointName, change func(*packets.Connect)) (*peer, *packets.Connack) {
	s.Helper()
	p := s.raw()
	c := connectOf(s.login(e))
	c.Properties = &packets.Properties{}
	if change != nil {
		change(c)
	}
	ack, err := p.connect(s.ctx, c)
	s.must(err)
	return p, ack
}

// lasting asks for a session that lasts.
func lasting(client string) func(*packets.Connect) {
	return func(c *packets.Connect) {
		c.ClientID, c.CleanStart = client, false
		c.Properties.SessionExpiryInterval = new(uint32)
		*c.Properties.SessionExpiryInterval = 600
	}
}

// subscribed connects the receiver and subscribes to its inbox.
func (s *site) subscribed(qos byte, change func(*packets.Connect)) *peer {
	s.Helper()
	p, _ := s.join(adaptertest.Receiver, change)
	s.subscribe(p, qos, topicInbox)
	return p
}

func (s *site) subscribe(p *peer, qos byte, filter string) {
	s.Helper()
	codes, err := p.subscribe(s.ctx, qos, filter)
	s.must(err)
	if codes[0] != qos {
		s.Fatalf("%s: SUBACK 0x%02x", filter, codes[0])
	}
}

// publish sends a message to the receiver and returns the reason code.
func (s *site) publish(p *peer, qos byte, body string) mqtt.Code {
	s.Helper()
	id := p.nextID()
	s.must(p.send(&packets.Publish{Topic: "endpoints/" + adaptertest.Receiver, QoS: qos, PacketID: id, Payload: []byte(body), Properties: &packets.Properties{}}))
	return s.settled(p, qos)
}

// settled waits for the answer to a message.
func (s *site) settled(p *peer, qos byte) mqtt.Code {
	s.Helper()
	switch qos {
	case 1:
		a, err := await[*packets.Puback](s.ctx, p)
		s.must(err)
		return mqtt.Code(a.ReasonCode)
	case 2:
		a, err := await[*packets.Pubrec](s.ctx, p)
		s.must(err)
		if a.ReasonCode >= byte(mqtt.UnspecifiedError) {
			return mqtt.Code(a.ReasonCode)
		}
		return s.release(p, a.PacketID)
	}
	return mqtt.Success
}

func (s *site) release(p *peer, id uint16) mqtt.Code {
	s.Helper()
	s.must(p.send(&packets.Pubrel{PacketID: id, Properties: &packets.Properties{}}))
	a, err := await[*packets.Pubcomp](s.ctx, p)
	s.must(err)
	return mqtt.Code(a.ReasonCode)
}

// delivery waits for a message.
func (s *site) delivery(p *peer) *packets.Publish {
	s.Helper()
	d, err := p.delivery(s.ctx)
	s.must(err)
	return d
}

// expect waits for a message with that body.
func (s *site) expect(p *peer, body string) *packets.Publish {
	s.Helper()
	d := s.delivery(p)
	if string(d.Payload) != body {
		s.Fatalf("received %q instead of %q", d.Payload, body)
	}
	return d
}

func (s *site) puback(p *peer, d *packets.Publish) {
	s.Helper()
	s.must(p.send(&packets.Puback{PacketID: d.PacketID, Properties: &packets.Properties{}}))
}

// ended waits for the end of the connection and returns the code it was told.
func (s *site) ended(p *peer) mqtt.Code {
	s.Helper()
	for {
		if _, err := p.next(s.ctx); err != nil {
			if s.ctx.Err() != nil {
				s.Fatal("the connection did not end")
			}
			return codeOf(err)
		}
	}
}

// nothing checks that no message waits in the receiver's inbox.
func (s *site) nothing() {
	s.Helper()
	g := s.session(adaptertest.Receiver)
	defer g.Close()
	got, err := g.Receive(s.ctx, false, inbox.ReceiveOptions{NoWait: true})
	s.must(err)
	if len(got) > 0 {
		s.Fatalf("%q waits", got[0].Message.Body)
	}
}

// session is a session of the gate, as another protocol has it.
func (s *site) session(e gatehouse.EndpointName) *gate.Session {
	s.Helper()
	g, err := s.world.Gate.Open(s.ctx, gate.Attempt{
		Account: adaptertest.Account, Endpoint: e, Want: both, Protocol: "test", TLS: true,
		Credentials: []auth.Credentials{auth.Password{User: adaptertest.Account + "/" + string(e), Password: adaptertest.SendKey(e) + "," + adaptertest.ListenKey(e)}},
	})
	s.must(err)
	return g
}

// take receives a message as another protocol does, and completes it.
func (s *site) take(e gatehouse.EndpointName) *inbox.Delivery {
	s.Helper()
	g := s.session(e)
	defer g.Close()
	got, err := g.Receive(s.ctx, false, inbox.ReceiveOptions{})
	s.must(err)
	s.must(g.Settle(s.ctx, false, inbox.Settlement{Lock: got[0].Lock}))
	return got[0]
}

// give sends a message to the receiver as another protocol does.
func (s *site) give(m *gatehouse.Message) {
	s.Helper()
	s.giveTo(adaptertest.Receiver, m)
}

// giveTo sends a message to an endpoint.
func (s *site) giveTo(e gatehouse.EndpointName, m *gatehouse.Message) {
	s.Helper()
	g := s.session(adaptertest.Sender)
	defer g.Close()
	m.To = append(m.To, gatehouse.EndpointPrefix+string(e))
	done := make(chan error, 1)
	s.must(g.Submit(s.ctx, func(_ gate.Receipt, err error) { done <- err }, m))
	s.must(<-done)
}
