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

// An encoder encodes one message after the other, with memory it keeps: the
// head of what it returns is good until it is used again.
type encoder struct {
	annotator
	room     []byte // of kept
	kept     native
	sections message.Message // of kept
	reading  reading         // of sections
	tag      [16]byte        // of the delivery
}

// encoder returns an encoder; putEncoder takes it back.
func (a *Adapter) encoder() *encoder { return a.encoders.Get().(*encoder) }

func (a *Adapter) putEncoder(e *encoder) {
	if cap(e.dst)+cap(e.room) <= maxKept {
		e.kept, e.sections, e.reading = native{}, message.Message{}, reading{}
		a.encoders.Put(e)
	}
}

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

// encodeDelivery returns a message of an inbox: see encoder.delivery.
func encodeDelivery(d *inbox.Delivery, failed uint32, token bool) encoded {
	return new(encoder).delivery(d, d.LockedUntil, failed, token)
}

// delivery returns a message of an inbox as Service Bus has it. failed is how
// often it was delivered in vain. With a lock token it is one that was received
// through $management.
func (e *encoder) delivery(d *inbox.Delivery, locked time.Time, failed uint32, token bool) encoded {
	m := d.Message
	n := e.keeps(m)
	h := message.Header{Priority: message.DefaultPriority, DeliveryCount: failed, HasTTL: true, TTL: timeToLive(d)}
	if n != nil {
		h.Durable, h.Priority = n.header.Durable, n.header.Priority
	}
	dst := message.AppendHeader(e.dst[:0], h)
	if token {
		dst = message.AppendDeliveryAnnotations(dst, wire.Map(wire.Symbol(annotationLockToken), wire.UUID(d.Lock)))
	}
	e.annotator = startAnnotations(dst)
	e.long(annotationSequence, int64(d.Sequence))
	e.time(annotationEnqueued, d.Enqueued)
	if !locked.IsZero() {
		e.time(annotationLocked, locked)
	}
	e.key(annotationState)
	e.dst = wire.AppendInt(e.dst, stateOf(d.State))
	if m.Key != "" {
		e.text(annotationKey, m.Key)
	}
	if m.Dead != nil && m.Dead.From != "" {
		e.text(annotationDead, m.Dead.From)
	}
	return e.finish(m, n, true)
}

// keeps returns what m keeps of its original, or nil.
func (e *encoder) keeps(m *gatehouse.Message) *native {
	if e.dst == nil {
		e.dst = make([]byte, 0, 512)
	}
	if !e.kept.read(m, &e.room) {
		return nil
	}
	return &e.kept
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

// encodeEvent returns a message of a channel: see encoder.event.
func encodeEvent(m *gatehouse.Message) encoded { return new(encoder).event(m) }

// event returns a message of a channel as Event Hubs has it.
func (e *encoder) event(m *gatehouse.Message) encoded {
	n := e.keeps(m)
	h := message.Header{Priority: message.DefaultPriority, HasTTL: m.TTL > 0, TTL: min(m.TTL, message.MaxTTL)}
	if n != nil {
		h.Durable, h.Priority = n.header.Durable, n.header.Priority
	}
	e.annotator = startAnnotations(message.AppendHeader(e.dst[:0], h))
	e.long(annotationSequence, int64(m.Position.Offset))
	e.text(annotationOffset, strconv.FormatUint(uint64(m.Position.Offset), 10))
	e.time(annotationEnqueued, m.Enqueued)
	publisher := publisherOf(m.Source)
	switch {
	case m.Key != "":
		e.text(annotationKey, m.Key)
	case publisher != "":
		e.text(annotationKey, publisher)
	}
	if publisher != "" {
		e.text(annotationPublisher, publisher)
	}
	return e.finish(m, n, false)
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
func (e *encoder) finish(m *gatehouse.Message, n *native, id bool) encoded {
	if !m.NotBefore.IsZero() {
		e.time(annotationScheduled, m.NotBefore)
	}
	if m.Source != "" {
		e.text(annotationSource, m.Source)
	}
	exact := e.exactly(m, n)
	nameless := exact && e.reading.MessageID.IsAbsent()
	if nameless {
		e.text(annotationID, m.ID)
	}
	if n != nil && len(n.annotations) > 0 {
		e.others(n.annotations)
	}
	e.dst = wire.EndMap(e.dst, e.at, e.n)
	if !exact {
		e.dst = appendHead(e.dst, m, n, m.Source)
		return encoded{e.dst, m.Body}
	}
	head := n.head
	if nameless && id {
		head = e.giveID(m.ID, head)
	}
	e.dst = append(e.dst, head...)
	if !n.verbatim {
		return encoded{head: e.dst}
	}
	if len(n.tail) > 0 {
		e.dst = append(append(e.dst, m.Body...), n.tail...)
		return encoded{head: e.dst}
	}
	return encoded{e.dst, m.Body}
}

// giveID appends the properties that were read, with an id, and returns head
// without properties.
func (e *encoder) giveID(id string, head []byte) []byte {
	var room [64]byte
	p := e.reading.Fields
	p.MessageID = wire.Raw(wire.AppendString(room[:0], id))
	e.dst = message.AppendFields(e.dst, &p)
	if hasProperties(head) {
		_, head, _ = wire.Split(head)
	}
	return head
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

// exactly reports whether the sections around the body as they came still say
// what m does.
func (e *encoder) exactly(m *gatehouse.Message, n *native) bool {
	if n == nil || m.Dead != nil {
		return false
	}
	var ok bool
	e.sections, ok = n.sections()
	return ok && n.fits(len(m.Body)) && e.reading.says(&e.sections, n.verbatim, m)
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
	var id, correlation [64]byte
	named := p // not p itself, so that the two arrays stay on the stack
	named.MessageID = textIn(id[:0], p.MessageID, m.ID)
	named.CorrelationID = textIn(correlation[:0], p.CorrelationID, m.CorrelationID)
	dst = message.AppendProperties(dst, &named)
	dst = appendApplication(dst, m, original, source)
	return message.AppendDataHeader(dst, len(m.Body))
}

// textIn returns v if it says s, and otherwise s, in room if it fits.
func textIn(room []byte, v wire.Value, s string) wire.Value {
	switch {
	case !v.IsNull() && isText(v, s):
		return v
	case s == "":
		return wire.Value{}
	}
	return wire.Raw(wire.AppendString(room, s))
}

// fillProperties sets p, but for its ids, to what m says, keeping what m cannot
// say.
func fillProperties(p *message.Properties, m *gatehouse.Message) {
	if len(m.To) > 0 || len(addresses(nil, p.To)) > 0 {
		p.To = strings.Join(m.To, ",")
	}
	p.Subject, p.ReplyTo, p.ContentType, p.GroupID = m.Subject, m.ReplyTo, m.ContentType, m.Group
	if !p.CreationTime.Equal(m.Time) {
		p.CreationTime = time.Time{}
	}
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
