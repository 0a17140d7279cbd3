package pebbledb

import (
	"io"
	"sync"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"

	"github.com/cockroachdb/pebble/v2"
)

// An Engine keeps one store. Its goroutines, all ended before Close returns:
// one per shard and one for tables that call back (lane.go), one that commits
// the changes of tables, one that watches the disk, four per Pebble instance
// (instance.go), and one while a failed instance is replaced (recover.go).
//
// Locks, in this order: mu before a lane's mu and before views.mu. A shard's
// own mu is taken alone.
type Engine struct {
	opts    Options
	lock    io.Closer
	cache   *pebble.Cache
	starts  uint64 // how often the store was opened; the high half of epochs
	shards  []*shard
	env     lane // of what belongs to no shard
	tables  tables
	leases  leases
	views   views
	latency histogram // of fsyncs of the write-ahead log
	closing chan struct{}
	running sync.WaitGroup

	// mu guards the way in: offsets, and the order of everything.
	mu       sync.Mutex
	room     sync.Cond // signalled when open is taken, or commits will be refused
	inst     *instance
	open     *group   // being filled
	inflight []*group // taken by inst, oldest first
	taken    uint64   // groups that inst had to write
	durable  uint64   // those of them that are on disk
	failed   error    // inst is of no more use: why
	closed   bool
	full     bool   // the disk: no more records are taken
	reserved bool   // the reserve is in place
	epoch    uint64 // of the newest owner or lease
	failures uint64 // instances that failed
}

var _ engine.Engine = (*Engine)(nil)

// A shard is what the engine knows about one shard.
type shard struct {
	e    *Engine
	id   engine.Shard
	lane lane

	// Guarded by Engine.mu.
	next     gatehouse.Offset // to assign
	promised gatehouse.Offset // the store says that offsets below may be in use
	enqueued int64            // of the last record: the clock may go back, order not
	epoch    uint64           // of the owner of the queues
	logs     map[string]*tail // logs appended to since the store was opened
	drops    [][]string       // DropLogs of commits that are not durable, in order
	dropped  uint64           // how often logs were dropped, or may have been
	soonest  int64            // no record of a queue expires earlier
	fresh    int64            // of the records that came since Expired began

	// put belongs to the lane's goroutine.
	put func(queue string, e engine.Envelope)

	mu      sync.Mutex
	waiters map[string][]*waiter // readers at the ends of logs
	gaps    map[string]gap       // of queues

	expiring sync.Mutex // held by Expired
}

// Open opens the store in o.Dir, or makes a new one. It fails with Unavailable
// if another process has it open, and with Invalid if it was written by a newer
// version of the format or with another number of shards.
func Open(o Options) (*Engine, error) {
	o = o.withDefaults()
	e := &Engine{opts: o, closing: make(chan struct{})}
	e.room.L = &e.mu
	if err := e.lockDir(); err != nil {
		return nil, err
	}
	shards, err := e.prepare()
	if err != nil {
		return nil, e.abandon(err)
	}
	e.cache = pebble.NewCache(o.Cache)
	inst, err := e.openInstance()
	if err != nil {
		return nil, e.abandon(err)
	}
	if err := e.start(inst, shards); err != nil {
		inst.gate.detach()
		_ = inst.db.Close() // err matters more
		return nil, e.abandon(err)
	}
	return e, nil
}

// abandon gives back what an Open that failed had got.
func (e *Engine) abandon(err error) error {
	if e.cache != nil {
		e.cache.Unref()
	}
	_ = e.lock.Close() // err matters more
	return err
}

// start reads what must be known before the first commit and starts the
// goroutines.
func (e *Engine) start(inst *instance, shards int) error {
	count, err := inst.settle(shards)
	if err != nil {
		return err
	}
	if err := e.writeFormat(count); err != nil {
		return err
	}
	if e.starts, err = inst.number(metaKey(metaStarts)); err != nil {
		return err
	}
	if err := e.tables.load(inst); err != nil {
		return err
	}
	if err := e.tables.forgetDeleted(inst); err != nil {
		return err
	}
	next, err := inst.offsets(count)
	if err != nil {
		return err
	}
	if err := inst.gate.arm(); err != nil {
		return inst.unavailable(err)
	}
	e.epoch = e.starts << 32
	e.env.init(nil)
	for i := range count {
		sh := &shard{e: e, id: engine.Shard(i), logs: make(map[string]*tail), waiters: make(map[string][]*waiter), gaps: make(map[string]gap), next: next[i]}
		sh.lane.init(sh)
		e.shards = append(e.shards, sh)
		e.running.Go(sh.lane.run)
	}
	e.running.Go(e.env.run)
	e.mu.Lock()
	e.install(inst)
	e.mu.Unlock()
	e.tables.start(e)
	e.running.Go(e.watchDisk)
	return nil
}

// Shards returns the number of shards.
func (e *Engine) Shards() int { return len(e.shards) }

// errClosed refuses what comes after Close.
func errClosed() error {
	return gatehouse.Errorf(gatehouse.Unavailable, "the storage engine is closed")
}

// Close waits for commits in flight and releases everything.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	close(e.closing)
	e.room.Broadcast()
	for e.failed == nil && (len(e.inflight) > 0 || len(e.open.entries) > 0) {
		e.room.Wait()
	}
	if e.failed == nil {
		e.failed = errClosed() // from here on commits are refused without passing inst
	}
	e.mu.Unlock()
	e.leases.lose()
	e.env.close()
	for _, sh := range e.shards {
		sh.lane.close()
		sh.wakeAll()
	}
	e.running.Wait()
	e.views.release(e.views.publish(nil))
	err := e.retire(e.inst)
	e.cache.Unref()
	if e2 := e.lock.Close(); err == nil {
		err = e2
	}
	if err != nil {
		return gatehouse.Wrap(gatehouse.Unavailable, err, "the store could not be closed in order; what was acknowledged is safe: "+err.Error())
	}
	return nil
}
