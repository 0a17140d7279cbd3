package pebbledb

import (
	"context"
	"sync"

	"github.com/gatehouse/gatehouse/engine"
)

// leases are held within this process, the only one that has the store open.
type leases struct {
	mu     sync.Mutex
	turns  map[string]*turn
	held   map[*lease]struct{}
	closed bool
}

// A turn is what those who want a lease wait for.
type turn struct {
	token chan struct{} // holds one token while nobody has the lease
	users int           // holder and those who wait
}

// A lease is an engine.Lease.
type lease struct {
	e     *Engine
	name  string
	turn  *turn
	epoch uint64
	lost  chan struct{}
}

// Lease implements engine.Engine.
func (e *Engine) Lease(ctx context.Context, name string) (engine.Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t := e.leases.join(name)
	select {
	case <-t.token:
	case <-ctx.Done():
		e.leases.part(name, t)
		return nil, ctx.Err()
	case <-e.closing:
		e.leases.part(name, t)
		return nil, errClosed()
	}
	e.mu.Lock()
	e.epoch++
	l := &lease{e: e, name: name, turn: t, epoch: e.epoch, lost: make(chan struct{})}
	e.mu.Unlock()
	if !e.leases.hold(l) {
		return nil, errClosed()
	}
	return l, nil
}

func (ls *leases) join(name string) *turn {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.turns == nil {
		ls.turns, ls.held = make(map[string]*turn), make(map[*lease]struct{})
	}
	t := ls.turns[name]
	if t == nil {
		t = &turn{token: make(chan struct{}, 1)}
		t.token <- struct{}{}
		ls.turns[name] = t
	}
	t.users++
	return t
}

// part leaves the line.
func (ls *leases) part(name string, t *turn) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(ls.turns, name)
	}
}

// hold notes that l is held, unless the engine is closed.
func (ls *leases) hold(l *lease) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		return false
	}
	ls.held[l] = struct{}{}
	return true
}

// lose ends all leases.
func (ls *leases) lose() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.closed = true
	for l := range ls.held {
		close(l.lost)
		delete(ls.held, l)
	}
}

// Epoch implements engine.Lease. It grows across restarts too.
func (l *lease) Epoch() uint64 { return l.epoch }

// Lost implements engine.Lease.
func (l *lease) Lost() <-chan struct{} { return l.lost }

// Release implements engine.Lease.
func (l *lease) Release() {
	ls := &l.e.leases
	ls.mu.Lock()
	_, held := ls.held[l]
	delete(ls.held, l)
	if held {
		close(l.lost)
	}
	ls.mu.Unlock()
	if held {
		l.turn.token <- struct{}{}
		ls.part(l.name, l.turn)
	}
}
