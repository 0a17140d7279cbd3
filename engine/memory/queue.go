package memory

import (
	"cmp"
	"context"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// A queue is the records of one queue, by offset; never empty.
type queue struct {
	records sorted[gatehouse.Offset, queueRecord]
}

type queueRecord struct {
	enqueued, expires, notBefore int64
	data                         []byte
	damaged                      bool
}

func (st *store) enqueue(r *engine.Record, now int64) {
	q := st.queues[r.Stream]
	if q == nil {
		q = &queue{newSorted[gatehouse.Offset, queueRecord](cmp.Compare[gatehouse.Offset])}
		st.queues[r.Stream] = q
		st.names.set(r.Stream, struct{}{})
	}
	q.records.set(r.Offset, queueRecord{enqueued: now, expires: r.Expires, notBefore: r.NotBefore, data: st.arena.copy(r.Data)})
	if r.Expires != 0 {
		st.expires.set(expiry{r.Expires, r.Offset}, r.Stream)
	}
}

func (st *store) remove(name string, o gatehouse.Offset) {
	q := st.queues[name]
	if q == nil {
		return
	}
	r, ok := q.records.delete(o)
	if !ok {
		return
	}
	if r.expires != 0 {
		st.expires.delete(expiry{r.expires, o})
	}
	if q.records.n == 0 {
		delete(st.queues, name)
		st.names.delete(name)
	}
}

func (st *store) clearQueue(name string) {
	q := st.queues[name]
	if q == nil {
		return
	}
	for o, r := range q.records.from(0) {
		if r.expires != 0 {
			st.expires.delete(expiry{r.expires, o})
		}
	}
	delete(st.queues, name)
	st.names.delete(name)
}

func (st *store) damageQueue(name string, o gatehouse.Offset) bool {
	q := st.queues[name]
	if q == nil {
		return false
	}
	r, ok := q.records.get(o)
	if !ok {
		return false
	}
	r.damaged = true
	q.records.set(o, r)
	return true
}

func (r *queueRecord) envelope(o gatehouse.Offset) engine.Envelope {
	return engine.Envelope{Offset: o, Size: len(r.data), Enqueued: r.enqueued, Expires: r.expires, NotBefore: r.notBefore}
}

// queues is an engine.Queues.
type queues struct {
	shard *shard
	epoch uint64
}

func (v *queues) Epoch() uint64 { return v.epoch }

func (v *queues) view(ctx context.Context) (*store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return v.shard.view()
}

func (v *queues) corrupt(queue string, o gatehouse.Offset) error {
	return &engine.CorruptError{Shard: v.shard.id, Stream: queue, Offset: o, Detail: "it was damaged on purpose"}
}

func (v *queues) Scan(ctx context.Context, queue string, after gatehouse.Offset, limit int, data bool, dst []engine.Envelope) ([]engine.Envelope, error) {
	st, err := v.view(ctx)
	if err != nil {
		return dst, err
	}
	defer v.shard.mu.Unlock()
	q := st.queues[queue]
	if q == nil || after+1 == 0 || limit <= 0 {
		return dst, nil
	}
	bytes := 0
	for o, r := range q.records.from(after + 1) {
		if limit == 0 || bytes > engine.ScanBytes {
			break
		}
		if r.damaged {
			return dst, v.corrupt(queue, o)
		}
		e := r.envelope(o)
		if data {
			e.Data = append([]byte{}, r.data...)
			bytes += len(r.data)
		}
		dst = append(dst, e)
		limit--
	}
	return dst, nil
}

func (v *queues) Get(ctx context.Context, queue string, o gatehouse.Offset) (engine.Envelope, error) {
	st, err := v.view(ctx)
	if err != nil {
		return engine.Envelope{}, err
	}
	defer v.shard.mu.Unlock()
	var r queueRecord
	q, ok := st.queues[queue]
	if ok {
		r, ok = q.records.get(o)
	}
	if !ok {
		return engine.Envelope{}, gatehouse.Errorf(gatehouse.NotFound, "queue %q has no record %d", queue, o)
	}
	if r.damaged {
		return engine.Envelope{}, v.corrupt(queue, o)
	}
	e := r.envelope(o)
	e.Data = append([]byte{}, r.data...)
	return e, nil
}

func (v *queues) Names(ctx context.Context, after string, visit func(string) bool) error {
	st, err := v.view(ctx)
	if err != nil {
		return err
	}
	names := st.names.snapshot()
	v.shard.mu.Unlock()
	for name := range names.from(after) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if name != after && !visit(name) {
			return nil
		}
	}
	return nil
}

func (v *queues) Expired(ctx context.Context, now int64, limit int, dst []engine.Ref) ([]engine.Ref, error) {
	st, err := v.view(ctx)
	if err != nil {
		return dst, err
	}
	defer v.shard.mu.Unlock()
	for e, name := range st.expires.from(expiry{at: -1 << 63}) {
		if limit <= 0 || e.at > now {
			break
		}
		dst = append(dst, engine.Ref{Queue: name, Offset: e.offset, Expires: e.at})
		limit--
	}
	return dst, nil
}
