package channel

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/record"
)

// Dead letters of a channel are logs beside it, one per handler that gave a
// message up, in the shard where that was decided. They are kept until they
// are dropped or replayed, and read like a channel.

// deadStream is the log of what handler gave up in the channel.
func (id ID) deadStream(handler string) string {
	return id.stream() + "/$dead/" + gatehouse.Fold(handler)
}

// DeadRecord returns the record that keeps m, which handler gave up, for a
// commit to any shard. dead says why; m is not changed. Of a message so large
// that the reason would make it too large to store, the text of the reason is
// left out, or all of it.
func DeadRecord(id ID, handler string, m *gatehouse.Message, dead gatehouse.DeadLetter) engine.Record {
	c := *m
	c.Dead = &dead
	data := record.Append(make([]byte, 0, len(m.Body)+512), &c)
	if len(data) > engine.MaxRecord {
		dead.Description = ""
		data = record.Append(data[:0], &c)
	}
	if len(data) > engine.MaxRecord {
		c.Dead = nil
		data = record.Append(data[:0], &c)
	}
	return engine.Record{Stream: id.deadStream(handler), Data: data}
}

// ReadDead is Read for the dead letters a handler left in a partition.
func (s *Set) ReadDead(ctx context.Context, id ID, handler string, partition engine.Shard, from gatehouse.Offset, damaged func(error), visit func(*gatehouse.Message) bool) (gatehouse.Offset, error) {
	return s.read(ctx, id.deadStream(handler), partition, from, damaged, visit)
}

// BoundsDead is Bounds for the dead letters a handler left in a partition.
func (s *Set) BoundsDead(ctx context.Context, id ID, handler string, partition engine.Shard) (first, next gatehouse.Offset, bytes int64, err error) {
	return s.engine.Log(partition, id.deadStream(handler)).Bounds(ctx)
}

// RetainDead drops dead letters older than age; zero keeps them.
func (s *Set) RetainDead(ctx context.Context, id ID, handler string, age time.Duration) error {
	if age == 0 {
		return nil
	}
	for p := range s.shards {
		if err := s.engine.Log(engine.Shard(p), id.deadStream(handler)).Retain(ctx, age, 0); err != nil {
			return err
		}
	}
	return nil
}
