package amqp1

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp"
	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/amqp/wire"
	"github.com/gatehouse/gatehouse/inbox"
)

// maxTake is how many messages are taken from an inbox at a time.
const maxTake = 256

// An inboxLink is a link on which a client receives from an inbox or its dead
// letters.
type inboxLink struct {
	*connection
	at     address
	claim  *claim
	name   string
	remove bool               // receive and delete: messages are sent settled
	group  *inbox.SessionLock // nil: all messages
	link   *amqp.Outgoing
	ctx    context.Context // of the link
	close  context.CancelFunc
	settle worker[settlement]

	pumpLock sync.Mutex
	running  bool               // the pump, or what is to come for it
	again    bool               // Ready was called since
	wake     context.CancelFunc // ends the waiting of the pump; nil if it does not
	later    *inbox.Waiting     // for messages, which start the pump again; nil: for none
	closed   bool
}

// attachInbox attaches a link to an inbox. With a session filter it is that of
// a group, for which it may have to wait.
func (c *connection) attachInbox(a *amqp.Attach, at *address, cl *claim) error {
	l := &inboxLink{connection: c, at: *at, claim: cl, name: a.Request.Name}
	l.remove = a.Request.SenderMode == frame.SenderSettled
	l.ctx, l.close = context.WithCancel(c.ctx)
	l.settle.do = l.decide
	filter, ok := sessionFilter(a.Request.Source.Filter)
	a.Reply.Source.Filter = wire.Value{} // others mean nothing here
	if !ok {
		l.open(a)
		return nil
	}
	return l.lockGroup(a, filter)
}

// open accepts the link.
func (l *inboxLink) open(a *amqp.Attach) bool {
	link, err := a.AcceptOutgoing(amqp.OutgoingOptions{Sender: l})
	if err != nil {
		l.close() // the client is gone
		return false
	}
	l.pumpLock.Lock()
	if l.link == nil {
		l.link = link
	}
	closed := l.closed
	l.pumpLock.Unlock()
	if l.join(l.claim, l) != nil {
		l.revoke(l.claim.session.Err())
	}
	if closed {
		l.part(l.claim, l)
	}
	return true
}

// revoke detaches the link.
func (l *inboxLink) revoke(err error) {
	e := l.failed(err)
	if e.Condition == conditionRevoked {
		e.Condition = conditionDisabled // there is no publisher
	}
	l.pumpLock.Lock()
	link := l.link
	l.pumpLock.Unlock()
	link.Detach(e)
	l.close()
	l.pumpLock.Lock()
	defer l.pumpLock.Unlock()
	l.stopWaiting()
}

// Closed implements amqp.Sender. What was not settled stays locked: it can be
// settled through $management, or on another link by its lock token.
func (l *inboxLink) Closed(error) {
	l.pumpLock.Lock()
	l.closed = true
	l.stopWaiting()
	l.pumpLock.Unlock()
	l.close()
	l.part(l.claim, l)
	if l.group != nil {
		l.begin(1)
		l.settle.add(l.connection, settlement{free: true}) // after what was settled on it
	}
}

// Ready implements amqp.Sender.
func (l *inboxLink) Ready(link *amqp.Outgoing) {
	l.pumpLock.Lock()
	defer l.pumpLock.Unlock()
	l.again = true
	if l.link == nil { // before the attach has returned it
		l.link = link
	}
	if l.wake != nil {
		l.wake()
	}
	l.stopWaiting()
	if !l.running && !l.closed {
		l.running = l.spawn(l.pump)
	}
}

// stopWaiting stops waiting for messages, unless they are about to be given.
// pumpLock is held.
func (l *inboxLink) stopWaiting() {
	if l.later != nil && l.later.Cancel() {
		l.later, l.running = nil, false
	}
}

// pump sends messages while there is credit for any. It ends when there is
// none, and when there are no messages: then those that come start it again.
func (l *inboxLink) pump() {
	for l.proceed() {
		credit, draining := l.link.Credit(), l.link.Draining()
		waits := false
		if credit > 0 && l.ctx.Err() == nil {
			sent, err := l.fill(credit, draining)
			if sent > 0 {
				l.more()
				continue
			}
			if err == nil && !draining && l.group == nil {
				waits, err = l.await(credit)
			}
			if err != nil {
				l.revoke(err)
			}
		}
		if draining {
			l.link.Drained()
		}
		if waits {
			return
		}
	}
}

