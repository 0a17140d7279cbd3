package amqp

import (
	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/amqp/wire"
)

// DefaultWindow is the credit window of an incoming link whose options give none.
const DefaultWindow = 500

// IncomingOptions is how an incoming link is run.
type IncomingOptions struct {
	// Receiver takes the messages. It must not be nil.
	Receiver Receiver

	// Window is how many deliveries the peer may have on the way or unfinished.
	// Credit is granted with the attach and again as deliveries are finished.
	// Default: DefaultWindow. Negative: no credit but what Grant gives.
	Window int

	// MaxMessageSize is the largest message taken, in bytes; 0 is no limit but
	// Config.MaxUnfinished. Larger ones are rejected with
	// amqp:link:message-size-exceeded, and detach the link with it if the peer
	// does not wait for an outcome. It goes into the attach frame.
	MaxMessageSize uint64
}

// An Incoming is a link on which the peer sends.
type Incoming struct {
	link
	receiver Receiver
	second   bool // receiver settle mode second: the peer has the last word
	window   uint32
	max      uint64

	deliveryCount uint32
	credit        uint32
	outstanding   uint32 // deliveries that have started and are not finished
	partial       *Delivery
	held          int  // bytes of partial
	oversize      bool // partial is being thrown away
}

// AcceptIncoming accepts a link whose peer sends, and grants credit with it.
func (a *Attach) AcceptIncoming(o IncomingOptions) (*Incoming, error) {
	c := a.Conn()
	c.mu.Lock()
	defer c.mu.Unlock()
	a.Reply.MaxMessageSize = o.MaxMessageSize
	if err := a.accept(true); err != nil {
		return nil, err
	}
	in := &Incoming{
		receiver:      o.Receiver,
		second:        a.Reply.ReceiverMode == frame.ReceiverSecond,
		window:        uint32(max(o.Window, 0)),
		max:           o.MaxMessageSize,
		deliveryCount: a.Request.InitialDeliveryCount.Or(0),
	}
	if o.Window == 0 {
		in.window = DefaultWindow
	}
	in.adopt(a.link)
	in.replenish()
	c.kick()
	return in, nil
}

// adopt makes l the link that the session knows.
func (in *Incoming) adopt(l *link) {
	in.link = *l
	in.link.in = in
	l.session.replaceLink(l, &in.link)
}

// replaceLink puts a link in the place of the one that stood for it while it
// was pending. The lock is held.
func (s *Session) replaceLink(pending, l *link) {
	s.links[l.handle] = l
	key := linkName{l.name, l.peer}
	if s.conn.names[key] == pending {
		s.conn.names[key] = l
	}
	l.gone = nil
}

// Session returns the session that the link belongs to.
func (in *Incoming) Session() *Session { return in.session }

// Name returns the name the peer gave the link.
func (in *Incoming) Name() string { return in.name }

// Detach ends the link for good: with an error, unless it is nil. Deliveries
// that are not finished get no outcome.
func (in *Incoming) Detach(err *Error) { in.end(err) }

// SetWindow changes the credit window. A smaller one takes no credit back: none
// is granted until enough deliveries have come and been finished.
func (in *Incoming) SetWindow(n int) {
	c := in.session.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	in.window = uint32(max(n, 0))
	in.replenish()
	c.kick()
}

// Grant gives the peer credit for n more deliveries, beside the window.
func (in *Incoming) Grant(n int) {
	c := in.session.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if in.state != linkAttached || n <= 0 {
		return
	}
	in.credit += uint32(n)
	in.wantFlow()
	c.kick()
}

// Credit returns how many deliveries the peer may still send.
func (in *Incoming) Credit() int {
	c := in.session.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	return int(in.credit)
}

// replenish grants credit again once a quarter of the window is free, or the
// peer has none left. The lock is held.
func (in *Incoming) replenish() {
	used := in.credit + in.outstanding
	if in.state != linkAttached || used >= in.window {
		return
	}
	free := in.window - used
	if free >= max(in.window/4, 1) || in.credit == 0 {
		in.credit += free
		in.wantFlow()
	}
}

// takeFlow takes the peer's view of the link: it may have used up credit
// without sending. The lock is held.
func (in *Incoming) takeFlow(f *frame.Flow) {
	if f.DeliveryCount.Set {
		if ahead := f.DeliveryCount.Value - in.deliveryCount; ahead > 0 && ahead <= in.credit {
			in.deliveryCount += ahead
			in.credit -= ahead
			in.replenish()
		}
	}
	if f.Echo {
		in.wantFlow()
	}
}

func (in *Incoming) fillFlow(f *frame.Flow) {
	f.DeliveryCount = frame.Some(in.deliveryCount)
	f.LinkCredit = frame.Some(in.credit)
}

// discard frees the partial message. The lock is held.
func (in *Incoming) discard() {
	in.hold(0)
	in.partial, in.oversize = nil, false
}

