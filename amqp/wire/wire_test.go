package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/amqp/wire"
)

// encode writes v anew, in its shortest form, from what the accessors say of
// it. Arrays are kept as they are: their elements share one constructor.
func encode(dst []byte, v wire.Value) []byte {
	switch v.Type() {
	case wire.TypeNull:
		return wire.AppendNull(dst)
	case wire.TypeBool:
		b, _ := v.Bool()
		return wire.AppendBool(dst, b)
	case wire.TypeString:
		s, _ := v.Str()
		return wire.AppendString(dst, s)
	case wire.TypeSymbol:
		s, _ := v.Str()
		return wire.AppendSymbol(dst, s)
	case wire.TypeBinary:
		b, _ := v.Bytes()
		return wire.AppendBinary(dst, b)
	case wire.TypeList:
		at := len(dst)
		dst = wire.StartList(dst)
		for e := range v.Elements() {
			dst = encode(dst, e)
		}
		return wire.EndList(dst, at, v.Len())
	case wire.TypeMap:
		at := len(dst)
		dst = wire.StartMap(dst)
		for k, e := range v.Entries() {
			dst = encode(encode(dst, k), e)
		}
		return wire.EndMap(dst, at, v.Len())
	case wire.TypeDescribed:
		d, e, _ := v.Described()
		return encode(encode(append(dst, 0), d), e)
	}
	return encodeFixed(dst, v)
}

func encodeFixed(dst []byte, v wire.Value) []byte {
	u, _ := v.Uint64()
	i, _ := v.Int64()
	f, _ := v.Float64()
	switch v.Type() {
	case wire.TypeUbyte:
		return wire.AppendUbyte(dst, uint8(u))
	case wire.TypeUshort:
		return wire.AppendUshort(dst, uint16(u))
	case wire.TypeUint:
		return wire.AppendUint(dst, uint32(u))
	case wire.TypeUlong:
		return wire.AppendUlong(dst, u)
	case wire.TypeByte:
		return wire.AppendByte(dst, int8(i))
	case wire.TypeShort:
		return wire.AppendShort(dst, int16(i))
	case wire.TypeInt:
		return wire.AppendInt(dst, int32(i))
	case wire.TypeLong:
		return wire.AppendLong(dst, i)
	case wire.TypeDouble:
		if math.IsNaN(f) {
			return wire.AppendValue(dst, v)
		}
		return wire.AppendDouble(dst, f)
	case wire.TypeChar:
		c, _ := v.Char()
		return wire.AppendChar(dst, c)
	case wire.TypeTimestamp:
		ms, _ := v.Millis()
		return wire.AppendMillis(dst, ms)
	case wire.TypeUUID:
		id, _ := v.UUID()
		return wire.AppendUUID(dst, id)
	}
	return wire.AppendValue(dst, v) // floats, decimals and arrays
}

func samples() [][]byte {
	now := time.UnixMilli(1_700_000_000_123)
	long := strings.Repeat("é", 200)
	values := []wire.Value{
		wire.Null(), wire.Bool(true), wire.Bool(false), wire.Uint(0), wire.Uint(255), wire.Uint(256),
		wire.Ulong(0), wire.Ulong(9), wire.Ulong(math.MaxUint64), wire.Int(-1), wire.Int(-129), wire.Long(5), wire.Long(math.MinInt64),
		wire.Double(1.5), wire.Timestamp(now), wire.UUID([16]byte{1, 2, 3}), wire.Binary(nil), wire.Binary([]byte(long)),
		wire.String("é"), wire.String(long), wire.Symbol("a"), wire.Symbol(long),
		wire.List(), wire.List(wire.Null(), wire.String(long)), wire.Map(), wire.Map(wire.Symbol("k"), wire.Int(1)),
		wire.Describe(wire.Ulong(0x24), wire.List()), wire.Describe(wire.Symbol("x"), wire.Describe(wire.Int(1), wire.Null())),
		wire.Symbols("a", "b"), wire.Strings("a", long), wire.Longs(1, -1), wire.Timestamps(now), wire.UUIDs([16]byte{7}),
	}
	var out [][]byte
	for _, v := range values {
		out = append(out, wire.AppendValue(nil, v))
	}
	out = append(out, wire.AppendFloat(nil, 2.5), wire.AppendChar(nil, 'é'), wire.AppendUbyte(nil, 7),
		wire.AppendUshort(nil, 7), wire.AppendByte(nil, -7), wire.AppendShort(nil, -7),
		append([]byte{0x74}, 1, 2, 3, 4), append([]byte{0x84}, make([]byte, 8)...), append([]byte{0x94}, make([]byte, 16)...))
	return out
}

// TestCanonical decodes and encodes one of each: the bytes are the same again.
func TestCanonical(t *testing.T) {
	t.Parallel()
	for _, b := range samples() {
		v, rest, err := wire.Split(append(slices.Clone(b), 0xff))
		if err != nil || len(rest) != 1 {
			t.Errorf("% x: %v", b, err)
			continue
		}
		if got := encode(nil, v); !bytes.Equal(got, b) {
			t.Errorf("% x came back as % x", b, got)
		}
		for n := range b {
			if _, _, err := wire.Split(b[:n]); err == nil {
				t.Errorf("% x was taken for a value", b[:n])
			}
		}
	}
}

