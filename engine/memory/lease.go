package memory

import (
	"context"
	"sync"

	"github.com/gatehouse/gatehouse/engine"
)

// leases is the leases of an engine.
type leases struct {
	closed chan struct{}

	mu     sync.Mutex
	epochs map[string]uint64
	held   map[string]*lease
	ended  bool
}

// A lease is an engine.Lease.
type lease struct {
	leases *leases
	name   string
	epoch  uint64
	lost   chan struct{}
}

func (ls *leases) take(ctx context.Context, name string) (engine.Lease, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l, holder, err := ls.try(name)
		if err != nil {
			return nil, err
		}
		if holder == nil {
			return l, nil
		}
		select {
		case <-holder.lost:
		case <-ls.closed:
		case <-ctx.Done():
		}
	}
}

// try takes the lease if nobody holds it, else it returns who does.
func (ls *leases) try(name string) (l, holder *lease, err error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.ended {
		return nil, nil, errClosed()
	}
	if holder := ls.held[name]; holder != nil {
		return nil, holder, nil
	}
	ls.epochs[name]++
	l = &lease{leases: ls, name: name, epoch: ls.epochs[name], lost: make(chan struct{})}
	ls.held[name] = l
	return l, nil, nil
}

func (ls *leases) close() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.ended = true
	for name, l := range ls.held {
		close(l.lost)
		delete(ls.held, name)
	}
}

func (l *lease) Epoch() uint64 { return l.epoch }

func (l *lease) Lost() <-chan struct{} { return l.lost }

func (l *lease) Release() {
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	if l.leases.held[l.name] == l {
		delete(l.leases.held, l.name)
		close(l.lost)
	}
}
