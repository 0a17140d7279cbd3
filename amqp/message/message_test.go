package message_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	client "github.com/Azure/go-amqp"

	"github.com/gatehouse/gatehouse/amqp/message"
	"github.com/gatehouse/gatehouse/amqp/wire"
)

func full() []byte {
	b := message.AppendHeader(nil, message.Header{Durable: true, Priority: 9, TTL: time.Minute, HasTTL: true, DeliveryCount: 2})
	b = message.AppendDeliveryAnnotations(b, wire.Map(wire.Symbol("d"), wire.Int(1)))
	b, at := message.StartAnnotations(b)
	b = wire.AppendLong8(wire.AppendSymbol(b, "x-opt-sequence-number"), 5)
	b = wire.EndMap(b, at, 1)
	b = message.AppendProperties(b, &message.Properties{
		MessageID: wire.String("id"), UserID: []byte("u"), To: "to", Subject: "s", ReplyTo: "r", CorrelationID: wire.Ulong(7),
		ContentType: "text/plain", ContentEncoding: "gzip", AbsoluteExpiryTime: time.UnixMilli(5), CreationTime: time.UnixMilli(6),
		GroupID: "g", GroupSequence: 3, HasGroupSequence: true, ReplyToGroupID: "rg",
	})
	b, at = message.StartApplicationProperties(b)
	b = wire.AppendInt(wire.AppendString(b, "n"), 42)
	b = wire.EndMap(b, at, 1)
	b = message.AppendData(message.AppendData(b, []byte("one")), []byte("two"))
	return message.AppendFooter(b, wire.Map(wire.Symbol("f"), wire.Bool(true)))
}

// TestSections reads back all sections of a message.
func TestSections(t *testing.T) {
	t.Parallel()
	raw := full()
	m, err := message.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	h, err := m.Header()
	if err != nil || !h.Durable || h.Priority != 9 || h.TTL != time.Minute || !h.HasTTL || h.DeliveryCount != 2 {
		t.Errorf("header %+v, %v", h, err)
	}
	p, err := m.Properties()
	if err != nil || !p.MessageID.Is("id") || p.ReplyToGroupID != "rg" || p.GroupSequence != 3 || !p.CreationTime.Equal(time.UnixMilli(6)) {
		t.Errorf("properties %+v, %v", p, err)
	}
	if again := message.AppendProperties(nil, &p); !bytes.Contains(raw, again) {
		t.Errorf("properties came back as % x", again)
	}
	if n, _ := m.Annotations().Get("x-opt-sequence-number").Int64(); n != 5 {
		t.Errorf("annotation %d", n)
	}
	if n, _ := m.ApplicationProperties().Get("n").Int64(); n != 42 {
		t.Errorf("application property %d", n)
	}
	if !m.DeliveryAnnotations().Get("d").Equal(wire.Int(1)) || !m.Footer().Get("f").Equal(wire.Bool(true)) {
		t.Error("annotations or footer are wrong")
	}
	var data [][]byte
	for d := range m.Data() {
		data = append(data, d)
	}
	if m.BodyKind() != message.BodyData || m.Bodies() != 2 || string(bytes.Join(data, []byte(","))) != "one,two" {
		t.Errorf("body %q", data)
	}
	if bare := m.Bare(); !bytes.HasSuffix(raw, bare) || !bytes.HasPrefix(bare, []byte{0, 0x53, 0x73}) {
		t.Errorf("bare message % x", bare)
	}
}

// TestJudge compares with what another library makes of the same bytes, in
// both directions.
func TestJudge(t *testing.T) {
	t.Parallel()
	var theirs client.Message
	if err := theirs.UnmarshalBinary(full()); err != nil {
		t.Fatal(err)
	}
	if theirs.Header.TTL != time.Minute || *theirs.Properties.Subject != "s" || theirs.Properties.CorrelationID != uint64(7) ||
		theirs.Annotations["x-opt-sequence-number"] != int64(5) || theirs.ApplicationProperties["n"] != int32(42) || len(theirs.Data) != 2 {
		t.Errorf("%+v", theirs)
	}
	b, err := theirs.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	m, err := message.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := m.Properties(); err != nil || p.Subject != "s" || p.GroupSequence != 3 {
		t.Errorf("properties %+v, %v", p, err)
	}
	for _, value := range []any{nil, "text", int64(1) << 40, []any{"a", int32(1)}, map[string]any{"k": true}, [][]byte{{1}}} {
		b, err := (&client.Message{Value: value}).MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if m, err := message.Parse(b); err != nil || value != nil && m.BodyKind() != message.BodyValue {
			t.Errorf("%v: %v", value, err)
		}
	}
}

