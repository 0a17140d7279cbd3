package wire

import (
	"encoding/binary"
	"math"
	"time"
)

// AppendValue appends v as it is; an absent value as null.
func AppendValue(dst []byte, v Value) []byte {
	if v.IsAbsent() {
		return AppendNull(dst)
	}
	return append(append(dst, v.code), v.body...)
}

// AppendNull appends null.
func AppendNull(dst []byte) []byte { return append(dst, codeNull) }

// AppendBool appends a boolean.
func AppendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, codeTrue)
	}
	return append(dst, codeFalse)
}

// AppendUbyte appends an unsigned integer of 8 bits.
func AppendUbyte(dst []byte, n uint8) []byte { return append(dst, codeUbyte, n) }

// AppendUshort appends an unsigned integer of 16 bits.
func AppendUshort(dst []byte, n uint16) []byte {
	return binary.BigEndian.AppendUint16(append(dst, codeUshort), n)
}

// AppendUint appends an unsigned integer of 32 bits.
func AppendUint(dst []byte, n uint32) []byte {
	switch {
	case n == 0:
		return append(dst, codeUint0)
	case n <= math.MaxUint8:
		return append(dst, codeSmallUint, byte(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, codeUint), n)
}

// AppendUlong appends an unsigned integer of 64 bits.
func AppendUlong(dst []byte, n uint64) []byte {
	switch {
	case n == 0:
		return append(dst, codeUlong0)
	case n <= math.MaxUint8:
		return append(dst, codeSmallUlong, byte(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, codeUlong), n)
}

// AppendByte appends a signed integer of 8 bits.
func AppendByte(dst []byte, n int8) []byte { return append(dst, codeByte, byte(n)) }

// AppendShort appends a signed integer of 16 bits.
func AppendShort(dst []byte, n int16) []byte {
	return binary.BigEndian.AppendUint16(append(dst, codeShort), uint16(n))
}

// AppendInt appends a signed integer of 32 bits.
func AppendInt(dst []byte, n int32) []byte {
	if n == int32(int8(n)) {
		return append(dst, codeSmallInt, byte(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, codeInt), uint32(n))
}

// AppendLong appends a signed integer of 64 bits.
func AppendLong(dst []byte, n int64) []byte {
	if n == int64(int8(n)) {
		return append(dst, codeSmallLong, byte(n))
	}
	return AppendLong8(dst, n)
}

// AppendLong8 appends a signed integer of 64 bits in its eight-byte form, which
// some clients need where they do not expect a small one.
func AppendLong8(dst []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, codeLong), uint64(n))
}

// AppendFloat appends a floating-point number of 32 bits.
func AppendFloat(dst []byte, f float32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, codeFloat), math.Float32bits(f))
}

// AppendDouble appends a floating-point number of 64 bits.
func AppendDouble(dst []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, codeDouble), math.Float64bits(f))
}

// AppendChar appends one Unicode code point.
func AppendChar(dst []byte, c rune) []byte {
	return binary.BigEndian.AppendUint32(append(dst, codeChar), uint32(c))
}

// AppendTimestamp appends a time, to the millisecond.
func AppendTimestamp(dst []byte, t time.Time) []byte { return AppendMillis(dst, t.UnixMilli()) }

// AppendMillis appends a timestamp given as milliseconds since 1970 UTC.
func AppendMillis(dst []byte, ms int64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, codeTimestamp), uint64(ms))
}

// AppendUUID appends a UUID whose bytes are in RFC 9562 order.
func AppendUUID(dst []byte, u [16]byte) []byte { return append(append(dst, codeUUID), u[:]...) }

// AppendBinary appends bytes. Its length, like that of strings and symbols,
// must be less than 4 GiB.
func AppendBinary(dst, b []byte) []byte {
	return append(appendSized(dst, codeBinary8, codeBinary32, len(b)), b...)
}

// AppendBinaryHeader appends what goes before n bytes of a binary, which the
// caller appends or writes next.
func AppendBinaryHeader(dst []byte, n int) []byte {
	return appendSized(dst, codeBinary8, codeBinary32, n)
}

// AppendString appends a string, which must be UTF-8.
func AppendString(dst []byte, s string) []byte {
	return append(appendSized(dst, codeString8, codeString32, len(s)), s...)
}

// AppendStringOf appends the text of v, which is a string or a symbol, as a
// string.
func AppendStringOf(dst []byte, v Value) []byte {
	b := v.text()
	return append(appendSized(dst, codeString8, codeString32, len(b)), b...)
}

// AppendSymbolOf appends the text of v, which is a string or a symbol, as a
// symbol.
func AppendSymbolOf(dst []byte, v Value) []byte {
	b := v.text()
	return append(appendSized(dst, codeSymbol8, codeSymbol32, len(b)), b...)
}

// AppendSymbol appends a symbol, which should be ASCII.
func AppendSymbol(dst []byte, s string) []byte {
	return append(appendSized(dst, codeSymbol8, codeSymbol32, len(s)), s...)
}

func appendSized(dst []byte, short, long byte, n int) []byte {
	if n <= math.MaxUint8 {
		return append(dst, short, byte(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, long), uint32(n))
}

// AppendDescriptor appends the start of a described value: the value it
// describes is to be appended next.
func AppendDescriptor(dst []byte, code uint64) []byte {
	return AppendUlong(append(dst, codeDescribed), code)
}
