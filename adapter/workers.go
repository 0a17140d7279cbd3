package adapter

import (
	"net"
	"sync/atomic"
)

// Workers are goroutines that serve connections. Some of those that have served
// one wait for another: the stack of a new goroutine grows several times before
// it has let a client in, which costs more than much else that is done for one.
// They are for protocols whose connections have no goroutine while they are idle;
// one that stays with its connection would keep the larger stack.
type Workers struct {
	serve func(net.Conn)
	next  chan net.Conn // unbuffered; closed at the end
	spare atomic.Int32  // that wait
}

// maxSpare is how many goroutines wait for another connection.
const maxSpare = 64

// NewWorkers returns workers that serve connections by serve, until they are
// closed.
func NewWorkers(serve func(net.Conn)) *Workers {
	return &Workers{serve: serve, next: make(chan net.Conn)}
}

// Serve has a connection served, by a goroutine that waits if there is one, and
// returns at once.
func (w *Workers) Serve(nc net.Conn) {
	select {
	case w.next <- nc:
	default:
		go w.work(nc)
	}
}

// Close ends those that wait. Serve must not be called any more.
func (w *Workers) Close() { close(w.next) }

// work serves a connection, and then others.
func (w *Workers) work(nc net.Conn) {
	for ok := true; ok; {
		w.serve(nc)
		if w.spare.Add(1) > maxSpare {
			w.spare.Add(-1)
			return
		}
		nc, ok = <-w.next
		w.spare.Add(-1)
	}
}
