package frame

import (
	"encoding/binary"
	"errors"

	"github.com/gatehouse/gatehouse/amqp/wire"
)

// HeaderSize is the size of the fixed part of a frame, and of a protocol header.
const HeaderSize = 8

// MinMaxFrameSize is the frame size every peer must be able to take (part 2.8.19).
const MinMaxFrameSize = 512

// The kinds of frame (part 2.3.1, part 5.3.1).
const (
	TypeAMQP = 0
	TypeSASL = 1
)

// The protocols a protocol header can ask for (part 2.2, 5.2, 5.3).
const (
	ProtoAMQP = 0
	ProtoTLS  = 2
	ProtoSASL = 3
)

// Descriptors of the performatives (part 2.7) and SASL frames (part 5.3.3).
const (
	CodeOpen        = 0x10
	CodeBegin       = 0x11
	CodeAttach      = 0x12
	CodeFlow        = 0x13
	CodeTransfer    = 0x14
	CodeDisposition = 0x15
	CodeDetach      = 0x16
	CodeEnd         = 0x17
	CodeClose       = 0x18
	CodeMechanisms  = 0x40
	CodeInit        = 0x41
	CodeChallenge   = 0x42
	CodeResponse    = 0x43
	CodeOutcome     = 0x44
)

// Why bytes are not a frame.
var (
	ErrHeader       = errors.New("amqp: malformed frame header")
	ErrPerformative = errors.New("amqp: frame body is no performative")
)

// A Header is the fixed part of a frame (part 2.3.1). Size counts the whole
// frame, Offset is where its body starts.
type Header struct {
	Size    uint32
	Offset  int
	Type    uint8
	Channel uint16
}

// ParseHeader reads the first eight bytes of a frame.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, ErrHeader
	}
	h := Header{
		Size:    binary.BigEndian.Uint32(b),
		Offset:  4 * int(b[4]),
		Type:    b[5],
		Channel: binary.BigEndian.Uint16(b[6:]),
	}
	if h.Offset < HeaderSize || h.Size < uint32(h.Offset) {
		return Header{}, ErrHeader
	}
	return h, nil
}

// Start appends a frame header whose size Finish fills in. The caller
// remembers len(dst) from before.
func Start(dst []byte, kind uint8, channel uint16) []byte {
	return append(dst, 0, 0, 0, 0, 2, kind, byte(channel>>8), byte(channel))
}

// Finish ends the frame that Start began at dst[at].
func Finish(dst []byte, at int) []byte {
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at))
	return dst
}

// AppendEmpty appends a frame without a body, which only shows that its sender
// is alive (part 2.4.5).
func AppendEmpty(dst []byte) []byte { return Finish(Start(dst, TypeAMQP, 0), len(dst)) }

// ProtocolHeader returns the eight bytes that ask for a protocol of version 1.0.0.
func ProtocolHeader(proto byte) [HeaderSize]byte {
	return [HeaderSize]byte{'A', 'M', 'Q', 'P', proto, 1, 0, 0}
}

// Parse takes the performative off a frame body. Rest is the payload of a
// transfer; nothing else has any.
func Parse(body []byte) (code uint64, fields wire.Items, rest []byte, err error) {
	v, rest, err := wire.Split(body)
	if err != nil {
		return 0, wire.Items{}, nil, err
	}
	code, list, err := describedList(v)
	return code, list, rest, err
}

// describedList takes a described list apart. The standard allows numbers and
// symbols as descriptors.
func describedList(v wire.Value) (uint64, wire.Items, error) {
	d, list, ok := v.Described()
	if !ok || list.Type() != wire.TypeList {
		return 0, wire.Items{}, ErrPerformative
	}
	code, ok := d.Uint64()
	if !ok {
		code, ok = symbolic(d)
	}
	if !ok {
		return 0, wire.Items{}, ErrPerformative
	}
	return code, list.Items(), nil
}
