package adapter_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gatehouse/gatehouse/adapter"

	"go.uber.org/goleak"
)

// TestWorkers serves more connections at a time than goroutines stay for the
// next ones, and as many again with those that stayed; none is left.
func TestWorkers(t *testing.T) {
	const n, rounds = 100, 3
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := adapter.NewConnections[net.Conn](2*n, slog.New(slog.DiscardHandler))
	var served atomic.Int64
	serve := func(nc net.Conn) {
		defer conns.Leave()
		_, _ = io.Copy(nc, nc) // until the client has closed
		served.Add(1)
		_ = nc.Close()
	}
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error)
	workers := adapter.NewWorkers(serve)
	go func() {
		err := conns.Accept(ctx, ln, workers.Serve)
		workers.Close()
		over <- err
	}()
	for range rounds {
		var all sync.WaitGroup
		ready := make(chan struct{}, n)
		leave := make(chan struct{})
		for range n {
			all.Go(func() { visit(t, ln.Addr().String(), ready, leave) })
		}
		for range n {
			<-ready
		}
		close(leave)
		all.Wait()
	}
	cancel()
	if err := <-over; err != nil {
		t.Error(err)
	}
	conns.Wait()
	if got := served.Load(); got != n*rounds {
		t.Errorf("%d connections were served, want %d", got, n*rounds)
	}
	goleak.VerifyNone(t)
}

// visit has a byte come back, and leaves with the others.
func visit(t *testing.T, address string, ready chan<- struct{}, leave <-chan struct{}) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		ready <- struct{}{}
		return
	}
	b := []byte{7}
	if _, err := c.Write(b); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(c, b); err != nil || b[0] != 7 {
		t.Errorf("%d came back, %v", b[0], err)
	}
	ready <- struct{}{}
	<-leave
	if _, err := io.ReadAll(closeWrite(c)); err != nil {
		t.Error(err)
	}
	_ = c.Close()
}

func closeWrite(c net.Conn) io.Reader {
	_ = c.(*net.TCPConn).CloseWrite() // reading tells
	return c
}
