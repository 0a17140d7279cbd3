package amqp_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	client "github.com/Azure/go-amqp"

	"github.com/gatehouse/gatehouse/amqp"
	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/amqp/message"
	"github.com/gatehouse/gatehouse/amqp/wire"
)

func text(s string) amqp.Message {
	return amqp.Message{
		Head: message.AppendHeader(nil, message.Header{Priority: message.DefaultPriority}),
		Body: message.AppendData(nil, []byte(s)),
	}
}

func numbered(n int) []amqp.Message {
	out := make([]amqp.Message, n)
	for i := range out {
		out[i] = text(fmt.Sprint(i))
	}
	return out
}

func receiver(t testing.TB, p *peer, o *client.ReceiverOptions) *client.Receiver {
	t.Helper()
	r, err := p.session(t, nil).NewReceiver(background(t), "inbox", o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestClientReceivesSettled receives more than a client's credit without ever
// settling (trap 3), in order.
func TestClientReceivesSettled(t *testing.T) {
	t.Parallel()
	messages := numbered(1000)
	for i := range messages {
		messages[i].Settled = true
	}
	p := serve(t, amqp.Config{}, acceptAll(t, nil, newFeeder(messages...), amqp.IncomingOptions{}))
	r := receiver(t, p, &client.ReceiverOptions{Credit: 30})
	for i := range messages {
		m, err := r.Receive(background(t), nil)
		if err != nil || string(m.GetData()) != fmt.Sprint(i) {
			t.Fatalf("message %d: %q, %v", i, m.GetData(), err)
		}
	}
}

// TestOutcomesOfReceives shows what the Sender is told for each of the client's
// outcomes, in mode first, where the client has the last word, and in mode
// second, where the server has.
func TestOutcomesOfReceives(t *testing.T) {
	t.Parallel()
	for _, mode := range []client.ReceiverSettleMode{client.ReceiverSettleModeFirst, client.ReceiverSettleModeSecond} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			t.Parallel()
			outcomesOfReceives(t, mode)
		})
	}
}

