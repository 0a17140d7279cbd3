package amqp_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/gatehouse/gatehouse/amqp"
	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/amqp/wire"
)

// yes accepts all links with a window of ten; messages are accepted at once.
func yes(t testing.TB) decisions {
	return acceptAll(t, accepting{}, newFeeder(), amqp.IncomingOptions{Window: 10, MaxMessageSize: 100})
}

type accepting struct{}

func (accepting) Message(d *amqp.Delivery) { d.Accept() }
func (accepting) Closed(error)             {}

func frameOf(b ...byte) []byte {
	return frame.Finish(append(frame.Start(nil, frame.TypeAMQP, 0), b...), 0)
}

// TestMalformed shows the error that each malformed input is answered with.
func TestMalformed(t *testing.T) {
	t.Parallel()
	raw0 := func(b ...byte) func(*raw) { return func(r *raw) { r.write(b) } }
	performative := func(channel uint16, b body) func(*raw) { return func(r *raw) { r.send(channel, b) } }
	for _, test := range []struct {
		name      string
		do        func(*raw)
		code      uint64 // close or end
		condition string
	}{
		{"size below 8", raw0(0, 0, 0, 7, 2, 0, 0, 0), frame.CodeClose, amqp.FramingError},
		{"offset below 2", raw0(0, 0, 0, 8, 1, 0, 0, 0), frame.CodeClose, amqp.FramingError},
		{"offset beyond the size", raw0(0, 0, 0, 8, 3, 0, 0, 0), frame.CodeClose, amqp.FramingError},
		{"too large", raw0(0x7f, 0xff, 0xff, 0xff, 2, 0, 0, 0), frame.CodeClose, amqp.FramingError},
		{"SASL frame", raw0(0, 0, 0, 8, 2, 1, 0, 0), frame.CodeClose, amqp.FramingError},
		{"no performative", raw0(frameOf(0x40)...), frame.CodeClose, amqp.DecodeError},
		{"unknown type", raw0(frameOf(0, 0x53, 0x10, 0x3f)...), frame.CodeClose, amqp.DecodeError},
		{"list too short", raw0(frameOf(0, 0x53, 0x12, 0xd0, 0, 0, 0, 100, 0, 0, 0, 1, 0x40)...), frame.CodeClose, amqp.DecodeError},
		{"count of 4 billion", raw0(frameOf(0, 0x53, 0x12, 0xd0, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff)...), frame.CodeClose, amqp.DecodeError},
		{"nested too deep", raw0(frameOf(append([]byte{0, 0x53, 0x12}, deep(60)...)...)...), frame.CodeClose, amqp.DecodeError},
		{"unknown performative", raw0(frameOf(0, 0x53, 0x19, 0x45)...), frame.CodeClose, amqp.NotAllowed},
		{"field missing", raw0(frameOf(0, 0x53, 0x13, 0x45)...), frame.CodeClose, amqp.InvalidField},
		{"field of a wrong type", raw0(frameOf(0, 0x53, 0x18, 0xc0, 2, 1, 0x41)...), frame.CodeClose, amqp.InvalidField},
		{"second open", performative(0, &frame.Open{ContainerID: "x", MaxFrameSize: 512}), frame.CodeClose, amqp.NotAllowed},
		{"channel in use", performative(0, &frame.Begin{}), frame.CodeClose, amqp.NotAllowed},
		{"channel above channel-max", performative(9, &frame.Begin{}), frame.CodeClose, amqp.FramingError},
		{"begin that answers", performative(1, &frame.Begin{RemoteChannel: frame.Some(3)}), frame.CodeClose, amqp.NotAllowed},
		{"channel without a session", performative(1, &frame.Flow{}), frame.CodeClose, amqp.NotAllowed},
		{"end without a session", performative(1, end(nil)), frame.CodeClose, amqp.NotAllowed},
		{"handle above handle-max", performative(0, sender(50)), frame.CodeClose, amqp.FramingError},
		{"handle in use", performative(0, receiverOf(0)), frame.CodeEnd, amqp.HandleInUse},
		{"transfer without a link", performative(0, delivery(3, 0)), frame.CodeEnd, amqp.UnattachedHandle},
		{"flow without a link", performative(0, &frame.Flow{Handle: frame.Some(3)}), frame.CodeEnd, amqp.UnattachedHandle},
		{"detach without a link", performative(0, &frame.Detach{Handle: 3}), frame.CodeEnd, amqp.UnattachedHandle},
		{"transfer against the link", func(r *raw) {
			r.send(0, receiverOf(1))
			r.attached()
			r.send(0, delivery(1, 0))
		}, frame.CodeEnd, amqp.NotAllowed},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, amqp.Config{ChannelMax: 8, HandleMax: 49, IncomingWindow: 16}, yes(t))
			r.begin(0, 100)
			r.attachSender(0)
			test.do(r)
			r.over(test.code, test.condition)
			if test.code == frame.CodeEnd {
				r.send(0, delivery(0, 99)) // on its way when the session ended
				r.send(0, end(nil))
				r.begin(0, 100) // the channel is free again
				r.shut()
				return
			}
			r.send(0, delivery(0, 99)) // on its way when the connection closed
			r.send(0, closing(nil))
			r.p.nc.Close()
			var e *amqp.Error
			if err := r.p.ended(t); !errors.As(err, &e) || e.Condition != test.condition {
				t.Errorf("Serve: %v", err)
			}
		})
	}
}

