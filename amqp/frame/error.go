package frame

import "github.com/gatehouse/gatehouse/amqp/wire"

const codeError = 0x1d

// An Error is the error a peer gives when it closes, ends, detaches or rejects
// (part 2.8.14).
type Error struct {
	Condition   string // a symbol, such as amqp:not-found
	Description string // for people; may be empty
	Info        wire.Value
}

// Error returns condition and description.
func (e *Error) Error() string {
	if e.Description == "" {
		return e.Condition
	}
	return e.Condition + ": " + e.Description
}

// error reads a field of type error.
func (f *fields) error(name string) *Error {
	v := f.any()
	if v.IsAbsent() {
		return nil
	}
	code, items, err := describedList(v)
	if err != nil || code != codeError {
		f.fail(name, "is not an error")
		return nil
	}
	in := fields{items: items}
	e := &Error{Condition: in.text("condition"), Description: in.text("description")}
	e.Info = in.typed("info", wire.TypeMap).Clone()
	if in.err != nil {
		f.fail(name, "has a part that is wrong: %v", in.err)
	}
	return e
}

func appendError(dst []byte, e *Error) []byte {
	if e == nil {
		return wire.AppendNull(dst)
	}
	dst, at := start(dst, codeError)
	dst = wire.AppendSymbol(dst, e.Condition)
	if e.Description == "" && e.Info.IsNull() {
		return wire.EndList(dst, at, 1)
	}
	dst = appendText(dst, e.Description)
	if e.Info.IsNull() {
		return wire.EndList(dst, at, 2)
	}
	return wire.EndList(wire.AppendValue(dst, e.Info), at, 3)
}
