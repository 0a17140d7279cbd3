package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
	"github.com/gatehouse/gatehouse/inbox"
)

// TestEverythingAtOnce: many put, receive and settle in every way, on a few
// inboxes, with and without sessions. Each message ends exactly once.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	const inboxes, each, receivers = 4, 600, 6
	r := start(t, policy(inbox.Policy{MaxDeliveries: -1, MaxMessages: 100_000}))
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var ended [inboxes]sync.Map
	var left atomic.Int64
	left.Store(inboxes * each)
	end := func(box int, d *inbox.Delivery) {
		if _, twice := ended[box].LoadOrStore(d.Message.ID, true); twice {
			t.Errorf("%s ended twice", d.Message.ID)
		}
		if left.Add(-1) == 0 {
			stop()
		}
	}
	var wg sync.WaitGroup
	for box := range inboxes {
		k := inbox.Key{Account: "acme", Endpoint: gatehouse.EndpointName(fmt.Sprintf("e%d", box))}
		wg.Go(func() {
			for i := range each {
				m := msg(fmt.Sprint(i))
				if i%3 == 0 {
					m.Group = fmt.Sprintf("g%d", i%5)
				}
				r.putAll(k, m)
			}
		})
		for n := range receivers {
			wg.Go(func() {
				w := &stressor{r: r, k: k, rand: rand.New(rand.NewPCG(uint64(box), uint64(n))), end: func(d *inbox.Delivery) { end(box, d) }}
				for ctx.Err() == nil {
					w.round(ctx, n%3 == 0)
				}
			})
		}
	}
	wg.Wait()
	for box := range inboxes {
		k := inbox.Key{Account: "acme", Endpoint: gatehouse.EndpointName(fmt.Sprintf("e%d", box))}
		if s := r.stats(k); s != (inbox.Stats{}) {
			t.Errorf("inbox %d has %+v left", box, s)
		}
	}
}

type stressor struct {
	r    *rig
	k    inbox.Key
	rand *rand.Rand
	end  func(*inbox.Delivery)
}

func (w *stressor) round(ctx context.Context, session bool) {
	o := inbox.ReceiveOptions{Max: 1 + w.rand.IntN(5), Delete: w.rand.IntN(10) == 0}
	if session {
		l, err := w.r.AcceptSession(ctx, w.k, "", 0)
		if err != nil {
			return
		}
		defer func() { _ = w.r.ReleaseSession(l) }()
		o.Session, o.NoWait = l, true
	}
	got, err := w.r.Receive(ctx, w.k, o)
	if err != nil && !errors.Is(err, context.Canceled) {
		w.r.t.Errorf("Receive: %v", err)
	}
	for _, d := range got {
		if o.Delete {
			w.end(d)
			continue
		}
		w.settle(d, o.Session)
	}
}

func (w *stressor) settle(d *inbox.Delivery, l *inbox.SessionLock) {
	ctx := context.Background()
	outcomes := []inbox.Outcome{inbox.Complete, inbox.Complete, inbox.Abandon, inbox.Release, inbox.Defer}
	outcome := outcomes[w.rand.IntN(len(outcomes))]
	err := w.r.Settle(ctx, w.k, []inbox.Settlement{{Lock: d.Lock, Outcome: outcome}})
	if err != nil {
		w.r.t.Errorf("%v of %s: %v", outcome, d.Message.ID, err)
	}
	switch outcome {
	case inbox.Complete:
		w.end(d)
	case inbox.Defer:
		for {
			again, err := w.r.ReceiveDeferred(ctx, w.k, inbox.ReceiveOptions{Delete: true, Session: l}, d.Sequence)
			if errors.Is(err, gatehouse.Conflict) {
				runtime.Gosched() // its group is locked by another session
				continue
			}
			if err != nil {
				w.r.t.Errorf("receiving deferred %s: %v", d.Message.ID, err)
				return
			}
			w.end(again[0])
			return
		}
	}
}

