package dispatch_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/dispatch"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
	"github.com/gatehouse/gatehouse/handler"
)

// A slowDisk takes a while to sync: commits are done later than they could.
type slowDisk struct {
	engine.Engine
	sync time.Duration
}

func (d *slowDisk) Commit(s engine.Shard, b *engine.Batch, done func(error)) {
	d.Engine.Commit(s, b, func(err error) {
		<-time.After(d.sync)
		done(err)
	})
}

// BenchmarkWorkOff handles what eight partitions hold, and sends each message
// to one endpoint, on storage that takes half a millisecond to sync.
func BenchmarkWorkOff(b *testing.B) {
	e := memory.New(memory.Options{Shards: 8})
	defer e.Close()
	disk := &slowDisk{Engine: e}
	commit := engine.NewCommitter(disk)
	defer commit.Close()
	set := channel.New(disk, commit)
	var stored sync.WaitGroup
	stored.Add(b.N)
	body := make([]byte, 256)
	for i := range b.N {
		a := &channel.Append{
			Account: "acme", Targets: []channel.Target{{Channel: telemetry.Channel}},
			Message: &gatehouse.Message{ID: fmt.Sprint(i), Type: "t", Subject: "e", Body: body, Enqueued: time.Now()},
			Done:    func(*channel.Append, error) { stored.Done() },
		}
		a.Shard = set.Shard("acme", a.Message.ID)
		if err := set.Append(context.Background(), a); err != nil {
			b.Fatal(err)
		}
	}
	stored.Wait()
	disk.sync = 500 * time.Microsecond

	var left atomic.Int64
	left.Store(int64(b.N))
	finished := make(chan struct{})
	deliver := func(ctx context.Context, batch *handler.Batch) error {
		op := &engine.Op{}
		for i := range batch.Outputs {
			op.Records = append(op.Records, engine.Record{Stream: "out", Data: batch.Outputs[i].Message.Body})
		}
		return commit.Do(ctx, engine.Shard(batch.Partition), op)
	}
	d := dispatch.New(set, commit, deliver, dispatch.Options{Events: dispatch.Events{
		Handled: func(_ *dispatch.Spec, n int, _ time.Duration) {
			if left.Add(-int64(n)) == 0 {
				close(finished)
			}
		},
	}})
	d.Use([]dispatch.Spec{spec("h", work(forward))})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	running.Go(func() { _ = d.Run(ctx) })
	<-finished
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	cancel()
	running.Wait()
}
