package amqp1

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp/message"
	"github.com/gatehouse/gatehouse/amqp/wire"
	"github.com/gatehouse/gatehouse/cloudevents"
)

// NativeAttribute is the reserved attribute in which a message that came by
// AMQP keeps what the envelope cannot express: the exact encoding of what
// stands before and after its body (or of all of it, if the body is not a
// single data section), annotations of the sender's own, and its header. It is
// there only if it is needed, and means nothing to other protocols.
//
// Going out by AMQP, the exact encoding is used if it says the same as the
// envelope, field by field; otherwise, because a handler or a receiver has
// changed the message, the envelope is encoded, with the types and the fields
// of the original where they still fit. So it can never say what the envelope
// does not.
const NativeAttribute = cloudevents.NativeAMQP

// A native is what is in the attribute.
type native struct {
	head     []byte // before the body
	tail     []byte // after it
	verbatim bool   // the body is a single data section: the message's Body as it is
	// annotations is an encoded map; empty for none.
	annotations []byte
	header      message.Header
}

const nativeVersion = 1

// Flags of a native.
const (
	nativeVerbatim = 1 << iota
	nativeDurable
	nativePriority
)

// keepNative adds the attribute to m if it is needed.
func (d *decoder) keepNative(m *gatehouse.Message, h message.Header, others int) {
	n, s := native{header: h}, &d.sections
	bare := s.Bare()
	n.head, n.tail, n.verbatim = splitBody(s, bare, len(m.Body))
	if others > 0 {
		n.annotations = otherAnnotations(s.Annotations(), others)
	}
	if n.plain() && m.ID != "" && len(n.tail) == 0 && n.verbatim {
		if d.scratch = appendHead(d.scratch[:0], m, nil, ""); bytes.Equal(d.scratch, n.head) {
			return
		}
	}
	d.scratch = n.append(d.scratch[:0])
	m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: NativeAttribute, Value: gatehouse.Binary(d.scratch)})
}

// plain reports whether nothing but the bare message needs to be kept.
func (n *native) plain() bool {
	return len(n.annotations) == 0 && !n.header.Durable && n.header.Priority == message.DefaultPriority
}

// splitBody splits a bare message around the content of its only data section.
// Otherwise head is all of it.
func splitBody(s *message.Message, bare []byte, size int) (head, tail []byte, verbatim bool) {
	if s.BodyKind() != message.BodyData || s.Bodies() != 1 {
		return bare, nil, false
	}
	body := s.Body()
	at := cap(bare) - cap(body) // both are slices of the same message, to its end
	if at < 0 || at > len(bare) || len(body) > len(bare)-at {
		return bare, nil, false
	}
	prefix := len(body) - size
	if prefix <= 0 || dataHeader(body[:prefix], size) != prefix {
		return bare, nil, false
	}
	return bare[:at+prefix], bare[at+len(body):], true
}

// dataHeader returns how long the usual head of a data section with size bytes
// is that b ends with, or 0.
func dataHeader(b []byte, size int) int {
	if n := len(b); n >= 8 && bytes.Equal(b[n-8:n-4], wideData) && binary.BigEndian.Uint32(b[n-4:]) == uint32(size) {
		return len(wideData) + 4
	}
	if n := len(b); n >= 5 && bytes.Equal(b[n-5:n-1], shortData) && int(b[n-1]) == size {
		return len(shortData) + 1
	}
	return 0
}

// How the head of a data section begins, before its length.
var (
	wideData  = []byte{0, 0x53, 0x75, 0xb0}
	shortData = []byte{0, 0x53, 0x75, 0xa0}
)

// otherAnnotations returns the sender's own annotations as a map.
func otherAnnotations(all wire.Value, n int) []byte {
	dst := wire.StartMap(nil)
	for k, v := range all.Entries() {
		if key, _ := k.Bytes(); !isOurs(string(key)) {
			dst = wire.AppendValue(wire.AppendValue(dst, k), v)
		}
	}
	return wire.EndMap(dst, 0, n)
}

func (n *native) append(dst []byte) []byte {
	flags := byte(0)
	if n.verbatim {
		flags |= nativeVerbatim
	}
	if n.header.Durable {
		flags |= nativeDurable
	}
	if n.header.Priority != message.DefaultPriority {
		flags |= nativePriority
	}
	dst = append(dst, nativeVersion, flags, n.header.Priority)
	for _, part := range [...][]byte{n.head, n.tail, n.annotations} {
		dst = append(binary.AppendUvarint(dst, uint64(len(part))), part...)
	}
	return dst
}

// read sets n to what m keeps, in the bytes of room. It reports whether there
// is anything.
func (n *native) read(m *gatehouse.Message, room *[]byte) bool {
	v, ok := m.Attribute(NativeAttribute)
	if !ok || v.Type() != gatehouse.TypeBinary {
		return false
	}
	b := append((*room)[:0], v.Str()...)
	*room = b
	if len(b) < 3 || b[0] != nativeVersion {
		return false
	}
	*n = native{verbatim: b[1]&nativeVerbatim != 0}
	n.header = message.Header{Durable: b[1]&nativeDurable != 0, Priority: message.DefaultPriority}
	if b[1]&nativePriority != 0 {
		n.header.Priority = b[2]
	}
	b = b[3:]
	for _, part := range [...]*[]byte{&n.head, &n.tail, &n.annotations} {
		size, used := binary.Uvarint(b)
		if used <= 0 || size > uint64(len(b)-used) {
			return false
		}
		*part, b = b[used:used+int(size):used+int(size)], b[used+int(size):]
	}
	return true
}

// sections returns what is around the body, or all of it; ok is false for what
// is not a message.
func (n *native) sections() (s message.Message, ok bool) {
	all := n.head
	if n.verbatim {
		all = n.head[:len(n.head)-len(n.dataHead())]
		if len(n.tail) > 0 {
			all = slices.Concat(all, n.tail)
		}
	}
	s, err := message.Parse(all)
	return s, err == nil && len(s.Bare()) == len(all)
}

// dataHead returns the head of a data section that is at the end of n.head.
func (n *native) dataHead() []byte {
	for _, begin := range [...][]byte{wideData, shortData} {
		size := dataHeadSize(begin)
		if at := len(n.head) - size; at >= 0 && bytes.HasPrefix(n.head[at:], begin) {
			return n.head[at:]
		}
	}
	return nil
}

func dataHeadSize(begin []byte) int {
	if begin[3] == 0xb0 {
		return len(begin) + 4
	}
	return len(begin) + 1
}

// fits reports whether a body of that many bytes is what n was made with.
func (n *native) fits(size int) bool {
	return !n.verbatim || dataHeader(n.head, size) == len(n.dataHead()) && len(n.dataHead()) > 0
}
