package inbox_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/inbox"
)

func (r *rig) accept(k inbox.Key, group string) *inbox.SessionLock {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	l, err := r.AcceptSession(ctx, k, group, 0)
	if err != nil {
		r.t.Fatalf("AcceptSession(%q): %v", group, err)
	}
	return l
}

func (r *rig) takeSession(l *inbox.SessionLock) []*inbox.Delivery {
	r.t.Helper()
	var all []*inbox.Delivery
	for {
		got := r.take(l.Key, inbox.ReceiveOptions{Max: 100, Session: l})
		if len(got) == 0 {
			return all
		}
		all = append(all, got...)
	}
}

func TestSessionIsExclusiveAndInOrder(t *testing.T) {
	t.Parallel()
	r := start(t, inbox.Options{})
	r.putAll(pump, msg("plain1"), grouped("x1", "x"), grouped("y1", "y"), grouped("x2", "x"), msg("plain2"))
	x := r.accept(pump, "x")
	_, err := r.AcceptSession(context.Background(), pump, "x", 0)
	wantKind(t, err, gatehouse.Conflict)
	r.wantIDs(r.takeAll(pump), "plain1 y1 plain2")
	got := r.take(pump, inbox.ReceiveOptions{Session: x})
	r.wantIDs(got, "x1")
	r.settle(pump, inbox.Abandon, got...)
	r.putAll(pump, grouped("x3", "x"), grouped("y2", "y"))
	got = r.takeSession(x)
	r.wantIDs(got, "x1 x2 x3")
	if got[0].Count != 2 || !got[0].LockedUntil.Equal(x.LockedUntil) {
		t.Errorf("delivery %d, locked until %v; want 2 and the session's %v", got[0].Count, got[0].LockedUntil, x.LockedUntil)
	}
	r.settle(pump, inbox.Complete, got[0])
	r.wantIDs(r.takeAll(pump), "y2")
	if err := r.ReleaseSession(x); err != nil {
		t.Fatal(err)
	}
	wantKind(t, r.ReleaseSession(x), gatehouse.LockLost)
	_, err = r.Receive(context.Background(), pump, inbox.ReceiveOptions{Session: x})
	wantKind(t, err, gatehouse.LockLost)
	err = r.Settle(context.Background(), pump, []inbox.Settlement{{Lock: got[1].Lock}})
	wantKind(t, err, gatehouse.LockLost)
	got = r.takeAll(pump)
	r.wantIDs(got, "x2 x3")
	if got[0].Count != 1 {
		t.Errorf("delivery %d after a release, want 1", got[0].Count)
	}
}

func TestSessionRunsOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, inbox.Options{})
		defer r.stop()
		r.putAll(pump, grouped("x1", "x"), grouped("x2", "x"))
		x := r.accept(pump, "x")
		r.wantIDs(r.takeSession(x), "x1 x2")
		pass(20 * time.Second)
		until, err := r.RenewSession(x)
		if err != nil || !until.Equal(time.Now().Add(30*time.Second)) {
			t.Fatalf("renewed until %v, %v", until, err)
		}
		waiting := make(chan error)
		go func() {
			_, err := r.Receive(context.Background(), pump, inbox.ReceiveOptions{Session: x})
			waiting <- err
		}()
		plain := make(chan []*inbox.Delivery)
		go func() {
			d, _ := r.Receive(context.Background(), pump, inbox.ReceiveOptions{Max: 2})
			plain <- d
		}()
		begun := time.Now()
		wantKind(t, <-waiting, gatehouse.LockLost)
		if d := time.Since(begun); d != 30*time.Second {
			t.Errorf("the session ended after %v, want 30s", d)
		}
		got := <-plain
		got = append(got, r.takeAll(pump)...)
		r.wantIDs(got, "x1 x2")
		if got[0].Count != 2 {
			t.Errorf("delivery %d after the session ran out, want 2", got[0].Count)
		}
		_, err = r.RenewSession(x)
		wantKind(t, err, gatehouse.LockLost)
	})
}

func TestAcceptNextSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, inbox.Options{})
		defer r.stop()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		r.put(pump, "plain")
		_, err := r.AcceptSession(ctx, pump, "", 0)
		if err != context.DeadlineExceeded {
			t.Fatalf("error %v, want the deadline's", err)
		}
		accepted := make(chan *inbox.SessionLock, 3)
		for range 3 {
			go func() {
				l, err := r.AcceptSession(context.Background(), pump, "", 0)
				if err != nil {
					t.Error(err)
				}
				accepted <- l
			}()
		}
		synctest.Wait()
		r.putAll(pump, grouped("x1", "x"), grouped("y1", "y"), grouped("x2", "x"))
		synctest.Wait()
		groups := make(map[string]*inbox.SessionLock)
		for range 2 {
			l := <-accepted
			groups[l.Group] = l
		}
		if len(groups) != 2 || groups["x"] == nil || groups["y"] == nil {
			t.Fatalf("accepted %v, want x and y", groups)
		}
		r.wantIDs(r.takeSession(groups["x"]), "x1 x2")
		// The third waits until a group is free again.
		if err := r.ReleaseSession(groups["x"]); err != nil {
			t.Fatal(err)
		}
		third := <-accepted
		if third.Group != "x" {
			t.Errorf("accepted %q, want x", third.Group)
		}
		r.wantIDs(r.takeSession(third), "x1 x2")
		r.wantIDs(r.takeAll(pump), "plain")
	})
}

