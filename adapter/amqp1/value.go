package amqp1

import (
	"bytes"
	"encoding/hex"
	"strconv"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp/wire"
)

// toValue returns a value as attributes have it. The width of integers and
// floats is lost, as is what tells symbols and characters from strings and
// arrays from lists; a described value is what is described.
func toValue(v wire.Value) gatehouse.Value {
	switch v.Type() {
	case wire.TypeBool:
		b, _ := v.Bool()
		return gatehouse.Bool(b)
	case wire.TypeUbyte, wire.TypeUshort, wire.TypeUint, wire.TypeUlong:
		n, _ := v.Uint64()
		return gatehouse.Uint64(n)
	case wire.TypeByte, wire.TypeShort, wire.TypeInt, wire.TypeLong:
		n, _ := v.Int64()
		return gatehouse.Int64(n)
	case wire.TypeFloat, wire.TypeDouble:
		f, _ := v.Float64()
		return gatehouse.Float64(f)
	case wire.TypeChar:
		c, _ := v.Char()
		return gatehouse.String(string(c))
	case wire.TypeTimestamp:
		t, _ := v.Time()
		return gatehouse.Timestamp(t)
	case wire.TypeUUID:
		u, _ := v.UUID()
		return gatehouse.UUID(u)
	case wire.TypeString, wire.TypeSymbol:
		s, _ := v.Str()
		return gatehouse.String(s)
	case wire.TypeBinary:
		b, _ := v.Bytes()
		return gatehouse.Binary(b)
	case wire.TypeDecimal32, wire.TypeDecimal64, wire.TypeDecimal128:
		b, _ := v.Fixed()
		return gatehouse.Binary(b)
	case wire.TypeDescribed:
		_, inner, _ := v.Described()
		return toValue(inner)
	}
	return toCompound(v)
}

func toCompound(v wire.Value) gatehouse.Value {
	switch v.Type() {
	case wire.TypeList, wire.TypeArray:
		list := make([]gatehouse.Value, 0, v.Len())
		for e := range v.Elements() {
			list = append(list, toValue(e))
		}
		return gatehouse.List(list...)
	case wire.TypeMap:
		return gatehouse.Map(toAttributes(v)...)
	}
	return gatehouse.Value{}
}

// toAttributes returns the entries of a map.
func toAttributes(v wire.Value) []gatehouse.Attribute {
	all := make([]gatehouse.Attribute, 0, v.Len())
	for key, value := range v.Entries() {
		all = append(all, gatehouse.Attribute{Name: toText(key), Value: toValue(value)})
	}
	return all
}

// toText returns the text of a message id, or of a key: a string as it is,
// anything else in its canonical form, binary in hexadecimal.
func toText(v wire.Value) string {
	switch v.Type() {
	case wire.TypeString, wire.TypeSymbol:
		s, _ := v.Str()
		return s
	case wire.TypeBinary:
		b, _ := v.Bytes()
		return hex.EncodeToString(b)
	case wire.TypeUlong, wire.TypeUint, wire.TypeUshort, wire.TypeUbyte:
		n, _ := v.Uint64()
		return strconv.FormatUint(n, 10)
	case wire.TypeNull:
		return ""
	}
	return toValue(v).Text()
}

// appendAny appends an attribute's value in the type that it has.
func appendAny(dst []byte, v gatehouse.Value) []byte {
	switch v.Type() {
	case gatehouse.TypeString:
		return wire.AppendString(dst, v.Str())
	case gatehouse.TypeInt64:
		return wire.AppendLong(dst, v.Int64())
	case gatehouse.TypeUint64:
		return wire.AppendUlong(dst, v.Uint64())
	case gatehouse.TypeFloat64:
		return wire.AppendDouble(dst, v.Float64())
	case gatehouse.TypeBool:
		return wire.AppendBool(dst, v.Bool())
	case gatehouse.TypeTimestamp:
		return wire.AppendMillis(dst, v.Int64())
	case gatehouse.TypeBinary:
		return wire.AppendBinary(dst, []byte(v.Str()))
	case gatehouse.TypeUUID:
		return wire.AppendUUID(dst, [16]byte([]byte(v.Str())))
	case gatehouse.TypeList:
		at := len(dst)
		dst = wire.StartList(dst)
		for _, e := range v.List() {
			dst = appendAny(dst, e)
		}
		return wire.EndList(dst, at, len(v.List()))
	case gatehouse.TypeMap:
		at := len(dst)
		dst = wire.StartMap(dst)
		for _, e := range v.Map() {
			dst = appendAny(wire.AppendString(dst, e.Name), e.Value)
		}
		return wire.EndMap(dst, at, len(v.Map()))
	}
	return wire.AppendNull(dst)
}

// equal reports whether two values are the same.
func equal(a, b gatehouse.Value) bool {
	if a.Type() != b.Type() {
		return false
	}
	switch a.Type() {
	case gatehouse.TypeString, gatehouse.TypeBinary, gatehouse.TypeUUID:
		return a.Str() == b.Str()
	case gatehouse.TypeInt64, gatehouse.TypeUint64, gatehouse.TypeBool, gatehouse.TypeTimestamp:
		return a.Int64() == b.Int64()
	}
	return bytes.Equal(appendAny(nil, a), appendAny(nil, b)) // floats by their bits
}
