package pebbledb

import (
	"bytes"
	"context"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// queues is an engine.Queues.
type queues struct {
	sh    *shard
	epoch uint64
}

// Own implements engine.Engine. It waits until what the previous owner has
// committed is durable.
func (e *Engine) Own(ctx context.Context, s engine.Shard, put func(queue string, e engine.Envelope)) (engine.Queues, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	sh := e.shards[s]
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil, errClosed()
	}
	e.epoch++
	epoch := e.epoch
	sh.epoch = epoch
	owned := make(chan error, 1)
	e.submit(entry{lane: &sh.lane, done: func(err error) {
		if err == nil {
			sh.put = put
		}
		owned <- err
	}})
	e.mu.Unlock()
	select {
	case err := <-owned:
		if err != nil {
			return nil, err
		}
		return &queues{sh, epoch}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Epoch implements engine.Queues.
func (q *queues) Epoch() uint64 { return q.epoch }

// Scan implements engine.Queues.
func (q *queues) Scan(ctx context.Context, queue string, after gatehouse.Offset, limit int, data bool, dst []engine.Envelope) ([]engine.Envelope, error) {
	if err := ctx.Err(); err != nil {
		return dst, err
	}
	v, err := q.sh.e.views.acquire()
	if err != nil {
		return dst, err
	}
	defer q.sh.e.views.release(v)
	from := after + 1
	if from == 0 || limit <= 0 {
		return dst, nil
	}
	st := v.stream(spaceQueue, q.sh.id, queue)
	start := q.sh.skip(queue, from)
	it, err := st.iter(start)
	if err != nil {
		return dst, err
	}
	defer func() { err = v.closed(it, err) }()
	valid := it.First()
	switch {
	case valid:
		q.sh.passed(queue, from, start, keyOffset(it.Key()), it)
	case it.Error() == nil:
		q.sh.passed(queue, from, start, v.next[q.sh.id], it)
	}
	next, size := start, 0
	for n := 0; valid && n < limit; valid = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return dst, st.failed(err, keyOffset(it.Key()))
		}
		e, ok := parseRecord(it.Key(), value)
		if !ok {
			return dst, st.corrupt(keyOffset(it.Key()), badChecksum)
		}
		e.Data = own(e.Data, data)
		dst = append(dst, e)
		next = e.Offset + 1
		size += e.Size
		n++
		if data && size > engine.ScanBytes {
			return dst, nil
		}
	}
	return dst, st.failed(it.Error(), next)
}

// own returns a copy of data, or nil if it is not wanted.
func own(data []byte, wanted bool) []byte {
	if !wanted {
		return nil
	}
	return append(make([]byte, 0, len(data)), data...)
}

// Get implements engine.Queues.
func (q *queues) Get(ctx context.Context, queue string, o gatehouse.Offset) (engine.Envelope, error) {
	if err := ctx.Err(); err != nil {
		return engine.Envelope{}, err
	}
	v, err := q.sh.e.views.acquire()
	if err != nil {
		return engine.Envelope{}, err
	}
	defer q.sh.e.views.release(v)
	return q.get(v, queue, o)
}

func (q *queues) get(v *view, queue string, o gatehouse.Offset) (e engine.Envelope, err error) {
	st := v.stream(spaceQueue, q.sh.id, queue)
	key := appendOffset(st.prefix, o)
	value, closer, err := v.snap.Get(key)
	switch {
	case isNotFound(err):
		return e, gatehouse.Errorf(gatehouse.NotFound, "record %d is not in queue %q", o, queue)
	case err != nil && isCorrupt(v.readError(err)):
		return e, st.corrupt(o, err.Error())
	case err != nil:
		return e, v.in.unavailable(err)
	}
	defer func() {
		if e2 := closer.Close(); err == nil && e2 != nil {
			err = v.in.unavailable(e2)
		}
	}()
	e, ok := parseRecord(key, value)
	if !ok {
		return engine.Envelope{}, st.corrupt(o, badChecksum)
	}
	e.Data = own(e.Data, true)
	return e, nil
}

// namesPage is how many names are looked up before they are visited.
const namesPage = 1024

// Names implements engine.Queues.
func (q *queues) Names(ctx context.Context, after string, visit func(queue string) bool) error {
	var names []string
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		names, err = q.names(after, names[:0])
		for _, n := range names {
			if !visit(n) {
				return nil
			}
			after = n
		}
		if err != nil || len(names) < namesPage {
			return err
		}
	}
}

// names appends the next names after one.
func (q *queues) names(after string, dst []string) (names []string, err error) {
	v, err := q.sh.e.views.acquire()
	if err != nil {
		return dst, err
	}
	defer q.sh.e.views.release(v)
	space := appendShard(nil, spaceQueue, q.sh.id)
	seek := append([]byte(nil), space...)
	if after != "" {
		seek = append(append(seek, after...), 1)
	}
	it, err := v.iter(seek, prefixEnd(space))
	if err != nil {
		return dst, v.in.unavailable(err)
	}
	defer func() { err = v.closed(it, err) }()
	for valid := it.First(); valid && len(dst) < namesPage; {
		name := streamName(it.Key())
		if name == nil {
			valid = it.Next() // a damaged key
			continue
		}
		dst = append(dst, string(name))
		// Most queues are short: try the next key before seeking.
		here := len(seek[:shardLen]) + len(name) + 1
		seek = append(append(seek[:shardLen], name...), 1)
		valid = it.Next()
		if valid && len(it.Key()) >= here && bytes.HasPrefix(it.Key()[shardLen:], seek[shardLen:here-1]) && it.Key()[here-1] == 0 {
			valid = it.SeekGE(seek)
		}
	}
	return dst, it.Error()
}
