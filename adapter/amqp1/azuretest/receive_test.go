package azuretest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/directory"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// What a receiver decides about its messages happens to them. The answer to a
// dead letter has no error, which the SDK would take for one (trap 12).
func TestSettle(t *testing.T) {
	s := newSite(t)
	s.send(5)
	r, dead := s.receiver(nil), s.deadLetters()
	got := s.receive(r, 5)
	s.must(r.CompleteMessage(s.ctx, got[0], nil))
	s.must(r.AbandonMessage(s.ctx, got[1], &azservicebus.AbandonMessageOptions{PropertiesToModify: map[string]any{"tried": true, "n": int32(7)}}))
	s.must(r.DeferMessage(s.ctx, got[2], &azservicebus.DeferMessageOptions{PropertiesToModify: map[string]any{"later": "yes"}}))
	s.must(r.DeadLetterMessage(s.ctx, got[3], &azservicebus.DeadLetterOptions{
		Reason: new("unreadable"), ErrorDescription: new("no such field"), PropertiesToModify: map[string]any{"field": "t"},
	}))
	s.must(r.DeadLetterMessage(s.ctx, got[4], nil))

	if m := s.take(r); m.MessageID != "m1" || m.DeliveryCount != 2 || m.ApplicationProperties["tried"] != true || m.ApplicationProperties["n"] != int64(7) {
		t.Errorf("abandoned: %+v", m)
	}
	left, err := r.PeekMessages(s.ctx, 10, &azservicebus.PeekMessagesOptions{FromSequenceNumber: new(int64(0))})
	s.must(err)
	if len(left) != 1 || left[0].State != azservicebus.MessageStateDeferred || left[0].MessageID != "m2" {
		t.Fatalf("%d are left", len(left))
	}
	later, err := r.ReceiveDeferredMessages(s.ctx, []int64{*left[0].SequenceNumber}, nil)
	s.must(err)
	if m := later[0]; len(later) != 1 || m.MessageID != "m2" || string(m.Body) != "2" || m.ApplicationProperties["later"] != "yes" {
		t.Errorf("deferred: %+v", m)
	}
	s.must(r.CompleteMessage(s.ctx, later[0], nil))
	s.empty(r)

	m := s.take(dead)
	if m.MessageID != "m3" || *m.DeadLetterReason != "unreadable" || *m.DeadLetterErrorDescription != "no such field" || m.ApplicationProperties["field"] != "t" ||
		m.DeadLetterSource == nil || *m.DeadLetterSource == "" {
		t.Errorf("dead letter: %+v", m)
	}
	if m := s.take(dead); m.MessageID != "m4" {
		t.Errorf("dead letter without a reason: %+v", m)
	}
	s.empty(dead)
}

// Deferred messages are decided about like others, by any receiver.
func TestDeferred(t *testing.T) {
	s := newSite(t)
	s.send(5)
	r := s.receiver(nil)
	var numbers []int64
	for _, m := range s.receive(r, 5) {
		s.must(r.DeferMessage(s.ctx, m, nil))
		numbers = append(numbers, *m.SequenceNumber)
	}
	s.must(r.Close(s.ctx))
	r = s.receiver(nil)
	got, err := r.ReceiveDeferredMessages(s.ctx, numbers[:4], nil)
	s.must(err)
	if len(got) != 4 {
		t.Fatalf("%d messages", len(got))
	}
	for i, m := range got {
		if m.MessageID != fmt.Sprint("m", i) || m.State != azservicebus.MessageStateDeferred || *m.SequenceNumber != numbers[i] || m.LockedUntil == nil {
			t.Errorf("%+v", m)
		}
	}
	s.must(r.RenewMessageLock(s.ctx, got[0], nil))
	s.must(r.CompleteMessage(s.ctx, got[0], nil))
	s.must(r.DeferMessage(s.ctx, got[1], nil))
	s.must(r.DeadLetterMessage(s.ctx, got[2], &azservicebus.DeadLetterOptions{Reason: new("late")}))
	s.must(r.AbandonMessage(s.ctx, got[3], &azservicebus.AbandonMessageOptions{PropertiesToModify: map[string]any{"back": true}}))
	if m := s.take(s.deadLetters()); m.MessageID != "m2" || *m.DeadLetterReason != "late" {
		t.Errorf("%+v", m)
	}
	_, err = r.ReceiveDeferredMessages(s.ctx, numbers[:1], nil)
	s.busFails("one that is gone", err, azservicebus.CodeNotFound)
	// Abandoned, it is deferred as before.
	got, err = r.ReceiveDeferredMessages(s.ctx, numbers[3:4], nil)
	s.must(err)
	if got[0].ApplicationProperties["back"] != true {
		t.Errorf("%+v", got[0])
	}
	s.must(r.CompleteMessage(s.ctx, got[0], nil))

	remove := s.receiver(&azservicebus.ReceiverOptions{ReceiveMode: azservicebus.ReceiveModeReceiveAndDelete})
	got, err = remove.ReceiveDeferredMessages(s.ctx, []int64{numbers[1], numbers[4]}, nil)
	s.must(err)
	if len(got) != 2 {
		t.Errorf("%d messages", len(got))
	}
	s.empty(r)
}

