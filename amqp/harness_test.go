package amqp_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	client "github.com/Azure/go-amqp"
	"go.uber.org/goleak"

	"github.com/gatehouse/gatehouse/amqp"
	"github.com/gatehouse/gatehouse/amqp/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waiting for what must happen; it is never reached by a test
// that passes.
const patience = 30 * time.Second

func background(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// decisions is a Handler made of functions; a nil one says yes.
type decisions struct {
	authenticate func(amqp.Authentication) error
	open         func(*amqp.Conn, *frame.Open) error
	attach       func(*amqp.Attach)
}

func (d decisions) Authenticate(_ *amqp.Conn, a amqp.Authentication) error {
	if d.authenticate == nil {
		return nil
	}
	return d.authenticate(a)
}

func (d decisions) Open(c *amqp.Conn, o *frame.Open) error {
	if d.open == nil {
		return nil
	}
	return d.open(c, o)
}

func (d decisions) Attach(a *amqp.Attach) { d.attach(a) }

// A peer is a connection being served, and the other end of it.
type peer struct {
	conn   *amqp.Conn
	nc     net.Conn // the client's end
	result chan error
}

// serve serves a connection over loopback TCP.
func serve(t testing.TB, cfg amqp.Config, h amqp.Handler) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, cfg, h, near, far)
}

func serveOn(t testing.TB, cfg amqp.Config, h amqp.Handler, near, far net.Conn) *peer {
	t.Helper()
	server, err := amqp.NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{conn: server.NewConn(near, h), nc: far, result: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.result <- p.conn.Serve(context.Background())
	}()
	t.Cleanup(func() {
		far.Close()
		<-done
	})
	return p
}

// dial opens the connection with the outside client.
func (p *peer) dial(t testing.TB, o *client.ConnOptions) *client.Conn {
	t.Helper()
	c, err := client.NewConn(background(t), p.nc, o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (p *peer) session(t testing.TB, o *client.ConnOptions) *client.Session {
	t.Helper()
	return newSession(t, p.dial(t, o))
}

func newSession(t testing.TB, c *client.Conn) *client.Session {
	t.Helper()
	s, err := c.NewSession(background(t), nil)
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	return s
}

// ended returns what Serve returned.
func (p *peer) ended(t testing.TB) error {
	t.Helper()
	select {
	case err := <-p.result:
		return err
	case <-time.After(patience):
		t.Fatal("Serve did not return")
		return nil
	}
}

// collector is a Receiver that hands deliveries to a channel.
type collector struct {
	deliveries chan *amqp.Delivery
	closed     chan error
}

func newCollector() *collector {
	return &collector{deliveries: make(chan *amqp.Delivery, 10000), closed: make(chan error, 100)}
}

func (c *collector) Message(d *amqp.Delivery) { c.deliveries <- d }
func (c *collector) Closed(err error)         { c.closed <- err }

// outcome is what a feeder was told of a delivery.
type outcome struct {
	sent  amqp.Sent
	state amqp.State
}

// feeder is a Sender that sends a list of messages, then answers drains.
type feeder struct {
	mu       sync.Mutex
	messages []amqp.Message
	outcomes chan outcome
	closed   chan error
	ready    chan struct{}
}

func newFeeder(m ...amqp.Message) *feeder {
	return &feeder{
		messages: m, outcomes: make(chan outcome, 10000),
		closed: make(chan error, 100), ready: make(chan struct{}, 10000),
	}
}

func (f *feeder) Ready(o *amqp.Outgoing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := o.Credit(); n > 0 && len(f.messages) > 0; n = o.Credit() {
		if err := o.Send(f.messages[0]); err != nil {
			break
		}
		f.messages = f.messages[1:]
	}
	if o.Draining() {
		o.Drained()
	}
	f.ready <- struct{}{}
}

func (f *feeder) Outcome(s amqp.Sent, state amqp.State) { f.outcomes <- outcome{s, state} }
func (f *feeder) Closed(err error)                      { f.closed <- err }

func take[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

// acceptAll accepts every link: what the peer sends goes to r, what it receives
// comes from s.
func acceptAll(t testing.TB, r amqp.Receiver, s amqp.Sender, o amqp.IncomingOptions) decisions {
	return decisions{attach: func(a *amqp.Attach) {
		var err error
		if a.FromPeer() {
			o.Receiver = r
			_, err = a.AcceptIncoming(o)
		} else {
			_, err = a.AcceptOutgoing(amqp.OutgoingOptions{Sender: s})
		}
		if err != nil {
			t.Errorf("accept: %v", err)
		}
	}}
}
