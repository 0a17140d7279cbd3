package frame

import "github.com/gatehouse/gatehouse/amqp/wire"

// A StateKind is one of the delivery states of part 3.4: its descriptor.
type StateKind uint64

// The delivery states. All but Received are outcomes: once reached, they stay.
const (
	NoState  StateKind = 0
	Received StateKind = 0x23
	Accepted StateKind = 0x24
	Rejected StateKind = 0x25
	Released StateKind = 0x26
	Modified StateKind = 0x27
)

// String returns the state's name as the standard writes it.
func (k StateKind) String() string {
	switch k {
	case NoState:
		return "none"
	case Received:
		return "received"
	case Accepted:
		return "accepted"
	case Rejected:
		return "rejected"
	case Released:
		return "released"
	case Modified:
		return "modified"
	}
	return "unknown"
}

// A State is where a delivery stands, as one peer sees it.
type State struct {
	Kind StateKind

	Error *Error // Rejected; may be nil

	Failed        bool       // Modified: counts as a failed attempt
	Undeliverable bool       // Modified: not to this link again
	Annotations   wire.Value // Modified: a map to merge into the message annotations

	SectionNumber uint32 // Received
	SectionOffset uint64 // Received
}

// Equal reports whether s and o say the same.
func (s *State) Equal(o *State) bool {
	return s.Kind == o.Kind && s.Error == o.Error && s.Failed == o.Failed &&
		s.Undeliverable == o.Undeliverable && s.Annotations.Equal(o.Annotations) &&
		s.SectionNumber == o.SectionNumber && s.SectionOffset == o.SectionOffset
}

// DecodeState reads a delivery state. A state that part 3.4 does not have, such
// as that of a transaction, comes back with its descriptor as its kind and no
// more.
func DecodeState(v wire.Value) (State, error) {
	if v.IsNull() {
		return State{}, nil
	}
	code, items, err := describedList(v)
	if err != nil {
		return State{}, &FieldError{Field: "state", Problem: "is not a delivery state"}
	}
	f := fields{items: items}
	s := State{Kind: StateKind(code)}
	switch s.Kind {
	case Received:
		s.SectionNumber = f.required("section-number")
		s.SectionOffset = f.uint64("section-offset")
	case Rejected:
		s.Error = f.error("error")
	case Modified:
		s.Failed = f.bool("delivery-failed")
		s.Undeliverable = f.bool("undeliverable-here")
		s.Annotations = f.typed("message-annotations", wire.TypeMap).Clone()
	}
	return s, f.err
}

// Append appends the state, or null for NoState.
func (s *State) Append(dst []byte) []byte {
	if s.Kind == NoState {
		return wire.AppendNull(dst)
	}
	dst, at := start(dst, uint64(s.Kind))
	switch s.Kind {
	case Received:
		dst = wire.AppendUint(dst, s.SectionNumber)
		return wire.EndList(wire.AppendUlong(dst, s.SectionOffset), at, 2)
	case Rejected:
		if s.Error != nil {
			return wire.EndList(appendError(dst, s.Error), at, 1)
		}
	case Modified:
		return s.appendModified(dst, at)
	}
	return wire.EndList(dst, at, 0)
}

func (s *State) appendModified(dst []byte, at int) []byte {
	dst = wire.AppendBool(dst, s.Failed)
	dst = wire.AppendBool(dst, s.Undeliverable)
	if s.Annotations.IsNull() {
		return wire.EndList(dst, at, 2)
	}
	return wire.EndList(wire.AppendValue(dst, s.Annotations), at, 3)
}
