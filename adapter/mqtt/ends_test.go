package mqttadapter

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/auth/secret"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/mqtt"

	"github.com/eclipse/paho.golang/packets"
)

// A gated authenticator lets nobody through before it may.
type gated struct {
	auth.Authenticator
	asked, open chan struct{}
}

func (g *gated) Authenticate(ctx context.Context, r *auth.Request) (gatehouse.Identity, error) {
	select {
	case g.asked <- struct{}{}:
	default:
	}
	<-g.open
	return g.Authenticator.Authenticate(ctx, r)
}

// A client that is being let in when the gateway stops is sent no DISCONNECT
// before its CONNACK, and both ends of it keep out of each other's way.
func TestStopWhileConnecting(t *testing.T) {
	t.Parallel()
	g := &gated{asked: make(chan struct{}, 1), open: make(chan struct{})}
	w := adaptertest.NewWorld(t, newEngine, func(k auth.Keys) auth.Authenticator {
		g.Authenticator = secret.New(k)
		return g
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- New(Options{}).Serve(ctx, ln, w.Gate) }()
	s := &site{TB: t, world: w, address: ln.Addr().String(), ctx: t.Context()}
	c := connectOf(s.login(adaptertest.Sender))
	nc := s.dial()
	_, err = nc.Write((&mqtt.Connect{Version: mqtt.Version5, CleanStart: true, ClientID: "x", UserName: c.Username, Password: c.Password}).Append(nil))
	s.must(err)
	<-g.asked
	stop()
	if said := s.closes(nc); len(said) > 0 {
		t.Errorf("it was told %x", said)
	}
	close(g.open)
	s.must(<-served)
}

// connection returns the gateway's end of the only session there is.
func (all *Sessions) connection() *connection {
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, s := range all.byClient {
		return s.owner
	}
	return nil
}

// Messages go on coming to a client whose last acknowledgement came when much
// waited to be written to it.
func TestFullOutput(t *testing.T) {
	t.Parallel()
	all := new(Sessions)
	s := newSite(t, Options{Sessions: all, Deliveries: 1})
	p := s.subscribed(1, nil)
	s.give(&gatehouse.Message{Body: []byte("a")})
	d := s.expect(p, "a")
	s.must(p.ping(s.ctx))

	c := all.connection()
	c.mu.Lock()
	for c.out.writing {
		c.room.Wait()
	}
	c.out.writing = true // the client does not read
	buf := c.buffer()
	*buf = append(*buf, bytes.Repeat((&mqtt.Ping{Type: mqtt.TypePingResp}).Append(nil), maxOut/2+1)...)
	c.mu.Unlock()
	s.puback(p, d)
	s.give(&gatehouse.Message{Body: []byte("b")})
	c.mu.Lock()
	for c.unsettled > 0 {
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
	}
	c.mu.Unlock()
	c.arm(&c.feeds[0]) // as the reader does
	c.mu.Lock()
	c.out.writing = false
	c.kick()
	c.mu.Unlock()
	s.expect(p, "b")
}

// A session with subscriptions that its client has no right to any more ends:
// the client learns so when it subscribes again, and may go on sending.
func TestResumeWithoutListening(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	p := s.subscribed(1, lasting("one"))
	s.must(p.send(&packets.Disconnect{Properties: &packets.Properties{}}))
	s.ended(p)
	s.must(s.world.Directory.Revoke(s.ctx, adaptertest.Account, adaptertest.Receiver, directory.Revoked{Listen: true}))
	p, ack := s.join(adaptertest.Receiver, lasting("one"))
	if ack.SessionPresent {
		t.Error("the session is there")
	}
	if codes, err := p.subscribe(s.ctx, 1, topicInbox); err != nil || mqtt.Code(codes[0]) != mqtt.NotAuthorized {
		t.Fatalf("SUBACK %v, %v", codes, err)
	}
	if code := s.publish(p, 1, "a"); code != mqtt.Success {
		t.Errorf("PUBACK %v", code)
	}
}

// A client that spoke while the gateway did not listen is not held to have been
// silent.
func TestBusyIsNotSilent(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	if _, err := client.Write((&mqtt.Ping{Type: mqtt.TypePingReq}).Append(nil)); err != nil {
		t.Fatal(err)
	}
	c := &connection{serving: newServing(New(Options{}), nil), nc: nc, session: new(gate.Session), keepAlive: time.Second}
	c.in.limit = maxFirst
	c.in.last = time.Now().Add(-time.Minute) // it was busy since
	if h, _, err := c.next(func() {}); err != nil || h.Type != mqtt.TypePingReq {
		t.Error(h.Type, err)
	}
}

// What a session keeps of a subscription is small.
func TestLongFilter(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	p, _ := s.join(adaptertest.Receiver, nil)
	long := "$share/" + strings.Repeat("g", maxFilter) + "/inbox"
	if codes, err := p.subscribe(s.ctx, 1, long); err != nil || mqtt.Code(codes[0]) != mqtt.TopicFilterInvalid {
		t.Errorf("SUBACK %x, %v", codes, err)
	}
}

// A client that is expelled and does not read is rid of within a second, and a
// bit: what waits for it is not pressed upon it.
func TestExpelSlow(t *testing.T) {
	t.Parallel()
	all := new(Sessions)
	s := newSite(t, Options{Sessions: all})
	login := connectOf(s.login(adaptertest.Receiver))
	nc := s.dial()
	send := (&mqtt.Connect{Version: mqtt.Version5, CleanStart: true, ClientID: "slow", UserName: login.Username, Password: login.Password}).Append(nil)
	_, err := nc.Write((&mqtt.Subscribe{PacketID: 1, Filters: []mqtt.Filter{{Topic: topicInbox, QoS: 1}}}).Append(send, mqtt.Version5))
	s.must(err)
	for all.connection() == nil {
		runtime.Gosched()
	}
	c := all.connection()
	c.mu.Lock()
	for !c.greeted || c.out.writing {
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
	}
	buf := c.buffer()
	*buf = append(*buf, make([]byte, 64<<20)...) // more than the kernel takes
	c.kick()
	c.mu.Unlock()

	began := time.Now()
	s.world.Revoke(adaptertest.Receiver)
	c.mu.Lock()
	for !c.closed {
		c.room.Wait()
	}
	c.mu.Unlock()
	if took := time.Since(began); took > farewell {
		t.Errorf("it took %v", took)
	}
}

// A hook is a log that calls a function.
type hook struct {
	slog.Handler
	call func()
}

func (h *hook) Enabled(context.Context, slog.Level) bool { return true }

func (h *hook) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "a delivery could not be settled") {
		h.call()
	}
	return nil
}

