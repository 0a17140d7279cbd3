package amqp1

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp/message"
	"github.com/gatehouse/gatehouse/amqp/wire"
	"github.com/gatehouse/gatehouse/inbox"
)

// A generator makes random messages: as clients of AMQP encode them, in all the
// ways that the standard allows, as other protocols bring them, and as handlers
// may have changed them.
type generator struct{ *rand.Rand }

// chance is true once in n times.
func (g *generator) chance(n int) bool { return g.IntN(n) == 0 }

func pick[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

// message returns a message as it comes out of a store.
func (g *generator) message(t *testing.T) *gatehouse.Message {
	t.Helper()
	m := g.envelope()
	if !g.chance(4) {
		m = g.decoded()
	}
	m = stored(t, m)
	m.Source = pick(g, "", m.Source, m.Source, m.Source, "/acme/$policies/backend")
	m.Position.Offset = gatehouse.Offset(g.Uint32())
	for g.chance(3) {
		g.change(m)
	}
	return m
}

// decoded returns a message that came by AMQP.
func (g *generator) decoded() *gatehouse.Message {
	for {
		if m, err := decode(g.encoded()); err == nil {
			return m
		}
	}
}

// delivery returns a delivery of m.
func (g *generator) delivery(m *gatehouse.Message) *inbox.Delivery {
	d := &inbox.Delivery{
		Message: m, Sequence: gatehouse.Offset(g.Uint64() >> g.IntN(64)), Enqueued: time.UnixMilli(g.Int64N(1e12)),
		Count: g.Uint32N(4), State: pick(g, inbox.Active, inbox.Deferred, inbox.Scheduled),
	}
	binary.BigEndian.PutUint64(d.Lock[3:], g.Uint64())
	if g.chance(2) {
		d.LockedUntil = d.Enqueued.Add(time.Minute)
	}
	switch g.IntN(4) {
	case 0:
		d.Expires = d.Enqueued.Add(time.Duration(g.IntN(1e6)) * time.Millisecond)
	case 1:
		d.Expires = m.Expires()
	}
	return d
}

// text returns a text of some length, now and then an empty one.
func (g *generator) text() string {
	switch g.IntN(12) {
	case 0:
		return ""
	case 1:
		return strings.Repeat("ü", 1+g.IntN(200))
	}
	return pick(g, "one", "pump-7", "/a/b", "text/plain", "größer", "1.0", "7", "true", "0a0b", "gatehouse.message")
}

func (g *generator) to() string {
	return pick(g, "", "endpoints/Panel", "Endpoints/panel", "channels/telemetry", "endpoints/a,channels/b", "endpoints/a,elsewhere", "amqp://x", "endpoints/")
}

// change does to m what a handler or a rule may do.
func (g *generator) change(m *gatehouse.Message) {
	switch g.IntN(14) {
	case 0:
		m.Subject = g.text()
	case 1:
		m.ID = "another"
	case 2:
		m.Body = make([]byte, g.IntN(600))
	case 3:
		m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: g.name(), Value: toValue(g.value(1))})
	case 4:
		m.Dead = &gatehouse.DeadLetter{Reason: g.text(), Description: g.text(), From: g.text()}
	case 5:
		m.TTL = pick(g, 0, time.Second, 100*24*time.Hour)
	case 6:
		m.NotBefore = time.UnixMilli(g.Int64N(1e12))
	case 7:
		m.Key = g.text()
	case 8:
		m.To = addresses(nil, g.to())
	case 9:
		m.Time = time.UnixMicro(g.Int64N(1e15))
	case 10:
		m.CorrelationID, m.ReplyTo, m.Group = g.text(), g.text(), g.text()
	case 11:
		m.Type, m.Schema, m.TraceParent, m.ContentType = g.text(), g.text(), g.text(), g.text()
	case 12:
		g.damage(m)
	default:
		if n := len(m.Attributes); n > 0 {
			m.Attributes[g.IntN(n)].Value = toValue(g.value(1))
		}
	}
}

