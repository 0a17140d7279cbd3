package signalr

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse/signalr/wire"
)

var (
	// ErrClosed means that the connection has ended, or is not connected yet.
	ErrClosed = errors.New("signalr: the connection is closed")

	// ErrFull means that the client does not read fast enough, or does not answer
	// calls: the record was not taken. See Conn.Wait and Conn.Flushed.
	ErrFull = errors.New("signalr: too much waits to be sent to the client")
)

// A Transport is how the bytes of a connection travel.
type Transport string

// The transports, by the names they have in negotiation.
const (
	WebSockets       Transport = "WebSockets"
	ServerSentEvents Transport = "ServerSentEvents"
	LongPolling      Transport = "LongPolling"
)

// A stage is how far a connection has come.
type stage uint8

const (
	waiting   stage = iota // negotiated, no transport yet
	shaking                // a transport, no handshake yet
	greeting               // the hub is asked about it; nothing is sent yet
	connected              // open
	ended
)

// A Conn is a connection of one client.
//
// Lock order: input, then mu. Callbacks are called with input held and mu free.
type Conn struct {
	server *Server
	id     string
	token  string // the secret that requests of the connection carry
	owner  any
	ctx    context.Context
	cancel context.CancelCauseFunc

	input    sync.Mutex // held while records are taken
	partial  []byte     // the begin of a record; under input
	incoming counter    // stateful reconnect; under input

	mu        sync.Mutex
	changed   *sync.Cond // reading may go on; on mu
	stage     stage
	transport Transport
	protocol  wire.Protocol // nil before the handshake
	mayResume bool          // stateful reconnect was agreed on in negotiation
	stateful  bool          // and in the handshake
	err       error         // why it ended
	parts     int           // what has to be over before it is forgotten
	released  bool          // the transport is over

	out      output
	calls    map[uint64]*Call
	lastCall uint64
	pipeline pipeline
	clock    clock

	socket  *socket       // of WebSockets
	poll    *poll         // of long polling: the one that is open
	wake    chan struct{} // of the other two: there is something to send
	posting chan struct{} // likewise: held by the POST that is being read
}

// newConn returns a connection that nobody knows yet.
func newConn(s *Server, owner any) *Conn {
	c := &Conn{server: s, id: secret(12), token: secret(24), owner: owner, parts: 2}
	c.changed = sync.NewCond(&c.mu)
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	return c
}

// start begins to watch over the connection.
func (c *Conn) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stage == ended { // the server closes
		return
	}
	c.clock.deadline = now().Add(c.server.options.HandshakeTimeout)
	c.clock.timer = time.AfterFunc(c.server.options.HandshakeTimeout, c.tick)
	c.clock.next = c.clock.deadline
}

// ID returns the public name of the connection, which the client knows too (but
// for clients of negotiation version 0, who know only the secret one).
func (c *Conn) ID() string { return c.id }

// Owner returns what Hub.Open returned.
func (c *Conn) Owner() any { return c.owner }

// Transport returns how the bytes travel; empty before the client has come.
func (c *Conn) Transport() Transport {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.transport
}

// Protocol returns the hub protocol, "json" or "messagepack"; empty before the
// handshake.
func (c *Conn) Protocol() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.protocol == nil {
		return ""
	}
	return c.protocol.Name()
}

// Context is done when the connection has ended; its cause is the error that
// Hub.Closed gets (context.Canceled for nil).
func (c *Conn) Context() context.Context { return c.ctx }

// Close ends the connection: what was sent before is still delivered, if the
// client takes it, then the client is told text (empty: no error) and whether it
// may connect anew. Later calls have no effect. It does not wait.
func (c *Conn) Close(text string, allowReconnect bool) {
	c.end(&CloseError{Text: text, AllowReconnect: allowReconnect},
		&wire.Record{Type: wire.Close, Error: clean(text), Reconnect: allowReconnect})
}

// end ends the connection, once: with goodbye as the last record, if there is
// one and the client could read it.
func (c *Conn) end(err error, goodbye *wire.Record) {
	c.mu.Lock()
	if c.stage == ended {
		c.mu.Unlock()
		return
	}
	switch {
	case goodbye == nil:
	case c.protocol != nil && c.stage == connected:
		c.out.last, _ = c.protocol.Append(nil, goodbye) // it has no values that could fail
	case c.stage == shaking || c.stage == greeting:
		c.out.free() // what the hub sent before it was greeted
		c.out.last = wire.AppendHandshake(nil, orDefault(goodbye.Error, "the connection is closed"))
	}
	c.stage, c.err = ended, err
	c.pipeline = pipeline{}
	if c.clock.timer != nil {
		c.clock.deadline = now().Add(c.server.options.PollGap)
		c.reschedule()
	}
	c.changed.Broadcast()
	c.flush()
	if c.transport == "" || c.transport == WebSockets && c.socket == nil {
		c.release()
	}
	flushed := c.out.takeWaiter(0, true)
	c.mu.Unlock()
	c.cancel(err)
	go c.finish(err, flushed)
}

// finish makes the last callbacks of the connection, after those under way.
func (c *Conn) finish(err error, flushed func()) {
	if flushed != nil {
		flushed()
	}
	c.input.Lock()
	for _, call := range c.takeCalls() {
		call.done(wire.Value{}, ErrClosed)
	}
	c.dropPartial()
	c.server.hub.Closed(c, err)
	c.input.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.part()
}

// release says that the transport is over. It holds mu.
func (c *Conn) release() {
	if !c.released {
		c.released = true
		c.out.free()
		c.part()
	}
}

// part says that a part of the connection is over. It holds mu.
func (c *Conn) part() {
	c.parts--
	if c.parts > 0 {
		return
	}
	if c.clock.timer != nil {
		c.clock.timer.Stop()
	}
	c.server.remove(c)
}

// abandon cuts the connection off at once.
func (c *Conn) abandon() {
	c.end(ErrClosed, nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.socket != nil {
		c.socket.abort()
	}
	if c.poll != nil {
		close(c.poll.gone)
		c.poll = nil
	}
	if c.transport == LongPolling {
		c.release()
	}
	c.signal()
}
