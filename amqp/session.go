package amqp

import (
	"maps"
	"math"
	"slices"

	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/amqp/wire"
)

// A Session is a context for links (part 2.5): the peer begins it, either side
// ends it. All its state is under the connection's lock.
type Session struct {
	conn    *Conn
	channel uint16 // the peer's and ours are the same
	links   map[uint32]*link
	dirty   bool // in conn.dirty
	ended   bool // we have sent end
	flowDue bool // a flow for the session itself is to be sent

	// What comes in (part 2.5.6).
	nextIncomingID uint32
	incomingWindow uint32        // frames the peer may still send
	outcomes       []disposition // to be sent, as receiver

	// What goes out.
	handleMax      uint32 // the peer's
	nextOutgoingID uint32
	outgoingWindow uint32 // frames we may still send
	nextDeliveryID uint32
	sending        []*Outgoing // links with something in their queue
	unsettled      map[uint32]*sending
	settled        []disposition // to be sent, as sender
	flows          []*link       // a flow for the link is to be sent
}

// ourOutgoingWindow is what we advertise: we never have to tell more, since we
// only send what the peer's own window allows.
const ourOutgoingWindow = math.MaxInt32

// Conn returns the session's connection.
func (s *Session) Conn() *Conn { return s.conn }

// Channel returns the number of the session's channel, which it shares with
// earlier and later sessions of the connection.
func (s *Session) Channel() uint16 { return s.channel }

// takeBegin begins a session (part 2.5.1).
func (c *Conn) takeBegin(channel uint16, items wire.Items) error {
	var b frame.Begin
	if err := b.Decode(items); err != nil {
		return decodeError(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closeSent:
		return nil
	case channel > c.server.config.ChannelMax:
		return Err(FramingError, "the channel number is above channel-max")
	case channel > c.remote.ChannelMax:
		return Err(NotAllowed, "the channel number is above the peer's own channel-max")
	case c.sessions[channel] != nil:
		return Err(NotAllowed, "the channel has a session already")
	case b.RemoteChannel.Set:
		return Err(NotAllowed, "begin answers a session that was not begun")
	}
	s := &Session{
		conn:           c,
		channel:        channel,
		nextIncomingID: b.NextOutgoingID,
		incomingWindow: c.server.config.IncomingWindow,
		handleMax:      b.HandleMax,
		outgoingWindow: b.IncomingWindow,
	}
	if c.sessions == nil {
		c.sessions = make(map[uint16]*Session)
	}
	c.sessions[channel] = s
	at := c.open(channel)
	answer := frame.Begin{
		RemoteChannel:  frame.Some(uint32(channel)),
		IncomingWindow: s.incomingWindow,
		OutgoingWindow: ourOutgoingWindow,
		HandleMax:      c.server.config.HandleMax,
	}
	c.out = answer.Append(c.out)
	c.done(at)
	return nil
}

// takeEnd answers the peer's end, or takes it as the answer to ours, and frees
// the session's links, whether they were detached or not (part 2.5.5).
func (c *Conn) takeEnd(channel uint16, items wire.Items) error {
	e, err := frame.DecodeEnd(items)
	if err != nil {
		return decodeError(err)
	}
	c.mu.Lock()
	s := c.sessions[channel]
	if s == nil {
		defer c.mu.Unlock()
		if c.closeSent {
			return nil
		}
		return Err(NotAllowed, "the channel has no session")
	}
	s.endLocked(nil)
	links := s.takeLinks()
	delete(c.sessions, channel)
	c.mu.Unlock()
	for _, l := range links {
		l.closed(asCauseOrNil(e))
	}
	return nil
}

func asCauseOrNil(e *Error) error {
	if e == nil {
		return nil
	}
	return e
}

// End ends the session; its links go with it. Err may be nil.
func (s *Session) End(err *Error) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	s.endLocked(err)
	c.kick()
}

// endLocked sends end, after what was said before. What the peer sends until
// its own end is passed over.
func (s *Session) endLocked(err *Error) {
	c := s.conn
	if s.ended || c.closeSent || c.failed != nil {
		return
	}
	s.flushDispositions()
	at := c.open(s.channel)
	c.out = frame.AppendEnd(c.out, err)
	c.done(at)
	s.ended = true
	for _, l := range s.links {
		l.drop()
	}
}

// takeLinks takes all links away from the session, and returns those whose
// handler is to be told. The lock is held.
func (s *Session) takeLinks() []*link {
	links := slices.Collect(maps.Values(s.links))
	slices.SortFunc(links, func(a, b *link) int { return int(a.handle) - int(b.handle) })
	for _, l := range links {
		l.drop()
		l.free()
	}
	s.ended, s.links = true, nil
	s.unsettled = nil
	return links
}

// collect turns what the session has to say into frames: outcomes first, then
// messages, then flows, so that the answer to a drain comes after what it
// counts. It reports whether there is more than fits the backlog. The lock is
// held.
func (s *Session) collect() (more bool) {
	s.flushDispositions()
	more = s.sendQueued()
	s.sendFlows()
	return more
}
