package gate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/route"
	"github.com/gatehouse/gatehouse/rule"
)

func TestReceipt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.sender()
	o := one(t, s, &gatehouse.Message{Source: "/somebody/else", Hops: 9, Dead: &gatehouse.DeadLetter{}, To: note(0).To})
	if o.err != nil || o.ID == "" || len(o.Channels) != 1 || o.Channels[0] != work || o.Position.Offset == 0 || o.Enqueued.IsZero() || o.Duplicate || o.Scheduled {
		t.Fatalf("%+v", o)
	}
	d := receive(t, r.receiver(), false)
	m := d.Message
	if m.ID != o.ID || m.Source != "/"+account+"/endpoints/"+sender || m.Hops != 0 || m.Dead != nil || !m.Enqueued.Equal(o.Enqueued) || m.Channel != work {
		t.Errorf("%+v", m)
	}
}

// TestOrder says that outcomes come in the order of submission, refusals among
// receipts, though every message has another key and so another shard.
func TestOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.sender()
	const n = 500
	messages := make([]*gatehouse.Message, n)
	for i := range messages {
		messages[i] = note(i)
		messages[i].Key = fmt.Sprint(i)
		if i%7 == 3 {
			messages[i].Type = adaptertest.DeniedType
		}
	}
	var mu sync.Mutex
	var got []outcome
	done := make(chan struct{})
	for _, m := range messages {
		err := s.Submit(context.Background(), func(r gate.Receipt, err error) {
			mu.Lock()
			defer mu.Unlock()
			if got = append(got, outcome{r, err}); len(got) == n {
				close(done)
			}
		}, m)
		if err != nil {
			t.Fatal(err)
		}
	}
	<-done
	for i, o := range got {
		if i%7 == 3 {
			if !errors.Is(o.err, gatehouse.Forbidden) {
				t.Fatalf("outcome %d: %v", i, o.err)
			}
		} else if o.err != nil || o.ID != fmt.Sprint("n-", i) {
			t.Fatalf("outcome %d: %+v", i, o)
		}
	}
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.sender()
	for name, m := range map[string]*gatehouse.Message{
		"long id":         {ID: strings.Repeat("x", 513)},
		"address":         {To: []string{"nobody"}},
		"many addresses":  {To: make([]string, 1025)},
		"negative ttl":    {TTL: -1},
		"far future":      {NotBefore: time.Now().Add(11 * 365 * 24 * time.Hour)},
		"many attributes": {Attributes: make([]gatehouse.Attribute, 1025)},
	} {
		if o := one(t, s, m); !errors.Is(o.err, gatehouse.Invalid) {
			t.Errorf("%s: %v", name, o.err)
		}
	}
}

func TestSubmitAll(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.sender()
	bad := note(2)
	bad.Type = adaptertest.DeniedType
	for i, o := range submit(t, s, true, note(1), bad, note(3)) {
		if !errors.Is(o.err, gatehouse.Forbidden) || !strings.Contains(o.err.Error(), "message 2 of the batch") {
			t.Errorf("message %d: %v", i, o.err)
		}
	}
	nothing(t, r.receiver())
	for _, o := range submit(t, s, true, note(1), note(3)) {
		if o.err != nil {
			t.Error(o.err)
		}
	}
}

// TestFanOut says that a message without a channel goes to every channel that a
// rule allows, and one with a channel only there.
func TestFanOut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.change(&directory.ChannelSpec{Name: "Audit"}, &directory.ChannelSpec{Name: "closed"}, &directory.RouteSpec{Authorization: route.Authorization{
		Name: "closed", Direction: route.Ingress, Channels: rule.Selector{Names: []string{"closed"}}, Effect: route.Deny,
	}})
	s := r.sender()
	if o := one(t, s, note(1)); o.err != nil || fmt.Sprint(o.Channels) != "[Audit telemetry]" {
		t.Errorf("%v, %v", o.Channels, o.err)
	}
	m := note(2)
	m.To = append(m.To, "channels/AUDIT")
	if o := one(t, s, m); o.err != nil || fmt.Sprint(o.Channels) != "[Audit]" {
		t.Errorf("%v, %v", o.Channels, o.err)
	}
	m = note(3)
	m.To = []string{"channels/closed"}
	if o := one(t, s, m); !errors.Is(o.err, gatehouse.Forbidden) {
		t.Errorf("%v, %v", o.Channels, o.err)
	}
}

