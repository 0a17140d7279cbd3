package pebbledb

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse"

	"github.com/cockroachdb/pebble/v2"
)

// minSlack is how many bytes more than asked may stay in any case.
const minSlack = 1 << 20

// A trim is what Retain decides to drop.
type trim struct {
	from  gatehouse.Offset // the first row of the index
	cut   gatehouse.Offset // records before this one go
	keep  gatehouse.Offset // rows before this one go
	empty bool             // nothing stays
	total int64
	// dropped is what the shard's was. If another log was dropped since, or
	// this one, nothing of this holds.
	dropped uint64
}

// Retain implements engine.Log. It reads the rows of the index of what is
// dropped, and for an age the records of the first segment that stays.
func (l *log) Retain(_ context.Context, age time.Duration, bytes int64) error {
	if age <= 0 && bytes <= 0 {
		return nil
	}
	t, err := l.plan(age, bytes)
	if err != nil || t.cut <= t.from {
		return err
	}
	s := l.sh.id
	return l.sh.e.do(&l.sh.lane, func(b *pebble.Batch) error {
		if l.sh.dropped != t.dropped {
			return nil // the next Retain will see what is left
		}
		err := dropRange(b, appendStream(nil, spaceLog, s, l.name), t.from, t.cut)
		if err == nil && t.keep > t.from {
			err = dropRange(b, appendStream(nil, spaceSegment, s, l.name), t.from, t.keep)
		}
		if err == nil && t.empty {
			// What is left of the log is where it goes on.
			err = setSegment(b, s, l.name, segment{t.cut, time.Now().UnixNano(), t.total})
		}
		return err
	})
}

func dropRange(b *pebble.Batch, prefix []byte, from, to gatehouse.Offset) error {
	start := appendOffset(append([]byte(nil), prefix...), from)
	return b.DeleteRange(start, appendOffset(prefix, to), nil)
}

// plan decides what to drop: nothing of a log that is being dropped.
func (l *log) plan(age time.Duration, bytes int64) (t trim, err error) {
	var dropping bool
	if t.dropped, dropping = l.sh.dropping(l.name); dropping {
		return t, nil
	}
	v, err := l.sh.e.views.acquire()
	if err != nil {
		return t, err
	}
	defer l.sh.e.views.release(v)
	t.total = l.total()
	oldest := int64(0)
	if age > 0 {
		oldest = time.Now().Add(-age).UnixNano()
	}
	lower := appendStream(nil, spaceSegment, l.sh.id, l.name)
	it, err := v.iter(lower, prefixEnd(lower))
	if err != nil {
		return t, v.in.unavailable(err)
	}
	defer func() { err = v.closed(it, err) }()
	if !it.First() {
		return t, it.Error()
	}
	t.from = keyOffset(it.Key())
	t.cut, t.keep = t.from, t.from
	left := int64(0) // bytes that stay if the segment before g does
	if value, err := it.ValueAndErr(); err == nil {
		g, _ := parseSegment(it.Key(), value)
		left = t.total - g.before
	}
	most := bytes + max(bytes/16, minSlack)
	for it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return t, err
		}
		g, ok := parseSegment(it.Key(), value)
		if !ok {
			continue
		}
		// All before g is older than g.
		rest := t.total - g.before
		if g.enqueued >= oldest && (bytes <= 0 || rest < bytes && left <= most) {
			break
		}
		t.cut, t.keep, left = g.first, g.first, rest
	}
	if err := it.Error(); err != nil || age <= 0 {
		return t, err
	}
	return t, l.planRecords(v, &t, oldest, age)
}

// planRecords moves the cut within the first segment that stays, if that is
// worth it: if something is older than a sixteenth more than asked.
func (l *log) planRecords(v *view, t *trim, oldest int64, age time.Duration) (err error) {
	st := v.stream(spaceLog, l.sh.id, l.name)
	it, err := st.iter(t.cut)
	if err != nil {
		return err
	}
	defer func() { err = v.closed(it, err) }()
	valid := it.First()
	if valid {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		e, ok := parseRecord(it.Key(), value)
		if ok && e.Enqueued >= oldest-int64(age/16) {
			return nil
		}
	}
	cut := t.cut
	for ; valid; valid = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if e, ok := parseRecord(it.Key(), value); ok && e.Enqueued >= oldest {
			t.cut = keyOffset(it.Key())
			return nil
		}
		cut = keyOffset(it.Key()) + 1
	}
	if err := it.Error(); err != nil {
		return err
	}
	if cut > t.cut { // all are old
		t.cut, t.keep, t.empty = cut, cut, true
	}
	return nil
}
