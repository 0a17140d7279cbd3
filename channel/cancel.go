package channel

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// Cancel takes scheduled messages out that a sender has sent, by their sequence
// numbers: once it has returned nil, none of them becomes due. It fails with
// NotFound, and takes none out, if one of them does not wait: it is due
// already, was cancelled, or is not of this sender. Should storage fail, those of
// some shards may be taken out and those of others not.
func (s *Set) Cancel(ctx context.Context, from Sender, numbers ...uint64) error {
	shards := make(map[engine.Shard]*engine.Op)
	for _, n := range numbers {
		shards[engine.Shard(n%uint64(s.shards))] = &engine.Op{}
	}
	order := slices.Sorted(maps.Keys(shards))
	for _, shard := range order {
		s.schedules[shard].changing.Lock()
		defer s.schedules[shard].changing.Unlock()
	}
	for _, n := range numbers {
		shard := engine.Shard(n % uint64(s.shards))
		key := numberKey(from, n)
		due, err := s.engine.State(shard).Get(key)
		if err != nil {
			return err
		}
		if due == nil {
			return gatehouse.Errorf(gatehouse.NotFound, "no message scheduled by this sender waits under sequence number %d: it was delivered or cancelled already, or never was; nothing was cancelled", n)
		}
		op := shards[shard]
		op.State = append(op.State, engine.Row{Key: string(due)}, engine.Row{Key: key})
	}
	for _, shard := range order {
		if err := s.do(ctx, shard, shards[shard]); err != nil {
			return err
		}
	}
	return nil
}

// A Waiting is a scheduled message that is not due yet.
type Waiting struct {
	Sequence uint64
	Message  *gatehouse.Message
}

// ScheduledBy returns messages that a sender has scheduled, in order of their
// sequence numbers, from one on, at most limit. It costs in proportion to the
// number that it has scheduled.
func (s *Set) ScheduledBy(by Sender, from uint64, limit int) ([]Waiting, error) {
	var found []place
	for i := range s.shards {
		some, err := s.places(engine.Shard(i), by, from, limit)
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
	}
	slices.SortFunc(found, func(a, b place) int { return cmp.Compare(a.sequence, b.sequence) })
	all := make([]Waiting, 0, min(limit, len(found)))
	for _, p := range found[:min(limit, len(found))] {
		value, err := s.engine.State(p.shard).Get(p.key)
		if err != nil {
			return nil, err
		}
		// One that is gone meanwhile, or damaged, is passed over.
		if d := decodeDue(p.key, value); d.Err == nil {
			all = append(all, Waiting{Sequence: p.sequence, Message: d.Message})
		}
	}
	return all, nil
}

// A place is where a scheduled message is.
type place struct {
	sequence uint64
	shard    engine.Shard
	key      string
}

func (s *Set) places(shard engine.Shard, by Sender, from uint64, limit int) ([]place, error) {
	var all []place
	prefix := string(append(appendSender(nil, by), '/'))
	err := s.engine.State(shard).Scan(prefix, func(key string, value []byte) bool {
		number, bad := hex.DecodeString(key[len(prefix):])
		if bad != nil || len(number) != 8 {
			return true
		}
		if n := binary.BigEndian.Uint64(number); n >= from {
			all = append(all, place{n, shard, string(value)})
		}
		return len(all) < limit
	})
	return all, err
}
