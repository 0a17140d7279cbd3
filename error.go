package gatehouse

import (
	"errors"
	"fmt"
	"time"
)

// A Kind classifies an error for the one table each protocol keeps. It is
// itself an error, so that errors.Is(err, gatehouse.NotFound) asks for it.
type Kind uint8

// The kinds of errors that cross a seam.
const (
	Internal        Kind = iota // a bug or a broken invariant; nothing the caller can mend
	Invalid                     // malformed, or refused by validation
	Unauthenticated             // no proof of identity, or a wrong one
	Expired                     // the proof was right once
	Revoked                     // the identity was withdrawn
	Forbidden                   // no right, or no route
	Restricted                  // a restriction objects
	TooLarge                    // message, header or batch over its limit
	RateLimited                 // too fast; see Error.RetryAfter
	QuotaExceeded               // an inbox or account is full
	NotFound                    // no such thing
	Conflict                    // the thing changed meanwhile, or exists already
	LockLost                    // the delivery is no longer the caller's
	Unavailable                 // cannot be done now; a retry may succeed
	kinds                       // their number
)

var kindNames = [kinds]string{
	"Internal", "Invalid", "Unauthenticated", "Expired", "Revoked", "Forbidden", "Restricted", "TooLarge",
	"RateLimited", "QuotaExceeded", "NotFound", "Conflict", "LockLost", "Unavailable",
}

// Kinds returns every kind, so that a protocol's table can be tested to be total.
func Kinds() []Kind {
	all := make([]Kind, kinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// String returns the kind's name, as docs and protocols show it.
func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Error makes a Kind an error, as a target for errors.Is.
func (k Kind) Error() string { return k.String() }

// An Error is what crosses a seam: its kind for machines, a text for people
// that says what was refused, by which rule and what to do about it.
type Error struct {
	Kind       Kind
	Rule       string        // the rule or restriction that refused, if one did
	Text       string        // safe to show to the caller
	RetryAfter time.Duration // with RateLimited; zero: unknown
	Cause      error         // for logs; never shown to the caller
}

// Errorf returns an error of kind k. A final argument wrapped with %w becomes
// its cause and is part of the text.
func Errorf(k Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: k, Text: err.Error(), Cause: errors.Unwrap(err)}
}

// Wrap returns an error of kind k with a text safe to show and a cause that is
// not.
func Wrap(k Kind, cause error, text string) *Error {
	return &Error{Kind: k, Text: text, Cause: cause}
}

// Error returns the text for people.
func (e *Error) Error() string {
	if e.Text == "" {
		return e.Kind.String()
	}
	return e.Text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is reports whether target is the error's kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && e.Kind == k
}

// KindOf returns the kind of err: that of the first *Error in its chain, and
// Internal for an error that has none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	if k, ok := errors.AsType[Kind](err); ok {
		return k
	}
	return Internal
}
