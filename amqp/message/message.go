package message

import (
	"errors"
	"iter"

	"github.com/gatehouse/gatehouse/amqp/wire"
)

// Descriptors of the sections (part 3.2).
const (
	codeHeader                = 0x70
	codeDeliveryAnnotations   = 0x71
	codeMessageAnnotations    = 0x72
	codeProperties            = 0x73
	codeApplicationProperties = 0x74
	codeData                  = 0x75
	codeSequence              = 0x76
	codeValue                 = 0x77
	codeFooter                = 0x78
)

// MaxSections bounds the sections of one message: a batch has a data section
// for each of its messages.
const MaxSections = 1 << 16

// Why bytes are not a message.
var (
	ErrSection  = errors.New("amqp: message section of an unknown kind")
	ErrOrder    = errors.New("amqp: message sections out of order or repeated")
	ErrType     = errors.New("amqp: message section with content of a wrong type")
	ErrSections = errors.New("amqp: message of more than 65536 sections")
)

// A BodyKind is one of the three forms a body can have.
type BodyKind uint8

// The forms of a body. BodyNone is that of a message that has none, which the
// standard does not allow and clients send.
const (
	BodyNone     BodyKind = iota
	BodyData              // one or more binary sections
	BodySequence          // one or more lists
	BodyValue             // a single value
)

// A Message is an encoded message whose sections were found. The zero Message
// has none.
type Message struct {
	raw    []byte
	parts  [codeFooter - codeHeader + 1]span // by descriptor; body: first to last
	kind   BodyKind
	bodies int
}

// A span is where a section lies: all of it, and the value it describes. Its
// end is zero if it is not there.
type span struct{ start, value, end uint32 }

// Parse finds the sections of a message. It accepts one without a body. Raw
// must be smaller than 4 GiB, and is kept.
func Parse(raw []byte) (Message, error) {
	m := Message{raw: raw}
	last, at := uint64(0), 0
	for count := 0; at < len(raw); count++ {
		if count == MaxSections {
			return Message{}, ErrSections
		}
		code, value, size, err := section(raw[at:])
		if err != nil {
			return Message{}, err
		}
		if err := m.add(code, last, span{uint32(at), uint32(at + value), uint32(at + size)}); err != nil {
			return Message{}, err
		}
		last, at = code, at+size
	}
	return m, nil
}

// section reads the section at the start of data: its descriptor, where its
// value starts, and where it ends.
func section(data []byte) (code uint64, value, size int, err error) {
	v, _, err := wire.Split(data)
	if err != nil {
		return 0, 0, 0, err
	}
	d, content, ok := v.Described()
	if !ok {
		return 0, 0, 0, ErrSection
	}
	code, ok = d.Uint64()
	if !ok {
		code, ok = symbolic(d)
	}
	if !ok || code < codeHeader || code > codeFooter {
		return 0, 0, 0, ErrSection
	}
	if want := contentType(code); want != wire.TypeInvalid && content.Type() != want {
		return 0, 0, 0, ErrType
	}
	return code, 1 + d.Size(), v.Size(), nil
}

func contentType(code uint64) wire.Type {
	switch code {
	case codeHeader, codeProperties, codeSequence:
		return wire.TypeList
	case codeData:
		return wire.TypeBinary
	case codeValue:
		return wire.TypeInvalid
	}
	return wire.TypeMap
}

func symbolic(d wire.Value) (uint64, bool) {
	name, _ := d.Bytes()
	switch string(name) {
	case "amqp:header:list":
		return codeHeader, true
	case "amqp:delivery-annotations:map":
		return codeDeliveryAnnotations, true
	case "amqp:message-annotations:map":
		return codeMessageAnnotations, true
	case "amqp:properties:list":
		return codeProperties, true
	case "amqp:application-properties:map":
		return codeApplicationProperties, true
	case "amqp:data:binary":
		return codeData, true
	case "amqp:amqp-sequence:list":
		return codeSequence, true
	case "amqp:amqp-value:*":
		return codeValue, true
	case "amqp:footer:map":
		return codeFooter, true
	}
	return 0, false
}

