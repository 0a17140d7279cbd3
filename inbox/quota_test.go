package inbox_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/inbox"
)

func TestQuotaRefuses(t *testing.T) {
	t.Parallel()
	o := policy(inbox.Policy{MaxMessages: 3})
	r := start(t, o)
	errs := r.tryPut(pump, msg("a"), msg("b"), msg("c"), msg("d"))
	if errs[0] != nil || errs[1] != nil || errs[2] != nil {
		t.Fatalf("refused too early: %v", errs)
	}
	wantKind(t, errs[3], gatehouse.QuotaExceeded)
	if text := errs[3].Error(); !strings.Contains(text, "acme/pump-7") || !strings.Contains(text, "3 allowed") {
		t.Errorf("text %q does not name the inbox and its limit", text)
	}
	wantKind(t, r.tryPut(pump, msg("e"))[0], gatehouse.QuotaExceeded)
	r = r.restart(o) // counted anew
	wantKind(t, r.tryPut(pump, msg("f"))[0], gatehouse.QuotaExceeded)
	r.settle(pump, inbox.Complete, r.takeOne(pump))
	errs = r.tryPut(pump, msg("g"), msg("h"))
	if errs[0] != nil {
		t.Errorf("refused although there is room: %v", errs[0])
	}
	wantKind(t, errs[1], gatehouse.QuotaExceeded)
	r.wantIDs(r.takeAll(pump), "b c g")
}

func TestQuotaOfBytes(t *testing.T) {
	t.Parallel()
	r := start(t, policy(inbox.Policy{MaxBytes: 10_000}))
	big := msg("big")
	big.Body = make([]byte, 20_000)
	wantKind(t, r.tryPut(pump, big)[0], gatehouse.QuotaExceeded)
	n := 0
	for i := 0; i < 1000; i++ {
		m := msg("m")
		m.Body = []byte(strings.Repeat("x", 1000))
		if r.tryPut(pump, m)[0] != nil {
			break
		}
		n++
	}
	if s := r.stats(pump); n < 2 || n > 9 || s.Bytes > 10_000 {
		t.Errorf("%d messages of 1,000 bytes, %d bytes in all, were let in", n, s.Bytes)
	}
}

func TestQuotaCountsWhatIsInFlight(t *testing.T) {
	t.Parallel()
	r := start(t, policy(inbox.Policy{MaxMessages: 10}))
	const n = 500
	puts := make([][]inbox.Put, n)
	var done sync.WaitGroup
	done.Add(n)
	var writers sync.WaitGroup
	for w := range 10 {
		writers.Go(func() {
			for i := w; i < n; i += 10 {
				puts[i] = []inbox.Put{{Key: pump, Message: msg(fmt.Sprint(i))}}
				err := r.Deliver(context.Background(), r.Shard(pump), puts[i], engine.Row{}, func(err error) {
					if err != nil {
						t.Error(err)
					}
					done.Done()
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	done.Wait()
	accepted := 0
	for i := range puts {
		if puts[i][0].Err == nil {
			accepted++
		}
	}
	if accepted != 10 || r.stats(pump).Active != 10 {
		t.Errorf("%d accepted, stats %+v; want 10", accepted, r.stats(pump))
	}
}

func TestQuotaDropsOldest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, policy(inbox.Policy{MaxMessages: 3, OnFull: inbox.DropOldest, Lock: time.Hour}))
		defer r.stop()
		r.put(pump, "a", "b", "c")
		locked := r.takeOne(pump)
		r.put(pump, "d", "e")
		synctest.Wait()
		r.wantIDs(r.takeAll(pump), "d e") // and a, which is locked
		if n := r.counted(r.dropped, inbox.ReasonQuota); n != 2 {
			t.Errorf("%d counted as dropped, want 2", n)
		}
		r.settle(pump, inbox.Complete, locked)
	})
}

func TestQuotaDeadLettersTheNew(t *testing.T) {
	t.Parallel()
	r := start(t, policy(inbox.Policy{MaxMessages: 2, OnFull: inbox.DeadLetterNew}))
	r.put(pump, "a", "b", "c", "d")
	r.wantIDs(r.takeAll(pump), "a b")
	got := r.takeAll(dead(pump))
	r.wantIDs(got, "c d")
	if k := got[0].Message.Dead; k == nil || k.Reason != inbox.ReasonQuota {
		t.Errorf("dead letter says %+v", k)
	}
	_, err := r.Resubmit(context.Background(), pump, func(*gatehouse.Message) error { return nil }, got[0].Sequence)
	if err != nil {
		t.Fatal(err)
	}
	if s := r.stats(pump); s.Dead != 2 {
		t.Errorf("stats %+v: a dead letter was moved into a full inbox", s)
	}
}

func TestQuotaAfterExpiryAndDeadLetters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, policy(inbox.Policy{MaxMessages: 3, MaxAge: time.Minute, DeadLetterExpired: true}))
		defer r.stop()
		for round := range 5 {
			r.put(pump, "a", "b", "c")
			wantKind(t, r.tryPut(pump, msg("d"))[0], gatehouse.QuotaExceeded)
			r.settle(pump, inbox.DeadLetter, r.takeOne(pump))
			pass(2 * time.Minute)
			if s := r.stats(pump); s.Dead != 3*(round+1) {
				t.Fatalf("stats %+v in round %d", s, round)
			}
		}
	})
}