// takeTransfer takes a transfer in and hands a complete message on.
func (c *Conn) takeTransfer(channel uint16, items wire.Items, payload []byte) error {
	var t frame.Transfer
	if err := t.Decode(items); err != nil {
		return decodeError(err)
	}
	c.mu.Lock()
	s, err := c.session(channel)
	if s == nil {
		c.mu.Unlock()
		return err
	}
	in := s.transferLink(&t)
	var d *Delivery
	if in != nil {
		d = in.takeTransfer(&t, payload)
	}
	c.mu.Unlock()
	if d != nil {
		in.receiver.Message(d)
	}
	return nil
}

// transferLink counts a transfer frame and finds its link. It is nil if the
// frame is to be passed over. The lock is held.
func (s *Session) transferLink(t *frame.Transfer) *Incoming {
	if s.incomingWindow == 0 {
		s.endLocked(Err(WindowViolation, "transfer beyond the incoming window"))
		return nil
	}
	s.incomingWindow--
	s.nextIncomingID++
	if s.incomingWindow <= s.conn.server.config.IncomingWindow/2 && !s.flowDue {
		s.flowDue = true
		s.conn.touch(s)
	}
	l := s.links[t.Handle]
	switch {
	case l == nil:
		s.endLocked(Err(UnattachedHandle, "transfer for a handle that has no link"))
	case l.state == linkDetached:
	case l.in == nil:
		l.misused()
	default:
		return l.in
	}
	return nil
}

// misused ends the session over a transfer on a link that cannot take any.
func (l *link) misused() {
	l.session.endLocked(Err(NotAllowed, "transfer on a link that is not for the peer to send on"))
}

// takeTransfer takes a frame of a delivery, and returns the delivery if it is
// complete (part 2.6.14). The lock is held.
func (in *Incoming) takeTransfer(t *frame.Transfer, payload []byte) *Delivery {
	d := in.partial
	if d == nil {
		if d = in.startDelivery(t, payload); d == nil {
			return nil
		}
	} else if t.DeliveryID.Set && t.DeliveryID.Value != d.id {
		in.detach(true, Err(InvalidField, "delivery-id changed within a delivery"))
		return nil
	}
	d.Settled = d.Settled || t.Settled
	if t.Aborted {
		in.discard()
		in.outstanding--
		in.replenish()
		return nil
	}
	if !in.add(d, payload, t.More) || t.More {
		return nil
	}
	return in.complete(d)
}

// startDelivery begins with the first frame of a delivery.
func (in *Incoming) startDelivery(t *frame.Transfer, payload []byte) *Delivery {
	var err *Error
	switch {
	case t.Resume:
		err = Err(NotImplemented, "resuming deliveries is not supported")
	case !t.DeliveryID.Set || t.DeliveryTag == nil:
		err = Err(InvalidField, "the first transfer of a delivery needs delivery-id and delivery-tag")
	case in.credit == 0:
		err = Err(TransferLimitExceeded, "transfer without credit")
	}
	if err != nil {
		in.detach(true, err)
		return nil
	}
	in.credit--
	in.deliveryCount++
	in.outstanding++
	d := in.session.conn.server.deliveries.Get().(*Delivery)
	d.in, d.id, d.Format = in, t.DeliveryID.Value, t.MessageFormat.Or(0)
	n := len(t.DeliveryTag)
	if cap(d.buffer) < n+len(payload) {
		d.buffer = make([]byte, 0, n+len(payload))
	}
	buf := append(d.buffer, t.DeliveryTag...)
	d.Tag, d.Message = buf[:n:n], buf[n:]
	return d
}

// add appends a frame's payload, unless the message is too large already. It
// reports whether the link still stands.
func (in *Incoming) add(d *Delivery, payload []byte, more bool) bool {
	c := in.session.conn
	if in.max > 0 && uint64(len(d.Message))+uint64(len(payload)) > in.max {
		in.oversize, d.Message = true, nil
	}
	if !in.oversize {
		d.Message = append(d.Message, payload...)
	}
	if !more {
		in.hold(0)
		in.partial = nil
		return true
	}
	if c.unfinished-in.held+len(d.Message) > c.server.config.MaxUnfinished {
		in.detach(true, Err(ResourceLimitExceeded, "too many bytes of unfinished messages"))
		return false
	}
	in.hold(len(d.Message))
	in.partial = d
	return true
}

// hold tells the connection how many bytes the partial message has.
func (in *Incoming) hold(n int) {
	in.session.conn.unfinished += n - in.held
	in.held = n
}

// complete takes note of a delivery whose last frame has come, and returns it
// unless it was too large.
func (in *Incoming) complete(d *Delivery) *Delivery {
	if !in.oversize {
		return d
	}
	in.oversize = false
	err := Err(MessageSizeExceeded, "the message is larger than the link allows")
	if d.Settled {
		in.detach(true, err) // nobody waits for an outcome: not to lose it in silence
		return nil
	}
	d.finish(&State{Kind: frame.Rejected, Error: err})
	return nil
}
