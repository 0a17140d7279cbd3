package httpapi

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/gate"
)

// A listener counts the connections it hands out, closes those over its limit,
// and knows when the last is gone.
type listener struct {
	net.Listener
	conns *adapter.Connections[*connection] // in which are those that no request came from yet
}

func newListener(ln net.Listener, limit int, log *slog.Logger) *listener {
	return &listener{Listener: ln, conns: adapter.NewConnections[*connection](limit, log.With("address", ln.Addr().String()))}
}

// Accept returns the next connection there is room for.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		own := &connection{Conn: c, from: l, remote: adapter.RemoteOf(c)}
		if l.admit(own) {
			return own, nil
		}
		_ = c.Close() // nothing was said on it
	}
}

func (l *listener) admit(c *connection) bool {
	if !l.conns.Admit() {
		return false
	}
	if !l.conns.Enter(c) {
		l.conns.Leave()
		return false
	}
	return true
}

func (l *listener) release(c *connection) {
	l.conns.Exit(c)
	l.conns.Leave()
}

// hangUp closes the connections from which no request has come: there is
// nothing to finish for them.
func (l *listener) hangUp() {
	for _, c := range l.conns.Stop() {
		_ = c.Close() // nobody is told
	}
}

// spoke is told of every request of c.
func (l *listener) spoke(c *connection) {
	if c.spoken.Load() || c.spoken.Swap(true) {
		return
	}
	l.conns.Exit(c)
}

// wait returns when all connections are closed.
func (l *listener) wait() { l.conns.Wait() }

// A sessionKey says which requests of a connection may share a session.
type sessionKey struct {
	authorization string
	origin        string
	need          gatehouse.Rights
	account       gatehouse.AccountName
	endpoint      gatehouse.EndpointName
	channel       gatehouse.ChannelName
}

// maxSessions is how many sessions a connection keeps for its next requests. A
// proxy may carry many endpoints over one connection.
const maxSessions = 256

// maxFailures is how often a connection may fail to prove who it is before it
// is closed.
const maxFailures = 16

// A connection is a client's connection with the sessions opened on it. They
// are closed with it.
type connection struct {
	net.Conn
	from   *listener
	remote netip.AddrPort
	once   sync.Once
	spoken atomic.Bool

	mu       sync.Mutex
	closed   bool
	sessions map[sessionKey]*lease // nil until the first
	failures int
	clock    uint64 // counts requests, to find the session unused for longest
}

// A lease is a session that requests of a connection share.
type lease struct {
	ready   chan struct{} // closed when session or err is set
	session *gate.Session
	err     error
	users   int
	used    uint64 // the connection's clock at the last request
	dropped bool   // not in the map: close after the last user
}

// Close closes the connection and its sessions.
func (c *connection) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.mu.Lock()
		c.closed = true
		var idle []*lease
		for key, l := range c.sessions {
			delete(c.sessions, key)
			l.dropped = true
			if l.users == 0 {
				idle = append(idle, l)
			}
		}
		c.mu.Unlock()
		for _, l := range idle {
			l.session.Close()
		}
		c.from.release(c)
	})
	return err
}

type connectionKey struct{}

// withConnection lets requests find their connection.
func withConnection(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = t.NetConn()
	}
	own, _ := c.(*connection) // all are: the listener makes them
	return context.WithValue(ctx, connectionKey{}, own)
}

func connectionOf(ctx context.Context) *connection {
	return ctx.Value(connectionKey{}).(*connection)
}

// take returns the session of key, opening it with open if there is none or it
// has ended. Each lease taken must be given back.
func (c *connection) take(key sessionKey, open func() (*gate.Session, error)) (*lease, error) {
	c.mu.Lock()
	c.clock++
	l := c.sessions[key]
	if l != nil && l.ended() {
		c.drop(key, l)
		l = nil
	}
	if l != nil {
		l.users++
		l.used = c.clock
		c.mu.Unlock()
		<-l.ready
		if l.err != nil {
			c.give(l)
			return nil, l.err
		}
		return l, nil
	}
	l = &lease{ready: make(chan struct{}), users: 1, used: c.clock, dropped: c.closed || !c.makeRoom()}
	if !l.dropped {
		if c.sessions == nil {
			c.sessions = make(map[sessionKey]*lease, 1)
		}
		c.sessions[key] = l
	}
	c.mu.Unlock()
	session, err := open()
	c.mu.Lock()
	l.session, l.err = session, err
	if err != nil {
		c.failures++
		if c.sessions[key] == l {
			delete(c.sessions, key)
		}
		l.dropped = true
	}
	close(l.ready)
	c.mu.Unlock()
	return l, err
}

// ended reports whether the session has ended; c.mu is held.
func (l *lease) ended() bool { return l.session != nil && l.session.Err() != nil }

// drop takes an ended or unused session out of the map; c.mu is held.
func (c *connection) drop(key sessionKey, l *lease) {
	delete(c.sessions, key)
	l.dropped = true
	if l.users == 0 {
		l.session.Close()
	}
}

// makeRoom reports whether one more session may be kept, dropping the one that
// no request has used for longest if need be; c.mu is held.
func (c *connection) makeRoom() bool {
	if len(c.sessions) < maxSessions {
		return true
	}
	var oldest *lease
	var key sessionKey
	for k, l := range c.sessions {
		if l.users == 0 && (oldest == nil || l.used < oldest.used) {
			oldest, key = l, k
		}
	}
	if oldest == nil {
		return false
	}
	c.drop(key, oldest)
	return true
}

// give gives a lease back.
func (c *connection) give(l *lease) {
	c.mu.Lock()
	l.users--
	last := l.users == 0 && l.dropped && l.session != nil
	c.mu.Unlock()
	if last {
		l.session.Close()
	}
}

// failedTooOften reports whether the client has shown too many wrong proofs.
func (c *connection) failedTooOften() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failures >= maxFailures
}

// attempt describes the request to the gate.
func (c *connection) attempt(key *sessionKey, shown []auth.Credentials, protocol string, tls bool) gate.Attempt {
	return gate.Attempt{
		Account: key.account, Endpoint: key.endpoint, Channel: key.channel, Need: key.need, Credentials: shown,
		Protocol: protocol, TLS: tls, Remote: c.remote, Origin: key.origin,
	}
}
