package signalr

import (
	"bufio"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// idle opens a WebSocket by hand, without a goroutine for it, shakes hands, and
// leaves it.
func idle(t testing.TB, address string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	payload := []byte(strings.ReplaceAll(hello, "|", "\x1e") + `{"type":6}` + "\x1e")
	frame := append([]byte{0x81, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...) //nolint:gosec // short
	_, err = c.Write(append([]byte("GET /hub HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"), frame...))
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReaderSize(c, 1024)
	answer, err := http.ReadResponse(r, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(answer, err)
	}
	want := "\x81\x03{}\x1e"
	got := make([]byte, len(want))
	for n := 0; n < len(want); {
		m, err := r.Read(got[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += m
	}
	if string(got) != want {
		t.Fatalf("%q", got)
	}
	return c
}

// inUse returns how much memory there is in heap and stacks.
func inUse() uint64 {
	var m runtime.MemStats
	for range 3 { // stacks shrink and finalizers run by and by
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// TestIdleConnections holds that an idle WebSocket is cheap. The other ends of
// the connections are counted too. IDLE says how many.
func TestIdleConnections(t *testing.T) { //nolint:paralleltest // it measures memory
	n := 1000
	if s := os.Getenv("IDLE"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	h := &hub{}
	server, address := serve(t, h, Options{KeepAlive: time.Hour, ClientTimeout: time.Hour})
	address = strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/hub")
	conns := []net.Conn{idle(t, address)}
	before, routines := inUse(), runtime.NumGoroutine()
	for range n {
		conns = append(conns, idle(t, address))
	}
	h.await(t, "connected", func() bool { return len(h.conns) == n+1 })
	each := (inUse() - before) / uint64(n)
	t.Logf("%d connections: %d bytes and %.2f goroutines each", n, each, float64(runtime.NumGoroutine()-routines)/float64(n))
	if each > 20<<10 {
		t.Errorf("an idle connection takes %d bytes", each)
	}
	if server.Len() != n+1 {
		t.Errorf("%d connections", server.Len())
	}
	for _, c := range conns {
		_ = c.Close()
	}
	h.await(t, "closed", func() bool { return len(h.closed) == n+1 })
}
