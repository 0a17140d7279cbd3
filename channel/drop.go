package channel

import (
	"context"
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/record"

	"golang.org/x/sync/errgroup"
)

// What is kept of a channel goes when the channel does. The messages and dead
// letters of each partition go in one commit with the cursors, the marks and
// the ids of duplicate detection. Before them go the messages that are scheduled
// for it, in as many commits as it takes. Dropping what is dropped already
// changes nothing, so that after a failure or a crash it is simply done again.
//
// It must be done when nothing is sent to the channel any more and before
// anything is sent to the next one of its name: what is on its way meanwhile is
// stored behind it.

// Drop removes all that is kept of channels: messages, dead letters, cursors,
// marks, ids of duplicate detection, and messages scheduled for them. Of a
// scheduled message that names other channels too only the name is taken out,
// and one that names none stays: where it goes is decided when it is due. The
// cost grows with the number of scheduled messages, of whatever channel.
func (s *Set) Drop(ctx context.Context, ids ...ID) error {
	var r rest
	streams := make(map[string]bool, len(ids))
	for _, id := range ids {
		stream := id.stream()
		streams[stream] = true
		r.logs = append(r.logs, stream, stream+"/")
		r.prefixes = append(r.prefixes, cursorPrefix(id), MarkPrefix(id), seenPrefix(stream))
	}
	gone := func(a gatehouse.AccountName, c gatehouse.ChannelName) bool { return streams[ID{a, c}.stream()] }
	return s.drop(ctx, r, gone)
}

// DropAccount is Drop for all channels that an account had.
func (s *Set) DropAccount(ctx context.Context, a gatehouse.AccountName) error {
	all := ID{Account: a}.stream() // ends in /
	r := rest{logs: []string{all}, prefixes: []string{cursorSpace + all, MarkPrefix(ID{Account: a}), seenSpace + all}}
	account := gatehouse.Fold(a)
	gone := func(a gatehouse.AccountName, _ gatehouse.ChannelName) bool { return gatehouse.Fold(a) == account }
	return s.drop(ctx, r, gone)
}

// A Handler is a handler of a channel, and the consumer groups in which it works.
type Handler struct {
	Channel ID
	Name    string
	Groups  []string
}

// DropHandlers removes all that is kept of handlers: their dead letters, and the
// cursors and marks of their groups.
func (s *Set) DropHandlers(ctx context.Context, all ...Handler) error {
	var r rest
	for _, h := range all {
		r.logs = append(r.logs, h.Channel.deadStream(h.Name))
		for _, g := range h.Groups {
			r.rows = append(r.rows, engine.Row{Key: cursorKey(h.Channel, g)})
			r.prefixes = append(r.prefixes, markGroup(h.Channel, g))
		}
	}
	return s.drop(ctx, r, nil)
}

// A rest is what one commit of every shard removes.
type rest struct {
	logs     []string // as engine.Batch.DropLogs
	prefixes []string // of rows
	rows     []engine.Row
}

// drop removes scheduled messages of channels that are gone, if any can be, and
// then r, in all shards.
func (s *Set) drop(ctx context.Context, r rest, gone func(gatehouse.AccountName, gatehouse.ChannelName) bool) error {
	group, ctx := errgroup.WithContext(ctx)
	for i := range s.shards {
		shard := engine.Shard(i)
		group.Go(func() error {
			if gone != nil {
				if err := s.unschedule(ctx, shard, gone); err != nil {
					return err
				}
			}
			// What is being released has its place before this, or sees that
			// the channel is gone.
			s.schedules[shard].changing.Lock()
			defer s.schedules[shard].changing.Unlock()
			return s.do(ctx, shard, &engine.Op{DropLogs: r.logs, Clear: r.prefixes, State: r.rows})
		})
	}
	return group.Wait()
}

// unschedule takes out of a shard what is scheduled for channels that are gone.
func (s *Set) unschedule(ctx context.Context, shard engine.Shard, gone func(gatehouse.AccountName, gatehouse.ChannelName) bool) error {
	var some []engine.Row // of scheduled messages, as they are to be
	var failed error
	size := 0
	flush := func() error {
		err := s.reschedule(ctx, shard, some)
		some, size = some[:0], 0
		return err
	}
	err := s.engine.State(shard).Scan(duePrefix, func(key string, value []byte) bool {
		fresh, changed := without(key, value, gone)
		if !changed {
			return ctx.Err() == nil
		}
		some = append(some, engine.Row{Key: key, Value: fresh})
		if size += len(fresh); len(some) == maxDue || size > maxDueBytes {
			failed = flush()
		}
		return failed == nil && ctx.Err() == nil
	})
	if err == nil {
		err = failed
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil || len(some) == 0 {
		return err
	}
	return flush()
}

// reschedule stores rows of scheduled messages, or deletes them if they have no
// value, unless they have left meanwhile.
func (s *Set) reschedule(ctx context.Context, shard engine.Shard, rows []engine.Row) error {
	l := &s.schedules[shard]
	l.changing.Lock()
	defer l.changing.Unlock()
	op := &engine.Op{}
	for _, r := range rows {
		value, err := s.engine.State(shard).Get(r.Key)
		if err != nil {
			return err
		}
		switch {
		case value == nil:
		case r.Value == nil:
			d := decodeDue(r.Key, value)
			op.State = append(op.State, d.rows...)
		default:
			op.State = append(op.State, r)
		}
	}
	return s.do(ctx, shard, op)
}

// without returns the row of a scheduled message as it is to be when channels
// are gone, nil for a message that was for them only. gone of the empty name
// stands for all channels of an account. Damaged rows stay as they are: they are
// given up when they are due.
func without(key string, value []byte, gone func(gatehouse.AccountName, gatehouse.ChannelName) bool) (fresh []byte, changed bool) {
	d := decodeDue(key, value)
	if d.Err != nil {
		return nil, false
	}
	m := d.Message
	var left []string
	var next gatehouse.ChannelName // named, and not gone
	for _, to := range m.To {
		prefix, name, ok := gatehouse.SplitAddress(to)
		c := gatehouse.ChannelName(name)
		switch isChannel := ok && prefix == gatehouse.ChannelPrefix; {
		case isChannel && gone(d.Account, c):
			continue
		case isChannel && next == "":
			next = c
		}
		left = append(left, to)
	}
	lost, meant := len(left) < len(m.To), gone(d.Account, m.Channel)
	switch {
	case gone(d.Account, ""):
		return nil, true
	case !strings.Contains(m.Source, "/endpoints/"):
		return nil, meant // trusted code sends to the channel it is at, whatever it names
	case lost && next == "":
		return nil, true
	case !lost && !meant:
		return nil, false
	}
	m.To = left
	if meant {
		m.Channel = next
	}
	return record.Append(append(make([]byte, 0, len(value)), value[:d.head]...), m), true
}
