package pebbledb

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// How much of a log is read through one iterator, which keeps what it reads
// from being dropped.
const (
	pageRecords = 4096
	pageBytes   = 8 << 20
)

// A log is an engine.Log.
type log struct {
	sh   *shard
	name string
}

// Log implements engine.Engine.
func (e *Engine) Log(s engine.Shard, name string) engine.Log { return &log{e.shards[s], name} }

// Read implements engine.Log.
func (l *log) Read(ctx context.Context, from gatehouse.Offset, visit func(o gatehouse.Offset, enqueued int64, data []byte) bool) (next gatehouse.Offset, err error) {
	views := &l.sh.e.views
	next = from
	for more := true; more && err == nil; {
		if err := ctx.Err(); err != nil {
			return next, err
		}
		v, err2 := views.acquire()
		if err2 != nil {
			return next, err2
		}
		next, more, err = l.readPage(ctx, v, next, visit)
		views.release(v)
	}
	return next, err
}

// readPage reads a page and reports whether there may be more.
func (l *log) readPage(ctx context.Context, v *view, from gatehouse.Offset, visit func(gatehouse.Offset, int64, []byte) bool) (next gatehouse.Offset, more bool, err error) {
	st := v.stream(spaceLog, l.sh.id, l.name)
	next = from
	it, err := st.iter(from)
	if err != nil {
		return next, false, err
	}
	defer func() { err = v.closed(it, err) }()
	records, bytes := 0, 0
	for valid := it.First(); valid; valid = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return next, false, st.failed(err, keyOffset(it.Key()))
		}
		e, ok := parseRecord(it.Key(), value)
		if !ok {
			return next, false, st.corrupt(keyOffset(it.Key()), badChecksum)
		}
		next = e.Offset + 1
		if !visit(e.Offset, e.Enqueued, e.Data) {
			return next, false, nil
		}
		records++
		bytes += e.Size
		if records == pageRecords || bytes >= pageBytes {
			return next, true, nil
		}
		if records%64 == 0 && ctx.Err() != nil {
			return next, false, ctx.Err()
		}
	}
	return next, false, st.failed(it.Error(), next)
}

// A waiter waits for a record of a log.
type waiter struct {
	from  gatehouse.Offset
	ready chan struct{} // gets a token, once
}

// Wait implements engine.Log.
func (l *log) Wait(ctx context.Context, from gatehouse.Offset) error {
	for {
		w := l.sh.await(l.name, from)
		ok, err := l.has(from)
		if ok || err != nil {
			l.sh.forget(l.name, w)
			return err
		}
		select {
		case <-w.ready:
		case <-ctx.Done():
			l.sh.forget(l.name, w)
			return ctx.Err()
		case <-l.sh.e.closing:
			l.sh.forget(l.name, w)
			return errClosed()
		}
	}
}

// has reports whether there is a record at or after from. One that cannot be
// read is one too.
func (l *log) has(from gatehouse.Offset) (bool, error) {
	v, err := l.sh.e.views.acquire()
	if err != nil {
		return false, err
	}
	defer l.sh.e.views.release(v)
	st := v.stream(spaceLog, l.sh.id, l.name)
	_, ok, err := st.first(from)
	if isCorrupt(err) {
		return true, nil
	}
	return ok, err
}

// await has the caller told of the next record of a log.
func (sh *shard) await(log string, from gatehouse.Offset) *waiter {
	w := &waiter{from: from, ready: make(chan struct{}, 1)}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.waiters[log] = append(sh.waiters[log], w)
	return w
}

func (sh *shard) forget(log string, w *waiter) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	list := sh.waiters[log]
	for i := range list {
		if list[i] == w {
			list[i] = list[len(list)-1]
			list[len(list)-1] = nil
			sh.keep(log, list[:len(list)-1])
			return
		}
	}
}

