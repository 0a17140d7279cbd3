package amqp

import (
	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/amqp/wire"
)

// A linkState is how far a link is, from our end.
type linkState uint8

const (
	linkPending  linkState = iota // the peer has attached; the Handler has not decided
	linkAttached                  // both have attached
	linkDetached                  // we have detached, or the session has ended
)

// A linkName identifies a link within a connection (part 2.6.1).
type linkName struct {
	name string
	peer frame.Role
}

// A link is what both directions share. Its handle is the peer's and ours. All
// its state is under the connection's lock.
type link struct {
	session *Session
	name    string
	handle  uint32
	peer    frame.Role // the peer's end
	state   linkState
	freed   bool // no longer in the session
	flowDue bool // in session.flows
	early   *frame.Flow
	gone    func() // of a pending link: the peer gave up
	in      *Incoming
	out     *Outgoing
}

// takeDetach answers the peer's detach, or takes it as the answer to ours
// (part 2.6.5).
func (c *Conn) takeDetach(channel uint16, items wire.Items) error {
	var d frame.Detach
	if err := d.Decode(items); err != nil {
		return decodeError(err)
	}
	c.mu.Lock()
	s, err := c.session(channel)
	if s == nil {
		c.mu.Unlock()
		return err
	}
	l := s.links[d.Handle]
	if l == nil {
		s.endLocked(Err(UnattachedHandle, "detach for a handle that has no link"))
		c.mu.Unlock()
		return nil
	}
	if l.state == linkPending {
		l.answerAttach()
	}
	l.detach(d.Closed, nil)
	delete(s.links, d.Handle)
	l.free()
	c.mu.Unlock()
	l.closed(asCauseOrNil(d.Error))
	return nil
}

// detach sends detach, after what was said before, unless that was done. The
// lock is held.
func (l *link) detach(forGood bool, err *Error) {
	c := l.session.conn
	if l.state == linkDetached || c.closeSent || c.failed != nil {
		l.drop()
		return
	}
	l.session.flushDispositions()
	at := c.open(l.session.channel)
	d := frame.Detach{Handle: l.handle, Closed: forGood, Error: err}
	c.out = d.Append(c.out)
	c.done(at)
	l.drop()
}

// answerAttach says yes to a link that the peer has given up before it was
// decided on, so that the detach that follows has something to refer to.
func (l *link) answerAttach() {
	c := l.session.conn
	reply := frame.Attach{Name: l.name, Handle: l.handle, Role: !l.peer, SenderMode: frame.SenderMixed}
	if l.peer == frame.RoleReceiver {
		reply.InitialDeliveryCount = frame.Some(0)
	}
	at := c.open(l.session.channel)
	c.out = reply.Append(c.out)
	c.done(at)
}

// drop ends the link from our end: nothing is sent for it any more. The lock is
// held.
func (l *link) drop() {
	if l.state == linkDetached {
		return
	}
	l.state = linkDetached
	if l.in != nil {
		l.in.discard()
	}
	if l.out != nil {
		l.out.drop()
	}
}

// free takes the link off the connection's books. The lock is held.
func (l *link) free() {
	if l.freed {
		return
	}
	l.freed = true
	c := l.session.conn
	c.linkCount--
	key := linkName{l.name, l.peer}
	if c.names[key] == l {
		delete(c.names, key)
	}
}

// closed tells the handler, as the last callback of the link.
func (l *link) closed(err error) {
	switch {
	case l.in != nil:
		l.in.receiver.Closed(err)
	case l.out != nil:
		l.out.sender.Closed(err)
	case l.gone != nil:
		l.gone()
	}
}

// end detaches the link for good with an error, which may be nil.
func (l *link) end(err *Error) {
	c := l.session.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	l.detach(true, err)
	c.kick()
}
