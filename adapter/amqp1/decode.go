package amqp1

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp/message"
	"github.com/gatehouse/gatehouse/amqp/wire"
	"github.com/gatehouse/gatehouse/cloudevents"
)

// Annotations that clients and the gateway use.
const (
	annotationKey       = "x-opt-partition-key"
	annotationViaKey    = "x-opt-via-partition-key"
	annotationScheduled = "x-opt-scheduled-enqueue-time"
	annotationSequence  = "x-opt-sequence-number"
	annotationOffset    = "x-opt-offset"
	annotationEnqueued  = "x-opt-enqueued-time"
	annotationLocked    = "x-opt-locked-until"
	annotationState     = "x-opt-message-state"
	annotationDead      = "x-opt-deadletter-source"
	annotationEnqueueNo = "x-opt-enqueue-sequence-number"
	annotationPublisher = "x-opt-publisher"
	annotationLockToken = "x-opt-lock-token"

	annotationSource = "x-gatehouse-source" // who sent it, as the gate has proven
	annotationID     = "x-gatehouse-id"     // of a message that came without one
)

// isOurs reports whether an annotation says what only a gateway can say, so
// that what a sender says there is not passed on.
func isOurs(key string) bool {
	switch key {
	case annotationSequence, annotationOffset, annotationEnqueued, annotationLocked, annotationState, annotationDead,
		annotationEnqueueNo, annotationPublisher, annotationLockToken, annotationSource, annotationID,
		annotationKey, annotationViaKey, annotationScheduled:
		return true
	}
	return false
}

// The prefixes of CloudEvents attributes among the application properties
// (CloudEvents AMQP binding, section 3.1.3).
const (
	eventPrefix    = "cloudEvents:"
	eventPrefixJMS = "cloudEvents_"
)

// decode returns an encoded message in the envelope: see decoder.decode.
func decode(raw []byte) (*gatehouse.Message, error) {
	m := new(gatehouse.Message)
	return m, new(decoder).decode(raw, m)
}

// A decoder decodes one message after the other, with memory it keeps.
type decoder struct {
	sections message.Message
	scratch  []byte
}

// decode sets m, which must be empty but for memory to be used, to an encoded
// message in the envelope, with what the envelope cannot express in
// NativeAttribute. It aliases raw.
func (d *decoder) decode(raw []byte, m *gatehouse.Message) error {
	var err error
	s := &d.sections
	if *s, err = message.Parse(raw); err != nil {
		return gatehouse.Errorf(gatehouse.Invalid, "the message is malformed: %w", err)
	}
	if err := readBare(s, m); err != nil {
		return err
	}
	m.Source = ""
	h, err := s.Header()
	if err != nil {
		return gatehouse.Errorf(gatehouse.Invalid, "the message's header is malformed: %w", err)
	}
	if h.HasTTL && h.TTL < message.MaxTTL {
		m.TTL = h.TTL
	}
	d.keepNative(m, h, readAnnotations(s, m))
	return nil
}

// readAnnotations reads message annotations, and returns how many there are
// that the envelope cannot express.
func readAnnotations(s *message.Message, m *gatehouse.Message) (others int) {
	for k, v := range s.Annotations().Entries() {
		key, _ := k.Bytes()
		switch string(key) {
		case annotationKey:
			if text := toText(v); text != "" {
				m.Key = text
			}
		case annotationScheduled:
			if t, ok := v.Time(); ok {
				m.NotBefore = t
			}
		default:
			if !isOurs(string(key)) {
				others++
			}
		}
	}
	return others
}

// readBare reads the bare message: properties, application properties, body.
func readBare(s *message.Message, m *gatehouse.Message) error {
	p, err := s.Properties()
	if err != nil {
		return gatehouse.Errorf(gatehouse.Invalid, "the message's properties are malformed: %w", err)
	}
	m.ID = toText(p.MessageID)
	m.Subject, m.ReplyTo, m.ContentType, m.Group = p.Subject, p.ReplyTo, p.ContentType, p.GroupID
	m.CorrelationID = toText(p.CorrelationID)
	m.Time = p.CreationTime
	m.To = addresses(m.To[:0], p.To)
	if err := readProperties(s.ApplicationProperties(), m); err != nil {
		return err
	}
	readBody(s, m)
	return nil
}

// addresses appends the addresses in the to property to dst; none if it is not
// a list of such.
func addresses(dst []string, to string) []string {
	if to == "" {
		return dst
	}
	all := dst
	for a := range strings.SplitSeq(to, ",") {
		if _, _, ok := gatehouse.SplitAddress(a); !ok {
			return dst
		}
		all = append(all, a)
	}
	return all
}

// readProperties reads application properties: attributes, and what has the
// prefix of CloudEvents.
func readProperties(all wire.Value, m *gatehouse.Message) error {
	if n := all.Len(); n > 0 {
		m.Attributes = slices.Grow(m.Attributes, n+1) // and NativeAttribute
	}
	for key, value := range all.Entries() {
		name := toText(key)
		if name == NativeAttribute {
			continue // reserved
		}
		short, ok := eventName(name)
		if !ok {
			m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: name, Value: toValue(value)})
			continue
		}
		if err := readEvent(m, short, value); err != nil {
			return err
		}
	}
	return nil
}

// eventName returns the name of a CloudEvents attribute without its prefix.
func eventName[T string | []byte](name T) (short T, ok bool) {
	const n = len(eventPrefix) // and that of the other
	if len(name) >= n && (string(name[:n]) == eventPrefix || string(name[:n]) == eventPrefixJMS) {
		return name[n:], true
	}
	return name, false
}

// readEvent reads a CloudEvents attribute. An extension keeps its type.
func readEvent(m *gatehouse.Message, name string, value wire.Value) error {
	v := toValue(value)
	if v.Type() == gatehouse.TypeNull {
		return nil
	}
	text := v.Text()
	if v.Type() == gatehouse.TypeTimestamp {
		text = v.Time().Format(time.RFC3339Nano)
	}
	before := len(m.Attributes)
	if err := cloudevents.Set(m, name, text); err != nil {
		return err
	}
	if len(m.Attributes) == before+1 && m.Attributes[before].Name == strings.ToLower(name) {
		m.Attributes[before].Value = v
	}
	return nil
}

// readBody makes bytes of the body: those of data sections, those of a value
// that is text or binary, and otherwise the value or the sequences as JSON.
func readBody(s *message.Message, m *gatehouse.Message) {
	switch s.BodyKind() {
	case message.BodyData:
		if s.Bodies() == 1 {
			for data := range s.Data() {
				m.Body = data
			}
			return
		}
		var all bytes.Buffer
		for data := range s.Data() {
			all.Write(data)
		}
		m.Body = all.Bytes()
	case message.BodyValue:
		v := s.Value()
		if b, ok := v.Bytes(); ok {
			m.Body = b
			return
		}
		m.Body = []byte(cloudevents.Text(toValue(v)))
	case message.BodySequence:
		var all []gatehouse.Value
		for list := range s.Sequences() {
			all = append(all, toValue(list).List()...)
		}
		m.Body = []byte(cloudevents.Text(gatehouse.List(all...)))
	}
}
