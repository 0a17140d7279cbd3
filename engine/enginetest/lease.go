package enginetest

import (
	"context"
	"errors"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

var leaseTests = []test{
	{"HandOver", on(leaseHandOver)},
	{"OneAtATime", on(leaseContended)},
}

func leaseHandOver(r *rig) {
	first, err := r.e.Lease(r.ctx, "a")
	r.ok(err)
	other, err := r.e.Lease(r.ctx, "b")
	r.ok(err)
	taken := make(chan engine.Lease, 1)
	failed := make(chan error, 1)
	go func() {
		l, err := r.e.Lease(r.ctx, "a")
		failed <- err
		taken <- l
	}()
	select {
	case err := <-failed:
		r.t.Fatalf("a lease was given twice, or not at all: %v", err)
	case <-first.Lost():
		r.t.Fatal("the lease is lost")
	default:
	}
	first.Release()
	r.gone(first)
	r.ok(r.await(failed))
	second := <-taken
	if second.Epoch() <= first.Epoch() {
		r.t.Fatalf("epoch %d after %d", second.Epoch(), first.Epoch())
	}
	first.Release() // again: it is not its any more
	for _, l := range [...]engine.Lease{second, other} {
		select {
		case <-l.Lost():
			r.t.Fatal("a lease was lost by the release of another")
		default:
		}
	}
	second.Release()
	third, err := r.e.Lease(r.ctx, "a")
	r.ok(err)
	if third.Epoch() <= second.Epoch() {
		r.t.Fatalf("epoch %d after %d", third.Epoch(), second.Epoch())
	}
	r.leaseCancelled("a")
	third.Release()
	last, err := r.e.Lease(r.ctx, "a") // the one who gave up does not hold it
	r.ok(err)
	last.Release()
	other.Release()
}

// leaseCancelled has somebody give up waiting for a lease.
func (r *rig) leaseCancelled(name string) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.ctx)
	ended := make(chan error, 1)
	go func() { _, err := r.e.Lease(ctx, name); ended <- err }()
	cancel()
	if err := r.await(ended); !errors.Is(err, context.Canceled) {
		r.t.Fatalf("Lease whose context ended: %v", err)
	}
}

// gone waits until l is lost.
func (r *rig) gone(l engine.Lease) {
	r.t.Helper()
	select {
	case <-l.Lost():
	case <-r.ctx.Done():
		r.t.Fatal("the lease was not lost in time")
	}
}

func leaseContended(r *rig) {
	const contenders, rounds = 8, 20
	held := make(chan struct{}, 1)
	errs := make(chan error, contenders)
	epochs := make(chan uint64, contenders*rounds)
	for range contenders {
		go func() {
			for range rounds {
				l, err := r.e.Lease(r.ctx, "a")
				if err != nil {
					errs <- err
					return
				}
				select {
				case held <- struct{}{}:
				default:
					errs <- gatehouse.Errorf(gatehouse.Internal, "two hold the lease at once")
					return
				}
				epochs <- l.Epoch()
				<-held
				l.Release()
			}
			errs <- nil
		}()
	}
	for range contenders {
		r.ok(r.await(errs))
	}
	close(epochs)
	last := uint64(0)
	for e := range epochs {
		if e <= last {
			r.t.Fatalf("epoch %d after %d", e, last)
		}
		last = e
	}
}
