package amqp

import (
	"github.com/gatehouse/gatehouse/amqp/frame"
)

// DefaultUnsettled is how many unsettled deliveries an outgoing link may have
// whose options give no number.
const DefaultUnsettled = 5000

// OutgoingOptions is how an outgoing link is run.
type OutgoingOptions struct {
	// Sender fills the link. It must not be nil.
	Sender Sender

	// MaxUnsettled is how many deliveries may await their settlement. Default:
	// DefaultUnsettled.
	MaxUnsettled int
}

// An Outgoing is a link on which the peer receives.
type Outgoing struct {
	link
	sender        Sender
	max           int
	settledMode   bool // sender settle mode settled
	deliveryCount uint32
	credit        uint32
	available     uint32
	queue         []*sending // queue[head:] wait to be sent
	head          int
	unsettled     int
	sending       bool // in session.sending
	waiting       bool // in conn.ready or conn.starved
	drain         bool // the peer wants its credit used up
	drained       bool // the Sender has nothing more for the drain
	tags          uint64
}

// AcceptOutgoing accepts a link whose peer receives. The Sender is told of
// credit, including any that came before.
func (a *Attach) AcceptOutgoing(o OutgoingOptions) (*Outgoing, error) {
	c := a.Conn()
	c.mu.Lock()
	defer c.mu.Unlock()
	a.Reply.MaxMessageSize = 0
	if err := a.accept(false); err != nil {
		return nil, err
	}
	out := &Outgoing{
		sender:      o.Sender,
		max:         o.MaxUnsettled,
		settledMode: a.Reply.SenderMode == frame.SenderSettled,
	}
	if out.max <= 0 {
		out.max = DefaultUnsettled
	}
	early := a.link.early
	out.link = *a.link
	out.link.out, out.early = out, nil
	out.session.replaceLink(a.link, &out.link)
	if early != nil {
		out.takeFlow(early)
	}
	c.kick()
	return out, nil
}

// Session returns the session that the link belongs to.
func (o *Outgoing) Session() *Session { return o.session }

// Name returns the name the peer gave the link.
func (o *Outgoing) Name() string { return o.name }

// Detach ends the link for good: with an error, unless it is nil. What was
// queued and not written is not sent.
func (o *Outgoing) Detach(err *Error) { o.end(err) }

// A Message is what Send takes. Head and Tag are copied; Body must not be
// changed until the delivery has an outcome or, sent settled, at all.
type Message struct {
	Head   []byte // encoded sections
	Body   []byte // more of them; sent right after Head
	Tag    []byte // at most 32 bytes, to know the delivery by; one is made up if it is nil
	Format uint32 // the message format: 0 for an AMQP message

	// Settled sends the message without expecting an outcome. On a link whose
	// peer asked for settled deliveries, all are.
	Settled bool
}

// Send sends a message as soon as the peer's windows allow. It does not block,
// and fails with ErrNoCredit if Credit is used up or too many deliveries are
// unsettled. Messages of a link arrive in the order of the calls.
func (o *Outgoing) Send(m Message) error {
	if len(m.Tag) > frame.MaxTag {
		return ErrTag
	}
	c := o.session.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.state != linkAttached || c.closeSent || c.failed != nil {
		return ErrDetached
	}
	if o.room() <= 0 {
		return ErrNoCredit
	}
	s := o.newSending(&m)
	if !s.settled {
		o.unsettled++
	}
	o.queue = append(o.queue, s)
	c.queued += s.size()
	o.schedule()
	c.kick()
	return nil
}

// room is how many more messages the peer has given credit for and may be
// unsettled. The lock is held.
func (o *Outgoing) room() int {
	left := int(o.credit) - (len(o.queue) - o.head)
	if o.head < len(o.queue) && o.queue[o.head].started {
		left++ // it has taken its credit already
	}
	return min(left, o.max-o.unsettled)
}

// Credit returns how many messages Send takes now. It is zero while too much
// waits to be written to the peer; Sender.Ready is called when that is over.
func (o *Outgoing) Credit() int {
	c := o.session.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.state != linkAttached {
		return 0
	}
	room := max(o.room(), 0)
	if c.backlog() < c.server.config.OutputLimit {
		return room
	}
	if room > 0 && !o.waiting {
		o.waiting = true
		c.starved = append(c.starved, o)
	}
	return 0
}

// Draining reports whether the peer wants its credit used up at once (part
// 2.6.7): the Sender sends what it has and calls Drained.
func (o *Outgoing) Draining() bool {
	c := o.session.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	return o.drain && !o.drained && o.state == linkAttached
}

// Drained says that there is nothing more to send for now: what is left of the
// peer's credit is used up, and the peer is told once what was sent before is
// on its way. It does nothing unless the link is Draining.
func (o *Outgoing) Drained() {
	c := o.session.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if !o.drain || o.state != linkAttached {
		return
	}
	o.drained = true
	o.wantFlow()
	c.kick()
}

// SetAvailable tells the peer, with the next flow, how many messages could be
// sent if there were credit.
func (o *Outgoing) SetAvailable(n int) {
	c := o.session.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	o.available = uint32(max(n, 0))
}

// takeFlow takes the peer's credit (part 2.6.7). The lock is held.
func (o *Outgoing) takeFlow(f *frame.Flow) {
	if f.LinkCredit.Set {
		left := int64(int32(f.DeliveryCount.Or(0)-o.deliveryCount)) + int64(f.LinkCredit.Value)
		o.credit = uint32(max(left, 0))
	}
	o.drain, o.drained = f.Drain, false
	o.schedule()
	if f.Echo && !f.Drain {
		o.wantFlow()
	}
	if o.drain && o.credit == 0 {
		o.drained = true
		o.wantFlow()
	}
	if (o.credit > 0 || o.drain) && !o.waiting {
		o.waiting = true
		c := o.session.conn
		c.ready = append(c.ready, o)
	}
}

// mustSendFirst reports whether a flow has to wait for messages: it answers a
// drain that they belong to. The lock is held.
func (o *Outgoing) mustSendFirst() bool {
	return o.drain && o.drained && o.credit > 0 && o.head < len(o.queue)
}

// fillFlow tells the link's state; a drain that is over uses the credit up.
func (o *Outgoing) fillFlow(f *frame.Flow) {
	if o.drain && o.drained {
		o.deliveryCount += o.credit
		o.credit = 0
		f.Drain = true
		o.drain, o.drained = false, false
	}
	f.DeliveryCount = frame.Some(o.deliveryCount)
	f.LinkCredit = frame.Some(o.credit)
	f.Available = frame.Some(o.available + uint32(len(o.queue)-o.head))
}

// drop forgets what was not sent or not settled. The lock is held.
func (o *Outgoing) drop() {
	c := o.session.conn
	for _, m := range o.queue[o.head:] {
		c.queued -= m.size() - m.off
	}
	o.queue, o.head = nil, 0
	for id, m := range o.session.unsettled {
		if m.link == o {
			delete(o.session.unsettled, id)
		}
	}
}
