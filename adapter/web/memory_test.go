package web

import (
	"bufio"
	"flag"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
)

var idle = flag.Int("idle", 1000, "connections of TestIdleMemory") //nolint:gochecknoglobals // a flag

// maxIdle is what an idle connection may cost in memory, with the little that
// its client costs here.
const maxIdle = 32 << 10

// TestIdleMemory holds connections that have handshaken and receive, and on
// which nothing comes.
func TestIdleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	for _, door := range []struct{ name, below, hello string }{
		{"WebSocket", "ws", `{"op":"credit","credit":16}`},
		{"SignalR", "signalr", "{\"protocol\":\"json\",\"version\":1}\x1e"},
	} {
		t.Run(door.name, func(t *testing.T) {
			s := newSite(t, Options{})
			token := s.both(receiver)
			s.raw(door.below, token, door.hello)
			before := inUse()
			for range *idle {
				s.raw(door.below, token, door.hello)
			}
			s.sessions(adaptertest.Receiver, *idle+1)
			each := (inUse() - before) / *idle
			t.Logf("%d bytes for each of %d connections", each, *idle)
			if each > maxIdle {
				t.Errorf("an idle connection costs %d bytes, more than %d", each, maxIdle)
			}
		})
	}
}

// inUse returns how many bytes of memory are in use.
func inUse() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// raw opens a WebSocket without a client of its own, which costs memory too, and
// says one text.
func (s *site) raw(below, token, text string) {
	s.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute)) // its error would show below
	r, err := http.NewRequest(http.MethodGet, s.url("endpoints", receiver, below, "access_token", token), nil)
	if err != nil {
		s.Fatal(err)
	}
	r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}}
	if err := r.Write(c); err != nil {
		s.Fatal(err)
	}
	answer := bufio.NewReaderSize(c, 16)
	for {
		line, err := answer.ReadString('\n')
		if err != nil {
			s.Fatal(err)
		}
		if strings.HasPrefix(line, "HTTP/1.1 ") && !strings.HasPrefix(line, "HTTP/1.1 101") {
			s.Fatal(line)
		}
		if line == "\r\n" {
			break
		}
	}
	frame := append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...) // a text, masked with zeros
	if _, err := c.Write(frame); err != nil {
		s.Fatal(err)
	}
	if _, err := io.ReadFull(answer, make([]byte, 2)); err != nil { // the gateway says something
		s.Fatal(err)
	}
}
