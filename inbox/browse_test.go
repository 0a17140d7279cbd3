package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
	"github.com/gatehouse/gatehouse/inbox"
)

func always(*gatehouse.Message) error { return nil }

func TestPeek(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := start(t, inbox.Options{})
	late := msg("late")
	late.NotBefore = time.Now().Add(time.Hour)
	r.putAll(pump, msg("a"), msg("b"), late, msg("c"))
	got := r.take(pump, inbox.ReceiveOptions{Max: 2})
	r.settle(pump, inbox.Defer, got[1])
	seen, err := r.Peek(ctx, pump, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	r.wantIDs(seen, "a b late c")
	for i, want := range []inbox.State{inbox.Active, inbox.Deferred, inbox.Scheduled, inbox.Active} {
		if seen[i].State != want || !seen[i].Lock.IsZero() || seen[i].LockedUntil.IsZero() != (i != 0) {
			t.Errorf("%s is %v, locked until %v", seen[i].Message.ID, seen[i].State, seen[i].LockedUntil)
		}
	}
	seen, err = r.Peek(ctx, pump, seen[1].Sequence, 2)
	if err != nil {
		t.Fatal(err)
	}
	r.wantIDs(seen, "b late")
}

func TestPurge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		r := start(t, policy(inbox.Policy{MaxMessages: 1000, Lock: time.Hour}))
		defer r.stop()
		r.put(pump, numbered("old", 700)...)
		got := r.take(pump, inbox.ReceiveOptions{Max: 3})
		r.settle(pump, inbox.Defer, got[0])
		r.settle(pump, inbox.Abandon, got[1])
		pass(time.Minute)
		r.put(pump, "new")
		n, err := r.Purge(ctx, pump, time.Now().Add(-time.Second))
		if n != 699 || err != nil {
			t.Errorf("purged %d, %v; want 699", n, err)
		}
		r.wantIDs(r.takeAll(pump), "new")
		r.settle(pump, inbox.Complete, got[2])
		if errs := r.tryPut(pump, make1000()...); errs[998] != nil || errs[999] == nil {
			t.Errorf("the quota let in the wrong number: %v, %v", errs[998], errs[999])
		}
		n, err = r.Purge(ctx, pump, time.Time{})
		if n != 999 || err != nil {
			t.Errorf("purged %d, %v; want 999", n, err)
		}
	})
}

func make1000() []*gatehouse.Message {
	m := make([]*gatehouse.Message, 1000)
	for i, id := range numbered("m", 1000) {
		m[i] = msg(id)
	}
	return m
}

func TestResubmit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		r := start(t, inbox.Options{})
		defer r.stop()
		r.putAll(pump, msg("a"), mortal("b", time.Minute), msg("c"), msg("d"))
		got := r.take(pump, inbox.ReceiveOptions{Max: 4})
		r.settle(pump, inbox.DeadLetter, got...)
		letters := r.takeAll(dead(pump))
		r.settle(dead(pump), inbox.Release, letters[:3]...) // d stays locked
		pass(time.Hour)
		r.wantIDs(r.takeAll(dead(pump)), "a b c d")
		pass(time.Minute)
		res, err := r.Resubmit(ctx, pump, func(m *gatehouse.Message) error {
			if m.Dead != nil {
				t.Errorf("%s still says why it died", m.ID)
			}
			if m.ID == "c" {
				return gatehouse.Errorf(gatehouse.Forbidden, "no route")
			}
			return nil
		}, letters[0].Sequence, letters[1].Sequence, letters[2].Sequence, 99999)
		if err != nil || res.Moved != 2 || res.Kept != 2 || !errors.Is(res.Err, gatehouse.Forbidden) {
			t.Errorf("resubmitted %+v, %v", res, err)
		}
		back := r.takeAll(pump)
		r.wantIDs(back, "a b")
		if back[1].Count != 1 || back[1].Message.Dead != nil || !back[1].Expires.Equal(time.Now().Add(time.Minute)) {
			t.Errorf("delivery %d, %+v, expires %v", back[1].Count, back[1].Message.Dead, back[1].Expires)
		}
		r.wantIDs(r.take(dead(pump), inbox.ReceiveOptions{}), "c")
		res, err = r.Resubmit(ctx, pump, always)
		if err != nil || res.Moved != 1 || res.Kept != 1 || !errors.Is(res.Err, gatehouse.Conflict) {
			t.Errorf("resubmitted %+v, %v; want d, and c to be locked", res, err)
		}
		r.wantIDs(r.takeAll(pump), "d")
	})
}

