package inbox

import (
	"context"
	"time"
)

// A Waiting is a receive whose caller does not wait in a goroutine: see
// Set.ReceiveLater.
type Waiting struct {
	waiter
	set  *Set
	box  *box
	give func([]*Delivery, error)
}

// ReceiveLater is Receive for a caller that has nothing to do until messages
// come: it returns at once, and give is called, in a goroutine of its own, with
// what Receive would return. It does so once, unless the Waiting is cancelled
// before. While it waits it costs a few hundred bytes and no goroutine. ctx is
// only for what must be read to begin. Delete, NoWait and Session have no
// meaning here.
func (s *Set) ReceiveLater(ctx context.Context, k Key, o ReceiveOptions, give func([]*Delivery, error)) (*Waiting, error) {
	q := k.fold()
	sh := s.shardOf(q)
	policy := s.policy(k)
	b, err := sh.enter(ctx, q)
	if err != nil {
		return nil, err
	}
	b.policy = policy
	w := &Waiting{set: s, box: b, give: give}
	w.max, w.lock, w.later = min(max(o.Max, 1), maxReceive), lockLength(o.Lock, policy.Lock), w
	b.feed.wait(&w.waiter)
	b.feed.serve(time.Now().UnixNano())
	sh.mu.Unlock()
	return w, nil
}

// served gives the messages to the receiver.
func (w *Waiting) served() {
	sh := w.box.shard
	sh.mu.Lock()
	sh.leave(w.box)
	if f := w.set.opts.Events.Taken; f != nil && len(w.got) > 0 {
		f(len(w.got))
	}
	w.give(w.got, w.err)
}

// Cancel ends the waiting. It reports whether it did so before messages came:
// if not, they were or are about to be given, and are locked.
func (w *Waiting) Cancel() bool {
	sh := w.box.shard
	sh.mu.Lock()
	if !w.waiting {
		sh.mu.Unlock()
		return false
	}
	w.leave()
	sh.leave(w.box)
	return true
}
