package telemetry

import (
	"maps"
	"sync"
	"sync/atomic"
)

// A cache keeps what was made for each key. Looking up takes no lock.
type cache[K comparable, V any] struct {
	entries atomic.Pointer[map[K]V]
	mu      sync.Mutex // held to change entries
	make    func(K) V
}

// get returns what there is for k, which is made if it is new.
func (c *cache[K, V]) get(k K) V {
	if all := c.entries.Load(); all != nil {
		if v, ok := (*all)[k]; ok {
			return v
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.all()
	if v, ok := all[k]; ok {
		return v
	}
	v := c.make(k)
	next := maps.Clone(all)
	if next == nil {
		next = make(map[K]V)
	}
	next[k] = v
	c.entries.Store(&next)
	return v
}

// keep forgets what wanted does not want and calls drop for it.
func (c *cache[K, V]) keep(wanted func(K) bool, drop func(K)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := make(map[K]V)
	for k, v := range c.all() {
		if wanted(k) {
			next[k] = v
		} else {
			drop(k)
		}
	}
	c.entries.Store(&next)
}

func (c *cache[K, V]) all() map[K]V {
	if all := c.entries.Load(); all != nil {
		return *all
	}
	return nil
}
