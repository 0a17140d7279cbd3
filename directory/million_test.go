package directory_test

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/engine"
)

// manyEndpoints yields n endpoints as a large installation has them: a few
// sites and kinds, some with settings of their own.
func manyEndpoints(n int) iter.Seq2[*directory.EndpointSpec, error] {
	limit := 1000
	return func(yield func(*directory.EndpointSpec, error) bool) {
		for i := range n {
			e := &directory.EndpointSpec{
				Name:   fmt.Sprintf("pump-%07d", i),
				Labels: map[string]string{"site": fmt.Sprintf("site-%03d", i%500), "kind": "pump"},
			}
			if i%10 == 0 {
				e.Protocols, e.Inbox = []string{"mqtt", "https"}, &directory.InboxSpec{MaxMessages: &limit}
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// filled returns an engine with n endpoints in account acme.
func filled(t testing.TB, n int) engine.Engine {
	t.Helper()
	e := newEngine(t)
	d := open(t, e)
	acme(t, d)
	put(t, d, &directory.ChannelSpec{Name: "telemetry"}, routeSpec("in", "pump-*", "telemetry"))
	done, err := d.Import(context.Background(), "acme", manyEndpoints(n))
	if err != nil || done.Created != n {
		t.Fatal(done, err)
	}
	return e
}

// heap returns how many bytes are in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkMillion says what a million endpoints cost: to import, to read at
// start, in memory, and when one of them or the rules beside them change. Run
// it with -benchtime 1x -run xxx.
func BenchmarkMillion(b *testing.B) {
	const n = 1_000_000
	ctx := context.Background()
	began := time.Now()
	e := filled(b, n)
	b.Logf("import: %.1f s for %d endpoints", time.Since(began).Seconds(), n)

	before := heap()
	began = time.Now()
	d := open(b, e)
	b.Logf("start to ready: %.2f s", time.Since(began).Seconds())
	b.Logf("memory: %d bytes an endpoint", (heap()-before)/n)

	b.Run("one endpoint", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			spec := &directory.EndpointSpec{Name: fmt.Sprintf("pump-%07d", i*7919%n), Description: fmt.Sprint(i)}
			if _, err := d.Put(ctx, "acme", spec, 0); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("a route", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := d.Put(ctx, "acme", routeSpec("in", fmt.Sprintf("pump-%d*", i), "telemetry"), 0); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("keys", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := d.EndpointKeys("acme", gatehouse.EndpointName(fmt.Sprintf("pump-%07d", i*7919%n)), gatehouse.PolicySend); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("search by label", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := d.Current().Account("acme").Search(directory.Search{Labels: "site=nowhere"}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkImport(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		filled(b, n)
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "endpoints/s")
}

func BenchmarkOpen(b *testing.B) {
	const n = 200_000
	e := filled(b, n)
	b.ReportAllocs()
	for b.Loop() {
		open(b, e)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/endpoint")
}

func BenchmarkKeys(b *testing.B) {
	const n = 10_000
	d := open(b, filled(b, n))
	names := make([]gatehouse.EndpointName, n)
	for i := range names {
		names[i] = gatehouse.EndpointName(fmt.Sprintf("pump-%07d", i))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := d.EndpointKeys("acme", names[i%n], gatehouse.PolicySend); err != nil {
			b.Fatal(err)
		}
	}
}
