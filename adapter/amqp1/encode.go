package amqp1

import (
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp/message"
	"github.com/gatehouse/gatehouse/amqp/wire"
	"github.com/gatehouse/gatehouse/cloudevents"
	"github.com/gatehouse/gatehouse/inbox"
)

// An encoded message is what is sent of it.
type encoded struct{ head, body []byte }

// bytes returns the message in one piece.
func (e encoded) bytes() []byte { return append(e.head, e.body...) }

// Properties of a dead letter.
const (
	propertyReason      = "DeadLetterReason"
	propertyDescription = "DeadLetterErrorDescription"
)

// Values of annotationState.
const (
	stateActive    = 0
	stateDeferred  = 1
	stateScheduled = 2
)

// encodeDelivery returns a message of an inbox as Service Bus has it. failed is
// how often it was delivered in vain. With a lock token it is one that was
// received through $management.
func encodeDelivery(d *inbox.Delivery, failed uint32, token bool) encoded {
	m := d.Message
	n := nativeOf(m)
	h := message.Header{Priority: message.DefaultPriority, DeliveryCount: failed, HasTTL: true, TTL: timeToLive(d)}
	if n != nil {
		h.Durable, h.Priority = n.header.Durable, n.header.Priority
	}
	dst := message.AppendHeader(make([]byte, 0, 512), h)
	if token {
		dst = message.AppendDeliveryAnnotations(dst, wire.Map(wire.Symbol(annotationLockToken), wire.UUID(d.Lock)))
	}
	a := startAnnotations(dst)
	a.long(annotationSequence, int64(d.Sequence))
	a.time(annotationEnqueued, d.Enqueued)
	if !d.LockedUntil.IsZero() {
		a.time(annotationLocked, d.LockedUntil)
	}
	a.key(annotationState)
	a.dst = wire.AppendInt(a.dst, stateOf(d.State))
	if m.Key != "" {
		a.text(annotationKey, m.Key)
	}
	if m.Dead != nil && m.Dead.From != "" {
		a.text(annotationDead, m.Dead.From)
	}
	return a.finish(m, n, true)
}

func stateOf(s inbox.State) int32 {
	switch s {
	case inbox.Deferred:
		return stateDeferred
	case inbox.Scheduled:
		return stateScheduled
	}
	return stateActive
}

// timeToLive is how long a message lives: as its sender said, unless the inbox
// keeps it less long.
func timeToLive(d *inbox.Delivery) time.Duration {
	switch {
	case d.Expires.IsZero():
		return message.MaxTTL
	case d.Message.TTL > 0 && !d.Expires.Before(d.Message.Expires().Truncate(time.Millisecond)):
		return min(d.Message.TTL, message.MaxTTL)
	}
	return max(d.Expires.Sub(d.Enqueued), 0)
}

// encodeEvent returns a message of a channel as Event Hubs has it.
func encodeEvent(m *gatehouse.Message) encoded {
	n := nativeOf(m)
	h := message.Header{Priority: message.DefaultPriority, HasTTL: m.TTL > 0, TTL: min(m.TTL, message.MaxTTL)}
	if n != nil {
		h.Durable, h.Priority = n.header.Durable, n.header.Priority
	}
	a := startAnnotations(message.AppendHeader(make([]byte, 0, 512), h))
	a.long(annotationSequence, int64(m.Position.Offset))
	a.text(annotationOffset, strconv.FormatUint(uint64(m.Position.Offset), 10))
	a.time(annotationEnqueued, m.Enqueued)
	publisher := publisherOf(m.Source)
	switch {
	case m.Key != "":
		a.text(annotationKey, m.Key)
	case publisher != "":
		a.text(annotationKey, publisher)
	}
	if publisher != "" {
		a.text(annotationPublisher, publisher)
	}
	return a.finish(m, n, false)
}

// publisherOf returns the endpoint that a source names, or "".
func publisherOf(source string) string {
	const segment = "/endpoints/"
	if i := strings.LastIndex(source, segment); i >= 0 {
		return source[i+len(segment):]
	}
	return ""
}

// An annotator appends message annotations.
type annotator struct {
	dst []byte
	at  int
	n   int
}

func startAnnotations(dst []byte) annotator {
	dst, at := message.StartAnnotations(dst)
	return annotator{dst: dst, at: at}
}

func (a *annotator) key(name string) {
	a.n++
	a.dst = wire.AppendSymbol(a.dst, name)
}

func (a *annotator) long(name string, n int64) {
	a.key(name)
	a.dst = wire.AppendLong(a.dst, n)
}

func (a *annotator) text(name, s string) {
	a.key(name)
	a.dst = wire.AppendString(a.dst, s)
}

func (a *annotator) time(name string, t time.Time) {
	a.key(name)
	a.dst = wire.AppendTimestamp(a.dst, t)
}

// finish appends the annotations that every message has, and the rest of it.
// With id, it has one in its properties in any case: Azure's SDK for JavaScript
// cannot settle what has none.
func (a *annotator) finish(m *gatehouse.Message, n *native, id bool) encoded {
	if !m.NotBefore.IsZero() {
		a.time(annotationScheduled, m.NotBefore)
	}
	if m.Source != "" {
		a.text(annotationSource, m.Source)
	}
	s, exact := exactly(m, n)
	if exact && s.MessageID().IsNull() {
		a.text(annotationID, m.ID)
	}
	if n != nil && len(n.annotations) > 0 {
		a.others(n.annotations)
	}
	dst := wire.EndMap(a.dst, a.at, a.n)
	if !exact {
		return encoded{appendHead(dst, m, n, m.Source), m.Body}
	}
	head := n.head
	if id && s.MessageID().IsNull() {
		p, _ := s.Properties()
		p.MessageID = wire.String(m.ID)
		dst = message.AppendProperties(dst, &p)
		if hasProperties(head) {
			_, head, _ = wire.Split(head)
		}
	}
	dst = append(dst, head...)
	if !n.verbatim {
		return encoded{head: dst}
	}
	if len(n.tail) > 0 {
		return encoded{head: append(append(dst, m.Body...), n.tail...)}
	}
	return encoded{dst, m.Body}
}

