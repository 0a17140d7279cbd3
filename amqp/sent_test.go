package amqp_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/gatehouse/gatehouse/amqp"
	"github.com/gatehouse/gatehouse/amqp/frame"
)

// linkTo attaches a link, gives it credit, and returns our end of it, for the
// test to send on.
func linkTo(t *testing.T, feed *feeder, window uint32) (*raw, *amqp.Outgoing) {
	t.Helper()
	links := make(chan *amqp.Outgoing, 1)
	r := start(t, amqp.Config{}, decisions{attach: func(a *amqp.Attach) {
		o, err := a.AcceptOutgoing(amqp.OutgoingOptions{Sender: feed})
		if err != nil {
			t.Error(err)
		}
		links <- o
	}})
	r.begin(0, window)
	r.send(0, receiverOf(0))
	r.attached()
	r.credit0(window)
	take(t, feed.ready, "Ready")
	return r, <-links
}

func accepted(first uint32, settled bool) *frame.Disposition {
	return &frame.Disposition{Role: frame.RoleReceiver, First: first, Last: first, Settled: settled, State: amqp.State{Kind: frame.Accepted}}
}

// TestSentIsOfItsDelivery keeps what a Sender was told of a delivery until it
// is settled, and others have its memory.
func TestSentIsOfItsDelivery(t *testing.T) {
	t.Parallel()
	feed := newFeeder()
	r, o := linkTo(t, feed, 100)
	send := func(tag string) {
		t.Helper()
		if err := o.Send(amqp.Message{Body: text(tag).Body, Tag: []byte(tag)}); err != nil {
			t.Fatal(err)
		}
		if x, _ := r.transfer(); string(x.DeliveryTag) != tag {
			t.Fatalf("tag %q, want %q", x.DeliveryTag, tag)
		}
	}
	send("first")
	r.send(0, accepted(0, false))
	r.send(0, accepted(0, false))
	told, again := take(t, feed.outcomes, "outcome"), take(t, feed.outcomes, "outcome")
	told.sent.Settle(amqp.State{Kind: frame.Accepted})
	if d := r.disposition(); d.First != 0 || d.Last != 0 || d.State.Kind != frame.Accepted {
		t.Fatalf("disposition %+v", d)
	}
	for id := range uint32(20) {
		send(fmt.Sprint(id))
		again.sent.Settle(amqp.State{Kind: frame.Rejected}) // of the first, which is settled
		if string(again.sent.Tag()) != "first" || again.sent.Settled() {
			t.Fatalf("tag %q", again.sent.Tag())
		}
		r.send(0, accepted(id+1, false))
		now := take(t, feed.outcomes, "outcome")
		if string(now.sent.Tag()) != fmt.Sprint(id) || now.sent.Link() != o {
			t.Fatalf("tag %q", now.sent.Tag())
		}
		now.sent.Settle(amqp.State{Kind: frame.Accepted})
		if d := r.disposition(); d.First != id+1 || d.State.Kind != frame.Accepted {
			t.Fatalf("disposition %+v", d)
		}
	}
	r.shut()
}

// TestHeadsAndTagsAreCopied sends from the same memory while the peer's window
// is closed.
func TestHeadsAndTagsAreCopied(t *testing.T) {
	t.Parallel()
	r, o := linkTo(t, newFeeder(), 1)
	var head, tag []byte
	const n = 20
	for i := range n {
		head = append(head[:0], text("head").Head...)
		tag = append(tag[:0], byte(i), 7)
		if err := o.Send(amqp.Message{Head: head, Body: text(fmt.Sprint(i)).Body, Tag: tag, Settled: i%2 == 0}); err != nil {
			t.Fatal(err)
		}
		clear(head)
		clear(tag)
	}
	for i := range uint32(n) {
		x, payload := r.transfer()
		want := text(fmt.Sprint(i))
		if !bytes.Equal(x.DeliveryTag, []byte{byte(i), 7}) || !bytes.Equal(payload, append(want.Head, want.Body...)) {
			t.Fatalf("transfer %d: tag %x, %x", i, x.DeliveryTag, payload)
		}
		r.send(0, &frame.Flow{NextIncomingID: frame.Some(i + 1), IncomingWindow: 1, OutgoingWindow: 1})
	}
	r.shut()
}

// TestSettledUnderWay settles a delivery of which not all frames have come: the
// others come all the same, and do so unmixed with what is sent later.
func TestSettledUnderWay(t *testing.T) {
	t.Parallel()
	feed := newFeeder()
	r, o := linkTo(t, feed, 1)
	long := bytes.Repeat([]byte("0123456789"), 20_000)
	if err := o.Send(amqp.Message{Head: long[:70_000], Body: long[70_000:]}); err != nil {
		t.Fatal(err)
	}
	x, got := r.transfer()
	r.send(0, accepted(0, true))
	if told := take(t, feed.outcomes, "outcome"); !told.sent.Settled() || !bytes.Equal(told.sent.Tag(), x.DeliveryTag) {
		t.Errorf("tag %x, want %x", told.sent.Tag(), x.DeliveryTag)
	}
	for range 3 {
		if err := o.Send(text("later")); err != nil {
			t.Fatal(err)
		}
	}
	for next := uint32(1); x.More; next++ {
		r.send(0, &frame.Flow{NextIncomingID: frame.Some(next), IncomingWindow: 1, OutgoingWindow: 1})
		var payload []byte
		x, payload = r.transfer()
		got = append(got, payload...)
	}
	if !bytes.Equal(got, long) {
		t.Error("the message has changed on its way")
	}
	r.shut()
}
