// Package wire has the values and records of the two hub protocols of ASP.NET
// Core SignalR, JSON and MessagePack. It does no I/O, uses no reflection, and
// keeps arguments as bytes until somebody asks for them.
//
// # JSON and MessagePack
//
// A Value is in either format, and can be had in both. Null, booleans, numbers,
// strings, arrays and maps are what they are in the other. Beside that:
//
//   - MessagePack's bin becomes a JSON string in base64 (standard alphabet,
//     padded). A JSON string never becomes bin: it stays a string.
//   - A timestamp (extension -1) becomes a JSON string in RFC 3339, UTC. Other
//     extensions are refused.
//   - Keys of maps are strings; others are refused. Strings are UTF-8; others are
//     refused. NaN and infinities are refused.
//   - A JSON number without fraction and exponent that fits 64 bits becomes an
//     integer, any other a float64.
//   - Values are at most MaxDepth deep.
package wire

import "errors"

// MaxDepth is how deep arrays and maps may be nested.
const MaxDepth = 64

// ErrValue is the root of all errors about malformed or unsuitable values.
var ErrValue = errors.New("unsuitable value")

// A Kind is the kind of a value.
type Kind uint8

// The kinds. None is that of the zero Value, which stands for nothing at all
// and is written as null where a value must be. Bytes and Time exist in
// MessagePack only.
const (
	None Kind = iota
	Null
	Bool
	Number
	String
	Bytes
	Time
	Array
	Map
)

// A Value is one value of a record, as bytes of JSON or MessagePack.
type Value struct {
	raw  []byte
	pack bool // MessagePack
}

// JSON returns a Value of JSON text. It keeps text, which must not change. It
// is checked when it is used.
func JSON(text []byte) Value { return Value{raw: text} }

// MessagePack returns a Value of MessagePack bytes. It keeps them. They are
// checked when they are used.
func MessagePack(b []byte) Value { return Value{raw: b, pack: true} }

// Text returns a Value that is a string.
func Text(s string) Value { return Value{} }

// Integer returns a Value that is an integer.
func Integer(n int64) Value { return Value{} }

// Boolean returns a Value that is true or false.
func Boolean(b bool) Value { return Value{} }

// Kind returns the kind of the value, by its first byte.
func (v Value) Kind() Kind { return None }

// AppendJSON appends the value as JSON text.
func (v Value) AppendJSON(to []byte) ([]byte, error) { return to, ErrValue }

// AppendMessagePack appends the value as MessagePack.
func (v Value) AppendMessagePack(to []byte) ([]byte, error) { return to, ErrValue }

// Str returns the text of a String.
func (v Value) Str() (string, error) { return "", ErrValue }

// Bin returns the bytes of Bytes, or those that a String has in base64.
func (v Value) Bin() ([]byte, error) { return nil, ErrValue }

// Int returns an integral Number.
func (v Value) Int() (int64, error) { return 0, ErrValue }

// Bool returns a Bool.
func (v Value) Bool() (bool, error) { return false, ErrValue }

// Members calls f for each member of a Map, in order, until it fails; the
// values share the bytes of v. It fails with the error of f.
func (v Value) Members(f func(key string, value Value) error) error { return ErrValue }

// Elements calls f for each element of an Array, as Members does.
func (v Value) Elements(f func(value Value) error) error { return ErrValue }
