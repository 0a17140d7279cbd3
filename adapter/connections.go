package adapter

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Connections are those of one listener, or of one path of one: they are let in
// up to a limit, told to stop, and waited for. C is what an adapter has for a
// connection. Methods are safe for concurrent use.
type Connections[C comparable] struct {
	limit   int
	logger  *slog.Logger
	running sync.WaitGroup

	mu      sync.Mutex
	stopped bool
	entered map[C]struct{}
	count   int
	surplus int       // turned away since the last report
	told    time.Time // when that was
}

// NewConnections lets so many connections in at a time. logger is told when
// there are more.
func NewConnections[C comparable](limit int, logger *slog.Logger) *Connections[C] {
	return &Connections[C]{limit: limit, logger: logger, entered: make(map[C]struct{})}
}

// reportEvery bounds how often a full listener is logged.
const reportEvery = 10 * time.Second

// Admit reports whether there is room for a connection, which then must leave.
// There is none once Stop was called.
func (s *Connections[C]) Admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	if s.count < s.limit {
		s.count++
		s.running.Add(1)
		return true
	}
	s.surplus++
	if now := time.Now(); now.Sub(s.told) >= reportEvery {
		s.logger.Warn("connections refused: the listener has as many as it may", "limit", s.limit, "refused", s.surplus)
		s.told, s.surplus = now, 0
	}
	return false
}

// Leave gives the room of a connection back.
func (s *Connections[C]) Leave() {
	s.mu.Lock()
	s.count--
	s.mu.Unlock()
	s.running.Done()
}

// Len returns how many were admitted and have not left.
func (s *Connections[C]) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// Enter adds a connection to those that are told to stop; false if that has
// happened already.
func (s *Connections[C]) Enter(c C) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.entered[c] = struct{}{}
	return true
}

// Exit takes a connection out of those that are told to stop.
func (s *Connections[C]) Exit(c C) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entered, c)
}

// Stop lets none in any more, and returns those that have entered and not
// exited.
func (s *Connections[C]) Stop() []C {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	return slices.Collect(maps.Keys(s.entered))
}

// Stopped reports whether Stop was called.
func (s *Connections[C]) Stopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// Wait returns when all that were admitted have left.
func (s *Connections[C]) Wait() { s.running.Wait() }

// How Accept is tried again after an error that may pass, such as too many
// open files.
const (
	minPause = 5 * time.Millisecond
	maxPause = time.Second
)

// Accept hands out connections until ctx is done, when it returns nil, or the
// listener fails. It closes the listener. begin must have each served by another
// goroutine, and it must leave when it is over. Those there is no room for are
// closed: nothing was said on them.
func (s *Connections[C]) Accept(ctx context.Context, ln net.Listener, begin func(net.Conn)) error {
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() }) // Accept says what comes of it
	err := s.accept(ln, begin)
	stop()
	_ = ln.Close()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *Connections[C]) accept(ln net.Listener, begin func(net.Conn)) error {
	pause := minPause
	for {
		nc, err := ln.Accept()
		if err == nil {
			pause = minPause
			if s.Admit() {
				begin(nc)
			} else {
				_ = nc.Close()
			}
			continue
		}
		var passing interface{ Temporary() bool }
		if !errors.As(err, &passing) || !passing.Temporary() || errors.Is(err, net.ErrClosed) {
			return err
		}
		s.logger.Warn("a connection could not be accepted; trying again", "error", err)
		time.Sleep(pause)
		pause = min(2*pause, maxPause)
	}
}

// Handshake begins TLS on a connection that a listener has accepted. If that
// fails before ctx is done it is logged, the connection is closed, and the
// result is nil.
func (o *Options) Handshake(ctx context.Context, nc net.Conn) *tls.Conn {
	secure := tls.Server(nc, o.TLS)
	if err := secure.HandshakeContext(ctx); err != nil {
		o.Logger.Debug("TLS handshake failed", "remote", RemoteOf(nc), "error", err)
		_ = nc.Close()
		return nil
	}
	return secure
}

// RemoteOf returns the address of the other side of a connection, or the zero
// AddrPort if it is none of TCP.
func RemoteOf(c net.Conn) netip.AddrPort {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return unmapped(a.AddrPort())
	}
	return netip.AddrPort{}
}

// RemoteOfRequest returns the address that a request came from, or the zero
// AddrPort if it is none of TCP.
func RemoteOfRequest(r *http.Request) netip.AddrPort {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.AddrPort{}
	}
	return unmapped(at)
}

func unmapped(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
