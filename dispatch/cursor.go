package dispatch

import (
	"context"
	"sync"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/engine"
)

// A cursor stores how far a worker has come, without making it wait: while one
// write waits for its turn, later positions take its place in it.
type cursor struct {
	commit    *engine.Committer
	id        channel.ID
	group     string
	partition engine.Shard

	flying sync.WaitGroup // writes not done

	mu      sync.Mutex
	next    gatehouse.Offset // to be stored
	waiting bool             // a write will store next
	err     error            // of the last write done; nil since the last save
	watch   context.Context  // see sound
	failed  context.CancelCauseFunc
}

// save has next stored soon. Failures end the context that sound returned.
func (c *cursor) save(ctx context.Context, next gatehouse.Offset) {
	c.mu.Lock()
	c.next, c.err = next, nil
	covered := c.waiting
	c.waiting = true
	c.mu.Unlock()
	if covered {
		return
	}
	c.flying.Add(1)
	op := &engine.Op{Prepare: c.prepare, Done: c.done}
	if err := c.commit.Write(ctx, c.partition, op); err != nil {
		c.mu.Lock()
		c.waiting = false
		c.mu.Unlock()
		c.done(op, err)
	}
}

// prepare is called just before the write joins a commit.
func (c *cursor) prepare(op *engine.Op) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = false
	op.State = []engine.Row{channel.CursorRow(c.id, c.group, c.next)}
	return nil
}

func (c *cursor) done(_ *engine.Op, err error) {
	defer c.flying.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	if err != nil && c.failed != nil {
		c.failed(err)
	}
}

// sound returns a context that ends with ctx, or, with the error as its cause,
// when a position could not be stored; it must then be saved again.
func (c *cursor) sound(ctx context.Context) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watch == nil || c.watch.Err() != nil {
		c.watch, c.failed = context.WithCancelCause(ctx)
	}
	if c.err != nil {
		c.failed(c.err)
	}
	return c.watch
}

// settled waits until no write is under way, and returns the error of the last.
func (c *cursor) settled() error {
	c.flying.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		c.failed(nil)
	}
	return c.err
}
