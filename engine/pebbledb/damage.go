package pebbledb

import (
	"errors"
	"fmt"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"

	"github.com/cockroachdb/pebble/v2"
)

func isNotFound(err error) bool { return errors.Is(err, pebble.ErrNotFound) }

// readError makes an error of reading one for the caller.
func (v *view) readError(err error) error {
	if err == nil || errors.Is(err, gatehouse.Internal) || gatehouse.KindOf(err) != gatehouse.Internal {
		return err
	}
	if pebble.IsCorruptionError(err) {
		return &engine.CorruptError{Detail: err.Error()}
	}
	return v.in.unavailable(err)
}

// A stream is a log or a queue as a view shows it.
type stream struct {
	v      *view
	space  byte
	shard  engine.Shard
	name   string
	prefix []byte
}

func (v *view) stream(space byte, s engine.Shard, name string) stream {
	prefix := appendStream(make([]byte, 0, streamKeyLen(name)), space, s, name)
	return stream{v: v, space: space, shard: s, name: name, prefix: prefix}
}

// iter returns an iterator over the records whose offset is at least from. A
// key with an offset that was never assigned is damaged, and not among them.
func (st *stream) iter(from gatehouse.Offset) (*pebble.Iterator, error) {
	lower := appendOffset(append(make([]byte, 0, len(st.prefix)+offsetLen), st.prefix...), from)
	upper := appendOffset(append(make([]byte, 0, len(st.prefix)+offsetLen), st.prefix...), st.v.next[st.shard])
	it, err := st.v.iter(lower, upper)
	if err != nil {
		return nil, st.v.in.unavailable(err)
	}
	return it, nil
}

// corrupt names a record that is damaged.
func (st *stream) corrupt(o gatehouse.Offset, detail string) error {
	return &engine.CorruptError{Shard: st.shard, Stream: st.name, Offset: o, Detail: detail}
}

const badChecksum = "the checksum of the record does not match"

// failed says what err, met by an iterator that was to go on at from, means. If
// a part of a table cannot be read, the error names the last record of it, so
// that reading goes on behind it.
func (st *stream) failed(err error, from gatehouse.Offset) error {
	if err == nil {
		return nil
	}
	if !pebble.IsCorruptionError(err) {
		return st.v.in.unavailable(err)
	}
	end := st.v.next[st.shard]
	good := end // reading works from here on
	bad := from
	for step := gatehouse.Offset(1); from+step < end; step *= 2 {
		if st.readable(from + step) {
			good = from + step
			break
		}
		bad = from + step
	}
	for good-bad > 1 {
		if mid := bad + (good-bad)/2; st.readable(mid) {
			good = mid
		} else {
			bad = mid
		}
	}
	return st.corrupt(bad, fmt.Sprintf("a table is damaged; none of the records from offset %d to %d can be read: %v", from, bad, err))
}

// readable reports whether the first record at or after from can be read.
func (st *stream) readable(from gatehouse.Offset) bool {
	it, err := st.iter(from)
	if err != nil {
		return false
	}
	it.First()
	err = it.Error()
	return errors.Join(err, it.Close()) == nil
}

// first returns the offset of the first record at or after from.
func (st *stream) first(from gatehouse.Offset) (o gatehouse.Offset, ok bool, err error) {
	it, err := st.iter(from)
	if err != nil {
		return 0, false, err
	}
	if ok = it.First(); ok {
		o = keyOffset(it.Key())
	}
	err = st.failed(it.Error(), from)
	return o, ok, st.v.closed(it, err)
}

// last returns the offset of the last record.
func (st *stream) last() (o gatehouse.Offset, ok bool, err error) {
	it, err := st.iter(0)
	if err != nil {
		return 0, false, err
	}
	if ok = it.Last(); ok {
		o = keyOffset(it.Key())
	}
	return o, ok, st.v.closed(it, it.Error())
}
