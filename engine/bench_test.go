package engine_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
)

// benchAhead is how many ops each of benchWriters has under way.
const (
	benchWriters = 64
	benchAhead   = 64
)

// bench has writers write ops that fill makes, many ahead of their outcome.
func bench(b *testing.B, e engine.Engine, fill func(op *engine.Op, w int)) {
	c := engine.NewCommitter(e)
	defer c.Close()
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for w := range benchWriters {
		wg.Go(func() {
			free := make(chan *engine.Op, benchAhead)
			for range benchAhead {
				op := &engine.Op{Done: func(op *engine.Op, err error) {
					if err != nil {
						b.Error(err)
					}
					free <- op
				}}
				fill(op, w)
				free <- op
			}
			for range b.N/benchWriters + 1 {
				if err := c.Write(context.Background(), engine.Shard(w%e.Shards()), <-free); err != nil {
					b.Error(err)
				}
			}
			for range benchAhead {
				<-free
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}

// BenchmarkCommitterRows writes one small row per op.
func BenchmarkCommitterRows(b *testing.B) {
	e := memory.New(memory.Options{})
	defer e.Close()
	keys := [...]string{"row/a", "row/b", "row/c", "row/d"}
	bench(b, e, func(op *engine.Op, w int) {
		op.State = []engine.Row{{Key: keys[w%len(keys)], Value: []byte("12345678")}}
	})
}

// BenchmarkCommitterRecords appends one record of 256 bytes per op to a log,
// which is kept short.
func BenchmarkCommitterRecords(b *testing.B) {
	e := memory.New(memory.Options{})
	defer e.Close()
	end, retained := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(retained)
		for {
			select {
			case <-end:
				return
			case <-time.After(20 * time.Millisecond):
			}
			for s := range e.Shards() {
				if err := e.Log(engine.Shard(s), "log").Retain(context.Background(), 0, 1<<20); err != nil {
					b.Error(err)
				}
			}
		}
	}()
	bench(b, e, func(op *engine.Op, _ int) {
		op.Records = []engine.Record{{Stream: "log", Data: make([]byte, 256)}}
	})
	close(end)
	<-retained
}

// BenchmarkCommitterAlone is a Committer over an engine that does nothing.
func BenchmarkCommitterAlone(b *testing.B) {
	e := idle{memory.New(memory.Options{})}
	defer e.Close()
	bench(b, e, func(op *engine.Op, _ int) {
		op.Records = []engine.Record{{Stream: "log", Data: make([]byte, 256)}}
	})
}

// An idle engine stores nothing.
type idle struct{ *memory.Engine }

func (idle) Commit(_ engine.Shard, _ *engine.Batch, done func(error)) { done(nil) }

// BenchmarkCommitterDo has 64 callers wait for each op.
func BenchmarkCommitterDo(b *testing.B) {
	e := memory.New(memory.Options{})
	defer e.Close()
	c := engine.NewCommitter(e)
	defer c.Close()
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for w := range benchWriters {
		wg.Go(func() {
			op := &engine.Op{State: []engine.Row{{Key: "row", Value: []byte("12345678")}}}
			for range b.N/benchWriters + 1 {
				if err := c.Do(context.Background(), engine.Shard(w%e.Shards()), op); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}
