package mqttadapter

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
	running sync.WaitGroup // connections, and wills on their way

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
				go s.serve(nc)
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

// serve serves one connection until it ends.
func (s *serving) serve(nc net.Conn) {
	defer s.leave()
	c := &connection{serving: s, protocol: s.Protocol(), remote: remoteOf(nc), secure: s.options.TLS != nil}
	c.deadline = time.Now().Add(s.options.ConnectTime)
	if c.secure {
		nc = c.handshake(nc)
	}
	if nc != nil {
		c.run(nc)
	}
}

// handshake begins TLS; it returns nil if that fails.
func (c *connection) handshake(nc net.Conn) net.Conn {
	secure := tls.Server(nc, c.options.TLS)
	ctx, cancel := context.WithDeadline(c.ctx, c.deadline)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		c.options.Logger.Debug("TLS handshake failed", "remote", c.remote, "error", err)
		_ = nc.Close()
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

// stop ends the connections as soon as they have nothing under way, and those
// that take longer than the drain time. Wills that wait are sent. It returns
// when all are gone.
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
	cut := time.AfterFunc(s.options.Drain, s.cutOff)
	s.options.Sessions.hurry(s)
	s.running.Wait()
	cut.Stop()
	s.cut()
}

// stopping reports whether connections are told to stop.
func (s *serving) stopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// cutOff ends what is left.
func (s *serving) cutOff() {
	s.cut()
	s.mu.Lock()
	conns := make([]*connection, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.cutOff()
	}
}

func remoteOf(c net.Conn) netip.AddrPort {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
