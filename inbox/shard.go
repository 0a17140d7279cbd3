package inbox

import (
	"context"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse/engine"

	"golang.org/x/sync/errgroup"
)

// Bounds of what a shard remembers.
const (
	maxIdle    = 4096     // inboxes no longer read
	maxCached  = 32 << 20 // bytes of bodies above which nothing is read ahead
	maxCorrupt = 1024     // damaged records that were reported
)

// A shard is the inboxes of one shard of the engine. It has two goroutines,
// clock and sweeper, at first one more that finds out which boxes have marks, all
// ended before run returns, and loaders (load.go).
//
// mu guards everything below it and all boxes. It is never held during a call
// to the engine, the committer or a receiver.
type shard struct {
	set   *Set
	id    engine.Shard
	state engine.State

	tick   chan struct{} // wakes clock
	broom  chan struct{} // wakes sweeper
	lost   chan error    // ends run: the shard has another owner
	loads  sync.WaitGroup
	ctx    context.Context // of run; for loaders
	queues engine.Queues   // set before running

	mu      sync.Mutex
	running bool
	boxes   map[qkey]*box
	idle    idleList
	cached  int64 // bytes of bodies in all windows
	timers  deadlines
	wakeAt  int64 // when clock wakes by itself
	usages  map[qkey]*usage
	marked  marked
	news    news
	queued  []*feed // that wait for a loader
	loaders int
	moves   []move
	trims   map[qkey]struct{}
	overdue bool // an expired message was met
	corrupt map[engine.Ref]struct{}
	// vanished is what has left while expired messages are looked for; nil at
	// other times.
	vanished map[engine.Ref]struct{}
}

func newShard(s *Set, id engine.Shard) *shard {
	return &shard{
		set: s, id: id, state: s.engine.State(id),
		tick: make(chan struct{}, 1), broom: make(chan struct{}, 1), lost: make(chan error, 1),
		boxes: make(map[qkey]*box), usages: make(map[qkey]*usage), trims: make(map[qkey]struct{}),
		corrupt: make(map[engine.Ref]struct{}), marked: newMarked(),
	}
}

// run owns the shard until ctx is done. It calls owned once, when it does or
// has failed to.
func (sh *shard) run(ctx context.Context, owned func()) error {
	queues, err := sh.set.engine.Own(ctx, sh.id, sh.told)
	if err != nil {
		owned()
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	sh.mu.Lock()
	sh.ctx, sh.queues, sh.running = ctx, queues, true
	sh.mu.Unlock()
	owned()
	group.Go(func() error { sh.runClock(ctx); return nil })
	group.Go(func() error { sh.runSweeper(ctx); return nil })
	group.Go(func() error { sh.findMarked(); return nil })
	group.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case err := <-sh.lost:
			return err
		}
	})
	err = group.Wait()
	sh.stop()
	sh.loads.Wait()
	return err
}

// stop forgets all boxes and fails all who wait.
func (sh *shard) stop() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.running = false
	for _, b := range sh.boxes {
		sh.close(b, errNotRunning)
	}
	sh.timers, sh.usages = nil, make(map[qkey]*usage)
}

// fenced ends run: the shard has another owner.
func (sh *shard) fenced(err error) {
	select {
	case sh.lost <- err:
	default:
	}
}

// enter returns the box of q, opened and held, with sh.mu locked. leave must be
// called.
func (sh *shard) enter(ctx context.Context, q qkey) (*box, error) {
	sh.mu.Lock()
	for {
		if !sh.running {
			sh.mu.Unlock()
			return nil, errNotRunning
		}
		b := sh.hold(q)
		if b.opened || b.opening == nil && !sh.marked.may(q) {
			b.opened = true
			return b, nil
		}
		opening := b.opening
		if opening == nil {
			b.opening = make(chan struct{})
			sh.mu.Unlock()
			err := b.open()
			sh.mu.Lock()
			close(b.opening)
			b.opening = nil
			if err != nil {
				sh.drop(b)
				sh.mu.Unlock()
				return nil, err
			}
			b.opened = true
			if !b.closed {
				return b, nil
			}
		} else {
			sh.mu.Unlock()
			select {
			case <-opening:
			case <-ctx.Done():
			}
			sh.mu.Lock()
		}
		sh.drop(b)
		if ctx.Err() != nil {
			sh.mu.Unlock()
			return nil, context.Cause(ctx)
		}
	}
}

