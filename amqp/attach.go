package amqp

import (
	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/amqp/wire"
)

// An Attach is a link that a peer asks for (part 2.6.3). It must be answered
// once with AcceptIncoming, AcceptOutgoing or Refuse; the first answer counts.
type Attach struct {
	// Request is the peer's attach frame. Role is the peer's: a peer that is
	// sender has its address in Target, a receiver in Source.
	Request frame.Attach

	// Reply is what AcceptIncoming and AcceptOutgoing send. It starts out as an
	// echo: name, termini with filter, and settlement modes as requested. It may
	// be changed before the answer; Handle, Name, Role and InitialDeliveryCount
	// are set in any case.
	Reply frame.Attach

	link *link
}

// Session returns the session that the link belongs to.
func (a *Attach) Session() *Session { return a.link.session }

// Conn returns the connection that the link belongs to.
func (a *Attach) Conn() *Conn { return a.link.session.conn }

// FromPeer reports whether the peer wants to send.
func (a *Attach) FromPeer() bool { return a.link.peer == frame.RoleSender }

// Address returns the address of our end: the target if the peer sends, the
// source if it receives.
func (a *Attach) Address() string {
	if a.FromPeer() {
		return a.Request.Target.Address
	}
	return a.Request.Source.Address
}

// OnGone has f called on the Serve goroutine if the peer or its connection
// gives the link up before it was answered. If that has happened already, it
// returns false and f is not called.
func (a *Attach) OnGone(f func()) bool {
	c := a.Conn()
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.link.state != linkPending || c.failed != nil {
		return false
	}
	a.link.gone = f
	return true
}

// takeAttach takes a link in and asks the Handler for a decision.
func (c *Conn) takeAttach(channel uint16, items wire.Items) error {
	a := new(Attach)
	if err := a.Request.Decode(items); err != nil {
		return decodeError(err)
	}
	c.mu.Lock()
	s, err := c.session(channel)
	if s == nil {
		c.mu.Unlock()
		return err
	}
	err = s.addLink(a)
	ask := err == nil && a.link != nil && a.link.state == linkPending
	c.mu.Unlock()
	if ask {
		c.handler.Attach(a)
	}
	return err
}

// addLink puts the link into the session, or refuses what no Handler needs to
// decide on. The lock is held.
func (s *Session) addLink(a *Attach) error {
	c, r := s.conn, &a.Request
	switch {
	case r.Handle > c.server.config.HandleMax:
		return Err(FramingError, "the handle is above handle-max")
	case r.Handle > s.handleMax:
		return Err(NotAllowed, "the handle is above the peer's own handle-max")
	case c.linkCount >= 2*c.server.config.MaxLinks: // refused ones that the peer has not detached
		return Err(ResourceLimitExceeded, "the connection has twice as many links as it may have")
	case s.links[r.Handle] != nil:
		s.endLocked(Err(HandleInUse, "the handle has a link already"))
		return nil
	}
	l := &link{session: s, name: r.Name, handle: r.Handle, peer: r.Role}
	a.link = l
	if s.links == nil {
		s.links = make(map[uint32]*link)
	}
	s.links[l.handle] = l
	c.linkCount++
	a.fillReply()
	if e := c.objection(a); e != nil {
		l.refuse(a, e)
		return nil
	}
	c.steal(l)
	return nil
}

// maxName bounds the name of a link, which the connection keeps.
const maxName = 4096

// objection returns why a link cannot be had, whatever the Handler says.
func (c *Conn) objection(a *Attach) *Error {
	r := &a.Request
	switch {
	case len(r.Name) > maxName:
		return Err(InvalidField, "the link name is longer than 4096 bytes")
	case c.linkCount > c.server.config.MaxLinks:
		return Err(ResourceLimitExceeded, "the connection has as many links as it may have")
	case r.Target.Coordinator:
		return Err(NotImplemented, "transactions are not supported")
	case r.Source.Dynamic || r.Target.Dynamic:
		return Err(NotImplemented, "dynamic nodes are not supported")
	case r.Role == frame.RoleSender && !r.Target.Present:
		return Err(InvalidField, "a sender must have a target")
	case r.Role == frame.RoleReceiver && !r.Source.Present:
		return Err(InvalidField, "a receiver must have a source")
	}
	return nil
}

// steal gives the link its name; a link of the same name and direction that is
// still attached loses it (part 2.6.1).
func (c *Conn) steal(l *link) {
	key := linkName{l.name, l.peer}
	if old := c.names[key]; old != nil {
		if old.state == linkPending {
			old.answerAttach()
		}
		old.detach(true, Err(LinkStolen, "a link of the same name was attached"))
	}
	if c.names == nil {
		c.names = make(map[linkName]*link)
	}
	c.names[key] = l
}

// fillReply makes the reply an echo of the request.
func (a *Attach) fillReply() {
	r := &a.Request
	a.Reply = frame.Attach{
		Name: r.Name, Handle: r.Handle, Role: !r.Role,
		SenderMode: r.SenderMode, ReceiverMode: r.ReceiverMode,
		Source: r.Source, Target: r.Target,
	}
	if r.Role == frame.RoleReceiver {
		a.Reply.InitialDeliveryCount = frame.Some(0) // not all clients look at another number
	}
}

// Refuse refuses the link: attach without termini and, with nothing in
// between, detach with the error.
func (a *Attach) Refuse(err *Error) {
	c := a.Conn()
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.link.state == linkPending {
		a.link.refuse(a, err)
		c.kick()
	}
}

func (l *link) refuse(a *Attach, err *Error) {
	reply := a.Reply
	a.fix(&reply)
	reply.Source, reply.Target = frame.Source{}, frame.Target{}
	reply.MaxMessageSize = 0
	l.session.flushDispositions() // not to come between attach and detach
	l.sendAttach(&reply)
	l.detach(true, err)
}

// fix sets the fields of a reply that are not for the Handler to choose.
func (a *Attach) fix(reply *frame.Attach) {
	r := &a.Request
	reply.Name, reply.Handle, reply.Role = r.Name, r.Handle, !r.Role
	reply.InitialDeliveryCount = frame.Optional{}
	if r.Role == frame.RoleReceiver {
		reply.InitialDeliveryCount = frame.Some(0)
	}
	reply.Unsettled, reply.IncompleteUnsettled = wire.Value{}, false
}

func (l *link) sendAttach(reply *frame.Attach) {
	c := l.session.conn
	if c.closeSent || c.failed != nil {
		return
	}
	at := c.open(l.session.channel)
	c.out = reply.Append(c.out)
	c.done(at)
}

// accept answers yes. The lock is held.
func (a *Attach) accept(fromPeer bool) error {
	if a.FromPeer() != fromPeer {
		return ErrRole
	}
	c := a.Conn()
	if a.link.state != linkPending || c.closeSent || c.failed != nil {
		return ErrDetached
	}
	a.fix(&a.Reply)
	a.link.sendAttach(&a.Reply)
	a.link.state = linkAttached
	return nil
}
