package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/inbox"
)

// workers is how many use inboxes at a time.
const workers = 64

// inboxes measures put, take and complete: each worker with an inbox of its
// own, waiting for each step, and with so many messages under way.
func (r *run) inboxes(ctx context.Context) error {
	g, err := r.gateway(ctx, workers, false)
	if err != nil {
		return err
	}
	err = r.inboxesOf(ctx, g)
	return errorsOf(err, g.stop())
}

func errorsOf(err, stopped error) error {
	if err != nil && stopped != nil {
		return fmt.Errorf("%w; %w", err, stopped)
	}
	if err != nil {
		return err
	}
	return stopped
}

func (r *run) inboxesOf(ctx context.Context, g *gateway) error {
	strict, err := measure(ctx, workers, r.For, true, func(w int) (turn, error) {
		e := endpointOf(g, w)
		return func(ctx context.Context) error { return r.putTakeComplete(ctx, g.Inboxes, e, 1) }, nil
	})
	if err != nil {
		return err
	}
	r.rate("each step", fmt.Sprintf("%d workers, each waiting for each step", workers), strict)
	const batch = 32
	batched, err := measure(ctx, workers, r.For, false, func(w int) (turn, error) {
		e := endpointOf(g, w)
		return func(ctx context.Context) error { return r.putTakeComplete(ctx, g.Inboxes, e, batch) }, nil
	})
	if err != nil {
		return err
	}
	batched.n *= batch
	r.rate("batches", fmt.Sprintf("%d workers, each with %d messages under way", workers, batch), batched)
	return nil
}

// endpointOf returns the i-th endpoint.
func endpointOf(g *gateway, i int) *directory.Endpoint {
	return g.Directory.Current().Account(account).Endpoint(gatehouse.EndpointName(endpointName(i)))
}

// putTakeComplete puts n messages one by one, takes them and completes them
// one by one, with all n under way at a time.
func (r *run) putTakeComplete(ctx context.Context, s *inbox.Set, e *directory.Endpoint, n int) error {
	k := inbox.Key{Account: account, Endpoint: e.Name()}
	var wait sync.WaitGroup
	var failure atomic.Pointer[error]
	done := func(err error) {
		if err != nil {
			failure.Store(&err)
		}
		wait.Done()
	}
	for range n {
		wait.Add(1)
		if err := s.Deliver(ctx, s.Shard(k), []inbox.Put{{Key: k, Incarnation: e.Incarnation(), Message: r.message()}}, engine.Row{}, done); err != nil {
			return err
		}
	}
	wait.Wait()
	for left := n; left > 0 && failure.Load() == nil; {
		got, err := s.Receive(ctx, k, inbox.ReceiveOptions{Max: left})
		if err != nil {
			return err
		}
		left -= len(got)
		for _, d := range got {
			wait.Add(1)
			if err := s.SettleAsync(ctx, k, []inbox.Settlement{{Sequence: d.Sequence, Lock: d.Lock}}, done); err != nil {
				return err
			}
		}
	}
	wait.Wait()
	if err := failure.Load(); err != nil {
		return *err
	}
	return nil
}

// through measures the whole way: publish, channel, router, inbox, receive,
// complete.
func (r *run) through(ctx context.Context) error {
	g, err := r.gateway(ctx, sessions, true)
	if err != nil {
		return err
	}
	return errorsOf(r.throughOf(ctx, g), g.stop())
}

func (r *run) throughOf(ctx context.Context, g *gateway) error {
	const flight = 64 // of each session
	m := new(rate)
	var senders, receivers sync.WaitGroup
	var stop atomic.Bool
	var sent, received atomic.Int64
	var failure atomic.Pointer[error]
	fail := func(err error) {
		if err != nil {
			failure.Store(&err)
		}
	}
	all, finished := context.WithCancel(ctx)
	defer finished()
	begin, before := time.Now(), used()
	time.AfterFunc(r.For, func() { stop.Store(true) })
	for i := range sessions {
		s, err := g.open(ctx, i, gatehouse.RightSend)
		if err != nil {
			return err
		}
		defer s.Close()
		l, err := g.open(ctx, i, gatehouse.RightListen)
		if err != nil {
			return err
		}
		defer l.Close()
		to := []string{gatehouse.EndpointPrefix + endpointName((i+1)%sessions)}
		senders.Go(func() {
			n, err := pump(ctx, s, flight, &stop, func() *gatehouse.Message { m := r.message(); m.To = to; return m })
			sent.Add(n)
			fail(err)
		})
		receivers.Go(func() {
			for {
				got, err := l.Receive(all, false, inbox.ReceiveOptions{Max: flight})
				if err != nil {
					if all.Err() == nil {
						fail(err)
					}
					return
				}
				settled := make([]inbox.Settlement, len(got))
				for i, d := range got {
					settled[i] = inbox.Settlement{Sequence: d.Sequence, Lock: d.Lock}
				}
				if err := l.Settle(all, false, settled...); err != nil {
					fail(err)
					return
				}
				received.Add(int64(len(got)))
			}
		})
	}
	senders.Wait()
	sending := time.Since(begin)
	for received.Load() < sent.Load() && failure.Load() == nil && ctx.Err() == nil {
		<-time.After(5 * time.Millisecond)
	}
	m.n = received.Load()
	m.since(before, begin)
	finished()
	receivers.Wait()
	if err := failure.Load(); err != nil {
		return *err
	}
	r.noteRate("through", m)
	r.line("  %d × %d in flight: %v, from first publish to last complete; published in %.1f s, all in %.1f s", sessions, flight, m, sending.Seconds(), m.elapsed.Seconds())
	return nil
}
