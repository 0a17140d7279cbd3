package amqp_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	client "github.com/Azure/go-amqp"

	"github.com/gatehouse/gatehouse/amqp"
	"github.com/gatehouse/gatehouse/amqp/message"
	"github.com/gatehouse/gatehouse/amqp/wire"
)

// TestClientSends sends in all settlement modes that a link can have (trap 5:
// modes must come back as they were asked for).
func TestClientSends(t *testing.T) {
	t.Parallel()
	for _, snd := range []client.SenderSettleMode{
		client.SenderSettleModeUnsettled, client.SenderSettleModeSettled, client.SenderSettleModeMixed,
	} {
		for _, rcv := range []client.ReceiverSettleMode{client.ReceiverSettleModeFirst, client.ReceiverSettleModeSecond} {
			t.Run(fmt.Sprintf("snd=%v,rcv=%v", snd, rcv), func(t *testing.T) {
				t.Parallel()
				sends(t, snd, rcv)
			})
		}
	}
}

func sends(t *testing.T, snd client.SenderSettleMode, rcv client.ReceiverSettleMode) {
	got := newCollector()
	p := serve(t, amqp.Config{}, acceptAll(t, got, nil, amqp.IncomingOptions{Window: 10, MaxMessageSize: 1 << 20}))
	s, err := p.session(t, nil).NewSender(background(t), "queue", &client.SenderOptions{
		SettlementMode: &snd, RequestedReceiverSettleMode: &rcv,
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.MaxMessageSize() != 1<<20 {
		t.Errorf("max-message-size %d", s.MaxMessageSize())
	}
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		for range 50 {
			(<-got.deliveries).Accept()
		}
	}()
	for i := range 50 { // five times the window
		if err := s.Send(background(t), client.NewMessage([]byte{byte(i)}), nil); err != nil {
			t.Fatalf("send %d: %v", i, err)
		}
	}
	take(t, accepted, "fifty messages")
	if err := s.Close(background(t)); err != nil {
		t.Error(err)
	}
	if err := take(t, got.closed, "Closed"); err != nil {
		t.Errorf("Closed(%v)", err)
	}
}

// TestOutcomesOfSends shows which outcome the client sees for each one given.
func TestOutcomesOfSends(t *testing.T) {
	t.Parallel()
	got := newCollector()
	p := serve(t, amqp.Config{}, acceptAll(t, got, nil, amqp.IncomingOptions{}))
	s, err := p.session(t, nil).NewSender(background(t), "queue", nil)
	if err != nil {
		t.Fatal(err)
	}
	reason := &amqp.Error{
		Condition: "com.microsoft:publisher-revoked", Description: "no longer wanted",
		Info: wire.Map(wire.Symbol("rule"), wire.String("r1")),
	}
	for _, test := range []struct {
		give  func(*amqp.Delivery)
		check func(client.DeliveryState) bool
	}{
		{(*amqp.Delivery).Accept, func(s client.DeliveryState) bool { _, ok := s.(*client.StateAccepted); return ok }},
		{(*amqp.Delivery).Release, func(s client.DeliveryState) bool { _, ok := s.(*client.StateReleased); return ok }},
		{func(d *amqp.Delivery) { d.Reject(nil) }, func(s client.DeliveryState) bool {
			r, ok := s.(*client.StateRejected)
			return ok && r.Error == nil
		}},
		{func(d *amqp.Delivery) { d.Reject(reason) }, func(s client.DeliveryState) bool {
			r, ok := s.(*client.StateRejected)
			return ok && string(r.Error.Condition) == reason.Condition && r.Error.Description == reason.Description &&
				r.Error.Info["rule"] == "r1"
		}},
		{func(d *amqp.Delivery) { d.Modify(true, true, wire.Map(wire.Symbol("x"), wire.Int(7))) }, func(s client.DeliveryState) bool {
			m, ok := s.(*client.StateModified)
			return ok && m.DeliveryFailed && m.UndeliverableHere && m.MessageAnnotations["x"] == int32(7)
		}},
	} {
		receipt, err := s.SendWithReceipt(background(t), client.NewMessage(nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		test.give(take(t, got.deliveries, "delivery"))
		state, err := receipt.Wait(background(t))
		if err != nil || !test.check(state) {
			t.Errorf("the client saw %#v, %v", state, err)
		}
	}
}

// TestFinishOutOfOrder finishes deliveries in reverse order from several
// goroutines; each gets its own outcome.
func TestFinishOutOfOrder(t *testing.T) {
	t.Parallel()
	const n = 300
	got := newCollector()
	p := serve(t, amqp.Config{}, acceptAll(t, got, nil, amqp.IncomingOptions{Window: n}))
	s, err := p.session(t, nil).NewSender(background(t), "queue", nil)
	if err != nil {
		t.Fatal(err)
	}
	receipts := make([]client.SendReceipt, n)
	for i := range receipts {
		if receipts[i], err = s.SendWithReceipt(background(t), client.NewMessage([]byte{byte(i)}), nil); err != nil {
			t.Fatal(err)
		}
	}
	deliveries := make([]*amqp.Delivery, n)
	for i := range deliveries {
		deliveries[i] = take(t, got.deliveries, "delivery")
	}
	for part := range 3 {
		go func() {
			for i := n - 1 - part; i >= 0; i -= 3 {
				if i%5 == 0 {
					deliveries[i].Reject(amqp.Err(amqp.NotAllowed, fmt.Sprint(i)))
				} else {
					deliveries[i].Accept()
				}
			}
		}()
	}
	for i, r := range receipts {
		state, err := r.Wait(background(t))
		if err != nil {
			t.Fatal(err)
		}
		rejected, ok := state.(*client.StateRejected)
		if ok != (i%5 == 0) || ok && rejected.Error.Description != fmt.Sprint(i) {
			t.Errorf("delivery %d: %#v", i, state)
		}
	}
}

// TestLargeSends sends messages of many frames, over small frames and an
// incoming window that is smaller than the message.
func TestLargeSends(t *testing.T) {
	t.Parallel()
	got := newCollector()
	h := acceptAll(t, got, nil, amqp.IncomingOptions{MaxMessageSize: 4 << 20})
	p := serve(t, amqp.Config{MaxFrameSize: 1024, IncomingWindow: 64}, h)
	s, err := p.session(t, nil).NewSender(background(t), "queue", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, 900, 1000, 1024, 5000, 300_000} {
		body := bytes.Repeat([]byte{byte(size), 7}, size/2)
		go func() {
			d := <-got.deliveries
			m, err := message.Parse(d.Message)
			data := []byte{}
			for b := range m.Data() {
				data = append(data, b...)
			}
			if err != nil || !bytes.Equal(data, body) {
				d.Reject(amqp.Err(amqp.DecodeError, "not what was sent"))
				return
			}
			d.Accept()
		}()
		if err := s.Send(background(t), client.NewMessage(body), nil); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
	}
}

// TestRefuse shows that the client gets the reason of a refusal, in both
// directions, and that the session goes on.
func TestRefuse(t *testing.T) {
	t.Parallel()
	p := serve(t, amqp.Config{}, decisions{attach: func(a *amqp.Attach) {
		go a.Refuse(amqp.Err(amqp.UnauthorizedAccess, "no right to "+a.Address()))
	}})
	session := p.session(t, nil)
	for range 20 {
		_, err := session.NewSender(background(t), "there", nil)
		checkCondition(t, err, amqp.UnauthorizedAccess, "no right to there")
		_, err = session.NewReceiver(background(t), "here", &client.ReceiverOptions{Credit: 300})
		checkCondition(t, err, amqp.UnauthorizedAccess, "no right to here")
	}
}

func checkCondition(t testing.TB, err error, condition, description string) {
	t.Helper()
	var e *client.Error
	var link *client.LinkError
	var session *client.SessionError
	var conn *client.ConnError
	switch {
	case errors.As(err, &link):
		e = link.RemoteErr
	case errors.As(err, &session):
		e = session.RemoteErr
	case errors.As(err, &conn):
		e = conn.RemoteErr
	default:
		errors.As(err, &e)
	}
	if e == nil || string(e.Condition) != condition || e.Description != description {
		t.Errorf("the client got %v, want %s: %s", err, condition, description)
	}
}

// TestEmbedderEnds detaches, ends and closes from the server's side.
func TestEmbedderEnds(t *testing.T) {
	t.Parallel()
	reason := amqp.Err("com.microsoft:server-busy", "come back later")
	for name, end := range map[string]func(*amqp.Incoming){
		"detach": func(in *amqp.Incoming) { in.Detach(reason) },
		"end":    func(in *amqp.Incoming) { in.Session().End(reason) },
		"close":  func(in *amqp.Incoming) { in.Session().Conn().Close(reason) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := newCollector()
			p := serve(t, amqp.Config{}, acceptAll(t, got, nil, amqp.IncomingOptions{}))
			s, err := p.session(t, nil).NewSender(background(t), "queue", nil)
			if err != nil {
				t.Fatal(err)
			}
			sent := make(chan error, 1)
			go func() { sent <- s.Send(background(t), client.NewMessage(nil), nil) }()
			d := take(t, got.deliveries, "delivery")
			end(d.Link())
			d.Accept() // too late: must not reach the client
			checkCondition(t, take(t, sent, "end of the send"), reason.Condition, reason.Description)
			take(t, got.closed, "Closed")
		})
	}
}
