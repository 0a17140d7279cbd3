package enginetest

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

var commitTests = []test{
	{"OffsetsAreSetBeforeCommitReturns", on(offsetsSet)},
	{"DoneInOrder", on(doneInOrder)},
	{"VisibleOnceDone", on(visibleOnceDone)},
	{"AtomicToReaders", on(atomicToReaders)},
	{"RefusedLeavesNothing", on(refusedLeavesNothing)},
	{"TooLarge", on(tooLarge)},
	{"BatchIsCallersAgainAfterDone", on(callersAgain)},
	{"Empty", on(emptyBatch)},
	{"StreamsAreApart", on(streamsApart)},
	{"State", on(batchState)},
	{"Remove", on(batchRemove)},
	{"ClearQueues", on(clearQueues)},
	{"Large", on(largeBatches)},
	{"Names", on(oddNames)},
}

func offsetsSet(r *rig) {
	var last gatehouse.Offset
	var waits []chan error
	for range 50 {
		b := puts(false, "log", "a", "b")
		b.Records = append(b.Records, puts(true, "queue", "c").Records...)
		waits = append(waits, r.start(0, b))
		for i := range b.Records {
			if b.Records[i].Offset <= last {
				r.t.Fatalf("offset %d after %d", b.Records[i].Offset, last)
			}
			last = b.Records[i].Offset
		}
	}
	for _, w := range waits {
		r.ok(r.await(w))
	}
	all := r.read(0, "log", 0)
	if len(all) != 100 || all[99].offset != last-1 && all[99].offset >= last {
		r.t.Fatalf("%d records, the last at %d; want 100, the last before %d", len(all), all[len(all)-1].offset, last)
	}
}

// doneInOrder mixes commits that succeed with ones that are refused.
func doneInOrder(r *rig) {
	q := r.own(0)
	const n = 300
	type outcome struct {
		i   int
		err error
	}
	for _, s := range [...]engine.Shard{0, 1} {
		outcomes := make(chan outcome, n)
		var telling atomic.Int32
		for i := range n {
			b := puts(i%2 == 0, "stream", strconv.Itoa(i))
			if i%3 == 0 {
				b.Epoch = q.Epoch() + 7
			}
			r.e.Commit(s, b, func(err error) {
				if telling.Add(1) != 1 {
					r.t.Error("two calls to done of a shard at once")
				}
				outcomes <- outcome{i, err}
				telling.Add(-1)
			})
		}
		for i := range n {
			var got outcome
			select {
			case got = <-outcomes:
			case <-r.ctx.Done():
				r.t.Fatalf("done was called %d times, want %d", i, n)
			}
			if got.i != i {
				r.t.Fatalf("done number %d is that of commit %d", i, got.i)
			}
			if i%3 == 0 {
				r.kind(got.err, gatehouse.Conflict)
			} else {
				r.ok(got.err)
			}
		}
	}
}

func visibleOnceDone(r *rig) {
	q := r.own(1)
	for i := range 100 {
		v := strconv.Itoa(i)
		b := puts(false, "log", v)
		b.Records = append(b.Records, puts(true, "queue", v).Records...)
		b.State = []engine.Row{{Key: "row", Value: []byte(v)}}
		r.commit(1, b)
		r.wantData(r.read(1, "log", b.Records[0].Offset), v)
		got, err := q.Get(r.ctx, "queue", b.Records[1].Offset)
		r.ok(err)
		r.equal(string(got.Data), v)
		row, err := r.e.State(1).Get("row")
		r.ok(err)
		r.equal(string(row), v)
	}
}

// atomicToReaders has a reader find all of a batch, or nothing, while batches
// are committed.
func atomicToReaders(r *rig) {
	const n = 500
	done := make(chan error, n)
	go func() {
		for i := range n {
			v := strconv.Itoa(i + 1)
			b := puts(false, "log", v)
			b.State = []engine.Row{{Key: "a", Value: []byte(v)}, {Key: "b", Value: []byte(v)}}
			r.e.Commit(0, b, func(err error) { done <- err })
		}
	}()
	for {
		var rows []string
		r.ok(r.e.State(0).Scan("", func(_ string, value []byte) bool { rows = append(rows, string(value)); return true }))
		records := len(r.read(0, "log", 0))
		if len(rows) == 0 {
			continue
		}
		seen, err := strconv.Atoi(rows[0])
		r.ok(err)
		if len(rows) != 2 || rows[0] != rows[1] || records < seen {
			r.t.Fatalf("rows %q, then %d records: part of a batch", rows, records)
		}
		if seen == n {
			break
		}
	}
	for range n {
		r.ok(r.await(done))
	}
}