func TestDelete(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		r := start(t, inbox.Options{})
		defer r.stop()
		r.putAll(pump, msg("a"), msg("b"), msg("c"), grouped("x1", "x"))
		got := r.take(pump, inbox.ReceiveOptions{Max: 3})
		r.settle(pump, inbox.DeadLetter, got[0])
		r.settle(pump, inbox.Abandon, got[1])
		x := r.accept(pump, "x")
		if err := r.SetSessionState(ctx, x, []byte("s")); err != nil {
			t.Fatal(err)
		}
		waiting := make(chan error)
		go func() {
			_, err := r.Receive(ctx, dead(pump), inbox.ReceiveOptions{})
			if err == nil {
				_, err = r.Receive(ctx, dead(pump), inbox.ReceiveOptions{})
			}
			waiting <- err
		}()
		synctest.Wait()
		if err := r.Delete(ctx, pump); err != nil {
			t.Fatal(err)
		}
		wantKind(t, <-waiting, gatehouse.NotFound)
		wantKind(t, r.Settle(ctx, pump, []inbox.Settlement{{Lock: got[2].Lock}}), gatehouse.LockLost)
		if s := r.stats(pump); s != (inbox.Stats{}) {
			t.Errorf("stats %+v, want nothing", s)
		}
		rows := 0
		if err := r.engine.State(r.Shard(pump)).Scan("", func(string, []byte) bool { rows++; return true }); err != nil || rows != 0 {
			t.Errorf("%d rows are left, %v", rows, err)
		}
		r.put(pump, "reborn")
		r.wantIDs(r.takeAll(pump), "reborn")
	})
}

// TestDeleteAccount leaves nothing of an account's inboxes, and all of others'.
func TestDeleteAccount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		r := start(t, inbox.Options{})
		defer r.stop()
		key := func(account, endpoint string) inbox.Key {
			return inbox.Key{Account: gatehouse.AccountName(account), Endpoint: gatehouse.EndpointName(endpoint)}
		}
		other, plain := key("Acme2", "pump"), key("Acme2", "panel")
		var mine []inbox.Key
		for i := range 600 {
			mine = append(mine, key("Acme", fmt.Sprintf("pump-%d", i)))
			r.put(mine[i], "m")
		}
		// Dead letters alone, the state of a group alone, a mark, and a lock.
		r.settle(mine[0], inbox.DeadLetter, r.take(mine[0], inbox.ReceiveOptions{Max: 1})[0])
		stateful := key("Acme", "stateful")
		for _, k := range []inbox.Key{stateful, other} {
			r.putAll(k, grouped("x1", "x"))
			x := r.accept(k, "x")
			if err := r.SetSessionState(ctx, x, []byte("s")); err != nil {
				t.Fatal(err)
			}
		}
		r.put(plain, "kept")
		r.settle(mine[1], inbox.Abandon, r.take(mine[1], inbox.ReceiveOptions{Max: 1})[0])
		r.take(mine[2], inbox.ReceiveOptions{Max: 1})
		if err := r.DeleteAccount(ctx, "aCME"); err != nil {
			t.Fatal(err)
		}
		for _, k := range append(mine, stateful) {
			if s := r.stats(k); s != (inbox.Stats{}) {
				t.Fatalf("stats %+v of %v, want nothing", s, k)
			}
		}
		for s := range r.engine.Shards() {
			err := r.engine.State(engine.Shard(s)).Scan("", func(key string, _ []byte) bool {
				if !strings.HasPrefix(key, "inbox/acme2/") {
					t.Errorf("row %q is left", key)
				}
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		r.wantIDs(r.takeAll(plain), "kept")
		if s := r.stats(other); s.Active+s.Locked != 1 {
			t.Errorf("stats %+v of another account", s)
		}
		r.put(mine[0], "reborn")
		r.wantIDs(r.takeAll(mine[0]), "reborn")
	})
}

