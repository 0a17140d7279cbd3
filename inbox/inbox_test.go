package inbox_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/inbox"
)

func TestPutReceiveComplete(t *testing.T) {
	t.Parallel()
	r := start(t, inbox.Options{})
	r.put(pump, "a", "b", "c")
	got := r.take(pump, inbox.ReceiveOptions{Max: 2})
	r.wantIDs(got, "a b")
	d := got[0]
	if d.Count != 1 || d.Sequence == 0 || d.Lock.IsZero() || d.LockedUntil.IsZero() || d.Enqueued.IsZero() {
		t.Errorf("delivery %+v lacks something", d)
	}
	if string(d.Message.Body) != "body of a" {
		t.Errorf("body %q", d.Message.Body)
	}
	r.settle(pump, inbox.Complete, got...)
	r.wantIDs(r.takeAll(pump), "c")
	if s := r.stats(pump); s.Locked != 1 || s.Active != 0 || s.Bytes == 0 || s.Oldest.IsZero() {
		t.Errorf("stats %+v, want one locked", s)
	}
}

func TestNamesAreComparedWithoutCase(t *testing.T) {
	t.Parallel()
	r := start(t, inbox.Options{})
	r.put(inbox.Key{Account: "ACME", Endpoint: "Pump-7"}, "a")
	d := r.takeOne(inbox.Key{Account: "acme", Endpoint: "PUMP-7"})
	r.settle(pump, inbox.Complete, d)
}

func TestInboxesAreSeparate(t *testing.T) {
	t.Parallel()
	r := start(t, inbox.Options{})
	r.put(pump, "a")
	for _, k := range []inbox.Key{{Account: "acme", Endpoint: "pump-77"}, {Account: "acme2", Endpoint: "pump-7"}, dead(pump)} {
		r.wantIDs(r.takeAll(k), "")
	}
	d := r.takeOne(pump)
	other := inbox.Key{Account: "acme", Endpoint: "pump-8"}
	err := r.Settle(context.Background(), other, []inbox.Settlement{{Lock: d.Lock}})
	wantKind(t, err, gatehouse.LockLost)
}

func TestReceiveWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, inbox.Options{})
		defer r.stop()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := r.Receive(ctx, pump, inbox.ReceiveOptions{})
		if err != context.DeadlineExceeded {
			t.Fatalf("error %v, want the deadline's", err)
		}
		got := make(chan []*inbox.Delivery)
		go func() {
			d, err := r.Receive(context.Background(), pump, inbox.ReceiveOptions{})
			if err != nil {
				t.Errorf("Receive: %v", err)
			}
			got <- d
		}()
		synctest.Wait()
		r.put(pump, "a")
		r.wantIDs(<-got, "a")
	})
}

func TestReceiversAreServedInTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, inbox.Options{})
		defer r.stop()
		const n = 5
		order := make(chan int, n)
		for i := range n {
			go func() {
				d, err := r.Receive(context.Background(), pump, inbox.ReceiveOptions{Max: 3})
				if err != nil || len(d) != 1 {
					t.Errorf("received %d messages, %v", len(d), err)
				}
				order <- i
			}()
			synctest.Wait()
		}
		for i := range n {
			r.put(pump, "m")
			if got := <-order; got != i {
				t.Errorf("receiver %d was served, want %d", got, i)
			}
		}
	})
}

// Large messages are not all given at once, but one in any case.
func TestReceiveBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, inbox.Options{})
		defer r.stop()
		for i, size := range []int{inbox.MaxReceiveBytes - 1, 1, 1, 2 * inbox.MaxReceiveBytes, 1} {
			m := msg(string(rune('a' + i)))
			m.Body = make([]byte, size)
			r.putAll(pump, m)
		}
		for _, want := range []int{2, 2, 1} {
			var got []*inbox.Delivery
			if want == 2 {
				got = r.take(pump, inbox.ReceiveOptions{Max: 10})
			} else {
				given := make(chan []*inbox.Delivery, 1)
				if _, err := r.ReceiveLater(context.Background(), pump, inbox.ReceiveOptions{Max: 10}, func(list []*inbox.Delivery, _ error) { given <- list }); err != nil {
					t.Fatal(err)
				}
				got = <-given
			}
			if len(got) != want {
				t.Errorf("received %d messages, want %d", len(got), want)
			}
		}
	})
}

