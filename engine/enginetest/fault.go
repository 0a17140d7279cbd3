package enginetest

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

var faultTests = []test{
	{"RefusesAndRecovers", faulty(faultRecovers)},
	{"DoneInOrder", faulty(faultOrder)},
	{"Again", faulty(faultAgain)},
	{"Tables", faulty(faultTables)},
}

// faulty makes a test of one that is run for each fault of the harness.
func faulty(run func(r *rig, fail func(bool))) func(*testing.T, Harness) {
	return func(t *testing.T, h Harness) {
		if len(h.Faults) == 0 {
			t.Skip("the harness cannot fail")
		}
		for _, f := range h.Faults {
			t.Run(f.Name, func(t *testing.T) {
				t.Parallel()
				run(openFault(t, h, f))
			})
		}
	}
}

func openFault(t *testing.T, h Harness, f Fault) (*rig, func(bool)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r := &rig{t: t, h: h, ctx: ctx}
	e, set := f.Open(t)
	t.Cleanup(func() { set(false) })
	return r.use(e), set
}

// faultBytes is how much a failing storage may still take.
const faultBytes = 256 << 20

// untilRefused commits batches, numbered from, until one is refused, and
// returns the number of the first that was.
func (r *rig) untilRefused(from int) int {
	r.t.Helper()
	const size = 64 << 10
	for i := from; i < from+faultBytes/size; i++ {
		if err := r.try(0, faultBatch(i, size)); err != nil {
			r.kind(err, gatehouse.Unavailable)
			return i
		}
	}
	r.t.Fatalf("storage does not fail: %d MiB were stored", faultBytes>>20)
	return 0
}

// faultBatch makes a batch of two records and a row.
func faultBatch(i, size int) *engine.Batch {
	data := filled(size, byte(i))
	copy(data, fmt.Sprintf("%08d", i))
	return &engine.Batch{
		Records: []engine.Record{{Stream: "log", Data: data}, {Stream: "queue", Queue: true, Data: data}},
		State:   []engine.Row{{Key: fmt.Sprintf("%08d", i), Value: []byte("x")}},
	}
}

// wantBatches fails the test unless the batches up to end are there, in order,
// but for those that need not be; of those, all or nothing.
func (r *rig) wantBatches(q engine.Queues, end int, optional map[int]bool) {
	r.t.Helper()
	var logged, queued, rows []int
	number := func(all []int, text string) []int {
		n, err := strconv.Atoi(text[:8])
		r.ok(err)
		return append(all, n)
	}
	for _, e := range r.read(0, "log", 0) {
		logged = number(logged, e.data)
	}
	for _, e := range r.scan(q, "queue") {
		queued = number(queued, string(e.Data))
	}
	r.ok(r.e.State(0).Scan("", func(key string, _ []byte) bool { rows = number(rows, key); return true }))
	r.equal(queued, logged)
	r.equal(rows, logged)
	next := 0
	for _, n := range logged {
		for ; next < n; next++ {
			if !optional[next] {
				r.t.Fatalf("batch %d was acknowledged and is not there", next)
			}
		}
		if n != next {
			r.t.Fatalf("batch %d comes after batch %d", n, next-1)
		}
		next++
	}
	for ; next < end; next++ {
		if !optional[next] {
			r.t.Fatalf("batch %d was acknowledged and is not there", next)
		}
	}
}

func faultRecovers(r *rig, fail func(bool)) {
	q := r.own(0)
	n := 0
	for ; n < 20; n++ {
		r.commit(0, faultBatch(n, 1000))
	}
	r.update("t", set("a", "1"))
	fail(true)
	n = r.untilRefused(n)
	optional := map[int]bool{n: true}
	r.wantBatches(q, n+1, optional)
	for range 5 {
		n++
		optional[n] = true
		r.kind(r.try(0, faultBatch(n, 100_000)), gatehouse.Unavailable)
		r.wantBatches(q, n+1, optional)
	}
	r.equal(r.table("t"), "a=1;")
	fail(false)
	r.eventually(func() error {
		n++
		err := r.try(0, faultBatch(n, 1000))
		optional[n] = err != nil
		return err
	})
	r.wantBatches(q, n+1, optional)
	for range 20 {
		n++
		r.commit(0, faultBatch(n, 1000))
	}
	r.wantBatches(q, n+1, optional)
	r.ok(r.try(1, puts(true, "queue", "another shard")))
	if r.h.Reopen != nil {
		r.reopen()
		r.wantBatches(r.own(0), n+1, optional)
	}
}

// faultOrder: outcomes keep their order when storage fails in between.
func faultOrder(r *rig, fail func(bool)) {
	q := r.own(0)
	type outcome struct {
		i   int
		err error
	}
	const n = 120
	outcomes := make(chan outcome, n)
	for i := range n {
		if i == n/3 {
			fail(true)
		}
		if i == 2*n/3 {
			fail(false)
		}
		r.e.Commit(0, faultBatch(i, 10_000), func(err error) { outcomes <- outcome{i, err} })
	}
	optional := make(map[int]bool)
	for i := range n {
		select {
		case got := <-outcomes:
			if got.i != i {
				r.t.Fatalf("outcome %d is that of commit %d", i, got.i)
			}
			if got.err != nil {
				r.kind(got.err, gatehouse.Unavailable)
				optional[i] = true
			}
		case <-r.ctx.Done():
			r.t.Fatalf("%d outcomes of %d commits", i, n)
		}
	}
	last := n - 1
	r.eventually(func() error {
		last++
		err := r.try(0, faultBatch(last, 1000))
		optional[last] = err != nil
		return err
	})
	r.wantBatches(q, last+1, optional)
}

// faultAgain fails time and again.
func faultAgain(r *rig, fail func(bool)) {
	q := r.own(0)
	n := 0
	optional := make(map[int]bool)
	for range 5 {
		fail(true)
		n = r.untilRefused(n)
		optional[n] = true
		fail(false)
		r.eventually(func() error {
			n++
			err := r.try(0, faultBatch(n, 1000))
			optional[n] = err != nil
			return err
		})
		r.wantBatches(q, n+1, optional)
		n++
	}
}

func faultTables(r *rig, fail func(bool)) {
	r.update("t", set("a", "1"))
	fail(true)
	r.untilRefused(0)
	_, err := r.e.Table("t").Get(r.ctx, "a")
	r.ok(err)
	fail(false)
	r.eventually(func() error {
		_, err := r.e.Table("t").Update(r.ctx, set("b", "2"))
		return err
	})
	r.equal(r.table("t"), "a=1;b=2;")
	r.eventually(func() error {
		_, err := r.e.Own(r.ctx, 0, func(string, engine.Envelope) {})
		return err
	})
	r.eventually(func() error {
		l, err := r.e.Lease(r.ctx, "a")
		if err == nil {
			l.Release()
		}
		return err
	})
}
