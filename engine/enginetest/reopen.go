package enginetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

var reopenTests = []test{
	{"KeepsAll", reopening(reopenKeeps)},
	{"Numbers", reopening(reopenNumbers)},
	{"Removed", reopening(reopenRemoved)},
	{"Retained", reopening(reopenRetained)},
	{"Tables", reopening(reopenTables)},
}

// reopening makes a test of one that needs Reopen.
func reopening(run func(*rig)) func(*testing.T, Harness) {
	return func(t *testing.T, h Harness) {
		if h.Reopen == nil {
			t.Skip("the harness cannot reopen")
		}
		run(open(t, h))
	}
}

func reopenKeeps(r *rig) {
	last := engine.Shard(r.e.Shards() - 1)
	shards := r.e.Shards()
	data := numbered("x", 500)
	b := puts(true, "queue", "mortal")
	b.Records[0].Expires, b.Records[0].NotBefore = 77, 66
	b.State = []engine.Row{{Key: "row", Value: []byte("v")}, {Key: "empty", Value: []byte{}}}
	r.commit(last, b)
	r.put(last, true, "queue", data...)
	r.put(0, false, "log", data...)
	q := r.own(last)
	before := r.scan(q, "queue")
	log := r.read(0, "log", 0)
	for range 2 {
		r.reopen()
		r.equal(r.e.Shards(), shards)
		q = r.own(last)
		r.equal(r.scan(q, "queue"), before)
		r.equal(r.read(0, "log", 0), log)
		r.equal(r.rows(last, ""), "empty=;row=v;")
		r.equal(r.names(q), []string{"queue"})
		r.equal(r.names(r.own(0)), []string(nil))
		refs, err := q.Expired(r.ctx, 100, 10, nil)
		r.ok(err)
		r.equal(refs, []engine.Ref{{Queue: "queue", Offset: b.Records[0].Offset, Expires: 77}})
		r.ok(r.e.Log(0, "log").Wait(r.ctx, log[499].offset))
		first, next, bytes := r.bounds(0, "log")
		if first != log[0].offset || next != log[499].offset+1 || bytes < 3500 {
			r.t.Fatalf("bounds %d, %d, %d bytes after reopening", first, next, bytes)
		}
		at, err := r.e.Log(0, "log").Seek(r.ctx, time.Unix(0, log[0].enqueued))
		r.ok(err)
		if at > log[0].offset {
			r.t.Fatalf("Seek found %d, want at most %d", at, log[0].offset)
		}
	}
}

// reopenNumbers: what grows does not start again.
func reopenNumbers(r *rig) {
	var offset, epoch, lease, revision uint64
	grown := func(what string, was *uint64, is uint64) {
		r.t.Helper()
		if is <= *was {
			r.t.Fatalf("%s %d after %d", what, is, *was)
		}
		*was = is
	}
	for range 4 {
		grown("offset", &offset, uint64(r.put(0, true, "queue", "a")[0]))
		// The last record is gone when it is opened again.
		grown("offset", &offset, uint64(r.put(0, true, "queue", "b")[0]))
		old := epoch
		q := r.own(0)
		grown("epoch of the owner", &epoch, q.Epoch())
		if old != 0 {
			r.kind(r.try(0, &engine.Batch{Epoch: old}), gatehouse.Conflict)
		}
		r.commit(0, &engine.Batch{Epoch: epoch, ClearQueues: []string{"queue"}})
		l, err := r.e.Lease(r.ctx, "a")
		r.ok(err)
		grown("epoch of the lease", &lease, l.Epoch())
		grown("revision", &revision, r.update("t", set("a", "1")))
		grown("revision", &revision, r.update("t", engine.Change{Key: "a"}))
		r.reopen() // the lease was not released
		r.gone(l)
	}
	// An epoch from before reopening is no owner's now.
	r.kind(r.try(0, &engine.Batch{Epoch: epoch + 1}), gatehouse.Conflict)
}

func reopenRemoved(r *rig) {
	o := r.put(0, true, "queue", numbered("x", 100)...)
	r.put(0, true, "cleared", "a", "b")
	r.commit(0, &engine.Batch{State: []engine.Row{{Key: "a/1", Value: []byte("x")}, {Key: "b", Value: []byte("x")}, {Key: "c", Value: []byte("x")}}})
	b := &engine.Batch{ClearQueues: []string{"cleared"}, Clear: []string{"a/"}, State: []engine.Row{{Key: "b"}}}
	for i := 0; i < len(o); i += 2 {
		b.Remove = append(b.Remove, engine.Ref{Queue: "queue", Offset: o[i]})
	}
	r.commit(0, b)
	r.reopen()
	q := r.own(0)
	var want []string
	for i := 1; i < len(o); i += 2 {
		want = append(want, fmt.Sprintf("x%06d", i))
	}
	r.wantQueue(q, "queue", want...)
	r.equal(r.names(q), []string{"queue"})
	r.equal(r.rows(0, ""), "c=x;")
	r.commit(0, &engine.Batch{ClearQueues: []string{"queue"}})
	r.reopen()
	r.equal(r.names(r.own(0)), []string(nil))
}

func reopenRetained(r *rig) {
	o := r.fill("log", 320) // 5 MiB
	r.ok(r.e.Log(0, "log").Retain(r.ctx, 0, 1<<20))
	kept, first := r.keptBytes("log")
	_, _, bytes := r.bounds(0, "log")
	r.reopen()
	again, f := r.keptBytes("log")
	if again != kept || f != first {
		r.t.Fatalf("%d bytes from %d after reopening, %d from %d before", again, f, kept, first)
	}
	bf, next, b := r.bounds(0, "log")
	if bf != first || next != o[len(o)-1]+1 || b < bytes/2 || b > bytes*2 {
		r.t.Fatalf("bounds %d, %d, %d bytes after reopening; %d, %d, %d before", bf, next, b, first, o[len(o)-1]+1, bytes)
	}
	r.fill("log", 320)
	r.ok(r.e.Log(0, "log").Retain(r.ctx, 0, 1<<20))
	if kept, _ := r.keptBytes("log"); kept > 1<<20+slack(1<<20) || kept < 1<<20-16<<10 {
		r.t.Fatalf("Retain of 1 MiB after reopening left %d bytes", kept)
	}
}

func reopenTables(r *rig) {
	begin := r.update("t", set("a", "1"), set("b", "1"), set("gone", "1"))
	r.update("t", set("a", "2"), engine.Change{Key: "gone"})
	row, err := r.e.Table("t").Get(r.ctx, "b")
	r.ok(err)
	r.reopen()
	r.equal(r.table("t"), "a=2;b=1;")
	again, err := r.e.Table("t").Get(r.ctx, "b")
	r.ok(err)
	r.equal(fmt.Sprint(again), fmt.Sprint(row))
	updates, _ := r.watch(r.ctx, "t", begin)
	mark := r.update("t", engine.Change{Key: "b", Value: []byte("2"), If: engine.If(row.Revision)})
	seen := r.until(updates, mark)
	gone, ok := seen["gone"]
	if string(seen["a"].Value) != "2" || string(seen["b"].Value) != "2" || !ok || gone.Value != nil {
		r.t.Fatalf("watched from before reopening: %v", seen)
	}
	r.reopen()
	r.equal(r.table("t"), "a=2;b=2;")
}