// others appends the sender's own annotations.
func (a *annotator) others(encoded []byte) {
	v, _, err := wire.Split(encoded)
	if err != nil {
		return
	}
	for key, value := range v.Entries() {
		if k, ok := key.Bytes(); ok && isOurs(string(k)) {
			continue
		}
		a.n++
		a.dst = wire.AppendValue(wire.AppendValue(a.dst, key), value)
	}
}

// exactly returns the sections around the body as they came, and whether they
// still say what m does.
func exactly(m *gatehouse.Message, n *native) (message.Message, bool) {
	if n == nil || m.Dead != nil {
		return message.Message{}, false
	}
	s, ok := n.sections()
	return s, ok && n.fits(len(m.Body)) && says(&s, n.verbatim, m)
}

// hasProperties reports whether a bare message begins with properties.
func hasProperties(bare []byte) bool {
	return len(bare) > 3 && bare[0] == 0 && (bare[1] == 0x53 && bare[2] == 0x73 || bare[1] == 0x80)
}

// appendHead appends what goes before the body of m: properties, application
// properties and the head of a data section. What n, if it is not nil, has of
// the original is used where it still fits. source is left out if it is empty.
func appendHead(dst []byte, m *gatehouse.Message, n *native, source string) []byte {
	var p message.Properties
	var original wire.Value
	if n != nil {
		if s, ok := n.sections(); ok {
			p, _ = s.Properties()
			original = s.ApplicationProperties()
		}
	}
	fillProperties(&p, m)
	dst = message.AppendProperties(dst, &p)
	dst = appendApplication(dst, m, original, source)
	return message.AppendDataHeader(dst, len(m.Body))
}

// fillProperties sets p to what m says, keeping what m cannot say.
func fillProperties(p *message.Properties, m *gatehouse.Message) {
	if toText(p.MessageID) != m.ID || p.MessageID.IsNull() {
		p.MessageID = textOrAbsent(m.ID)
	}
	if toText(p.CorrelationID) != m.CorrelationID || p.CorrelationID.IsNull() {
		p.CorrelationID = textOrAbsent(m.CorrelationID)
	}
	if len(m.To) > 0 || len(addresses(nil, p.To)) > 0 {
		p.To = strings.Join(m.To, ",")
	}
	p.Subject, p.ReplyTo, p.ContentType, p.GroupID = m.Subject, m.ReplyTo, m.ContentType, m.Group
	if !p.CreationTime.Equal(m.Time) {
		p.CreationTime = time.Time{}
	}
}

func textOrAbsent(s string) wire.Value {
	if s == "" {
		return wire.Value{}
	}
	return wire.String(s)
}

// appendApplication appends the application properties, if there are any.
func appendApplication(dst []byte, m *gatehouse.Message, original wire.Value, source string) []byte {
	start := len(dst)
	dst, at := message.StartApplicationProperties(dst)
	n := 0
	text := func(name, value string) {
		if value != "" {
			n++
			dst = wire.AppendString(wire.AppendString(dst, name), value)
		}
	}
	if m.Type != "" {
		text(eventPrefix+"specversion", cloudevents.SpecVersion)
		text(eventPrefix+"id", m.ID)
		text(eventPrefix+"source", source)
		text(eventPrefix+"type", m.Type)
	}
	text(eventPrefix+"dataschema", m.Schema)
	text(eventPrefix+"traceparent", m.TraceParent)
	if !m.Time.IsZero() {
		n++
		dst = appendTime(wire.AppendString(dst, eventPrefix+"time"), m.Time)
	}
	if m.TTL > message.MaxTTL {
		text(eventPrefix+"ttl", strconv.FormatInt(int64(m.TTL/time.Second), 10))
	}
	if d := m.Dead; d != nil {
		text(propertyReason, d.Reason)
		text(propertyDescription, d.Description)
	}
	for i := range m.Attributes {
		a := &m.Attributes[i]
		if a.Name == NativeAttribute || m.Dead != nil && (a.Name == propertyReason || a.Name == propertyDescription) {
			continue
		}
		n++
		dst = appendAttribute(dst, a, original)
	}
	if n == 0 {
		return dst[:start]
	}
	return wire.EndMap(dst, at, n)
}

// appendTime appends a time as a timestamp, or as text if that would lose some
// of it.
func appendTime(dst []byte, t time.Time) []byte {
	if t.Nanosecond()%int(time.Millisecond) == 0 {
		return wire.AppendTimestamp(dst, t)
	}
	return wire.AppendString(dst, t.UTC().Format(time.RFC3339Nano))
}

// appendAttribute appends an attribute, in the original's type if its value is
// the same. A name that would be taken for an attribute of CloudEvents, which
// the gate vouches for, is changed.
func appendAttribute(dst []byte, a *gatehouse.Attribute, original wire.Value) []byte {
	name := a.Name
	if _, ok := eventName(name); ok {
		name = "x-" + name
	}
	dst = wire.AppendString(dst, name)
	if v := original.Get(a.Name); !v.IsAbsent() && equal(toValue(v), a.Value) {
		return wire.AppendValue(dst, v)
	}
	return appendAny(dst, a.Value)
}
