package pebbledb

import (
	"sync"

	"github.com/gatehouse/gatehouse"

	"github.com/cockroachdb/pebble/v2"
)

// A view is what readers see: everything durable, as of the end of a group.
type view struct {
	in   *instance
	snap *pebble.Snapshot
	next []gatehouse.Offset // by shard: greater than every offset in use
	refs int                // guarded by views.mu; the published view has one more
}

// views hands out the newest view.
type views struct {
	mu      sync.Mutex
	current *view
}

// newView captures the store. Nobody else may be writing to it.
func (in *instance) newView(next []gatehouse.Offset) *view {
	in.views.add()
	return &view{in: in, snap: in.db.NewSnapshot(), next: next, refs: 1}
}

// publish makes v what readers see, nil for nothing, and returns what they saw
// before, to be released.
func (vs *views) publish(v *view) (old *view) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	old, vs.current = vs.current, v
	return old
}

// acquire returns the newest view, to be released.
func (vs *views) acquire() (*view, error) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if vs.current == nil {
		return nil, errClosed()
	}
	vs.current.refs++
	return vs.current, nil
}

// release gives back a view, or nil.
func (vs *views) release(v *view) {
	if v == nil {
		return
	}
	vs.mu.Lock()
	v.refs--
	last := v.refs == 0
	vs.mu.Unlock()
	if last {
		v.drop()
	}
}

// drop has a view closed that was never published, or is no longer used.
func (v *view) drop() { v.in.views.drop(v.snap) }

// iter returns an iterator over the keys from lower up to, not including,
// upper.
func (v *view) iter(lower, upper []byte) (*pebble.Iterator, error) {
	return v.snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
}

// A viewCount counts the views of an instance, which must be closed before it
// is. Pebble closes a snapshot under a lock that is held while its manifest is
// written, for good if that has failed: nobody must wait for that but the
// goroutine that does it, run.
type viewCount struct {
	mu      sync.Mutex
	changed sync.Cond
	n       int // views that are not closed
	dropped []*pebble.Snapshot
	ended   bool
}

func (c *viewCount) init() { c.changed.L = &c.mu }

func (c *viewCount) add() {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
}

func (c *viewCount) drop(s *pebble.Snapshot) {
	c.mu.Lock()
	c.dropped = append(c.dropped, s)
	c.changed.Broadcast()
	c.mu.Unlock()
}

// run closes what was dropped, until wait has returned.
func (c *viewCount) run() {
	var spare []*pebble.Snapshot
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.ended {
		if len(c.dropped) == 0 {
			c.changed.Wait()
			continue
		}
		list := c.dropped
		c.dropped = spare[:0]
		c.mu.Unlock()
		for _, s := range list {
			_ = s.Close() // always nil
		}
		clear(list)
		spare = list
		c.mu.Lock()
		c.n -= len(list)
		c.changed.Broadcast()
	}
}

// wait returns once all views are closed.
func (c *viewCount) wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.n > 0 {
		c.changed.Wait()
	}
	c.ended = true
	c.changed.Broadcast()
}
