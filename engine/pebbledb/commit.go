package pebbledb

import (
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"

	"github.com/cockroachdb/pebble/v2"
)

// Bounds of a group.
const (
	maxGroup = 4 << 20 // bytes, beyond which Commit waits
	// offsetStep is how many offsets the store promises at once to be in use.
	// After a crash the offsets of a shard go on behind what was promised.
	offsetStep = 1 << 20
)

// A group is what is written to the log at once: commits of any shards, in
// order, and what the engine itself has to write.
type group struct {
	batch   *pebble.Batch
	entries []entry
	next    []gatehouse.Offset // by shard: not assigned yet when the group was taken
	number  uint64             // among those that are written; 0 if there is nothing to write
	written bool               // batch was given to Pebble
	view    *view              // of the store behind the group
}

// An entry is one commit on its way, or a step of the engine that has to keep
// its place among them.
type entry struct {
	lane     *lane
	shard    *shard
	batch    *engine.Batch // nil: none
	enqueued int64
	soonest  int64 // the least Expires in batch
	err      error
	done     func(error)
}

// noExpiry is later than any Expires.
const noExpiry = 1<<63 - 1

// Commit implements engine.Engine.
func (e *Engine) Commit(s engine.Shard, b *engine.Batch, done func(error)) {
	sh := e.shards[s]
	en := entry{lane: &sh.lane, shard: sh, batch: b, done: done, soonest: noExpiry, err: check(b)}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waitRoom()
	if en.err == nil {
		en.err = e.refusal(sh, b)
	}
	if en.err == nil {
		en.err = sh.findTails(b)
	}
	if en.err == nil {
		en.err = sh.encode(e.open.batch, b, &en)
	}
	e.submit(en)
}

// check refuses what can never be stored.
func check(b *engine.Batch) error {
	for i := range b.Records {
		r := &b.Records[i]
		if len(r.Data) > engine.MaxRecord {
			return gatehouse.Errorf(gatehouse.TooLarge, "the record is %d bytes long; at most %d can be stored", len(r.Data), engine.MaxRecord)
		}
		if len(r.Stream) == 0 || len(r.Stream) > maxName || strings.IndexByte(r.Stream, 0) >= 0 {
			return gatehouse.Errorf(gatehouse.Invalid, "%q cannot name a log or queue", r.Stream)
		}
	}
	return nil
}

// waitRoom waits, with mu held, while the group that is being filled is full.
func (e *Engine) waitRoom() {
	for e.failed == nil && !e.closed && e.open.batch.Len() > maxGroup {
		e.room.Wait()
	}
}

// refusal returns why b cannot be stored now, or nil. mu is held.
func (e *Engine) refusal(sh *shard, b *engine.Batch) error {
	switch {
	case e.closed:
		return errClosed()
	case e.failed != nil:
		return e.failed
	case b.Epoch != 0 && b.Epoch != sh.epoch:
		return gatehouse.Errorf(gatehouse.Conflict, "the queues of shard %d have another owner now", sh.id)
	case e.full && len(b.Records) > 0:
		return e.fullError()
	}
	return nil
}

func (e *Engine) fullError() error {
	return gatehouse.Errorf(gatehouse.Unavailable, "the disk of store %s is nearly full; nothing more is stored until at least %d MiB are free", e.opts.Dir, max(e.opts.MinFree, 0)>>20)
}

// submit puts en behind all others. mu is held.
func (e *Engine) submit(en entry) {
	if e.failed != nil || e.inst == nil {
		if en.err == nil {
			en.err = e.failed
		}
		en.lane.push(en) // all before it are there already
		return
	}
	e.open.entries = append(e.open.entries, en)
	e.inst.poke()
}