func outcomesOfReceives(t *testing.T, mode client.ReceiverSettleMode) {
	ctx := background(t)
	feed := newFeeder(numbered(40)...)
	p := serve(t, amqp.Config{}, acceptAll(t, nil, feed, amqp.IncomingOptions{}))
	r := receiver(t, p, &client.ReceiverOptions{Credit: 3, SettlementMode: &mode})
	gives := []struct {
		give  func(*client.Message) error
		check func(amqp.State) bool
	}{
		{func(m *client.Message) error { return r.AcceptMessage(ctx, m) }, func(s amqp.State) bool { return s.Kind == frame.Accepted }},
		{func(m *client.Message) error { return r.ReleaseMessage(ctx, m) }, func(s amqp.State) bool { return s.Kind == frame.Released }},
		{func(m *client.Message) error {
			return r.RejectMessage(ctx, m, &client.Error{Condition: "com.microsoft:dead-letter", Info: map[string]any{"DeadLetterReason": "bad"}})
		}, func(s amqp.State) bool {
			return s.Kind == frame.Rejected && s.Error.Condition == "com.microsoft:dead-letter" &&
				s.Error.Info.Get("DeadLetterReason").Is("bad")
		}},
		{func(m *client.Message) error {
			return r.ModifyMessage(ctx, m, &client.ModifyMessageOptions{UndeliverableHere: true, Annotations: client.Annotations{"k": "v"}})
		}, func(s amqp.State) bool {
			return s.Kind == frame.Modified && !s.Failed && s.Undeliverable && s.Annotations.Get("k").Is("v")
		}},
	}
	for i := range 40 {
		g := gives[i%len(gives)]
		m, err := r.Receive(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		given := make(chan error, 1)
		go func() { given <- g.give(m) }()
		o := take(t, feed.outcomes, "outcome")
		if !g.check(o.state) {
			t.Errorf("outcome %d: %+v", i, o.state)
		}
		if o.sent.Settled() != (mode == client.ReceiverSettleModeFirst) {
			t.Errorf("settled %v in mode %v", o.sent.Settled(), mode)
		}
		o.sent.Settle(amqp.State{Kind: o.state.Kind})
		if err := take(t, given, "confirmation"); err != nil {
			t.Errorf("outcome %d came back as %v", i, err)
		}
	}
}

// TestSettleWithError tells the client that its outcome could not be applied.
func TestSettleWithError(t *testing.T) {
	t.Parallel()
	feed := newFeeder(numbered(1)...)
	p := serve(t, amqp.Config{}, acceptAll(t, nil, feed, amqp.IncomingOptions{}))
	r := receiver(t, p, &client.ReceiverOptions{SettlementMode: client.ReceiverSettleModeSecond.Ptr()})
	m, err := r.Receive(background(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		o := <-feed.outcomes
		o.sent.Settle(amqp.State{Kind: frame.Rejected, Error: amqp.Err("com.microsoft:message-lock-lost", "too late")})
	}()
	checkCondition(t, r.AcceptMessage(background(t), m), "com.microsoft:message-lock-lost", "too late")
}

// TestManualCreditAndDrain gives credit by hand and takes back what is left.
func TestManualCreditAndDrain(t *testing.T) {
	t.Parallel()
	ctx := background(t)
	feed := newFeeder(numbered(3)...)
	p := serve(t, amqp.Config{}, acceptAll(t, nil, feed, amqp.IncomingOptions{}))
	r := receiver(t, p, &client.ReceiverOptions{Credit: -1})
	for round := range 3 {
		if err := r.IssueCredit(10); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			m, err := r.Receive(ctx, nil)
			if err != nil || string(m.GetData()) != fmt.Sprint(i) {
				t.Fatalf("round %d: message %d: %v", round, i, err)
			}
			if err := r.AcceptMessage(ctx, m); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.DrainCredit(ctx, nil); err != nil {
			t.Fatalf("round %d: drain: %v", round, err)
		}
		feed.mu.Lock()
		feed.messages = numbered(3)
		feed.mu.Unlock()
	}
}

// TestLargeReceives sends messages of many frames to a client with small frames,
// with little and with all in their heads.
func TestLargeReceives(t *testing.T) {
	t.Parallel()
	var messages []amqp.Message
	var sizes []int
	for _, n := range []int{0, 1, 400, 470, 480, 490, 512, 5000, 1 << 20} {
		m := text(string(bytes.Repeat([]byte("x"), n)))
		m.Tag = []byte("sixteen-byte-tag")
		whole := m
		whole.Head, whole.Body = append(slices.Clone(m.Head), m.Body...), nil
		messages, sizes = append(messages, m, whole), append(sizes, n, n)
	}
	p := serve(t, amqp.Config{}, acceptAll(t, nil, newFeeder(messages...), amqp.IncomingOptions{}))
	s := p.session(t, &client.ConnOptions{MaxFrameSize: 512})
	r, err := s.NewReceiver(background(t), "inbox", &client.ReceiverOptions{Credit: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range sizes {
		m, err := r.Receive(background(t), nil)
		if err != nil || len(m.GetData()) != n || string(m.DeliveryTag) != "sixteen-byte-tag" {
			t.Fatalf("message of %d bytes: %d, tag %q, %v", n, len(m.GetData()), m.DeliveryTag, err)
		}
		if err := r.AcceptMessage(background(t), m); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAttachCarries shows what an attach brings to the Handler and takes back.
func TestAttachCarries(t *testing.T) {
	t.Parallel()
	asked := make(chan *amqp.Attach, 1)
	p := serve(t, amqp.Config{}, decisions{attach: func(a *amqp.Attach) {
		a.Reply.Properties = wire.Map(wire.Symbol("com.microsoft:locked-until-utc"), wire.Long8(1))
		a.Reply.SenderMode = frame.SenderMixed
		if _, err := a.AcceptOutgoing(amqp.OutgoingOptions{Sender: newFeeder()}); err != nil {
			t.Error(err)
		}
		asked <- a
	}})
	r := receiver(t, p, &client.ReceiverOptions{
		Name: "n", TargetAddress: "me", DesiredCapabilities: []string{"a", "b"},
		Properties: map[string]any{"com.microsoft:epoch": int64(5)},
		Filters:    []client.LinkFilter{client.NewSelectorFilter("amqp.annotation.x-opt-offset > '@latest'")},
	})
	a := take(t, asked, "attach")
	req := a.Request
	if a.FromPeer() || a.Address() != "inbox" || req.Name != "n" || req.Target.Address != "me" {
		t.Errorf("request %+v", req)
	}
	if got := req.DesiredCapabilities.Strings(); fmt.Sprint(got) != "[a b]" {
		t.Errorf("capabilities %v", got)
	}
	if n, ok := req.Properties.Get("com.microsoft:epoch").Int64(); !ok || n != 5 {
		t.Errorf("epoch %d, %v", n, ok)
	}
	d, v, ok := req.Source.Filter.Get("apache.org:selector-filter:string").Described()
	if code, _ := d.Uint64(); !ok || code != 0x468C00000004 || !v.Is("amqp.annotation.x-opt-offset > '@latest'") {
		t.Errorf("filter %v %v", d, v)
	}
	if got := r.LinkSourceFilterValue("apache.org:selector-filter:string"); got != "amqp.annotation.x-opt-offset > '@latest'" {
		t.Errorf("the filter came back as %v", got)
	}
	if got := r.Properties()["com.microsoft:locked-until-utc"]; got != int64(1) {
		t.Errorf("the property came back as %v", got)
	}
}

// TestRequestResponse runs a node with a request link and a reply link on one
// session, as clients do for $cbs; links are freed by END alone (trap 26), which
// two links at most would tell.
func TestRequestResponse(t *testing.T) {
	t.Parallel()
	p := serve(t, amqp.Config{MaxLinks: 2}, newEchoNode(t))
	conn := p.dial(t, nil)
	for i := range 100 {
		ctx := background(t)
		s := newSession(t, conn)
		out, err := s.NewSender(ctx, "$cbs", nil)
		if err != nil {
			t.Fatal(err)
		}
		in, err := s.NewReceiver(ctx, "$cbs", &client.ReceiverOptions{
			TargetAddress: fmt.Sprint("reply-", i), RequestedSenderSettleMode: client.SenderSettleModeSettled.Ptr(),
		})
		if err != nil {
			t.Fatal(err)
		}
		m := client.NewMessage([]byte("ping"))
		to := fmt.Sprint("reply-", i)
		m.Properties = &client.MessageProperties{MessageID: uint64(i), ReplyTo: &to}
		if err := out.Send(ctx, m, nil); err != nil {
			t.Fatal(err)
		}
		got, err := in.Receive(ctx, nil)
		if err != nil || got.Properties.CorrelationID != uint64(i) {
			t.Fatalf("reply %d: %v, %v", i, got, err)
		}
		if err := s.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
}
