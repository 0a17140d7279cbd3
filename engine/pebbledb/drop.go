package pebbledb

import (
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// A log that is dropped loses its records and its index by deletions of ranges,
// which cost the same whatever it holds. Until the commit that drops it is
// durable readers see it as it was, while for commits behind it there is none:
// so long its name is in shard.drops.

// encodeDrops drops logs, before anything of the same commit is appended.
// Engine.mu is held.
func (sh *shard) encodeDrops(batch *pebble.Batch, names []string) error {
	if len(names) == 0 {
		return nil
	}
	for _, name := range names {
		for _, space := range [...]byte{spaceLog, spaceSegment} {
			start := append(appendShard(nil, space, sh.id), name...)
			if !strings.HasSuffix(name, "/") {
				start = append(start, 0)
			}
			if err := batch.DeleteRange(start, prefixEnd(start), nil); err != nil {
				return err
			}
		}
	}
	for log := range sh.logs {
		if drops(names, log) {
			delete(sh.logs, log)
		}
	}
	sh.drops = append(sh.drops, names)
	sh.dropped++
	return nil
}

// drops reports whether names, as in Batch.DropLogs, mean a log.
func drops(names []string, log string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		return name == log || strings.HasSuffix(name, "/") && strings.HasPrefix(log, name)
	})
}

// tail returns the tail of a log, as far as it is known: that of one that is
// being dropped is new. Engine.mu is held.
func (sh *shard) tail(log string) *tail {
	t := sh.logs[log]
	if t == nil && sh.isDropped(log) {
		t = &tail{}
		sh.logs[log] = t
	}
	return t
}

// isDropped reports whether a commit that is not durable drops a log. Engine.mu
// is held.
func (sh *shard) isDropped(log string) bool {
	return slices.ContainsFunc(sh.drops, func(names []string) bool { return drops(names, log) })
}

// dropping reports whether a log is being dropped, and how often logs of the
// shard were so far. If that is not so, and the number stays the same, what
// readers see of the log from now on is what it is.
func (sh *shard) dropping(log string) (dropped uint64, now bool) {
	sh.e.mu.Lock()
	defer sh.e.mu.Unlock()
	return sh.dropped, sh.isDropped(log)
}

// endDrop notes that the logs that a commit has dropped are gone for readers
// too. Engine.mu is held.
func (en *entry) endDrop() {
	if en.err == nil && en.batch != nil && len(en.batch.DropLogs) > 0 {
		en.shard.drops = slices.Delete(en.shard.drops, 0, 1)
	}
}