// add takes a section in, which must come after the last one or, in a body of
// data or sequences, be of its kind. A footer may stand before the body, which
// is where rhea, and so Azure's SDK for JavaScript, writes it.
func (m *Message) add(code, last uint64, s span) error {
	repeated := code == last && (code == codeData || code == codeSequence)
	body := code >= codeData && code <= codeValue
	late := last == codeFooter && body && m.kind == BodyNone
	if code <= last && !repeated && !late || code == codeFooter && m.parts[codeFooter-codeHeader].end != 0 {
		return ErrOrder
	}
	if body {
		if m.kind != BodyNone && !repeated {
			return ErrOrder
		}
		m.kind = BodyKind(code - codeData + 1)
		m.bodies++
	}
	p := &m.parts[code-codeHeader]
	if repeated {
		p.end = s.end
		return nil
	}
	*p = s
	return nil
}

// Raw returns the whole message as it came.
func (m *Message) Raw() []byte { return m.raw }

// value returns the content of a section, absent if there is none.
func (m *Message) value(code int) wire.Value {
	p := m.parts[code-codeHeader]
	if p.end == 0 {
		return wire.Value{}
	}
	return wire.Raw(m.raw[p.value:p.end:p.end])
}

// Bare returns the bytes of the message from its first section that is neither
// header nor annotations of any kind: the "bare message" and the footer, which
// an intermediary must not change (part 3.2).
func (m *Message) Bare() []byte {
	var first *span
	for i := range m.parts[codeProperties-codeHeader:] {
		p := &m.parts[codeProperties-codeHeader+i]
		if p.end != 0 && (first == nil || p.start < first.start) {
			first = p
		}
	}
	if first == nil {
		return nil
	}
	return m.raw[first.start:]
}

// DeliveryAnnotations returns the map of the section, absent if there is none.
func (m *Message) DeliveryAnnotations() wire.Value { return m.value(codeDeliveryAnnotations) }

// Annotations returns the map of message annotations, absent if there is none.
func (m *Message) Annotations() wire.Value { return m.value(codeMessageAnnotations) }

// ApplicationProperties returns the map of the section, absent if there is none.
func (m *Message) ApplicationProperties() wire.Value { return m.value(codeApplicationProperties) }

// Footer returns the map of the section, absent if there is none.
func (m *Message) Footer() wire.Value { return m.value(codeFooter) }

// BodyKind returns the form of the body.
func (m *Message) BodyKind() BodyKind { return m.kind }

// Bodies returns the number of body sections.
func (m *Message) Bodies() int { return m.bodies }

// Value returns the body of a message whose body is a value.
func (m *Message) Value() wire.Value { return m.value(codeValue) }

// Body returns the raw bytes of the body sections, descriptors and all.
func (m *Message) Body() []byte {
	for _, p := range m.parts[codeData-codeHeader : codeFooter-codeHeader] {
		if p.end != 0 {
			return m.raw[p.start:p.end]
		}
	}
	return nil
}

// Data ranges over the bytes of the data sections; in a batch (message format
// 0x80013700) each is a message of its own.
func (m *Message) Data() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for v := range m.sections(BodyData) {
			b, _ := v.Bytes()
			if !yield(b) {
				return
			}
		}
	}
}

// Sequences ranges over the lists of the sequence sections.
func (m *Message) Sequences() iter.Seq[wire.Value] { return m.sections(BodySequence) }

func (m *Message) sections(kind BodyKind) iter.Seq[wire.Value] {
	return func(yield func(wire.Value) bool) {
		if m.kind != kind {
			return
		}
		for rest := m.Body(); len(rest) > 0; {
			v, after, err := wire.Split(rest)
			if err != nil {
				return
			}
			rest = after
			_, content, _ := v.Described()
			if !yield(content) {
				return
			}
		}
	}
}
