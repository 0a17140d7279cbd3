package amqp

import (
	"encoding/binary"

	"github.com/gatehouse/gatehouse/amqp/frame"
)

// A Sent is a delivery that the peer has told the outcome of. It may be kept.
type Sent struct {
	link    *Outgoing
	id      uint32
	settled bool
	length  uint8
	tag     [frame.MaxTag]byte
}

// Link returns the link that the message was sent on.
func (s *Sent) Link() *Outgoing { return s.link }

// Tag returns the delivery's tag, as given to Send.
func (s *Sent) Tag() []byte { return s.tag[:s.length] }

// Settled reports whether the peer has settled the delivery with the outcome:
// nothing more will be heard of it.
func (s *Sent) Settled() bool { return s.settled }

// Settle settles the delivery, and tells the peer the final state. It does
// nothing if it is settled already or the link is gone. A peer in receiver
// settle mode second waits for it.
func (s *Sent) Settle(state State) {
	session := s.link.session
	c := session.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	m := session.unsettled[s.id]
	if m == nil || m.link != s.link || m.link.state != linkAttached {
		return
	}
	m.settle()
	session.settled = addDisposition(session.settled, s.id, true, &state)
	c.touch(session)
	c.kick()
}

// A sending is a message on its way to the peer, until it is settled. It is
// used again for others. All its state is under the connection's lock.
type sending struct {
	link    *Outgoing
	head    *[]byte // nil if there is none, and once written
	body    []byte  // let go once written
	format  uint32
	id      uint32
	off     int // bytes written
	started bool
	written bool
	settled bool
	length  uint8
	tag     [frame.MaxTag]byte
}

// newSending returns a sending with what of m is copied.
func (o *Outgoing) newSending(m *Message) *sending {
	server := o.session.conn.server
	s := server.sendings.Get().(*sending)
	*s = sending{link: o, body: m.Body, format: m.Format, settled: m.Settled || o.settledMode}
	if len(m.Head) > 0 {
		s.head = server.heads.Get().(*[]byte)
		*s.head = append((*s.head)[:0], m.Head...)
	}
	if m.Tag == nil {
		binary.BigEndian.PutUint64(s.tag[:], o.tags)
		s.length = 8
		o.tags++
		return s
	}
	s.length = uint8(copy(s.tag[:], m.Tag))
	return s
}

// sent returns what the Sender is told of the delivery.
func (m *sending) sent() Sent {
	return Sent{link: m.link, id: m.id, settled: m.settled, length: m.length, tag: m.tag}
}

// settle takes the delivery off the books of its link and session. A Sender
// that could not send because of it may go on.
func (m *sending) settle() {
	o := m.link
	full := o.unsettled >= o.max
	o.unsettled--
	delete(o.session.unsettled, m.id)
	m.settled = true
	m.release()
	if full && o.room() > 0 && !o.waiting {
		o.waiting = true
		c := o.session.conn
		c.ready = append(c.ready, o)
	}
}

// finish lets go the bytes of the message, which were written.
func (m *sending) finish() {
	server := m.link.session.conn.server
	if m.head != nil && cap(*m.head) <= maxKept {
		server.heads.Put(m.head)
	}
	m.head, m.body, m.off, m.written = nil, nil, 0, true
	m.release()
}

// release gives the sending back once nothing refers to it any more.
func (m *sending) release() {
	if m.written && m.settled {
		pool := &m.link.session.conn.server.sendings
		*m = sending{}
		pool.Put(m)
	}
}

// size returns the length of the message.
func (m *sending) size() int {
	if m.head == nil {
		return len(m.body)
	}
	return len(*m.head) + len(m.body)
}

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
		t.DeliveryTag = m.tag[:m.length]
		t.MessageFormat = frame.Some(m.format)
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
func (o *Outgoing) start(m *sending) {
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
		s.unsettled = make(map[uint32]*sending)
	}
	s.unsettled[m.id] = m
}

// appendPart appends the next n bytes of the message.
func (m *sending) appendPart(dst []byte, n int) []byte {
	off := m.off
	if m.head != nil {
		head := *m.head
		if off < len(head) {
			part := min(n, len(head)-off)
			dst = append(dst, head[off:off+part]...)
			off, n = off+part, n-part
		}
		off -= len(head)
	}
	if n == 0 {
		return dst // the head may have more
	}
	return append(dst, m.body[off:off+n]...)
}

// finishFirst takes the first message, which was sent, off the queue.
func (o *Outgoing) finishFirst() {
	o.queue[o.head].finish()
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