// deep returns lists in lists.
func deep(n int) []byte {
	v := wire.List()
	for range n {
		v = wire.List(v)
	}
	return wire.AppendValue(nil, v)
}

// TestLinkErrors shows the error that ends a link, and only the link.
func TestLinkErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		transfers []frame.Transfer
		payload   int
		condition string
	}{
		{"no id", []frame.Transfer{{DeliveryTag: []byte{1}}}, 0, amqp.InvalidField},
		{"no tag", []frame.Transfer{{DeliveryID: frame.Some(0)}}, 0, amqp.InvalidField},
		{"resume", []frame.Transfer{{DeliveryID: frame.Some(0), DeliveryTag: []byte{1}, Resume: true}}, 0, amqp.NotImplemented},
		{"id changed", []frame.Transfer{
			{DeliveryID: frame.Some(0), DeliveryTag: []byte{1}, More: true}, {DeliveryID: frame.Some(1)},
		}, 0, amqp.InvalidField},
		{"too large and settled", []frame.Transfer{
			{DeliveryID: frame.Some(0), DeliveryTag: []byte{1}, Settled: true},
		}, 101, amqp.MessageSizeExceeded},
		{"unfinished", []frame.Transfer{
			{DeliveryID: frame.Some(0), DeliveryTag: []byte{1}, More: true}, {More: true},
		}, 40, amqp.ResourceLimitExceeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, amqp.Config{MaxUnfinished: 60}, yes(t))
			r.begin(0, 100)
			r.attachSender(0)
			for _, x := range test.transfers {
				r.send(0, &x, make([]byte, test.payload)...)
			}
			r.detached(0, test.condition)
			r.send(0, delivery(0, 9)) // passed over (trap 27)
			r.send(0, &frame.Flow{Handle: frame.Some(0), Echo: true})
			r.send(0, &frame.Detach{Closed: true})
			if n := r.attachSender(0); n != 10 {
				t.Errorf("credit %d", n)
			}
			r.shut()
		})
	}
}

// TestCreditExceeded sends one message more than the window while none is
// finished.
func TestCreditExceeded(t *testing.T) {
	t.Parallel()
	got := newCollector()
	r := start(t, amqp.Config{}, acceptAll(t, got, nil, amqp.IncomingOptions{Window: 3}))
	r.begin(0, 100)
	if n := r.attachSender(0); n != 3 {
		t.Fatalf("credit %d", n)
	}
	for i := range uint32(4) {
		r.send(0, delivery(0, i))
	}
	r.detached(0, amqp.TransferLimitExceeded)
	for range 3 {
		take(t, got.deliveries, "delivery").Accept() // too late
	}
	r.send(0, &frame.Detach{Closed: true})
	take(t, got.closed, "Closed")
	r.shut()
}

// TestTooLargeIsRejected rejects a message that is too large, in one frame or
// in many, and goes on.
func TestTooLargeIsRejected(t *testing.T) {
	t.Parallel()
	r := start(t, amqp.Config{}, yes(t))
	r.begin(0, 100)
	r.attachSender(0)
	r.send(0, delivery(0, 0), make([]byte, 101)...)
	check := func(id uint32, kind frame.StateKind, condition string) {
		t.Helper()
		d := r.outcome()
		if d.First != id || d.Last != id || !d.Settled || d.Role != frame.RoleReceiver || d.State.Kind != kind {
			t.Fatalf("disposition %+v", d)
		}
		r.checkError(d.State.Error, condition)
	}
	check(0, frame.Rejected, amqp.MessageSizeExceeded)
	first := delivery(0, 1)
	first.More = true
	r.send(0, first, make([]byte, 60)...)
	for range 5 {
		r.send(0, &frame.Transfer{More: true}, make([]byte, 60)...)
	}
	r.send(0, &frame.Transfer{})
	check(1, frame.Rejected, amqp.MessageSizeExceeded)
	r.send(0, delivery(0, 2), make([]byte, 100)...)
	check(2, frame.Accepted, "")
	r.shut()
}

// TestAborted throws an aborted delivery away and gives its credit back.
func TestAborted(t *testing.T) {
	t.Parallel()
	got := newCollector()
	r := start(t, amqp.Config{}, acceptAll(t, got, nil, amqp.IncomingOptions{Window: 1}))
	r.begin(0, 100)
	r.attachSender(0)
	for id := range uint32(3) {
		first := delivery(0, id)
		first.More = true
		r.send(0, first, 1, 2, 3)
		r.send(0, &frame.Transfer{Aborted: true}, 4)
		if f := r.flow(); f.LinkCredit.Value != 1 || f.DeliveryCount.Value != id+1 {
			t.Fatalf("flow %+v", f)
		}
	}
	r.send(0, delivery(0, 3), 5)
	if d := take(t, got.deliveries, "delivery"); len(d.Message) != 1 || d.Message[0] != 5 {
		t.Errorf("message % x", d.Message)
	}
	r.shut()
}

