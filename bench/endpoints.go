package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/inbox"
)

// endpoints measures what many endpoints cost: to define, to hold, to start
// with, and to drain, each with one message waiting.
func (r *run) endpoints(ctx context.Context) error {
	dir, remove, err := r.folder()
	if err != nil {
		return err
	}
	defer remove()
	empty := holding().Heap
	g, err := startIn(ctx, dir, "https")
	if err != nil {
		return err
	}
	if err := errorsOf(r.fill(ctx, g), g.stop()); err != nil {
		return err
	}
	begin := time.Now()
	g, err = startIn(ctx, dir, "https")
	if err != nil {
		return err
	}
	started := time.Since(begin)
	each := (holding().Heap - empty) / int64(r.Endpoints)
	r.note("start", started.Seconds(), "s")
	r.note("memory each", float64(each), "B")
	r.line("  start to ready: %.2f s; memory: %d bytes for each endpoint, all told", started.Seconds(), each)
	return errorsOf(r.drain(ctx, g), g.stop())
}

// fill defines the endpoints and puts a message into the inbox of each.
func (r *run) fill(ctx context.Context, g *gateway) error {
	begin := time.Now()
	if err := define(ctx, g.Directory, definition{endpoints: r.Endpoints}); err != nil {
		return err
	}
	r.line("  %d endpoints imported in %.1f s", r.Endpoints, time.Since(begin).Seconds())
	r.note("import", time.Since(begin).Seconds(), "s")
	begin = time.Now()
	const batch = 500
	puts := make([][]inbox.Put, g.Channels.Partitions())
	var wait sync.WaitGroup
	var failure atomic.Pointer[error]
	done := func(err error) {
		if err != nil {
			failure.Store(&err)
		}
		wait.Done()
	}
	flush := func(shard int) error {
		wait.Add(1)
		err := g.Inboxes.Deliver(ctx, engine.Shard(shard), puts[shard], engine.Row{}, done)
		puts[shard] = nil
		return err
	}
	for i := range r.Endpoints {
		e := endpointOf(g, i)
		k := inbox.Key{Account: account, Endpoint: e.Name()}
		s := int(g.Inboxes.Shard(k))
		if puts[s] = append(puts[s], inbox.Put{Key: k, Incarnation: e.Incarnation(), Message: r.message()}); len(puts[s]) == batch {
			if err := flush(s); err != nil {
				return err
			}
		}
	}
	for s := range puts {
		if len(puts[s]) > 0 {
			if err := flush(s); err != nil {
				return err
			}
		}
	}
	wait.Wait()
	if err := failure.Load(); err != nil {
		return *err
	}
	r.line("  one message put into each in %.1f s", time.Since(begin).Seconds())
	r.note("put", time.Since(begin).Seconds(), "s")
	return nil
}

// drain receives and completes the one message of each inbox.
func (r *run) drain(ctx context.Context, g *gateway) error {
	a := g.Directory.Current().Account(account)
	var done atomic.Int64
	var failure atomic.Pointer[error]
	var wait sync.WaitGroup
	begin := time.Now()
	names := make(chan gatehouse.EndpointName, 1024)
	for range 256 {
		wait.Go(func() {
			for name := range names {
				if err := drainOne(ctx, g, name); err != nil {
					err = fmt.Errorf("inbox %s: %w", name, err)
					failure.Store(&err)
				}
				done.Add(1)
			}
		})
	}
	for e := range a.Endpoints("") {
		if failure.Load() != nil {
			break
		}
		names <- e.Name()
	}
	close(names)
	wait.Wait()
	if err := failure.Load(); err != nil {
		return *err
	}
	elapsed := time.Since(begin)
	r.note("drained", float64(done.Load())/elapsed.Seconds(), "/s")
	r.line("  drained (receive and complete) in %.1f s: %.0f inboxes/s", elapsed.Seconds(), float64(done.Load())/elapsed.Seconds())
	return nil
}

func drainOne(ctx context.Context, g *gateway, name gatehouse.EndpointName) error {
	k := inbox.Key{Account: account, Endpoint: name}
	got, err := g.Inboxes.Receive(ctx, k, inbox.ReceiveOptions{NoWait: true})
	if err != nil {
		return err
	}
	if len(got) != 1 {
		return gatehouse.Errorf(gatehouse.Internal, "it holds %d messages, not one", len(got))
	}
	return g.Inboxes.Settle(ctx, k, []inbox.Settlement{{Sequence: got[0].Sequence, Lock: got[0].Lock}})
}
