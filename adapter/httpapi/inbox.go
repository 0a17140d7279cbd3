package httpapi

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/inbox"
)

// take receives messages under locks. It returns none when the client's time
// is over or the server is told to stop.
func (c *call) take(ctx context.Context, q query) ([]*inbox.Delivery, error) {
	got, err := c.session.Receive(ctx, c.target.dead, inbox.ReceiveOptions{Max: q.most, NoWait: q.wait == 0})
	if err != nil && ctx.Err() != nil && c.r.Context().Err() == nil {
		return nil, nil
	}
	return got, err
}

// takeDeferred receives one deferred message under a lock.
func (c *call) takeDeferred() ([]*inbox.Delivery, error) {
	return c.session.ReceiveDeferred(c.r.Context(), c.target.dead, inbox.ReceiveOptions{}, c.target.sequence)
}

// look peeks.
func (c *call) look(from gatehouse.Offset, most int) ([]*inbox.Delivery, error) {
	return c.session.Peek(c.r.Context(), c.target.dead, from, most)
}

// one settles the message whose lock the path names.
func (c *call) one(s inbox.Settlement) error {
	s.Lock = c.target.lock
	return c.session.Settle(c.r.Context(), c.target.dead, s)
}

// renew prolongs the lock that the path names.
func (c *call) renewLock() (time.Time, error) {
	return c.session.Renew(c.r.Context(), c.target.dead, c.target.lock)
}

// complete removes messages whose answer is out, whatever becomes of the client.
func (c *call) complete(got []*inbox.Delivery) error { return c.all(got, inbox.Complete) }

// giveBack returns messages whose client is gone to their places.
func (c *call) giveBack(got []*inbox.Delivery) error { return c.all(got, inbox.Release) }

func (c *call) all(got []*inbox.Delivery, o inbox.Outcome) error {
	settlements := make([]inbox.Settlement, len(got))
	for i, d := range got {
		settlements[i] = inbox.Settlement{Sequence: d.Sequence, Lock: d.Lock, Outcome: o}
	}
	return c.session.Settle(context.WithoutCancel(c.r.Context()), c.target.dead, settlements...)
}