// internal writes something of the engine's own and calls done, from the lane,
// when it is durable.
func (e *Engine) internal(l *lane, write func(*pebble.Batch) error, done func(error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waitRoom()
	en := entry{lane: l, done: done, soonest: noExpiry}
	switch {
	case e.closed:
		en.err = errClosed()
	case e.failed != nil:
		en.err = e.failed
	case write != nil:
		en.err = write(e.open.batch)
	}
	e.submit(en)
}

// do is internal that waits.
func (e *Engine) do(l *lane, write func(*pebble.Batch) error) error {
	done := make(chan error, 1)
	e.internal(l, write, func(err error) { done <- err })
	return <-done
}

// take hands the group that was filled to in, which must still be in use; nil
// if it is empty.
func (e *Engine) take(in *instance) *group {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.inst != in || e.failed != nil || len(e.open.entries) == 0 {
		return nil
	}
	g := e.open
	g.next = make([]gatehouse.Offset, len(e.shards))
	for i, sh := range e.shards {
		g.next[i] = sh.next
	}
	if g.batch.Count() > 0 {
		e.taken++
		g.number = e.taken
		setStamp(g.batch, stamp{g.number, e.durable})
	}
	e.inflight = append(e.inflight, g)
	e.open = in.newGroup()
	e.room.Broadcast()
	return g
}

func (in *instance) newGroup() *group {
	b := in.db.NewBatch(pebble.WithInitialSizeBytes(64<<10), pebble.WithMaxRetainedSizeBytes(maxGroup))
	addStamp(b)
	return &group{batch: b}
}

// lastStamp returns the stamp that goes behind the last group, if that is on
// disk.
func (e *Engine) lastStamp(in *instance) (stamp, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return stamp{e.taken + 1, e.durable}, e.inst == in && e.taken == e.durable
}

// complete makes g, which is on disk, visible, and has its callers told.
func (e *Engine) complete(in *instance, g *group) {
	e.mu.Lock()
	if e.inst != in || e.failed != nil || in.gate.cause() != nil {
		e.mu.Unlock() // it was not written, whatever Pebble believes
		return
	}
	e.durable = max(e.durable, g.number)
	n := copy(e.inflight, e.inflight[1:])
	e.inflight[n] = nil
	e.inflight = e.inflight[:n]
	var old *view
	if g.view != nil {
		old = e.views.publish(g.view)
	}
	for i := range g.entries {
		g.entries[i].endDrop()
		g.entries[i].lane.push(g.entries[i])
	}
	if e.closed {
		e.room.Broadcast()
	}
	e.mu.Unlock()
	e.views.release(old)
	if err := g.batch.Close(); err != nil {
		e.opts.Logger.Error("a batch could not be released", "error", err)
	}
}

// encode assigns the offsets of b's records and writes all of b into batch.
// Engine.mu is held.
func (sh *shard) encode(batch *pebble.Batch, b *engine.Batch, en *entry) error {
	sh.enqueued = max(sh.enqueued, time.Now().UnixNano())
	en.enqueued = sh.enqueued
	if err := sh.encodeClears(batch, b); err != nil {
		return sh.encodeFailed(err)
	}
	if err := sh.encodeDrops(batch, b.DropLogs); err != nil {
		return sh.encodeFailed(err)
	}
	for i := range b.Records {
		r := &b.Records[i]
		r.Offset = sh.next
		sh.next++
		err := setRecord(batch, sh.id, r, en.enqueued)
		if r.Queue && r.Expires != 0 && err == nil {
			en.soonest = min(en.soonest, r.Expires)
			err = setExpiry(batch, sh.id, r)
		}
		if !r.Queue && err == nil {
			err = sh.tail(r.Stream).append(batch, sh.id, r, en.enqueued)
		}
		if err != nil {
			return sh.encodeFailed(err)
		}
	}
	sh.soonest, sh.fresh = min(sh.soonest, en.soonest), min(sh.fresh, en.soonest)
	if sh.next > sh.promised {
		sh.promised = sh.next + offsetStep
		if err := setNumber(batch, appendShard(nil, spaceOffsets, sh.id), uint64(sh.promised)); err != nil {
			return sh.encodeFailed(err)
		}
	}
	sh.encodeRemovals(batch, b)
	return sh.encodeState(batch, b)
}

// encodeFailed says that a batch could not be built, which only a defect can
// cause.
func (sh *shard) encodeFailed(err error) error {
	return gatehouse.Wrap(gatehouse.Internal, err, fmt.Sprintf("a commit of shard %d cannot be encoded: %v", sh.id, err))
}

func (sh *shard) encodeClears(batch *pebble.Batch, b *engine.Batch) error {
	for _, prefix := range b.Clear {
		start := append(appendShard(nil, spaceState, sh.id), prefix...)
		if err := batch.DeleteRange(start, prefixEnd(start), nil); err != nil {
			return err
		}
	}
	for _, queue := range b.ClearQueues {
		// Entries of spaceExpiry stay; Expired finds them out.
		start := appendStream(nil, spaceQueue, sh.id, queue)
		if err := batch.DeleteRange(start, prefixEnd(start), nil); err != nil {
			return err
		}
	}
	return nil
}

// encodeRemovals removes records. Each is put once in the life of a store, so
// that a SingleDelete will do: it goes as soon as it meets the record, often in
// the memtable already, and no tombstone sinks to the bottom of the store.
func (sh *shard) encodeRemovals(batch *pebble.Batch, b *engine.Batch) {
	for i := range b.Remove {
		r := &b.Remove[i]
		op := batch.SingleDeleteDeferred(streamKeyLen(r.Queue))
		putStreamKey(op.Key, spaceQueue, sh.id, r.Queue, r.Offset)
		_ = op.Finish() // fails for indexed batches only
		if r.Expires == 0 {
			continue
		}
		op = batch.SingleDeleteDeferred(expiryKeyLen)
		putExpiryKey(op.Key, sh.id, r.Expires, r.Offset)
		_ = op.Finish()
	}
}

func (sh *shard) encodeState(batch *pebble.Batch, b *engine.Batch) error {
	var buf [shardLen]byte
	prefix := appendShard(buf[:0], spaceState, sh.id)
	for i := range b.State {
		row := &b.State[i]
		if row.Value == nil {
			op := batch.DeleteDeferred(shardLen + len(row.Key))
			copy(op.Key[copy(op.Key, prefix):], row.Key)
			_ = op.Finish() // fails for indexed batches only
			continue
		}
		if err := setRow(batch, prefix, row.Key, row.Value); err != nil {
			return sh.encodeFailed(err)
		}
	}
	return nil
}