func TestDamagedRecordIsPassedOver(t *testing.T) {
	t.Parallel()
	r := start(t, inbox.Options{})
	r.put(pump, "a")
	junk := func() *engine.Op {
		return &engine.Op{Records: []engine.Record{{Stream: "acme/pump-7", Queue: true, Data: []byte{0xff, 0, 0xff}}}}
	}
	if err := r.commit.Do(context.Background(), r.Shard(pump), junk()); err != nil {
		t.Fatal(err)
	}
	r.put(pump, "b")
	r.wantIDs(r.takeAll(pump), "a b")
	if err := r.commit.Do(context.Background(), r.Shard(pump), junk()); err != nil {
		t.Fatal(err)
	}
	r.put(pump, "c")
	r.wantIDs(r.takeAll(pump), "c")
	seen, err := r.Peek(context.Background(), pump, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	r.wantIDs(seen, "a b c")
	if r.corrupt != 2 {
		t.Errorf("%d damaged records reported, want each once", r.corrupt)
	}
}

// damagedEngine finds records damaged when it reads them.
type damagedEngine struct {
	engine.Engine
	damaged map[engine.Ref]bool
}

type damagedQueues struct {
	engine.Queues
	e *damagedEngine
}

func (e *damagedEngine) Own(ctx context.Context, s engine.Shard, put func(string, engine.Envelope)) (engine.Queues, error) {
	q, err := e.Engine.Own(ctx, s, put)
	return &damagedQueues{q, e}, err
}

func (q *damagedQueues) Scan(ctx context.Context, queue string, after gatehouse.Offset, limit int, data bool, dst []engine.Envelope) ([]engine.Envelope, error) {
	all, err := q.Queues.Scan(ctx, queue, after, limit, data, nil)
	for _, v := range all {
		if q.e.damaged[engine.Ref{Queue: queue, Offset: v.Offset}] {
			return dst, &engine.CorruptError{Stream: queue, Offset: v.Offset}
		}
		dst = append(dst, v)
	}
	return dst, err
}

func (q *damagedQueues) Get(ctx context.Context, queue string, o gatehouse.Offset) (engine.Envelope, error) {
	if q.e.damaged[engine.Ref{Queue: queue, Offset: o}] {
		return engine.Envelope{}, &engine.CorruptError{Stream: queue, Offset: o}
	}
	return q.Queues.Get(ctx, queue, o)
}

func TestCorruptRecordIsPassedOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := memory.New(memory.Options{})
		bad := &damagedEngine{Engine: e, damaged: make(map[engine.Ref]bool)}
		r := startWith(t, e, bad, policy(inbox.Policy{MaxMessages: 100, MaxAge: time.Hour, DeadLetterExpired: true}))
		defer r.stop()
		other := inbox.Key{Account: "acme", Endpoint: "pump-8"}
		r.put(pump, "a", "b", "c", "d")
		all := r.takeAll(pump)
		r.wantIDs(all, "a b c d")
		bad.damaged[engine.Ref{Queue: pump.String(), Offset: all[1].Sequence}] = true
		bad.damaged[engine.Ref{Queue: pump.String(), Offset: all[3].Sequence}] = true
		r.settle(pump, inbox.Release, all...)
		r.wantIDs(r.takeAll(pump), "a c")
		if r.corrupt != 2 {
			t.Errorf("%d damaged records reported, want 2", r.corrupt)
		}
		pass(5 * time.Minute) // so that the inbox is read anew
		r.wantIDs(r.takeAll(pump), "a c")
		if r.corrupt != 2 {
			t.Errorf("%d damaged records reported, want 2", r.corrupt)
		}
		r.put(other, "x")
		pass(2 * time.Hour)
		r.wantIDs(r.takeAll(dead(pump)), "a c")
		r.wantIDs(r.takeAll(dead(other)), "x")
		if n := r.counted(r.dropped, inbox.ReasonCorrupt); n != 2 {
			t.Errorf("%d damaged records dropped when they expired, want 2", n)
		}
	})
}