func refusedLeavesNothing(r *rig) {
	q := r.own(0)
	keep := r.put(0, true, "queue", "keep")
	r.commit(0, &engine.Batch{State: []engine.Row{{Key: "row", Value: []byte("old")}}})
	b := puts(true, "queue", "bad")
	b.Records = append(b.Records, puts(false, "log", "bad").Records...)
	b.Remove = []engine.Ref{{Queue: "queue", Offset: keep[0]}}
	b.State = []engine.Row{{Key: "row", Value: []byte("new")}}
	b.Clear = []string{"r"}
	b.ClearQueues = []string{"queue"}
	b.Epoch = q.Epoch() + 1
	r.kind(r.try(0, b), gatehouse.Conflict)
	r.wantQueue(q, "queue", "keep")
	r.wantData(r.read(0, "log", 0))
	r.equal(r.rows(0, ""), "row=old;")
}

func tooLarge(r *rig) {
	q := r.own(0)
	b := puts(true, "queue", "small")
	b.Records = append(b.Records, engine.Record{Stream: "log", Data: make([]byte, engine.MaxRecord+1)})
	r.kind(r.try(0, b), gatehouse.TooLarge)
	r.wantQueue(q, "queue")
	r.wantData(r.read(0, "log", 0))
	r.put(0, true, "queue", "next")
	r.wantQueue(q, "queue", "next")
}

func callersAgain(r *rig) {
	q := r.own(0)
	b := puts(true, "queue", "data")
	b.Records = append(b.Records, puts(false, "log", "data").Records...)
	b.State = []engine.Row{{Key: "row", Value: []byte("data")}}
	r.commit(0, b)
	for _, data := range [][]byte{b.Records[0].Data, b.Records[1].Data, b.State[0].Value} {
		copy(data, "XXXX")
	}
	b.Reset()
	r.wantQueue(q, "queue", "data")
	r.wantData(r.read(0, "log", 0), "data")
	r.equal(r.rows(0, ""), "row=data;")
}

func emptyBatch(r *rig) {
	first := r.start(0, puts(false, "log", "a"))
	r.ok(r.await(r.start(0, &engine.Batch{})))
	select {
	case err := <-first:
		r.ok(err)
	default:
		r.t.Fatal("done of an empty batch came before that of the one before it")
	}
	r.ok(r.try(1, &engine.Batch{}))
}

func streamsApart(r *rig) {
	for _, s := range [...]engine.Shard{0, engine.Shard(r.e.Shards() - 1)} {
		for _, name := range [...]string{"x", "xx"} {
			r.put(s, false, name, "log "+name)
			r.put(s, true, name, "queue "+name)
		}
	}
	for _, s := range [...]engine.Shard{0, engine.Shard(r.e.Shards() - 1)} {
		q := r.own(s)
		for _, name := range [...]string{"x", "xx"} {
			r.wantData(r.read(s, name, 0), "log "+name)
			r.wantQueue(q, name, "queue "+name)
		}
		r.equal(r.names(q), []string{"x", "xx"})
	}
	r.commit(0, &engine.Batch{ClearQueues: []string{"x"}})
	r.wantData(r.read(0, "x", 0), "log x")
	r.wantQueue(r.own(0), "xx", "queue xx")
	r.wantQueue(r.own(engine.Shard(r.e.Shards()-1)), "x", "queue x")
}

func batchState(r *rig) {
	row := func(k, v string) engine.Row { return engine.Row{Key: k, Value: []byte(v)} }
	r.commit(0, &engine.Batch{State: []engine.Row{row("a/1", "x"), row("a/2", "x"), row("ab", "x"), row("b", "x"), row("a/1", "y")}})
	r.equal(r.rows(0, ""), "a/1=y;a/2=x;ab=x;b=x;") // the last write of a key stands
	r.commit(0, &engine.Batch{State: []engine.Row{{Key: "b"}, {Key: "none"}, row("ab", "z"), {Key: "ab"}, {Key: "c"}, row("c", "1")}})
	r.equal(r.rows(0, ""), "a/1=y;a/2=x;c=1;")
	r.commit(0, &engine.Batch{Clear: []string{"a/", "nothing"}, State: []engine.Row{row("a/3", "new")}})
	r.equal(r.rows(0, ""), "a/3=new;c=1;")
	r.equal(r.rows(1, ""), "")
	r.commit(0, &engine.Batch{State: []engine.Row{row("\xff", "1"), row("\xff\xff", "2"), row("\xff\xffx", "3"), row("\xfe", "4")}})
	r.commit(0, &engine.Batch{Clear: []string{"\xff\xff"}})
	r.equal(r.rows(0, "\xfe")+r.rows(0, "\xff"), "\xfe=4;\xff=1;")
	r.commit(0, &engine.Batch{Clear: []string{""}})
	r.equal(r.rows(0, ""), "")
}

