package amqp1

import (
	"context"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp/wire"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/inbox"
)

// The operations of a sender: it schedules messages, cancels what it has
// scheduled, and looks at that.

// operateSender does what a sender can ask of its entity.
func (l *requestLink) operateSender(ctx context.Context, r *request) (response, error) {
	switch r.operation {
	case operationSchedule:
		return l.schedule(ctx, r)
	case operationCancel:
		return l.cancel(ctx, r)
	case operationPeek:
		return l.peekScheduled(r)
	case operationReceive, operationSettle, operationRenew:
		return response{}, gatehouse.Errorf(gatehouse.Forbidden, "messages are received from ACCOUNT/inboxes/ENDPOINT")
	}
	return unknownOperation(r.operation)
}

// schedule takes messages whose time is in their annotations. The number of
// one whose time has come already, which cannot be cancelled, is zero.
func (l *requestLink) schedule(ctx context.Context, r *request) (response, error) {
	in := incoming{connection: l.connection, at: l.at}
	var all []*gatehouse.Message
	for entry := range r.body.Get("messages").Elements() {
		raw, _ := entry.Get("message").Bytes()
		m, err := decode(raw)
		if err != nil {
			return response{}, err
		}
		in.address(m)
		all = append(all, m)
	}
	if len(all) == 0 || len(all) > l.options.MaxBatch {
		return response{}, gatehouse.Errorf(gatehouse.Invalid, "there must be at least one message and at most %d", l.options.MaxBatch)
	}
	type outcome struct {
		receipt gate.Receipt
		err     error
	}
	done := make(chan outcome, len(all)) // in the order of the messages
	err := l.claim.session.SubmitAll(ctx, func(r gate.Receipt, err error) { done <- outcome{r, err} }, all...)
	if err != nil {
		return response{}, err
	}
	numbers := make([]int64, len(all))
	for i := range all {
		o := <-done
		numbers[i] = int64(o.receipt.Sequence)
		if o.err != nil && err == nil {
			err = o.err
		}
	}
	if err != nil {
		return response{}, err
	}
	return ok(wire.Map(wire.String("sequence-numbers"), wire.Longs(numbers...)))
}

// cancel cancels scheduled messages by their numbers.
func (l *requestLink) cancel(ctx context.Context, r *request) (response, error) {
	asked, err := r.numbers()
	if err != nil {
		return response{}, err
	}
	numbers := make([]uint64, len(asked))
	for i, n := range asked {
		numbers[i] = uint64(n) // a negative one is nobody's
	}
	err = l.claim.session.CancelScheduled(ctx, numbers...)
	if gatehouse.KindOf(err) == gatehouse.NotFound {
		return response{status: 404, text: err.Error(), condition: conditionNoMessage}, nil
	}
	if err != nil {
		return response{}, err
	}
	return ok(wire.Value{})
}

// peekScheduled shows what the sender has scheduled.
func (l *requestLink) peekScheduled(r *request) (response, error) {
	group, grouped := r.body.Get("session-id").Str()
	return r.peek(func(from gatehouse.Offset, limit int) ([]*inbox.Delivery, error) {
		waiting, err := l.claim.session.PeekScheduled(uint64(from), limit)
		all := make([]*inbox.Delivery, len(waiting))
		for i, w := range waiting {
			all[i] = &inbox.Delivery{
				Message: w.Message, Sequence: gatehouse.Offset(w.Sequence), Enqueued: w.Message.Enqueued,
				Expires: w.Message.Expires(), State: inbox.Scheduled,
			}
		}
		return all, err
	}, func(d *inbox.Delivery) bool { return !grouped || d.Message.Group == group })
}
