package frame_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/amqp/wire"
)

type performative interface {
	Decode(wire.Items) error
	Append([]byte) []byte
}

func empty(code uint64) performative {
	switch code {
	case frame.CodeOpen:
		return new(frame.Open)
	case frame.CodeBegin:
		return new(frame.Begin)
	case frame.CodeAttach:
		return new(frame.Attach)
	case frame.CodeFlow:
		return new(frame.Flow)
	case frame.CodeTransfer:
		return new(frame.Transfer)
	case frame.CodeDisposition:
		return new(frame.Disposition)
	case frame.CodeDetach:
		return new(frame.Detach)
	case frame.CodeInit:
		return new(frame.Init)
	}
	return nil
}

func samples() []performative {
	broken := &frame.Error{Condition: "amqp:not-found", Description: "not there", Info: wire.Map(wire.Symbol("a"), wire.Int(1))}
	return []performative{
		&frame.Open{
			ContainerID: "c", Hostname: "h", MaxFrameSize: 512, ChannelMax: 3, IdleTimeout: 4,
			OutgoingLocales: wire.Symbols("en"), DesiredCapabilities: wire.Symbol("x"), Properties: wire.Map(wire.Symbol("a"), wire.Int(1)),
		},
		&frame.Begin{
			RemoteChannel: frame.Some(0), NextOutgoingID: 1, IncomingWindow: 2, OutgoingWindow: 3, HandleMax: 4, Properties: wire.Map(),
		},
		&frame.Attach{
			Name: "n", Handle: 1, Role: frame.RoleReceiver, SenderMode: 1, ReceiverMode: 1, MaxMessageSize: 9,
			Source: frame.Source{
				Present: true, Address: "a", Durable: 1, ExpiryPolicy: "never", Timeout: 2, Dynamic: true, DistributionMode: "copy",
				Filter:   wire.Map(wire.Symbol("f"), wire.Describe(wire.Ulong(1<<40), wire.String("x"))),
				Outcomes: wire.Symbols("amqp:accepted:list"),
			},
			Target:               frame.Target{Present: true, Address: "b", Capabilities: wire.Symbols("q")},
			InitialDeliveryCount: frame.Some(0), Properties: wire.Map(),
		},
		&frame.Attach{
			Name: "t", SenderMode: 2, Target: frame.Target{Present: true, Coordinator: true, Capabilities: wire.Symbols("l")}, Properties: wire.Map(),
		},
		&frame.Flow{NextIncomingID: frame.Some(0), IncomingWindow: 1, NextOutgoingID: 2, OutgoingWindow: 3},
		&frame.Flow{
			IncomingWindow: 1, NextOutgoingID: 2, OutgoingWindow: 3, Handle: frame.Some(0), DeliveryCount: frame.Some(1),
			LinkCredit: frame.Some(0), Available: frame.Some(5), Drain: true, Echo: true,
		},
		&frame.Transfer{Handle: 1, DeliveryID: frame.Some(0), DeliveryTag: []byte{}, MessageFormat: frame.Some(0x80013700), Settled: true, More: true},
		&frame.Transfer{
			Handle: 1, ReceiverMode: frame.Some(1), State: wire.Describe(wire.Ulong(0x24), wire.List()), Resume: true, Aborted: true, Batchable: true,
		},
		&frame.Disposition{Role: frame.RoleReceiver, First: 1, Last: 9, Settled: true, State: frame.State{Kind: frame.Accepted}},
		&frame.Disposition{First: 1, Last: 1, State: frame.State{Kind: frame.Rejected, Error: broken}},
		&frame.Disposition{First: 1, Last: 1, State: frame.State{Kind: frame.Modified, Failed: true, Undeliverable: true, Annotations: wire.Map(wire.Symbol("k"), wire.Null())}},
		&frame.Disposition{First: 1, Last: 1, State: frame.State{Kind: frame.Received, SectionNumber: 1, SectionOffset: 1 << 40}},
		&frame.Disposition{First: 1, Last: 1},
		&frame.Detach{Handle: 3, Closed: true, Error: broken},
		&frame.Detach{Handle: 3},
		&frame.Init{Mechanism: "PLAIN", Response: []byte{}, Hostname: "h"},
	}
}

