package mqttadapter

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse/adapter"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/idle"
)

// Serve serves ln until ctx is done: see adapter.Adapter.
func (a *Adapter) Serve(ctx context.Context, ln net.Listener, g *gate.Gate) error {
	s := newServing(a, g)
	var err error
	if s.idle, err = idle.New(); err != nil {
		return errors.Join(err, ln.Close())
	}
	defer s.idle.Close()
	workers := adapter.NewWorkers(s.serve)
	err = s.conns.Accept(ctx, ln, workers.Serve)
	workers.Close()
	s.stop()
	return err
}

// A serving is the connections of one listener.
type serving struct {
	*Adapter
	gate  *gate.Gate
	ctx   context.Context // ends what is left once the drain time is over
	cut   context.CancelFunc
	conns *adapter.Connections[*connection]
	idle  *idle.Watcher  // nil: connections are never idle
	wills sync.WaitGroup // of its connections, as long as they may be sent
}

func newServing(a *Adapter, g *gate.Gate) *serving {
	s := &serving{Adapter: a, gate: g, conns: adapter.NewConnections[*connection](a.options.Connections, a.options.Logger)}
	s.ctx, s.cut = context.WithCancel(context.Background())
	return s
}

// serve serves one connection until it is idle or ends.
func (s *serving) serve(nc net.Conn) {
	c := s.newConnection(nc)
	if !c.begin(nc) || c.attend() {
		s.conns.Leave()
	}
}

func (s *serving) newConnection(nc net.Conn) *connection {
	return &connection{
		serving: s, protocol: s.Protocol(), remote: adapter.RemoteOf(nc), secure: s.options.TLS != nil,
		deadline: time.Now().Add(s.options.ConnectTime),
	}
}

// begin shakes hands over TLS, if there is any, and enters; it reports whether
// that was possible.
func (c *connection) begin(nc net.Conn) bool {
	if c.secure {
		nc = c.handshake(nc)
	}
	return nc != nil && c.enter(nc)
}

// handshake begins TLS; it returns nil if that fails.
func (c *connection) handshake(nc net.Conn) net.Conn {
	ctx, cancel := context.WithDeadline(c.ctx, c.deadline)
	defer cancel()
	secure := c.options.Handshake(ctx, nc)
	if secure == nil {
		return nil
	}
	state := secure.ConnectionState()
	c.show(&state)
	return secure
}

// show notes the certificate that the client has shown, if it has.
func (c *connection) show(state *tls.ConnectionState) {
	if shown, ok := auth.FromTLS(state); ok {
		c.shown = &shown
	}
}

// stop ends the connections as soon as they have nothing under way, and those
// that take longer than the drain time. Wills that wait are sent. It returns
// when all are gone.
func (s *serving) stop() {
	for _, c := range s.conns.Stop() {
		c.stop()
	}
	cut := time.AfterFunc(s.options.Drain, s.cutOff)
	s.options.Sessions.hurry(s)
	s.conns.Wait() // a connection may have a will until then
	s.wills.Wait()
	cut.Stop()
	s.cut()
}

// cutOff ends what is left.
func (s *serving) cutOff() {
	s.cut()
	for _, c := range s.conns.Stop() {
		c.cutOff()
	}
}
