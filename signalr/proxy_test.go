package signalr

import (
	"io"
	"net"
	"sync"
	"testing"
)

// proxy passes TCP connections on to a server, and breaks them on demand.
type proxy struct {
	target   string
	listener net.Listener
	wait     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// newProxy starts a proxy, which ends with the test.
func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{target: target, listener: l, conns: map[net.Conn]bool{}}
	p.wait.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.wait.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		front, err := p.listener.Accept()
		if err != nil {
			return
		}
		back, err := net.Dial("tcp", p.target) //nolint:noctx // it is of this machine
		if err != nil {
			_ = front.Close()
			continue
		}
		p.mu.Lock()
		p.conns[front], p.conns[back] = true, true
		p.mu.Unlock()
		p.wait.Go(func() { p.pass(front, back) })
		p.wait.Go(func() { p.pass(back, front) })
	}
}

func (p *proxy) pass(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	_ = from.Close()
	_ = to.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, from)
}

// cut breaks all connections, and returns how many ends there were.
func (p *proxy) cut() (ends int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
	return len(p.conns)
}
