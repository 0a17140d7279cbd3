package channel_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/engine"
)

// from makes a message that source sends.
func from(source, id, key string) *gatehouse.Message {
	m := msg(id)
	m.Source, m.Key = source, key
	return m
}

func (r *rig) runSchedules() (stop func()) {
	var stops []func()
	for i := range r.Partitions() {
		stops = append(stops, r.runSchedule(engine.Shard(i)))
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// waiting returns the ids that a source has scheduled.
func (r *rig) waiting(source string, after uint64, limit int) (ids []string) {
	r.t.Helper()
	all, err := r.ScheduledBy(channel.Sender{Source: source}, after, limit)
	if err != nil {
		r.t.Fatal(err)
	}
	for i, w := range all {
		ids = append(ids, w.Message.ID)
		if w.Sequence < after || i > 0 && w.Sequence <= all[i-1].Sequence {
			r.t.Errorf("%s has number %d", w.Message.ID, w.Sequence)
		}
	}
	slices.Sort(ids)
	return ids
}

// What was cancelled is never released, whatever happens; only who sent it may
// cancel it, and only while it waits.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		ctx := t.Context()
		const me, other = "/Acme/endpoints/Me", "/Acme/endpoints/me2"
		numbers := map[string]uint64{}
		for i := range 20 { // over all shards
			id := fmt.Sprintf("%02d", i)
			numbers[id] = r.schedule(from(me, id, id), time.Hour, to(0, telemetry)).Sequence
		}
		mine := r.schedule(from(other, "other", ""), time.Hour, to(0, telemetry)).Sequence
		seen := map[uint64]bool{mine: true}
		for id, n := range numbers {
			if n == 0 || seen[n] {
				t.Errorf("%s has number %d", id, n)
			}
			seen[n] = true
		}
		refused := func(source string, all ...uint64) {
			t.Helper()
			if err := r.Cancel(ctx, channel.Sender{Source: source}, all...); !errors.Is(err, gatehouse.NotFound) {
				t.Errorf("cancelling %v as %s: %v", all, source, err)
			}
		}
		refused(me, mine)
		refused(other, numbers["00"])
		refused(me, 0, 1<<63)
		refused(me, numbers["00"], numbers["01"], mine) // all or nothing
		if got := r.waiting(me, 0, 100); !slices.Equal(got, numbered("%02d", 20)) {
			t.Errorf("waiting: %q", got)
		}
		if got := r.waiting("/acme/endpoints/ME", numbers["19"], 1); len(got) != 1 {
			t.Errorf("waiting: %q", got)
		}
		var gone []uint64
		for i := range 10 {
			gone = append(gone, numbers[fmt.Sprintf("%02d", 2*i)])
		}
		if err := r.Cancel(ctx, channel.Sender{Source: me}, gone...); err != nil {
			t.Fatal(err)
		}
		refused(me, gone[0])
		r.restart()
		refused(me, gone[0])
		if err := r.Cancel(ctx, channel.Sender{Source: me}, numbers["01"]); err != nil {
			t.Fatal(err)
		}
		again := r.schedule(from(me, "again", "01"), time.Hour, to(0, telemetry)).Sequence
		if seen[again] {
			t.Errorf("number %d was given twice", again)
		}
		defer r.runSchedules()()
		pass(time.Hour)
		got := r.ids(telemetry)
		slices.Sort(got)
		want := []string{"03", "05", "07", "09", "11", "13", "15", "17", "19", "again", "other"}
		if !slices.Equal(got, want) {
			t.Errorf("released: %q", got)
		}
		refused(me, numbers["03"])
		for i := range r.Partitions() {
			if n := r.NumberRows(engine.Shard(i)); n != 0 {
				t.Errorf("%d rows are left in shard %d", n, i)
			}
		}
	})
}

// A message is cancelled or released, not both, when both are tried at once.
func TestCancelWhileReleasing(t *testing.T) {
	t.Parallel()
	r := start(t)
	const n = 200
	var numbers []uint64
	for i := range n {
		numbers = append(numbers, r.schedule(from("me", fmt.Sprintf("%03d", i), ""), 20*time.Millisecond, to(0, telemetry)).Sequence)
	}
	stop := r.runSchedules()
	cancelled := map[string]bool{}
	for i, number := range slices.Backward(numbers) {
		if err := r.Cancel(t.Context(), channel.Sender{Source: "me"}, number); err == nil {
			cancelled[fmt.Sprintf("%03d", i)] = true
		} else if !errors.Is(err, gatehouse.NotFound) {
			t.Fatal(err)
		}
	}
	stop()
	released := r.ids(telemetry)
	if len(released)+len(cancelled) != n {
		t.Errorf("%d were released and %d cancelled of %d", len(released), len(cancelled), n)
	}
	for _, id := range released {
		if cancelled[id] {
			t.Errorf("%s was cancelled and released", id)
		}
	}
}

// A sender's retry gets the number of the original.
func TestScheduledTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		for i := range 2 {
			r.held.hold()
			shard := r.Shard("acme", "")
			m := func() *gatehouse.Message {
				m := from("me", fmt.Sprint("m", i), "")
				m.NotBefore = time.Now().Add(time.Hour)
				return m
			}
			first := r.submit(r.Schedule, m(), to(time.Hour, telemetry))
			second := r.submit(r.Schedule, m(), to(time.Hour, telemetry)) // on its way still
			r.held.await(shard, 1)
			r.held.release(shard)
			a, b := <-first, <-second
			c := <-r.submit(r.Schedule, m(), to(time.Hour, telemetry)) // stored
			if a.Sequence == 0 || b.Sequence != a.Sequence || c.Sequence != a.Sequence || !b.Duplicate || !c.Duplicate || a.Duplicate {
				t.Errorf("numbers %d, %d, %d", a.Sequence, b.Sequence, c.Sequence)
			}
			r.restart()
			if d := <-r.submit(r.Schedule, m(), to(time.Hour, telemetry)); d.Sequence != a.Sequence || !d.Duplicate {
				t.Errorf("number %d after a restart", d.Sequence)
			}
		}
		if got := r.waiting("me", 0, 9); !slices.Equal(got, []string{"m0", "m1"}) {
			t.Errorf("waiting: %q", got)
		}
	})
}

// While storage fails nothing is cancelled, and nothing lost.
func TestCancelFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		number := r.schedule(from("me", "m", ""), time.Hour, to(0, telemetry)).Sequence
		r.engine.Fail(errDisk)
		if err := r.Cancel(t.Context(), channel.Sender{Source: "me"}, number); !isDisk(err) {
			t.Errorf("Cancel: %v", err)
		}
		r.engine.Fail(nil)
		if err := r.Cancel(t.Context(), channel.Sender{Source: "me"}, number); err != nil {
			t.Error(err)
		}
	})
}
