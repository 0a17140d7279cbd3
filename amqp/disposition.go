package amqp

import (
	"slices"

	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/amqp/wire"
)

// A disposition is an outcome of deliveries with consecutive ids that waits to
// be sent.
type disposition struct {
	first, last uint32
	settled     bool
	state       State
}

// addDisposition adds the outcome of one delivery, to the last disposition if
// it continues that one.
func addDisposition(to []disposition, id uint32, settled bool, state *State) []disposition {
	if n := len(to); n > 0 {
		d := &to[n-1]
		if id == d.last+1 && d.settled == settled && d.state.Equal(state) {
			d.last = id
			return to
		}
	}
	return append(to, disposition{first: id, last: id, settled: settled, state: *state})
}

// merge sorts dispositions by id and joins those that are one range.
func merge(d []disposition) []disposition {
	if len(d) < 2 {
		return d
	}
	// Ids are serial numbers: they wrap around (RFC 1982).
	slices.SortStableFunc(d, func(a, b disposition) int { return int(int32(a.first - b.first)) })
	out := d[:1]
	for i := 1; i < len(d); i++ {
		last := &out[len(out)-1]
		if d[i].first == last.last+1 && d[i].settled == last.settled && d[i].state.Equal(&last.state) {
			last.last = d[i].last
			continue
		}
		out = append(out, d[i])
	}
	return out
}

// flushDispositions sends all outcomes that wait. The lock is held.
func (s *Session) flushDispositions() {
	if s.conn.closeSent || s.ended {
		return
	}
	s.outcomes = s.sendDispositions(frame.RoleReceiver, s.outcomes)
	s.settled = s.sendDispositions(frame.RoleSender, s.settled)
}

func (s *Session) sendDispositions(role frame.Role, list []disposition) []disposition {
	c := s.conn
	for _, d := range merge(list) {
		at := c.open(s.channel)
		f := frame.Disposition{Role: role, First: d.first, Last: d.last, Settled: d.settled, State: d.state}
		c.out = f.Append(c.out)
		c.done(at)
	}
	clear(list)
	if cap(list) > 64 {
		return nil
	}
	return list[:0]
}

// takeDisposition takes what the peer says of deliveries in one of the two
// directions (part 2.6.12).
func (c *Conn) takeDisposition(channel uint16, items wire.Items) error {
	var d frame.Disposition
	if err := d.Decode(items); err != nil {
		return decodeError(err)
	}
	c.mu.Lock()
	s, err := c.session(channel)
	if s == nil {
		c.mu.Unlock()
		return err
	}
	if d.Role == frame.RoleSender {
		// The peer settles what it sent. In mode second that answers an outcome of
		// ours (part 2.8.3); we keep no books that it could change.
		c.mu.Unlock()
		return nil
	}
	changed := s.takeOutcomes(&d)
	c.mu.Unlock()
	for i := range changed {
		changed[i].link.sender.Outcome(changed[i], d.State)
	}
	clear(changed)
	if c.changed = changed[:0]; cap(changed) > maxChanged {
		c.changed = nil
	}
	return nil
}

// maxChanged is of how many deliveries a disposition may be whose memory is
// used again.
const maxChanged = 64

// each calls f for the ids of a range that m has, in order, without walking
// through a range that is larger than m.
func each[T any](m map[uint32]T, d *frame.Disposition, f func(uint32, T)) {
	span := d.Last - d.First // may wrap around, as ids do
	if int64(span) < int64(len(m)) {
		for i := range span + 1 {
			if v, ok := m[d.First+i]; ok {
				f(d.First+i, v)
			}
		}
		return
	}
	var ids []uint32
	for id := range m {
		if id-d.First <= span {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b uint32) int { return int(int64(a-d.First) - int64(b-d.First)) })
	for _, id := range ids {
		f(id, m[id])
	}
}

// takeOutcomes notes what a receiver says of what we sent, and returns the
// deliveries concerned. The lock is held.
func (s *Session) takeOutcomes(d *frame.Disposition) []Sent {
	changed := s.conn.changed
	each(s.unsettled, d, func(_ uint32, m *sending) {
		told := m.sent()
		if d.Settled {
			told.settled = true
			m.settle()
		}
		changed = append(changed, told)
	})
	return changed
}
