package wire

import (
	"bytes"
	"fmt"
	"strconv"
)

// Separator ends each record of the JSON protocol, and of the handshake.
const Separator = 0x1e

// JSONProtocol is the hub protocol "json": one object per record.
type JSONProtocol struct{}

// Name returns "json".
func (JSONProtocol) Name() string { return "json" }

// Binary returns false.
func (JSONProtocol) Binary() bool { return false }

// Next implements Protocol.
func (JSONProtocol) Next(b []byte, most int) (record []byte, size int, err error) {
	i := bytes.IndexByte(b, Separator)
	switch {
	case i > most || i < 0 && len(b) > most:
		return nil, 0, ErrTooLarge
	case i < 0:
		return nil, 0, nil
	}
	return b[:i], i + 1, nil
}

// bad is the error for a record that breaks a rule.
func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrRecord, fmt.Errorf(format, args...))
}

// Decode implements Protocol.
func (JSONProtocol) Decode(record []byte) (Record, error) {
	var r Record
	var result, item Value
	err := object(record, func(key []byte, value Value) (err error) {
		switch string(key) {
		case "type":
			var n int64
			n, err = value.Int()
			r.Type = Type(max(0, min(n, 255))) //nolint:gosec // it fits
		case "invocationId":
			r.ID, err = optional(value)
		case "target":
			r.Target, err = value.Str()
		case "arguments":
			r.Arguments, err = list(value)
		case "streamIds":
			r.Streams, err = count(value)
		case "result":
			result = value
		case "item":
			item = value
		case "error":
			r.Failed = value.Kind() != Null
			r.Error, err = optional(value)
		case "allowReconnect":
			r.Reconnect = value.Kind() == Bool && value.raw[0] == 't'
		case "sequenceId":
			r.Number, err = sequence(value)
		}
		return err
	})
	if err != nil {
		return Record{}, err
	}
	r.Result = result
	if r.Type == StreamItem {
		r.Result = item
	}
	return r, check(&r)
}

// object calls f for the members of a record, and says so where it is none.
func object(record []byte, f func(key []byte, value Value) error) error {
	text, err := wholeJSON(record)
	if err != nil {
		return bad("%w", err)
	}
	if text[0] != '{' {
		return bad("not an object")
	}
	_, err = eachJSON(text, 0, 0, func(quoted, value []byte) error {
		key := quoted[1 : len(quoted)-1]
		if bytes.IndexByte(key, '\\') >= 0 {
			plain, err := unquote(quoted)
			if err != nil {
				return err
			}
			key = []byte(plain)
		}
		if err := f(key, JSON(value)); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
	if err != nil {
		return bad("%w", err)
	}
	return nil
}

// optional returns the text of a string, or nothing for null.
func optional(v Value) (string, error) {
	if v.Kind() == Null {
		return "", nil
	}
	return v.Str()
}

// list returns the elements of an array, at most MaxElements, or none for null.
func list(v Value) (all []Value, err error) {
	if v.Kind() == Null {
		return nil, nil
	}
	err = v.Elements(func(e Value) error {
		if len(all) == MaxElements {
			return fmt.Errorf("%w: more than %d elements", ErrValue, MaxElements)
		}
		all = append(all, e)
		return nil
	})
	return all, err
}

// count returns how many elements an array has.
func count(v Value) (n int, err error) {
	all, err := list(v)
	return len(all), err
}

// sequence returns a sequence number.
func sequence(v Value) (uint64, error) {
	n, err := v.Int()
	if err == nil && n < 0 {
		err = fmt.Errorf("%w: negative", ErrValue)
	}
	return uint64(n), err //nolint:gosec // not negative
}

// check holds the rules about which fields a record must have.
func check(r *Record) error {
	switch r.Type {
	case Invocation, StreamInvocation:
		if r.Target == "" {
			return bad("an invocation without a target")
		}
		if r.Type == StreamInvocation && r.ID == "" {
			return bad("a stream invocation without an id")
		}
	case StreamItem, CancelInvocation:
		if r.ID == "" {
			return bad("a record of type %d without an id", r.Type)
		}
	case Completion:
		if r.ID == "" {
			return bad("a completion without an id")
		}
		if r.Failed && r.Result.Kind() > Null {
			return bad("a completion with both result and error")
		}
	case 0:
		return bad("a record without a type")
	}
	return nil
}

// Append implements Protocol.
func (JSONProtocol) Append(to []byte, r *Record) ([]byte, error) {
	start := len(to)
	to = append(to, `{"type":`...)
	to = strconv.AppendUint(to, uint64(r.Type), 10)
	if r.ID != "" {
		to = appendQuoted(append(to, `,"invocationId":`...), r.ID)
	}
	var err error
	switch r.Type {
	case Invocation, StreamInvocation:
		to = appendQuoted(append(to, `,"target":`...), r.Target)
		to, err = appendList(append(to, `,"arguments":`...), r.Arguments)
	case StreamItem:
		to, err = r.Result.AppendJSON(append(to, `,"item":`...))
	case Completion:
		switch {
		case r.Failed:
			to = appendQuoted(append(to, `,"error":`...), r.Error)
		case r.Result.Kind() != None:
			to, err = r.Result.AppendJSON(append(to, `,"result":`...))
		}
	case Close:
		if r.Error != "" {
			to = appendQuoted(append(to, `,"error":`...), r.Error)
		}
		if r.Reconnect {
			to = append(to, `,"allowReconnect":true`...)
		}
	case Ack, Sequence:
		to = strconv.AppendUint(append(to, `,"sequenceId":`...), r.Number, 10)
	}
	if err != nil {
		return to[:start], err
	}
	return append(to, '}', Separator), nil
}

// appendList appends values as a JSON array.
func appendList(to []byte, values []Value) (out []byte, err error) {
	to = append(to, '[')
	for i, v := range values {
		if i > 0 {
			to = append(to, ',')
		}
		if to, err = v.AppendJSON(to); err != nil {
			return to, err
		}
	}
	return append(to, ']'), nil
}