// Messages that are received and deleted are gone as they come.
func TestReceiveAndDelete(t *testing.T) {
	s := newSite(t)
	const n = 100
	s.send(n)
	r := s.receiver(&azservicebus.ReceiverOptions{ReceiveMode: azservicebus.ReceiveModeReceiveAndDelete})
	for i, m := range s.receive(r, n) {
		if m.MessageID != fmt.Sprint("m", i) || m.LockedUntil != nil {
			t.Fatalf("message %d: %+v", i, m)
		}
	}
	s.must(r.Close(s.ctx))
	// What it has received, nobody else receives: the next message is the next
	// one that is sent.
	s.must(s.sender().SendMessage(s.ctx, message("next", ""), nil))
	other := s.receiver(nil)
	if m := s.take(other); m.MessageID != "next" {
		t.Errorf("%s came again", m.MessageID)
	}
	s.empty(other)
}

// A receiver that gets nothing waits until its context ends. What comes on the
// credit that this leaves behind is not lost.
func TestLeftCredit(t *testing.T) {
	s := newSite(t)
	r := s.receiver(nil)
	s.must(s.sender().SendMessage(s.ctx, message("first", ""), nil))
	s.take(r)
	gone, cancel := context.WithCancel(s.ctx)
	waited := make(chan error, 1)
	go func() {
		got, err := r.ReceiveMessages(gone, 10, nil)
		if err == nil {
			err = fmt.Errorf("%d messages came", len(got))
		}
		waited <- err
	}()
	cancel()
	if err := <-waited; err != context.Canceled { //nolint:errorlint // exactly that
		t.Errorf("waiting in vain: %v", err)
	}
	s.send(3)
	other := s.receiver(nil)
	seen := map[string]bool{}
	for range 3 {
		m := s.take(other)
		seen[m.MessageID] = true
		if m.DeliveryCount != 1 {
			t.Errorf("%s was delivered %d times", m.MessageID, m.DeliveryCount)
		}
	}
	if len(seen) != 3 {
		t.Errorf("%v", seen)
	}
	s.empty(other)
}

// A message that fails too often becomes a dead letter, with the reason that
// Azure's users look for.
func TestMaxDeliveries(t *testing.T) {
	s := newSite(t)
	s.change(&directory.EndpointSpec{Name: adaptertest.Receiver, AllowPlaintext: true, Inbox: &directory.InboxSpec{MaxDeliveries: new(3)}})
	s.send(1)
	r, dead := s.receiver(nil), s.deadLetters()
	for i := range uint32(3) {
		m := s.receive(r, 1)[0]
		if m.DeliveryCount != i+1 {
			t.Errorf("delivery %d is counted as %d", i+1, m.DeliveryCount)
		}
		s.must(r.AbandonMessage(s.ctx, m, nil))
	}
	if m := s.take(dead); m.MessageID != "m0" || *m.DeadLetterReason != "MaxDeliveryCountExceeded" {
		t.Errorf("%+v", m)
	}
	s.empty(r)
}

// A message that nobody received in time becomes a dead letter, if its inbox
// is to keep it.
func TestExpires(t *testing.T) {
	s := newSite(t)
	s.change(&directory.EndpointSpec{Name: adaptertest.Receiver, AllowPlaintext: true, Inbox: &directory.InboxSpec{DeadLetterExpired: new(true)}})
	m := message("brief", "")
	m.TimeToLive = new(100 * time.Millisecond)
	s.must(s.sender().SendMessage(s.ctx, m, nil))
	if m := s.take(s.deadLetters()); m.MessageID != "brief" || *m.DeadLetterReason != "TTLExpiredException" {
		t.Errorf("%+v", m)
	}
	s.empty(s.receiver(nil))
}

