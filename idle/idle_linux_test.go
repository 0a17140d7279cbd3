package idle

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// soon is longer than anything here takes.
const soon = time.Minute

// A sleeper counts how often it was told.
type sleeper struct {
	Place
	told chan struct{}
}

func newSleeper() *sleeper { return &sleeper{told: make(chan struct{}, 16)} }

func (s *sleeper) Awake() { s.told <- struct{}{} }

func (s *sleeper) wait(t *testing.T) {
	t.Helper()
	select {
	case <-s.told:
	case <-time.After(soon):
		t.Fatal("not told")
	}
}

func newWatcher(t *testing.T) *Watcher {
	t.Helper()
	w, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// pair returns both sides of a TCP connection.
func pair(t *testing.T) (server, client net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	if client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close(); _ = server.Close() })
	return server, client
}

// quiet checks that all that was told is known.
func (w *Watcher) quiet(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.places) != 0 || len(w.due) != 0 {
		t.Errorf("%d places and %d seconds are left", len(w.places), len(w.due))
	}
}

func (s *sleeper) silent(t *testing.T) {
	t.Helper()
	if len(s.told) != 0 {
		t.Error("told once more")
	}
}

func TestReadable(t *testing.T) {
	w, s := newWatcher(t), newSleeper()
	server, client := pair(t)
	for i := range 3 { // a place is used again
		if i == 2 { // it is there before it is watched for
			if _, err := client.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		if !w.Watch(&s.Place, server, time.Now().Add(soon), s) {
			t.Fatal("not watched")
		}
		if i < 2 {
			s.silent(t)
			if _, err := client.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		s.wait(t)
		if _, err := io.ReadFull(server, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		w.Wake(&s.Place) // nobody waits
		s.silent(t)
	}
	w.quiet(t)
}

// What comes while nobody watches is not told, nor lost.
func TestUnwatched(t *testing.T) {
	w, s := newWatcher(t), newSleeper()
	server, client := pair(t)
	for range 100 {
		if !w.Watch(&s.Place, server, time.Now().Add(soon), s) {
			t.Fatal("not watched")
		}
		if _, err := client.Write([]byte("xy")); err != nil {
			t.Fatal(err)
		}
		s.wait(t)
		if _, err := io.ReadFull(server, make([]byte, 2)); err != nil {
			t.Fatal(err)
		}
		s.silent(t)
	}
	w.quiet(t)
}

func TestClosedByPeer(t *testing.T) {
	w, s := newWatcher(t), newSleeper()
	server, client := pair(t)
	if !w.Watch(&s.Place, server, time.Now().Add(soon), s) {
		t.Fatal("not watched")
	}
	_ = client.Close()
	s.wait(t)
	w.quiet(t)
}

func TestDeadline(t *testing.T) {
	w := newWatcher(t)
	first, second := newSleeper(), newSleeper()
	one, _ := pair(t)
	other, _ := pair(t)
	begin := time.Now()
	for s, nc := range map[*sleeper]net.Conn{first: one, second: other} {
		if !w.Watch(&s.Place, nc, begin.Add(time.Second), s) {
			t.Fatal("not watched")
		}
	}
	first.wait(t)
	second.wait(t)
	if time.Since(begin) < time.Second {
		t.Error("too early")
	}
	w.quiet(t)
	if !w.Watch(&first.Place, one, begin, first) { // it was over long ago
		t.Fatal("not watched")
	}
	first.wait(t)
}

func TestWake(t *testing.T) {
	w := newWatcher(t)
	var all [3]*sleeper
	for i := range all { // due in the same second, or not
		all[i] = newSleeper()
		server, _ := pair(t)
		if !w.Watch(&all[i].Place, server, time.Now().Add(soon), all[i]) {
			t.Fatal("not watched")
		}
	}
	for _, i := range []int{1, 0, 2} {
		w.Wake(&all[i].Place)
		all[i].wait(t)
		w.Wake(&all[i].Place)
		all[i].silent(t)
	}
	w.quiet(t)
}

// A connection that was closed while it is watched does not stand in the way of
// the one that has its descriptor then.
func TestDescriptorIsUsedAgain(t *testing.T) {
	w := newWatcher(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	old, s := newSleeper(), newSleeper()
	server, _ := pair(t)
	if !w.Watch(&old.Place, server, time.Now().Add(soon), old) {
		t.Fatal("not watched")
	}
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	_ = server.Close()
	again, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if !w.Watch(&s.Place, again, time.Now().Add(soon), s) {
		t.Fatal("not watched")
	}
	if s.fd != old.fd {
		t.Skip("the system chose another descriptor")
	}
	w.Wake(&old.Place)
	old.wait(t)
	s.silent(t)
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	s.wait(t)
	w.quiet(t)
}

func TestTLS(t *testing.T) {
	w, s := newWatcher(t), newSleeper()
	raw, other := pair(t)
	site := httptest.NewTLSServer(nil)
	defer site.Close()
	serverConfig, clientConfig := site.TLS, site.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	clientConfig.ServerName = "example.com"
	server, client := tls.Server(raw, serverConfig), tls.Client(other, clientConfig)
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for range 3 {
		// All that has come whole is read.
		if err := server.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if n, err := server.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Fatal(n, err)
		}
		if !w.Watch(&s.Place, server, time.Now().Add(soon), s) {
			t.Fatal("not watched")
		}
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		s.wait(t)
		if err := server.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(server, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNotPossible(t *testing.T) {
	w, s := newWatcher(t), newSleeper()
	a, b := net.Pipe()
	defer func() { _ = a.Close(); _ = b.Close() }()
	if w.Watch(&s.Place, a, time.Now(), s) {
		t.Error("a pipe is watched")
	}
	server, _ := pair(t)
	_ = server.Close()
	if w.Watch(&s.Place, server, time.Now(), s) {
		t.Error("a closed connection is watched")
	}
	w.quiet(t)
}

func TestClose(t *testing.T) {
	w, err := New()
	if err != nil {
		t.Fatal(err)
	}
	s := newSleeper()
	server, _ := pair(t)
	if !w.Watch(&s.Place, server, time.Now().Add(soon), s) {
		t.Fatal("not watched")
	}
	w.Close()
	s.wait(t)
	w.quiet(t)
	if w.Watch(&s.Place, server, time.Now(), s) {
		t.Error("watched by a closed watcher")
	}
}

// chatty reads what there is whenever it is told, and has itself watched again.
type chatty struct {
	Place
	w    *Watcher
	nc   net.Conn
	read atomic.Int64
}

func (c *chatty) Awake() { go c.attend() }

func (c *chatty) attend() {
	b := make([]byte, 64)
	for {
		_ = c.nc.SetReadDeadline(time.Now().Add(time.Millisecond))
		n, err := c.nc.Read(b)
		c.read.Add(int64(n))
		if n == 0 && err != nil {
			break
		}
	}
	if c.read.Load() < messages {
		c.w.Watch(&c.Place, c.nc, time.Now().Add(soon), c)
	}
}

const messages = 300

// Many at a time, told of all that comes however it falls between reading and
// waiting.
func TestMany(t *testing.T) {
	w := newWatcher(t)
	const n = 300 // more than are taken at once
	var all [n]*chatty
	var clients [n]net.Conn
	for i := range all {
		server, client := pair(t)
		all[i], clients[i] = &chatty{w: w, nc: server}, client
		go all[i].attend()
	}
	for range messages {
		for _, c := range clients {
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
	}
	deadline := time.Now().Add(soon)
	for _, c := range all {
		for c.read.Load() < messages {
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d", c.read.Load(), messages)
			}
			<-time.After(time.Millisecond)
		}
	}
}
