package frame

import "github.com/gatehouse/gatehouse/amqp/wire"

// Detach unties a link from its session (part 2.7.7).
type Detach struct {
	Handle uint32
	Closed bool // for good
	Error  *Error
}

// Decode sets d from the fields of a detach.
func (d *Detach) Decode(items wire.Items) error {
	f := fields{items: items}
	*d = Detach{Handle: f.required("handle"), Closed: f.bool("closed"), Error: f.error("error")}
	return f.err
}

// Append appends the detach.
func (d *Detach) Append(dst []byte) []byte {
	dst, at := start(dst, CodeDetach)
	dst = wire.AppendUint(dst, d.Handle)
	dst = wire.AppendBool(dst, d.Closed)
	if d.Error == nil {
		return wire.EndList(dst, at, 2)
	}
	return wire.EndList(appendError(dst, d.Error), at, 3)
}

// DecodeEnd reads the error of an end or a close; nil if it has none.
func DecodeEnd(items wire.Items) (*Error, error) {
	f := fields{items: items}
	e := f.error("error")
	return e, f.err
}

// AppendEnd appends the end of a session (part 2.7.8).
func AppendEnd(dst []byte, e *Error) []byte { return appendEnding(dst, CodeEnd, e) }

// AppendClose appends the close of a connection (part 2.7.9).
func AppendClose(dst []byte, e *Error) []byte { return appendEnding(dst, CodeClose, e) }

func appendEnding(dst []byte, code uint64, e *Error) []byte {
	dst, at := start(dst, code)
	if e == nil {
		return wire.EndList(dst, at, 0)
	}
	return wire.EndList(appendError(dst, e), at, 1)
}
