package gate

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/engine"
)

// The methods below read the channel of a session of trusted code, as a log:
// nothing is taken, and the reader keeps its place itself. They fail with
// Forbidden for any other session, with NotFound for a partition that does not
// exist, and with the reason of the session's end once it has ended.

// Partitions returns how many partitions the session's channel has.
func (s *Session) Partitions() int { return s.gate.Channels.Partitions() }

// Read calls visit for the messages of a partition whose offset is at least
// from, in order, until visit returns false, the partition ends or ctx is done,
// and returns the offset to read from next. A message whose record is damaged
// is logged and passed over.
func (s *Session) Read(ctx context.Context, partition int, from gatehouse.Offset, visit func(*gatehouse.Message) bool) (gatehouse.Offset, error) {
	id, shard, err := s.consumer(partition)
	if err != nil {
		return from, err
	}
	damaged := func(err error) {
		s.gate.Logger.Error("a message of a channel is damaged and passed over", "channel", id.String(), "error", err)
	}
	return s.gate.Channels.Read(ctx, id, shard, from, damaged, func(m *gatehouse.Message) bool {
		return s.ctx.Err() == nil && visit(m)
	})
}

// Await returns once a partition has a message whose offset is at least from,
// or with the error of ctx or the reason of the session's end.
func (s *Session) Await(ctx context.Context, partition int, from gatehouse.Offset) error {
	id, shard, err := s.consumer(partition)
	if err != nil {
		return err
	}
	waiting, cancel := s.until(ctx)
	defer cancel()
	if err := s.gate.Channels.Wait(waiting, id, shard, from); err != nil {
		if ended := s.Err(); ended != nil {
			return ended
		}
		return err
	}
	return s.Err()
}

// Bounds returns the first offset that a partition keeps, and the one after its
// last. Both are the same for one that is empty.
func (s *Session) Bounds(ctx context.Context, partition int) (first, next gatehouse.Offset, err error) {
	id, shard, err := s.consumer(partition)
	if err != nil {
		return 0, 0, err
	}
	first, next, _, err = s.gate.Channels.Bounds(ctx, id, shard)
	return first, next, err
}

// Seek returns the offset of the first message of a partition that came at or
// after t, or of one near before it.
func (s *Session) Seek(ctx context.Context, partition int, t time.Time) (gatehouse.Offset, error) {
	id, shard, err := s.consumer(partition)
	if err != nil {
		return 0, err
	}
	return s.gate.Channels.Seek(ctx, id, shard, t)
}

// consumer returns what the session may read.
func (s *Session) consumer(partition int) (channel.ID, engine.Shard, error) {
	if err := s.Err(); err != nil {
		return channel.ID{}, 0, err
	}
	a := &s.attempt
	if a.Channel == "" || a.Endpoint != "" || !s.Identity().Rights.Has(gatehouse.RightChannels) {
		return channel.ID{}, 0, gatehouse.Errorf(gatehouse.Forbidden, "this session may not read a channel; open it with a policy that has the right to use channels")
	}
	if n := s.Partitions(); partition < 0 || partition >= n {
		return channel.ID{}, 0, gatehouse.Errorf(gatehouse.NotFound, "channel %q has no partition %d; they are numbered from 0 to %d", a.Channel, partition, n-1)
	}
	return channel.ID{Account: a.Account, Channel: a.Channel}, engine.Shard(partition), nil
}
