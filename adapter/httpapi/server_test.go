package httpapi

import (
	"bufio"
	"context"
	"crypto/tls"
	"flag"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/gate"
)

// A countingListener tells when the n-th connection was accepted.
type countingListener struct {
	net.Listener
	left atomic.Int64
	all  chan struct{}
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil && l.left.Add(-1) == 0 {
		close(l.all)
	}
	return c, err
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// serve runs an adapter until the test ends, or the returned function is
// called, which waits for it.
func serve(t testing.TB, ln net.Listener, o Options, g *gate.Gate) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- New(o).Serve(ctx, ln, g) }()
	var stopped atomic.Bool
	stop = func() {
		if stopped.Swap(true) {
			return
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func get(t *testing.T, method, url string, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	w, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Body.Close() })
	return w
}

func TestUnknownAddress(t *testing.T) {
	t.Parallel()
	ln := listen(t)
	serve(t, ln, Options{}, nil)
	for _, path := range []string{"/", "/acme", "/acme/nothing/x/messages", "/acme/revokedpublishers", "/acme/revokedpublishers/x"} {
		w := get(t, http.MethodPost, "http://"+ln.Addr().String()+path)
		body, _ := io.ReadAll(w.Body)
		if w.StatusCode != http.StatusNotFound || w.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(string(body), `"kind":"NotFound"`) {
			t.Errorf("%s: %d %s", path, w.StatusCode, body)
		}
	}
}

func TestMethodNotAllowed(t *testing.T) {
	t.Parallel()
	ln := listen(t)
	serve(t, ln, Options{}, nil)
	for _, method := range []string{"GET", "HEAD", "PUT", "TRACE", "post"} {
		w := get(t, method, "http://"+ln.Addr().String()+"/acme/inboxes/p/messages/head")
		if w.StatusCode != http.StatusMethodNotAllowed || w.Header.Get("Allow") != "POST, DELETE, OPTIONS" {
			t.Errorf("%s: %d, Allow %q", method, w.StatusCode, w.Header.Get("Allow"))
		}
	}
}

func TestHeaderLimit(t *testing.T) {
	t.Parallel()
	ln := listen(t)
	serve(t, ln, Options{MaxHeader: 8 << 10}, nil)
	w := get(t, "POST", "http://"+ln.Addr().String()+"/acme/publishers/p/messages", "X-Long", strings.Repeat("x", 64<<10))
	if w.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%d", w.StatusCode)
	}
}

func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	ln := listen(t)
	var o Options
	o.Connections = 1
	serve(t, ln, o, nil)
	first, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	answer := func(c net.Conn) (*http.Response, error) {
		if _, err := io.WriteString(c, "OPTIONS /acme/inboxes/p/messages HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return nil, err
		}
		return http.ReadResponse(bufio.NewReader(c), nil)
	}
	if w, err := answer(first); err != nil || w.StatusCode != http.StatusNoContent {
		t.Fatalf("%v, %v", w, err)
	}
	second, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if w, err := answer(second); err == nil {
		t.Fatalf("a connection over the limit is answered %d", w.StatusCode)
	}
	// The place is free again once the first is gone, which the server learns
	// in its own time.
	first.Close()
	for {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		w, err := answer(c)
		c.Close()
		if err == nil && w.StatusCode == http.StatusNoContent {
			return
		}
	}
}

func TestProtocols(t *testing.T) {
	t.Parallel()
	server, client := adaptertest.TLS(t)
	secure, plain := listen(t), listen(t)
	o := Options{H2C: true}
	serve(t, plain, o, nil)
	o.TLS = server
	serve(t, secure, o, nil)
	for _, c := range []struct {
		name, url string
		set       func(*http.Protocols)
		major     int
	}{
		{"https 1.1", "https://" + secure.Addr().String(), func(p *http.Protocols) { p.SetHTTP1(true) }, 1},
		{"https 2", "https://" + secure.Addr().String(), func(p *http.Protocols) { p.SetHTTP2(true) }, 2},
		{"http 1.1", "http://" + plain.Addr().String(), func(p *http.Protocols) { p.SetHTTP1(true) }, 1},
		{"h2c", "http://" + plain.Addr().String(), func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			protocols := new(http.Protocols)
			c.set(protocols)
			transport := &http.Transport{TLSClientConfig: client.Clone(), Protocols: protocols}
			defer transport.CloseIdleConnections()
			w, err := (&http.Client{Transport: transport}).Get(c.url + "/acme/publishers/p/messages")
			if err != nil {
				t.Fatal(err)
			}
			defer w.Body.Close()
			if w.StatusCode != http.StatusMethodNotAllowed || w.ProtoMajor != c.major {
				t.Errorf("%d over %s", w.StatusCode, w.Proto)
			}
		})
	}
}

// silentConnections is how many connections TestSilentConnections opens.
var silentConnections = flag.Int("silent", 300, "connections that say nothing in TestSilentConnections")

// maxSilent bounds the memory of a connection that says nothing: buffers and
// the stack of its goroutine, on the side of the server, together with what
// the client in the same process takes.
const maxSilent = 32 << 10

// TestSilentConnections opens many connections that say nothing, or stop in
// the middle, and waits until the server has dropped all of them.
func TestSilentConnections(t *testing.T) {
	server, _ := adaptertest.TLS(t)
	for _, c := range []struct {
		name, say string
		tls       bool
	}{
		{"plain", "", false},
		{"plain, half a request", "POST /acme/publishers/p/messages HTTP/1.1\r\nHost: x\r\nX-A: ", false},
		{"TLS", "", true},
		{"TLS, half a handshake", "\x16\x03\x01\x02\x00\x01", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := *silentConnections
			ln := &countingListener{Listener: listen(t), all: make(chan struct{})}
			ln.left.Store(int64(n))
			o := Options{HeaderTime: time.Second + time.Duration(n)*time.Millisecond}
			if c.tls {
				o.TLS = server
			}
			serve(t, ln, o, nil)
			before := heapInUse()
			connections := make([]net.Conn, n)
			for i := range connections {
				conn, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if _, err := io.WriteString(conn, c.say); err != nil {
					t.Fatal(err)
				}
				connections[i] = conn
			}
			<-ln.all
			each := (heapInUse() - before) / int64(n)
			t.Logf("%d connections, %d bytes each", n, each)
			if each > maxSilent {
				t.Errorf("a silent connection costs %d bytes, more than %d", each, maxSilent)
			}
			for _, conn := range connections {
				// Whatever the server says at the end, it ends.
				_, _ = io.Copy(io.Discard, conn)
			}
		})
	}
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// TestStopWithSilentConnection says that a connection that never spoke does
// not hold up the end.
func TestStopWithSilentConnection(t *testing.T) {
	t.Parallel()
	ln := &countingListener{Listener: listen(t), all: make(chan struct{})}
	ln.left.Store(1)
	var o Options
	o.Drain = time.Hour
	o.HeaderTime = time.Hour
	stop := serve(t, ln, o, nil)
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	<-ln.all
	stop()
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes", n)
	}
}

func TestTLSVersion(t *testing.T) {
	t.Parallel()
	server, client := adaptertest.TLS(t)
	ln := listen(t)
	var o Options
	o.TLS = server
	serve(t, ln, o, nil)
	client.MinVersion, client.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if c, err := tls.Dial("tcp", ln.Addr().String(), client); err == nil {
		c.Close()
		t.Error("TLS 1.1 is taken")
	}
}