func TestDuplicates(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.change(&directory.ChannelSpec{Name: work, Duplicates: config.Duration(time.Hour)})
	s := r.sender()
	if o := one(t, s, note(1)); o.err != nil || o.Duplicate {
		t.Fatalf("%+v", o)
	}
	if o := one(t, s, note(1)); o.err != nil || !o.Duplicate {
		t.Fatalf("%+v", o)
	}
	l := r.receiver()
	receive(t, l, false)
	nothing(t, l)
	// The same id of another sender is another message, in the same partition too.
	first, second := note(2), note(2)
	first.Key, second.Key = "k", "k"
	if o := one(t, s, first); o.err != nil || o.Duplicate {
		t.Errorf("%+v", o)
	}
	if o := one(t, r.open(attempt(receiver, gatehouse.RightSend)), second); o.err != nil || o.Duplicate {
		t.Errorf("another sender's: %+v", o)
	}
}

func TestSchedule(t *testing.T) {
	bubble(t, func(r *rig) {
		m := note(1)
		m.NotBefore = time.Now().Add(time.Hour)
		if o := one(r.tb, r.sender(), m); o.err != nil || !o.Scheduled || len(o.Channels) != 0 {
			r.Fatalf("%+v", o)
		}
		<-time.After(59 * time.Minute)
		synctest.Wait()
		l := r.receiver()
		nothing(r.tb, l)
		d := receive(r.tb, l, false)
		if d.Message.ID != "n-1" || d.Message.Enqueued.Before(m.NotBefore) {
			r.Errorf("%+v", d.Message)
		}
	})
}

// TestCancelScheduled cancels what was scheduled: who sent it may, while it
// waits, in any session that may send.
func TestCancelScheduled(t *testing.T) {
	bubble(t, func(r *rig) {
		ctx := context.Background()
		s := r.sender()
		var numbers []uint64
		for i := range 3 {
			m := note(i)
			m.NotBefore = time.Now().Add(time.Hour)
			numbers = append(numbers, one(r.tb, s, m).Sequence)
		}
		if o := one(r.tb, s, note(9)); o.Sequence != 0 {
			r.Errorf("a message that is not scheduled has number %d", o.Sequence)
		}
		l := r.receiver()
		d := receive(r.tb, l, false)
		if err := l.Settle(ctx, false, inbox.Settlement{Lock: d.Lock}); err != nil || d.Message.ID != "n-9" {
			r.Errorf("%s came (%v)", d.Message.ID, err)
		}
		if err := r.open(attempt(receiver, gatehouse.RightSend)).CancelScheduled(ctx, numbers[0]); !errors.Is(err, gatehouse.NotFound) {
			r.Errorf("by another endpoint: %v", err)
		}
		if err := r.open(attempt(sender, gatehouse.RightListen)).CancelScheduled(ctx, numbers[0]); !errors.Is(err, gatehouse.Forbidden) {
			r.Errorf("without the right to send: %v", err)
		}
		s = r.sender()
		if err := s.CancelScheduled(ctx, numbers[0], numbers[2]); err != nil {
			r.Fatal(err)
		}
		waiting, err := s.PeekScheduled(0, 9)
		if err != nil || len(waiting) != 1 || waiting[0].Sequence != numbers[1] || waiting[0].Message.ID != "n-1" {
			r.Errorf("waiting: %+v (%v)", waiting, err)
		}
		<-time.After(time.Hour)
		synctest.Wait()
		if d := receive(r.tb, l, false); d.Message.ID != "n-1" {
			r.Errorf("%s came", d.Message.ID)
		}
		nothing(r.tb, l)
		if err := s.CancelScheduled(ctx, numbers[1]); !errors.Is(err, gatehouse.NotFound) {
			r.Errorf("what has been delivered: %v", err)
		}
	})
}