func (sh *shard) keep(log string, list []*waiter) {
	if len(list) == 0 {
		delete(sh.waiters, log)
		return
	}
	sh.waiters[log] = list
}

// wakeReaders wakes those who wait for one of records.
func (sh *shard) wakeReaders(records []engine.Record) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for i := len(records) - 1; i >= 0 && len(sh.waiters) > 0; i-- {
		r := &records[i]
		list := sh.waiters[r.Stream]
		if r.Queue || len(list) == 0 {
			continue
		}
		kept := list[:0]
		for _, w := range list {
			if w.from > r.Offset {
				kept = append(kept, w)
				continue
			}
			w.ready <- struct{}{}
		}
		clear(list[len(kept):])
		sh.keep(r.Stream, kept)
	}
}

// wakeAll wakes all who wait, to look again.
func (sh *shard) wakeAll() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, list := range sh.waiters {
		for _, w := range list {
			w.ready <- struct{}{}
		}
	}
	clear(sh.waiters)
}

// Bounds implements engine.Log.
func (l *log) Bounds(context.Context) (first, next gatehouse.Offset, bytes int64, err error) {
	v, err := l.sh.e.views.acquire()
	if err != nil {
		return 0, 0, 0, err
	}
	defer l.sh.e.views.release(v)
	st := v.stream(spaceLog, l.sh.id, l.name)
	first, ok, err := st.first(0)
	if err != nil {
		return 0, 0, 0, err
	}
	if !ok {
		g, _, err := v.lastSegment(l.sh.id, l.name, 0) // behind all that was dropped
		return g.first, g.first, 0, err
	}
	last, _, err := st.last()
	if err != nil {
		return 0, 0, 0, err
	}
	g, _, err := v.lastSegment(l.sh.id, l.name, first+1)
	if err != nil {
		return 0, 0, 0, err
	}
	return first, last + 1, max(l.total()-g.before, 0), nil
}

// total returns how many bytes were ever appended to the log.
func (l *log) total() int64 {
	e := l.sh.e
	e.mu.Lock()
	if t := l.sh.tail(l.name); t != nil {
		defer e.mu.Unlock()
		return t.total
	}
	e.mu.Unlock()
	return l.sh.readTail(l.name).total
}

// Seek implements engine.Log.
func (l *log) Seek(_ context.Context, t time.Time) (gatehouse.Offset, error) {
	v, err := l.sh.e.views.acquire()
	if err != nil {
		return 0, err
	}
	defer l.sh.e.views.release(v)
	from, err := v.segmentBefore(l.sh.id, l.name, t.UnixNano())
	if err != nil {
		return 0, err
	}
	st := v.stream(spaceLog, l.sh.id, l.name)
	it, err := st.iter(from)
	if err != nil {
		return 0, err
	}
	defer func() { err = v.closed(it, err) }()
	for valid := it.First(); valid; valid = it.Next() {
		from = keyOffset(it.Key())
		value, err := it.ValueAndErr()
		if err != nil {
			break
		}
		if e, ok := parseRecord(it.Key(), value); ok && e.Enqueued >= t.UnixNano() {
			return from, nil
		}
		from++
	}
	if pebbleErr := it.Error(); pebbleErr != nil && !isCorrupt(v.readError(pebbleErr)) {
		return 0, v.readError(pebbleErr)
	}
	return from, nil // near before it, if records there are damaged
}

// segmentBefore returns the first offset of the last segment that began before
// a time.
func (v *view) segmentBefore(s engine.Shard, log string, enqueued int64) (found gatehouse.Offset, err error) {
	low, high := gatehouse.Offset(0), v.next[s]
	for low < high {
		mid := low + (high-low)/2
		g, ok, err := v.lastSegment(s, log, mid+1)
		switch {
		case err != nil:
			return 0, err
		case ok && g.enqueued >= enqueued:
			high = g.first
		case ok:
			found, low = g.first, mid+1
		default:
			low = mid + 1
		}
	}
	return found, nil
}