// damage spoils what was kept of the original.
func (g *generator) damage(m *gatehouse.Message) {
	for i := range m.Attributes {
		a := &m.Attributes[i]
		if a.Name != NativeAttribute {
			continue
		}
		b := []byte(a.Value.Str())
		if g.chance(2) {
			b = b[:g.IntN(len(b)+1)]
		} else if len(b) > 0 {
			b[g.IntN(len(b))] ^= 1 << g.IntN(8)
		}
		a.Value = gatehouse.Binary(b)
	}
}

// envelope returns a message that came by another protocol.
func (g *generator) envelope() *gatehouse.Message {
	m := &gatehouse.Message{ID: g.text(), Body: make([]byte, g.IntN(400))}
	for range g.IntN(8) {
		g.change(m)
	}
	return m
}

// encoded returns a message that came by AMQP. It may be malformed.
func (g *generator) encoded() []byte {
	var dst []byte
	if g.chance(2) {
		dst = g.header(dst)
	}
	if g.chance(8) {
		dst = message.AppendDeliveryAnnotations(dst, wire.Map(wire.Symbol("a"), g.value(2)))
	}
	if g.chance(3) {
		dst = g.mapSection(dst, 0x72, "amqp:message-annotations:map", g.annotation)
	}
	if !g.chance(6) {
		dst = g.properties(dst)
	}
	if g.chance(2) {
		dst = g.mapSection(dst, 0x74, "amqp:application-properties:map", g.property)
	}
	footer := message.AppendFooter(nil, wire.Map(wire.Symbol("sum"), g.value(2)))
	early, late := g.chance(20), g.chance(10)
	if early {
		dst = append(dst, footer...)
	}
	dst = g.body(dst)
	if late && !early {
		dst = append(dst, footer...)
	}
	return dst
}

func (g *generator) header(dst []byte) []byte {
	return message.AppendHeader(dst, message.Header{
		Durable: g.chance(3), Priority: pick[uint8](g, 4, 4, 4, 0, 9), HasTTL: g.chance(2),
		TTL: pick(g, 0, time.Second, message.MaxTTL), DeliveryCount: g.Uint32N(3),
	})
}

// descriptor begins a section, in one of the ways that there are.
func (g *generator) descriptor(dst []byte, code byte, name string) []byte {
	switch g.IntN(12) {
	case 0:
		return wire.AppendSymbol(append(dst, 0), name)
	case 1:
		return append(dst, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, code)
	}
	return append(dst, 0, 0x53, code)
}

// long appends a text in its long form: code is that of the short one.
func long(dst []byte, code byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(append(dst, code|0x10), uint32(len(s))), s...)
}

// field appends a field that is a text.
func (g *generator) field(dst []byte, s string) []byte {
	switch g.IntN(10) {
	case 0:
		return wire.AppendNull(dst)
	case 1:
		return wire.AppendSymbol(dst, s)
	case 2:
		return long(dst, 0xa1, s)
	case 3:
		return long(dst, 0xa3, s)
	}
	return wire.AppendString(dst, s)
}

// id appends a message id, of one of the types that it may have or of another.
func (g *generator) id(dst []byte) []byte {
	switch g.IntN(8) {
	case 0:
		return wire.AppendNull(dst)
	case 1:
		return wire.AppendUlong(dst, g.Uint64()>>g.IntN(64))
	case 2:
		return wire.AppendUUID(dst, [16]byte{byte(g.IntN(256)), 15: 1})
	case 3:
		return wire.AppendBinary(dst, []byte(g.text()))
	case 4:
		return wire.AppendValue(dst, g.value(1))
	}
	return g.field(dst, g.text())
}

// properties appends properties up to any of their fields.
func (g *generator) properties(dst []byte) []byte {
	text := func(dst []byte) []byte { return g.field(dst, g.text()) }
	moment := func(dst []byte) []byte {
		if g.chance(2) {
			return wire.AppendNull(dst)
		}
		return wire.AppendMillis(dst, pick(g, g.Int64N(1e12), 0, -62135596800000))
	}
	all := []func([]byte) []byte{
		g.id, func(dst []byte) []byte { return wire.AppendBinary(dst, []byte(g.text())) },
		func(dst []byte) []byte { return g.field(dst, g.to()) }, text, text, g.id, text, text, moment, moment, text,
		func(dst []byte) []byte { return wire.AppendUint(dst, g.Uint32N(300)) }, text,
	}
	dst = g.descriptor(dst, 0x73, "amqp:properties:list")
	at, n := len(dst), g.IntN(len(all)+1)
	dst = wire.StartList(dst)
	sparse := g.chance(2)
	for _, field := range all[:n] {
		if sparse && g.chance(2) {
			dst = wire.AppendNull(dst)
		} else {
			dst = field(dst)
		}
	}
	return wire.EndList(dst, at, n)
}

