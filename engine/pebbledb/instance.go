package pebbledb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gatehouse/gatehouse"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

// maxInFlight is how many groups are on their way to the disk: the next one
// gathers meanwhile.
const maxInFlight = 3

// markAfter is how long nothing is committed until the end of the log is
// marked by a stamp.
const markAfter = 200 * time.Millisecond

// An instance is one opened Pebble database. It has four goroutines: apply, sync and
// watch, which end when quit is closed or the instance has failed, and one that
// closes its views.
type instance struct {
	e      *Engine
	db     *pebble.DB
	gate   *gate
	opened bool
	wake   chan struct{} // has a token when Engine.open is not empty
	slots  chan struct{} // has a token per group in flight
	syncs  chan *group
	quit   chan struct{}
	// applied, synced and watched are closed when the goroutines have ended.
	applied, synced, watched chan struct{}
	stuck                    bool     // apply ended within Pebble; see after applied is closed
	lost                     []*group // in flight when it failed; see after watched is closed
	views                    viewCount
}

// openInstance opens the database.
func (e *Engine) openInstance() (in *instance, err error) {
	in = &instance{
		e: e, gate: newGate(e.opts.FS),
		wake: make(chan struct{}, 1), slots: make(chan struct{}, maxInFlight), syncs: make(chan *group, maxInFlight),
		quit: make(chan struct{}), applied: make(chan struct{}), synced: make(chan struct{}), watched: make(chan struct{}),
	}
	in.views.init()
	in.gate.synced = e.latency.observe
	in.gate.full = e.diskFull
	defer func() {
		if r := recover(); r != nil {
			in.gate.detach()
			in, err = nil, gatehouse.Errorf(gatehouse.Unavailable, "store %s cannot be opened: %v", e.opts.Dir, r)
		}
	}()
	if err := checkLog(e.opts.FS, e.opts.Dir); err != nil {
		return nil, err
	}
	in.db, err = pebble.Open(e.opts.Dir, e.pebbleOptions(in))
	if err != nil {
		in.gate.detach()
		return nil, e.openFailed(err)
	}
	in.opened = true
	return in, nil
}

// openFailed says what is wrong with a store that cannot be opened.
func (e *Engine) openFailed(err error) error {
	if pebble.IsCorruptionError(err) {
		return gatehouse.Wrap(gatehouse.Internal, err, fmt.Sprintf("store %s is damaged and cannot be opened without loss: %v; restore it from a backup", e.opts.Dir, err))
	}
	return gatehouse.Wrap(gatehouse.Unavailable, err, fmt.Sprintf("store %s cannot be opened: %v", e.opts.Dir, err))
}

