package gate

import (
	"context"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/inbox"
)

// ReceiveLater is Receive for an adapter that has many idle clients: it returns
// at once, and give is called in a goroutine of its own when messages have
// come: see inbox.Set.ReceiveLater. It does not end with the session: the
// adapter cancels it then. What comes after the end goes back to its place, and
// give is told the reason of the end.
func (s *Session) ReceiveLater(ctx context.Context, dead bool, o inbox.ReceiveOptions, give func([]*inbox.Delivery, error)) (*inbox.Waiting, error) {
	k, err := s.listener(dead)
	if err != nil {
		return nil, err
	}
	return s.gate.Inboxes.ReceiveLater(ctx, k, o, func(got []*inbox.Delivery, err error) {
		give(s.hand(k, got, false, err))
	})
}

// GiveBack returns deliveries to their places when the connection they went to
// has ended, durably: released, or if failed is true abandoned, which counts as
// a failed delivery. It may be called after the end of the session. Locks that
// are lost already do not matter.
func (s *Session) GiveBack(ctx context.Context, dead, failed bool, locks ...inbox.LockToken) error {
	if len(locks) == 0 {
		return nil
	}
	back := make([]inbox.Settlement, len(locks))
	for i, lock := range locks {
		back[i] = inbox.Settlement{Lock: lock, Outcome: inbox.Release}
		if failed {
			back[i].Outcome = inbox.Abandon
		}
	}
	k := inbox.Key{Account: s.attempt.Account, Endpoint: s.attempt.Endpoint, Dead: dead}
	err := s.gate.Inboxes.Settle(ctx, k, back)
	if gatehouse.KindOf(err) == gatehouse.LockLost {
		return nil
	}
	return err
}