// TestRoundTrip decodes what was encoded of each performative.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, p := range samples() {
		b := p.Append(nil)
		code, items, rest, err := frame.Parse(append(b, 1, 2))
		if err != nil || len(rest) != 2 {
			t.Errorf("%T: %v", p, err)
			continue
		}
		got := empty(code)
		if err := got.Decode(items); err != nil {
			t.Errorf("%T: %v", p, err)
		}
		if !reflect.DeepEqual(got, p) {
			t.Errorf("%#v came back as %#v", p, got)
		}
	}
}

// TestSymbolicDescriptors reads frames whose descriptors are names.
func TestSymbolicDescriptors(t *testing.T) {
	t.Parallel()
	state := wire.Describe(wire.Symbol("amqp:rejected:list"), wire.List(
		wire.Describe(wire.Symbol("amqp:error:list"), wire.List(wire.Symbol("amqp:not-found")))))
	b := wire.AppendValue(nil, wire.Describe(wire.Symbol("amqp:disposition:list"), wire.List(
		wire.Bool(true), wire.Uint(1), wire.Null(), wire.Bool(true), state)))
	code, items, _, err := frame.Parse(b)
	if err != nil || code != frame.CodeDisposition {
		t.Fatalf("code %#x, %v", code, err)
	}
	var d frame.Disposition
	if err := d.Decode(items); err != nil || d.State.Error == nil || d.State.Error.Condition != "amqp:not-found" || d.Last != 1 {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestWrongFields names the field that is wrong.
func TestWrongFields(t *testing.T) {
	t.Parallel()
	for field, list := range map[string]wire.Value{
		"name":             wire.List(wire.Int(1)),
		"handle":           wire.List(wire.String("n"), wire.String("1")),
		"role":             wire.List(wire.String("n"), wire.Uint(1)),
		"snd-settle-mode":  wire.List(wire.String("n"), wire.Uint(1), wire.Bool(true), wire.Uint(3)),
		"rcv-settle-mode":  wire.List(wire.String("n"), wire.Uint(1), wire.Bool(true), wire.Uint(2), wire.Uint(300)),
		"source":           wire.List(wire.String("n"), wire.Uint(1), wire.Bool(true), wire.Null(), wire.Null(), wire.String("a")),
		"target":           wire.List(wire.String("n"), wire.Uint(1), wire.Bool(true), wire.Null(), wire.Null(), wire.Null(), wire.Describe(wire.Ulong(0x29), wire.List(wire.Int(1)))),
		"max-message-size": wire.List(wire.String("n"), wire.Uint(1), wire.Bool(true), wire.Null(), wire.Null(), wire.Null(), wire.Null(), wire.Null(), wire.Null(), wire.Null(), wire.Int(-1)),
	} {
		items := list.Items()
		var wrong *frame.FieldError
		if err := new(frame.Attach).Decode(items); !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func FuzzFrame(f *testing.F) {
	for _, p := range samples() {
		f.Add(p.Append(nil))
	}
	f.Add(frame.AppendClose(nil, &frame.Error{Condition: "x"}))
	f.Add(frame.AppendMechanisms(nil, []string{"PLAIN"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := frame.ParseHeader(b); err == nil && (h.Offset < 8 || int(h.Size) < h.Offset) {
			t.Fatalf("header %+v", h)
		}
		code, items, _, err := frame.Parse(b)
		if err != nil {
			return
		}
		frame.DecodeEnd(items)
		p := empty(code)
		if p == nil || p.Decode(items) != nil {
			return
		}
		first := p.Append(nil)
		_, items, _, err = frame.Parse(first)
		if err != nil {
			t.Fatalf("% x does not parse: %v", first, err)
		}
		again := empty(code)
		if err := again.Decode(items); err != nil {
			t.Fatalf("% x does not decode: %v", first, err)
		}
		if second := again.Append(nil); !bytes.Equal(first, second) {
			t.Fatalf("% x came back as % x", first, second)
		}
	})
}
