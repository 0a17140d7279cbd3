package amqp1

import (
	"context"
	"errors"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp"
	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/amqp/wire"
	"github.com/gatehouse/gatehouse/inbox"
)

// A settlement is what a client has decided about a delivery.
type settlement struct {
	inbox.Settlement
	tell bool            // the client is to be told
	free bool            // nothing is settled: the group is given back
	kind frame.StateKind // what it is told if all goes well
	sent amqp.Sent       // what it is told of
}

// Outcome implements amqp.Sender.
func (l *inboxLink) Outcome(m amqp.Sent, state amqp.State) {
	settled := m.Settled()
	if !settled && (state.Kind == frame.NoState || state.Kind == frame.Received) {
		return // not decided yet
	}
	s := settlement{Settlement: settlementOf(&state), tell: !settled, kind: state.Kind, sent: m}
	s.Lock = tagOf([16]byte(m.Tag()))
	l.begin(1)
	l.settle.add(l.connection, s)
}

// settlementOf returns what a state means for a message in an inbox. Of the
// state, which is only lent, it keeps nothing.
func settlementOf(state *amqp.State) inbox.Settlement {
	switch state.Kind {
	case frame.Accepted:
		return inbox.Settlement{Outcome: inbox.Complete}
	case frame.Released:
		return inbox.Settlement{Outcome: inbox.Release}
	case frame.Rejected:
		return rejection(state.Error)
	case frame.Modified:
		s := inbox.Settlement{Outcome: inbox.Abandon}
		if state.Undeliverable {
			s.Outcome = inbox.Defer
		}
		if state.Annotations.Len() > 0 {
			s.Attributes = toAttributes(state.Annotations)
		}
		return s
	}
	return inbox.Settlement{Outcome: inbox.Abandon} // settled without a word, or by an unknown one
}

// rejection makes a dead letter: with the reason that Service Bus clients give
// in the info of the error, or else with the error itself.
func rejection(e *amqp.Error) inbox.Settlement {
	s := inbox.Settlement{Outcome: inbox.DeadLetter}
	if e == nil {
		return s
	}
	if e.Condition != conditionDeadLetter {
		s.Reason, s.Description = e.Condition, e.Description
	}
	if e.Info.Type() != wire.TypeMap {
		return s
	}
	for key, value := range e.Info.Entries() {
		switch {
		case key.Is(propertyReason):
			s.Reason, _ = value.Str()
		case key.Is(propertyDescription):
			s.Description, _ = value.Str()
		default:
			s.Attributes = append(s.Attributes, gatehouse.Attribute{Name: toText(key), Value: toValue(value)})
		}
	}
	return s
}

// decide settles deliveries in one commit and tells the client.
func (l *inboxLink) decide(list []settlement) {
	if last := len(list) - 1; list[last].free {
		list = list[:last]
		defer func() {
			l.freeGroup()
			l.finish(1)
		}()
	}
	if len(list) == 0 {
		return
	}
	all := append([]settlement(nil), list...) // the list is used again
	what := make([]inbox.Settlement, len(all))
	for i := range all {
		what[i] = all[i].Settlement
	}
	told := func() {
		for i := range all {
			l.told(&all[i], what[i].Err)
		}
		l.finish(len(all))
	}
	err := l.claim.session.SettleAsync(context.WithoutCancel(l.ctx), l.at.dead, what, func(error) { told() })
	if err != nil {
		for i := range what {
			what[i].Err = err
		}
		told()
	}
}

// told answers a settlement: with its own outcome, without the error of a
// rejection, which clients would take for ours.
func (l *inboxLink) told(s *settlement, err error) {
	if !s.tell {
		return
	}
	if err != nil {
		e := l.failed(err)
		if errors.Is(err, gatehouse.LockLost) {
			e.Description = "The lock supplied is invalid. Either the lock expired, or the message has already been removed from the queue. " + e.Description
			if l.group != nil {
				e.Condition = conditionSessionLost
			}
		}
		s.sent.Settle(amqp.State{Kind: frame.Rejected, Error: e})
		return
	}
	s.sent.Settle(amqp.State{Kind: s.kind})
}