// TestForeignPuts: another node puts into a queue that this one owns.
func TestForeignPuts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, inbox.Options{})
		defer r.stop()
		donor := inbox.Key{Account: "acme", Endpoint: "donor"}
		r.putAll(donor, grouped("x1", "x"))
		var data []byte
		e, err := r.engine.Own(context.Background(), r.Shard(donor), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Scan(context.Background(), donor.String(), 0, 1, true, nil)
		if err != nil || len(got) != 1 {
			t.Fatalf("%d records, %v", len(got), err)
		}
		data = got[0].Data
		r = r.restart(inbox.Options{})
		defer r.stop()
		plain := make(chan []*inbox.Delivery)
		go func() {
			d, err := r.Receive(context.Background(), pump, inbox.ReceiveOptions{})
			if err != nil {
				t.Error(err)
			}
			plain <- d
		}()
		synctest.Wait()
		foreign := func(k inbox.Key) {
			op := &engine.Op{Records: []engine.Record{{Stream: k.String(), Queue: true, Data: data}}}
			if err := r.commit.Do(context.Background(), r.Shard(k), op); err != nil {
				t.Fatal(err)
			}
		}
		foreign(pump)
		r.wantIDs(<-plain, "x1")
		accepted := make(chan *inbox.SessionLock)
		other := inbox.Key{Account: "acme", Endpoint: "pump-8"}
		go func() {
			l, err := r.AcceptSession(context.Background(), other, "", 0)
			if err != nil {
				t.Error(err)
			}
			accepted <- l
		}()
		synctest.Wait()
		foreign(other)
		x := <-accepted
		r.wantIDs(r.takeSession(x), "x1")
		foreign(other)
		d, err := r.Receive(context.Background(), other, inbox.ReceiveOptions{Session: x})
		if err != nil {
			t.Fatal(err)
		}
		r.wantIDs(d, "x1")
	})
}

func TestNotRunning(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := start(t, inbox.Options{})
	r.put(pump, "a")
	waiting := make(chan error)
	r.takeOne(pump)
	go func() {
		_, err := r.Receive(ctx, pump, inbox.ReceiveOptions{})
		waiting <- err
	}()
	r.stop()
	wantKind(t, <-waiting, gatehouse.Unavailable)
	_, err := r.Receive(ctx, pump, inbox.ReceiveOptions{})
	wantKind(t, err, gatehouse.Unavailable)
	wantKind(t, r.Settle(ctx, pump, []inbox.Settlement{{}}), gatehouse.Unavailable)
	_, err = r.Peek(ctx, pump, 0, 1)
	wantKind(t, err, gatehouse.Unavailable)
	wantKind(t, r.Delete(ctx, pump), gatehouse.Unavailable)
}

func TestLockToken(t *testing.T) {
	t.Parallel()
	r := start(t, inbox.Options{})
	r.put(pump, "a")
	d := r.takeOne(pump)
	token, err := inbox.ParseLockToken(d.Lock.String())
	if err != nil || token != d.Lock {
		t.Fatalf("%v came back as %v, %v", d.Lock, token, err)
	}
	if s := d.Lock.String(); s[14] != '8' || !strings.ContainsRune("89ab", rune(s[19])) {
		t.Errorf("%s is not a UUID of version 8", s)
	}
	for _, bad := range []string{"", "x", d.Lock.String()[1:], "{" + d.Lock.String() + "}"} {
		_, err := inbox.ParseLockToken(bad)
		wantKind(t, err, gatehouse.Invalid)
	}
	r.settle(pump, inbox.Complete, d)
}
