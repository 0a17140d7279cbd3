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

// release gives back a view, or nil. It waits for a lock of Pebble's that is
// held while Pebble fails, so nothing must be locked.
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

// drop closes a view that was never published, or is no longer used.
func (v *view) drop() {
	_ = v.snap.Close() // always nil
	v.in.views.remove()
}

// iter returns an iterator over the keys from lower up to, not including,
// upper.
func (v *view) iter(lower, upper []byte) (*pebble.Iterator, error) {
	return v.snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
}

// A viewCount counts the views of an instance, which must be gone before it is
// closed.
type viewCount struct {
	mu   sync.Mutex
	gone sync.Cond
	n    int
}

func (c *viewCount) init() { c.gone.L = &c.mu }

func (c *viewCount) add() {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
}

func (c *viewCount) remove() {
	c.mu.Lock()
	c.n--
	if c.n == 0 {
		c.gone.Broadcast()
	}
	c.mu.Unlock()
}

func (c *viewCount) wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.n > 0 {
		c.gone.Wait()
	}
}
