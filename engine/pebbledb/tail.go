package pebbledb

import (
	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"

	"github.com/cockroachdb/pebble/v2"
)

// segmentBytes is how much of a log one row of its index stands for at most,
// if that is more than one record.
const segmentBytes = 512 << 10

// recordCost is what a record of a log is counted with beyond its data.
const recordCost = 32

// A tail is the end of a log that was appended to since the store was opened.
// It is guarded by Engine.mu.
type tail struct {
	total int64 // bytes ever appended
	since int64 // bytes appended since the last row of the index
	row   bool  // there is a row for the current segment
}

// append accounts for a record and, at the beginning of a segment, adds a row
// to the index.
func (t *tail) append(b *pebble.Batch, s engine.Shard, r *engine.Record, enqueued int64) error {
	n := int64(len(r.Data)) + recordCost
	if !t.row || t.since > 0 && t.since+n > segmentBytes {
		if err := setSegment(b, s, r.Stream, segment{r.Offset, enqueued, t.total}); err != nil {
			return err
		}
		t.row, t.since = true, 0
	}
	t.total += n
	t.since += n
	return nil
}

// findTails makes sure that the tail of every log in records is known, unless
// b is refused. It reads what is not, once per log, for which Engine.mu, which
// is held, is let go. A log that is being dropped has a new tail.
func (sh *shard) findTails(b *engine.Batch) error {
	e := sh.e
	for i := 0; i < len(b.Records); {
		r := &b.Records[i]
		if r.Queue || sh.tail(r.Stream) != nil {
			i++
			continue
		}
		in, dropped := e.inst, sh.dropped
		e.mu.Unlock()
		t := sh.readTail(r.Stream)
		e.mu.Lock()
		if err := e.refusal(sh, b); err != nil {
			return err
		}
		if e.inst != in || sh.dropped != dropped {
			i = 0 // of what was found so far nothing may be known any more
		} else if sh.logs[r.Stream] == nil {
			sh.logs[r.Stream] = t
		}
	}
	return nil
}

// readTail reads how a log stands. Should that fail the log is taken to be one
// segment longer than its index says: only its size is then wrong.
func (sh *shard) readTail(log string) *tail {
	v, err := sh.e.views.acquire()
	if err != nil {
		return &tail{}
	}
	defer sh.e.views.release(v)
	last, ok, err := v.lastSegment(sh.id, log, 0)
	if err != nil {
		return &tail{total: last.before + segmentBytes}
	}
	if !ok {
		return &tail{}
	}
	bytes, err := v.bytesFrom(sh.id, log, last.first)
	if err != nil {
		bytes = segmentBytes
	}
	return &tail{total: last.before + bytes, since: bytes, row: true}
}

// lastSegment returns the last row of a log's index before an offset, zero for
// the end.
func (v *view) lastSegment(s engine.Shard, log string, before gatehouse.Offset) (g segment, ok bool, err error) {
	lower := appendStream(nil, spaceSegment, s, log)
	it, err := v.iter(lower, prefixEnd(lower))
	if err != nil {
		return g, false, v.in.unavailable(err)
	}
	defer func() { err = v.closed(it, err) }()
	valid := false
	if before == 0 {
		valid = it.Last()
	} else {
		valid = it.SeekLT(appendOffset(lower, before))
	}
	for ; valid; valid = it.Prev() {
		value, err := it.ValueAndErr()
		if err != nil {
			return g, false, v.in.unavailable(err)
		}
		// A damaged row is passed over: it only makes its segment longer.
		if g, ok = parseSegment(it.Key(), value); ok {
			return g, true, nil
		}
	}
	return g, false, it.Error()
}

// bytesFrom adds up the records of a log from an offset on, as a tail does.
func (v *view) bytesFrom(s engine.Shard, log string, from gatehouse.Offset) (bytes int64, err error) {
	prefix := appendStream(nil, spaceLog, s, log)
	it, err := v.iter(appendOffset(append([]byte(nil), prefix...), from), prefixEnd(prefix))
	if err != nil {
		return 0, v.in.unavailable(err)
	}
	defer func() { err = v.closed(it, err) }()
	for valid := it.First(); valid; valid = it.Next() {
		value := it.LazyValue()
		bytes += int64(value.Len()) - recordHeader + recordCost
	}
	return bytes, it.Error()
}

// closed closes an iterator and returns the first error, for a caller.
func (v *view) closed(it *pebble.Iterator, err error) error {
	if e := it.Close(); err == nil {
		err = e
	}
	return v.readError(err)
}
