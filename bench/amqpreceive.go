package bench

import (
	"context"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp/frame"
)

// receiveCredit is how many messages a receiver lets come before it has
// accepted them.
const receiveCredit = 1000

// An amqpReceiver takes messages under a lock and accepts them. A message is
// completed when the server has settled that.
type amqpReceiver struct {
	*amqpConn
	count  uint32 // deliveries so far
	credit uint32 // left
	first  uint32 // of the deliveries not accepted yet
	fresh  uint32 // how many those are
	out    []byte
}

func dialReceiver(ctx context.Context, g *remote, endpoint, buffer int) (*amqpReceiver, error) {
	c, err := dialAMQP(ctx, g, endpoint, g.Listen, buffer)
	if err != nil {
		return nil, err
	}
	err = c.attach(&frame.Attach{
		Role: frame.RoleReceiver, SenderMode: frame.SenderUnsettled, ReceiverMode: frame.ReceiverSecond,
		Source: frame.Source{Present: true, Address: account + "/inboxes/" + endpointName(endpoint)}, Target: frame.Target{Present: true},
	})
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return &amqpReceiver{amqpConn: c}, nil
}

func dialAMQPReceiver(ctx context.Context, g *remote, endpoint int) (receiver, error) {
	return dialReceiver(ctx, g, endpoint, loadBuffer)
}

// grant gives the server credit.
func (r *amqpReceiver) grant(credit uint32, echo bool) error {
	r.credit = credit
	f := frame.Flow{
		NextIncomingID: frame.Some(r.count), IncomingWindow: 1<<31 - 1, OutgoingWindow: 1<<31 - 1,
		Handle: frame.Some(0), DeliveryCount: frame.Some(r.count), LinkCredit: frame.Some(credit), Echo: echo,
	}
	_, err := r.Write(appendFrame(nil, frame.TypeAMQP, f.Append))
	return err
}

// read implements receiver. It accepts what one read has brought.
func (r *amqpReceiver) read(taken func(n int)) error {
	if err := r.grant(receiveCredit, false); err != nil {
		return ended(err)
	}
	for {
		n, err := r.take()
		if err != nil {
			return ended(err)
		}
		if n > 0 {
			taken(n)
		}
		if r.in.Buffered() > 0 {
			continue
		}
		if err := r.accept(); err != nil {
			return ended(err)
		}
		if r.credit < receiveCredit/2 {
			if err := r.grant(receiveCredit, false); err != nil {
				return ended(err)
			}
		}
	}
}

// take takes the next frame, and returns how many messages it says are
// completed.
func (r *amqpReceiver) take() (completed int, err error) {
	code, items, _, err := r.next()
	if err != nil {
		return 0, err
	}
	switch code {
	case frame.CodeTransfer:
		var t frame.Transfer
		if err := t.Decode(items); err != nil {
			return 0, err
		}
		if t.More || !t.DeliveryID.Set || t.DeliveryID.Value != r.count {
			return 0, gatehouse.Errorf(gatehouse.Internal, "the server sent part of a message, or deliveries with a gap")
		}
		if r.fresh == 0 {
			r.first = t.DeliveryID.Value
		}
		r.fresh++
		r.count++
		r.credit--
	case frame.CodeDisposition:
		var d frame.Disposition
		if err := d.Decode(items); err != nil {
			return 0, err
		}
		if !d.Settled || d.State.Kind != frame.Accepted {
			return 0, gatehouse.Errorf(gatehouse.Internal, "a message was not completed but %v: %w", d.State.Kind, d.State.Error)
		}
		return int(d.Last-d.First) + 1, nil
	case frame.CodeFlow:
	default:
		return 0, unexpected(code, items)
	}
	return 0, nil
}

// accept accepts the deliveries that are not yet.
func (r *amqpReceiver) accept() error {
	if r.fresh == 0 {
		return nil
	}
	d := frame.Disposition{Role: frame.RoleReceiver, First: r.first, Last: r.first + r.fresh - 1, State: frame.State{Kind: frame.Accepted}}
	r.fresh = 0
	r.out = appendFrame(r.out[:0], frame.TypeAMQP, d.Append)
	_, err := r.Write(r.out)
	return err
}
