package inbox

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"

	"github.com/google/uuid"
)

// A LockToken identifies a lock within its inbox: a UUID in network order. It
// also says which message it locks, so that the token alone finds it.
type LockToken [16]byte

// String returns the canonical text of the UUID.
func (t LockToken) String() string { return uuid.UUID(t).String() }

// IsZero reports whether there is no token.
func (t LockToken) IsZero() bool { return t == LockToken{} }

// ParseLockToken parses the canonical text of a lock token; other text is
// Invalid.
func ParseLockToken(s string) (LockToken, error) {
	u, err := uuid.Parse(s)
	if err != nil || len(s) != 36 {
		return LockToken{}, gatehouse.Errorf(gatehouse.Invalid, "%q is not a lock token; it is a UUID like 6f1c0a52-9c1d-8e03-a5f0-0000000004d2", s)
	}
	return LockToken(u), nil
}

// newToken returns a token for a lock on o: a UUID of version 8 with 58 random
// bits around the offset. A token is no secret: only who may receive from the
// inbox can use it.
func newToken(o gatehouse.Offset) (t LockToken) {
	r := rand.Uint64()
	binary.BigEndian.PutUint64(t[0:], r)
	t[6] = 0x80 | byte(r)&0x0f
	t[7] = byte(o >> 56)
	binary.BigEndian.PutUint64(t[8:], uint64(o))
	t[8] = 0x80 | byte(r>>8)&0x3f
	return t
}

// offset returns the message the token locks.
func (t LockToken) offset() gatehouse.Offset {
	return gatehouse.Offset(uint64(t[7])<<56 | binary.BigEndian.Uint64(t[8:])&(1<<56-1))
}

// A State says what a message is waiting for.
type State uint8

// The states of a message in an inbox.
const (
	Active    State = iota
	Deferred        // only to be had by its sequence number
	Scheduled       // not before its time
)

// String returns the state's name.
func (s State) String() string {
	switch s {
	case Active:
		return "Active"
	case Deferred:
		return "Deferred"
	case Scheduled:
		return "Scheduled"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// A Delivery is a message as a receiver gets it, or sees it by Peek. It must
// not be changed; its Message may be shared with other receivers.
type Delivery struct {
	Message  *gatehouse.Message
	Sequence gatehouse.Offset // in the inbox
	// Lock is zero for a message that was received and deleted, or peeked at.
	Lock LockToken
	// LockedUntil is zero where there is no lock. A message of a session is
	// locked as long as the session.
	LockedUntil time.Time
	Count       uint32 // of deliveries, with this one; by Peek: of those that failed
	Enqueued    time.Time
	Expires     time.Time // zero: never
	State       State
}

// ReceiveOptions say how to receive; the zero value takes one message under a
// lock of the policy's duration.
type ReceiveOptions struct {
	Max    int           // messages at most; 0: 1. Beyond MaxReceiveBytes no more are given
	Delete bool          // remove durably, before they are returned, instead of locking
	Lock   time.Duration // 0: as the policy says; at most MaxLock
	NoWait bool          // return no messages instead of waiting
	// Session restricts to the messages of its group. Nil means all messages
	// but those of groups that are locked by a session.
	Session *SessionLock
}

// MaxReceiveBytes is how much a receiver is given at once: when the bodies of the
// messages it has are this many bytes or more, it gets the others the next time.
const MaxReceiveBytes = 1 << 20

// An Outcome is what a receiver has decided about a message.
type Outcome uint8

// The outcomes.
const (
	Complete   Outcome = iota // done with: removed
	Abandon                   // back to its place; the delivery counts as failed
	Release                   // back to its place; the delivery does not count
	Defer                     // set aside until received by its sequence number
	DeadLetter                // moved to the dead-letter queue
)

// String returns the outcome's name.
func (o Outcome) String() string {
	switch o {
	case Complete:
		return "Complete"
	case Abandon:
		return "Abandon"
	case Release:
		return "Release"
	case Defer:
		return "Defer"
	case DeadLetter:
		return "DeadLetter"
	}
	return fmt.Sprintf("Outcome(%d)", uint8(o))
}

// A Settlement decides about one delivery.
type Settlement struct {
	// Sequence may be zero: the lock says which message it is.
	Sequence gatehouse.Offset
	Lock     LockToken
	Outcome  Outcome
	// Reason and Description go with DeadLetter; Reason defaults to
	// DeadLetteredByReceiver.
	Reason, Description string
	// Attributes replace those of the same name, or are added, if the outcome
	// is not Complete; they must not be changed afterwards.
	Attributes []gatehouse.Attribute
	// Err is set by Settle: nil, LockLost if the lock has expired, was used
	// already or never was, Invalid for an outcome that makes no sense,
	// or Unavailable, in which case the lock stays until it expires.
	Err error
}

// Reasons of dead letters and of drops, part of the documented interface.
const (
	ReasonMaxDeliveries = "MaxDeliveryCountExceeded"
	ReasonExpired       = "TTLExpiredException"
	ReasonQuota         = "QuotaExceeded"
	ReasonReceiver      = "DeadLetteredByReceiver"
	ReasonCorrupt       = "Corrupt" // dropped: it expired, and its bytes had changed
)

type lockState uint8

const (
	locked  lockState = iota // by a receiver
	leaving                  // an outcome is on its way to the disk
)

// A lock says that a message is not available, and why. It exists from when
// the message is taken until the outcome is durable.
type lock struct {
	timer   timer
	box     *box
	off     gatehouse.Offset
	token   LockToken
	state   lockState
	grouped bool // group is known
	late    bool // its session has ended before its outcome was durable
	count   uint32
	size    int
	length  time.Duration
	session *session // whose lock it shares; nil: its own
	group   string

	enqueued, expires, notBefore int64
}

func (l *lock) ref() engine.Ref {
	return engine.Ref{Queue: l.box.queue, Offset: l.off, Expires: l.expires}
}

// until returns when l ends.
func (l *lock) until() int64 {
	if l.session != nil {
		return l.session.timer.at
	}
	return l.timer.at
}

func unixTime(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