func batchRemove(r *rig) {
	q := r.own(0)
	b := puts(true, "queue", "a", "b", "c")
	b.Records[1].Expires = time.Now().Add(time.Hour).UnixNano()
	b.Records = append(b.Records, puts(false, "log", "l").Records...)
	r.commit(0, b)
	o := offsets(b)
	other := r.put(0, true, "other", "a")
	refs := []engine.Ref{
		{Queue: "queue", Offset: o[1], Expires: b.Records[1].Expires},
		{Queue: "queue", Offset: o[3]},      // a record of a log
		{Queue: "queue", Offset: other[0]},  // of another queue
		{Queue: "none", Offset: o[0]},       // no such queue
		{Queue: "queue", Offset: o[3] + 99}, // not there yet
	}
	r.commit(0, &engine.Batch{Epoch: q.Epoch(), Remove: refs})
	r.commit(0, &engine.Batch{Epoch: q.Epoch(), Remove: refs})
	r.commit(1, &engine.Batch{Remove: []engine.Ref{{Queue: "queue", Offset: o[0]}}})
	r.wantQueue(q, "queue", "a", "c")
	r.wantQueue(q, "other", "a")
	r.wantData(r.read(0, "log", 0), "l")
	for i := range 120 {
		r.put(0, true, "queue", strconv.Itoa(i)) // also at the offset that was not there yet
	}
	if n := len(r.scan(q, "queue")); n != 122 {
		r.t.Fatalf("%d records, want 122", n)
	}
}

func clearQueues(r *rig) {
	q := r.own(0)
	soon := time.Now().UnixNano()
	mortal := puts(true, "queue", "old")
	mortal.Records[0].Expires = soon
	first := r.start(0, mortal)
	r.put(0, true, "queue/x", "kept")
	r.put(0, true, "queu", "kept")
	second := r.start(0, puts(true, "queue", "old too"))
	b := puts(true, "queue", "new", "new too")
	b.Records[1].Expires = soon + 1
	b.ClearQueues = []string{"queue", "never used"}
	r.commit(0, b)
	r.ok(r.await(first))
	r.ok(r.await(second))
	r.wantQueue(q, "queue", "new", "new too")
	r.wantQueue(q, "queue/x", "kept")
	r.wantQueue(q, "queu", "kept")
	refs, err := q.Expired(r.ctx, soon+10, 10, nil)
	r.ok(err)
	r.equal(refs, []engine.Ref{{Queue: "queue", Offset: b.Records[1].Offset, Expires: soon + 1}})
	r.commit(0, &engine.Batch{ClearQueues: []string{"queue"}})
	r.wantQueue(q, "queue")
	r.equal(r.names(q), []string{"queu", "queue/x"})
	refs, err = q.Expired(r.ctx, soon+10, 10, nil)
	r.ok(err)
	r.equal(len(refs), 0)
	r.put(0, true, "queue", "again")
	r.wantQueue(q, "queue", "again")
}

func largeBatches(r *rig) {
	q := r.own(0)
	many := numbered("record ", 10_000)
	r.put(0, false, "log", many...)
	r.wantData(r.read(0, "log", 0), many...)
	r.put(0, true, "queue", many...)
	r.wantQueue(q, "queue", many...)
	big := string(filled(8<<20, 'b'))
	o := r.put(0, true, "big", big)
	r.put(0, false, "big", big)
	v, err := q.Get(r.ctx, "big", o[0])
	r.ok(err)
	if string(v.Data) != big {
		r.t.Fatal("a record of 8 MiB came back changed")
	}
	if got := r.read(0, "big", 0); len(got) != 1 || got[0].data != big {
		r.t.Fatal("a record of 8 MiB came back changed")
	}
}

// oddNames uses names that are easily mixed up.
func oddNames(r *rig) {
	names := []string{"\x01", "a", "a\x01", "a/", "a/b", "aa", "b", strings.Repeat("n", 511), strings.Repeat("n", 512), "ø", "\xff", "\xff\xff"}
	q := r.own(0)
	for _, name := range names {
		b := puts(true, name, "queue "+name)
		b.Records = append(b.Records, puts(false, name, "log "+name).Records...)
		b.Records[0].Expires = 5
		b.State = []engine.Row{{Key: name, Value: []byte("row")}}
		r.commit(0, b)
	}
	r.equal(r.names(q), names)
	for i, name := range names {
		r.wantQueue(q, name, "queue "+name)
		r.wantData(r.read(0, name, 0), "log "+name)
		v, err := r.e.State(0).Get(name)
		r.ok(err)
		r.equal(string(v), "row")
		r.commit(0, &engine.Batch{ClearQueues: []string{name}})
		r.equal(r.names(q), names[i+1:])
	}
	refs, err := q.Expired(r.ctx, 5, 100, nil)
	r.ok(err)
	r.equal(len(refs), 0)
}
