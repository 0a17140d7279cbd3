package web

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/pebbledb"
)

// BenchmarkInvoke has 100 connections of SignalR send, each waiting for its
// answer, over an engine that makes every message durable. The clients are in
// the same process.
func BenchmarkInvoke(b *testing.B) {
	const connections = 100
	s := newSiteOver(b, Options{}, func() engine.Engine {
		e, err := pebbledb.Open(pebbledb.Options{Dir: b.TempDir(), Shards: 8})
		if err != nil {
			b.Fatal(err)
		}
		return e
	})
	lines := make([]*hubLine, connections)
	for i := range lines {
		lines[i] = s.hub(adaptertest.Sender)
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	took := make([][]time.Duration, connections)
	b.ResetTimer()
	var sending sync.WaitGroup
	for i, c := range lines {
		sending.Go(func() {
			for n := 0; left.Add(-1) >= 0; n++ {
				begun := time.Now()
				if r := c.invoke(fmt.Sprint(n), "Send", `{"datacontenttype":"text/plain","data":"0123456789012345678901234567890123456789012345678901234567890123"}`); r.Error != "" {
					b.Error(r.Error)
					return
				}
				took[i] = append(took[i], time.Since(begun))
			}
		})
	}
	sending.Wait()
	b.StopTimer()
	all := slices.Concat(took...)
	slices.Sort(all)
	b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}
