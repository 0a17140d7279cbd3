package pebbledb

import (
	"sync/atomic"
	"time"
)

// Metrics is how the engine is doing.
type Metrics struct {
	// DiskUsage is how many bytes the store takes, with what is about to be
	// deleted and the reserve.
	DiskUsage uint64
	// DiskFree is how many bytes are free on the disk; zero if it does not
	// tell.
	DiskFree uint64
	// Fsyncs counts the fsyncs of the write-ahead log by how long they took.
	Fsyncs Histogram
	// CompactionDebt estimates how many bytes have yet to be compacted.
	CompactionDebt uint64
	// Compactions and Flushes were made since the store was opened.
	Compactions, Flushes int64
	// L0Sublevels is how many layers of new tables every read has to look
	// into; commits slow down when there are many.
	L0Sublevels int32
	// MemTables is the memory that recent commits take, in bytes.
	MemTables uint64
	// CacheHits and CacheMisses count blocks that were looked for in the
	// cache.
	CacheHits, CacheMisses int64
	// Tombstones is about how many removals have not met what they remove.
	Tombstones uint64
	// Failures counts how often writing has failed and the store was opened
	// anew.
	Failures uint64
	// Failed and Full say why commits are refused now, if they are.
	Failed, Full bool
}

// Metrics returns how the engine is doing; the zero Metrics after Close.
func (e *Engine) Metrics() Metrics {
	m := Metrics{Fsyncs: e.latency.snapshot()}
	v, err := e.views.acquire()
	if err != nil {
		return m
	}
	defer e.views.release(v)
	e.mu.Lock()
	m.Failures, m.Failed, m.Full = e.failures, e.failed != nil, e.full
	if e.reserved {
		m.DiskUsage = uint64(max(e.opts.Reserve, 0))
	}
	e.mu.Unlock()
	if usage, err := e.opts.FS.GetDiskUsage(e.opts.Dir); err == nil {
		m.DiskFree = usage.AvailBytes
	}
	p := v.in.db.Metrics()
	m.DiskUsage += p.DiskSpaceUsage()
	m.CompactionDebt = p.Compact.EstimatedDebt
	m.Compactions, m.Flushes = p.Compact.Count, p.Flush.Count
	m.L0Sublevels = p.Levels[0].Sublevels
	m.MemTables = p.MemTable.Size
	m.CacheHits, m.CacheMisses = p.BlockCache.Hits, p.BlockCache.Misses
	m.Tombstones = p.Keys.TombstoneCount
	return m
}

// Histogram is how many durations were at most as long as each bound.
type Histogram struct {
	Count uint64
	Sum   time.Duration
	// Buckets counts the durations up to the bound of the same index in
	// Bounds, and not up to the one before; the last, which has no bound, the
	// longer ones.
	Buckets [len(bounds) + 1]uint64
}

var bounds = [...]time.Duration{
	50 * time.Microsecond, 100 * time.Microsecond, 200 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second,
}

// Bounds returns the upper bounds of a Histogram's buckets.
func (*Histogram) Bounds() []time.Duration { return append([]time.Duration(nil), bounds[:]...) }

// Quantile returns the bound of the bucket that the share q of all durations
// is within, from 0 to 1; zero if there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	need := uint64(q * float64(h.Count))
	for i, n := range h.Buckets {
		if n >= need && h.Count > 0 {
			return bounds[min(i, len(bounds)-1)]
		}
		need -= n
	}
	return 0
}

// histogram is a Histogram that grows, by many at once.
type histogram struct {
	sum     atomic.Int64
	buckets [len(bounds) + 1]atomic.Uint64
}

func (h *histogram) observe(d time.Duration) {
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

func (h *histogram) snapshot() Histogram {
	s := Histogram{Sum: time.Duration(h.sum.Load())}
	for i := range h.buckets {
		s.Buckets[i] = h.buckets[i].Load()
		s.Count += s.Buckets[i]
	}
	return s
}
