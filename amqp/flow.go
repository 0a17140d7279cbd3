package amqp

import (
	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/amqp/wire"
)

// takeFlow takes the state of the peer's session and, if it names a handle, of
// its end of a link (parts 2.5.6, 2.6.7).
func (c *Conn) takeFlow(channel uint16, items wire.Items) error {
	var f frame.Flow
	if err := f.Decode(items); err != nil {
		return decodeError(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.session(channel)
	if s == nil {
		return err
	}
	s.updateWindow(&f)
	if !f.Handle.Set {
		if f.Echo {
			s.flowDue = true
			c.touch(s)
		}
		return nil
	}
	l := s.links[f.Handle.Value]
	if l == nil {
		s.endLocked(Err(UnattachedHandle, "flow for a handle that has no link"))
		return nil
	}
	l.takeFlow(&f)
	return nil
}

// updateWindow sets how many frames the peer can take (part 2.5.6).
func (s *Session) updateWindow(f *frame.Flow) {
	left := int64(int32(f.NextIncomingID.Or(0)-s.nextOutgoingID)) + int64(f.IncomingWindow)
	s.outgoingWindow = uint32(max(left, 0))
	s.nextIncomingID = f.NextOutgoingID
	if len(s.sending) > 0 && s.outgoingWindow > 0 {
		s.conn.touch(s)
	}
}

// takeFlow takes the link part of a flow. The lock is held.
func (l *link) takeFlow(f *frame.Flow) {
	switch {
	case l.state == linkPending:
		if l.peer == frame.RoleReceiver {
			early := *f
			early.Properties = wire.Value{}
			l.early = &early
		}
	case l.state != linkAttached:
	case l.in != nil:
		l.in.takeFlow(f)
	default:
		l.out.takeFlow(f)
	}
}

// wantFlow sees to it that the link's state is sent. The lock is held.
func (l *link) wantFlow() {
	if l.flowDue || l.state != linkAttached {
		return
	}
	l.flowDue = true
	l.session.flows = append(l.session.flows, l)
	l.session.conn.touch(l.session)
}

// sendFlows sends the flows that are due. One that answers a drain waits until
// the messages before it are on their way.
func (s *Session) sendFlows() {
	due := s.flows
	s.flows = s.flows[:0]
	for _, l := range due {
		if l.state != linkAttached {
			l.flowDue = false
			continue
		}
		if l.out != nil && l.out.mustSendFirst() {
			s.flows = append(s.flows, l)
			continue
		}
		l.flowDue, s.flowDue = false, false
		s.sendFlow(l)
	}
	clear(due[len(s.flows):])
	if s.flowDue {
		s.flowDue = false
		s.sendFlow(nil)
	}
}

// sendFlow sends a flow with everything that peers need in it: next-incoming-id
// always, delivery-count and link-credit with every handle.
func (s *Session) sendFlow(l *link) {
	c := s.conn
	s.incomingWindow = c.server.config.IncomingWindow
	f := frame.Flow{
		NextIncomingID: frame.Some(s.nextIncomingID),
		IncomingWindow: s.incomingWindow,
		NextOutgoingID: s.nextOutgoingID,
		OutgoingWindow: ourOutgoingWindow,
	}
	if l != nil {
		f.Handle = frame.Some(l.handle)
		if l.in != nil {
			l.in.fillFlow(&f)
		} else {
			l.out.fillFlow(&f)
		}
	}
	at := c.open(s.channel)
	c.out = f.Append(c.out)
	c.done(at)
}
