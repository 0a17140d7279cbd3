package wire

import (
	"errors"
	"fmt"
)

// ErrRecord is the root of all errors about malformed records.
var ErrRecord = errors.New("malformed record")

// ErrTooLarge means that a record is larger than what is taken.
var ErrTooLarge = fmt.Errorf("%w: too large", ErrRecord)

// A Type says what a Record is.
type Type uint8

// The types of records.
const (
	Invocation       Type = 1
	StreamItem       Type = 2
	Completion       Type = 3
	StreamInvocation Type = 4
	CancelInvocation Type = 5
	Ping             Type = 6
	Close            Type = 7
	Ack              Type = 8
	Sequence         Type = 9
)

// Counted reports whether records of the type have numbers in stateful
// reconnect.
func (t Type) Counted() bool { return t >= Invocation && t <= CancelInvocation }

// A Record is a message of a hub protocol. Which fields are used depends on
// its Type.
type Record struct {
	Type      Type
	ID        string // of the invocation; empty: none
	Target    string
	Arguments []Value
	Streams   int    // how many streams the invocation brings along
	Result    Value  // of a completion, or the item of a stream; zero: none
	Error     string // of a completion or close
	Failed    bool   // the completion has an error
	Reconnect bool   // close: the client may connect anew
	Number    uint64 // of ack and sequence
}

// A Protocol reads and writes records in one of the two hub protocols.
type Protocol interface {
	// Name is the protocol's name in the handshake.
	Name() string

	// Binary reports whether records are binary.
	Binary() bool

	// Next returns the first whole record of b, without what delimits it, and how
	// many bytes it takes with that; 0 if it is not whole yet. Records larger than
	// max fail with ErrTooLarge, as soon as that can be told.
	Next(b []byte, max int) (record []byte, size int, err error)

	// Decode reads a record, whose values share its bytes. Records of unknown
	// types have just the type.
	Decode(record []byte) (Record, error)

	// Append appends a record with what delimits it. It fails if a value cannot
	// be had in the protocol's format; to is then returned as it was.
	Append(to []byte, r *Record) ([]byte, error)
}
