package directory

import (
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/inbox"
)

// environmentInbox returns the policy of inboxes for which nothing is said.
func environmentInbox(c config.Inbox) (inbox.Policy, error) {
	if c == (config.Inbox{}) {
		return inbox.DefaultPolicy, nil
	}
	full, ok := fullOf(c.OnFull)
	if !ok {
		return inbox.Policy{}, gatehouse.Errorf(gatehouse.Invalid, "inbox.onFull: %q is not refuse, dropOldest or deadLetter", c.OnFull)
	}
	return inbox.Policy{
		Lock: time.Duration(c.Lock), MaxDeliveries: c.MaxDeliveries, MaxAge: time.Duration(c.MaxAge), DeadLetterExpired: c.DeadLetterExpired,
		MaxMessages: c.MaxMessages, MaxBytes: int64(c.MaxBytes), OnFull: full, DeadLetterMaxAge: time.Duration(c.DeadLetterMaxAge),
	}, nil
}

func fullOf(s string) (inbox.Full, bool) {
	switch s {
	case "", config.Refuse:
		return inbox.Refuse, true
	case config.DropOldest:
		return inbox.DropOldest, true
	case config.DeadLetter:
		return inbox.DeadLetterNew, true
	}
	return 0, false
}

// over returns what s says, and p where it says nothing.
func (s *InboxSpec) over(p inbox.Policy) inbox.Policy {
	if s == nil {
		return p
	}
	give(&p.Lock, (*time.Duration)(s.Lock))
	give(&p.MaxDeliveries, s.MaxDeliveries)
	give(&p.MaxAge, (*time.Duration)(s.MaxAge))
	give(&p.DeadLetterExpired, s.DeadLetterExpired)
	give(&p.MaxMessages, s.MaxMessages)
	give(&p.MaxBytes, (*int64)(s.MaxBytes))
	give(&p.DeadLetterMaxAge, (*time.Duration)(s.DeadLetterMaxAge))
	if s.OnFull != "" {
		p.OnFull, _ = fullOf(s.OnFull)
	}
	return p
}

func give[T any](dst, given *T) {
	if given != nil {
		*dst = *given
	}
}

func (s *InboxSpec) clone() *InboxSpec {
	if s == nil {
		return nil
	}
	c := *s
	c.Lock, c.MaxDeliveries, c.MaxAge = copyOf(s.Lock), copyOf(s.MaxDeliveries), copyOf(s.MaxAge)
	c.DeadLetterExpired, c.MaxMessages, c.MaxBytes = copyOf(s.DeadLetterExpired), copyOf(s.MaxMessages), copyOf(s.MaxBytes)
	c.DeadLetterMaxAge = copyOf(s.DeadLetterMaxAge)
	return &c
}

func copyOf[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// Incarnation returns that of the endpoint of an inbox; ok is false if there is
// none. It is made for inbox.Options.
func (d *Directory) Incarnation(k inbox.Key) (n uint32, ok bool) {
	a := d.Current().Account(k.Account)
	if a == nil {
		return 0, false
	}
	e := a.Endpoint(k.Endpoint)
	if e == nil {
		return 0, false
	}
	return e.Incarnation(), true
}

// InboxPolicy returns how the inbox of an endpoint behaves: what the endpoint
// says, then its account, then Options.Inbox. It is made for inbox.Options.
func (d *Directory) InboxPolicy(k inbox.Key) inbox.Policy {
	a := d.Current().Account(k.Account)
	if a == nil {
		return d.inbox
	}
	e := a.Endpoint(k.Endpoint)
	if e == nil || e.traits == nil {
		return a.inbox
	}
	return e.traits.Inbox.over(a.inbox)
}
