package gate

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/inbox"
)

// The methods below receive from the inbox of the session's endpoint, or with
// dead from its dead letters. They fail with Forbidden if the session may not
// receive, and with the reason of its end once it has ended.

// listener returns the key of the inbox the session may receive from.
func (s *Session) listener(dead bool) (inbox.Key, error) {
	if err := s.Err(); err != nil {
		return inbox.Key{}, err
	}
	if s.attempt.Endpoint == "" || !s.Identity().Rights.Has(gatehouse.RightListen) {
		return inbox.Key{}, gatehouse.Errorf(gatehouse.Forbidden, "this session may not receive; open it with a key of the endpoint that has the right to listen")
	}
	return inbox.Key{Account: s.attempt.Account, Endpoint: s.attempt.Endpoint, Dead: dead}, nil
}

// until returns a context that ends with ctx and with the session.
func (s *Session) until(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.ctx, func() { cancel(s.Err()) })
	return ctx, func() { stop(); cancel(nil) }
}

// Receive takes messages: see inbox.Set.Receive. It ends with the session.
func (s *Session) Receive(ctx context.Context, dead bool, o inbox.ReceiveOptions) ([]*inbox.Delivery, error) {
	k, err := s.listener(dead)
	if err != nil {
		return nil, err
	}
	if !o.NoWait {
		waiting, cancel := s.until(ctx)
		defer cancel()
		ctx = waiting
	}
	got, err := s.gate.Inboxes.Receive(ctx, k, o)
	return s.hand(k, got, o.Delete, err)
}

// ReceiveDeferred takes deferred messages by their sequence numbers: see
// inbox.Set.ReceiveDeferred.
func (s *Session) ReceiveDeferred(ctx context.Context, dead bool, o inbox.ReceiveOptions, sequences ...gatehouse.Offset) ([]*inbox.Delivery, error) {
	k, err := s.listener(dead)
	if err != nil {
		return nil, err
	}
	got, err := s.gate.Inboxes.ReceiveDeferred(ctx, k, o, sequences...)
	return s.hand(k, got, o.Delete, err)
}

// hand hands deliveries over, unless the session has ended meanwhile: then
// those under a lock go back to their places. What was received and deleted
// was removed while the session stood.
func (s *Session) hand(k inbox.Key, got []*inbox.Delivery, deleted bool, err error) ([]*inbox.Delivery, error) {
	if err != nil || len(got) == 0 {
		return nil, err
	}
	if ended := s.Err(); ended != nil && !deleted {
		back := make([]inbox.Settlement, len(got))
		for i, d := range got {
			back[i] = inbox.Settlement{Sequence: d.Sequence, Lock: d.Lock, Outcome: inbox.Release}
		}
		// If this fails the locks expire by themselves.
		_ = s.gate.Inboxes.SettleAsync(context.WithoutCancel(s.ctx), k, back, func(error) {})
		return nil, ended
	}
	if f := s.gate.Events.Delivered; f != nil {
		f(s.attempt.Protocol, len(got))
	}
	return got, nil
}

// Peek looks at messages without taking them: see inbox.Set.Peek.
func (s *Session) Peek(ctx context.Context, dead bool, from gatehouse.Offset, limit int) ([]*inbox.Delivery, error) {
	k, err := s.listener(dead)
	if err != nil {
		return nil, err
	}
	return s.gate.Inboxes.Peek(ctx, k, from, limit)
}

// Groups returns the groups that have messages or a state in the inbox: see
// inbox.Set.Sessions.
func (s *Session) Groups(ctx context.Context, dead bool) ([]string, error) {
	k, err := s.listener(dead)
	if err != nil {
		return nil, err
	}
	return s.gate.Inboxes.Sessions(ctx, k)
}

// Settle decides the fate of deliveries, durably and in one commit: see
// inbox.Set.Settle. A delivery may be settled by another session of the
// endpoint than the one that received it.
func (s *Session) Settle(ctx context.Context, dead bool, settlements ...inbox.Settlement) error {
	done := make(chan error, 1)
	if err := s.SettleAsync(ctx, dead, settlements, func(err error) { done <- err }); err != nil {
		return err
	}
	return <-done
}

// SettleAsync is Settle that returns at once: see inbox.Set.SettleAsync.
func (s *Session) SettleAsync(ctx context.Context, dead bool, settlements []inbox.Settlement, done func(error)) error {
	k, err := s.listener(dead)
	if err != nil {
		return err
	}
	return s.gate.Inboxes.SettleAsync(ctx, k, settlements, func(err error) {
		if f := s.gate.Events.Settled; f != nil {
			for i := range settlements {
				if settlements[i].Err == nil {
					f(s.attempt.Protocol, settlements[i].Outcome, 1)
				}
			}
		}
		done(err)
	})
}

// Renew prolongs a lock and returns until when: see inbox.Set.Renew.
func (s *Session) Renew(_ context.Context, dead bool, lock inbox.LockToken) (time.Time, error) {
	k, err := s.listener(dead)
	if err != nil {
		return time.Time{}, err
	}
	return s.gate.Inboxes.Renew(k, 0, lock)
}

// AcceptGroup locks a group of the inbox, a session in Azure's words: see
// inbox.Set.AcceptSession. What it returns goes into ReceiveOptions.
func (s *Session) AcceptGroup(ctx context.Context, dead bool, group string, length time.Duration) (*inbox.SessionLock, error) {
	k, err := s.listener(dead)
	if err != nil {
		return nil, err
	}
	waiting, cancel := s.until(ctx)
	defer cancel()
	lock, err := s.gate.Inboxes.AcceptSession(waiting, k, group, length)
	if ended := s.Err(); ended != nil && err == nil {
		_ = s.gate.Inboxes.ReleaseSession(lock) // or it expires
		return nil, ended
	}
	return lock, err
}

// RenewGroup prolongs the lock of a group and returns until when.
func (s *Session) RenewGroup(lock *inbox.SessionLock) (time.Time, error) {
	if err := s.holds(lock); err != nil {
		return time.Time{}, err
	}
	return s.gate.Inboxes.RenewSession(lock)
}

// ReleaseGroup gives the lock of a group back.
func (s *Session) ReleaseGroup(lock *inbox.SessionLock) error {
	if err := s.holds(lock); err != nil {
		return err
	}
	return s.gate.Inboxes.ReleaseSession(lock)
}

// GroupState returns the bytes that were last stored for a group.
func (s *Session) GroupState(lock *inbox.SessionLock) ([]byte, error) {
	if err := s.holds(lock); err != nil {
		return nil, err
	}
	return s.gate.Inboxes.SessionState(lock)
}

// SetGroupState stores bytes for a group, durably; nil removes them.
func (s *Session) SetGroupState(ctx context.Context, lock *inbox.SessionLock, state []byte) error {
	if err := s.holds(lock); err != nil {
		return err
	}
	return s.gate.Inboxes.SetSessionState(ctx, lock, state)
}

// holds checks that the lock of a group is one of the session's inbox.
func (s *Session) holds(lock *inbox.SessionLock) error {
	k, err := s.listener(lock.Key.Dead)
	if err != nil {
		return err
	}
	if partyOf(lock.Key.Account, lock.Key.Endpoint) != partyOf(k.Account, k.Endpoint) {
		return gatehouse.Errorf(gatehouse.Forbidden, "the lock is of another inbox than the session")
	}
	return nil
}