func TestAbandonReturnsToItsPlaceAndCounts(t *testing.T) {
	t.Parallel()
	r := start(t, inbox.Options{})
	r.put(pump, "a", "b", "c", "d")
	got := r.take(pump, inbox.ReceiveOptions{Max: 3})
	r.settle(pump, inbox.Abandon, got[1])
	again := r.takeOne(pump)
	if again.Message.ID != "b" || again.Count != 2 {
		t.Fatalf("got %s, delivery %d; want b, delivery 2", again.Message.ID, again.Count)
	}
	r.settle(pump, inbox.Release, again, got[0])
	all := r.takeAll(pump)
	r.wantIDs(all, "a b d")
	if all[0].Count != 1 || all[1].Count != 2 {
		t.Errorf("counts %d and %d after a release, want 1 and 2", all[0].Count, all[1].Count)
	}
}

func TestCountsSurviveARestart(t *testing.T) {
	t.Parallel()
	r := start(t, inbox.Options{})
	r.put(pump, "a", "b")
	for range 3 {
		r.settle(pump, inbox.Abandon, r.takeOne(pump))
	}
	r.takeOne(pump) // under way at the restart: not counted
	r = r.restart(inbox.Options{})
	all := r.takeAll(pump)
	r.wantIDs(all, "a b")
	if all[0].Count != 4 || all[1].Count != 1 {
		t.Errorf("counts %d and %d, want 4 and 1", all[0].Count, all[1].Count)
	}
	r.settle(pump, inbox.Complete, all...)
	rows := 0
	if err := r.engine.State(r.Shard(pump)).Scan("inbox/", func(string, []byte) bool { rows++; return true }); err != nil || rows != 0 {
		t.Errorf("%d rows are left of messages that are gone, %v", rows, err)
	}
}

func TestLockExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, inbox.Options{})
		defer r.stop()
		r.put(pump, "a", "b")
		first := r.takeOne(pump)
		if want := time.Now().Add(30 * time.Second); !first.LockedUntil.Equal(want) {
			t.Errorf("locked until %v, want %v", first.LockedUntil, want)
		}
		r.settle(pump, inbox.Complete, r.takeOne(pump))
		waiting := make(chan []*inbox.Delivery)
		begun := time.Now()
		go func() {
			d, _ := r.Receive(context.Background(), pump, inbox.ReceiveOptions{})
			waiting <- d
		}()
		got := <-waiting
		r.wantIDs(got, "a")
		if waited := time.Since(begun); waited != 30*time.Second {
			t.Errorf("came again after %v, want 30s", waited)
		}
		if got[0].Count != 2 || got[0].Lock == first.Lock {
			t.Errorf("delivery %d with the lock of the first: %v", got[0].Count, got[0].Lock == first.Lock)
		}
		err := r.Settle(context.Background(), pump, []inbox.Settlement{{Sequence: first.Sequence, Lock: first.Lock}})
		wantKind(t, err, gatehouse.LockLost)
		if r.expired != 1 {
			t.Errorf("%d locks counted as expired, want 1", r.expired)
		}
		r.settle(pump, inbox.Complete, got...)
	})
}

func TestRenew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, inbox.Options{})
		defer r.stop()
		r.put(pump, "a")
		d := r.take(pump, inbox.ReceiveOptions{Lock: 10 * time.Second})[0]
		for range 5 {
			pass(8 * time.Second)
			until, err := r.Renew(pump, d.Sequence, d.Lock)
			if err != nil || !until.Equal(time.Now().Add(10*time.Second)) {
				t.Fatalf("renewed until %v, %v", until, err)
			}
		}
		pass(10 * time.Second)
		_, err := r.Renew(pump, 0, d.Lock)
		wantKind(t, err, gatehouse.LockLost)
	})
}