// TestScheduleIsDecidedAgain takes the right to send away before the message
// is due.
func TestScheduleIsDecidedAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		take   func(*rig)
		reason string
	}{
		"revoked":  {func(r *rig) { r.Revoke(sender) }, "Revoked"},
		"no route": {func(r *rig) { r.delete(directory.KindRoute, "in") }, gate.ReasonForbidden},
		"deleted":  {func(r *rig) { r.delete(directory.KindEndpoint, sender) }, "Revoked"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				m := note(1)
				m.NotBefore = time.Now().Add(time.Hour)
				if o := one(r.tb, r.sender(), m); o.err != nil {
					r.Fatal(o.err)
				}
				c.take(r)
				<-time.After(2 * time.Hour)
				synctest.Wait()
				nothing(r.tb, r.receiver())
				dead := r.dead(gate.ScheduleHandler)
				if len(dead) != 1 || dead[0].ID != "n-1" || dead[0].Dead == nil {
					r.Fatalf("dead letters: %+v", dead)
				}
				if dead[0].Dead.Reason != c.reason {
					r.Errorf("%+v", dead[0].Dead)
				}
			})
		})
	}
}

// TestScheduleOfFormerSender says that an endpoint has nothing to do with what a
// former one of its name has scheduled: that does not pass as its own.
func TestScheduleOfFormerSender(t *testing.T) {
	bubble(t, func(r *rig) {
		later := func(i int) uint64 {
			m := note(i)
			m.NotBefore = time.Now().Add(time.Hour)
			o := one(r.tb, r.sender(), m)
			if o.err != nil || !o.Scheduled {
				r.Fatalf("%+v", o)
			}
			return o.Sequence
		}
		former := later(1)
		r.Recreate(sender)
		s := r.sender()
		if waiting, err := s.PeekScheduled(0, 9); err != nil || len(waiting) != 0 {
			r.Errorf("it sees %+v (%v)", waiting, err)
		}
		if err := s.CancelScheduled(context.Background(), former); !errors.Is(err, gatehouse.NotFound) {
			r.Errorf("it cancels what is not its own: %v", err)
		}
		own := later(2)
		if waiting, err := s.PeekScheduled(0, 9); err != nil || len(waiting) != 1 || waiting[0].Sequence != own {
			r.Errorf("its own: %+v (%v)", waiting, err)
		}
		<-time.After(2 * time.Hour)
		synctest.Wait()
		l := r.receiver()
		if d := receive(r.tb, l, false); d.Message.ID != "n-2" {
			r.Errorf("%s came", d.Message.ID)
		}
		nothing(r.tb, l)
		dead := r.dead(gate.ScheduleHandler)
		if len(dead) != 1 || dead[0].ID != "n-1" || dead[0].Dead == nil || dead[0].Dead.Reason != "Revoked" {
			r.Errorf("dead letters: %+v", dead)
		}
	})
}

// TestDuplicateOfFormerSender says that an endpoint that was created again begins
// anew: the ids that the former one has used are free.
func TestDuplicateOfFormerSender(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.change(&directory.ChannelSpec{Name: work, Duplicates: config.Duration(time.Hour)})
	for range 2 {
		for try := range 2 {
			if o := one(t, r.sender(), note(1)); o.err != nil || o.Duplicate != (try > 0) {
				t.Errorf("try %d: %+v", try, o)
			}
		}
		r.Recreate(sender)
	}
}

// TestScheduleOfDeletedChannel says that a scheduled message leaves nothing
// behind under the name of a channel that was deleted.
func TestScheduleOfDeletedChannel(t *testing.T) {
	bubble(t, func(r *rig) {
		m := note(1)
		m.NotBefore = time.Now().Add(time.Hour)
		if o := one(r.tb, r.sender(), m); o.err != nil {
			r.Fatal(o.err)
		}
		r.delete(directory.KindChannel, work)
		<-time.After(2 * time.Hour)
		synctest.Wait()
		if dead := r.dead(gate.ScheduleHandler); len(dead) != 0 {
			r.Errorf("dead letters: %+v", dead)
		}
	})
}

// TestStorageFails says that a failed commit is told, and the next one goes.
func TestStorageFails(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.sender()
	r.engine.Fail(gatehouse.Errorf(gatehouse.Unavailable, "disk full"))
	if o := one(t, s, note(1)); !errors.Is(o.err, gatehouse.Unavailable) {
		t.Errorf("%+v", o)
	}
	r.engine.Fail(nil)
	if o := one(t, s, note(2)); o.err != nil {
		t.Errorf("%+v", o)
	}
	if d := receive(t, r.receiver(), false); d.Message.ID != "n-2" {
		t.Errorf("%+v", d.Message)
	}
}