// mapSection appends a section with some entries, now and then in the long
// form.
func (g *generator) mapSection(dst []byte, code byte, name string, entry func([]byte) []byte) []byte {
	dst = g.descriptor(dst, code, name)
	at, n := len(dst), g.IntN(6)
	dst = wire.StartMap(dst)
	for range n {
		dst = entry(dst)
	}
	if g.chance(6) {
		dst[at] = 0xd1
		binary.BigEndian.PutUint32(dst[at+1:], uint32(len(dst)-at-5))
		binary.BigEndian.PutUint32(dst[at+5:], uint32(2*n))
		return dst
	}
	return wire.EndMap(dst, at, n)
}

func (g *generator) annotation(dst []byte) []byte {
	switch g.IntN(6) {
	case 0:
		return wire.AppendValue(wire.AppendSymbol(dst, annotationKey), g.value(0))
	case 1:
		return wire.AppendMillis(wire.AppendSymbol(dst, annotationScheduled), g.Int64N(1e12))
	case 2:
		return wire.AppendString(wire.AppendSymbol(dst, annotationSource), "a lie")
	case 3:
		return wire.AppendValue(wire.AppendUlong(dst, 5), g.value(2))
	}
	return wire.AppendValue(g.field(dst, "x-opt-mine"), g.value(2))
}

// name returns the name of a property.
func (g *generator) name() string {
	return pick(g, "site", "unit", "größe", "site", "", "cloudEvents:odd", "DeadLetterReason", NativeAttribute)
}

func (g *generator) property(dst []byte) []byte {
	if g.chance(3) {
		return g.event(dst)
	}
	if g.chance(12) {
		return wire.AppendValue(wire.AppendValue(dst, g.value(0)), g.value(1))
	}
	return wire.AppendValue(g.field(dst, g.name()), g.value(1))
}

// event appends a property that is an attribute of a CloudEvent.
func (g *generator) event(dst []byte) []byte {
	name := pick(g, "id", "type", "subject", "dataschema", "source", "traceparent", "datacontenttype", "group",
		"correlationid", "replyto", "partitionkey", "Type", "extension", "Extension", "locktoken")
	value := g.field(nil, g.text())
	switch g.IntN(10) {
	case 0:
		name, value = "specversion", wire.AppendString(nil, "1.0")
	case 1:
		name, value = "time", wire.AppendMillis(nil, g.Int64N(1e12))
	case 2:
		name, value = "time", wire.AppendString(nil, "2030-01-31T12:00:00.123456Z")
	case 3:
		name, value = "ttl", wire.AppendString(nil, pick(g, "30", "1.5"))
	case 4:
		name, value = "to", wire.AppendString(nil, g.to())
	case 5:
		name, value = "extension", wire.AppendValue(nil, g.value(0))
	}
	return append(wire.AppendString(dst, pick(g, eventPrefix, eventPrefix, eventPrefixJMS)+name), value...)
}

// body appends a body of any kind, or none.
func (g *generator) body(dst []byte) []byte {
	size := pick(g, 0, 1, 100, 255, 256, 700)
	switch g.IntN(10) {
	case 0:
		return message.AppendBody(dst, g.value(2))
	case 1:
		for range 1 + g.IntN(3) {
			dst = message.AppendSequence(dst, wire.List(g.value(1), g.value(1)))
		}
		return dst
	case 2:
		for range 2 + g.IntN(2) {
			dst = message.AppendData(dst, make([]byte, size))
		}
		return dst
	case 3:
		return dst
	case 4: // with a head that is not the usual one
		return long(g.descriptor(dst, 0x75, "amqp:data:binary"), 0xa0, strings.Repeat("x", size))
	}
	return message.AppendData(dst, []byte(strings.Repeat("b", size)))
}
