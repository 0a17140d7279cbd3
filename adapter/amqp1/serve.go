package amqp1

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/gate"
)

// Serve serves ln until ctx is done: see adapter.Adapter.
func (a *Adapter) Serve(ctx context.Context, ln net.Listener, g *gate.Gate) error {
	s := newServing(a, g)
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() }) // Accept says what comes of it
	err := s.accept(ln)
	stop()
	_ = ln.Close()
	if ctx.Err() != nil {
		err = nil
	}
	s.stop()
	return err
}

// A serving is the connections of one listener.
type serving struct {
	*Adapter
	gate    *gate.Gate
	ctx     context.Context // ends what is left once the drain time is over
	cut     context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	stopped bool
	conns   map[*connection]struct{}
	count   int
	surplus int       // turned away since the last report
	told    time.Time // when that was
}

func newServing(a *Adapter, g *gate.Gate) *serving {
	s := &serving{Adapter: a, gate: g, conns: make(map[*connection]struct{})}
	s.ctx, s.cut = context.WithCancel(context.Background())
	return s
}

// How Accept is tried again after an error that may pass, such as too many
// open files.
const (
	minPause = 5 * time.Millisecond
	maxPause = time.Second
)

// accept hands out connections until the listener fails.
func (s *serving) accept(ln net.Listener) error {
	pause := minPause
	for {
		nc, err := ln.Accept()
		if err == nil {
			pause = minPause
			if s.admit() {
				go func() {
					defer s.leave()
					s.serve(nc)
				}()
			} else {
				_ = nc.Close() // nothing was said on it
			}
			continue
		}
		var passing interface{ Temporary() bool }
		if !errors.As(err, &passing) || !passing.Temporary() || errors.Is(err, net.ErrClosed) {
			return err
		}
		s.options.Logger.Warn("a connection could not be accepted; trying again", "error", err)
		time.Sleep(pause)
		pause = min(2*pause, maxPause)
	}
}

// reportEvery bounds how often a full listener is logged.
const reportEvery = 10 * time.Second

// admit reports whether there is room for a connection, which then must leave.
func (s *serving) admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	if s.count < s.options.Connections {
		s.count++
		s.running.Add(1)
		return true
	}
	s.surplus++
	if now := time.Now(); now.Sub(s.told) >= reportEvery {
		s.options.Logger.Warn("connections refused: the listener has as many as it may", "limit", s.options.Connections, "refused", s.surplus)
		s.told, s.surplus = now, 0
	}
	return false
}

func (s *serving) leave() {
	s.mu.Lock()
	s.count--
	s.mu.Unlock()
	s.running.Done()
}

// serve serves one connection until it ends. The goroutine stays in run for
// long: what needs more stack than that is in functions that return before.
func (s *serving) serve(nc net.Conn) {
	if c, nc := s.begin(nc); c != nil {
		c.run(nc)
	}
}

// begin shakes hands over TLS, if there is any. It returns no connection if
// that fails.
func (s *serving) begin(nc net.Conn) (*connection, net.Conn) {
	c := &connection{serving: s, protocol: s.Protocol(), remote: remoteOf(nc), secure: s.options.TLS != nil}
	if !c.secure {
		return c, nc
	}
	secure := tls.Server(nc, s.options.TLS)
	ctx, cancel := context.WithTimeout(s.ctx, s.options.AuthTime)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		s.options.Logger.Debug("TLS handshake failed", "remote", c.remote, "error", err)
		_ = nc.Close()
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

// enter adds a connection to those that are told to stop; false if that has
// happened already.
func (s *serving) enter(c *connection) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *serving) exit(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// stop closes the connections as soon as they have nothing under way, and those
// that take longer than the drain time. It returns when all are gone.
func (s *serving) stop() {
	s.mu.Lock()
	s.stopped = true
	conns := make([]*connection, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.stop()
	}
	cut := time.AfterFunc(s.options.Drain, s.cut)
	s.running.Wait()
	cut.Stop()
	s.cut()
}

func remoteOf(c net.Conn) netip.AddrPort {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
