package inbox_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
	"github.com/gatehouse/gatehouse/inbox"
)

const benchWorkers = 64

// engines are what the benchmarks run on.
func engines(b *testing.B, run func(*testing.B, engine.Engine)) {
	b.Run("memory", func(b *testing.B) {
		e := memory.New(memory.Options{})
		defer e.Close()
		run(b, e)
	})
}

func bench(b *testing.B, e engine.Engine, work func(ctx context.Context, s *inbox.Set, next func() bool, k inbox.Key) error) {
	c := engine.NewCommitter(e)
	defer c.Close()
	s := inbox.New(e, c, inbox.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = s.Run(ctx) }()
	<-s.Ready()
	b.ReportAllocs()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for w := range benchWorkers {
		k := inbox.Key{Account: "acme", Endpoint: gatehouse.EndpointName(fmt.Sprintf("pump-%d", w))}
		wg.Go(func() {
			if err := work(ctx, s, func() bool { return left.Add(-1) >= 0 }, k); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func benchMessage() *gatehouse.Message {
	return &gatehouse.Message{ID: "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", Type: "reading", Source: "/acme/endpoints/meter-1", Body: make([]byte, 256)}
}

// putOne puts a message and waits until it is durable.
func putOne(ctx context.Context, s *inbox.Set, puts []inbox.Put, done chan error) error {
	err := s.Deliver(ctx, s.Shard(puts[0].Key), puts, engine.Row{}, func(err error) { done <- err })
	if err != nil {
		return err
	}
	return <-done
}

// BenchmarkPutTakeComplete has each of 64 workers put a message of 256 bytes
// into an inbox of its own, take and complete it, and wait for each step.
func BenchmarkPutTakeComplete(b *testing.B) {
	engines(b, func(b *testing.B, e engine.Engine) {
		bench(b, e, func(ctx context.Context, s *inbox.Set, next func() bool, k inbox.Key) error {
			done := make(chan error, 1)
			puts := []inbox.Put{{Key: k}}
			for next() {
				puts[0].Message = benchMessage()
				if err := putOne(ctx, s, puts, done); err != nil {
					return err
				}
				got, err := s.Receive(ctx, k, inbox.ReceiveOptions{})
				if err != nil {
					return err
				}
				if err := s.Settle(ctx, k, []inbox.Settlement{{Lock: got[0].Lock}}); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// BenchmarkPut has 64 workers put messages of 256 bytes into inboxes nobody
// reads.
func BenchmarkPut(b *testing.B) {
	engines(b, func(b *testing.B, e engine.Engine) {
		bench(b, e, func(ctx context.Context, s *inbox.Set, next func() bool, k inbox.Key) error {
			done := make(chan error, 1)
			puts := []inbox.Put{{Key: k, Message: benchMessage()}}
			for next() {
				if err := putOne(ctx, s, puts, done); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// BenchmarkDrain has 64 workers take and complete a backlog, 64 messages at a
// time.
func BenchmarkDrain(b *testing.B) {
	engines(b, func(b *testing.B, e engine.Engine) {
		each := b.N/benchWorkers + 1
		fill(b, e, each)
		bench(b, e, func(ctx context.Context, s *inbox.Set, _ func() bool, k inbox.Key) error {
			for n := 0; n < each; {
				got, err := s.Receive(ctx, k, inbox.ReceiveOptions{Max: 64})
				if err != nil {
					return err
				}
				settlements := make([]inbox.Settlement, len(got))
				for i, d := range got {
					settlements[i].Lock = d.Lock
				}
				if err := s.Settle(ctx, k, settlements); err != nil {
					return err
				}
				n += len(got)
			}
			return nil
		})
	})
}

// fill puts each messages into the inbox of every worker.
func fill(b *testing.B, e engine.Engine, each int) {
	b.Helper()
	b.StopTimer()
	defer b.StartTimer()
	c := engine.NewCommitter(e)
	defer c.Close()
	s := inbox.New(e, c, inbox.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = s.Run(ctx) }()
	<-s.Ready()
	var wg sync.WaitGroup
	for w := range benchWorkers {
		wg.Go(func() {
			done := make(chan error, 1)
			k := inbox.Key{Account: "acme", Endpoint: gatehouse.EndpointName(fmt.Sprintf("pump-%d", w))}
			for n := 0; n < each; n += 100 {
				puts := make([]inbox.Put, min(100, each-n))
				for i := range puts {
					puts[i] = inbox.Put{Key: k, Message: benchMessage()}
				}
				if err := putOne(ctx, s, puts, done); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