// TestMemoryOfIdleInboxes: what the Set itself keeps for inboxes that hold
// messages and nobody reads.
func TestMemoryOfIdleInboxes(t *testing.T) {
	if testing.Short() {
		t.Skip("measures the heap")
	}
	for _, test := range []struct {
		name   string
		policy inbox.Policy
		limit  float64
	}{{"plain", inbox.Policy{}, 20}, {"with a quota", inbox.Policy{MaxMessages: 1000}, 200}} {
		per := memoryPerInbox(t, test.policy)
		t.Logf("%s: %.0f bytes per idle inbox", test.name, per)
		if per > test.limit {
			t.Errorf("%s: an idle inbox costs %.0f bytes, more than %.0f", test.name, per, test.limit)
		}
	}
}

func memoryPerInbox(t *testing.T, p inbox.Policy) float64 {
	const n = 20_000
	e := &forgetful{Engine: memory.New(memory.Options{}), told: make(map[engine.Shard]func(string, engine.Envelope))}
	c := engine.NewCommitter(e)
	s := inbox.New(e, c, policy(p))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	<-s.Ready()
	put := func(prefix string, n int) {
		var wg sync.WaitGroup
		for i := range n {
			k := inbox.Key{Account: "acme", Endpoint: gatehouse.EndpointName(fmt.Sprintf("%s-%06d", prefix, i))}
			wg.Add(1)
			err := s.Deliver(ctx, s.Shard(k), []inbox.Put{{Key: k, Message: msg("m")}}, engine.Row{}, func(err error) {
				if err != nil {
					t.Error(err)
				}
				wg.Done()
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		wg.Wait()
	}
	put("warm", n) // so that buffers have the size they need
	before := heap()
	put("idle", n)
	after := heap()
	runtime.KeepAlive(s)
	cancel()
	running.Wait()
	c.Close()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	return float64(int64(after)-int64(before)) / n
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A forgetful engine tells of puts, and keeps none of them.
type forgetful struct {
	engine.Engine
	mu   sync.Mutex
	next gatehouse.Offset
	told map[engine.Shard]func(string, engine.Envelope)
}

func (f *forgetful) Own(ctx context.Context, s engine.Shard, put func(string, engine.Envelope)) (engine.Queues, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told[s] = put
	return f.Engine.Own(ctx, s, func(string, engine.Envelope) {})
}

func (f *forgetful) Commit(s engine.Shard, b *engine.Batch, done func(error)) {
	f.mu.Lock()
	put := f.told[s]
	for i := range b.Records {
		f.next++
		b.Records[i].Offset = f.next
	}
	f.mu.Unlock()
	for i := range b.Records {
		r := &b.Records[i]
		put(r.Stream, engine.Envelope{Offset: r.Offset, Size: len(r.Data), Enqueued: time.Now().UnixNano()})
	}
	done(nil)
}

func TestFenced(t *testing.T) {
	t.Parallel()
	r := start(t, inbox.Options{})
	r.put(pump, "a")
	d := r.takeOne(pump)
	c := engine.NewCommitter(r.engine)
	defer c.Close()
	other := inbox.New(r.engine, c, inbox.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = other.Run(ctx) })
	defer running.Wait()
	defer cancel()
	<-other.Ready()
	s := []inbox.Settlement{{Lock: d.Lock}}
	r.mu.Lock()
	r.fenced = true
	r.mu.Unlock()
	wantKind(t, r.Settle(context.Background(), pump, s), gatehouse.Unavailable)
	r.running.Wait() // Run has ended by itself
	_, err := r.Receive(context.Background(), pump, inbox.ReceiveOptions{})
	wantKind(t, err, gatehouse.Unavailable)
	got, err := other.Receive(context.Background(), pump, inbox.ReceiveOptions{})
	if err != nil || len(got) != 1 {
		t.Errorf("the new owner received %d messages, %v", len(got), err)
	}
}
