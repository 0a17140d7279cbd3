package enginetest

import (
	"errors"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

var corruptTests = []test{
	{"Log", corrupting(corruptLog)},
	{"Queue", corrupting(corruptQueue)},
}

// corrupting makes a test of one that needs Corrupt.
func corrupting(run func(*rig)) func(*testing.T, Harness) {
	return func(t *testing.T, h Harness) {
		if h.Corrupt == nil {
			t.Skip("the harness cannot corrupt")
		}
		run(open(t, h))
	}
}

func (r *rig) corrupt(p Place) {
	r.t.Helper()
	if e := r.h.Corrupt(r.t, r.e, p); e != r.e {
		r.use(e)
	}
}

// wantCorrupt fails the test unless err says that the record at p is corrupt.
func (r *rig) wantCorrupt(err error, p Place) {
	r.t.Helper()
	c, ok := errors.AsType[*engine.CorruptError](err)
	if !ok || c.Shard != p.Shard || c.Stream != p.Stream || c.Offset != p.Offset {
		r.t.Fatalf("error %v, want a CorruptError of %+v", err, p)
	}
	r.kind(err, gatehouse.Internal)
}

func corruptLog(r *rig) {
	r.put(1, false, "before", "x")
	o := r.put(1, false, "log", "a", "b", "c", "d", "e", "f")
	bad := []Place{{Shard: 1, Stream: "log", Offset: o[2]}, {Shard: 1, Stream: "log", Offset: o[5]}}
	for _, p := range bad {
		r.corrupt(p)
	}
	log := r.e.Log(1, "log")
	var got []string
	from := gatehouse.Offset(0)
	read := func() (next gatehouse.Offset, err error) {
		return log.Read(r.ctx, from, func(_ gatehouse.Offset, _ int64, data []byte) bool {
			got = append(got, string(data))
			return true
		})
	}
	next, err := read()
	r.wantCorrupt(err, bad[0])
	if next != o[1]+1 {
		r.t.Fatalf("next offset %d, want %d", next, o[1]+1)
	}
	from = o[2] + 1
	_, err = read()
	r.wantCorrupt(err, bad[1])
	from = o[5]
	_, err = read()
	r.wantCorrupt(err, bad[1])
	from = o[5] + 1
	_, err = read()
	r.ok(err)
	r.equal(got, []string{"a", "b", "d", "e"})
	r.wantData(r.read(1, "before", 0), "x")
	r.put(1, false, "log", "g")
	r.ok(log.Wait(r.ctx, o[5]+1))
	r.wantData(r.read(1, "log", o[5]+1), "g")
}

func corruptQueue(r *rig) {
	b := puts(true, "queue", "a", "b", "c", "d", "e", "f")
	for i := range b.Records {
		b.Records[i].Expires = int64(10 + i)
	}
	r.commit(1, b)
	o := offsets(b)
	bad := []Place{{Shard: 1, Stream: "queue", Queue: true, Offset: o[2]}, {Shard: 1, Stream: "queue", Queue: true, Offset: o[5]}}
	for _, p := range bad {
		r.corrupt(p)
	}
	q := r.own(1)
	for _, test := range []struct {
		after gatehouse.Offset
		want  string
		bad   *Place
	}{{0, "ab", &bad[0]}, {o[1], "", &bad[0]}, {o[2], "de", &bad[1]}, {o[5], "", nil}} {
		got := ""
		page, err := q.Scan(r.ctx, "queue", test.after, 10, true, []engine.Envelope{{Data: []byte(">")}})
		for _, e := range page {
			got += string(e.Data)
		}
		r.equal(got, ">"+test.want)
		if test.bad != nil {
			r.wantCorrupt(err, *test.bad)
		} else {
			r.ok(err)
		}
	}
	for _, p := range bad {
		_, err := q.Get(r.ctx, "queue", p.Offset)
		r.wantCorrupt(err, p)
	}
	e, err := q.Get(r.ctx, "queue", o[3])
	r.ok(err)
	r.equal(string(e.Data), "d")
	// It can still be seen to expire, and be removed.
	refs, err := q.Expired(r.ctx, 12, 10, nil)
	r.ok(err)
	r.equal(refs, []engine.Ref{{Queue: "queue", Offset: o[0], Expires: 10}, {Queue: "queue", Offset: o[1], Expires: 11}, {Queue: "queue", Offset: o[2], Expires: 12}})
	r.commit(1, &engine.Batch{Remove: []engine.Ref{refs[2], {Queue: "queue", Offset: o[5], Expires: 15}}})
	r.wantQueue(q, "queue", "a", "b", "d", "e")
	refs, err = q.Expired(r.ctx, 100, 10, nil)
	r.ok(err)
	r.equal(len(refs), 4)
}
