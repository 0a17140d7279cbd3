// Package handler is the seam for the work a channel exists for. A handler
// sees the messages of one channel and says what is to be sent on; it does not
// know who runs it, where its cursor is, or how the outcome is stored.
//
// Folder handler/router holds the built-in router; package dispatch runs
// handlers.
package handler

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/gatehouse/gatehouse"
)

// A Handler does the work a channel exists for. It is called by one goroutine
// per partition, so by several at once.
type Handler interface {
	// Handle sees each message at least once, in order within a partition.
	// What it sends leaves only after it returns nil. An error made by
	// Transient, or of kind Unavailable or RateLimited, is retried with backoff
	// and holds the partition up for this handler; any other sends m to the
	// channel's dead letters, with the reason that Reject gave it. m must not be
	// changed, and out not be used once Handle has returned.
	//
	// Handle returns soon after ctx is done; m is then given to it again, by
	// whoever runs the handler next. What is sent must follow from m and the
	// handler's configuration: after a crash what m gave rise to is only
	// completed, so that a different answer the second time is lost in part.
	Handle(ctx context.Context, m *gatehouse.Message, out Sender) error
}

// A Sender collects what a handler wants sent.
type Sender interface {
	// Send asks that m be delivered to an address: endpoints/NAME, or
	// channels/NAME to go on in another channel. Only one of the two errors a
	// caller can make exists: an address that is neither goes to the dead
	// letters. m may be the message being handled, and must not be changed
	// afterwards.
	Send(address string, m *gatehouse.Message)
	// SendLabels asks that m be delivered to every endpoint of the account
	// whose labels match a selector such as "site=oslo,kind!=test".
	SendLabels(selector string, m *gatehouse.Message)
}

// A transient error may go away.
type transient struct {
	error
	after time.Duration
}

func (t transient) Unwrap() error { return t.error }

// Transient marks err as one that may go away: the message is tried again, not
// sooner than after (zero: as the backoff has it).
func Transient(err error, after time.Duration) error { return transient{err, after} }

// IsTransient reports whether err was marked by Transient, or is of kind
// Unavailable or RateLimited, and how long to wait at least.
func IsTransient(err error) (after time.Duration, ok bool) {
	if _, final := errors.AsType[rejection](err); final {
		return 0, false
	}
	if t, ok := errors.AsType[transient](err); ok {
		return t.after, true
	}
	if e, is := errors.AsType[*gatehouse.Error](err); is && (e.Kind == gatehouse.RateLimited || e.Kind == gatehouse.Unavailable) {
		return e.RetryAfter, true
	}
	return 0, false
}

// ReasonFailed is the reason of the dead letter that a message becomes whose
// handler failed for good without giving a reason.
const ReasonFailed = "HandlerFailed"

// A rejection is an error with the reason its dead letter shows.
type rejection struct {
	error
	reason string
}

func (r rejection) Unwrap() error { return r.error }

// Reject marks err as final, whatever its kind, and names the reason that the
// dead letter shows: short and stable, such as NoDestination.
func Reject(reason string, err error) error { return rejection{err, reason} }

// Reason returns the reason err was rejected for, or ReasonFailed.
func Reason(err error) string {
	if r, ok := errors.AsType[rejection](err); ok {
		return r.reason
	}
	return ReasonFailed
}

// Deps is what a handler is made of besides its own configuration. A kind of
// handler is a plugin.Kind[handler.Deps, handler.Handler].
type Deps struct {
	Account gatehouse.AccountName
	Channel gatehouse.ChannelName // the handler is attached to
	Name    string                // of the handler, unique in its account
	Logger  *slog.Logger          // never nil
}

// An Output is one thing a handler asked to be sent: to an address, or to all
// endpoints a label selector matches.
type Output struct {
	Address string
	Labels  string // selector; used if Address is empty
	Message *gatehouse.Message
	Source  gatehouse.Offset // of the message that was handled
}

// A Batch is what a handler asked to be sent while it handled consecutive
// messages of one partition.
//
// Batches of one Group and Partition come one at a time and in order. After a
// failure the same outputs come again, perhaps divided into batches in another
// way; what was stored already is known by the Through it was stored with. No
// message up to Through was given up, unless its dead letter is durable: what
// is stored with Through may be taken for all that came of these messages.
type Batch struct {
	Account   gatehouse.AccountName
	Channel   gatehouse.ChannelName
	Handler   string // under which what cannot be delivered is a dead letter
	Group     string // whose cursor is followed; Source and Through are offsets of what it reads
	Partition uint16
	Outputs   []Output         // in order of Source
	Through   gatehouse.Offset // of the last message handled, whether or not it had outputs
}
