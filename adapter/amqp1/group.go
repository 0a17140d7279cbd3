package amqp1

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp"
	"github.com/gatehouse/gatehouse/amqp/wire"
	"github.com/gatehouse/gatehouse/inbox"
)

// Sessions of Service Bus are groups here: a client asks for one by a filter,
// and has its messages for itself as long as the link and the lock last.

const (
	filterSession     = "com.microsoft:session-filter"
	filterSessionCode = 0x137000000C

	propertyTimeout     = "com.microsoft:timeout"          // milliseconds
	propertyLockedUntil = "com.microsoft:locked-until-utc" // ticks
)

// groupWait is how long a client that asks for any group waits for one.
const groupWait = time.Minute

// A groupKey names a group of an inbox.
type groupKey struct {
	inbox string // the folded base of the address
	dead  bool
	group string
}

// A wantedGroup is a session filter.
type wantedGroup struct {
	group     string // empty: any
	described bool   // the filter's value was, and so must be the answer's
}

// sessionFilter finds the session filter among filters. One client describes
// its value, another does not.
func sessionFilter(filters wire.Value) (wantedGroup, bool) {
	for key, value := range filters.Entries() {
		descriptor, inner, described := value.Described()
		code, _ := descriptor.Uint64()
		if !key.Is(filterSession) && (!described || code != filterSessionCode) {
			continue
		}
		if described {
			value = inner
		}
		group, _ := value.Str()
		return wantedGroup{group, described}, true
	}
	return wantedGroup{}, false
}

// reply returns the filter for the answer, with the group that was locked.
func (w wantedGroup) reply(group string) wire.Value {
	value := wire.String(group)
	if w.described {
		value = wire.Describe(wire.Ulong(filterSessionCode), value)
	}
	return wire.Map(wire.Symbol(filterSession), value)
}

// lockGroup locks the group that the link is for, and then opens the link.
func (l *inboxLink) lockGroup(a *amqp.Attach, w wantedGroup) error {
	wait := groupWait
	if ms, ok := a.Request.Properties.Get(propertyTimeout).Uint64(); ok && ms < uint64(groupWait/time.Millisecond) {
		wait = time.Duration(ms) * time.Millisecond
	}
	if !a.OnGone(l.close) {
		l.close()
		return nil
	}
	l.spawn(func() {
		ctx, cancel := context.WithTimeout(l.ctx, wait)
		defer cancel()
		lock, err := l.claim.session.AcceptGroup(ctx, l.at.dead, w.group, 0)
		if err != nil {
			l.close()
			a.Refuse(l.noGroup(w, err))
			return
		}
		l.openGroup(a, w, lock)
	})
	return nil
}

// noGroup says why there is no group.
func (l *inboxLink) noGroup(w wantedGroup, err error) *amqp.Error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return amqp.Err(conditionTimeout, "no session with messages came in time")
	case errors.Is(err, gatehouse.Conflict):
		return amqp.Err(conditionSessionLocked, "The requested session '"+w.group+"' cannot be accepted. It may be locked by another receiver. "+err.Error())
	}
	return l.refused(err)
}

func (l *inboxLink) openGroup(a *amqp.Attach, w wantedGroup, lock *inbox.SessionLock) {
	l.group = lock
	a.Reply.Source.Filter = w.reply(lock.Group)
	a.Reply.Properties = wire.Map(wire.Symbol(propertyLockedUntil), wire.Long8(ticks(lock.LockedUntil)))
	l.mu.Lock()
	if l.groups == nil {
		l.groups = make(map[groupKey]*inboxLink)
	}
	l.groups[l.groupKey()] = l
	l.mu.Unlock()
	if !l.open(a) {
		l.freeGroup()
	}
}

func (l *inboxLink) groupKey() groupKey { return groupKey{l.at.base(), l.at.dead, l.group.Group} }

// freeGroup gives the group back when the link has ended.
func (l *inboxLink) freeGroup() {
	if l.group == nil {
		return
	}
	l.mu.Lock()
	if key := l.groupKey(); l.groups[key] == l {
		delete(l.groups, key)
	}
	l.mu.Unlock()
	_ = l.claim.session.ReleaseGroup(l.group) // or it expires
}

// ticks returns a time as .NET counts it: in 100 ns since the year 1.
func ticks(t time.Time) int64 {
	const unixEpoch = 621355968000000000
	return t.UnixNano()/100 + unixEpoch
}
