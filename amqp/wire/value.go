package wire

import (
	"bytes"
	"encoding/binary"
	"math"
	"time"
)

// A Value is one encoded AMQP value. The zero Value is absent: a field that
// was not sent. Values read from a buffer alias it; Clone what must outlive it.
// A Value is immutable and may be shared.
type Value struct {
	code byte   // constructor; codeDescribed with an empty body means absent
	body []byte // what follows the constructor
}

// own makes a Value of freshly encoded bytes.
func own(raw []byte) Value { return Value{code: raw[0], body: raw[1:]} }

// Raw returns the value whose encoding raw is, without checking it: raw must be
// what Split has taken or the Append functions have made of one value. The
// Value aliases it.
func Raw(raw []byte) Value { return own(raw) }

// IsAbsent reports whether v is the zero Value.
func (v Value) IsAbsent() bool { return v.code == codeDescribed && len(v.body) == 0 }

// IsNull reports whether v is null or absent.
func (v Value) IsNull() bool { return v.code == codeNull || v.IsAbsent() }

// Type returns v's type; that of an absent value is TypeNull.
func (v Value) Type() Type {
	if v.IsAbsent() {
		return TypeNull
	}
	return typeOf(v.code)
}

// Size returns how many bytes v takes on the wire.
func (v Value) Size() int { return 1 + len(v.body) }

// Equal reports whether v and w have the same encoding.
func (v Value) Equal(w Value) bool { return v.code == w.code && bytes.Equal(v.body, w.body) }

// Clone returns a copy of v that aliases nothing.
func (v Value) Clone() Value { return Value{code: v.code, body: bytes.Clone(v.body)} }

// Bool returns the truth of a boolean.
func (v Value) Bool() (b, ok bool) {
	switch v.code {
	case codeTrue:
		return true, true
	case codeFalse:
		return false, true
	case codeBool:
		return v.body[0] != 0, true
	}
	return false, false
}

// Uint64 returns an integer of any width that is not negative.
func (v Value) Uint64() (n uint64, ok bool) {
	switch v.code {
	case codeUint0, codeUlong0:
		return 0, true
	case codeUbyte, codeSmallUint, codeSmallUlong:
		return uint64(v.body[0]), true
	case codeUshort:
		return uint64(binary.BigEndian.Uint16(v.body)), true
	case codeUint:
		return uint64(binary.BigEndian.Uint32(v.body)), true
	case codeUlong:
		return binary.BigEndian.Uint64(v.body), true
	}
	i, ok := v.signed()
	return uint64(i), ok && i >= 0
}

// Int64 returns an integer of any width that fits.
func (v Value) Int64() (n int64, ok bool) {
	if n, ok = v.signed(); ok {
		return n, true
	}
	u, ok := v.Uint64()
	return int64(u), ok && u <= math.MaxInt64
}

func (v Value) signed() (int64, bool) {
	switch v.code {
	case codeByte, codeSmallInt, codeSmallLong:
		return int64(int8(v.body[0])), true
	case codeShort:
		return int64(int16(binary.BigEndian.Uint16(v.body))), true
	case codeInt:
		return int64(int32(binary.BigEndian.Uint32(v.body))), true
	case codeLong:
		return int64(binary.BigEndian.Uint64(v.body)), true
	}
	return 0, false
}

// Uint32 returns an integer that is not negative and has at most 32 bits.
func (v Value) Uint32() (n uint32, ok bool) {
	u, ok := v.Uint64()
	return uint32(u), ok && u <= math.MaxUint32
}

// Float64 returns a float or double.
func (v Value) Float64() (f float64, ok bool) {
	switch v.code {
	case codeFloat:
		return float64(math.Float32frombits(binary.BigEndian.Uint32(v.body))), true
	case codeDouble:
		return math.Float64frombits(binary.BigEndian.Uint64(v.body)), true
	}
	return 0, false
}

// Char returns the code point of a char.
func (v Value) Char() (c rune, ok bool) {
	if v.code != codeChar {
		return 0, false
	}
	return rune(binary.BigEndian.Uint32(v.body)), true
}

// Millis returns a timestamp as milliseconds since 1970 UTC.
func (v Value) Millis() (ms int64, ok bool) {
	if v.code != codeTimestamp {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(v.body)), true
}

// Time returns a timestamp, in UTC.
func (v Value) Time() (t time.Time, ok bool) {
	ms, ok := v.Millis()
	if !ok {
		return time.Time{}, false
	}
	return time.UnixMilli(ms).UTC(), true
}

// UUID returns a UUID, its bytes in RFC 9562 order.
func (v Value) UUID() (u [16]byte, ok bool) {
	if v.code != codeUUID {
		return u, false
	}
	return [16]byte(v.body), true
}

// Str returns a copy of the text of a string or symbol.
func (v Value) Str() (s string, ok bool) {
	switch v.code {
	case codeString8, codeSymbol8, codeString32, codeSymbol32:
		return string(v.text()), true
	}
	return "", false
}

// Bytes returns the content of a binary, string or symbol, in place.
func (v Value) Bytes() (b []byte, ok bool) {
	switch v.code >> 4 {
	case 0xa, 0xb:
		return v.text(), true
	}
	return nil, false
}

// Text returns the content of a string or symbol, in place.
func (v Value) Text() (b []byte, ok bool) {
	switch v.code {
	case codeString8, codeSymbol8, codeString32, codeSymbol32:
		return v.text(), true
	}
	return nil, false
}

// Is reports whether v is a string or symbol with the given text.
func (v Value) Is(text string) bool {
	switch v.code {
	case codeString8, codeSymbol8, codeString32, codeSymbol32:
		return string(v.text()) == text
	}
	return false
}

// text is the content of a value of variable width.
func (v Value) text() []byte {
	if v.code>>4 == 0xa {
		return v.body[1:]
	}
	return v.body[4:]
}

// Fixed returns the raw bytes of a value of fixed width, such as a decimal.
func (v Value) Fixed() (b []byte, ok bool) {
	if c := v.code >> 4; c < 0x5 || c > 0x9 {
		return nil, false
	}
	return v.body, true
}

// Described returns the two parts of a described value.
func (v Value) Described() (descriptor, value Value, ok bool) {
	if v.code != codeDescribed || len(v.body) == 0 {
		return Value{}, Value{}, false
	}
	descriptor, rest, err := next(v.body)
	if err != nil {
		return Value{}, Value{}, false
	}
	value, _, err = next(rest)
	return descriptor, value, err == nil
}

// next is Split for bytes that were checked before as part of a whole.
func next(data []byte) (Value, []byte, error) {
	if len(data) == 0 {
		return Value{}, nil, ErrShort
	}
	if data[0] == codeDescribed {
		return Split(data)
	}
	n, err := extent(data[0], data[1:])
	if err != nil {
		return Value{}, nil, err
	}
	return Value{code: data[0], body: data[1 : 1+n : 1+n]}, data[1+n:], nil
}