// A lock is renewed, and lost when it is not.
func TestLocks(t *testing.T) {
	s := newSite(t)
	s.lock(2 * time.Second)
	s.send(1)
	r, other := s.receiver(nil), s.receiver(nil)
	m := s.receive(r, 1)[0]
	before := *m.LockedUntil
	s.must(r.RenewMessageLock(s.ctx, m, nil))
	s.lock(time.Minute) // the next one
	if m.LockedUntil.Before(before) {
		t.Errorf("locked until %v, and then until %v", before, m.LockedUntil)
	}
	again := s.receive(other, 1)[0] // when the lock has run out
	if again.MessageID != "m0" || again.DeliveryCount != 2 || again.LockToken == m.LockToken {
		t.Errorf("%+v", again)
	}
	s.busFails("renew", r.RenewMessageLock(s.ctx, m, nil), azservicebus.CodeLockLost)
	s.busFails("complete", r.CompleteMessage(s.ctx, m, nil), azservicebus.CodeLockLost)
	s.must(other.CompleteMessage(s.ctx, again, nil))
	s.empty(other)
}

// What was received on a link that is gone is settled all the same: the client
// does it through the management node. When the connection is gone, users of
// the SDK keep the lock token.
func TestSettleAfterLoss(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(*site, *azservicebus.Receiver, []*azservicebus.ReceivedMessage)
	}{
		{"link", func(s *site, r *azservicebus.Receiver, _ []*azservicebus.ReceivedMessage) { s.must(r.Close(s.ctx)) }},
		{"connection", func(s *site, _ *azservicebus.Receiver, got []*azservicebus.ReceivedMessage) {
			s.wires.cut()
			for i, m := range got {
				got[i] = &azservicebus.ReceivedMessage{LockToken: m.LockToken, SequenceNumber: m.SequenceNumber}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.send(5)
			client := s.inside()
			first, err := client.NewReceiverForQueue(inboxOf, nil)
			s.must(err)
			got := s.receive(first, 5)
			c.lose(s, first, got)
			r, err := client.NewReceiverForQueue(inboxOf, nil)
			s.must(err)
			s.must(r.CompleteMessage(s.ctx, got[0], nil))
			s.must(r.AbandonMessage(s.ctx, got[1], &azservicebus.AbandonMessageOptions{PropertiesToModify: map[string]any{"tried": true}}))
			s.must(r.DeferMessage(s.ctx, got[2], nil))
			s.must(r.DeadLetterMessage(s.ctx, got[3], &azservicebus.DeadLetterOptions{Reason: new("R"), ErrorDescription: new("D")}))
			s.must(r.RenewMessageLock(s.ctx, got[4], nil))
			s.must(r.CompleteMessage(s.ctx, got[4], nil))
			s.busFails("completing twice", r.CompleteMessage(s.ctx, got[4], nil), azservicebus.CodeLockLost)
			if m := s.take(r); m.MessageID != "m1" || m.DeliveryCount != 2 || m.ApplicationProperties["tried"] != true {
				t.Errorf("%+v", m)
			}
			later, err := r.ReceiveDeferredMessages(s.ctx, []int64{*got[2].SequenceNumber}, nil)
			s.must(err)
			s.must(r.CompleteMessage(s.ctx, later[0], nil))
			s.empty(r)
			if m := s.take(s.deadLetters()); m.MessageID != "m3" || *m.DeadLetterReason != "R" || *m.DeadLetterErrorDescription != "D" {
				t.Errorf("%+v", m)
			}
		})
	}
}

// Senders and receivers go on after a lost connection.
func TestReconnect(t *testing.T) {
	s := newSite(t)
	sender, r := s.sender(), s.receiver(nil)
	for i := range 3 {
		s.must(sender.SendMessage(s.ctx, message(fmt.Sprint("m", i), ""), nil))
		if m := s.take(r); m.MessageID != fmt.Sprint("m", i) {
			t.Errorf("%+v", m)
		}
		s.wires.cut()
	}
}

