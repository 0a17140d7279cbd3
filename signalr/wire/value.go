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

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tinylib/msgp/msgp"
)

// MaxDepth is how deep arrays and maps may be nested.
const MaxDepth = 64

// MaxElements is how many arguments, or ids of streams, an invocation may have.
// Each takes many times the memory of the byte that it can be.
const MaxElements = 256

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

// Text returns a Value that is a string. What is not UTF-8 in s is replaced.
func Text(s string) Value {
	return JSON(appendQuoted(nil, strings.ToValidUTF8(s, "\uFFFD")))
}

// Integer returns a Value that is an integer.
func Integer(n int64) Value { return JSON(strconv.AppendInt(nil, n, 10)) }

// Boolean returns a Value that is true or false.
func Boolean(b bool) Value { return JSON(strconv.AppendBool(nil, b)) }

// Kind returns the kind of the value, by its first byte.
func (v Value) Kind() Kind {
	if v.raw == nil {
		return None
	}
	if v.pack {
		return packKind(v.raw)
	}
	i := space(v.raw, 0)
	if i == len(v.raw) {
		return None
	}
	switch v.raw[i] {
	case 'n':
		return Null
	case 't', 'f':
		return Bool
	case '"':
		return String
	case '[':
		return Array
	case '{':
		return Map
	}
	return Number
}

// packKind returns the kind of a value in MessagePack.
func packKind(b []byte) Kind {
	switch msgp.NextType(b) {
	case msgp.NilType:
		return Null
	case msgp.BoolType:
		return Bool
	case msgp.IntType, msgp.UintType, msgp.Float32Type, msgp.Float64Type:
		return Number
	case msgp.StrType:
		return String
	case msgp.BinType:
		return Bytes
	case msgp.TimeType, msgp.ExtensionType:
		if isTimestamp(b) {
			return Time
		}
	case msgp.ArrayType:
		return Array
	case msgp.MapType:
		return Map
	}
	return None
}

// isTimestamp reports whether an extension is one of the three forms of a
// timestamp (4, 8 or 12 bytes of type -1).
func isTimestamp(b []byte) bool {
	return len(b) > 2 && (b[0] == 0xd6 && b[1] == 0xff || b[0] == 0xd7 && b[1] == 0xff || b[0] == 0xc7 && b[1] == 12 && b[2] == 0xff)
}

// AppendJSON appends the value as JSON text.
func (v Value) AppendJSON(to []byte) ([]byte, error) {
	switch {
	case v.raw == nil:
		return append(to, "null"...), nil
	case v.pack:
		to, rest, err := unpack(to, v.raw, 0)
		return to, alone(rest, err)
	}
	text, err := wholeJSON(v.raw)
	return append(to, text...), err
}

// AppendMessagePack appends the value as MessagePack.
func (v Value) AppendMessagePack(to []byte) ([]byte, error) {
	switch {
	case v.raw == nil:
		return msgp.AppendNil(to), nil
	case !v.pack:
		return pack(to, v.raw)
	}
	rest, err := skipPack(v.raw, 0)
	return append(to, v.raw...), alone(rest, err)
}

// wants is the error for a value of another kind than it should have.
func (v Value) wants(what string) error { return fmt.Errorf("%w: not %s", ErrValue, what) }

// text returns the value as JSON, checked.
func (v Value) text() ([]byte, error) {
	if v.pack {
		return v.AppendJSON(nil)
	}
	return wholeJSON(v.raw)
}

// Str returns the text of a String.
func (v Value) Str() (string, error) {
	if v.Kind() != String {
		return "", v.wants("a string")
	}
	text, err := v.text()
	if err != nil {
		return "", err
	}
	return unquote(text)
}

// Bin returns the bytes of Bytes, or those that a String has in base64. They may
// be shared with the value.
func (v Value) Bin() ([]byte, error) {
	if v.Kind() == Bytes {
		b, _, err := msgp.ReadBytesZC(v.raw)
		if err != nil {
			return nil, errShort
		}
		return b, nil
	}
	s, err := v.Str()
	if err != nil {
		return nil, v.wants("bytes, nor a string in base64")
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, v.wants("base64")
	}
	return b, nil
}

// Int returns an integral Number.
func (v Value) Int() (int64, error) {
	if v.Kind() != Number {
		return 0, v.wants("a number")
	}
	text, err := v.text()
	if err != nil {
		return 0, err
	}
	switch n, err := parseNumber(text); {
	case err != nil:
		return 0, err
	case n.kind == 'i':
		return n.signed, nil
	case n.kind == 'f' && n.float == float64(int64(n.float)):
		return int64(n.float), nil
	}
	return 0, v.wants("an integer of 64 bits")
}

// Bool returns a Bool.
func (v Value) Bool() (bool, error) {
	if v.Kind() != Bool {
		return false, v.wants("a boolean")
	}
	text, err := v.text()
	return string(text) == "true", err
}

// Members calls f for each member of a Map, in order, until it fails; the
// values share the bytes of v. It fails with the error of f.
func (v Value) Members(f func(key string, value Value) error) error {
	if v.Kind() != Map {
		return v.wants("a map")
	}
	if v.pack {
		return eachMember(v.raw, f)
	}
	text, err := wholeJSON(v.raw)
	if err != nil {
		return err
	}
	_, err = eachJSON(text, 0, 0, func(quoted, value []byte) error {
		key, err := unquote(quoted)
		if err != nil {
			return err
		}
		return f(key, JSON(value))
	})
	return err
}

// Elements calls f for each element of an Array, as Members does.
func (v Value) Elements(f func(value Value) error) error {
	if v.Kind() != Array {
		return v.wants("an array")
	}
	if v.pack {
		return eachElement(v.raw, f)
	}
	text, err := wholeJSON(v.raw)
	if err != nil {
		return err
	}
	_, err = eachJSON(text, 0, 0, func(_, value []byte) error { return f(JSON(value)) })
	return err
}
