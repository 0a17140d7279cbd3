package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// patience is how long a test waits for what must happen before it gives up.
const patience = time.Minute

// A rig is an engine under test.
type rig struct {
	t   *testing.T
	h   Harness
	e   engine.Engine
	ctx context.Context
}

func open(t *testing.T, h Harness) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r := &rig{t: t, h: h, ctx: ctx}
	return r.use(h.Open(t))
}

// use has r test e from now on.
func (r *rig) use(e engine.Engine) *rig {
	r.t.Cleanup(func() { _ = e.Close() })
	r.e = e
	return r
}

func (r *rig) close() {
	r.t.Helper()
	if err := r.e.Close(); err != nil {
		r.t.Fatalf("Close: %v", err)
	}
}

// reopen closes the engine and opens another over its storage.
func (r *rig) reopen() {
	r.t.Helper()
	r.close()
	r.use(r.h.Reopen(r.t, r.e))
}

// ok fails the test if err is not nil.
func (r *rig) ok(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatalf("unexpected error: %v", err)
	}
}

// eventually tries until there is no error. Errors may only be of kind
// Unavailable: storage recovers.
func (r *rig) eventually(try func() error) {
	r.t.Helper()
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		r.kind(err, gatehouse.Unavailable)
		select {
		case <-time.After(pause):
		case <-r.ctx.Done():
			r.t.Fatalf("it did not recover: %v", err)
		}
	}
}

// kind fails the test if err is not of kind k.
func (r *rig) kind(err error, k gatehouse.Kind) {
	r.t.Helper()
	if !errors.Is(err, k) {
		r.t.Fatalf("error %v, want one of kind %v", err, k)
	}
}

// start commits b and returns where its outcome comes.
func (r *rig) start(s engine.Shard, b *engine.Batch) chan error {
	done := make(chan error, 1)
	r.e.Commit(s, b, func(err error) { done <- err })
	return done
}

// await returns what comes from done.
func (r *rig) await(done <-chan error) error {
	r.t.Helper()
	select {
	case err := <-done:
		return err
	case <-r.ctx.Done():
		r.t.Fatal("it did not happen in time")
		return nil
	}
}

// try commits b and returns the outcome.
func (r *rig) try(s engine.Shard, b *engine.Batch) error {
	r.t.Helper()
	return r.await(r.start(s, b))
}

// commit commits b, which must succeed.
func (r *rig) commit(s engine.Shard, b *engine.Batch) {
	r.t.Helper()
	if err := r.try(s, b); err != nil {
		r.t.Fatalf("Commit: %v", err)
	}
}

// puts makes a batch of one record per datum.
func puts(queue bool, stream string, data ...string) *engine.Batch {
	b := &engine.Batch{}
	for _, d := range data {
		b.Records = append(b.Records, engine.Record{Stream: stream, Queue: queue, Data: []byte(d)})
	}
	return b
}

// put commits records to a queue, or a log, in one batch and returns their
// offsets.
func (r *rig) put(s engine.Shard, queue bool, stream string, data ...string) []gatehouse.Offset {
	r.t.Helper()
	b := puts(queue, stream, data...)
	r.commit(s, b)
	return offsets(b)
}

func offsets(b *engine.Batch) []gatehouse.Offset {
	all := make([]gatehouse.Offset, len(b.Records))
	for i := range b.Records {
		all[i] = b.Records[i].Offset
	}
	return all
}

func (r *rig) own(s engine.Shard) engine.Queues {
	r.t.Helper()
	q, err := r.e.Own(r.ctx, s, func(string, engine.Envelope) {})
	if err != nil {
		r.t.Fatalf("Own: %v", err)
	}
	return q
}

// A kept is a record as it was read.
type kept struct {
	offset   gatehouse.Offset
	enqueued int64
	data     string
}

// read returns the records of a log from an offset on.
func (r *rig) read(s engine.Shard, name string, from gatehouse.Offset) []kept {
	r.t.Helper()
	var all []kept
	next, err := r.e.Log(s, name).Read(r.ctx, from, func(o gatehouse.Offset, at int64, data []byte) bool {
		all = append(all, kept{o, at, string(data)})
		return true
	})
	if err != nil {
		r.t.Fatalf("Read: %v", err)
	}
	want := from
	if len(all) > 0 {
		want = all[len(all)-1].offset + 1
	}
	if next != want {
		r.t.Fatalf("Read returned next offset %d, want %d", next, want)
	}
	return all
}

// scan returns all envelopes of a queue with their data, read in pages.
func (r *rig) scan(q engine.Queues, queue string) []engine.Envelope {
	r.t.Helper()
	var all []engine.Envelope
	var after gatehouse.Offset
	for {
		page, err := q.Scan(r.ctx, queue, after, 100, true, nil)
		if err != nil {
			r.t.Fatalf("Scan: %v", err)
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
		after = page[len(page)-1].Offset
	}
}

// rows returns the rows of State whose key starts with prefix, as text.
func (r *rig) rows(s engine.Shard, prefix string) string {
	r.t.Helper()
	text := ""
	err := r.e.State(s).Scan(prefix, func(key string, value []byte) bool {
		text += fmt.Sprintf("%s=%s;", key, value)
		return true
	})
	if err != nil {
		r.t.Fatalf("State.Scan: %v", err)
	}
	return text
}

func (r *rig) names(q engine.Queues) []string {
	r.t.Helper()
	var all []string
	r.ok(q.Names(r.ctx, "", func(name string) bool { all = append(all, name); return true }))
	return all
}

// wantData fails the test unless the records of a log have these data.
func (r *rig) wantData(got []kept, want ...string) {
	r.t.Helper()
	texts := make([]string, len(got))
	for i := range got {
		texts[i] = got[i].data
	}
	r.equal(texts, want)
}

// wantQueue fails the test unless a queue holds these data.
func (r *rig) wantQueue(q engine.Queues, queue string, want ...string) {
	r.t.Helper()
	all := r.scan(q, queue)
	texts := make([]string, len(all))
	for i := range all {
		texts[i] = string(all[i].Data)
		if all[i].Size != len(all[i].Data) {
			r.t.Fatalf("record %d of queue %q: Size %d, but %d bytes of data", all[i].Offset, queue, all[i].Size, len(all[i].Data))
		}
	}
	r.equal(texts, want)
}

// equal fails the test unless got and want print alike.
func (r *rig) equal(got, want any) {
	r.t.Helper()
	if g, w := fmt.Sprintf("%.2000q", got), fmt.Sprintf("%.2000q", want); g != w {
		r.t.Fatalf("got  %s\nwant %s", g, w)
	}
}

// numbered returns n texts.
func numbered(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s%06d", prefix, i)
	}
	return all
}

// filled returns n bytes that can be told from others'.
func filled(n int, mark byte) []byte {
	b := bytes.Repeat([]byte{mark}, n)
	for i := 0; i < n; i += 511 {
		b[i] = byte(i)
	}
	return b
}
