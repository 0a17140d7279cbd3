package amqp_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/gatehouse/gatehouse/amqp"
	"github.com/gatehouse/gatehouse/amqp/frame"
)

// TestTransfersAsClientsNeedThem looks at what goes out: ids from the first
// transfer on without gaps over all links of a session, the message format
// always there (traps 15, 16), the peer's window respected.
func TestTransfersAsClientsNeedThem(t *testing.T) {
	t.Parallel()
	h := decisions{attach: func(a *amqp.Attach) {
		m := numbered(5)
		for i := range m {
			m[i].Settled = i%2 == 0
		}
		a.AcceptOutgoing(amqp.OutgoingOptions{Sender: newFeeder(m...)})
	}}
	r := start(t, amqp.Config{}, h)
	r.begin(0, 3)
	for handle := range uint32(2) {
		a := receiverOf(handle)
		a.Name = fmt.Sprint(handle)
		r.send(0, a)
		if got := r.attached(); got.InitialDeliveryCount != frame.Some(0) || got.Role != frame.RoleSender {
			t.Fatalf("attach %+v", got)
		}
	}
	flow := func(handle, next, window uint32) {
		r.send(0, &frame.Flow{
			NextIncomingID: frame.Some(next), IncomingWindow: window, OutgoingWindow: 1,
			Handle: frame.Some(handle), DeliveryCount: frame.Some(0), LinkCredit: frame.Some(100),
		})
	}
	flow(0, 0, 3)
	flow(1, 0, 3)
	seen := map[uint32]int{}
	for id := range uint32(10) {
		if id == 3 || id == 6 || id == 9 {
			flow(id%2, id, 3)
		}
		x, payload := r.transfer()
		if !x.DeliveryID.Set || x.DeliveryID.Value != id || !x.MessageFormat.Set || len(x.DeliveryTag) == 0 || x.More {
			t.Fatalf("transfer %d: %+v", id, x)
		}
		n := seen[x.Handle]
		if want := text(fmt.Sprint(n)); string(payload) != string(want.Head)+string(want.Body) || x.Settled != (n%2 == 0) {
			t.Errorf("transfer %d: %q, settled %v", id, payload, x.Settled)
		}
		seen[x.Handle]++
	}
	r.shut()
}

// TestDrain answers a drain after the messages that it asks for, with the
// credit used up and counted, also if there is none to send.
func TestDrain(t *testing.T) {
	t.Parallel()
	feed := newFeeder(numbered(3)...)
	r := start(t, amqp.Config{}, acceptAll(t, nil, feed, amqp.IncomingOptions{}))
	r.begin(0, 100)
	r.send(0, receiverOf(4))
	r.attached()
	r.credit(4, 10, true)
	for range 3 {
		r.transfer()
	}
	f := r.flow()
	if f.Handle != frame.Some(4) || f.LinkCredit != frame.Some(0) || f.DeliveryCount != frame.Some(10) || !f.Drain || !f.NextIncomingID.Set {
		t.Fatalf("flow %+v", f)
	}
	r.send(0, &frame.Flow{ // drain without credit
		NextIncomingID: frame.Some(3), IncomingWindow: 100, OutgoingWindow: 100,
		Handle: frame.Some(4), DeliveryCount: frame.Some(10), LinkCredit: frame.Some(0), Drain: true,
	})
	if f := r.flow(); !f.Drain || f.LinkCredit != frame.Some(0) || f.DeliveryCount != frame.Some(10) {
		t.Fatalf("flow %+v", f)
	}
	r.send(0, &frame.Flow{NextIncomingID: frame.Some(3), IncomingWindow: 100, OutgoingWindow: 100, Echo: true})
	if f := r.flow(); f.Handle.Set || !f.NextIncomingID.Set || f.NextOutgoingID != 3 {
		t.Fatalf("flow %+v", f)
	}
	r.shut()
}

// TestRanges settles deliveries by ranges, one of them of all ids there are.
func TestRanges(t *testing.T) {
	t.Parallel()
	feed := newFeeder(numbered(20)...)
	r := start(t, amqp.Config{}, acceptAll(t, nil, feed, amqp.IncomingOptions{}))
	r.begin(0, 100)
	r.send(0, receiverOf(0))
	r.attached()
	r.credit(0, 20, false)
	for range 20 {
		r.transfer()
	}
	r.send(0, &frame.Disposition{Role: frame.RoleReceiver, First: 3, Last: 5, State: amqp.State{Kind: frame.Received, SectionOffset: 9}})
	for range 3 {
		if o := take(t, feed.outcomes, "outcome"); o.state.Kind != frame.Received || o.state.SectionOffset != 9 || o.sent.Settled() {
			t.Errorf("outcome %+v", o.state)
		}
	}
	r.send(0, &frame.Disposition{Role: frame.RoleReceiver, First: 5, Last: 7, Settled: true, State: amqp.State{Kind: frame.Released}})
	r.send(0, &frame.Disposition{Role: frame.RoleReceiver, First: 0, Last: 0xffffffff, Settled: true})
	for i := range 20 {
		o := take(t, feed.outcomes, "outcome")
		if i < 3 != (o.state.Kind == frame.Released) || !o.sent.Settled() {
			t.Errorf("outcome %d: %+v", i, o.state)
		}
		o.sent.Settle(amqp.State{Kind: frame.Accepted}) // settled already: nothing happens
	}
	r.send(0, &frame.Disposition{Role: frame.RoleReceiver, First: 0, Last: 0xffffffff, Settled: true})
	r.shut()
	if len(feed.outcomes) > 0 {
		t.Error("an outcome for a settled delivery")
	}
}

