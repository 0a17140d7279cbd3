package enginetest

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

var logTests = []test{
	{"Read", on(logRead)},
	{"ReadEnqueued", on(logEnqueued)},
	{"VisitMayUseTheEngine", on(logVisit)},
	{"Wait", on(logWait)},
	{"WaitForMany", on(logWaitMany)},
	{"Bounds", on(logBounds)},
	{"Seek", on(logSeek)},
	{"RetainBytes", on(retainBytes)},
	{"RetainAge", on(retainAge)},
	{"RetainAll", on(retainAll)},
	{"RetainHuge", on(retainHuge)},
}

func logRead(r *rig) {
	var o []gatehouse.Offset
	want := numbered("x", 300)
	for i := 0; i < len(want); i += 3 {
		o = append(o, r.put(0, false, "log", want[i:i+3]...)...)
		r.put(0, false, "other", "between")
		r.put(0, true, "log", "a queue of that name")
	}
	r.wantData(r.read(0, "log", 0), want...)
	r.wantData(r.read(0, "log", o[0]), want...)
	r.wantData(r.read(0, "log", o[100]), want[100:]...)
	r.wantData(r.read(0, "log", o[2]+1), want[3:]...) // an offset of another stream
	r.wantData(r.read(0, "log", o[299]+1))
	r.wantData(r.read(0, "log", 1<<63))
	r.wantData(r.read(0, "nobody", 5))
	r.wantData(r.read(1, "log", 0))
	for i, e := range r.read(0, "log", 0) {
		r.equal(e.offset, o[i])
	}
	n := 0
	next, err := r.e.Log(0, "log").Read(r.ctx, o[10], func(gatehouse.Offset, int64, []byte) bool { n++; return n < 5 })
	r.ok(err)
	if n != 5 || next != o[14]+1 {
		r.t.Fatalf("%d records visited, next offset %d, want 5 and %d", n, next, o[14]+1)
	}
	ctx, cancel := context.WithCancel(r.ctx)
	next, err = r.e.Log(0, "log").Read(ctx, 0, func(gatehouse.Offset, int64, []byte) bool { cancel(); return true })
	if !errors.Is(err, context.Canceled) || next <= o[0] {
		r.t.Fatalf("Read whose context ended: next offset %d, error %v", next, err)
	}
}

func logEnqueued(r *rig) {
	q := r.own(0)
	before := time.Now().UnixNano()
	r.put(0, false, "log", "a")
	o := r.put(0, true, "queue", "a")
	after := time.Now().UnixNano()
	e, err := q.Get(r.ctx, "queue", o[0])
	r.ok(err)
	for _, at := range [...]int64{r.read(0, "log", 0)[0].enqueued, e.Enqueued} {
		if at < before || at > after {
			r.t.Fatalf("enqueued at %d, not between %d and %d", at, before, after)
		}
	}
}

// logVisit reads and commits from within the functions that visit.
func logVisit(r *rig) {
	q := r.own(0)
	r.put(0, true, "queue", "a")
	r.put(0, false, "log", "a", "b")
	r.commit(0, &engine.Batch{State: []engine.Row{{Key: "a", Value: []byte("1")}, {Key: "b", Value: []byte("2")}}})
	visits := 0
	use := func() {
		visits++
		r.put(0, false, "new", "x")
		r.put(0, true, "new", "x")
		r.commit(0, &engine.Batch{State: []engine.Row{{Key: "0", Value: []byte("x")}}})
		_, err := r.e.State(0).Get("a")
		r.ok(err)
	}
	_, err := r.e.Log(0, "log").Read(r.ctx, 0, func(gatehouse.Offset, int64, []byte) bool { use(); return true })
	r.ok(err)
	r.ok(r.e.State(0).Scan("a", func(string, []byte) bool { use(); return true }))
	r.ok(q.Names(r.ctx, "", func(name string) bool { use(); return name == "" }))
	if visits != 4 {
		r.t.Fatalf("%d visits, want 4", visits)
	}
}

func logWait(r *rig) {
	log := r.e.Log(0, "log")
	first := make(chan error, 1)
	go func() { first <- log.Wait(r.ctx, 0) }()
	r.put(0, false, "other", "x")
	r.put(0, true, "log", "x")
	select {
	case err := <-first:
		r.t.Fatalf("Wait returned %v while the log is empty", err)
	default:
	}
	o := r.put(0, false, "log", "a", "b")
	r.ok(r.await(first))
	r.ok(log.Wait(r.ctx, 0))
	r.ok(log.Wait(r.ctx, o[1]))
	later := make(chan error, 1)
	go func() { later <- log.Wait(r.ctx, o[1]+1) }()
	r.put(0, false, "other", "x")
	select {
	case err := <-later:
		r.t.Fatalf("Wait returned %v before there was a record", err)
	default:
	}
	r.put(0, false, "log", "c")
	r.ok(r.await(later))
	far := o[1] + 300
	begun := make(chan struct{})
	for i := range gatehouse.Offset(4) {
		go func() {
			begun <- struct{}{}
			later <- log.Wait(r.ctx, far+i)
		}()
	}
	for range 4 {
		<-begun
	}
	for last := o[1]; last < far; last = r.put(0, false, "log", "x")[0] {
		select {
		case err := <-later:
			r.t.Fatalf("Wait for %d returned %v when the last record was %d", far, err, last)
		default:
			runtime.Gosched() // so that they do wait
		}
	}
	for range 10 {
		r.put(0, false, "log", "x")
	}
	for range 4 {
		r.ok(r.await(later))
	}
	ctx, cancel := context.WithCancel(r.ctx)
	ended := make(chan error, 1)
	go func() { ended <- log.Wait(ctx, 1<<40) }()
	cancel()
	if err := r.await(ended); !errors.Is(err, context.Canceled) {
		r.t.Fatalf("Wait whose context ended: %v", err)
	}
}

