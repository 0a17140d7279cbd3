package bench

import (
	"sync"
	"sync/atomic"
	"time"
)

// A window is what a publisher has in flight. It may send while fewer than so
// many messages are unacknowledged, and as the server permits. Messages are
// numbered from 0.
type window struct {
	size    uint64 // most that may be unacknowledged
	backlog uint64 // most that were sent and not received by whom they are for; 0: no matter

	mu        sync.Mutex
	turn      sync.Cond
	permitted uint64 // the number of the first message the server does not permit yet
	sent      uint64
	acked     uint64
	received  uint64
	err       error

	times     []time.Time // when messages were sent, by number; nil if not wanted
	latencies []time.Duration
}

func newWindow(size int) *window {
	w := &window{size: uint64(size)}
	w.turn.L = &w.mu
	return w
}

// take waits until messages may be sent, and returns the number of the first
// and how many, at most limit.
func (w *window) take(limit int) (first uint64, n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		end := min(w.acked+w.size, w.permitted, w.sent+uint64(limit))
		if w.backlog > 0 {
			end = min(end, w.received+w.backlog)
		}
		if w.err != nil || end > w.sent {
			first, n, w.sent = w.sent, int(end-w.sent), max(end, w.sent)
			break
		}
		w.turn.Wait()
	}
	if w.err != nil {
		return 0, 0, w.err
	}
	if w.times != nil {
		now := time.Now()
		for i := range n {
			w.times[(first+uint64(i))%uint64(len(w.times))] = now
		}
	}
	return first, n, nil
}

// permit says that the server permits messages before number end.
func (w *window) permit(end uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.permitted = end
	w.turn.Broadcast()
}

// acknowledge says that n messages from number first on were acknowledged.
func (w *window) acknowledge(first uint64, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked += uint64(n)
	if w.times != nil {
		now := time.Now()
		for i := range n {
			w.latencies = append(w.latencies, now.Sub(w.times[(first+uint64(i))%uint64(len(w.times))]))
		}
	}
	w.turn.Broadcast()
}

// receive says that n messages were received by whom they are for.
func (w *window) receive(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.received += uint64(n)
	w.turn.Broadcast()
}

// fail ends all waiting.
func (w *window) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	w.turn.Broadcast()
}

// settle waits until all that was sent is acknowledged, and received if that
// matters.
func (w *window) settle() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.err == nil && (w.acked < w.sent || w.backlog > 0 && w.received < w.sent) {
		w.turn.Wait()
	}
	return w.err
}

// maxWrite is how many messages are written at once.
const maxWrite = 256

// pump has p send as much as the window allows until it is told to stop and
// all is settled.
func (w *window) pump(p publisher, stop *atomic.Bool) error {
	for !stop.Load() {
		first, n, err := w.take(maxWrite)
		if err != nil {
			return err
		}
		if err := p.write(first, n); err != nil {
			return err
		}
	}
	return w.settle()
}

// pace has p send one message each so often, from begin on, however long
// those before take.
func (w *window) pace(p publisher, begin time.Time, every time.Duration, stop *atomic.Bool) error {
	for due := begin; !stop.Load(); due = due.Add(every) {
		time.Sleep(time.Until(due))
		first, n, err := w.take(1)
		if err != nil {
			return err
		}
		if err := p.write(first, n); err != nil {
			return err
		}
	}
	return w.settle()
}