// TestSlowReader shows no credit while too much waits for the peer, and calls
// Ready when that is over.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	const n, size = 200, 10_000
	var messages []amqp.Message
	for range n {
		messages = append(messages, text(string(make([]byte, size))))
	}
	feed := newFeeder(messages...)
	r := start(t, amqp.Config{OutputLimit: 50_000}, acceptAll(t, nil, feed, amqp.IncomingOptions{}))
	r.begin(0, 4) // frames
	r.send(0, receiverOf(0))
	r.attached()
	r.credit0(4)
	take(t, feed.ready, "Ready")
	feed.mu.Lock()
	left := len(feed.messages)
	feed.mu.Unlock()
	if given := n - left; given*size > 120_000 {
		t.Errorf("%d messages were taken at once", given)
	}
	for next := uint32(1); next <= n; next++ {
		r.transfer()
		r.send(0, &frame.Flow{NextIncomingID: frame.Some(next), IncomingWindow: 4, OutgoingWindow: 1})
	}
	r.shut()
}

// credit0 gives all the credit there is on handle 0, with a session window.
func (r *raw) credit0(window uint32) {
	r.t.Helper()
	r.send(0, &frame.Flow{
		NextIncomingID: frame.Some(0), IncomingWindow: window, OutgoingWindow: 1,
		Handle: frame.Some(0), DeliveryCount: frame.Some(0), LinkCredit: frame.Some(100_000),
	})
}

// TestSendLimits shows when Send refuses.
func TestSendLimits(t *testing.T) {
	t.Parallel()
	links := make(chan *amqp.Outgoing, 1)
	feed := newFeeder()
	r := start(t, amqp.Config{}, decisions{attach: func(a *amqp.Attach) {
		if _, err := a.AcceptIncoming(amqp.IncomingOptions{Receiver: accepting{}}); !errors.Is(err, amqp.ErrRole) {
			t.Errorf("AcceptIncoming: %v", err)
		}
		o, err := a.AcceptOutgoing(amqp.OutgoingOptions{Sender: feed, MaxUnsettled: 2})
		if err != nil {
			t.Error(err)
		}
		links <- o
	}})
	r.begin(0, 100)
	r.send(0, receiverOf(0))
	r.attached()
	o := <-links
	check := func(m amqp.Message, want error) {
		t.Helper()
		if err := o.Send(m); !errors.Is(err, want) {
			t.Errorf("Send: %v, want %v", err, want)
		}
	}
	check(text("a"), amqp.ErrNoCredit)
	check(amqp.Message{Tag: make([]byte, 33)}, amqp.ErrTag)
	r.credit(0, 5, false)
	take(t, feed.ready, "Ready")
	check(text("a"), nil)
	check(text("b"), nil)
	if n := o.Credit(); n != 0 {
		t.Errorf("credit %d with two unsettled", n)
	}
	check(text("c"), amqp.ErrNoCredit)
	r.transfer()
	r.transfer()
	r.send(0, &frame.Disposition{Role: frame.RoleReceiver, First: 0, Last: 1, Settled: true})
	take(t, feed.ready, "Ready")
	check(text("c"), nil)
	r.transfer()
	r.send(0, &frame.Detach{Closed: true})
	take(t, feed.closed, "Closed")
	check(text("d"), amqp.ErrDetached)
	r.detached(0, "")
	r.shut()
}

// TestLateAnswers answers attaches later: credit that came before counts, and a
// peer that gave up is noticed.
func TestLateAnswers(t *testing.T) {
	t.Parallel()
	asked := make(chan *amqp.Attach, 10)
	r := start(t, amqp.Config{}, decisions{attach: func(a *amqp.Attach) { asked <- a }})
	r.begin(0, 100)
	r.send(0, receiverOf(0))
	r.credit(0, 2, false)
	a := take(t, asked, "attach")
	r.send(0, &frame.Flow{NextIncomingID: frame.Some(0), IncomingWindow: 9, OutgoingWindow: 1, Echo: true})
	r.flow() // so the credit has been seen
	if _, err := a.AcceptOutgoing(amqp.OutgoingOptions{Sender: newFeeder(numbered(3)...)}); err != nil {
		t.Fatal(err)
	}
	r.attached()
	r.transfer()
	r.transfer()

	r.send(0, sender(1))
	a = take(t, asked, "attach")
	gone := make(chan struct{})
	if !a.OnGone(func() { close(gone) }) {
		t.Error("OnGone: gone already")
	}
	r.send(0, &frame.Detach{Handle: 1, Closed: true})
	r.attached()
	r.detached(1, "")
	take(t, gone, "call of OnGone")
	if _, err := a.AcceptIncoming(amqp.IncomingOptions{Receiver: accepting{}}); !errors.Is(err, amqp.ErrDetached) {
		t.Errorf("AcceptIncoming: %v", err)
	}
	a.Refuse(nil)
	if a.OnGone(func() {}) {
		t.Error("OnGone: not gone")
	}
	r.shut()
}

// TestModeSecond has the peer settle last what it sends.
func TestModeSecond(t *testing.T) {
	t.Parallel()
	r := start(t, amqp.Config{}, yes(t))
	r.begin(0, 100)
	a := sender(0)
	a.ReceiverMode, a.SenderMode = frame.ReceiverSecond, frame.SenderUnsettled
	r.send(0, a)
	if got := r.attached(); got.ReceiverMode != frame.ReceiverSecond || got.SenderMode != frame.SenderUnsettled {
		t.Errorf("attach %+v", got)
	}
	r.flow()
	r.send(0, delivery(0, 7))
	if d := r.disposition(); d.First != 7 || d.Settled || d.State.Kind != frame.Accepted {
		t.Errorf("disposition %+v", d)
	}
	r.send(0, &frame.Disposition{Role: frame.RoleSender, First: 7, Last: 7, Settled: true})
	r.shut()
}