// logWaitMany has many follow a log by Wait and Read.
func logWaitMany(r *rig) {
	const readers, n = 20, 100
	var wg sync.WaitGroup
	defer wg.Wait()
	for range readers {
		wg.Go(func() {
			log := r.e.Log(0, "log")
			var next gatehouse.Offset
			for seen := 0; seen < n; {
				if err := log.Wait(r.ctx, next); err != nil {
					r.t.Errorf("Wait: %v", err)
					return
				}
				before := seen
				var err error
				next, err = log.Read(r.ctx, next, func(_ gatehouse.Offset, _ int64, data []byte) bool {
					if string(data) != strconv.Itoa(seen) {
						r.t.Errorf("record %q, want %d", data, seen)
					}
					seen++
					return true
				})
				if err != nil || seen == before {
					r.t.Errorf("Wait returned, but Read found nothing: %v", err)
					return
				}
			}
		})
	}
	for i := range n {
		r.put(0, false, "log", strconv.Itoa(i))
	}
}

func (r *rig) bounds(s engine.Shard, name string) (first, next gatehouse.Offset, bytes int64) {
	r.t.Helper()
	first, next, bytes, err := r.e.Log(s, name).Bounds(r.ctx)
	r.ok(err)
	return first, next, bytes
}

func logBounds(r *rig) {
	r.put(0, true, "log", "a queue of that name")
	r.put(1, false, "log", "of another shard")
	first, next, bytes := r.bounds(0, "log")
	if first != 0 || next != 0 || bytes != 0 {
		r.t.Fatalf("bounds %d, %d, %d bytes of a log that never was", first, next, bytes)
	}
	o := r.put(0, false, "log", numbered("x", 10)...)
	r.put(0, false, "other", "x")
	first, next, _ = r.bounds(0, "log")
	if first != o[0] || next != o[9]+1 {
		r.t.Fatalf("bounds %d, %d, want %d, %d", first, next, o[0], o[9]+1)
	}
	for i := range 100 {
		r.put(0, false, "log", string(filled(10_000, byte(i))))
	}
	if _, _, bytes = r.bounds(0, "log"); bytes < 900_000 || bytes > 1_500_000 {
		r.t.Fatalf("%d bytes are said to be kept of 1 MB", bytes)
	}
}

// later returns a time after now, and after all that has been enqueued.
func later() time.Time {
	begin := time.Now()
	for {
		if now := time.Now(); now.UnixNano() > begin.UnixNano() {
			return now
		}
	}
}

func logSeek(r *rig) {
	log := r.e.Log(0, "log")
	seek := func(t time.Time) gatehouse.Offset {
		r.t.Helper()
		o, err := log.Seek(r.ctx, t)
		r.ok(err)
		return o
	}
	r.equal(seek(time.Now()), 0)
	type step struct {
		at     time.Time
		offset gatehouse.Offset
	}
	var steps []step
	for range 50 {
		t := later()
		steps = append(steps, step{t, r.put(0, false, "log", numbered("x", 20)...)[0]})
	}
	end := later()
	_, next, _ := r.bounds(0, "log")
	if o := seek(steps[0].at.Add(-time.Hour)); o > steps[0].offset {
		r.t.Fatalf("Seek to before the first record: %d, want at most %d", o, steps[0].offset)
	}
	last := gatehouse.Offset(0)
	for i, s := range steps {
		o := seek(s.at)
		if o > s.offset || o < last {
			r.t.Fatalf("Seek to step %d: %d, want from %d to %d", i, o, last, s.offset)
		}
		last = o
	}
	if o := seek(end.Add(time.Hour)); o > next || o < last {
		r.t.Fatalf("Seek to after the last record: %d, want from %d to %d", o, last, next)
	}
}

// slack is how many bytes more than asked may stay after Retain.
func slack(bytes int64) int64 { return max(bytes/16, 1<<20) }

// fill appends n records of 16 KiB.
func (r *rig) fill(name string, n int) []gatehouse.Offset {
	var all []gatehouse.Offset
	for i := 0; i < n; i += 8 {
		var data []string
		for k := range min(8, n-i) {
			data = append(data, string(filled(16<<10, byte(i+k))))
		}
		all = append(all, r.put(0, false, name, data...)...)
		r.put(0, false, "between", "x")
	}
	return all
}

