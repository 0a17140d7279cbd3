package wire

import (
	"fmt"

	"github.com/tinylib/msgp/msgp"
)

// MessagePackProtocol is the hub protocol "messagepack": one array per record,
// with its length before it.
type MessagePackProtocol struct{}

// Name returns "messagepack".
func (MessagePackProtocol) Name() string { return "messagepack" }

// Binary returns true.
func (MessagePackProtocol) Binary() bool { return true }

// Next implements Protocol.
func (MessagePackProtocol) Next(b []byte, most int) (record []byte, size int, err error) {
	length := 0
	for i := range 5 {
		if i == len(b) {
			return nil, 0, nil
		}
		if i == 4 && b[i] > 7 {
			return nil, 0, bad("the length is too large")
		}
		length |= int(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 != 0 {
			continue
		}
		switch head := i + 1; {
		case length > most:
			return nil, 0, ErrTooLarge
		case len(b) < head+length:
			return nil, 0, nil
		default:
			return b[head : head+length], head + length, nil
		}
	}
	return nil, 0, bad("the length is too large")
}

// Completions say what their last element is.
const (
	completionError  = 1
	completionVoid   = 2
	completionResult = 3
)

// Decode implements Protocol.
func (MessagePackProtocol) Decode(record []byte) (Record, error) {
	elements, err := list(MessagePack(record))
	if err != nil {
		return Record{}, bad("%w", err)
	}
	f := fields{elements: elements}
	r := Record{Type: Type(min(f.number("type"), 255))} //nolint:gosec // it fits
	switch r.Type {
	case Invocation, StreamInvocation:
		f.skip(1)
		r.ID, r.Target = f.optional("invocation id"), f.text("target")
		r.Arguments = f.list("arguments")
		if f.more() {
			r.Streams = len(f.list("stream ids"))
		}
	case StreamItem:
		f.skip(1)
		r.ID, r.Result = f.text("invocation id"), f.value("item")
	case Completion:
		f.skip(1)
		r.ID = f.text("invocation id")
		f.completion(&r)
	case CancelInvocation:
		f.skip(1)
		r.ID = f.text("invocation id")
	case Close:
		r.Error = f.optional("error")
		if f.more() {
			r.Reconnect, f.err = f.value("allowReconnect").Bool()
		}
	case Ack, Sequence:
		r.Number = f.number("sequence id")
	}
	if f.err != nil {
		return Record{}, bad("%w", f.err)
	}
	return r, check(&r)
}

// fields reads the elements of a record one after the other, until one fails.
type fields struct {
	elements []Value
	err      error
}

func (f *fields) more() bool { return f.err == nil && len(f.elements) > 0 }

func (f *fields) skip(n int) { f.elements = f.elements[min(n, len(f.elements)):] }

// value returns the next element.
func (f *fields) value(what string) Value {
	if !f.more() {
		if f.err == nil {
			f.err = fmt.Errorf("%w: there is no %s", ErrValue, what)
		}
		return Value{}
	}
	v := f.elements[0]
	f.elements = f.elements[1:]
	return v
}

// keep keeps the first error, with what it is about.
func (f *fields) keep(what string, err error) {
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("%s: %w", what, err)
	}
}

func (f *fields) number(what string) uint64 {
	n, err := sequence(f.value(what))
	f.keep(what, err)
	return n
}

func (f *fields) text(what string) string {
	s, err := f.value(what).Str()
	f.keep(what, err)
	return s
}

func (f *fields) optional(what string) string {
	s, err := optional(f.value(what))
	f.keep(what, err)
	return s
}

func (f *fields) list(what string) []Value {
	all, err := list(f.value(what))
	f.keep(what, err)
	return all
}

// completion reads the end of a completion.
func (f *fields) completion(r *Record) {
	switch kind := f.number("kind of result"); kind {
	case completionError:
		r.Failed, r.Error = true, f.text("error")
	case completionVoid:
	case completionResult:
		r.Result = f.value("result")
	default:
		f.keep("kind of result", fmt.Errorf("%w: %d", ErrValue, kind))
	}
}

// Append implements Protocol.
func (MessagePackProtocol) Append(to []byte, r *Record) ([]byte, error) {
	start := len(to)
	to, err := appendBody(append(to, 0), r)
	if err != nil {
		return to[:start], err
	}
	length := len(to) - start - 1
	var room [5]byte
	prefix := room[:0]
	for n := length; ; n >>= 7 {
		if n < 0x80 {
			prefix = append(prefix, byte(n))
			break
		}
		prefix = append(prefix, byte(n)|0x80)
	}
	if extra := len(prefix) - 1; extra > 0 {
		to = append(to, room[:extra]...)
		copy(to[start+len(prefix):], to[start+1:len(to)-extra])
	}
	copy(to[start:], prefix)
	return to, nil
}

// appendHead appends what records begin with.
func appendHead(to []byte, r *Record, elements uint32) []byte {
	to = msgp.AppendArrayHeader(to, elements)
	to = msgp.AppendUint8(to, uint8(r.Type))
	if !r.Type.Counted() {
		return to
	}
	to = msgp.AppendMapHeader(to, 0)
	if r.ID == "" {
		return msgp.AppendNil(to)
	}
	return msgp.AppendString(to, r.ID)
}

// appendBody appends the array of a record.
func appendBody(to []byte, r *Record) ([]byte, error) {
	switch r.Type {
	case Invocation, StreamInvocation:
		to = appendHead(to, r, 6)
		to = msgp.AppendString(to, r.Target)
		return appendArguments(to, r.Arguments)
	case StreamItem:
		return r.Result.AppendMessagePack(appendHead(to, r, 4))
	case Completion:
		return appendCompletion(to, r)
	case CancelInvocation:
		return appendHead(to, r, 3), nil
	case Close:
		to = appendHead(to, r, 3)
		if r.Error == "" {
			to = msgp.AppendNil(to)
		} else {
			to = msgp.AppendString(to, r.Error)
		}
		return msgp.AppendBool(to, r.Reconnect), nil
	case Ack, Sequence:
		return msgp.AppendUint64(appendHead(to, r, 2), r.Number), nil
	}
	return appendHead(to, r, 1), nil
}

// appendArguments appends the arguments of an invocation, and no streams.
func appendArguments(to []byte, arguments []Value) (out []byte, err error) {
	to = msgp.AppendArrayHeader(to, uint32(len(arguments))) //nolint:gosec // a few
	for _, v := range arguments {
		if to, err = v.AppendMessagePack(to); err != nil {
			return to, err
		}
	}
	return msgp.AppendArrayHeader(to, 0), nil
}

// appendCompletion appends a completion.
func appendCompletion(to []byte, r *Record) ([]byte, error) {
	switch {
	case r.Failed:
		to = msgp.AppendUint8(appendHead(to, r, 5), completionError)
		return msgp.AppendString(to, r.Error), nil
	case r.Result.Kind() == None:
		return msgp.AppendUint8(appendHead(to, r, 4), completionVoid), nil
	}
	to = msgp.AppendUint8(appendHead(to, r, 5), completionResult)
	return r.Result.AppendMessagePack(to)
}
