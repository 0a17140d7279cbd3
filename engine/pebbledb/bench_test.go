package pebbledb_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/pebbledb"

	"github.com/cockroachdb/pebble/v2"
)

func benchOptions(b *testing.B) pebbledb.Options {
	return pebbledb.Options{Dir: filepath.Join(b.TempDir(), "store"), Shards: 8, Reserve: -1}
}

const benchRecord = 256

// each has n writers share b.N turns.
func each(b *testing.B, writers int, write func(writer, turn int)) {
	b.SetBytes(benchRecord)
	b.ResetTimer()
	var turn atomic.Int64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := int(turn.Add(1)); i <= b.N; i = int(turn.Add(1)) {
				write(w, i)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkPebble is the baseline: plain Pebble, one synced commit per record.
func BenchmarkPebble(b *testing.B) {
	for _, writers := range [...]int{64, 1000} {
		for _, dbs := range [...]int{1, 8} {
			b.Run(fmt.Sprintf("writers=%d/databases=%d", writers, dbs), func(b *testing.B) {
				list := make([]*pebble.DB, dbs)
				for i := range list {
					db, err := pebble.Open(filepath.Join(b.TempDir(), "db"), &pebble.Options{
						MemTableSize: 32 << 20, MemTableStopWritesThreshold: 3, FormatMajorVersion: pebble.FormatTableFormatV6,
						Logger: quiet{}, L0CompactionThreshold: 4, L0StopWritesThreshold: 40,
					})
					if err != nil {
						b.Fatal(err)
					}
					defer db.Close()
					list[i] = db
				}
				data := make([]byte, benchRecord)
				each(b, writers, func(w, i int) {
					key := fmt.Appendf(nil, "stream-%04d/%012d", w, i)
					if err := list[w%dbs].Set(key, data, pebble.Sync); err != nil {
						b.Error(err)
					}
				})
			})
		}
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...))
}

// BenchmarkCommitter writes the same through a Committer and the engine, to a
// log or a queue per writer.
func BenchmarkCommitter(b *testing.B) {
	for _, queue := range [...]bool{false, true} {
		for _, writers := range [...]int{64, 1000} {
			b.Run(fmt.Sprintf("queue=%v/writers=%d", queue, writers), func(b *testing.B) {
				e := open(b, benchOptions(b))
				c := engine.NewCommitter(e)
				defer c.Close()
				data := make([]byte, benchRecord)
				type writer struct {
					op     engine.Op
					record [1]engine.Record
					done   chan error
				}
				all := make([]writer, writers)
				for i := range all {
					w := &all[i]
					w.done = make(chan error, 1)
					w.record[0] = engine.Record{Stream: fmt.Sprintf("account/stream-%04d", i), Queue: queue, Data: data}
					w.op = engine.Op{Records: w.record[:], Done: func(_ *engine.Op, err error) { w.done <- err }}
				}
				each(b, writers, func(i, _ int) {
					w := &all[i]
					if err := c.Write(context.Background(), engine.Shard(i%8), &w.op); err != nil {
						b.Error(err)
						return
					}
					if err := <-w.done; err != nil {
						b.Error(err)
					}
				})
				m := e.Metrics()
				b.ReportMetric(float64(b.N)/float64(max(m.Fsyncs.Count, 1)), "records/fsync")
				b.ReportMetric(float64(m.Fsyncs.Quantile(0.5).Microseconds()), "fsync-p50-µs")
			})
		}
	}
}
