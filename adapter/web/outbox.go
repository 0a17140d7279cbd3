package web

import (
	"context"
	"sync"
)

// An outbox writes texts to a client, one after the other, in a goroutine that
// exists while there is something to write.
type outbox struct {
	write func([]byte) error // the outbox is closed by its first error

	mu      sync.Mutex
	queue   [][]byte
	bytes   int
	writing bool
	closed  bool
	room    chan struct{} // closed when something was written; nil: nobody waits
	idle    sync.WaitGroup
}

// put has a text written. It returns false if the outbox is closed.
func (o *outbox) put(text []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	o.queue = append(o.queue, text)
	o.bytes += len(text)
	if !o.writing {
		o.writing = true
		o.idle.Go(o.run)
	}
	return true
}

// run writes what there is.
func (o *outbox) run() {
	for {
		o.mu.Lock()
		if len(o.queue) == 0 {
			o.writing, o.queue = false, nil
			o.mu.Unlock()
			return
		}
		text := o.queue[0]
		o.queue[0] = nil
		o.queue = o.queue[1:]
		o.mu.Unlock()
		if o.write(text) != nil {
			o.close()
		} else {
			o.wrote(len(text))
		}
	}
}

func (o *outbox) wrote(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes -= n
	o.wake()
}

// wake lets those look who wait; o.mu is held.
func (o *outbox) wake() {
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// wait waits until no more than the given number of bytes are to be written. It
// returns false if the outbox is closed, or ctx done.
func (o *outbox) wait(ctx context.Context, bytes int) bool {
	for {
		o.mu.Lock()
		if o.closed || o.bytes <= bytes {
			closed := o.closed
			o.mu.Unlock()
			return !closed
		}
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return false
		}
	}
}

// drop drops what was put and is not being written yet.
func (o *outbox) drop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, text := range o.queue {
		o.bytes -= len(text)
	}
	o.queue = nil
	o.wake()
}

// close drops what was not written, and all that comes.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed, o.queue, o.bytes = true, nil, 0
	o.wake()
}
