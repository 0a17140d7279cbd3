package inbox_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/inbox"
)

func mortal(id string, ttl time.Duration) *gatehouse.Message {
	m := msg(id)
	m.TTL = ttl
	return m
}

func policy(p inbox.Policy) inbox.Options {
	return inbox.Options{Policy: func(inbox.Key) inbox.Policy { return p }}
}

func TestExpiredIsDeadLettered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, inbox.Options{})
		defer r.stop()
		r.putAll(pump, mortal("a", time.Minute), msg("b"), mortal("c", 30*time.Minute))
		pass(time.Minute)
		// Not delivered from the moment it expired, swept or not.
		r.wantIDs(r.takeAll(pump), "b c")
		pass(2 * time.Second)
		got := r.takeAll(dead(pump))
		r.wantIDs(got, "a")
		if got[0].Message.Dead.Reason != inbox.ReasonExpired {
			t.Errorf("reason %q", got[0].Message.Dead.Reason)
		}
		if n := r.counted(r.buried, inbox.ReasonExpired); n != 1 {
			t.Errorf("%d counted, want 1", n)
		}
	})
}

func TestExpiredInAnIdleInbox(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := policy(inbox.Policy{MaxAge: time.Hour, DeadLetterMaxAge: 24 * time.Hour, DeadLetterExpired: true})
		o.Sweep = time.Minute
		r := start(t, o)
		defer r.stop()
		r.put(pump, numbered("m", 2000)...)
		pass(time.Hour + 2*time.Minute)
		if s := r.stats(pump); s.Dead != 2000 || s.Active != 0 {
			t.Errorf("stats %+v, want 2000 dead", s)
		}
		pass(24 * time.Hour)
		if s := r.stats(pump); s.Dead != 0 {
			t.Errorf("stats %+v, want none dead", s)
		}
		if n := r.counted(r.dropped, inbox.ReasonExpired); n != 2000 {
			t.Errorf("%d dead letters counted as dropped, want 2000", n)
		}
	})
}

func TestExpiredIsDroppedAndCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, policy(inbox.Policy{MaxAge: time.Minute}))
		defer r.stop()
		r.put(pump, "a", "b")
		pass(2 * time.Minute)
		if s := r.stats(pump); s != (inbox.Stats{}) {
			t.Errorf("stats %+v, want nothing", s)
		}
		if n := r.counted(r.dropped, inbox.ReasonExpired); n != 2 {
			t.Errorf("%d counted, want 2", n)
		}
	})
}

func TestALockOutlivesExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, policy(inbox.Policy{Lock: time.Hour, DeadLetterExpired: true}))
		defer r.stop()
		for _, id := range []string{"a", "b", "c"} {
			r.putAll(pump, mortal(id, time.Minute))
		}
		got := r.take(pump, inbox.ReceiveOptions{Max: 3})
		pass(30 * time.Minute)
		r.settle(pump, inbox.Complete, got[0])
		r.settle(pump, inbox.Abandon, got[1])
		pass(2 * time.Second)
		r.wantIDs(r.takeAll(dead(pump)), "b")
		pass(30 * time.Minute)
		r.wantIDs(r.takeAll(dead(pump)), "c")
		r.wantIDs(r.takeAll(pump), "")
	})
}

func TestDeferredExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, inbox.Options{})
		defer r.stop()
		r.putAll(pump, mortal("a", time.Minute))
		d := r.takeOne(pump)
		r.settle(pump, inbox.Defer, d)
		pass(time.Minute)
		_, err := r.ReceiveDeferred(context.Background(), pump, inbox.ReceiveOptions{}, d.Sequence)
		if err == nil {
			t.Error("a deferred message was received after it had expired")
		}
		pass(2 * time.Second)
		got := r.takeAll(dead(pump))
		r.wantIDs(got, "a")
		if got[0].Count != 1 {
			t.Errorf("delivery %d of the dead letter, want 1", got[0].Count)
		}
	})
}

func TestScheduled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, inbox.Options{})
		defer r.stop()
		at := func(id string, in time.Duration) *gatehouse.Message {
			m := msg(id)
			m.NotBefore = time.Now().Add(in)
			return m
		}
		r.putAll(pump, at("late", 10*time.Minute), at("soon", time.Minute), msg("now"))
		r.wantIDs(r.takeAll(pump), "now")
		if s := r.stats(pump); s.Scheduled != 2 || s.Locked != 1 {
			t.Errorf("stats %+v", s)
		}
		begun := time.Now()
		for _, want := range []struct {
			id string
			in time.Duration
		}{{"soon", time.Minute}, {"late", 10 * time.Minute}} {
			var got []*inbox.Delivery
			for len(got) == 0 || got[0].Message.ID == "now" {
				var err error
				got, err = r.Receive(context.Background(), pump, inbox.ReceiveOptions{})
				if err != nil {
					t.Fatal(err)
				}
				r.settle(pump, inbox.Complete, got...)
			}
			if in := time.Since(begun); got[0].Message.ID != want.id || in != want.in {
				t.Errorf("%s came after %v, want %s after %v", got[0].Message.ID, in, want.id, want.in)
			}
		}
	})
}

func TestScheduledFarBeyondWhatIsTracked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, policy(inbox.Policy{Lock: inbox.MaxLock}))
		defer r.stop()
		const n = 3000
		messages := make([]*gatehouse.Message, n)
		for i, id := range numbered("m", n) {
			messages[i] = msg(id)
			messages[i].NotBefore = time.Now().Add(time.Duration(n-i) * time.Second)
		}
		r.putAll(pump, messages...)
		r = r.restart(policy(inbox.Policy{Lock: inbox.MaxLock}))
		defer r.stop()
		ctx, cancel := context.WithCancel(context.Background())
		got := make(map[string]time.Time, n)
		for len(got) < n {
			d, err := r.Receive(ctx, pump, inbox.ReceiveOptions{Max: 10})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range d {
				if _, again := got[d.Message.ID]; again {
					t.Fatalf("%s came twice", d.Message.ID)
				}
				got[d.Message.ID] = time.Now()
			}
		}
		cancel()
		for _, m := range messages {
			if at := got[m.ID]; !at.Equal(m.NotBefore) {
				t.Fatalf("%s came %v after its time", m.ID, at.Sub(m.NotBefore))
			}
		}
	})
}

func TestIdleInboxesAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, inbox.Options{Idle: 5 * time.Second})
		defer r.stop()
		r.put(pump, "a", "b")
		r.settle(pump, inbox.Abandon, r.takeOne(pump))
		if n := r.Loaded(); n != 1 {
			t.Errorf("%d inboxes in memory, want 1", n)
		}
		pass(7 * time.Second)
		if n := r.Loaded(); n != 0 {
			t.Errorf("%d inboxes in memory, want 0", n)
		}
		got := r.takeAll(pump)
		r.wantIDs(got, "a b")
		if got[0].Count != 2 {
			t.Errorf("delivery %d, want 2", got[0].Count)
		}
		pass(7 * time.Second)
		if n := r.Loaded(); n != 1 {
			t.Errorf("%d inboxes in memory while messages are locked, want 1", n)
		}
	})
}
