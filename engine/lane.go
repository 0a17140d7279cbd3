package engine

import (
	"context"
	"errors"
	"sync"

	"github.com/gatehouse/gatehouse"
)

// A lane is the waiting line of one shard.
type lane struct {
	shard Shard

	mu      sync.Mutex
	room    sync.Cond // signalled when bytes shrinks, or on close
	work    sync.Cond // signalled when run may have something to do
	waiting []*Op
	bytes   int      // of all ops accepted and not done
	free    []*group // groups not in flight, the last used last
	closed  bool
}

// A group is one commit with the ops it is made of.
type group struct {
	lane   *lane
	batch  Batch
	ops    []*Op
	bytes  int         // of batch
	finish func(error) // done, as a value
}

func newLane(s Shard) *lane {
	l := &lane{shard: s}
	l.room.L, l.work.L = &l.mu, &l.mu
	for range maxInFlight {
		g := &group{lane: l}
		g.finish = g.done
		l.free = append(l.free, g)
	}
	return l
}

func (l *lane) write(ctx context.Context, op *Op) error {
	op.size, op.prepared, op.err = op.cost(), false, nil
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.bytes > maxQueuedBytes && !l.closed {
		if err := l.waitRoom(ctx); err != nil {
			return err
		}
	}
	if l.closed {
		return gatehouse.Errorf(gatehouse.Unavailable, "the gateway is shutting down; try again shortly")
	}
	l.waiting = append(l.waiting, op)
	l.bytes += op.size
	if len(l.waiting) == 1 {
		l.work.Signal()
	}
	return nil
}

// waitRoom waits, with l.mu held, for a change of l.bytes or the end of ctx.
func (l *lane) waitRoom(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.room.Broadcast()
	})
	defer stop()
	l.room.Wait()
	return ctx.Err()
}

func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.room.Broadcast()
	l.work.Signal()
}

// run commits until the lane is closed and empty and no commit is in flight.
func (l *lane) run(e Engine) {
	var ops, rest []*Op
	for {
		var g *group
		g, ops, rest = l.next(ops, rest)
		if g == nil {
			return
		}
		rest = rest[g.fill(rest):]
		e.Commit(l.shard, &g.batch, g.finish)
	}
}

// next waits for a group that is not in flight, and for ops if there is no
// rest of those taken earlier: the longer a commit has to wait for its turn,
// the more of them it will hold. It returns no group when the lane has ended.
func (l *lane) next(ops, rest []*Op) (*group, []*Op, []*Op) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.free) == 0 || len(rest)+len(l.waiting) == 0 {
		if l.closed && len(l.free) == maxInFlight {
			return nil, nil, nil
		}
		l.work.Wait()
	}
	g := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	if len(rest) == 0 {
		if cap(ops) > maxBatchOps {
			ops = nil
		}
		ops, l.waiting = l.waiting, ops[:0]
		rest = ops
	}
	return g, ops, rest
}

// fill makes g's batch from the leading ops, which it takes out of the slice,
// and returns how many. Ops that are refused keep their place in the order of
// Done.
func (g *group) fill(ops []*Op) int {
	for i, op := range ops {
		if i == maxBatchOps || !g.fits(op, op.size) {
			return i
		}
		size := op.prepare()
		if !g.fits(op, size) {
			return i
		}
		ops[i] = nil
		g.ops = append(g.ops, op)
		if op.err == nil {
			g.add(op)
			g.bytes += size
		}
	}
	return len(ops)
}

// fits reports whether op may join the batch. One that clears or drops must come
// first, since a batch does so before it writes; so must one fenced by another
// epoch.
func (g *group) fits(op *Op, size int) bool {
	if g.bytes == 0 || op.err != nil {
		return true
	}
	otherEpoch := op.Epoch != 0 && g.batch.Epoch != 0 && op.Epoch != g.batch.Epoch
	clears := len(op.Clear)+len(op.ClearQueues)+len(op.DropLogs) > 0
	return g.bytes+size <= maxBatchBytes && !clears && !otherEpoch
}

func (g *group) add(op *Op) {
	b := &g.batch
	if op.Epoch != 0 {
		b.Epoch = op.Epoch
	}
	b.Records = append(b.Records, op.Records...)
	b.Remove = append(b.Remove, op.Remove...)
	b.State = append(b.State, op.State...)
	b.Clear = append(b.Clear, op.Clear...)
	b.ClearQueues = append(b.ClearQueues, op.ClearQueues...)
	b.DropLogs = append(b.DropLogs, op.DropLogs...)
}

// done hands the outcome to each op, in order, and frees the group.
func (g *group) done(err error) {
	innocent := err // for ops that were not fenced themselves
	if g.batch.Epoch != 0 && errors.Is(err, gatehouse.Conflict) {
		innocent = gatehouse.Errorf(gatehouse.Unavailable, "the shard has just got a new owner; try again")
	}
	freed, next := 0, 0
	for _, op := range g.ops {
		freed += op.size
		outcome := op.err
		if outcome == nil {
			next += copyOffsets(op.Records, g.batch.Records[next:])
			outcome = err
			if op.Epoch == 0 {
				outcome = innocent
			}
		}
		if op.Done != nil {
			op.Done(op, outcome)
		}
	}
	g.reset()
	g.lane.finished(g, freed)
}

func copyOffsets(dst, src []Record) int {
	for i := range dst {
		dst[i].Offset = src[i].Offset
	}
	return len(dst)
}

// reset empties g, keeping its memory unless it is unusually much.
func (g *group) reset() {
	clear(g.ops)
	g.ops, g.bytes = g.ops[:0], 0
	if cap(g.batch.Records)+cap(g.batch.Remove)+cap(g.batch.State) > 4*maxBatchOps {
		g.batch = Batch{}
		return
	}
	g.batch.Reset()
}

// finished takes back g, whose ops are done.
func (l *lane) finished(g *group, freed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes -= freed
	l.free = append(l.free, g)
	l.room.Broadcast()
	l.work.Signal()
}
