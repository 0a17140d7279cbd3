package amqp1

import "sync"

// A worker does things in the order they come, in a goroutine that exists only
// while there are any. It keeps callbacks of the connection from blocking.
type worker[T any] struct {
	do func([]T)

	mu      sync.Mutex
	queue   []T
	spare   []T
	running bool
}

// add queues a thing to do. c waits for the goroutine at its end.
func (w *worker[T]) add(c *connection, t T) {
	w.mu.Lock()
	w.queue = append(w.queue, t)
	start := !w.running
	w.running = true
	w.mu.Unlock()
	if start && !c.spawn(w.run) {
		w.mu.Lock() // the connection has ended: nothing is done any more
		w.queue, w.running = nil, false
		w.mu.Unlock()
	}
}

// run does what is queued until nothing is.
func (w *worker[T]) run() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) > 0 {
		batch := w.queue
		w.queue, w.spare = w.spare[:0], nil
		w.mu.Unlock()
		w.do(batch)
		clear(batch)
		w.mu.Lock()
		if cap(batch) <= maxSpare {
			w.spare = batch
		}
	}
	w.queue, w.spare, w.running = nil, nil, false
}

// maxSpare is how long a queue may be to be used again.
const maxSpare = 1024
