package inbox

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// maxReceive is how many messages one call may ask for.
const maxReceive = 1024

// Receive takes messages from an inbox: up to o.Max that are available, at
// least one. If there is none it waits until one comes, in turn with other
// receivers, or ctx is done, and then fails with the cause of ctx: a caller
// that polls for a while treats context.DeadlineExceeded as no messages. With
// o.NoWait it returns no messages and no error instead of waiting.
//
// If messages were taken before ctx was done they are returned without an
// error; the caller must settle them or let their locks expire. Received with
// o.Delete they are gone durably, and not returned if that could not be done.
//
// Other errors: LockLost if the session has ended; NotFound if the inbox is
// deleted meanwhile; Unavailable.
func (s *Set) Receive(ctx context.Context, k Key, o ReceiveOptions) ([]*Delivery, error) {
	q := k.fold()
	sh := s.shardOf(q)
	policy := s.policy(k)
	b, err := sh.enter(ctx, q)
	if err != nil {
		return nil, err
	}
	b.policy = policy
	f := &b.feed
	now := time.Now().UnixNano()
	if o.Session != nil {
		session, err := b.session(o.Session, now)
		if err != nil {
			sh.leave(b)
			return nil, err
		}
		f = &session.feed
	}
	w := s.waiters.Get().(*waiter)
	*w = waiter{
		max: min(max(o.Max, 1), maxReceive), lock: lockLength(o.Lock, policy.Lock),
		remove: o.Delete, noWait: o.NoWait, done: w.done,
	}
	f.wait(w)
	f.serveHere(w, now)
	if w.waiting {
		sh.mu.Unlock()
		w.await(ctx, sh)
		sh.mu.Lock()
	} else {
		<-w.done
	}
	sh.leave(b)
	got, err := w.got, w.err
	if len(w.locks) > 0 {
		err = b.removeAll(ctx, w.locks)
		if err != nil {
			got = nil
		}
	}
	*w = waiter{done: w.done}
	s.waiters.Put(w)
	if f := s.opts.Events.Taken; f != nil && len(got) > 0 {
		f(len(got))
	}
	return got, err
}

func lockLength(asked, usual time.Duration) time.Duration {
	if asked <= 0 {
		return usual
	}
	return min(asked, MaxLock)
}

// await waits until w is served or ctx is done.
func (w *waiter) await(ctx context.Context, sh *shard) {
	select {
	case <-w.done:
		return
	case <-ctx.Done():
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if !w.waiting {
		<-w.done
		return
	}
	w.leave()
	w.err = context.Cause(ctx)
}

// removeAll removes messages that were taken for it.
func (b *box) removeAll(ctx context.Context, locks []*lock) error {
	o := &op{sh: b.shard}
	o.Epoch = b.shard.queues.Epoch()
	b.shard.mu.Lock()
	for _, l := range locks {
		o.Remove = append(o.Remove, l.ref())
		o.State = b.rowsOfRemoved(o.State, l.off)
	}
	b.shard.mu.Unlock()
	o.apply = func(err error, now int64) {
		for _, l := range locks {
			if err == nil {
				b.removed(l)
			} else {
				b.restore(l, now)
			}
		}
	}
	return o.do(ctx)
}

// ReceiveDeferred takes deferred messages by their sequence numbers: all of
// them, or none and an error, which is NotFound if one is not there or not
// deferred, and Conflict if one is locked. They are locked or, with o.Delete,
// removed as by Receive; abandoned or released they stay deferred. o.Max and
// o.NoWait have no meaning here.
func (s *Set) ReceiveDeferred(ctx context.Context, k Key, o ReceiveOptions, sequences ...gatehouse.Offset) ([]*Delivery, error) {
	q := k.fold()
	sh := s.shardOf(q)
	policy := s.policy(k)
	b, err := sh.enter(ctx, q)
	if err != nil {
		return nil, err
	}
	b.policy = policy
	locks, err := b.takeDeferred(sequences)
	sh.mu.Unlock()
	var got []*Delivery
	if err == nil {
		got, err = b.readDeferred(ctx, locks, o.Session)
	}
	sh.mu.Lock()
	now := time.Now().UnixNano()
	for i, l := range locks {
		switch {
		case err != nil:
			b.untake(l)
		case !o.Delete:
			b.lock(l, nil, lockLength(o.Lock, policy.Lock), now)
			got[i].Lock, got[i].LockedUntil = l.token, unixTime(l.until())
		}
	}
	sh.leave(b)
	if err == nil && o.Delete {
		err = b.removeAll(ctx, locks)
	}
	if err != nil {
		return nil, err
	}
	if f := s.opts.Events.Taken; f != nil {
		f(len(got))
	}
	return got, nil
}

// takeDeferred takes all messages, or none and the reason.
func (b *box) takeDeferred(sequences []gatehouse.Offset) (locks []*lock, err error) {
	for _, o := range sequences {
		switch {
		case !b.marks[o].deferred:
			err = gatehouse.Errorf(gatehouse.NotFound, "inbox %s has no deferred message %d", b.queue, o)
		case b.taken[o] != nil:
			err = gatehouse.Errorf(gatehouse.Conflict, "deferred message %d of inbox %s is locked by another receiver", o, b.queue)
		}
		if err != nil {
			for _, l := range locks {
				b.untake(l)
			}
			return nil, err
		}
		locks = append(locks, b.take(&entry{off: o}, leaving))
	}
	return locks, nil
}

// readDeferred reads the messages of locks.
func (b *box) readDeferred(ctx context.Context, locks []*lock, lock *SessionLock) ([]*Delivery, error) {
	sh := b.shard
	got := make([]*Delivery, len(locks))
	for i, l := range locks {
		v, err := sh.queues.Get(ctx, b.queue, l.off)
		if err != nil {
			return nil, unavailable(err)
		}
		m := sh.decode(b.queue, &v)
		if m == nil {
			return nil, gatehouse.Errorf(gatehouse.Internal, "message %d of inbox %s is damaged", l.off, b.queue)
		}
		sh.mu.Lock()
		now := time.Now().UnixNano()
		s := b.sessionOf(m)
		sh.addAttributes(b, []engine.Envelope{v}, []*gatehouse.Message{m})
		l.size, l.enqueued, l.expires = v.Size, v.Enqueued, v.Expires
		l.grouped, l.group = true, m.Group
		count := l.count
		sh.mu.Unlock()
		if s != nil && (lock == nil || s.token != lock.Token) {
			return nil, gatehouse.Errorf(gatehouse.Conflict, "deferred message %d of inbox %s belongs to group %q, which is locked by another session", l.off, b.queue, m.Group)
		}
		if v.Expires != 0 && v.Expires <= now {
			return nil, gatehouse.Errorf(gatehouse.NotFound, "deferred message %d of inbox %s has expired", l.off, b.queue)
		}
		got[i] = &Delivery{
			Message: m, Sequence: l.off, Count: count, State: Deferred,
			Enqueued: unixTime(v.Enqueued), Expires: unixTime(v.Expires),
		}
	}
	return got, nil
}
