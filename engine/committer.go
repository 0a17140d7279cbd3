package engine

import (
	"context"
	"sync"

	"github.com/gatehouse/gatehouse"
)

// An Op is one caller's part of a commit. It must not be changed between Write
// and Done.
type Op struct {
	// Prepare, if set, is called once, just before the op joins a batch, in
	// the order of Write, by the shard's one committing goroutine: the place
	// for checks against what earlier ops wrote. It may change the op. An
	// error refuses the op; Done is called with it, in order.
	Prepare func(*Op) error

	Records     []Record
	Remove      []Ref
	State       []Row
	Clear       []string
	ClearQueues []string
	// Epoch, if not zero, fences the op: see Batch.Epoch.
	Epoch uint64

	// Done is called once, in the order of Write, when the op is durable (nil)
	// or refused. The offsets of Records are set by then. It must not block.
	Done func(*Op, error)

	size int
	err  error
}

// Limits of a Committer.
const (
	maxBatchBytes  = 4 << 20  // a commit is closed at this size
	maxBatchOps    = 4096     // or at this number of ops
	maxQueuedBytes = 32 << 20 // Write blocks while a shard has this much waiting
	maxInFlight    = 4        // commits a shard has on their way to the disk
)

// A Committer groups the ops of many callers into commits: while the commits
// of a shard are on their way to the disk, what arrives is gathered for the
// next. It has one goroutine per shard, which Close ends.
type Committer struct {
	engine Engine
	lanes  []*lane
	wg     sync.WaitGroup
}

// NewCommitter returns a Committer over e. Close it before e.
func NewCommitter(e Engine) *Committer {
	c := &Committer{engine: e, lanes: make([]*lane, e.Shards())}
	for i := range c.lanes {
		l := &lane{shard: Shard(i), slots: make(chan *group, maxInFlight), wake: make(chan struct{}, 1)}
		l.room.L = &l.mu
		for range maxInFlight {
			l.slots <- &group{lane: l}
		}
		c.lanes[i] = l
		c.wg.Go(func() { l.run(e) })
	}
	return c
}

// Write queues op for the next commit of shard s and returns; op.Done tells
// the outcome. Ops of one shard are committed in the order of Write. It blocks
// only while the shard has too much waiting, and fails, without calling Done,
// if ctx ends before there is room or the Committer is closed.
func (c *Committer) Write(ctx context.Context, s Shard, op *Op) error {
	return c.lanes[s].write(ctx, op)
}

// Do is Write that waits for the outcome. Should ctx end first, op may still
// be committed.
func (c *Committer) Do(ctx context.Context, s Shard, op *Op) error {
	done := make(chan error, 1)
	before := op.Done
	op.Done = func(op *Op, err error) {
		if before != nil {
			before(op, err)
		}
		done <- err
	}
	if err := c.Write(ctx, s, op); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close refuses further writes, waits until all that were accepted are done
// and ends the goroutines.
func (c *Committer) Close() {
	for _, l := range c.lanes {
		l.mu.Lock()
		l.closed = true
		l.room.Broadcast()
		l.mu.Unlock()
		l.poke()
	}
	c.wg.Wait()
}

// A lane is the waiting line of one shard.
type lane struct {
	shard Shard
	wake  chan struct{} // has a token when waiting is not empty
	slots chan *group   // groups not in flight

	mu      sync.Mutex
	room    sync.Cond // signalled when bytes shrinks
	waiting []*Op
	bytes   int
	closed  bool
}

// A group is one commit with the ops it is made of.
type group struct {
	lane  *lane
	batch Batch
	ops   []*Op
}

func (l *lane) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lane) write(ctx context.Context, op *Op) error {
	op.size = op.cost()
	l.mu.Lock()
	for l.bytes > maxQueuedBytes && !l.closed {
		if err := l.waitRoom(ctx); err != nil {
			l.mu.Unlock()
			return err
		}
	}
	if l.closed {
		l.mu.Unlock()
		return gatehouse.Errorf(gatehouse.Unavailable, "the gateway is shutting down; try again shortly")
	}
	l.waiting = append(l.waiting, op)
	l.bytes += op.size
	first := len(l.waiting) == 1
	l.mu.Unlock()
	if first {
		l.poke()
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

// run commits until the lane is closed and empty, then waits for the commits
// in flight.
func (l *lane) run(e Engine) {
	var spare []*Op
	for range l.wake {
		l.mu.Lock()
		ops := l.waiting
		l.waiting = spare[:0]
		closed := l.closed
		l.mu.Unlock()
		for rest := ops; len(rest) > 0; {
			g := <-l.slots
			rest = rest[g.fill(rest):]
			e.Commit(l.shard, &g.batch, g.done)
			// What came meanwhile joins the remainder only after it: order.
		}
		clear(ops)
		spare = ops
		if closed && len(ops) == 0 {
			break
		}
		l.mu.Lock()
		again := len(l.waiting) > 0 || l.closed
		l.mu.Unlock()
		if again {
			l.poke()
		}
	}
	for range maxInFlight {
		<-l.slots
	}
}

// fill makes g's batch from the leading ops and returns how many it took. Ops
// that Prepare refuses keep their place in the order of Done.
func (g *group) fill(ops []*Op) int {
	b := &g.batch
	bytes, n := 0, 0
	for _, op := range ops {
		if n > 0 && (bytes+op.size > maxBatchBytes || n == maxBatchOps) {
			break
		}
		if n > 0 && op.mustLead(b.Epoch) {
			break
		}
		n++
		bytes += op.size
		g.ops = append(g.ops, op)
		if op.Prepare != nil {
			if op.err = op.Prepare(op); op.err != nil {
				continue
			}
		}
		if op.Epoch != 0 {
			b.Epoch = op.Epoch
		}
		b.Records = append(b.Records, op.Records...)
		b.Remove = append(b.Remove, op.Remove...)
		b.State = append(b.State, op.State...)
		b.Clear = append(b.Clear, op.Clear...)
		b.ClearQueues = append(b.ClearQueues, op.ClearQueues...)
	}
	return n
}

// mustLead reports whether op cannot follow others into a batch: it clears,
// which a batch does before it writes, or is fenced by another epoch.
func (op *Op) mustLead(epoch uint64) bool {
	return len(op.Clear) > 0 || len(op.ClearQueues) > 0 || op.Epoch != 0 && epoch != 0 && op.Epoch != epoch
}

// done hands the outcome to each op, in order, and frees the group.
func (g *group) done(err error) {
	l, freed, next := g.lane, 0, 0
	for _, op := range g.ops {
		freed += op.size
		failed := op.err
		if failed == nil {
			failed = err
			next += copyOffsets(op.Records, g.batch.Records[next:])
		}
		if op.Done != nil {
			op.Done(op, failed)
		}
	}
	clear(g.ops)
	g.ops = g.ops[:0]
	g.batch.Reset()
	l.slots <- g
	l.mu.Lock()
	l.bytes -= freed
	l.room.Broadcast()
	l.mu.Unlock()
}

func copyOffsets(dst, src []Record) int {
	for i := range dst {
		dst[i].Offset = src[i].Offset
	}
	return len(dst)
}

// cost estimates what op adds to a batch, in bytes.
func (op *Op) cost() int {
	n := 64 + 48*len(op.Remove)
	for i := range op.Records {
		n += 64 + len(op.Records[i].Stream) + len(op.Records[i].Data)
	}
	for i := range op.State {
		n += 32 + len(op.State[i].Key) + len(op.State[i].Value)
	}
	return n
}