// leave gives back a box and unlocks sh.mu.
func (sh *shard) leave(b *box) {
	sh.drop(b)
	sh.mu.Unlock()
}

// hold returns the box of q, which may not be opened, and keeps it from being
// forgotten until drop.
func (sh *shard) hold(q qkey) *box {
	b := sh.boxes[q]
	if b == nil {
		b = &box{shard: sh, key: q, queue: q.queue()}
		b.feed.box = b
		sh.boxes[q] = b
	}
	b.retain()
	return b
}

// retain is hold for a box at hand.
func (b *box) retain() {
	if b.refs == 0 {
		b.shard.idle.remove(b)
	}
	b.refs++
}

// drop ends a hold.
func (sh *shard) drop(b *box) {
	b.refs--
	if b.refs > 0 || b.closed {
		return
	}
	if !b.opened {
		sh.close(b, nil) // it was never read
		return
	}
	b.idleSince = time.Now().UnixNano()
	sh.idle.add(b)
	for sh.idle.n > maxIdle || sh.cached > maxCached && sh.idle.n > 0 {
		sh.close(sh.idle.first, nil)
	}
}

// forgetIdle forgets the boxes that nobody has used for a while.
func (sh *shard) forgetIdle(now int64) {
	for b := sh.idle.first; b != nil && now-b.idleSince >= int64(sh.set.opts.Idle); b = sh.idle.first {
		sh.close(b, nil)
	}
}

// close forgets a box. Those who wait at it get err.
func (sh *shard) close(b *box, err error) {
	if b.closed {
		return
	}
	b.closed = true
	sh.idle.remove(b)
	delete(sh.boxes, b.key)
	b.feed.fail(err)
	b.feed.clear()
	for _, s := range b.sessions {
		s.ended = true
		sh.timers.remove(&s.timer)
		s.feed.fail(err)
		s.feed.clear()
	}
	for _, l := range b.taken {
		sh.timers.remove(&l.timer)
	}
	for _, h := range b.hidden {
		sh.timers.remove(&h.timer)
	}
	sh.timers.remove(&b.again.timer)
	for _, a := range b.accepters {
		a.fail(err)
	}
}

// poke wakes the goroutine that waits for c.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// at sets a deadline.
func (sh *shard) at(t *timer, when int64) {
	sh.timers.move(t, when)
	if when < sh.wakeAt {
		sh.wakeAt = when
		poke(sh.tick)
	}
}

// damaged reports a record that cannot be read, once.
func (sh *shard) damaged(e *engine.CorruptError) {
	ref := engine.Ref{Queue: e.Stream, Offset: e.Offset}
	sh.mu.Lock()
	_, known := sh.corrupt[ref]
	if len(sh.corrupt) >= maxCorrupt {
		clear(sh.corrupt)
	}
	sh.corrupt[ref] = struct{}{}
	sh.mu.Unlock()
	if known {
		return
	}
	sh.set.opts.Logger.Error("a message in an inbox is damaged and passed over", "inbox", e.Stream, "sequence", e.Offset, "error", e)
	if f := sh.set.opts.Events.Corrupt; f != nil {
		f(e)
	}
}

// An idleList is the boxes nobody uses, the longest unused first.
type idleList struct {
	first, last *box
	n           int
}

func (l *idleList) add(b *box) {
	b.resting, b.prev, b.next = true, l.last, nil
	if l.last == nil {
		l.first = b
	} else {
		l.last.next = b
	}
	l.last = b
	l.n++
}

func (l *idleList) remove(b *box) {
	if !b.resting {
		return
	}
	if b.prev == nil {
		l.first = b.next
	} else {
		b.prev.next = b.next
	}
	if b.next == nil {
		l.last = b.prev
	} else {
		b.next.prev = b.prev
	}
	b.resting, b.prev, b.next = false, nil, nil
	l.n--
}
