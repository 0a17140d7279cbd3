package enginetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

var queueTests = []test{
	{"ScanInPages", on(scanPages)},
	{"ScanWithData", on(scanData)},
	{"ScanBigData", on(scanBig)},
	{"Get", on(queueGet)},
	{"Names", on(queueNames)},
	{"Expired", on(queueExpired)},
	{"ManyQueues", on(manyQueues)},
}

func scanPages(r *rig) {
	q := r.own(0)
	var want []gatehouse.Offset
	for i := range 30 {
		b := puts(true, "queue", numbered("x", 10)...)
		for k := range b.Records {
			b.Records[k].NotBefore = int64(i)
			b.Records[k].Expires = int64(1000 + k)
		}
		r.commit(0, b)
		want = append(want, offsets(b)...)
		r.put(0, true, "between", "x")
	}
	for _, limit := range [...]int{1, 7, 300, 1000} {
		var got []gatehouse.Offset
		var page []engine.Envelope
		for {
			after := gatehouse.Offset(0)
			if len(got) > 0 {
				after = got[len(got)-1]
			}
			var err error
			page, err = q.Scan(r.ctx, "queue", after, limit, false, page[:0])
			r.ok(err)
			if len(page) > limit {
				r.t.Fatalf("%d envelopes, limit %d", len(page), limit)
			}
			if len(page) == 0 {
				break
			}
			if rest := len(want) - len(got); len(page) != min(limit, rest) {
				r.t.Fatalf("%d envelopes of %d left, limit %d", len(page), rest, limit)
			}
			for _, e := range page {
				got = append(got, e.Offset)
			}
		}
		r.equal(got, want)
	}
	page, err := q.Scan(r.ctx, "queue", want[4], 2, false, []engine.Envelope{{Offset: 77}})
	r.ok(err)
	if len(page) != 3 || page[0].Offset != 77 {
		r.t.Fatalf("Scan did not append to what it was given: %+v", page)
	}
	e := page[1]
	if e.Offset != want[5] || e.Size != 7 || e.Expires != 1005 || e.NotBefore != 0 || e.Enqueued == 0 {
		r.t.Fatalf("envelope %+v", e)
	}
	for _, after := range [...]gatehouse.Offset{want[len(want)-1], 1<<64 - 1} {
		page, err := q.Scan(r.ctx, "queue", after, 10, false, nil)
		r.ok(err)
		r.equal(len(page), 0)
	}
	page, err = q.Scan(r.ctx, "nobody", 0, 10, false, nil)
	r.ok(err)
	r.equal(len(page), 0)
	page, err = q.Scan(r.ctx, "queue", 0, 0, false, nil)
	r.ok(err)
	r.equal(len(page), 0)
}

func scanData(r *rig) {
	q := r.own(0)
	r.put(0, true, "queue", "one", "", "three")
	page, err := q.Scan(r.ctx, "queue", 0, 3, true, nil)
	r.ok(err)
	for i := range page {
		copy(page[i].Data, "XXXXX") // it is the caller's
	}
	r.wantQueue(q, "queue", "one", "", "three")
	o := page[0].Offset
	r.commit(0, &engine.Batch{Remove: []engine.Ref{{Queue: "queue", Offset: o}}})
	r.wantQueue(q, "queue", "", "three")
}

// scanBig reads more data than a page may hold: each but the last has more than
// ScanBytes, and not much more.
func scanBig(r *rig) {
	q := r.own(0)
	var want []string
	for i := range 40 {
		want = append(want, string(filled(512<<10, byte('A'+i))))
	}
	for i := range want {
		r.put(0, true, "queue", want[i])
	}
	var after gatehouse.Offset
	for n := 0; n < len(want); {
		page, err := q.Scan(r.ctx, "queue", after, 1000, true, nil)
		r.ok(err)
		if len(page) == 0 {
			r.t.Fatalf("no record after %d of %d", n, len(want))
		}
		for _, e := range page {
			if string(e.Data) != want[n] || e.Size != len(want[n]) {
				r.t.Fatalf("record %d has other data", n)
			}
			n++
		}
		if bytes := len(page) * 512 << 10; n < len(want) && (bytes <= engine.ScanBytes || bytes > 2*engine.ScanBytes) {
			r.t.Fatalf("a page of %d bytes of data", bytes)
		}
		after = page[len(page)-1].Offset
	}
}

