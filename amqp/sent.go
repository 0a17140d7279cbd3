package amqp

import (
	"github.com/gatehouse/gatehouse/amqp/frame"
)

// A Sent is a message that was given to a link to send.
type Sent struct {
	Tag    []byte
	Format uint32
	Data   any // as given to Send

	link    *Outgoing
	head    []byte // let go once written, as is body
	body    []byte
	id      uint32
	off     int // bytes written
	started bool
	settled bool
}

// Link returns the link that the message was sent on.
func (m *Sent) Link() *Outgoing { return m.link }

// Settled reports whether nothing more will be heard of the delivery: it was
// sent settled, or the peer or Settle has settled it.
func (m *Sent) Settled() bool {
	c := m.link.session.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	return m.settled
}

// Settle settles the delivery, and tells the peer the final state. It does
// nothing if it is settled already or the link is gone. A peer in receiver
// settle mode second waits for it.
func (m *Sent) Settle(state State) {
	s := m.link.session
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.settled || !m.started || m.link.state != linkAttached {
		return
	}
	m.settled = true
	m.forget()
	s.settled = addDisposition(s.settled, m.id, true, &state)
	c.touch(s)
	c.kick()
}

// forget takes the delivery off the books of its link and session. A Sender
// that could not send because of it may go on. The lock is held.
func (m *Sent) forget() {
	o := m.link
	full := o.unsettled >= o.max
	o.unsettled--
	delete(o.session.unsettled, m.id)
	if full && o.room() > 0 && !o.waiting {
		o.waiting = true
		c := o.session.conn
		c.ready = append(c.ready, o)
	}
}

// size returns the length of the message.
func (m *Sent) size() int { return len(m.head) + len(m.body) }

// sendable reports whether the first message of the queue may be sent.
func (o *Outgoing) sendable() bool {
	return o.state == linkAttached && o.head < len(o.queue) && (o.credit > 0 || o.queue[o.head].started)
}

// schedule puts the link among those that the session sends for. The lock is
// held.
func (o *Outgoing) schedule() {
	if !o.sendable() {
		return
	}
	s := o.session
	if !o.sending {
		o.sending = true
		s.sending = append(s.sending, o)
	}
	s.conn.touch(s)
}

// sendQueued sends messages, a delivery of each link in turn, as far as the
// peer's window and our own backlog allow. It reports whether only the backlog
// stopped it. The lock is held.
func (s *Session) sendQueued() (more bool) {
	c := s.conn
	for len(s.sending) > 0 && s.outgoingWindow > 0 {
		if len(c.out) >= c.server.config.OutputLimit {
			return true
		}
		o := s.sending[0]
		if !o.sendable() {
			o.sending = false
			s.nextLink(nil)
			continue
		}
		if o.sendFrame() && len(s.sending) > 1 {
			s.nextLink(o)
		}
	}
	return false
}

// nextLink moves the first link that sends to the end, or out.
func (s *Session) nextLink(again *Outgoing) {
	n := copy(s.sending, s.sending[1:])
	s.sending[n] = again
	if again == nil {
		s.sending = s.sending[:n]
	}
}

// sendFrame sends one transfer frame (part 2.7.5) of the first message of the
// queue. It reports whether that was its last. The lock is held.
func (o *Outgoing) sendFrame() (last bool) {
	s, m := o.session, o.queue[o.head]
	c := s.conn
	t := frame.Transfer{Handle: o.handle, Settled: m.settled}
	if !m.started {
		o.start(m)
		t.DeliveryID = frame.Some(m.id)
		t.DeliveryTag = m.Tag
		t.MessageFormat = frame.Some(m.Format)
	}
	at := c.open(s.channel)
	body := len(c.out)
	c.out = t.Append(c.out)
	room := c.frameOut - (len(c.out) - at)
	left := m.size() - m.off
	if left > room {
		t.More = true // takes as many bytes as before
		c.out = t.Append(c.out[:body])
		left = room
	}
	c.out = m.appendPart(c.out, left)
	c.done(at)
	m.off += left
	c.queued -= left
	s.nextOutgoingID++
	s.outgoingWindow--
	if !t.More {
		o.finishFirst()
	}
	return !t.More
}

// start gives a message its delivery id, and takes a credit for it.
func (o *Outgoing) start(m *Sent) {
	s := o.session
	m.started = true
	m.id = s.nextDeliveryID
	s.nextDeliveryID++
	o.credit--
	o.deliveryCount++
	if m.settled {
		return
	}
	if s.unsettled == nil {
		s.unsettled = make(map[uint32]*Sent)
	}
	s.unsettled[m.id] = m
}

// appendPart appends the next n bytes of the message.
func (m *Sent) appendPart(dst []byte, n int) []byte {
	off := m.off
	if off < len(m.head) {
		part := min(n, len(m.head)-off)
		dst = append(dst, m.head[off:off+part]...)
		off, n = off+part, n-part
	}
	if n == 0 {
		return dst // the head has more
	}
	off -= len(m.head)
	return append(dst, m.body[off:off+n]...)
}

// finishFirst takes the first message, which was sent, off the queue.
func (o *Outgoing) finishFirst() {
	m := o.queue[o.head]
	m.head, m.body, m.off = nil, nil, 0
	o.queue[o.head] = nil
	o.head++
	if o.head == len(o.queue) {
		o.queue, o.head = o.queue[:0], 0
	}
	if o.drain && o.credit == 0 {
		o.drained = true
		o.wantFlow()
	}
}