// TestWidths reads integers whatever their width, and only what fits.
func TestWidths(t *testing.T) {
	t.Parallel()
	for _, b := range [][]byte{{0x50, 7}, {0x51, 7}, {0x52, 7}, {0x53, 7}, {0x54, 7}, {0x55, 7}, {0x60, 0, 7}, {0x61, 0, 7}, {0x70, 0, 0, 0, 7}, {0x71, 0, 0, 0, 7}} {
		v, _, err := wire.Split(b)
		if err != nil {
			t.Fatal(err)
		}
		u, ok1 := v.Uint64()
		i, ok2 := v.Int64()
		w, ok3 := v.Uint32()
		if u != 7 || i != 7 || w != 7 || !ok1 || !ok2 || !ok3 {
			t.Errorf("% x: %d %d %d", b, u, i, w)
		}
	}
	if _, ok := wire.Int(-1).Uint64(); ok {
		t.Error("-1 is unsigned")
	}
	if _, ok := wire.Ulong(math.MaxUint64).Int64(); ok {
		t.Error("the largest ulong is signed")
	}
	if _, ok := wire.Ulong(1 << 32).Uint32(); ok {
		t.Error("2^32 has 32 bits")
	}
	if _, ok := wire.String("7").Uint64(); ok {
		t.Error("a string is a number")
	}
}

// TestLimits refuses what would cost more than it weighs.
func TestLimits(t *testing.T) {
	t.Parallel()
	nest := func(n int) []byte {
		v := wire.List()
		for range n {
			v = wire.List(v)
		}
		return wire.AppendValue(nil, v)
	}
	many := func(code byte, count uint32, elem ...byte) []byte {
		b := binary.BigEndian.AppendUint32([]byte{code}, uint32(4+len(elem)))
		return append(binary.BigEndian.AppendUint32(b, count), elem...)
	}
	for _, test := range []struct {
		name  string
		input []byte
		err   error
	}{
		{"31 deep", nest(31), nil},
		{"33 deep", nest(33), wire.ErrDepth},
		{"descriptors", append(bytes.Repeat([]byte{0}, 100), 0x40), wire.ErrDepth},
		{"list of 4 billion", many(0xd0, math.MaxUint32), wire.ErrElements},
		{"list of 65537", many(0xd0, 65537, bytes.Repeat([]byte{0x40}, 65537)...), wire.ErrElements},
		{"list of 65536", many(0xd0, 65536, bytes.Repeat([]byte{0x40}, 65536)...), nil},
		{"65536 elements of no bytes", many(0xf0, 65536, 0x40), wire.ErrElements},
		{"256 elements of no bytes", many(0xf0, 256, 0x40), nil},
		{"map of odd count", many(0xd1, 1, 0x40), wire.ErrMap},
		{"too many bytes", many(0xd0, 1, 0x40, 0x40), wire.ErrSize},
		{"too few bytes", many(0xd0, 2, 0x40), wire.ErrSize},
		{"array without constructor", many(0xf0, 1), wire.ErrSize},
		{"empty array without constructor", many(0xf0, 0), nil},
		{"array of an unknown type", many(0xf0, 0, 0x3f), wire.ErrType},
		{"no UTF-8", []byte{0xa1, 1, 0xff}, wire.ErrText},
		{"boolean 2", []byte{0x56, 2}, wire.ErrBool},
		{"size of 4 GiB", []byte{0xb0, 0xff, 0xff, 0xff, 0xff, 0}, wire.ErrShort},
	} {
		if _, _, err := wire.Split(test.input); !errors.Is(err, test.err) {
			t.Errorf("%s: %v, want %v", test.name, err, test.err)
		}
	}
}

// TestArrayOfDescribed reads an array whose elements are described.
func TestArrayOfDescribed(t *testing.T) {
	t.Parallel()
	b := []byte{0xe0, 7, 2, 0x00, 0x53, 0x05, 0x50, 1, 2}
	b[1] = byte(len(b) - 2)
	v, _, err := wire.Split(b)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for e := range v.Elements() {
		d, x, _ := e.Described()
		code, _ := d.Uint64()
		n, _ := x.Uint64()
		got = append(got, fmt.Sprint(code, n))
	}
	if fmt.Sprint(got) != "[5 1 5 2]" {
		t.Errorf("elements %v", got)
	}
}

// TestMultiple reads a field that may be one value, a list or an array.
func TestMultiple(t *testing.T) {
	t.Parallel()
	for _, v := range []wire.Value{wire.Symbols("a"), wire.List(wire.Symbol("a"), wire.Int(1)), wire.Symbol("a"), wire.String("a")} {
		if got := v.Strings(); !slices.Equal(got, []string{"a"}) {
			t.Errorf("%v: %v", v.Type(), got)
		}
	}
	m := wire.Map(wire.String("k"), wire.Int(1), wire.Symbol("l"), wire.Int(2))
	if n, _ := m.Get("l").Int64(); n != 2 || !m.Get("x").IsAbsent() {
		t.Errorf("Get: %d", n)
	}
}

func FuzzValue(f *testing.F) {
	for _, b := range samples() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, rest, err := wire.Split(b)
		if err != nil {
			return
		}
		if raw := wire.AppendValue(nil, v); !bytes.Equal(raw, b[:len(b)-len(rest)]) {
			t.Fatalf("% x was kept as % x", b, raw)
		}
		first := encode(nil, v)
		again, rest, err := wire.Split(first)
		if err != nil || len(rest) > 0 {
			t.Fatalf("% x does not decode: %v", first, err)
		}
		if second := encode(nil, again); !bytes.Equal(first, second) {
			t.Fatalf("% x came back as % x", first, second)
		}
		for e := range v.Elements() {
			encode(nil, e)
		}
	})
}