// pebbleOptions suits a small machine that writes much more than it reads.
func (e *Engine) pebbleOptions(in *instance) *pebble.Options {
	o := &pebble.Options{
		FS: in.gate, Cache: e.cache,
		FormatMajorVersion:          pebble.FormatTableFormatV6,
		MaxOpenFiles:                e.opts.OpenFiles,
		MemTableSize:                uint64(e.opts.MemTable),
		MemTableStopWritesThreshold: 3,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       40,
		LBaseMaxBytes:               64 << 20,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		Logger:                      pebbleLogger{e.opts.Logger, in},
		EventListener:               &pebble.EventListener{BackgroundError: in.background, DataCorruption: in.corruption},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	o.TargetFileSizes[0] = 4 << 20
	// A record is removed some time after it was put: tables of removals are
	// compacted early, so that scans do not meet them.
	o.Experimental.ReadSamplingMultiplier = -1
	return o
}

// run starts the goroutines.
func (in *instance) run() {
	go in.apply()
	go in.sync()
	go in.watch()
	go in.views.run()
}

// watch tells the engine when the gate breaks, whatever the others wait for.
func (in *instance) watch() {
	defer close(in.watched)
	select {
	case <-in.gate.broke:
		in.e.instanceFailed(in)
	case <-in.quit:
	}
}

// poke wakes apply.
func (in *instance) poke() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// apply takes one group after the other and has Pebble write it.
func (in *instance) apply() {
	defer close(in.applied)
	defer func() {
		if r := recover(); r != nil {
			in.stuck = true // Pebble's locks are held for good
			in.gate.fail(fmt.Errorf("writing: %v", r))
		}
	}()
	idle := time.NewTimer(markAfter)
	defer idle.Stop()
	marked := true
	for {
		select {
		case <-in.quit:
			return
		case <-in.gate.broke:
			return
		case <-idle.C:
			if !marked {
				marked = in.mark()
				idle.Reset(markAfter)
			}
		case <-in.wake:
			for in.applyNext() {
				marked = false
			}
			idle.Reset(markAfter)
		}
	}
}

// applyNext has Pebble write what was gathered and reports whether there was
// anything.
func (in *instance) applyNext() bool {
	select {
	case in.slots <- struct{}{}:
	case <-in.gate.broke:
		return false
	}
	g := in.e.take(in)
	if g == nil {
		<-in.slots
		return false
	}
	if g.number != 0 {
		if err := in.db.ApplyNoSyncWait(g.batch, pebble.Sync); err != nil {
			in.gate.fail(err)
			return false
		}
		g.written = true
		g.view = in.newView(g.next)
	}
	in.syncs <- g
	return true
}

// mark writes a stamp behind the last commit, and reports whether there was no
// need to wait for one.
func (in *instance) mark() bool {
	s, ok := in.e.lastStamp(in)
	if !ok {
		return false
	}
	b := in.db.NewBatch()
	addStamp(b)
	setStamp(b, s)
	if err := in.db.Apply(b, pebble.Sync); err != nil {
		in.gate.fail(err)
		return true
	}
	_ = b.Close() // nil unless closed before
	return true
}

// sync waits for the disk.
func (in *instance) sync() {
	defer close(in.synced)
	for {
		select {
		case <-in.quit:
			return
		case <-in.gate.broke:
			return
		case g := <-in.syncs:
			if g.written {
				if err := g.batch.SyncWait(); err != nil {
					in.gate.fail(err)
					return
				}
			}
			in.e.complete(in, g)
			<-in.slots
		}
	}
}

// background is told by Pebble of a flush or compaction that failed. A failure
// to change a file is known to the gate; what remains is a failure to read.
func (in *instance) background(err error) {
	in.e.opts.Logger.Error("the store cannot compact its tables; it will try again", "store", in.e.opts.Dir, "error", err)
}

func (in *instance) corruption(info pebble.DataCorruptionInfo) {
	in.e.opts.Logger.Error("a table of the store is damaged; records in it cannot be read", "store", in.e.opts.Dir, "table", info.Path, "error", info.Details)
}

// unavailable makes an error of Pebble's one for the caller.
func (in *instance) unavailable(err error) error {
	return gatehouse.Wrap(gatehouse.Unavailable, err, fmt.Sprintf("store %s fails: %v", in.e.opts.Dir, err))
}

// write writes b durably, while the instance has no goroutines yet.
func (in *instance) write(b *pebble.Batch) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- fmt.Errorf("writing: %v", r)
			}
		}()
		err := in.db.ApplyNoSyncWait(b, pebble.Sync)
		if err == nil {
			err = b.SyncWait()
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			err = in.gate.cause()
		}
		if err != nil {
			return in.unavailable(err)
		}
		return nil
	case <-in.gate.broke:
		return in.unavailable(in.gate.cause())
	}
}

// number reads a row that is a number; zero if there is none.
func (in *instance) number(key []byte) (uint64, error) {
	value, closer, err := in.db.Get(key)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, in.e.openFailed(err)
	}
	n, ok := parseNumber(key, value)
	if err := closer.Close(); err != nil {
		return 0, in.unavailable(err)
	}
	if !ok {
		return 0, gatehouse.Errorf(gatehouse.Internal, "store %s is damaged: row %q is not what was written; restore it from a backup", in.e.opts.Dir, key)
	}
	return n, nil
}

// offsets reads where the offsets of each shard go on.
func (in *instance) offsets(shards int) ([]gatehouse.Offset, error) {
	next := make([]gatehouse.Offset, shards)
	for i := range next {
		n, err := in.number(binary.BigEndian.AppendUint16([]byte{spaceOffsets}, uint16(i)))
		if err != nil {
			return nil, err
		}
		next[i] = max(gatehouse.Offset(n), 1)
	}
	return next, nil
}

// empty reports whether there is nothing in the database.
func (in *instance) empty() (bool, error) {
	it, err := in.db.NewIter(nil)
	if err != nil {
		return false, in.unavailable(err)
	}
	some := it.First()
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return false, in.e.openFailed(err)
	}
	return !some, nil
}

// fatal is what Pebble calls when it would rather end the process.
func (in *instance) fatal(text string) {
	if !in.opened {
		panic(text) // recovered by openInstance
	}
	in.gate.fail(errors.New(text))
	<-in.gate.detached
}

// pebbleLogger hands Pebble's log to ours.
type pebbleLogger struct {
	log *slog.Logger
	in  *instance
}

// Infof implements pebble.Logger.
func (l pebbleLogger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("pebble: " + fmt.Sprintf(format, args...))
	}
}

// Errorf implements pebble.Logger.
func (l pebbleLogger) Errorf(format string, args ...any) {
	l.log.Error("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger.
func (l pebbleLogger) Fatalf(format string, args ...any) { l.in.fatal(fmt.Sprintf(format, args...)) }
