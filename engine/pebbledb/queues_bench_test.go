package pebbledb_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/pebbledb"
)

// took runs f and reports how long it took, in milliseconds.
func took(b *testing.B, what string, f func()) {
	begin := time.Now()
	f()
	b.ReportMetric(float64(time.Since(begin).Microseconds())/1000, what+"-ms")
}

// inFlight commits batches to shard 0, several at once.
type inFlight struct {
	b     *testing.B
	e     *pebbledb.Engine
	slots chan struct{}
}

func newInFlight(b *testing.B, e *pebbledb.Engine) *inFlight {
	return &inFlight{b, e, make(chan struct{}, 8)}
}

func (f *inFlight) commit(batch *engine.Batch) {
	f.slots <- struct{}{}
	f.e.Commit(0, batch, func(err error) {
		if err != nil {
			f.b.Errorf("Commit: %v", err)
		}
		<-f.slots
	})
}

func (f *inFlight) wait() {
	for range cap(f.slots) {
		f.slots <- struct{}{}
	}
	for range cap(f.slots) {
		<-f.slots
	}
}

// BenchmarkQueueHead passes a million records through one queue with a backlog
// of a thousand, and then scans it from the beginning.
func BenchmarkQueueHead(b *testing.B) {
	const records, backlog, each = 1_000_000, 1000, 100
	for range b.N {
		e := open(b, benchOptions(b))
		f := newInFlight(b, e)
		data := make([]byte, benchRecord)
		var refs []engine.Ref
		begin := time.Now()
		for n := 0; n < records; n += each {
			batch := &engine.Batch{}
			for range each {
				batch.Records = append(batch.Records, engine.Record{Stream: "account/endpoint", Queue: true, Data: data, Expires: 1 << 60})
			}
			if len(refs) > backlog {
				batch.Remove = refs[:each:each]
				refs = refs[each:]
			}
			f.commit(batch)
			for i := range batch.Records {
				refs = append(refs, engine.Ref{Queue: "account/endpoint", Offset: batch.Records[i].Offset, Expires: 1 << 60})
			}
		}
		f.wait()
		b.ReportMetric(records/time.Since(begin).Seconds(), "records/s")
		q := own(b, e, 0)
		scan := func() {
			page, err := q.Scan(context.Background(), "account/endpoint", 0, 10, true, nil)
			if err != nil || len(page) != 10 || page[0].Offset != refs[0].Offset {
				b.Fatalf("Scan: %d records, %v", len(page), err)
			}
		}
		took(b, "first-scan", scan)
		took(b, "next-scan", scan)
		took(b, "names", func() {
			if err := q.Names(context.Background(), "", func(string) bool { return true }); err != nil {
				b.Fatal(err)
			}
		})
		b.ReportMetric(float64(e.Metrics().DiskUsage>>20), "MiB-on-disk")
	}
}

// BenchmarkManyQueues opens a store with a million queues of one record each,
// and empties them.
func BenchmarkManyQueues(b *testing.B) {
	const count, each = 1_000_000, 1000
	for range b.N {
		o := pebbledb.Options{Dir: filepath.Join(b.TempDir(), "store"), Shards: 8, Reserve: -1}
		e := open(b, o)
		f := newInFlight(b, e)
		data := make([]byte, benchRecord)
		refs := make([]engine.Ref, 0, count)
		for n := 0; n < count; n += each {
			batch := &engine.Batch{}
			for i := range each {
				name := fmt.Sprintf("account/endpoint-%07d", (n+i)*7919%count)
				batch.Records = append(batch.Records, engine.Record{Stream: name, Queue: true, Data: data})
			}
			f.commit(batch)
			for i := range batch.Records {
				refs = append(refs, engine.Ref{Queue: batch.Records[i].Stream, Offset: batch.Records[i].Offset})
			}
		}
		f.wait()
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
		before := heap()
		took(b, "open", func() { e = open(b, o) })
		q := own(b, e, 0)
		b.ReportMetric(float64(int64(heap()-before))/(1<<20), "MiB-of-memory")
		names := func(want int) func() {
			return func() {
				n := 0
				if err := q.Names(context.Background(), "", func(string) bool { n++; return true }); err != nil || n != want {
					b.Fatalf("%d names, %v", n, err)
				}
			}
		}
		took(b, "names", names(count))
		f = newInFlight(b, e)
		begin := time.Now()
		for n := 0; n < count; n += each {
			f.commit(&engine.Batch{Remove: refs[n : n+each]})
		}
		f.wait()
		b.ReportMetric(count/time.Since(begin).Seconds(), "removed/s")
		took(b, "names-drained", names(0))
		took(b, "names-drained-again", names(0))
		if page, err := q.Scan(context.Background(), refs[0].Queue, 0, 1, false, nil); err != nil || len(page) != 0 {
			b.Fatalf("Scan: %v, %v", page, err)
		}
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
		took(b, "reopen", func() { e = open(b, o) })
		q = own(b, e, 0)
		took(b, "names-reopened", names(0))
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkFsync is what the disk does: one fdatasync of 4 KiB appended.
func BenchmarkFsync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "file"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 4096)
	for range b.N {
		if _, err := f.Write(page); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}