func (r *rig) keptBytes(name string) (n int64, first gatehouse.Offset) {
	r.t.Helper()
	all := r.read(0, name, 0)
	for _, e := range all {
		n += int64(len(e.data))
	}
	if len(all) > 0 {
		first = all[0].offset
	}
	return n, first
}

func retainBytes(r *rig) {
	log := r.e.Log(0, "log")
	r.ok(log.Retain(r.ctx, 0, 1)) // a log that never was
	r.fill("other", 8)
	o := r.fill("log", 640) // 10 MiB
	for _, limit := range [...]int64{20 << 20, 8 << 20, 3 << 20, 100 << 10} {
		r.ok(log.Retain(r.ctx, 0, limit))
		bytes, first := r.keptBytes("log")
		if limit < 10<<20 && bytes > limit+slack(limit) || bytes < min(limit, 10<<20)-16<<10 {
			r.t.Fatalf("Retain of %d bytes left %d", limit, bytes)
		}
		f, next, b := r.bounds(0, "log")
		if f != first || next != o[len(o)-1]+1 || b < bytes*9/10 || b > bytes*3/2 {
			r.t.Fatalf("bounds %d, %d, %d bytes; want %d, %d and about %d", f, next, b, first, o[len(o)-1]+1, bytes)
		}
		// Reading from what was dropped begins with what was not.
		if got := r.read(0, "log", o[0]); got[0].offset != first || got[len(got)-1].offset != o[len(o)-1] {
			r.t.Fatalf("read from %d to %d, want from %d to %d", got[0].offset, got[len(got)-1].offset, first, o[len(o)-1])
		}
	}
	if bytes, _ := r.keptBytes("other"); bytes != 8*16<<10 {
		r.t.Fatalf("%d bytes left of another log", bytes)
	}
	more := r.put(0, false, "log", "more")
	if more[0] <= o[len(o)-1] {
		r.t.Fatalf("offset %d after %d", more[0], o[len(o)-1])
	}
}

func retainAge(r *rig) {
	log := r.e.Log(0, "log")
	r.fill("log", 256) // 4 MiB
	_ = later()
	r.ok(log.Retain(r.ctx, time.Hour, 0))
	r.ok(log.Retain(r.ctx, 0, 0))
	if bytes, _ := r.keptBytes("log"); bytes != 4<<20 {
		r.t.Fatalf("%d bytes left of 4 MiB that are not old", bytes)
	}
	cut := later()
	r.fill("log", 64)
	before := r.read(0, "log", 0)
	age := time.Since(cut)
	begin := time.Now()
	r.ok(log.Retain(r.ctx, age, 0))
	end := time.Now()
	kept := make(map[gatehouse.Offset]bool)
	for _, e := range r.read(0, "log", 0) {
		kept[e.offset] = true
	}
	old := int64(0)
	for _, e := range before {
		if e.enqueued < begin.Add(-age).UnixNano() && kept[e.offset] {
			old += int64(len(e.data))
		}
		if e.enqueued >= end.Add(-age).UnixNano() && !kept[e.offset] {
			r.t.Fatalf("record %d was dropped, and was not old", e.offset)
		}
	}
	if old > slack(0) {
		r.t.Fatalf("%d bytes of old records are left", old)
	}
	_ = later()
	r.ok(log.Retain(r.ctx, time.Nanosecond, 0))
	if bytes, _ := r.keptBytes("log"); bytes > slack(0) {
		r.t.Fatalf("%d bytes left though all are old", bytes)
	}
}

// retainAll drops all or nearly all of a log, which goes on behind it.
func retainAll(r *rig) {
	log := r.e.Log(0, "log")
	o := r.fill("log", 640)
	r.ok(log.Retain(r.ctx, time.Nanosecond, 1))
	first, next, _ := r.bounds(0, "log")
	if next != o[len(o)-1]+1 || first > next || first < o[0] {
		r.t.Fatalf("bounds %d, %d after all was dropped up to %d", first, next, o[len(o)-1])
	}
	grown := make(chan error, 1)
	go func() { grown <- log.Wait(r.ctx, next) }()
	more := r.put(0, false, "log", "more")
	r.ok(r.await(grown))
	got := r.read(0, "log", next)
	r.wantData(got, "more")
	r.equal(got[0].offset, more[0])
}

// retainHuge: a record that is much larger than what is to be kept goes.
func retainHuge(r *rig) {
	log := r.e.Log(0, "log")
	r.put(0, false, "log", "before")
	r.put(0, false, "log", string(filled(6<<20, 'h')))
	after := numbered("after ", 20)
	for _, data := range after {
		r.put(0, false, "log", data)
	}
	r.ok(log.Retain(r.ctx, 0, 2000))
	r.wantData(r.read(0, "log", 0), after...)
}
