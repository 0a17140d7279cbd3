package pebbledb

import (
	"context"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"

	"github.com/cockroachdb/pebble/v2"
)

// Expired implements engine.Queues.
func (q *queues) Expired(ctx context.Context, now int64, limit int, dst []engine.Ref) ([]engine.Ref, error) {
	if err := ctx.Err(); err != nil {
		return dst, err
	}
	sh := q.sh
	sh.expiring.Lock()
	defer sh.expiring.Unlock()
	x, err := sh.beginExpired()
	if err != nil {
		return dst, err
	}
	defer sh.e.views.release(x.v)
	now = min(now, noExpiry-1)
	if x.from > now || limit <= 0 {
		return dst, nil
	}
	dst, err = x.scan(q, now, limit, dst)
	if err != nil {
		return dst, err
	}
	sh.endExpired(x)
	if len(x.stale) == 0 {
		return dst, nil
	}
	return dst, sh.dropStale(x.stale)
}

// An expiring is one call of Expired.
type expiring struct {
	v     *view
	from  int64 // no record expires earlier
	floor int64 // nor one that is not in v yet
	found int64 // no record in v expires earlier
	// stale entries of the index belong to queues that were cleared.
	stale []engine.Ref
}

func (sh *shard) beginExpired() (*expiring, error) {
	e := sh.e
	e.mu.Lock()
	defer e.mu.Unlock()
	v, err := e.views.acquire()
	if err != nil {
		return nil, err
	}
	x := &expiring{v: v, from: sh.soonest, floor: noExpiry}
	sh.fresh = noExpiry
	for _, g := range append(e.inflight[:len(e.inflight):len(e.inflight)], e.open) {
		for i := range g.entries {
			if g.entries[i].shard == sh {
				x.floor = min(x.floor, g.entries[i].soonest)
			}
		}
	}
	return x, nil
}

// endExpired remembers where the next call may begin.
func (sh *shard) endExpired(x *expiring) {
	sh.e.mu.Lock()
	defer sh.e.mu.Unlock()
	sh.soonest = min(x.found, x.floor, sh.fresh)
}

func (x *expiring) scan(q *queues, now int64, limit int, dst []engine.Ref) (refs []engine.Ref, err error) {
	v, s := x.v, q.sh.id
	lower, upper := make([]byte, expiryKeyLen), make([]byte, expiryKeyLen)
	putExpiryKey(lower, s, x.from, 0)
	putExpiryKey(upper, s, now+1, 0)
	it, err := v.iter(lower, upper)
	if err != nil {
		return dst, v.in.unavailable(err)
	}
	defer func() { err = v.closed(it, err) }()
	x.found = noExpiry
	n := 0
	for valid := it.First(); valid && n < limit; valid = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return dst, err
		}
		expires, o := parseExpiryKey(it.Key())
		if !intact(it.Key(), value) {
			x.found = min(x.found, expires)
			q.sh.e.opts.Logger.Error("a record's entry in the index of expiry is damaged; the record will not expire by itself", "shard", s, "offset", o)
			continue
		}
		ref := engine.Ref{Queue: string(value[crcLen:]), Offset: o, Expires: expires}
		ok, err := v.hasRecord(s, &ref)
		if err != nil {
			return dst, err
		}
		if !ok {
			x.stale = append(x.stale, ref)
			continue
		}
		x.found = min(x.found, expires)
		dst = append(dst, ref)
		n++
	}
	if x.found == noExpiry {
		x.found = now + 1
	}
	return dst, it.Error()
}

// hasRecord reports whether a record is there, damaged or not.
func (v *view) hasRecord(s engine.Shard, r *engine.Ref) (bool, error) {
	key := make([]byte, streamKeyLen(r.Queue))
	putStreamKey(key, spaceQueue, s, r.Queue, r.Offset)
	_, closer, err := v.snap.Get(key)
	switch {
	case isNotFound(err):
		return false, nil
	case err != nil && isCorrupt(v.readError(err)):
		return true, nil
	case err != nil:
		return false, v.in.unavailable(err)
	}
	return true, closer.Close()
}

// dropStale removes entries of the index whose records are gone.
func (sh *shard) dropStale(stale []engine.Ref) error {
	return sh.e.do(&sh.lane, func(b *pebble.Batch) error {
		for i := range stale {
			op := b.SingleDeleteDeferred(expiryKeyLen)
			putExpiryKey(op.Key, sh.id, stale[i].Expires, stale[i].Offset)
			if err := op.Finish(); err != nil {
				return err
			}
		}
		return nil
	})
}

// isCorrupt reports whether err says that something stored is damaged.
func isCorrupt(err error) bool {
	_, ok := asCorrupt(err)
	return ok
}

func asCorrupt(err error) (c *engine.CorruptError, ok bool) {
	if err == nil || gatehouse.KindOf(err) == gatehouse.Unavailable {
		return nil, false
	}
	c, ok = err.(*engine.CorruptError)
	return c, ok
}
