// Package memory is the storage engine that keeps everything in memory and
// nothing on a disk: for tests, and for trying things out. It keeps every
// promise of engine.Engine but durability, and can be told to fail, to crash
// and to damage a record, so that what is built on an engine can be tried
// against all three.
//
// What it lends (the data of Log.Read, the values of State.Scan) is overwritten
// when the loan ends, so that a caller who keeps it is found out.
//
// It has at most one goroutine per shard, which exists while commits are in
// flight.
package memory

import (
	"context"
	"sync"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// Options for New. The zero value is ready to use.
type Options struct {
	Shards  int // 0: 8
	Segment int // bytes after which a log begins a new segment; 0: 64 KiB
}

// An Engine is an engine.Engine in memory.
type Engine struct {
	opts   Options
	shards []*shard
	tables *tables
	leases *leases
	closed chan struct{}
	once   sync.Once
}

var _ engine.Engine = (*Engine)(nil)

// New returns an empty engine. Close it.
func New(o Options) *Engine {
	if o.Shards == 0 {
		o.Shards = 8
	}
	if o.Segment == 0 {
		o.Segment = 64 << 10
	}
	stores := make([]*store, o.Shards)
	for i := range stores {
		stores[i] = newStore()
	}
	return open(o, stores, newDefinitions(), make(map[string]uint64))
}

func open(o Options, stores []*store, d *definitions, epochs map[string]uint64) *Engine {
	e := &Engine{opts: o, closed: make(chan struct{})}
	e.tables = &tables{definitions: d, closed: e.closed, watchers: make(map[string]map[*watcher]struct{})}
	e.leases = &leases{epochs: epochs, closed: e.closed, held: make(map[string]*lease)}
	e.shards = make([]*shard, len(stores))
	for i := range e.shards {
		e.shards[i] = newShard(e, engine.Shard(i), stores[i])
	}
	return e
}

// Shards returns the number of shards.
func (e *Engine) Shards() int { return len(e.shards) }

// Commit stores b in shard s.
func (e *Engine) Commit(s engine.Shard, b *engine.Batch, done func(error)) {
	e.shards[s].commit(b, done)
}

// Log returns a log of shard s.
func (e *Engine) Log(s engine.Shard, name string) engine.Log {
	return &logHandle{shard: e.shards[s], name: name}
}

// State reads the rows of shard s.
func (e *Engine) State(s engine.Shard) engine.State { return state{e.shards[s]} }

// Own makes the caller the owner of the queues of shard s. It waits for the
// commits in flight. A nil put is told nothing.
func (e *Engine) Own(ctx context.Context, s engine.Shard, put func(string, engine.Envelope)) (engine.Queues, error) {
	return e.shards[s].own(ctx, put)
}

// Table returns a table.
func (e *Engine) Table(name string) engine.Table { return &tableHandle{tables: e.tables, name: name} }

// Lease waits until it holds the lease called name.
func (e *Engine) Lease(ctx context.Context, name string) (engine.Lease, error) {
	return e.leases.take(ctx, name)
}

// Close waits for commits in flight and ends everything. A second Close does
// nothing.
func (e *Engine) Close() error {
	for _, s := range e.shards {
		s.close()
	}
	e.end()
	return nil
}

func (e *Engine) end() {
	e.once.Do(func() {
		close(e.closed)
		e.tables.close()
		e.leases.close()
	})
}

// Fail has all commits and updates of tables from now on fail with err, and
// succeed again after Fail(nil). Reads are not concerned.
func (e *Engine) Fail(err error) {
	for _, s := range e.shards {
		s.mu.Lock()
		s.failure = err
		s.mu.Unlock()
	}
	e.tables.mu.Lock()
	e.tables.failure = err
	e.tables.mu.Unlock()
}

// Damage has reading the record of a log or queue, by offset, fail from now on
// with a *engine.CorruptError, and reports whether there is one.
func (e *Engine) Damage(s engine.Shard, stream string, queue bool, o gatehouse.Offset) bool {
	sh := e.shards[s]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if queue {
		return sh.store.damageQueue(stream, o)
	}
	return sh.store.damageLog(stream, o)
}

// Reopen closes e and returns an engine that has what e had stored.
func (e *Engine) Reopen() *Engine {
	_ = e.Close()
	return e.reborn()
}

// Crash ends e in the midst of things and returns an engine that has what e
// had stored. Commits in flight fail, in doubt: of those of each shard the
// first are stored nevertheless, as many as kept returns when it is told how
// many there are.
func (e *Engine) Crash(kept func(inFlight int) int) *Engine {
	for _, s := range e.shards {
		s.crash(kept)
	}
	e.end()
	return e.reborn()
}

// reborn gives what e had stored to a new engine.
func (e *Engine) reborn() *Engine {
	stores := make([]*store, len(e.shards))
	for i, s := range e.shards {
		stores[i] = s.store
	}
	return open(e.opts, stores, e.tables.definitions, e.leases.epochs)
}

func errClosed() error {
	return gatehouse.Errorf(gatehouse.Unavailable, "the storage is closed; the gateway is shutting down, try again shortly")
}
