package inbox

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse/engine"
)

// Purge removes the messages of an inbox that were put before a time, or all
// if it is zero, and returns how many: also those deferred and scheduled, but
// not those under a lock. It reads the envelopes of the inbox. They are not counted as
// dropped. If it fails, some may be gone.
func (s *Set) Purge(ctx context.Context, k Key, before time.Time) (int, error) {
	q := k.fold()
	sh := s.shardOf(q)
	b, err := sh.enter(ctx, q)
	if err != nil {
		return 0, err
	}
	sh.mu.Unlock()
	defer func() {
		sh.mu.Lock()
		sh.leave(b)
	}()
	limit := before.UnixNano()
	more := true
	return sh.withdrawAll(ctx, b, "", func() bool { return more }, func(v *engine.Envelope) bool {
		more = before.IsZero() || v.Enqueued < limit
		return more
	})
}

// Delete removes everything of an inbox, with its dead letters and the states
// of its groups, for when its endpoint is deleted; k.Dead makes no difference.
// Those who wait at it fail with NotFound, and locks are lost. It ends when
// that is durable.
func (s *Set) Delete(ctx context.Context, k Key) error {
	q := k.fold()
	q.dead = false
	sh := s.shardOf(q)
	sh.mu.Lock()
	running := sh.running
	sh.mu.Unlock()
	if !running {
		return errNotRunning
	}
	o := &op{sh: sh}
	o.Epoch = sh.queues.Epoch()
	o.ClearQueues = []string{q.queue(), q.deadLetters().queue()}
	o.Clear = []string{q.statePrefix()}
	forget := func() {
		for _, q := range [...]qkey{q, q.deadLetters()} {
			if b := sh.boxes[q]; b != nil {
				sh.close(b, errDeleted)
			}
		}
		delete(sh.usages, q)
	}
	// What comes after this in the order of commits is not of the deleted
	// inbox; what was begun before must not leave rows behind.
	o.admit = func() error { forget(); return nil }
	o.apply = func(error, int64) { forget() }
	return o.do(ctx)
}