// However the messages of a group come, and whoever is told of which: who
// accepts the group gets it from its first message on.
func TestAcceptersGetWholeGroups(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, inbox.Options{})
		defer r.stop()
		const groups, each = 8, 16
		accepted := make(chan *inbox.SessionLock, groups)
		for range groups {
			go func() {
				l, err := r.AcceptSession(context.Background(), pump, "", 0)
				if err != nil {
					t.Error(err)
				}
				accepted <- l
			}()
			synctest.Wait()
		}
		var messages []*gatehouse.Message
		want := make(map[string][]string)
		for i := range each * groups {
			g := fmt.Sprintf("g%d", i*7%groups)
			m := grouped(fmt.Sprintf("m%03d", i), g)
			messages, want[g] = append(messages, m), append(want[g], m.ID)
		}
		r.putAll(pump, messages...)
		for range groups {
			l := <-accepted
			r.wantIDs(r.takeSession(l), strings.Join(want[l.Group], " "))
			delete(want, l.Group)
		}
		if len(want) > 0 {
			t.Errorf("nobody accepted %v", want)
		}
	})
}

func TestAcceptersTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, inbox.Options{})
		defer r.stop()
		var order []int
		var waiting sync.WaitGroup
		gone, leave := context.WithCancel(context.Background())
		for i := range 4 {
			waiting.Go(func() {
				ctx := context.Background()
				if i == 1 {
					ctx = gone
				}
				if _, err := r.AcceptSession(ctx, pump, "", 0); err != nil {
					i = -i
				}
				order = append(order, i)
			})
			synctest.Wait()
		}
		leave()
		for i := range 3 {
			synctest.Wait()
			r.putAll(pump, grouped(fmt.Sprint(i), fmt.Sprint(i)))
		}
		waiting.Wait()
		if !slices.Equal(order, []int{-1, 0, 2, 3}) {
			t.Errorf("accepted in the order %v, want -1 (left), 0, 2, 3", order)
		}
	})
}

func TestSessionInADeepBacklog(t *testing.T) {
	t.Parallel()
	r := start(t, inbox.Options{})
	var messages []*gatehouse.Message
	var want []string
	for i := range 4000 {
		g := fmt.Sprintf("g%d", i%10)
		m := grouped(fmt.Sprintf("m%04d", i), g)
		messages = append(messages, m)
		if g == "g3" {
			want = append(want, m.ID)
		}
	}
	r.putAll(pump, messages...)
	s := r.accept(pump, "g3")
	var got []*inbox.Delivery
	plain := 0
	for {
		d := r.take(pump, inbox.ReceiveOptions{Max: 30, Session: s})
		plain += len(r.take(pump, inbox.ReceiveOptions{Max: 90}))
		if len(d) == 0 {
			break
		}
		got = append(got, d...)
	}
	r.wantIDs(got, strings.Join(want, " "))
	for _, d := range r.takeAll(pump) {
		if d.Message.Group == "g3" {
			t.Fatalf("%s was given away although its group is locked", d.Message.ID)
		}
		plain++
	}
	if plain != 3600 {
		t.Errorf("%d messages of other groups, want 3600", plain)
	}
	r.settle(pump, inbox.Complete, got[:100]...)
	if err := r.ReleaseSession(s); err != nil {
		t.Fatal(err)
	}
	r.wantIDs(r.takeAll(pump), strings.Join(want[100:], " "))
}

func TestSessionState(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := start(t, inbox.Options{})
	x := r.accept(pump, "x")
	if v, err := r.SessionState(x); v != nil || err != nil {
		t.Errorf("state %q, %v; want none", v, err)
	}
	if err := r.SetSessionState(ctx, x, []byte("half way")); err != nil {
		t.Fatal(err)
	}
	wantKind(t, r.SetSessionState(ctx, x, make([]byte, inbox.MaxSessionState+1)), gatehouse.TooLarge)
	r = r.restart(inbox.Options{})
	wantKind(t, r.SetSessionState(ctx, x, nil), gatehouse.LockLost)
	r.putAll(pump, grouped("y1", "y"), grouped("z1", "z"), msg("plain"))
	names, err := r.Sessions(ctx, pump)
	if err != nil || strings.Join(names, " ") != "x y z" {
		t.Errorf("sessions %q, %v", names, err)
	}
	x = r.accept(pump, "x")
	if v, err := r.SessionState(x); string(v) != "half way" || err != nil {
		t.Errorf("state %q, %v", v, err)
	}
	if err := r.SetSessionState(ctx, x, nil); err != nil {
		t.Fatal(err)
	}
	if v, err := r.SessionState(x); v != nil || err != nil {
		t.Errorf("state %q, %v; want none", v, err)
	}
}

func TestDeferredOfALockedGroup(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := start(t, inbox.Options{})
	r.putAll(pump, grouped("x1", "x"))
	d := r.takeOne(pump)
	r.settle(pump, inbox.Defer, d)
	x := r.accept(pump, "x")
	_, err := r.ReceiveDeferred(ctx, pump, inbox.ReceiveOptions{}, d.Sequence)
	wantKind(t, err, gatehouse.Conflict)
	got, err := r.ReceiveDeferred(ctx, pump, inbox.ReceiveOptions{Session: x}, d.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	r.settle(pump, inbox.Complete, got...)
}
