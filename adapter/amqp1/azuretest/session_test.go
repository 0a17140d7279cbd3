package azuretest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
)

// sendSessions sends messages of sessions: of each as many as there are texts.
func (s *site) sendSessions(all ...string) {
	s.t.Helper()
	sender := s.sender()
	for i, session := range all {
		m := message(fmt.Sprint("m", i), session)
		m.SessionID = &session
		s.must(sender.SendMessage(s.ctx, m, nil))
	}
	s.must(sender.Close(s.ctx))
}

func (s *site) session(id string) *azservicebus.SessionReceiver {
	s.t.Helper()
	r, err := s.inside().AcceptSessionForQueue(s.ctx, inboxOf, id, nil)
	s.must(err)
	return r
}

// Two receivers have a session each, and get its messages only, in order.
func TestSessions(t *testing.T) {
	s := newSite(t)
	s.sendSessions("a", "b", "a", "b", "a")
	a, b := s.session("a"), s.session("b")
	for r, want := range map[*azservicebus.SessionReceiver][]string{a: {"m0", "m2", "m4"}, b: {"m1", "m3"}} {
		if !r.LockedUntil().After(time.Now()) {
			t.Errorf("%s is locked until %v", r.SessionID(), r.LockedUntil())
		}
		var got []string
		for _, m := range s.receive(r, len(want)) {
			if *m.SessionID != r.SessionID() || string(m.Body) != r.SessionID() {
				t.Errorf("%+v in %s", m, r.SessionID())
			}
			got = append(got, m.MessageID)
			s.must(r.CompleteMessage(s.ctx, m, nil))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v", r.SessionID(), got)
		}
	}
	s.empty(s.receiver(nil))
}

// A session has a state, which outlives whoever holds it.
func TestSessionState(t *testing.T) {
	s := newSite(t)
	s.sendSessions("a")
	r := s.session("a")
	if state, err := r.GetSessionState(s.ctx, nil); err != nil || len(state) != 0 {
		t.Errorf("%q, %v", state, err)
	}
	s.must(r.SetSessionState(s.ctx, []byte{0, 1, 255}, nil))
	s.must(r.Close(s.ctx))
	r = s.session("a")
	if state, err := r.GetSessionState(s.ctx, nil); err != nil || string(state) != "\x00\x01\xff" {
		t.Errorf("%q, %v", state, err)
	}
	s.must(r.SetSessionState(s.ctx, nil, nil))
	if state, err := r.GetSessionState(s.ctx, nil); err != nil || len(state) != 0 {
		t.Errorf("%q, %v", state, err)
	}
}

// Whoever asks for the next session gets one that nobody has, or waits.
func TestNextSession(t *testing.T) {
	s := newSite(t)
	s.sendSessions("a", "b")
	client := s.inside()
	first, err := client.AcceptNextSessionForQueue(s.ctx, inboxOf, nil)
	s.must(err)
	second, err := client.AcceptNextSessionForQueue(s.ctx, inboxOf, nil)
	s.must(err)
	if ids := []string{first.SessionID(), second.SessionID()}; !slices.Equal(ids, []string{"a", "b"}) {
		t.Errorf("sessions %v", ids)
	}
	brief, cancel := context.WithTimeout(s.ctx, 200*time.Millisecond)
	defer cancel()
	if r, err := client.AcceptNextSessionForQueue(brief, inboxOf, nil); err == nil {
		t.Errorf("a third session: %s", r.SessionID())
	}
	third := make(chan string, 1)
	go func() {
		r, err := s.inside().AcceptNextSessionForQueue(s.ctx, inboxOf, nil)
		if err != nil {
			third <- err.Error()
			return
		}
		third <- r.SessionID()
	}()
	s.sendSessions("c")
	if id := <-third; id != "c" {
		t.Errorf("third: %s", id)
	}
}

// A session that somebody has cannot be had, which is not tried again; when it
// is given back, it can.
func TestBusySession(t *testing.T) {
	s := newSite(t)
	s.sendSessions("a")
	r := s.session("a")
	m := s.receive(r, 1)[0]
	_, err := s.inside().AcceptSessionForQueue(s.ctx, inboxOf, "a", nil)
	failsWith(s, "a busy session", err, func(e *amqp.Error) bool { return e.Condition == "com.microsoft:session-cannot-be-locked" })
	before := r.LockedUntil()
	s.must(r.RenewSessionLock(s.ctx, nil))
	if r.LockedUntil().Before(before) {
		t.Errorf("locked until %v, and then until %v", before, r.LockedUntil())
	}
	s.must(r.AbandonMessage(s.ctx, m, nil))
	s.must(r.Close(s.ctx))
	r = s.session("a")
	if m := s.receive(r, 1)[0]; m.MessageID != "m0" || m.DeliveryCount != 2 {
		t.Errorf("%+v", m)
	}
}