func queueGet(r *rig) {
	q := r.own(0)
	b := puts(true, "queue", "data", "gone")
	b.Records[0].Expires, b.Records[0].NotBefore = 77, 66
	b.Records = append(b.Records, puts(false, "log", "log").Records...)
	b.Records = append(b.Records, puts(true, "other", "other").Records...)
	r.commit(0, b)
	o := offsets(b)
	r.commit(0, &engine.Batch{Remove: []engine.Ref{{Queue: "queue", Offset: o[1]}}})
	e, err := q.Get(r.ctx, "queue", o[0])
	r.ok(err)
	if string(e.Data) != "data" || e.Offset != o[0] || e.Size != 4 || e.Expires != 77 || e.NotBefore != 66 || e.Enqueued == 0 {
		r.t.Fatalf("envelope %+v", e)
	}
	copy(e.Data, "XXXX")
	r.wantQueue(q, "queue", "data")
	for _, missing := range []struct {
		queue  string
		offset gatehouse.Offset
	}{{"queue", o[1]}, {"queue", o[2]}, {"log", o[2]}, {"queue", o[3]}, {"queue", 0}, {"queue", 1 << 40}, {"nobody", o[0]}} {
		_, err := q.Get(r.ctx, missing.queue, missing.offset)
		r.kind(err, gatehouse.NotFound)
	}
}

func queueNames(r *rig) {
	q := r.own(0)
	r.equal(r.names(q), []string(nil))
	for _, name := range [...]string{"b", "a", "d", "c", "bb"} {
		r.put(0, true, name, "x", "y")
	}
	r.put(0, false, "log", "x")
	r.put(1, true, "elsewhere", "x")
	r.equal(r.names(q), []string{"a", "b", "bb", "c", "d"})
	for _, test := range []struct {
		after string
		limit int
		want  string
	}{{"", 2, "a b"}, {"a", 100, "b bb c d"}, {"aa", 1, "b"}, {"b", 2, "bb c"}, {"d", 9, ""}, {"zzz", 9, ""}} {
		var got []string
		r.ok(q.Names(r.ctx, test.after, func(name string) bool {
			got = append(got, name)
			return len(got) < test.limit
		}))
		r.equal(strings.Join(got, " "), test.want)
	}
	// A queue is gone with its last record.
	all, err := q.Scan(r.ctx, "b", 0, 10, false, nil)
	r.ok(err)
	for i, e := range all {
		r.commit(0, &engine.Batch{Remove: []engine.Ref{{Queue: "b", Offset: e.Offset}}})
		r.equal(slices.Contains(r.names(q), "b"), i == 0)
	}
	r.put(0, true, "b", "again")
	r.equal(r.names(q), []string{"a", "b", "bb", "c", "d"})
}

func queueExpired(r *rig) {
	q := r.own(0)
	expires := []int64{50, 10, 0, 30, 20, 40, 1 << 62, 30}
	var want []engine.Ref
	for i, at := range expires {
		b := puts(true, fmt.Sprintf("queue-%d", i%3), "x")
		b.Records[0].Expires = at
		r.commit(0, b)
		if at != 0 {
			want = append(want, engine.Ref{Queue: b.Records[0].Stream, Offset: b.Records[0].Offset, Expires: at})
		}
	}
	slices.SortStableFunc(want, func(a, b engine.Ref) int { return int(min(max(a.Expires-b.Expires, -1), 1)) })
	expired := func(now int64, limit int) []engine.Ref {
		r.t.Helper()
		refs, err := q.Expired(r.ctx, now, limit, nil)
		r.ok(err)
		return refs
	}
	r.equal(len(expired(9, 10)), 0)
	r.equal(expired(10, 10), want[:1])
	r.equal(expired(29, 10), want[:2])
	r.equal(expired(50, 2), want[:2])
	r.equal(expired(1000, 100), want[:6])
	r.equal(expired(1<<63-1, 100), want)
	r.equal(len(expired(1000, 0)), 0)
	refs, err := q.Expired(r.ctx, 10, 5, []engine.Ref{{Queue: "before"}})
	r.ok(err)
	r.equal(refs, []engine.Ref{{Queue: "before"}, want[0]})
	// What is removed does not expire.
	r.commit(0, &engine.Batch{Epoch: q.Epoch(), Remove: []engine.Ref{want[0], want[3]}})
	want = slices.Delete(slices.Delete(want, 3, 4), 0, 1)
	r.equal(expired(1<<63-1, 100), want)
}

// manyQueues puts into many queues and takes all out again.
func manyQueues(r *rig) {
	q := r.own(0)
	names := numbered("queue-", 2000)
	for i := 0; i < len(names); i += 100 {
		b := &engine.Batch{}
		for _, name := range names[i : i+100] {
			b.Records = append(b.Records, puts(true, name, "1", "2").Records...)
		}
		r.commit(0, b)
	}
	r.equal(r.names(q), names)
	b := &engine.Batch{}
	for i, name := range names {
		r.wantQueue(q, name, "1", "2")
		if i%2 == 0 {
			for _, e := range r.scan(q, name) {
				b.Remove = append(b.Remove, engine.Ref{Queue: name, Offset: e.Offset})
			}
		}
	}
	r.commit(0, b)
	var left []string
	for i, name := range names {
		if i%2 == 1 {
			left = append(left, name)
		}
	}
	r.equal(r.names(q), left)
}
