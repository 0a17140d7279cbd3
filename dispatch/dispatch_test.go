package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/dispatch"
	"github.com/gatehouse/gatehouse/handler"
)

func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, dispatch.Options{}, spec("h", work(forward)))
		const keys, each = 6, 300
		for i := range each {
			batch := make([]*gatehouse.Message, keys)
			for k := range keys {
				batch[k] = &gatehouse.Message{ID: fmt.Sprintf("%d-%03d", k, i), Key: fmt.Sprint("k", k), Subject: fmt.Sprint("e", k)}
			}
			r.putAll(batch...)
		}
		synctest.Wait()
		for k := range keys {
			r.want("endpoint", r.out(fmt.Sprint("e", k)), numbered(fmt.Sprintf("%d-%%03d", k), each))
		}
		if n := r.counted(&r.handled); n != keys*each {
			t.Errorf("%d messages were told handled; want %d", n, keys*each)
		}
		r.checkBatches()
	})
}

// checkBatches holds the batches to what handler.Batch promises.
func (r *rig) checkBatches() {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.batches {
		if b.Account != telemetry.Account || b.Channel != telemetry.Channel || b.Handler == "" || b.Group == "" || len(b.Outputs) == 0 {
			r.t.Errorf("batch %+v", b)
		}
		last := gatehouse.Offset(0)
		for _, o := range b.Outputs {
			if o.Source < last {
				r.t.Errorf("output of %d after one of %d", o.Source, last)
			}
			last = o.Source
		}
		if b.Through < last {
			r.t.Errorf("through %d, but the last output is of %d", b.Through, last)
		}
	}
}

func TestTransientIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []time.Duration
		began := time.Now()
		fail := errors.New("away")
		h := func(ctx context.Context, m *gatehouse.Message, out handler.Sender) error {
			out.Send("endpoints/e", m) // dropped if the call fails
			if m.ID == "b" {
				calls = append(calls, time.Since(began))
				if len(calls) < 6 {
					return handler.Transient(fail, 0)
				}
			}
			return nil
		}
		r := start(t, dispatch.Options{MinBackoff: time.Second, MaxBackoff: 4 * time.Second}, spec("h", work(h)))
		r.put("a", "b", "c")
		synctest.Wait()
		r.want("held up", r.out("e"), []string{"a"})
		pass(time.Hour)
		r.want("in the end", r.out("e"), []string{"a", "b", "c"})
		for i, most := range []time.Duration{1, 2, 4, 4, 4} {
			most *= time.Second
			if wait := calls[i+1] - calls[i]; wait < most/2 || wait > most {
				t.Errorf("attempt %d came after %v; want %v to %v", i+2, wait, most/2, most)
			}
		}
		if n := r.counted(&r.retried); n != 5 {
			t.Errorf("%d retries were told; want 5", n)
		}
	})
}

func TestTransientSaysWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limited := gatehouse.Errorf(gatehouse.RateLimited, "slow down")
		limited.RetryAfter = time.Hour
		var calls atomic.Int32
		h := func(context.Context, *gatehouse.Message, handler.Sender) error {
			if calls.Add(1) == 1 {
				return limited
			}
			return nil
		}
		r := start(t, dispatch.Options{}, spec("h", work(h)))
		r.put("a")
		pass(time.Hour - 1)
		if n := calls.Load(); n != 1 {
			t.Errorf("called %d times within the hour", n)
		}
		pass(1)
		if n, handled := calls.Load(), r.counted(&r.handled); n != 2 || handled != 1 {
			t.Errorf("called %d times after the hour, %d handled", n, handled)
		}
	})
}

func TestGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		h := func(_ context.Context, m *gatehouse.Message, out handler.Sender) error {
			switch m.ID {
			case "never":
				tries++
				return handler.Transient(errors.New("away"), 0)
			case "wrong":
				out.Send("endpoints/e", m)
				return gatehouse.Errorf(gatehouse.Invalid, "%s", strings.Repeat("é", 4000))
			case "rejected":
				return handler.Reject("NoDestination", errors.New("nowhere to go"))
			case "panic":
				panic("oh no")
			}
			return forward(context.Background(), m, out)
		}
		r := start(t, dispatch.Options{MaxAttempts: 3}, spec("H", work(h)))
		r.putAll(
			&gatehouse.Message{ID: "good", Subject: "e"}, &gatehouse.Message{ID: "wrong"}, &gatehouse.Message{ID: "panic"},
			&gatehouse.Message{ID: "hops", Hops: gatehouse.MaxHops + 1}, &gatehouse.Message{ID: "16 hops", Hops: gatehouse.MaxHops, Subject: "e"},
			&gatehouse.Message{ID: "never"}, &gatehouse.Message{ID: "rejected"}, &gatehouse.Message{ID: "last", Subject: "e"},
		)
		pass(time.Minute)
		r.want("sent", r.out("e"), []string{"good", "16 hops", "last"})
		want := []string{"wrong:HandlerFailed", "panic:HandlerFailed", "hops:HopLimitExceeded", "never:MaxAttemptsExceeded", "rejected:NoDestination"}
		r.want("dead letters", r.deadIDs("h"), want)
		r.want("told", r.buried, want)
		if tries != 3 {
			t.Errorf("%d attempts; want 3", tries)
		}
		for _, m := range r.dead("h") {
			if m.Dead.From != "channels/Telemetry" || m.Dead.Description == "" || len(m.Dead.Description) > 1100 || m.Dead.Time.IsZero() {
				t.Errorf("%s: %+v", m.ID, m.Dead)
			}
		}
		if n := r.counted(&r.handled); n != 8 {
			t.Errorf("%d messages were told handled; want 8", n)
		}
		r.checkBatches()
	})
}

func TestTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := func(ctx context.Context, m *gatehouse.Message, out handler.Sender) error {
			if m.ID == "slow" {
				<-time.After(time.Minute)
			}
			return forward(ctx, m, out)
		}
		r := start(t, dispatch.Options{}, spec("h", work(h)))
		r.putAll(
			&gatehouse.Message{ID: "slow", Subject: "e", TTL: time.Minute}, &gatehouse.Message{ID: "short", Subject: "e", TTL: time.Minute},
			&gatehouse.Message{ID: "long", Subject: "e", TTL: time.Minute + 1},
		)
		pass(time.Hour)
		r.want("sent", r.out("e"), []string{"slow", "long"})
		r.want("dead letters", r.deadIDs("h"), []string{"short:TTLExpired"})
	})
}

// A handler that is slow, or that fails, delays only itself.
func TestOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := func(ctx context.Context, _ *gatehouse.Message, _ handler.Sender) error {
			<-ctx.Done()
			return ctx.Err()
		}
		failing := func(context.Context, *gatehouse.Message, handler.Sender) error {
			return handler.Transient(errors.New("away"), 0)
		}
		r := start(t, dispatch.Options{}, spec("stuck", work(stuck)), spec("failing", work(failing)), spec("good", work(forward)))
		for i := range 20 {
			r.put(fmt.Sprintf("%02d", i))
			pass(time.Second)
			r.want("sent", r.out("e"), numbered("%02d", i+1))
		}
		r.want("dead letters", slices.Concat(r.deadIDs("stuck"), r.deadIDs("failing")), nil)
	})
}

func TestUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		into := func(endpoint string) work {
			return func(_ context.Context, m *gatehouse.Message, out handler.Sender) error {
				out.Send("endpoints/"+endpoint, m)
				return nil
			}
		}
		var ended atomic.Int32
		slow := work(func(ctx context.Context, m *gatehouse.Message, out handler.Sender) error {
			<-ctx.Done()
			ended.Add(1)
			return ctx.Err()
		})
		first, kept := spec("First", into("first")), spec("slow", slow)
		r := start(t, dispatch.Options{}, first, kept)
		r.put("1")
		synctest.Wait()

		same := spec("first", into("ignored")) // the same revision
		r.Use([]dispatch.Spec{same, kept})
		r.put("2")
		synctest.Wait()
		r.want("first", r.out("first"), []string{"1", "2"})
		r.want("ignored", r.out("ignored"), nil)

		changed := spec("FIRST", into("changed"))
		changed.Revision = 2
		r.Use([]dispatch.Spec{same, changed, kept, spec("new", into("new"))}) // the last counts
		r.put("3")
		synctest.Wait()
		r.want("first", r.out("first"), []string{"1", "2"})
		r.want("changed", r.out("changed"), []string{"3"})
		r.want("new", r.out("new"), []string{"1", "2", "3"})
		if ended.Load() != 0 {
			t.Error("a handler that did not change was stopped")
		}

		r.Use([]dispatch.Spec{changed})
		if ended.Load() == 0 {
			t.Error("a handler that was removed still runs")
		}
		r.put("4")
		synctest.Wait()
		r.want("new", r.out("new"), []string{"1", "2", "3"})
		r.Use([]dispatch.Spec{changed, spec("new", into("new"))})
		synctest.Wait()
		r.want("new again", r.out("new"), []string{"1", "2", "3", "4"})
	})
}

func TestRestartGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		h := func(_ context.Context, m *gatehouse.Message, _ handler.Sender) error {
			seen = append(seen, m.ID)
			return nil
		}
		r := start(t, dispatch.Options{}, spec("h", work(h)))
		for i := range 2000 {
			r.put(fmt.Sprintf("%04d", i))
			if i%400 == 0 {
				r.restart()
			}
		}
		synctest.Wait()
		r.want("seen", seen, numbered("%04d", 2000))
	})
}

// What a handler has finished is stored when it is stopped in the middle of a
// round, and what it has not is handled by the next.
func TestStopInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		h := func(ctx context.Context, m *gatehouse.Message, out handler.Sender) error {
			if m.ID == "c" && len(seen) == 2 {
				seen = append(seen, "stopped")
				<-ctx.Done()
				return errors.New("stopped in the middle") // not what m deserves
			}
			seen = append(seen, m.ID)
			return forward(ctx, m, out)
		}
		r := start(t, dispatch.Options{}, spec("h", work(h)))
		r.put("a", "b", "c", "d")
		synctest.Wait()
		r.restart()
		synctest.Wait()
		r.want("seen", seen, []string{"a", "b", "stopped", "c", "d"})
		r.want("sent", r.out("e"), []string{"a", "b", "c", "d"})
		r.want("dead letters", r.deadIDs("h"), nil)
	})
}

func TestFromNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, dispatch.Options{})
		r.put("1", "2")
		s := spec("h", work(forward))
		s.FromNow = true
		r.Use([]dispatch.Spec{s})
		synctest.Wait()
		r.Use(nil)
		r.put("3") // while it does not run
		r.Use([]dispatch.Spec{s})
		r.put("4")
		synctest.Wait()
		r.want("sent", r.out("e"), []string{"3", "4"})
	})
}

func TestDeliverFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		h := func(ctx context.Context, m *gatehouse.Message, out handler.Sender) error {
			calls++
			return forward(ctx, m, out)
		}
		r := start(t, dispatch.Options{MaxAttempts: 2}, spec("h", work(h)))
		r.failing = func(*handler.Batch) error { return errDisk }
		r.put("a", "b")
		pass(time.Hour) // many attempts: storage that fails is not the message's fault
		r.mu.Lock()
		r.failing = nil
		r.mu.Unlock()
		pass(time.Minute)
		r.want("sent", r.out("e"), []string{"a", "b"})
		r.want("dead letters", r.deadIDs("h"), nil)
		if calls < 100 {
			t.Errorf("handled %d times within an hour", calls)
		}
		r.checkBatches()
	})
}

// A cursor that could not be stored is stored later, though nothing comes.
func TestCursorIsStoredLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		r := start(t, dispatch.Options{})
		h := func(_ context.Context, m *gatehouse.Message, _ handler.Sender) error {
			seen = append(seen, m.ID)
			r.engine.Fail(errDisk)
			return nil
		}
		r.Use([]dispatch.Spec{spec("h", work(h))})
		r.put("a")
		pass(time.Hour)
		shard := r.set.Shard(telemetry.Account, "")
		if _, ok, _ := r.set.Cursor(telemetry, dispatch.Group("H"), shard); ok {
			t.Fatal("the cursor was stored though storage failed")
		}
		r.engine.Fail(nil)
		pass(time.Minute)
		if _, ok, err := r.set.Cursor(telemetry, dispatch.Group("H"), shard); !ok {
			t.Errorf("the cursor is not stored (%v)", err)
		}
		r.want("seen", seen, []string{"a"})
	})
}

func TestDamageIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, dispatch.Options{})
		r.put("a", "b", "c")
		shard := r.set.Shard(telemetry.Account, "")
		first, next, _, err := r.set.Bounds(t.Context(), telemetry, shard)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []gatehouse.Offset{first, next - 1} {
			if !r.engine.Damage(shard, "acme/telemetry", false, o) {
				t.Fatal("nothing to damage")
			}
		}
		r.Use([]dispatch.Spec{spec("h", work(forward))})
		synctest.Wait()
		r.want("sent", r.out("e"), []string{"b"})
		if n := r.counted(&r.damaged); n != 2 {
			t.Errorf("%d damaged records were told; want 2", n)
		}
		cursor, _, err := r.set.Cursor(telemetry, dispatch.Group("h"), shard)
		if cursor != next || err != nil {
			t.Errorf("the cursor is at %d, %v; want %d", cursor, err, next)
		}
	})
}
