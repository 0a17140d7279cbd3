package amqp1

import (
	"bytes"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp/message"
	"github.com/gatehouse/gatehouse/amqp/wire"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/record"
)

// odd returns messages as clients encode them, with what the envelope cannot
// express.
func odd() map[string][]byte {
	properties := message.AppendProperties(nil, &message.Properties{
		MessageID: wire.UUID([16]byte{1, 2, 3}), UserID: []byte("me"), To: "amqp://elsewhere", Subject: "s", ReplyTo: "r",
		CorrelationID: wire.Ulong(7), ContentType: "text/plain", ContentEncoding: "gzip", AbsoluteExpiryTime: time.UnixMilli(5),
		CreationTime: time.UnixMilli(4), GroupID: "g", GroupSequence: 3, HasGroupSequence: true, ReplyToGroupID: "rg",
	})
	types := wire.Map(
		wire.String("int"), wire.Int(5), wire.String("uint"), wire.Uint(5), wire.String("double"), wire.Double(1.5),
		wire.String("symbol"), wire.Symbol("sym"), wire.String("null"), wire.Null(), wire.String("bool"), wire.Bool(true),
		wire.String("time"), wire.Timestamp(time.UnixMilli(1)), wire.String("array"), wire.Longs(1, 2),
		wire.String("map"), wire.Map(wire.Symbol("k"), wire.Ulong(1)), wire.String("int"), wire.Int(6),
		wire.String("cloudEvents:type"), wire.String("t"), wire.String("cloudEvents_subject"), wire.String("s2"),
	)
	applied := message.AppendApplicationProperties(bytes.Clone(properties), types)
	value := func(v wire.Value) []byte { return message.AppendBody(bytes.Clone(applied), v) }
	wide := append(bytes.Clone(applied), 0, 0x53, 0x75, 0xb0, 0, 0, 0, 2, 'h', 'i')
	return map[string][]byte{
		"data":            message.AppendData(bytes.Clone(applied), []byte("hello")),
		"wide data":       wide,
		"empty data":      message.AppendData(bytes.Clone(properties), nil),
		"early footer":    message.AppendData(message.AppendFooter(bytes.Clone(applied), wire.Map(wire.Symbol("x"), wire.Int(1))), []byte("hello")),
		"footer":          message.AppendFooter(message.AppendData(bytes.Clone(applied), []byte("hello")), wire.Map(wire.Symbol("x"), wire.Int(1))),
		"two data":        message.AppendData(message.AppendData(bytes.Clone(applied), []byte("he")), []byte("llo")),
		"text":            value(wire.String("hello")),
		"number":          value(wire.Int(4)),
		"map":             value(wire.Map(wire.String("a"), wire.Binary([]byte{1}), wire.Int(4), wire.Null())),
		"described":       value(wire.Describe(wire.Symbol("d"), wire.List(wire.Bool(true)))),
		"sequences":       message.AppendSequence(message.AppendSequence(bytes.Clone(applied), wire.List(wire.Int(1))), wire.List()),
		"no body":         applied,
		"large":           message.AppendData(bytes.Clone(applied), bytes.Repeat([]byte("x"), 300)),
		"no properties":   message.AppendData(nil, []byte("hello")),
		"only properties": properties,
		"plain":           message.AppendData(message.AppendProperties(nil, &message.Properties{MessageID: wire.String("1")}), []byte("x")),
	}
}

