package inbox

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// runSweeper does the shard's slow work until ctx is done: it moves what has
// expired or failed too often, makes room in full inboxes, and forgets inboxes
// that are no longer read.
func (sh *shard) runSweeper(ctx context.Context) {
	ticker := time.NewTicker(sh.set.opts.Sweep)
	defer ticker.Stop()
	var retry []move
	for {
		tick := false
		select {
		case <-ctx.Done():
			return
		case <-sh.broom:
		case <-ticker.C:
			tick = true
		}
		sh.mu.Lock()
		moves, trims, overdue := sh.moves, sh.trims, sh.overdue
		sh.moves, sh.overdue = nil, false
		if len(trims) > 0 {
			sh.trims = make(map[qkey]struct{})
		} else {
			trims = nil
		}
		if tick {
			sh.forgetIdle(time.Now().UnixNano())
		}
		sh.mu.Unlock()
		if tick {
			moves, retry = append(retry, moves...), nil
		}
		for len(moves) > 0 && ctx.Err() == nil {
			n := min(len(moves), maxMoves)
			retry = append(retry, sh.moveAll(ctx, moves[:n])...)
			moves = moves[n:]
		}
		for q := range trims {
			sh.report(ctx, "a full inbox cannot be trimmed", sh.trim(ctx, q))
		}
		if tick || overdue {
			sh.report(ctx, "expired messages cannot be looked for", sh.expire(ctx))
		}
	}
}

func (sh *shard) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		sh.set.opts.Logger.Warn(what, "shard", sh.id, "error", err)
	}
}

// expire moves what has expired. Messages under a lock are left until it ends.
func (sh *shard) expire(ctx context.Context) error {
	limit := maxMoves
	var refs []engine.Ref
	for ctx.Err() == nil {
		var err error
		now := time.Now()
		sh.mu.Lock()
		sh.vanished = make(map[engine.Ref]struct{})
		sh.mu.Unlock()
		refs, err = sh.queues.Expired(ctx, now.UnixNano(), limit, refs[:0])
		moves := sh.expired(refs)
		if failed := sh.moveAll(ctx, moves); len(failed) > 0 {
			sh.mu.Lock()
			for _, mv := range failed {
				mv.lock.box.untake(mv.lock)
			}
			sh.mu.Unlock()
			err = gatehouse.Errorf(gatehouse.Unavailable, "%d messages cannot be moved", len(failed))
		}
		if err != nil {
			return err
		}
		if len(refs) < limit {
			return nil
		}
		if len(moves) == 0 {
			limit *= 2 // all of them are under a lock: look behind them
		}
	}
	return nil
}

// expired takes the messages that may be moved.
func (sh *shard) expired(refs []engine.Ref) []move {
	moves := make([]move, 0, min(len(refs), maxMoves))
	sh.mu.Lock()
	for _, r := range refs {
		q, ok := parseQueue(r.Queue)
		_, gone := sh.vanished[engine.Ref{Queue: r.Queue, Offset: r.Offset}]
		if !ok || gone || len(moves) == maxMoves {
			continue
		}
		b := sh.hold(q)
		if l := b.withdraw(&entry{off: r.Offset, expires: r.Expires}); l != nil {
			moves = append(moves, move{
				lock: l, reason: ReasonExpired, drop: q.dead,
				text: "the message was not received before it expired at " + unixTime(r.Expires).Format(time.RFC3339),
			})
		}
		sh.drop(b)
	}
	sh.vanished = nil
	sh.mu.Unlock()
	for i := range moves {
		if mv := &moves[i]; !mv.drop {
			p := sh.set.policy(mv.lock.box.key.key())
			mv.drop = !p.DeadLetterExpired
		}
	}
	sh.sizes(moves)
	return moves
}

// sizes finds out the sizes of messages in inboxes whose usage is counted.
func (sh *shard) sizes(moves []move) {
	for i := range moves {
		l := moves[i].lock
		sh.mu.Lock()
		counted := sh.usages[l.box.key] != nil
		sh.mu.Unlock()
		if !counted {
			continue
		}
		if v, err := sh.queues.Get(sh.ctx, l.box.queue, l.off); err == nil {
			l.size = v.Size
		}
	}
}

// trim drops the oldest messages of an inbox until it is within its limits.
func (sh *shard) trim(ctx context.Context, q qkey) error {
	p := sh.set.policy(q.key())
	if p.OnFull != DropOldest || !p.quota() {
		return nil
	}
	u, err := sh.usage(ctx, q)
	if err != nil {
		return err
	}
	sh.mu.Lock()
	b := sh.hold(q)
	count, bytes := int(u.count), u.bytes
	sh.mu.Unlock()
	defer func() {
		sh.mu.Lock()
		u.drop()
		sh.leave(b)
	}()
	over := func() bool {
		return p.MaxMessages > 0 && count > p.MaxMessages || p.MaxBytes > 0 && bytes > p.MaxBytes
	}
	_, err = sh.withdrawAll(ctx, b, ReasonQuota, over, func(v *engine.Envelope) bool {
		count--
		bytes -= int64(v.Size)
		return true
	})
	return err
}

// withdrawAll drops the messages of b that want says, from the oldest on, as
// long as more says, and returns how many. Messages under a lock are left.
func (sh *shard) withdrawAll(ctx context.Context, b *box, reason string, more func() bool, want func(*engine.Envelope) bool) (n int, err error) {
	var page []engine.Envelope
	var after gatehouse.Offset
	for more() {
		sh.mu.Lock()
		b.reading++
		sh.mu.Unlock()
		page, err = sh.queues.Scan(ctx, b.queue, after, maxMoves, false, page[:0])
		moves := b.choose(page, more, want, reason)
		if len(page) > 0 {
			after = page[len(page)-1].Offset
		}
		if c, ok := errors.AsType[*engine.CorruptError](err); ok {
			sh.damaged(c)
			after, err = max(after, c.Offset), nil
		} else if len(page) == 0 || err != nil {
			return n, unavailableOrNil(err)
		}
		failed := sh.moveAll(ctx, moves)
		n += len(moves) - len(failed)
		if len(failed) > 0 {
			sh.mu.Lock()
			for _, mv := range failed {
				mv.lock.box.restore(mv.lock, time.Now().UnixNano())
			}
			sh.mu.Unlock()
			return n, gatehouse.Errorf(gatehouse.Unavailable, "messages of inbox %s cannot be removed now; try again shortly", b.queue)
		}
	}
	return n, nil
}

// choose takes those of a page that are to be dropped, and ends its reading.
func (b *box) choose(page []engine.Envelope, more func() bool, want func(*engine.Envelope) bool, reason string) (moves []move) {
	b.shard.mu.Lock()
	defer b.shard.mu.Unlock()
	defer b.read()
	for i := range page {
		v := &page[i]
		if !more() {
			break
		}
		if _, gone := b.gone[v.Offset]; gone || b.taken[v.Offset] != nil || !want(v) {
			continue
		}
		e := entry{off: v.Offset, size: int32(v.Size), enqueued: v.Enqueued, expires: v.Expires, notBefore: v.NotBefore}
		moves = append(moves, move{lock: b.withdraw(&e), reason: reason, drop: true})
	}
	return moves
}

func unavailableOrNil(err error) error {
	if err == nil {
		return nil
	}
	return unavailable(err)
}
