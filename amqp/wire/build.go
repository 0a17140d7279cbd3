package wire

import (
	"encoding/binary"
	"math"
	"time"
)

// longHeader is the room a list, map or array takes before its elements in the
// long encoding: constructor, size, count.
const longHeader = 9

// StartList reserves room for the head of a list. The caller remembers
// len(dst) from before, appends the elements and calls EndList.
func StartList(dst []byte) []byte { return append(dst, make([]byte, longHeader)...) }

// EndList closes the list that StartList began at dst[at], which now has count
// elements, and gives it the shortest encoding.
func EndList(dst []byte, at, count int) []byte {
	if count == 0 {
		return append(dst[:at], codeList0)
	}
	return endCompound(dst, at, count, codeList8, codeList32)
}

// StartMap is StartList for a map.
func StartMap(dst []byte) []byte { return StartList(dst) }

// EndMap closes the map begun at dst[at], which now has the given number of
// entries (a key and a value each).
func EndMap(dst []byte, at, entries int) []byte {
	return endCompound(dst, at, 2*entries, codeMap8, codeMap32)
}

func endCompound(dst []byte, at, count int, short, long byte) []byte {
	size := len(dst) - at - longHeader
	if size+1 <= math.MaxUint8 && count <= math.MaxUint8 {
		copy(dst[at+3:], dst[at+longHeader:])
		dst[at], dst[at+1], dst[at+2] = short, byte(size+1), byte(count)
		return dst[:at+3+size]
	}
	dst[at] = long
	binary.BigEndian.PutUint32(dst[at+1:], uint32(size+4))
	binary.BigEndian.PutUint32(dst[at+5:], uint32(count))
	return dst
}

// Null returns null, as opposed to an absent value.
func Null() Value { return Value{code: codeNull} }

// Bool returns a boolean.
func Bool(b bool) Value { return own(AppendBool(nil, b)) }

// Uint returns an unsigned integer of 32 bits.
func Uint(n uint32) Value { return own(AppendUint(nil, n)) }

// Ulong returns an unsigned integer of 64 bits.
func Ulong(n uint64) Value { return own(AppendUlong(nil, n)) }

// Int returns a signed integer of 32 bits.
func Int(n int32) Value { return own(AppendInt(nil, n)) }

// Long returns a signed integer of 64 bits.
func Long(n int64) Value { return own(AppendLong(nil, n)) }

// Long8 returns a signed integer of 64 bits in its eight-byte form.
func Long8(n int64) Value { return own(AppendLong8(nil, n)) }

// Double returns a floating-point number of 64 bits.
func Double(f float64) Value { return own(AppendDouble(nil, f)) }

// Timestamp returns a time, to the millisecond.
func Timestamp(t time.Time) Value { return own(AppendTimestamp(nil, t)) }

// UUID returns a UUID whose bytes are in RFC 9562 order.
func UUID(u [16]byte) Value { return own(AppendUUID(nil, u)) }

// Binary returns a value of bytes, which it copies.
func Binary(b []byte) Value { return own(AppendBinary(nil, b)) }

// String returns a string.
func String(s string) Value { return own(AppendString(nil, s)) }

// Symbol returns a symbol.
func Symbol(s string) Value { return own(AppendSymbol(nil, s)) }

// List returns a list of values.
func List(elements ...Value) Value {
	dst := StartList(nil)
	for _, e := range elements {
		dst = AppendValue(dst, e)
	}
	return own(EndList(dst, 0, len(elements)))
}

// Map returns a map of keys and values given in turn; a last key without a
// value gets null.
func Map(pairs ...Value) Value {
	dst := StartMap(nil)
	for _, v := range pairs {
		dst = AppendValue(dst, v)
	}
	if len(pairs)%2 != 0 {
		dst = AppendNull(dst)
	}
	return own(EndMap(dst, 0, (len(pairs)+1)/2))
}

// Describe returns value under a descriptor, mostly an Ulong or a Symbol.
func Describe(descriptor, value Value) Value {
	dst := make([]byte, 0, 1+descriptor.Size()+value.Size())
	dst = AppendValue(append(dst, codeDescribed), descriptor)
	return own(AppendValue(dst, value))
}

// Symbols returns an array of symbols.
func Symbols(s ...string) Value { return own(AppendSymbols(nil, s...)) }

// AppendSymbols appends an array of symbols.
func AppendSymbols(dst []byte, s ...string) []byte {
	return appendTexts(dst, codeSymbol8, codeSymbol32, s)
}

// Strings returns an array of strings.
func Strings(s ...string) Value { return own(appendTexts(nil, codeString8, codeString32, s)) }

func appendTexts(dst []byte, short, long byte, s []string) []byte {
	at, code := len(dst), short
	for _, t := range s {
		if len(t) > math.MaxUint8 {
			code = long
		}
	}
	dst = append(StartList(dst), code)
	for _, t := range s {
		if code == short {
			dst = append(dst, byte(len(t)))
		} else {
			dst = binary.BigEndian.AppendUint32(dst, uint32(len(t)))
		}
		dst = append(dst, t...)
	}
	return endCompound(dst, at, len(s), codeArray8, codeArray32)
}

// Longs returns an array of signed integers of 64 bits.
func Longs(n ...int64) Value {
	dst := append(StartList(nil), codeLong)
	for _, i := range n {
		dst = binary.BigEndian.AppendUint64(dst, uint64(i))
	}
	return own(endCompound(dst, 0, len(n), codeArray8, codeArray32))
}

// Timestamps returns an array of times.
func Timestamps(t ...time.Time) Value {
	dst := append(StartList(nil), codeTimestamp)
	for _, i := range t {
		dst = binary.BigEndian.AppendUint64(dst, uint64(i.UnixMilli()))
	}
	return own(endCompound(dst, 0, len(t), codeArray8, codeArray32))
}

// UUIDs returns an array of UUIDs.
func UUIDs(u ...[16]byte) Value {
	dst := append(StartList(nil), codeUUID)
	for _, i := range u {
		dst = append(dst, i[:]...)
	}
	return own(endCompound(dst, 0, len(u), codeArray8, codeArray32))
}
