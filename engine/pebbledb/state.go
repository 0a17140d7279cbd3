package pebbledb

import (
	"github.com/gatehouse/gatehouse/engine"
)

// state is an engine.State.
type state struct{ sh *shard }

// State implements engine.Engine.
func (e *Engine) State(s engine.Shard) engine.State { return state{e.shards[s]} }

// Get implements engine.State.
func (st state) Get(key string) (value []byte, err error) {
	v, err := st.sh.e.views.acquire()
	if err != nil {
		return nil, err
	}
	defer st.sh.e.views.release(v)
	full := append(appendShard(make([]byte, 0, shardLen+len(key)), spaceState, st.sh.id), key...)
	stored, closer, err := v.snap.Get(full)
	switch {
	case isNotFound(err):
		return nil, nil
	case err != nil && isCorrupt(v.readError(err)):
		return nil, st.corrupt(key, err.Error())
	case err != nil:
		return nil, v.in.unavailable(err)
	}
	defer func() {
		if e := closer.Close(); err == nil && e != nil {
			err = v.in.unavailable(e)
		}
	}()
	if !intact(full, stored) {
		return nil, st.corrupt(key, "the checksum of the row does not match")
	}
	return own(stored[crcLen:], true), nil
}

// Scan implements engine.State.
func (st state) Scan(prefix string, visit func(key string, value []byte) bool) (err error) {
	v, err := st.sh.e.views.acquire()
	if err != nil {
		return err
	}
	defer st.sh.e.views.release(v)
	lower := append(appendShard(nil, spaceState, st.sh.id), prefix...)
	it, err := v.iter(lower, prefixEnd(lower))
	if err != nil {
		return v.in.unavailable(err)
	}
	defer func() { err = v.closed(it, err) }()
	last := prefix
	for valid := it.First(); valid; valid = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return st.failed(v, last, err)
		}
		last = string(it.Key()[shardLen:])
		if !intact(it.Key(), value) {
			return st.corrupt(last, "the checksum of the row does not match")
		}
		if !visit(last, value[crcLen:]) {
			return nil
		}
	}
	return st.failed(v, last, it.Error())
}

func (st state) failed(v *view, last string, err error) error {
	if err = v.readError(err); isCorrupt(err) {
		return st.corrupt(last, "rows behind this one cannot be read: "+err.Error())
	}
	return err
}

// corrupt names a row that is damaged.
func (st state) corrupt(key, detail string) error {
	return &engine.CorruptError{Shard: st.sh.id, Stream: "state " + key, Detail: detail}
}