// stored returns a message as it comes out of a store, once the gate had it.
func stored(t *testing.T, m *gatehouse.Message) *gatehouse.Message {
	t.Helper()
	if m.ID == "" {
		m.ID = "made-by-the-gate"
	}
	m.Source, m.Enqueued = "/acme/endpoints/pump-7", time.UnixMilli(1000).UTC()
	out, err := record.Decode(record.Append(nil, m))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBareMessagesSurvive(t *testing.T) {
	t.Parallel()
	for name, bare := range odd() {
		m, err := decode(bytes.Clone(bare))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		m = stored(t, m)
		for kind, e := range map[string]encoded{
			"event":    encodeEvent(m),
			"delivery": encodeDelivery(&inbox.Delivery{Message: m, Enqueued: m.Enqueued}, 0, false),
		} {
			s, err := message.Parse(e.bytes())
			if err != nil {
				t.Errorf("%s as %s: %v", name, kind, err)
				continue
			}
			want := bare
			if name == "no properties" && kind == "delivery" { // clients of queues need some
				want = append(message.AppendProperties(nil, &message.Properties{MessageID: wire.String("made-by-the-gate")}), bare...)
			}
			if !bytes.Equal(s.Bare(), want) {
				t.Errorf("%s as %s:\n%x\nbecame\n%x", name, kind, want, s.Bare())
			}
		}
	}
}

func TestPlainMessagesKeepNothing(t *testing.T) {
	t.Parallel()
	for _, raw := range [][]byte{odd()["plain"], func() []byte {
		m := &gatehouse.Message{ID: "1", Body: []byte("x"), Group: "g", Attributes: []gatehouse.Attribute{{Name: "a", Value: gatehouse.Int64(1)}}}
		return append(appendHead(nil, m, nil, ""), m.Body...)
	}()} {
		m, err := decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		if _, kept := m.Attribute(NativeAttribute); kept {
			t.Errorf("kept of %x", raw)
		}
	}
}

func TestAnnotationsAndHeaderSurvive(t *testing.T) {
	t.Parallel()
	raw := message.AppendHeader(nil, message.Header{Durable: true, Priority: 7, HasTTL: true, TTL: time.Minute})
	raw = message.AppendAnnotations(raw, wire.Map(
		wire.Symbol("mine"), wire.Int(5), wire.Symbol(annotationSequence), wire.String("a lie"), wire.Symbol(annotationKey), wire.String("k"),
		wire.Symbol(annotationScheduled), wire.Timestamp(time.UnixMilli(5000)), wire.Symbol(annotationSource), wire.String("a lie"),
	))
	m, err := decode(append(raw, odd()["data"]...))
	if err != nil {
		t.Fatal(err)
	}
	if m.Key != "k" || m.TTL != time.Minute || m.NotBefore.UnixMilli() != 5000 {
		t.Errorf("%+v", m)
	}
	m = stored(t, m)
	m.Position.Offset = 9
	s, err := message.Parse(encodeEvent(m).bytes())
	if err != nil {
		t.Fatal(err)
	}
	if h, err := s.Header(); err != nil || !h.Durable || h.Priority != 7 || h.TTL != time.Minute {
		t.Errorf("%+v, %v", h, err)
	}
	a := s.Annotations()
	if n, _ := a.Get("mine").Int64(); n != 5 || a.Get("mine").Type() != wire.TypeInt {
		t.Errorf("%v", a.Get("mine"))
	}
	if n, _ := a.Get(annotationSequence).Int64(); n != 9 || !a.Get(annotationKey).Is("k") || !a.Get(annotationSource).Is(m.Source) {
		t.Error("annotations of the gateway")
	}
	seen := 0
	for k := range a.Entries() {
		if k.Is(annotationSequence) {
			seen++
		}
	}
	if seen != 1 {
		t.Errorf("%d sequence numbers", seen)
	}
}

// What the envelope says counts: a handler may have changed it, and a sender
// on another protocol may have made the attribute up.
func TestChangedMessagesAreEncodedAnew(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*gatehouse.Message){
		"subject":   func(m *gatehouse.Message) { m.Subject = "another" },
		"attribute": func(m *gatehouse.Message) { m.Attributes[0].Value = gatehouse.Int64(99) },
		"added": func(m *gatehouse.Message) {
			m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: "new", Value: gatehouse.Int64(1)})
		},
		"body":   func(m *gatehouse.Message) { m.Body = []byte("another") },
		"id":     func(m *gatehouse.Message) { m.ID = "another" },
		"source": func(m *gatehouse.Message) { m.Dead = &gatehouse.DeadLetter{Reason: "R", Description: "D"} },
	} {
		for _, kind := range []string{"data", "text"} {
			m, err := decode(bytes.Clone(odd()[kind]))
			if err != nil {
				t.Fatal(err)
			}
			m = stored(t, m)
			change(m)
			s, err := message.Parse(encodeEvent(m).bytes())
			if err != nil {
				t.Fatalf("%s of %s: %v", name, kind, err)
			}
			var got gatehouse.Message
			if err := readBare(&s, &got); err != nil {
				t.Fatal(err)
			}
			if m.Dead != nil {
				if !s.ApplicationProperties().Get(propertyReason).Is("R") || !s.ApplicationProperties().Get(propertyDescription).Is("D") {
					t.Error("a dead letter without its reason")
				}
				continue
			}
			if got.Subject != m.Subject || got.ID != m.ID || !bytes.Equal(got.Body, m.Body) || !sameAttributes(got.Attributes, m.Attributes) {
				t.Errorf("%s of %s: %+v is not %+v", name, kind, got, *m)
			}
			if v := s.ApplicationProperties().Get("uint"); v.Type() != wire.TypeUint {
				t.Errorf("%s of %s: an unchanged property has become a %v", name, kind, v.Type())
			}
		}
	}
}

// A sender cannot say in another's name who has sent a message.
func TestSourceIsTheGates(t *testing.T) {
	t.Parallel()
	raw := message.AppendProperties(nil, &message.Properties{MessageID: wire.String("1")})
	raw = message.AppendApplicationProperties(raw, wire.Map(
		wire.String("cloudEvents:source"), wire.String("/acme/endpoints/another"), wire.String("cloudEvents:type"), wire.String("t"),
	))
	m, err := decode(message.AppendData(raw, []byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	m = stored(t, m)
	s, err := message.Parse(encodeEvent(m).bytes())
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range s.ApplicationProperties().Entries() {
		if k.Is("cloudEvents:source") && !v.Is(m.Source) {
			t.Errorf("source %v", v)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, raw := range odd() {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := decode(bytes.Clone(raw))
		if err != nil {
			return
		}
		in, err := message.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		claimed := in.ApplicationProperties().Get("cloudEvents:source").IsAbsent() && in.ApplicationProperties().Get("cloudEvents_source").IsAbsent()
		m = stored(t, m)
		out, err := message.Parse(encodeEvent(m).bytes())
		if err != nil {
			t.Fatalf("what came out of %x is malformed: %v", raw, err)
		}
		if claimed && !bytes.Equal(out.Bare(), in.Bare()) {
			t.Errorf("%x\nbecame\n%x", in.Bare(), out.Bare())
		}
	})
}

func FuzzNative(f *testing.F) {
	for _, raw := range odd() {
		if m, err := decode(raw); err == nil {
			if v, ok := m.Attribute(NativeAttribute); ok {
				f.Add([]byte(v.Str()), "hello")
			}
		}
	}
	f.Fuzz(func(t *testing.T, kept []byte, body string) {
		m := &gatehouse.Message{ID: "1", Body: []byte(body), Attributes: []gatehouse.Attribute{{Name: NativeAttribute, Value: gatehouse.Binary(kept)}}}
		s, err := message.Parse(encodeEvent(m).bytes())
		if err != nil {
			t.Fatalf("made up by a sender: %v", err)
		}
		var got gatehouse.Message
		if err := readBare(&s, &got); err != nil || !bytes.Equal(got.Body, m.Body) || got.ID != "" && got.ID != "1" {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