// A session is held no longer than its lock.
func TestSessionLockLost(t *testing.T) {
	s := newSite(t)
	s.lock(2 * time.Second)
	s.sendSessions("a")
	old := s.session("a")
	m := s.receive(old, 1)[0]
	s.lock(time.Minute)                                                    // the next one
	next, err := s.inside().AcceptNextSessionForQueue(s.ctx, inboxOf, nil) // waits
	s.must(err)
	if next.SessionID() != "a" {
		t.Fatalf("session %s", next.SessionID())
	}
	failsWith(s, "complete", old.CompleteMessage(s.ctx, m, nil), func(e *amqp.Error) bool { return e.Condition == "com.microsoft:session-cannot-be-locked" })
	failsWith(s, "set the state", old.SetSessionState(s.ctx, []byte("late"), nil), func(e *amqp.Error) bool { return e.Condition == "com.microsoft:session-cannot-be-locked" })
	s.must(next.CompleteMessage(s.ctx, s.receive(next, 1)[0], nil))
}

// Inside a session messages are deferred, dead-lettered and peeked at.
func TestInSession(t *testing.T) {
	s := newSite(t)
	s.sendSessions("a", "a", "b", "a", "a")
	r := s.session("a")
	seen, err := r.PeekMessages(s.ctx, 10, nil)
	s.must(err)
	if len(seen) != 4 {
		t.Errorf("%d messages of the session are shown", len(seen))
	}
	got := s.receive(r, 4)
	s.must(r.DeferMessage(s.ctx, got[0], nil))
	s.must(r.DeadLetterMessage(s.ctx, got[1], &azservicebus.DeadLetterOptions{Reason: new("R")}))
	s.must(r.CompleteMessage(s.ctx, got[2], nil))
	s.must(r.AbandonMessage(s.ctx, got[3], nil))
	later, err := r.ReceiveDeferredMessages(s.ctx, []int64{*got[0].SequenceNumber}, nil)
	s.must(err)
	if later[0].MessageID != "m0" || *later[0].SessionID != "a" {
		t.Errorf("%+v", later[0])
	}
	s.must(r.CompleteMessage(s.ctx, later[0], nil))
	again := s.receive(r, 1)[0]
	if again.MessageID != "m4" || again.DeliveryCount != 2 {
		t.Errorf("%+v", again)
	}
	s.must(r.CompleteMessage(s.ctx, again, nil))
	if m := s.take(s.deadLetters()); m.MessageID != "m1" || *m.SessionID != "a" || *m.DeadLetterReason != "R" {
		t.Errorf("%+v", m)
	}
}

// A session is received and deleted.
func TestSessionReceiveAndDelete(t *testing.T) {
	s := newSite(t)
	s.sendSessions("a", "b", "a")
	r, err := s.inside().AcceptSessionForQueue(s.ctx, inboxOf, "a", &azservicebus.SessionReceiverOptions{ReceiveMode: azservicebus.ReceiveModeReceiveAndDelete})
	s.must(err)
	for _, m := range s.receive(r, 2) {
		if *m.SessionID != "a" {
			t.Errorf("%+v", m)
		}
	}
	s.must(r.Close(s.ctx))
	plain := s.receiver(nil)
	if m := s.take(plain); m.MessageID != "m1" {
		t.Errorf("%+v", m)
	}
	s.empty(plain)
}

// Sessions with messages or a state are listed.
func TestListSessions(t *testing.T) {
	s := newSite(t)
	const n = 130 // more than a page of the SDK has
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("s-%03d", i))
	}
	sender := s.sender()
	batch, err := sender.NewMessageBatch(s.ctx, nil)
	s.must(err)
	for _, id := range want {
		m := message(id, "")
		m.SessionID = &id
		s.must(batch.AddMessage(m, nil))
	}
	s.must(sender.SendMessageBatch(s.ctx, batch, nil))
	r := s.session("s-000")
	s.must(r.SetSessionState(s.ctx, []byte("kept"), nil))
	s.must(r.CompleteMessage(s.ctx, s.receive(r, 1)[0], nil))
	s.must(r.Close(s.ctx))
	var got []string
	for pager := s.inside().NewListSessionsForQueuePager(inboxOf, nil); pager.More(); {
		page, err := pager.NextPage(s.ctx)
		s.must(err)
		got = append(got, page.Sessions...)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%d sessions: %v", len(got), got)
	}
}
