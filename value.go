package gatehouse

import (
	"encoding/hex"
	"math"
	"strconv"
	"time"
)

// A ValueType is the type of an attribute, one of those AMQP 1.0 and the
// other protocols can carry between them.
type ValueType uint8

// The types of attributes. Their numbers are part of the record format.
const (
	TypeNull ValueType = iota
	TypeString
	TypeInt64
	TypeUint64
	TypeFloat64
	TypeBool
	TypeTimestamp // milliseconds since 1970 UTC
	TypeBinary
	TypeUUID
	TypeList
	TypeMap
)

// An Attribute is a named value of a message.
type Attribute struct {
	Name  string
	Value Value
}

// A Value is one typed value. The zero Value is null. Values are immutable:
// bytes, lists and maps given to a constructor must not be changed afterwards.
type Value struct {
	typ  ValueType
	num  uint64
	str  string
	list []Value     // TypeList
	dict []Attribute // TypeMap, in order
}

// String returns a string value.
func String(s string) Value { return Value{typ: TypeString, str: s} }

// Int64 returns a signed integer value.
func Int64(i int64) Value { return Value{typ: TypeInt64, num: uint64(i)} }

// Uint64 returns an unsigned integer value.
func Uint64(u uint64) Value { return Value{typ: TypeUint64, num: u} }

// Float64 returns a floating-point value.
func Float64(f float64) Value { return Value{typ: TypeFloat64, num: math.Float64bits(f)} }

// Bool returns a boolean value.
func Bool(b bool) Value {
	v := Value{typ: TypeBool}
	if b {
		v.num = 1
	}
	return v
}

// Timestamp returns a point in time, to the millisecond.
func Timestamp(t time.Time) Value { return Value{typ: TypeTimestamp, num: uint64(t.UnixMilli())} }

// Binary returns a value of bytes.
func Binary(b []byte) Value { return Value{typ: TypeBinary, str: string(b)} }

// UUID returns a UUID value.
func UUID(u [16]byte) Value { return Value{typ: TypeUUID, str: string(u[:])} }

// List returns a list of values.
func List(v ...Value) Value { return Value{typ: TypeList, list: v} }

// Map returns an ordered map with string keys.
func Map(a ...Attribute) Value { return Value{typ: TypeMap, dict: a} }

// Type returns the value's type.
func (v Value) Type() ValueType { return v.typ }

// Str returns the text of a string value, or the bytes of a binary or UUID one.
func (v Value) Str() string { return v.str }

// Int64 returns the number of a TypeInt64 value, or the milliseconds of a timestamp.
func (v Value) Int64() int64 { return int64(v.num) }

// Uint64 returns the number of a TypeUint64 value.
func (v Value) Uint64() uint64 { return v.num }

// Float64 returns the number of a TypeFloat64 value.
func (v Value) Float64() float64 { return math.Float64frombits(v.num) }

// Bool returns the truth of a TypeBool value.
func (v Value) Bool() bool { return v.num != 0 }

// Time returns the time of a timestamp value, in UTC.
func (v Value) Time() time.Time { return time.UnixMilli(int64(v.num)).UTC() }

// List returns the elements of a list.
func (v Value) List() []Value { return v.list }

// Map returns the entries of a map, in order.
func (v Value) Map() []Attribute { return v.dict }

// UUIDString returns the canonical text of a UUID value.
func (v Value) UUIDString() string {
	if len(v.str) != 16 {
		return ""
	}
	h := hex.EncodeToString([]byte(v.str))
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Text returns v as protocols with only textual headers show it. Binary comes
// in hexadecimal, lists and maps as their number of elements: a protocol that
// can say more must look at Type.
func (v Value) Text() string {
	switch v.typ {
	case TypeString:
		return v.str
	case TypeInt64:
		return strconv.FormatInt(v.Int64(), 10)
	case TypeUint64:
		return strconv.FormatUint(v.num, 10)
	case TypeFloat64:
		return strconv.FormatFloat(v.Float64(), 'g', -1, 64)
	case TypeBool:
		return strconv.FormatBool(v.Bool())
	case TypeTimestamp:
		return v.Time().Format("2006-01-02T15:04:05.000Z")
	case TypeBinary:
		return hex.EncodeToString([]byte(v.str))
	case TypeUUID:
		return v.UUIDString()
	case TypeList:
		return strconv.Itoa(len(v.list)) + " elements"
	case TypeMap:
		return strconv.Itoa(len(v.dict)) + " entries"
	}
	return ""
}
