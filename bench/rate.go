package bench

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A rate is what came of work by many workers.
type rate struct {
	n         int64
	elapsed   time.Duration
	bytes     uint64        // allocated by the whole process of the gateway
	objects   uint64        // allocated by it
	cpu       time.Duration // used by it
	latencies []time.Duration
}

func (m *rate) perSecond() float64 { return float64(m.n) / m.elapsed.Seconds() }

// String shows the rate, the latency if it was taken, and what a turn costs.
func (m *rate) String() string {
	s := fmt.Sprintf("%9.0f/s", m.perSecond())
	if len(m.latencies) > 0 {
		s += fmt.Sprintf("  p50 %v  p99 %v", m.quantile(0.5), m.quantile(0.99))
	}
	n := max(m.n, 1)
	return s + fmt.Sprintf("  %.1f allocations of %d B and %v of CPU each", float64(m.objects)/float64(n), m.bytes/uint64(n), (m.cpu/time.Duration(n)).Round(10*time.Nanosecond))
}

func (m *rate) quantile(q float64) time.Duration {
	if len(m.latencies) == 0 {
		return 0
	}
	slices.Sort(m.latencies)
	return m.latencies[int(q*float64(len(m.latencies)-1))].Round(time.Microsecond)
}

// A turn does one thing; the work that it starts counts when it has ended.
type turn func(ctx context.Context) error

// measure has each worker take turns for a while. Workers are made by with. A
// turn that fails ends it all.
func measure(ctx context.Context, workers int, d time.Duration, latency bool, with func(worker int) (turn, error)) (*rate, error) {
	turns := make([]turn, workers)
	for i := range turns {
		var err error
		if turns[i], err = with(i); err != nil {
			return nil, err
		}
	}
	var stop atomic.Bool
	var mu sync.Mutex
	var failed error
	var wait sync.WaitGroup
	m := new(rate)
	before := used()
	begin := time.Now()
	time.AfterFunc(d, func() { stop.Store(true) })
	for _, do := range turns {
		wait.Go(func() {
			var n int64
			var mine []time.Duration
			for !stop.Load() && ctx.Err() == nil {
				from := time.Now()
				if err := do(ctx); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					stop.Store(true)
					break
				}
				n++
				if latency {
					mine = append(mine, time.Since(from))
				}
			}
			mu.Lock()
			m.n += n
			m.latencies = append(m.latencies, mine...)
			mu.Unlock()
		})
	}
	wait.Wait()
	m.since(before, begin)
	return m, failed
}

// since fills in what was used from before on.
func (m *rate) since(before usage, begin time.Time) {
	m.elapsed = time.Since(begin)
	after := used()
	m.bytes, m.objects, m.cpu = after.Bytes-before.Bytes, after.Objects-before.Objects, after.CPU-before.CPU
}