func TestSettlingTwice(t *testing.T) {
	t.Parallel()
	r := start(t, inbox.Options{})
	r.put(pump, "a", "b")
	got := r.take(pump, inbox.ReceiveOptions{Max: 2})
	s := []inbox.Settlement{
		{Lock: got[0].Lock}, // the token alone will do
		{Lock: got[0].Lock, Outcome: inbox.Abandon},
		{Sequence: got[0].Sequence, Lock: got[1].Lock},
		{Lock: got[1].Lock, Outcome: 77},
		{Sequence: got[1].Sequence, Lock: got[1].Lock},
	}
	err := r.Settle(context.Background(), pump, s)
	wantKind(t, err, gatehouse.LockLost)
	for i, want := range []error{nil, gatehouse.LockLost, gatehouse.LockLost, gatehouse.Invalid, nil} {
		if want == nil && s[i].Err == nil {
			continue
		}
		wantKind(t, s[i].Err, want.(gatehouse.Kind))
	}
	if s := r.stats(pump); s != (inbox.Stats{}) {
		t.Errorf("stats %+v, want nothing left", s)
	}
}

func TestMaxDeliveries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, inbox.Options{Policy: func(inbox.Key) inbox.Policy { return inbox.Policy{MaxDeliveries: 3} }})
		defer r.stop()
		r.put(pump, "a", "b")
		for range 3 {
			r.settle(pump, inbox.Abandon, r.takeOne(pump))
		}
		for range 3 {
			r.wantIDs(r.take(pump, inbox.ReceiveOptions{}), "b")
			pass(30 * time.Second)
		}
		r.wantIDs(r.takeAll(pump), "")
		got := r.takeAll(dead(pump))
		r.wantIDs(got, "a b")
		for _, d := range got {
			k := d.Message.Dead
			if k == nil || k.Reason != inbox.ReasonMaxDeliveries || k.From != "endpoints/pump-7" || k.Time.IsZero() || !strings.Contains(k.Description, "3 times") {
				t.Errorf("dead letter %s says %+v", d.Message.ID, k)
			}
		}
		if n := r.counted(r.buried, inbox.ReasonMaxDeliveries); n != 2 {
			t.Errorf("%d dead letters counted, want 2", n)
		}
		// Dead letters stay however often they are abandoned.
		for range 5 {
			r.settle(dead(pump), inbox.Abandon, got...)
			got = r.takeAll(dead(pump))
			r.wantIDs(got, "a b")
		}
	})
}

func TestDeadLetterByReceiver(t *testing.T) {
	t.Parallel()
	r := start(t, inbox.Options{})
	r.put(pump, "a", "b")
	got := r.take(pump, inbox.ReceiveOptions{Max: 2})
	err := r.Settle(context.Background(), pump, []inbox.Settlement{
		{Lock: got[0].Lock, Outcome: inbox.DeadLetter, Reason: "Broken", Description: "no such valve", Attributes: []gatehouse.Attribute{{Name: "by", Value: gatehouse.String("test")}}},
		{Lock: got[1].Lock, Outcome: inbox.DeadLetter},
	})
	if err != nil {
		t.Fatal(err)
	}
	letters := r.takeAll(dead(pump))
	r.wantIDs(letters, "a b")
	if k := letters[0].Message.Dead; k.Reason != "Broken" || k.Description != "no such valve" {
		t.Errorf("dead letter says %+v", k)
	}
	if v, ok := letters[0].Message.Attribute("by"); !ok || v.Str() != "test" {
		t.Errorf("changed attribute is %q, %v", v.Text(), ok)
	}
	if k := letters[1].Message.Dead; k.Reason != inbox.ReasonReceiver {
		t.Errorf("dead letter says %+v", k)
	}
	err = r.Settle(context.Background(), dead(pump), []inbox.Settlement{{Lock: letters[0].Lock, Outcome: inbox.DeadLetter}})
	wantKind(t, err, gatehouse.Invalid)
	if s := r.stats(pump); s.Dead != 2 || s.Active+s.Locked != 0 {
		t.Errorf("stats %+v, want two dead", s)
	}
}

