package enginetest

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// A deed is a batch that was committed.
type deed struct {
	id    int
	shard engine.Shard
	batch engine.Batch // as it was, with the offsets
	fate  fate
}

// A fate is what became of a deed.
type fate int

const (
	pending fate = iota
	stored
	refused
	doubtful // it may be stored, or be so once the engine has recovered
)

// A record is one of a queue or log in the model.
type record struct {
	offset    gatehouse.Offset
	expires   int64
	notBefore int64
	data      string
}

// A stream names a queue or log of the model.
type stream struct {
	name  string
	queue bool
}

// A picture is what a shard should hold.
type picture struct {
	records map[stream][]record
	rows    map[string]string
}

// streams and keys are what the model uses.
var (
	modelNames = []string{"a", "a/b", "ab", "b"}
	modelKeys  = []string{"r", "r/1", "r/2", "s/1", "s/2", "t"}
)

// markPrefix begins the key of the row that tells whether a deed is stored.
const markPrefix = "zz-deed/"

func (d *deed) mark() string { return fmt.Sprintf("%s%06d", markPrefix, d.id) }

// imagine makes a batch at random. It may remove some of earlier.
func imagine(r *rand.Rand, earlier []engine.Ref) engine.Batch {
	var b engine.Batch
	for range r.IntN(6) {
		rec := engine.Record{Stream: pick(r, modelNames), Queue: r.IntN(3) > 0, Data: randomData(r)}
		if rec.Queue && r.IntN(3) == 0 {
			rec.Expires = 1 + r.Int64N(50)
		}
		if rec.Queue && r.IntN(4) == 0 {
			rec.NotBefore = r.Int64N(100)
		}
		b.Records = append(b.Records, rec)
	}
	for range r.IntN(5) {
		if len(earlier) > 0 {
			b.Remove = append(b.Remove, pick(r, earlier))
		}
	}
	for range r.IntN(3) {
		row := engine.Row{Key: pick(r, modelKeys)}
		if r.IntN(3) > 0 {
			row.Value = randomData(r)
		}
		b.State = append(b.State, row)
	}
	if r.IntN(12) == 0 {
		b.Clear = append(b.Clear, pick(r, []string{"r", "r/", "s/", "t", "none"}))
	}
	if r.IntN(15) == 0 {
		b.ClearQueues = append(b.ClearQueues, pick(r, modelNames))
	}
	if r.IntN(15) == 0 {
		b.DropLogs = append(b.DropLogs, pick(r, append([]string{"a/", "none"}, modelNames...)))
	}
	return b
}

func pick[T any](r *rand.Rand, all []T) T { return all[r.IntN(len(all))] }

func randomData(r *rand.Rand) []byte {
	n := r.IntN(200)
	if r.IntN(20) == 0 {
		n = r.IntN(50_000)
	}
	data := make([]byte, n)
	for i := 0; i < n; i += 1 + i/8 {
		data[i] = byte(r.Uint32())
	}
	return data
}

// paint tells what a shard should hold after the deeds that are stored.
func paint(deeds []*deed, s engine.Shard) *picture {
	p := &picture{records: make(map[stream][]record), rows: make(map[string]string)}
	for _, d := range deeds {
		if d.shard == s && d.fate == stored {
			p.add(d)
		}
	}
	return p
}

func (p *picture) add(d *deed) {
	b := &d.batch
	for _, q := range b.ClearQueues {
		delete(p.records, stream{q, true})
	}
	for _, name := range b.DropLogs {
		maps.DeleteFunc(p.records, func(at stream, _ []record) bool { return !at.queue && isDropped(at.name, name) })
	}
	for _, ref := range b.Remove {
		q := stream{ref.Queue, true}
		p.records[q] = slices.DeleteFunc(p.records[q], func(r record) bool { return r.offset == ref.Offset })
	}
	for _, prefix := range b.Clear {
		maps.DeleteFunc(p.rows, func(key, _ string) bool { return strings.HasPrefix(key, prefix) })
	}
	for _, row := range b.State {
		if row.Value == nil {
			delete(p.rows, row.Key)
		} else {
			p.rows[row.Key] = string(row.Value)
		}
	}
	for i := range b.Records {
		r := &b.Records[i]
		at := stream{r.Stream, r.Queue}
		p.records[at] = append(p.records[at], record{r.Offset, r.Expires, r.NotBefore, string(r.Data)})
	}
}

// isDropped reports whether name, in Batch.DropLogs, means a log.
func isDropped(log, name string) bool {
	return log == name || strings.HasSuffix(name, "/") && strings.HasPrefix(log, name)
}

// compare fails the test unless shard s holds what p says.
func (r *rig) compare(s engine.Shard, q engine.Queues, p *picture) {
	r.t.Helper()
	var names []string
	var refs []engine.Ref
	for _, name := range modelNames {
		log, queue := p.records[stream{name, false}], p.records[stream{name, true}]
		var got []record
		for _, e := range r.read(s, name, 0) {
			got = append(got, record{offset: e.offset, data: e.data})
		}
		r.same("log "+name, got, log)
		r.wantBounds(s, name, log)
		got = got[:0]
		for _, e := range r.scan(q, name) {
			got = append(got, record{e.Offset, e.Expires, e.NotBefore, string(e.Data)})
		}
		r.same("queue "+name, got, queue)
		if len(queue) > 0 {
			names = append(names, name)
		}
		for _, rec := range queue {
			if rec.expires != 0 {
				refs = append(refs, engine.Ref{Queue: name, Offset: rec.offset, Expires: rec.expires})
			}
		}
	}
	r.equal(r.names(q), names)
	byTime := func(a, b engine.Ref) int {
		return cmp.Or(cmp.Compare(a.Expires, b.Expires), cmp.Compare(a.Offset, b.Offset))
	}
	expired, err := q.Expired(r.ctx, 1000, 1<<20, nil)
	r.ok(err)
	slices.SortFunc(refs, byTime)
	slices.SortStableFunc(expired, byTime)
	r.equal(expired, refs)
	rows := ""
	for _, key := range slices.Sorted(maps.Keys(p.rows)) {
		rows += key + "=" + p.rows[key] + ";"
	}
	if got := r.rows(s, ""); got != rows {
		r.t.Fatalf("shard %d: rows\n%.3000q\nwant\n%.3000q", s, got, rows)
	}
}

// wantBounds fails the test unless the bounds of a log are those of its records,
// of which none were cut off.
func (r *rig) wantBounds(s engine.Shard, name string, log []record) {
	r.t.Helper()
	first, next, bytes := r.bounds(s, name)
	if len(log) == 0 {
		if first != 0 || next != 0 || bytes != 0 {
			r.t.Fatalf("log %s: bounds %d, %d, %d bytes, and there is none", name, first, next, bytes)
		}
		return
	}
	if first != log[0].offset || next != log[len(log)-1].offset+1 {
		r.t.Fatalf("log %s: bounds %d, %d, want %d, %d", name, first, next, log[0].offset, log[len(log)-1].offset+1)
	}
}

// same fails the test unless the records are those wanted.
func (r *rig) same(what string, got, want []record) {
	r.t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			r.t.Fatalf("%s: record %d is at %d (%d bytes), want at %d (%d bytes); equal data: %v; %d and %d records",
				what, i, got[i].offset, len(got[i].data), want[i].offset, len(want[i].data), got[i].data == want[i].data, len(got), len(want))
		}
	}
	if len(got) != len(want) {
		r.t.Fatalf("%s: %d records, want %d", what, len(got), len(want))
	}
}