// Peeking shows all messages, in order and in pages, and takes none.
func TestPeek(t *testing.T) {
	s := newSite(t)
	const n = 150
	s.send(n)
	r := s.receiver(nil)
	locked := s.receive(r, 1)[0]
	var all []*azservicebus.ReceivedMessage
	for {
		page, err := r.PeekMessages(s.ctx, 60, nil)
		s.must(err)
		if len(page) == 0 {
			break
		}
		all = append(all, page...)
	}
	if len(all) != n {
		t.Fatalf("%d messages", len(all))
	}
	for i, m := range all {
		if m.MessageID != fmt.Sprint("m", i) || string(m.Body) != fmt.Sprint(i) || m.State != azservicebus.MessageStateActive || m.LockedUntil != nil && i > 0 {
			t.Fatalf("message %d: %+v", i, m)
		}
	}
	from, err := r.PeekMessages(s.ctx, 2, &azservicebus.PeekMessagesOptions{FromSequenceNumber: all[9].SequenceNumber})
	s.must(err)
	if len(from) != 2 || from[0].MessageID != "m9" {
		t.Errorf("%d messages from the tenth on", len(from))
	}
	s.must(r.CompleteMessage(s.ctx, locked, nil))
	if m := s.take(r); m.MessageID != "m1" || m.DeliveryCount != 1 {
		t.Errorf("%+v", m)
	}
}

// Many receivers of one inbox share its messages.
func TestCompetingReceivers(t *testing.T) {
	s := newSite(t)
	const receivers, each = 4, 50
	s.send(receivers * each)
	got := make(chan string, receivers*each)
	ctx, stop := context.WithCancel(s.ctx)
	ended := make(chan error, receivers)
	for range receivers {
		r := s.receiver(nil)
		go func() {
			for ctx.Err() == nil {
				list, err := r.ReceiveMessages(ctx, 10, nil)
				if ctx.Err() != nil {
					break
				}
				if err != nil {
					ended <- err
					return
				}
				for _, m := range list {
					if err := r.CompleteMessage(s.ctx, m, nil); err != nil {
						ended <- err
						return
					}
					got <- m.MessageID
				}
			}
			ended <- nil
		}()
	}
	seen := map[string]bool{}
	for range receivers * each {
		select {
		case id := <-got:
			if seen[id] {
				t.Errorf("%s came twice", id)
			}
			seen[id] = true
		case err := <-ended:
			t.Fatalf("a receiver ended: %v", err)
		case <-s.ctx.Done():
			t.Fatalf("%d messages came", len(seen))
		}
	}
	stop()
	for range receivers {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	s.empty(s.receiver(nil))
}

// Dead letters are received, deleted, renewed and given back like messages.
func TestDeadLetters(t *testing.T) {
	s := newSite(t)
	s.send(4)
	r := s.receiver(nil)
	for _, m := range s.receive(r, 4) {
		s.must(r.DeadLetterMessage(s.ctx, m, &azservicebus.DeadLetterOptions{Reason: new(m.MessageID)}))
	}
	dead := s.deadLetters()
	seen, err := dead.PeekMessages(s.ctx, 10, nil)
	s.must(err)
	if len(seen) != 4 || *seen[3].DeadLetterReason != "m3" {
		t.Fatalf("%d dead letters", len(seen))
	}
	got := s.receive(dead, 4)
	s.must(dead.RenewMessageLock(s.ctx, got[0], nil))
	s.must(dead.AbandonMessage(s.ctx, got[0], nil))
	s.must(dead.DeferMessage(s.ctx, got[1], nil))
	s.must(dead.CompleteMessage(s.ctx, got[2], nil))
	s.must(dead.CompleteMessage(s.ctx, got[3], nil))
	later, err := dead.ReceiveDeferredMessages(s.ctx, []int64{*got[1].SequenceNumber}, nil)
	s.must(err)
	s.must(dead.CompleteMessage(s.ctx, later[0], nil))
	s.must(dead.Close(s.ctx))
	remove := s.receiver(&azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter, ReceiveMode: azservicebus.ReceiveModeReceiveAndDelete})
	if m := s.receive(remove, 1)[0]; m.MessageID != "m0" || *m.DeadLetterReason != "m0" {
		t.Errorf("%+v", m)
	}
	s.must(remove.Close(s.ctx))
	s.empty(r)
}
