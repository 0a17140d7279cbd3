package amqp1

import (
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp/message"
	"github.com/gatehouse/gatehouse/amqp/wire"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/record"
)

// BenchmarkEncode encodes messages for a receiver: one without an id, one as
// Azure's SDKs send it, a CloudEvent, and one that came by another protocol.
func BenchmarkEncode(b *testing.B) {
	body := make([]byte, 256)
	usual := message.AppendProperties(nil, &message.Properties{MessageID: wire.String("6f1c0a52-9c1d-8e03-a5f0-0000000004d2"), To: "endpoints/panel", Subject: "reading", ContentType: "application/json"})
	usual = message.AppendApplicationProperties(usual, wire.Map(wire.String("site"), wire.String("oslo"), wire.String("count"), wire.Int(7)))
	event := message.AppendApplicationProperties(nil, wire.Map(
		wire.String("cloudEvents:specversion"), wire.String("1.0"), wire.String("cloudEvents:id"), wire.String("4711"),
		wire.String("cloudEvents:type"), wire.String("com.example.reading"), wire.String("cloudEvents:source"), wire.String("/Acme/endpoints/pump-7"),
	))
	for name, m := range map[string]*gatehouse.Message{
		"no-id": came(b, message.AppendData(message.AppendProperties(nil, &message.Properties{To: "endpoints/panel"}), body)),
		"usual": came(b, message.AppendData(usual, body)),
		"event": came(b, message.AppendData(event, body)),
		"other": {ID: "4711", To: []string{"endpoints/panel"}, Subject: "a/b", Body: body, Source: "/Acme/endpoints/pump-7"},
	} {
		now := time.UnixMilli(1e12)
		d := &inbox.Delivery{Message: m, Sequence: 7e6, Enqueued: now, LockedUntil: now.Add(time.Minute), Count: 1}
		b.Run(name, func(b *testing.B) {
			e := new(encoder)
			b.ReportAllocs()
			for b.Loop() {
				e.delivery(d, d.LockedUntil, 0, false)
			}
		})
	}
}

// came returns a message as it comes out of a store.
func came(b *testing.B, raw []byte) *gatehouse.Message {
	m, err := decode(raw)
	must(b, err)
	m.Source = "/Acme/endpoints/pump-7"
	if m.ID == "" {
		m.ID = "6f1c0a52-9c1d-8e03-a5f0-0000000004d2"
	}
	m, err = record.Decode(record.Append(nil, m))
	must(b, err)
	return m
}