// What is taken from the inbox while the connection ends is not sent behind the
// goodbye, where the client takes no notice of it, and stays.
func TestNothingAfterGoodbye(t *testing.T) {
	t.Parallel()
	all := new(Sessions)
	h := &hook{Handler: slog.DiscardHandler}
	o := Options{Sessions: all}
	o.Logger = slog.New(h)
	s := newSite(t, o)
	p, _ := s.join(adaptertest.Receiver, func(c *packets.Connect) {
		c.Properties.MaximumPacketSize = new(uint32)
		*c.Properties.MaximumPacketSize = 1000
	})
	c := all.connection()
	h.call = func() { // between the time a delivery is made into a packet and the time that is handed to be written
		c.takeOver()
		c.mu.Lock()
		defer c.mu.Unlock()
		for !c.closed {
			c.room.Wait()
		}
		c.out.writing = true // what comes now is written with the goodbye
	}
	s.give(&gatehouse.Message{Body: []byte("a")})
	g := s.session(adaptertest.Receiver)
	defer g.Close()
	got, err := g.Receive(s.ctx, false, inbox.ReceiveOptions{})
	s.must(err)
	c.mu.Lock()
	f := &c.feeds[0]
	f.on, f.busy = true, true
	c.working.Add(1)
	c.mu.Unlock()
	large := &inbox.Delivery{Message: &gatehouse.Message{Body: make([]byte, 2000)}} // of which the lock is lost
	c.come(f, []*inbox.Delivery{large, got[0]}, nil)
	c.mu.Lock()
	if n := c.out.bytes(); n > 0 {
		t.Errorf("%d bytes are to be written behind the goodbye", n)
	}
	c.out.writing = false
	c.kick()
	c.mu.Unlock()
	if code := s.ended(p); code != mqtt.SessionTakenOver {
		t.Error(code)
	}
	if d := s.take(adaptertest.Receiver); string(d.Message.Body) != "a" || d.Count != 1 {
		t.Errorf("%+v", d)
	}
}

// A client of a WebSocket, which is never found idle, does not keep the buffer of
// a large packet.
func TestWebBuffer(t *testing.T) {
	t.Parallel()
	client, nc := net.Pipe()
	defer func() { _ = client.Close(); _ = nc.Close() }()
	c := &connection{serving: newServing(New(Options{}), nil), nc: nc, web: true, session: new(gate.Session), keepAlive: time.Minute}
	c.in.reading = &reading{buf: make([]byte, 0, 1<<20)}
	go func() { _, _ = client.Write((&mqtt.Ping{Type: mqtt.TypePingReq}).Append(nil)) }()
	if err := c.fill(); err != nil {
		t.Fatal(err)
	}
	if n := cap(c.in.buf); n != readSize || len(c.in.buf) != 2 {
		t.Errorf("a buffer of %d bytes with %d", n, len(c.in.buf))
	}
}
