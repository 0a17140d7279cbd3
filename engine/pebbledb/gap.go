package pebbledb

import (
	"github.com/gatehouse/gatehouse"

	"github.com/cockroachdb/pebble/v2"
)

// A gap is a stretch of a queue, from a first offset up to, not including, a
// last one, in which there are no records any more. What was removed stays in
// Pebble until it is compacted, and passing over much of it takes time: who
// has done so once remembers it. Offsets only grow, so a gap stays one.
type gap struct{ from, to gatehouse.Offset }

// Bounds of what is remembered.
const (
	maxGaps  = 1024 // queues per shard
	minSteps = 128  // removed records passed over for a gap to be worth it
)

// skip returns where a scan from an offset may begin.
func (sh *shard) skip(queue string, from gatehouse.Offset) gatehouse.Offset {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if g, ok := sh.gaps[queue]; ok && g.from <= from && from < g.to {
		return g.to
	}
	return from
}

// passed notes that a scan from an offset, that began at start, has found the
// first record at found.
func (sh *shard) passed(queue string, from, start, found gatehouse.Offset, it *pebble.Iterator) {
	if found <= start {
		return
	}
	if start == from {
		stats := it.Stats()
		if stats.ForwardStepCount[pebble.InternalIterCall] < minSteps {
			return
		}
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	g, ok := sh.gaps[queue]
	if ok && from >= g.from && from <= g.to {
		from = g.from
	}
	if ok && start != g.to && found < g.to && from == g.from {
		return
	}
	if !ok && len(sh.gaps) >= maxGaps {
		for other := range sh.gaps {
			delete(sh.gaps, other)
			break
		}
	}
	sh.gaps[queue] = gap{from, found}
}