// await has messages that come given to the link, unless Ready was called. It
// reports whether it does.
func (l *inboxLink) await(credit int) (bool, error) {
	l.pumpLock.Lock()
	defer l.pumpLock.Unlock()
	if l.again || l.closed || l.ctx.Err() != nil {
		return false, nil
	}
	later, err := l.claim.session.ReceiveLater(l.ctx, l.at.dead, inbox.ReceiveOptions{Max: min(credit, maxTake)}, l.given)
	l.later = later
	return err == nil, err
}

// given takes the messages that were waited for, and goes on with the pump.
func (l *inboxLink) given(got []*inbox.Delivery, err error) {
	if !l.hold() {
		l.giveBack(got)
		return
	}
	defer l.working.Done()
	l.pumpLock.Lock()
	l.later, l.again = nil, true
	l.pumpLock.Unlock()
	if err != nil {
		l.revoke(err)
	}
	l.deliverAll(got)
	l.pump()
}

// proceed reports whether Ready was called since it was asked last; if not, the
// pump is no longer running.
func (l *inboxLink) proceed() bool {
	l.pumpLock.Lock()
	defer l.pumpLock.Unlock()
	l.running = l.again
	l.again = false
	return l.running
}

// more makes the pump go round again.
func (l *inboxLink) more() {
	l.pumpLock.Lock()
	defer l.pumpLock.Unlock()
	l.again = true
}

// fill takes messages and sends them. On the link of a group it waits for the
// first, until Ready is called again, unless the client drains the link.
func (l *inboxLink) fill(credit int, draining bool) (sent int, err error) {
	ctx, done := l.waiting()
	got, err := l.claim.session.Receive(ctx, l.at.dead, inbox.ReceiveOptions{
		Max: min(credit, maxTake), NoWait: draining || l.group == nil, Session: l.group,
	})
	woken := ctx.Err() != nil
	done()
	if err != nil {
		if woken || errors.Is(err, context.Canceled) {
			err = nil
		}
		if l.group != nil && errors.Is(err, gatehouse.LockLost) {
			err = amqp.Err(conditionSessionLost, "The session lock was lost. "+err.Error())
		}
		return 0, err
	}
	return l.deliverAll(got), nil
}

// deliverAll sends messages, and returns how many. If the client takes no more,
// the others go back to their places.
func (l *inboxLink) deliverAll(got []*inbox.Delivery) int {
	enc := l.encoder()
	defer l.putEncoder(enc)
	for i, d := range got {
		if !l.deliver(enc, d) {
			l.giveBack(got[i:])
			return i
		}
	}
	return len(got)
}

// waiting returns a context that ends with the link or when Ready is called.
func (l *inboxLink) waiting() (context.Context, func()) {
	ctx, cancel := context.WithCancel(l.ctx)
	l.pumpLock.Lock()
	defer l.pumpLock.Unlock()
	if l.again {
		cancel() // it was called already
	}
	l.wake = cancel
	return ctx, func() {
		l.pumpLock.Lock()
		l.wake = nil
		l.pumpLock.Unlock()
		cancel()
	}
}

// deliver sends one message. It reports false if the client takes no more.
func (l *inboxLink) deliver(enc *encoder, d *inbox.Delivery) bool {
	locked := d.LockedUntil
	if l.remove {
		locked = time.Time{}
	}
	e := enc.delivery(d, locked, failures(d), false)
	enc.tag = tagOf(d.Lock)
	if l.link.Send(amqp.Message{Head: e.head, Body: e.body, Tag: enc.tag[:], Settled: l.remove}) != nil {
		return false
	}
	if l.remove {
		l.begin(1)
		l.settle.add(l.connection, settlement{Settlement: inbox.Settlement{Lock: d.Lock, Outcome: inbox.Complete}})
	}
	return true
}

// failures is how many deliveries of a message came before this one.
func failures(d *inbox.Delivery) uint32 { return max(d.Count, 1) - 1 }

// giveBack releases messages that could not be sent.
func (l *inboxLink) giveBack(list []*inbox.Delivery) {
	locks := make([]inbox.LockToken, len(list))
	for i, d := range list {
		locks[i] = d.Lock
	}
	// If this fails, the locks expire by themselves.
	_ = l.claim.session.GiveBack(context.WithoutCancel(l.ctx), l.at.dead, false, locks...)
}

// tagOf returns a lock token as the delivery tag that clients take it from: in
// the byte order of a GUID of .NET. A tag becomes the token again by the same.
func tagOf(t [16]byte) [16]byte {
	return [16]byte{t[3], t[2], t[1], t[0], t[5], t[4], t[7], t[6], t[8], t[9], t[10], t[11], t[12], t[13], t[14], t[15]}
}