// TestWrongMessages refuses what is not a message.
func TestWrongMessages(t *testing.T) {
	t.Parallel()
	data := message.AppendData(nil, []byte("x"))
	value := message.AppendBody(nil, wire.Null())
	header := message.AppendHeader(nil, message.Header{})
	footer := wire.AppendValue(nil, wire.Describe(wire.Ulong(0x78), wire.Map(wire.Symbol("f"), wire.Bool(true))))
	join := func(b ...[]byte) []byte { return bytes.Join(b, nil) }
	for name, test := range map[string]struct {
		input []byte
		err   error
	}{
		"header after body":   {join(data, header), message.ErrOrder},
		"header twice":        {join(header, header), message.ErrOrder},
		"two values":          {join(value, value), message.ErrOrder},
		"data and value":      {join(data, value), message.ErrOrder},
		"not a section":       {wire.AppendString(nil, "x"), message.ErrSection},
		"unknown section":     {wire.AppendValue(nil, wire.Describe(wire.Ulong(0x79), wire.List())), message.ErrSection},
		"data of a string":    {wire.AppendValue(nil, wire.Describe(wire.Ulong(0x75), wire.String("x"))), message.ErrType},
		"two footers":         {join(footer, data, footer), message.ErrOrder},
		"footer in the body":  {join(data, footer, data), message.ErrOrder},
		"header after footer": {join(footer, header), message.ErrOrder},
		"footer before body":  {join(header, footer, data, data), nil}, // as rhea has it
		"cut":                 {data[:len(data)-1], wire.ErrShort},
		"no body":             {header, nil},
		"by name":             {wire.AppendValue(nil, wire.Describe(wire.Symbol("amqp:data:binary"), wire.Binary(nil))), nil},
		"sequences":           {join(message.AppendSequence(nil, wire.List()), message.AppendSequence(nil, wire.List(wire.Int(1)))), nil},
	} {
		if _, err := message.Parse(test.input); !errors.Is(err, test.err) {
			t.Errorf("%s: %v, want %v", name, err, test.err)
		}
	}
	early, err := message.Parse(join(header, footer, data))
	if err != nil || !bytes.Equal(early.Bare(), join(footer, data)) || !bytes.Equal(early.Body(), data) || early.Footer().Len() == 0 {
		t.Errorf("footer before the body: %x, %v", early.Bare(), err)
	}
	m, err := message.Parse(wire.AppendValue(nil, wire.Describe(wire.Ulong(0x73), wire.List(wire.Null(), wire.Null(), wire.Int(1)))))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Properties(); err == nil {
		t.Error("an address that is a number")
	}
}

func FuzzMessage(f *testing.F) {
	f.Add(full())
	f.Add(message.AppendBody(nil, wire.Map(wire.String("k"), wire.List())))
	f.Add(message.AppendSequence(nil, wire.List(wire.Int(1))))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := message.Parse(b)
		if err != nil {
			return
		}
		n := 0
		for range m.Data() {
			n++
		}
		for range m.Sequences() {
			n++
		}
		if m.BodyKind() != message.BodyValue && n != m.Bodies() {
			t.Fatalf("%d body sections of %d", n, m.Bodies())
		}
		if !bytes.HasSuffix(b, m.Bare()) || !bytes.Contains(b, m.Body()) || !bytes.Equal(b, m.Raw()) {
			t.Fatal("parts are not of the message")
		}
		m.Header()
		p, err := m.Properties()
		var fields message.Fields
		if other := m.Fields(&fields); (other == nil) != (err == nil) {
			t.Fatalf("properties: %v, fields: %v", err, other)
		}
		if err != nil {
			return
		}
		first := message.AppendProperties(nil, &p)
		if other := message.AppendFields(nil, &fields); !bytes.Equal(first, other) {
			t.Fatalf("properties: % x, fields: % x", first, other)
		}
		again, err := message.Parse(first)
		if err != nil {
			t.Fatalf("% x: %v", first, err)
		}
		q, err := again.Properties()
		if second := message.AppendProperties(nil, &q); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("% x came back as % x, %v", first, second, err)
		}
	})
}
