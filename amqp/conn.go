package amqp

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse/amqp/frame"
)

// A Conn is one connection of a peer. Goroutines: the one that calls Serve, and
// while there is something to write, the writer; Serve waits for it.
type Conn struct {
	server  *Server
	nc      net.Conn
	handler Handler
	start   time.Time
	opened  bool // the peer's open was accepted; of the Serve goroutine
	in      input

	lastRead  atomic.Int64 // since start
	lastWrite atomic.Int64 // since start

	mu        sync.Mutex
	sessions  map[uint16]*Session
	names     map[linkName]*link
	linkCount int
	remote    *frame.Open // the peer's open
	frameOut  int         // the largest frame to send
	timer     *time.Timer
	writer    sync.WaitGroup
	drained   sync.Cond // what was written has been taken

	out        []byte // frames to be written next
	spare      []byte
	lease      *output // owner of out and spare while they are in use
	inFlight   int     // bytes being written
	queued     int     // bytes of messages in the queues of links
	unfinished int     // bytes of messages whose last frame has not come
	dirty      []*Session
	dirtySpare []*Session
	ready      []*Outgoing // Senders to call
	starved    []*Outgoing // links that saw no credit because of the backlog

	writing    bool
	corked     bool
	quiet      bool // no writer is to start any more
	amqp       bool // the peer got our AMQP header
	openSent   bool
	closeSent  bool
	closeUntil time.Duration // since start
	changed    []Sent        // of the Serve goroutine: what a disposition is about
	closeErr   *Error        // what the connection was closed with, by either side
	failed     error         // why the socket was given up
}

// NewConn returns a connection over nc, which is the Conn's from now on. Serve
// must be called.
func (s *Server) NewConn(nc net.Conn, h Handler) *Conn {
	c := &Conn{server: s, nc: nc, handler: h, start: time.Now(), corked: true}
	c.drained.L = &c.mu
	c.frameOut = frame.MinMaxFrameSize
	return c
}

// NetConn returns the socket, to look at its addresses or TLS state.
func (c *Conn) NetConn() net.Conn { return c.nc }

// Remote returns the peer's open frame, or nil before it has come.
func (c *Conn) Remote() *frame.Open {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.remote
}

// Serve serves the connection until it has ended, closes the socket, and calls
// Closed for every link that is left. It returns nil if the peer closed without
// an error, an *Error if either side closed with one, and otherwise why the
// connection broke. When ctx ends, the connection is closed with
// amqp:connection:forced. It must be called once.
func (c *Conn) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		c.Close(Err(ConnectionForced, "the server is shutting down"))
	})
	defer stop()
	c.mu.Lock()
	c.timer = time.AfterFunc(c.server.config.HandshakeTimeout, c.tick)
	c.mu.Unlock()
	return c.finish(c.run())
}

// run reads until the connection is over.
func (c *Conn) run() error {
	if err := c.handshake(); err != nil {
		return err
	}
	c.opened = true
	for {
		h, body, err := c.next(c.server.config.MaxFrameSize)
		if err != nil {
			return err
		}
		over, err := c.handle(h, body)
		if over || err != nil {
			return err
		}
	}
}

// Close closes the connection: the peer is told err, which may be nil, and
// Serve returns once the peer has answered or CloseTimeout has passed.
func (c *Conn) Close(err *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closeSent || c.failed != nil {
		return
	}
	if !c.openSent {
		c.failLocked(asCause(err))
		return
	}
	c.closeLocked(err)
	c.kick()
}

func asCause(err *Error) error {
	if err == nil {
		return net.ErrClosed
	}
	return err
}

// closeLocked sends close, after everything that was said before.
func (c *Conn) closeLocked(err *Error) {
	if c.closeSent {
		return
	}
	for _, s := range c.sessions {
		s.flushDispositions()
	}
	at := c.open(0)
	c.out = frame.AppendClose(c.out, err)
	c.done(at)
	c.closeSent = true
	if c.closeErr == nil {
		c.closeErr = err
	}
	c.closeUntil = time.Since(c.start) + c.server.config.CloseTimeout
	c.timer.Reset(c.server.config.CloseTimeout)
}

// finish ends the connection after run has: cause is what run returned.
func (c *Conn) finish(cause error) error {
	told := c.lastWords(cause)
	c.writer.Wait()
	if told {
		c.linger()
	}
	c.mu.Lock()
	c.timer.Stop()
	c.failLocked(cause)
	links := c.takeLinks()
	err := c.verdict(cause)
	c.mu.Unlock()
	for _, l := range links {
		l.closed(err)
	}
	return err
}

// lastWords tells the peer of an error in what it sent, and lets no writer
// start after the one that says so. It reports whether anything may still be
// on its way to the peer.
func (c *Conn) lastWords(cause error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ours := cause.(*Error)
	if ours && c.failed == nil && !c.closeSent && c.amqp {
		c.sendOpen()
		c.closeLocked(e)
	}
	told := ours || errors.Is(cause, ErrProtocol) || errors.Is(cause, ErrSASL)
	if cause != nil && !told {
		c.failLocked(cause)
	}
	c.corked = false
	c.kick()
	c.quiet = true
	return told && c.failed == nil
}

// linger lets the peer read the last words before the socket goes: closing a
// socket with unread input may throw away what was written to it.
func (c *Conn) linger() {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(c.server.config.CloseTimeout))
	for {
		if _, err := c.nc.Read(c.in.small[:]); err != nil {
			return
		}
	}
}

// verdict is what Serve returns. The lock is held.
func (c *Conn) verdict(cause error) error {
	switch {
	case c.closeErr != nil:
		return c.closeErr
	case c.closeSent || cause == nil:
		return nil
	case isEOF(c.failed):
		return ErrClosedPeer
	}
	return c.failed
}

// takeLinks takes all links away from their sessions. The lock is held.
func (c *Conn) takeLinks() []*link {
	var links []*link
	for _, s := range c.sessions {
		links = append(links, s.takeLinks()...)
	}
	c.sessions = nil
	return links
}