// TestRefusalIsWhole shows that a refusal is attach without termini and detach,
// with nothing in between, though other links have much to say (trap 11).
func TestRefusalIsWhole(t *testing.T) {
	t.Parallel()
	got := newCollector()
	h := decisions{attach: func(a *amqp.Attach) {
		if a.Request.Name != "s" {
			for len(got.deliveries) > 0 {
				(<-got.deliveries).Accept()
			}
			a.Refuse(amqp.Err(amqp.NotFound, "nothing there"))
			return
		}
		a.AcceptIncoming(amqp.IncomingOptions{Receiver: got, Window: 4})
	}}
	r := start(t, amqp.Config{}, h)
	r.begin(0, 100)
	r.attachSender(0)
	var b []byte
	b = appendFrame(b, 0, delivery(0, 0))
	b = appendFrame(b, 0, delivery(0, 1))
	b = appendFrame(b, 0, receiverOf(1))
	b = appendFrame(b, 0, &frame.Flow{Handle: frame.Some(1), LinkCredit: frame.Some(10), Echo: true})
	r.write(b)
	if d := r.disposition(); d.First != 0 || d.Last != 1 {
		t.Fatalf("disposition %+v", d)
	}
	a := r.attached()
	if a.Source.Present || a.Target.Present || a.Name != "r" || a.Role != frame.RoleSender || a.Handle != 1 ||
		a.InitialDeliveryCount != frame.Some(0) {
		t.Fatalf("attach %+v", a)
	}
	r.detached(1, amqp.NotFound)
	if f := r.flow(); f.Handle.Value != 0 {
		t.Fatalf("flow %+v", f)
	}
	r.send(0, &frame.Detach{Handle: 1, Closed: true})
	r.shut()
}

// TestRefusedWithoutAsking refuses what the engine does not support.
func TestRefusedWithoutAsking(t *testing.T) {
	t.Parallel()
	h := decisions{attach: func(a *amqp.Attach) { t.Errorf("asked about %+v", a.Request) }}
	for condition, change := range map[string]func(*frame.Attach){
		amqp.NotImplemented:        func(a *frame.Attach) { a.Target = frame.Target{Present: true, Coordinator: true} },
		amqp.NotImplemented + " ":  func(a *frame.Attach) { a.Target.Dynamic = true },
		amqp.InvalidField:          func(a *frame.Attach) { a.Target.Present = false },
		amqp.InvalidField + " ":    func(a *frame.Attach) { a.Role, a.Source.Present = frame.RoleReceiver, false },
		amqp.InvalidField + "  ":   func(a *frame.Attach) { a.Name = fmt.Sprintf("%5000d", 1) },
		amqp.NotImplemented + "  ": func(a *frame.Attach) { a.Role, a.Source.Dynamic = frame.RoleReceiver, true },
		amqp.ResourceLimitExceeded: nil,
	} {
		r := start(t, amqp.Config{MaxLinks: 1}, h)
		r.begin(0, 100)
		for handle := range uint32(2) {
			a := sender(handle)
			if change != nil {
				change(a)
			} else {
				a.Target.Coordinator = true // refused, but a link until the peer detaches
			}
			r.send(0, a)
			r.attached()
			if change != nil {
				r.detached(handle, string([]byte(condition)[:len(trim(condition))]))
				r.send(0, &frame.Detach{Handle: handle, Closed: true})
				continue
			}
			r.detached(handle, []string{amqp.NotImplemented, amqp.ResourceLimitExceeded}[handle])
		}
		r.shut()
	}
}

func trim(s string) string {
	for len(s) > 0 && s[len(s)-1] == ' ' {
		s = s[:len(s)-1]
	}
	return s
}

// TestStolen gives a link's name to a second link.
func TestStolen(t *testing.T) {
	t.Parallel()
	r := start(t, amqp.Config{}, yes(t))
	r.begin(0, 100)
	r.attachSender(0)
	r.send(0, receiverOf(2)) // of another name and direction
	r.attached()
	r.send(0, sender(1))
	r.detached(0, amqp.LinkStolen)
	r.attached()
	r.flow()
	r.send(0, &frame.Detach{Closed: true})
	r.send(0, delivery(1, 0))
	if d := r.disposition(); d.First != 0 || d.State.Kind != frame.Accepted {
		t.Errorf("disposition %+v", d)
	}
	r.shut()
}

// TestTooManyLinks closes the connection of a peer that goes on attaching and
// never detaches what was refused.
func TestTooManyLinks(t *testing.T) {
	t.Parallel()
	r := start(t, amqp.Config{MaxLinks: 2}, yes(t))
	r.begin(0, 100)
	for handle := range uint32(4) {
		a := receiverOf(handle)
		a.Name = fmt.Sprint(handle)
		r.send(0, a)
		r.attached()
		if handle >= 2 {
			r.detached(handle, amqp.ResourceLimitExceeded)
		}
	}
	r.send(0, receiverOf(4))
	r.over(frame.CodeClose, amqp.ResourceLimitExceeded)
	r.send(0, closing(nil))
}
