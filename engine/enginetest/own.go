package enginetest

import (
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

var ownTests = []test{
	{"PutIsTold", on(putIsTold)},
	{"Fences", on(ownFences)},
	{"Epochs", on(ownEpochs)},
	{"HandOver", on(ownHandOver)},
}

// A told is a call to put.
type told struct {
	queue string
	e     engine.Envelope
}

// putIsTold checks the calls to put, and that each comes before the done of
// its commit, from whomever it is.
func putIsTold(r *rig) {
	var mu sync.Mutex
	var calls []told
	var telling atomic.Int32
	q, err := r.e.Own(r.ctx, 0, func(queue string, e engine.Envelope) {
		if telling.Add(1) != 1 {
			r.t.Error("two calls to put at once")
		}
		mu.Lock()
		e.Data = append([]byte(nil), e.Data...)
		calls = append(calls, told{queue, e})
		mu.Unlock()
		telling.Add(-1)
	})
	r.ok(err)
	const n = 200
	var waits []chan error
	var batches []*engine.Batch
	var later atomic.Int32 // commits whose done came before their puts
	for i := range n {
		b := puts(true, "queue-"+strconv.Itoa(i%3), "q"+strconv.Itoa(i))
		b.Records = append(b.Records, puts(false, "queue-0", "log").Records...)
		b.Records = append(b.Records, puts(true, "second", "").Records...)
		b.Records[0].Expires, b.Records[0].NotBefore = int64(1000+i), int64(i)
		if i%2 == 0 {
			b.Epoch = q.Epoch()
		}
		batches = append(batches, b)
		done := make(chan error, 1)
		waits = append(waits, done)
		r.e.Commit(0, b, func(err error) {
			mu.Lock()
			if len(calls) < 2*(i+1) {
				later.Add(1)
			}
			mu.Unlock()
			done <- err
		})
	}
	for _, w := range waits {
		r.ok(r.await(w))
	}
	if later.Load() > 0 {
		r.t.Fatalf("%d calls to done came before put was told", later.Load())
	}
	r.put(1, true, "queue-0", "of another shard")
	mu.Lock()
	defer mu.Unlock()
	if len(calls) != 2*n {
		r.t.Fatalf("put was told of %d records, want %d", len(calls), 2*n)
	}
	for i, b := range batches {
		r.wantTold(calls[2*i], &b.Records[0])
		r.wantTold(calls[2*i+1], &b.Records[2])
	}
	got, err := q.Get(r.ctx, calls[0].queue, calls[0].e.Offset)
	r.ok(err)
	r.equal(got.Enqueued, calls[0].e.Enqueued)
}

func (r *rig) wantTold(c told, want *engine.Record) {
	r.t.Helper()
	e := &c.e
	if c.queue != want.Stream || e.Offset != want.Offset || e.Size != len(want.Data) || e.Expires != want.Expires || e.NotBefore != want.NotBefore {
		r.t.Fatalf("put was told of %s %+v, want %+v", c.queue, *e, *want)
	}
	if len(e.Data) > 0 && string(e.Data) != string(want.Data) {
		r.t.Fatalf("put was told of data %q, want %q", e.Data, want.Data)
	}
}

func ownFences(r *rig) {
	first := r.own(0)
	o := r.put(0, true, "queue", "a", "b")
	second := r.own(0)
	if second.Epoch() <= first.Epoch() {
		r.t.Fatalf("epoch %d after %d", second.Epoch(), first.Epoch())
	}
	remove := func(q engine.Queues, o gatehouse.Offset) error {
		return r.try(0, &engine.Batch{Epoch: q.Epoch(), Remove: []engine.Ref{{Queue: "queue", Offset: o}}})
	}
	r.kind(remove(first, o[0]), gatehouse.Conflict)
	r.kind(r.try(0, &engine.Batch{Epoch: second.Epoch() + 1}), gatehouse.Conflict)
	r.wantQueue(second, "queue", "a", "b")
	r.ok(remove(second, o[0]))
	r.wantQueue(second, "queue", "b")
	r.put(0, true, "queue", "c") // by somebody who owns nothing
	r.kind(remove(first, o[1]), gatehouse.Conflict)
	r.wantQueue(second, "queue", "b", "c")
}

func ownEpochs(r *rig) {
	q := r.own(0)
	if q.Epoch() == 0 {
		r.t.Fatal("an owner has epoch 0, which fences nothing")
	}
	for range 3 {
		next := r.own(0)
		if next.Epoch() <= q.Epoch() {
			r.t.Fatalf("epoch %d after %d", next.Epoch(), q.Epoch())
		}
		q = next
	}
	other := r.own(1)
	r.ok(r.try(1, &engine.Batch{Epoch: other.Epoch()}))
	r.own(0)
	r.ok(r.try(1, &engine.Batch{Epoch: other.Epoch()}))
	r.kind(r.try(0, &engine.Batch{Epoch: q.Epoch()}), gatehouse.Conflict)
}

// ownHandOver changes the owner while records are put: the new owner is told
// of each, or finds it.
func ownHandOver(r *rig) {
	const writers, each = 4, 150
	var wg sync.WaitGroup
	defer wg.Wait()
	half := make(chan struct{}, writers)
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if i == each/3 {
					half <- struct{}{}
				}
				if err := r.try(0, puts(true, "queue", strconv.Itoa(w*each+i))); err != nil {
					r.t.Errorf("Commit: %v", err)
					half <- struct{}{}
					return
				}
			}
		})
	}
	<-half
	var mu sync.Mutex
	known := make(map[gatehouse.Offset]bool)
	q, err := r.e.Own(r.ctx, 0, func(_ string, e engine.Envelope) {
		mu.Lock()
		defer mu.Unlock()
		known[e.Offset] = true
	})
	r.ok(err)
	found := r.scan(q, "queue")
	wg.Wait()
	for _, e := range found {
		known[e.Offset] = true
	}
	all := r.scan(q, "queue")
	if len(all) != writers*each {
		r.t.Fatalf("%d records, want %d", len(all), writers*each)
	}
	for _, e := range all {
		if !known[e.Offset] {
			r.t.Fatalf("the new owner neither found record %d nor was told of it", e.Offset)
		}
	}
}