func TestChangedAttributes(t *testing.T) {
	t.Parallel()
	r := start(t, inbox.Options{})
	m := msg("a")
	m.Attributes = []gatehouse.Attribute{{Name: "x", Value: gatehouse.String("1")}, {Name: "y", Value: gatehouse.String("2")}}
	r.putAll(pump, m)
	change := func(outcome inbox.Outcome, name, value string) {
		t.Helper()
		d := r.takeOne(pump)
		err := r.Settle(context.Background(), pump, []inbox.Settlement{{Lock: d.Lock, Outcome: outcome, Attributes: []gatehouse.Attribute{{Name: name, Value: gatehouse.String(value)}}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	change(inbox.Abandon, "x", "changed")
	change(inbox.Release, "z", "new")
	r = r.restart(inbox.Options{})
	d := r.takeOne(pump)
	text := ""
	for _, a := range d.Message.Attributes {
		text += a.Name + "=" + a.Value.Str() + " "
	}
	if text != "x=changed y=2 z=new " {
		t.Errorf("attributes %q", text)
	}
	if len(m.Attributes) != 2 || m.Attributes[0].Value.Str() != "1" {
		t.Error("the message that was put has changed")
	}
	r.settle(pump, inbox.Complete, d)
}

func TestDefer(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := start(t, inbox.Options{})
	r.put(pump, "a", "b", "c")
	got := r.take(pump, inbox.ReceiveOptions{Max: 2})
	r.settle(pump, inbox.Defer, got...)
	r = r.restart(inbox.Options{})
	r.wantIDs(r.takeAll(pump), "c")
	if s := r.stats(pump); s.Deferred != 2 {
		t.Errorf("stats %+v, want two deferred", s)
	}
	_, err := r.ReceiveDeferred(ctx, pump, inbox.ReceiveOptions{}, got[0].Sequence, 4711)
	wantKind(t, err, gatehouse.NotFound)
	d, err := r.ReceiveDeferred(ctx, pump, inbox.ReceiveOptions{}, got[1].Sequence, got[0].Sequence)
	if err != nil {
		t.Fatal(err)
	}
	r.wantIDs(d, "b a")
	if d[0].State != inbox.Deferred || d[0].Count != 1 {
		t.Errorf("state %v, delivery %d", d[0].State, d[0].Count)
	}
	_, err = r.ReceiveDeferred(ctx, pump, inbox.ReceiveOptions{}, got[1].Sequence)
	wantKind(t, err, gatehouse.Conflict)
	r.settle(pump, inbox.Complete, d[0])
	r.settle(pump, inbox.Abandon, d[1])
	r.wantIDs(r.takeAll(pump), "")
	d, err = r.ReceiveDeferred(ctx, pump, inbox.ReceiveOptions{Delete: true}, got[0].Sequence)
	if err != nil {
		t.Fatal(err)
	}
	if d[0].Count != 2 || !d[0].Lock.IsZero() {
		t.Errorf("delivery %d, lock %v; want the second, without a lock", d[0].Count, d[0].Lock)
	}
	if s := r.stats(pump); s.Deferred != 0 || s.Locked != 1 {
		t.Errorf("stats %+v, want only c", s)
	}
}

func TestReceiveAndDelete(t *testing.T) {
	t.Parallel()
	r := start(t, inbox.Options{})
	r.put(pump, "a", "b", "c")
	got := r.take(pump, inbox.ReceiveOptions{Max: 2, Delete: true})
	r.wantIDs(got, "a b")
	if !got[0].Lock.IsZero() {
		t.Error("a deleted message has a lock")
	}
	r = r.restart(inbox.Options{})
	r.wantIDs(r.takeAll(pump), "c")
}

func TestReceiveAndDeleteReturnsNothingItCouldNotDelete(t *testing.T) {
	t.Parallel()
	r := start(t, inbox.Options{})
	r.put(pump, "a")
	r.wantIDs(r.take(pump, inbox.ReceiveOptions{}), "a") // so that it is in memory
	r = r.restart(inbox.Options{})
	r.engine.Fail(gatehouse.Errorf(gatehouse.Unavailable, "disk full"))
	_, err := r.Receive(context.Background(), pump, inbox.ReceiveOptions{Delete: true})
	wantKind(t, err, gatehouse.Unavailable)
	r.engine.Fail(nil)
	r.wantIDs(r.take(pump, inbox.ReceiveOptions{Delete: true}), "a")
}

func TestSettleFailureKeepsTheLock(t *testing.T) {
	t.Parallel()
	r := start(t, inbox.Options{})
	r.put(pump, "a")
	d := r.takeOne(pump)
	r.engine.Fail(gatehouse.Errorf(gatehouse.Unavailable, "disk full"))
	for _, o := range []inbox.Outcome{inbox.Complete, inbox.Abandon, inbox.Defer, inbox.DeadLetter} {
		s := []inbox.Settlement{{Lock: d.Lock, Outcome: o}}
		wantKind(t, r.Settle(context.Background(), pump, s), gatehouse.Unavailable)
		wantKind(t, s[0].Err, gatehouse.Unavailable)
		r.wantIDs(r.takeAll(pump), "")
	}
	r.engine.Fail(nil)
	r.settle(pump, inbox.Complete, d)
	if s := r.stats(pump); s != (inbox.Stats{}) {
		t.Errorf("stats %+v, want nothing left", s)
	}
}

func TestDeepBacklogInOrder(t *testing.T) {
	t.Parallel()
	r := start(t, inbox.Options{})
	want := numbered("m", 5000)
	for i := 0; i < len(want); i += 500 {
		r.put(pump, want[i:i+500]...)
	}
	r = r.restart(inbox.Options{})
	got := r.takeAll(pump)
	r.wantIDs(got, strings.Join(want, " "))
	// All return at once: more than a window holds.
	for i := 0; i < len(got); i += 1000 {
		r.settle(pump, inbox.Abandon, got[i:i+1000]...)
	}
	got = r.takeAll(pump)
	r.wantIDs(got, strings.Join(want, " "))
	for _, d := range got {
		if d.Count != 2 {
			t.Fatalf("%s is delivery %d, want 2", d.Message.ID, d.Count)
		}
	}
}

func TestMarkIsStoredWithThePuts(t *testing.T) {
	t.Parallel()
	r := start(t, inbox.Options{})
	done := make(chan error, 1)
	puts := []inbox.Put{{Key: pump, Message: msg("a")}}
	row := engine.Row{Key: "mark/x", Value: []byte("7")}
	if err := r.Deliver(context.Background(), r.Shard(pump), puts, row, func(err error) { done <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if v, err := r.engine.State(r.Shard(pump)).Get("mark/x"); string(v) != "7" || err != nil {
		t.Errorf("mark is %q, %v", v, err)
	}
	r.engine.Fail(gatehouse.Errorf(gatehouse.Unavailable, "disk full"))
	row.Value = []byte("8")
	if err := r.Deliver(context.Background(), r.Shard(pump), puts, row, func(err error) { done <- err }); err != nil {
		t.Fatal(err)
	}
	wantKind(t, <-done, gatehouse.Unavailable)
	r.engine.Fail(nil)
	if v, _ := r.engine.State(r.Shard(pump)).Get("mark/x"); string(v) != "7" {
		t.Errorf("mark is %q after a failed commit, want 7", v)
	}
	r.wantIDs(r.takeAll(pump), "a")
	other := engine.Shard(0)
	if r.Shard(pump) == 0 {
		other = 1
	}
	wantKind(t, r.Deliver(context.Background(), other, puts, engine.Row{}, nil), gatehouse.Invalid)
}
