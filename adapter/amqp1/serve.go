package amqp1

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/gatehouse/gatehouse/adapter"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/gate"
)

// Serve serves ln until ctx is done: see adapter.Adapter.
func (a *Adapter) Serve(ctx context.Context, ln net.Listener, g *gate.Gate) error {
	s := newServing(a, g)
	err := s.conns.Accept(ctx, ln, func(nc net.Conn) { go s.serve(nc) })
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
}

func newServing(a *Adapter, g *gate.Gate) *serving {
	s := &serving{Adapter: a, gate: g, conns: adapter.NewConnections[*connection](a.options.Connections, a.options.Logger)}
	s.ctx, s.cut = context.WithCancel(context.Background())
	return s
}

// serve serves one connection until it ends. The goroutine stays in run for
// long: what needs more stack than that is in functions that return before.
func (s *serving) serve(nc net.Conn) {
	defer s.conns.Leave()
	if c, nc := s.begin(nc); c != nil {
		c.run(nc)
	}
}

// begin shakes hands over TLS, if there is any. It returns no connection if
// that fails.
func (s *serving) begin(nc net.Conn) (*connection, net.Conn) {
	c := &connection{serving: s, protocol: s.Protocol(), remote: adapter.RemoteOf(nc), secure: s.options.TLS != nil}
	if !c.secure {
		return c, nc
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.options.AuthTime)
	defer cancel()
	secure := s.options.Handshake(ctx, nc)
	if secure == nil {
		return nil, nil
	}
	state := secure.ConnectionState()
	c.shown = certificateOf(&state)
	return c, secure
}

// certificateOf returns what the client showed in the handshake, or nil.
func certificateOf(state *tls.ConnectionState) *auth.Certificate {
	if c, ok := auth.FromTLS(state); ok {
		return &c
	}
	return nil
}

// stop closes the connections as soon as they have nothing under way, and those
// that take longer than the drain time. It returns when all are gone.
func (s *serving) stop() {
	for _, c := range s.conns.Stop() {
		c.stop()
	}
	cut := time.AfterFunc(s.options.Drain, s.cut)
	s.conns.Wait()
	cut.Stop()
	s.cut()
}
