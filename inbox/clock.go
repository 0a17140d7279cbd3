package inbox

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse/engine"
)

// never is how long the clock sleeps if there is nothing to wake for.
const never = time.Hour

// runClock acts on the shard's deadlines until ctx is done.
func (sh *shard) runClock(ctx context.Context) {
	timer := time.NewTimer(never)
	defer timer.Stop()
	for {
		now := time.Now().UnixNano()
		sh.mu.Lock()
		expired := sh.due(now)
		sh.wakeAt = now + int64(never)
		if len(sh.timers) > 0 {
			sh.wakeAt = min(sh.wakeAt, sh.timers[0].at)
		}
		wake := sh.wakeAt
		sh.mu.Unlock()
		if len(expired) > 0 {
			sh.returnLocks(ctx, expired)
		}
		timer.Reset(max(time.Duration(wake-time.Now().UnixNano()), 0))
		select {
		case <-ctx.Done():
			return
		case <-sh.tick:
		case <-timer.C:
		}
	}
}

// due takes the timers that are due out of the heap and acts on them. It
// returns the locks that have expired, in state leaving.
func (sh *shard) due(now int64) (expired []*lock) {
	for len(sh.timers) > 0 && sh.timers[0].at <= now {
		t := sh.timers[0]
		sh.timers.remove(t)
		switch owner := t.owner.(type) {
		case *lock:
			owner.state = leaving
			expired = append(expired, owner)
		case *session:
			expired = append(expired, owner.end(true, now)...)
		case *hidden:
			owner.show(now)
		case *rescan:
			owner.run(now)
		}
	}
	return expired
}

// returnLocks counts the deliveries whose locks have expired and makes the
// messages available again, or has them dead-lettered.
func (sh *shard) returnLocks(ctx context.Context, locks []*lock) {
	if f := sh.set.opts.Events.LockExpired; f != nil {
		f(len(locks))
	}
	o := &op{sh: sh}
	o.Epoch = sh.queues.Epoch()
	sh.mu.Lock()
	for _, l := range locks {
		b := l.box
		switch p := &b.policy; {
		case b.closed:
			b.untake(l)
		case p.MaxDeliveries > 0 && int64(l.count) >= int64(p.MaxDeliveries) && !b.key.dead:
			sh.moves = append(sh.moves, move{lock: l, reason: ReasonMaxDeliveries, text: tooOften(l.count)})
			poke(sh.broom)
		default:
			m := b.marks[l.off]
			m.count = l.count
			o.State = append(o.State, engine.Row{Key: b.key.markRow(l.off), Value: m.value()})
			o.locks = append(o.locks, l)
		}
	}
	sh.mu.Unlock()
	if len(o.locks) == 0 {
		return
	}
	returned := o.locks
	o.apply = func(_ error, now int64) {
		// The count stands in memory even if it could not be stored.
		for _, l := range returned {
			m := l.box.marks[l.off]
			m.count = l.count
			l.box.setMark(l.off, m)
			l.box.restore(l, now)
		}
	}
	if err := o.write(ctx); err != nil {
		o.refuse(err)
	}
}
