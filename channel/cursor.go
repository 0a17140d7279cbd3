package channel

import (
	"context"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// A consumer group of a channel is a name under which a cursor is kept for
// each partition: the offset it reads next. Groups that begin with $ are
// Gatehouse's own; no consumer can name one.

// CursorRow returns the row that keeps how far a consumer group of a channel
// has come in a partition, for a commit to that shard.
func CursorRow(id ID, group string, next gatehouse.Offset) engine.Row {
	return engine.Row{Key: cursorKey(id, group), Value: binary.BigEndian.AppendUint64(nil, uint64(next))}
}

// What the keys of rows of channels begin with, before the channel's stream.
const (
	cursorSpace = "cursor/"
	markSpace   = "mark/"
	seenSpace   = "seen/"
)

func cursorPrefix(id ID) string { return cursorSpace + id.stream() + "/" }

func cursorKey(id ID, group string) string { return cursorPrefix(id) + gatehouse.Fold(group) }

// MarkKey returns the key of the row, in every shard, that tells how much of what
// a consumer group sent on from a partition is stored there. It is part of the
// storage format.
func MarkKey(id ID, group string, partition uint16) string {
	return markGroup(id, group) + strconv.Itoa(int(partition))
}

// MarkPrefix returns what the keys of all marks of a channel begin with, or those
// of all channels of an account if id names none.
func MarkPrefix(id ID) string {
	if id.Channel == "" {
		return markSpace + id.stream()
	}
	return markSpace + id.stream() + "/"
}

func markGroup(id ID, group string) string { return MarkPrefix(id) + gatehouse.Fold(group) + "/" }

// Cursor returns the offset a consumer group reads next in a partition; ok is
// false for a group that never stored one there.
func (s *Set) Cursor(id ID, group string, partition engine.Shard) (next gatehouse.Offset, ok bool, err error) {
	value, err := s.engine.State(partition).Get(cursorKey(id, group))
	if err != nil || value == nil {
		return 0, false, err
	}
	next, err = decodeCursor(id, group, value)
	return next, err == nil, err
}

func decodeCursor(id ID, group string, value []byte) (gatehouse.Offset, error) {
	if len(value) != 8 {
		return 0, gatehouse.Errorf(gatehouse.Internal, "the cursor of group %q of channel %q is %d bytes long, not 8", group, id.Channel, len(value))
	}
	return gatehouse.Offset(binary.BigEndian.Uint64(value)), nil
}

// SetCursor stores, durably, what a consumer group reads next in a partition.
func (s *Set) SetCursor(ctx context.Context, id ID, group string, partition engine.Shard, next gatehouse.Offset) error {
	return s.do(ctx, partition, &engine.Op{State: []engine.Row{CursorRow(id, group, next)}})
}

// A GroupCursor is how far a consumer group has come in a partition.
type GroupCursor struct {
	Group     string // folded
	Partition engine.Shard
	Next      gatehouse.Offset
}

// Cursors returns the cursors of all consumer groups of a channel, in order of
// partition and group.
func (s *Set) Cursors(id ID) ([]GroupCursor, error) {
	var all []GroupCursor
	prefix := cursorPrefix(id)
	for p := range s.shards {
		var bad error
		err := s.engine.State(engine.Shard(p)).Scan(prefix, func(key string, value []byte) bool {
			group := key[len(prefix):]
			var next gatehouse.Offset
			if next, bad = decodeCursor(id, group, value); bad != nil {
				return false
			}
			all = append(all, GroupCursor{Group: group, Partition: engine.Shard(p), Next: next})
			return true
		})
		if err == nil {
			err = bad
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// RemoveGroup forgets the cursors of a consumer group.
func (s *Set) RemoveGroup(ctx context.Context, id ID, group string) error {
	for p := range s.shards {
		err := s.do(ctx, engine.Shard(p), &engine.Op{State: []engine.Row{{Key: cursorKey(id, group)}}})
		if err != nil {
			return err
		}
	}
	return nil
}

// A Lag is how far a consumer group is behind the end of a partition.
type Lag struct {
	// Offsets is at least the number of messages still to read, and zero
	// exactly if there are none. Offsets skip, so that it may be far more.
	Offsets uint64
	// Oldest is when the first of them came; zero if there are none. Unlike
	// Offsets it says how late the group is.
	Oldest time.Time
}

// Lag measures how far a reader whose next offset is given is behind. It costs
// the reading of one message.
func (s *Set) Lag(ctx context.Context, id ID, partition engine.Shard, next gatehouse.Offset) (Lag, error) {
	log := s.engine.Log(partition, id.stream())
	first, end, _, err := log.Bounds(ctx)
	if err != nil || next >= end {
		return Lag{}, err
	}
	next = max(next, first)
	var lag Lag
	_, err = log.Read(ctx, next, func(o gatehouse.Offset, enqueued int64, _ []byte) bool {
		lag = Lag{Offsets: uint64(end - min(o, end)), Oldest: time.Unix(0, enqueued)}
		return false
	})
	if _, damaged := asCorrupt(err); damaged {
		return Lag{Offsets: uint64(end - next)}, nil
	}
	return lag, err
}

// do commits op and waits for the outcome, whatever becomes of ctx once op was
// accepted: what is in doubt must not be decided a second time.
func (s *Set) do(ctx context.Context, shard engine.Shard, op *engine.Op) error {
	done := make(chan error, 1)
	op.Done = func(_ *engine.Op, err error) { done <- err }
	if err := s.commit.Write(ctx, shard, op); err != nil {
		return err
	}
	return <-done
}
