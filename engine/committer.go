package engine

import (
	"context"
	"sync"

	"github.com/gatehouse/gatehouse"
)

// An Op is one caller's part of a commit. It must not be changed between Write
// and Done, but for what Prepare does.
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
	DropLogs    []string
	// Epoch, if not zero, fences the op: see Batch.Epoch.
	Epoch uint64

	// Done is called once, in the order of Write, when the op is durable (nil)
	// or refused. The offsets of Records are set by then. It must not block.
	// The op may be written again from then on.
	Done func(*Op, error)

	size     int   // as it was written
	prepared bool  // Prepare was called
	err      error // the refusal
}

// Limits of a Committer.
const (
	maxBatchBytes  = 4 << 20  // a commit is closed at this size
	maxBatchOps    = 4096     // or at this number of ops
	maxQueuedBytes = 32 << 20 // Write blocks while a shard has more than this waiting
	maxInFlight    = 4        // commits a shard has on their way to the disk
)

// A Committer groups the ops of many callers into commits: while the commits
// of a shard are on their way to the disk, what arrives is gathered for the
// next. It has one goroutine per shard, which Close ends.
//
// An op does not suffer for the others of its commit: one that Prepare refuses,
// or with a record that is too large, fails alone, and if the commit is fenced
// only those that asked for it fail with Conflict, and the others, which were
// not stored either, with Unavailable.
type Committer struct {
	lanes []*lane
	wg    sync.WaitGroup
}

// NewCommitter returns a Committer over e. Close it before e.
func NewCommitter(e Engine) *Committer {
	c := &Committer{lanes: make([]*lane, e.Shards())}
	for i := range c.lanes {
		l := newLane(Shard(i))
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
		op.Done = before
		if before != nil {
			before(op, err)
		}
		done <- err
	}
	if err := c.Write(ctx, s, op); err != nil {
		op.Done = before
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
		l.close()
	}
	c.wg.Wait()
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
	for i := range op.Clear {
		n += 32 + len(op.Clear[i])
	}
	for i := range op.ClearQueues {
		n += 32 + len(op.ClearQueues[i])
	}
	for i := range op.DropLogs {
		n += 32 + len(op.DropLogs[i])
	}
	return n
}

// prepare makes op ready to join a batch, once, and returns what it adds to
// it, in bytes.
func (op *Op) prepare() int {
	size := op.size
	if op.Prepare != nil {
		if !op.prepared {
			op.prepared = true
			op.err = op.Prepare(op)
		}
		size = op.cost()
	}
	for i := range op.Records {
		if n := len(op.Records[i].Data); n > MaxRecord && op.err == nil {
			op.err = gatehouse.Errorf(gatehouse.TooLarge, "a record of %d bytes cannot be stored; at most %d are allowed", n, MaxRecord)
		}
	}
	return size
}
