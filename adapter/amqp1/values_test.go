package amqp1

import (
	"math"

	"github.com/gatehouse/gatehouse/amqp/wire"
)

// value returns a value, with others inside to a depth.
func (g *generator) value(depth int) wire.Value {
	if depth > 0 && g.chance(4) {
		inner := []wire.Value{wire.Symbol("k"), g.value(depth - 1)}
		return pick(g, wire.List(inner...), wire.Map(inner...), wire.Describe(inner[0], inner[1]), wire.Longs(1, -1), wire.Symbols("a", "b"))
	}
	raw := pick(g, wire.AppendNull, g.texts, g.texts, g.bytes, g.integer, g.fraction, g.other)(nil)
	v, _, err := wire.Split(raw)
	if err != nil {
		panic(err)
	}
	return v
}

func (g *generator) texts(dst []byte) []byte { return g.field(dst, g.text()) }
func (g *generator) bytes(dst []byte) []byte { return wire.AppendBinary(dst, []byte(g.text())) }

func (g *generator) integer(dst []byte) []byte {
	n := g.Uint64() >> g.IntN(64)
	switch g.IntN(8) {
	case 0:
		return wire.AppendUbyte(dst, uint8(n))
	case 1:
		return wire.AppendUshort(dst, uint16(n))
	case 2:
		return wire.AppendUint(dst, uint32(n))
	case 3:
		return wire.AppendUlong(dst, n)
	case 4:
		return wire.AppendByte(dst, int8(n))
	case 5:
		return wire.AppendShort(dst, int16(n))
	case 6:
		return wire.AppendInt(dst, int32(n))
	}
	return wire.AppendLong(dst, int64(n))
}

func (g *generator) fraction(dst []byte) []byte {
	switch g.IntN(4) {
	case 0:
		return wire.AppendFloat(dst, float32(g.IntN(100))/8)
	case 1:
		return wire.AppendDouble(dst, math.NaN())
	case 2:
		return append(append(dst, 0x94), make([]byte, 16)...) // a decimal
	}
	return wire.AppendDouble(dst, float64(g.IntN(1000))/64)
}

func (g *generator) other(dst []byte) []byte {
	switch g.IntN(4) {
	case 0:
		return wire.AppendBool(dst, g.chance(2))
	case 1:
		return wire.AppendChar(dst, 'ß')
	case 2:
		return wire.AppendUUID(dst, [16]byte{1, 15: byte(g.IntN(256))})
	}
	return wire.AppendMillis(dst, g.Int64N(1e12))
}
