package pebbledb

import (
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// A doubt is a record of a queue that was in flight when an instance failed:
// it may be stored, or not.
type doubt struct {
	shard *shard
	queue string
	e     engine.Envelope
}

// install makes in the one that is used, and returns what readers saw before,
// to be released. mu is held.
func (e *Engine) install(in *instance) (old *view) {
	next := make([]gatehouse.Offset, len(e.shards))
	for i, sh := range e.shards {
		sh.promised = 0
		sh.logs = make(map[string]*tail)
		sh.drops = nil
		sh.dropped++
		next[i] = sh.next
	}
	e.inst, e.open, e.inflight, e.failed = in, in.newGroup(), nil, nil
	e.taken, e.durable = 0, 0
	in.run()
	return e.views.publish(in.newView(next))
}

// instanceFailed fails everything in flight and has in replaced.
func (e *Engine) instanceFailed(in *instance) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.inst != in || e.failed != nil {
		return
	}
	cause := in.gate.cause()
	e.failures++
	e.failed = gatehouse.Wrap(gatehouse.Unavailable, cause, "the disk has failed while storing; what was acknowledged is safe; try again shortly")
	e.opts.Logger.Error("writing the store has failed; nothing is stored until it works again", "store", e.opts.Dir, "error", cause)
	var doubts []doubt
	for _, g := range append(e.inflight, e.open) {
		for i := range g.entries {
			en := g.entries[i]
			if en.err == nil {
				doubts = en.doubts(doubts)
				en.err = e.failed
			}
			en.lane.push(en)
		}
	}
	in.lost = e.inflight
	e.inflight, e.open = nil, &group{}
	e.room.Broadcast()
	if !e.closed {
		e.running.Go(func() { e.replace(in, doubts) })
	}
}

func (en *entry) doubts(dst []doubt) []doubt {
	if en.batch == nil {
		return dst
	}
	for i := range en.batch.Records {
		r := &en.batch.Records[i]
		if !r.Queue {
			continue
		}
		dst = append(dst, doubt{en.shard, r.Stream, engine.Envelope{
			Offset: r.Offset, Size: len(r.Data), Enqueued: en.enqueued, Expires: r.Expires, NotBefore: r.NotBefore,
		}})
	}
	return dst
}

// replace opens a new instance in place of old, which has failed, as soon as
// the directory can be written.
func (e *Engine) replace(old *instance, doubts []doubt) {
	wait := e.opts.Probe / 16
	for {
		select {
		case <-e.closing:
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, 4*e.opts.Probe)
		err := e.probe()
		if err == nil {
			err = e.reopen(doubts)
		}
		if err == nil {
			break
		}
		e.opts.Logger.Warn("the store still cannot be written", "store", e.opts.Dir, "error", err)
	}
	e.opts.Logger.Info("the store is written again", "store", e.opts.Dir)
	old.gate.detach()
	old.end()
}

// probe tries whether the directory can be written.
func (e *Engine) probe() error {
	fs := e.opts.FS
	name := fs.PathJoin(e.opts.Dir, "PROBE")
	f, err := fs.Create(name, "gatehouse")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 64<<10))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), fs.Remove(name))
}

// reopen opens a new instance and tells of the records in doubt that are
// stored, before anything new is.
func (e *Engine) reopen(doubts []doubt) error {
	in, err := e.openInstance()
	if err != nil {
		return err
	}
	stored, err := in.stored(doubts)
	if err == nil {
		err = in.gate.arm()
	}
	e.mu.Lock()
	if e.closed {
		err = errClosed()
	}
	if err != nil {
		e.mu.Unlock()
		in.gate.detach()
		return errors.Join(err, in.db.Close())
	}
	for _, d := range stored {
		d.shard.lane.push(entry{done: func(error) {
			if d.shard.put != nil {
				d.shard.put(d.queue, d.e)
			}
		}})
	}
	old := e.install(in)
	for _, sh := range e.shards {
		sh.lane.push(entry{done: func(error) { sh.wakeAll() }})
	}
	e.tables.poke()
	e.mu.Unlock()
	e.views.release(old)
	return nil
}

// stored returns those of doubts that are there.
func (in *instance) stored(doubts []doubt) (there []doubt, err error) {
	for _, d := range doubts {
		key := make([]byte, streamKeyLen(d.queue))
		putStreamKey(key, spaceQueue, d.shard.id, d.queue, d.e.Offset)
		_, closer, err := in.db.Get(key)
		switch {
		case err == nil:
			there = append(there, d)
			err = closer.Close()
		case isNotFound(err):
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return there, nil
}

// retire ends the instance in use when the engine is closed.
func (e *Engine) retire(in *instance) error {
	close(in.quit)
	<-in.watched
	in.gate.disarm()
	if in.gate.cause() != nil {
		in.end()
		return nil
	}
	<-in.applied
	<-in.synced
	in.views.wait()
	return errors.Join(in.db.Close(), in.gate.cause())
}

// endAfter is how long a failed instance may take to come to its end.
const endAfter = 10 * time.Second

// end closes an instance that has failed and was detached. Should that take too
// long, because somebody reads from it or for a reason of Pebble's, it is left
// to itself: it can do no harm.
func (in *instance) end() {
	log := in.e.opts.Logger
	if err := in.close(); err != nil {
		log.Error("a failed instance of the store stays in memory for now", "store", in.e.opts.Dir, "error", err)
	}
}

func (in *instance) close() error {
	done := make(chan error, 1)
	go func() {
		<-in.watched
		<-in.applied
		<-in.synced
		if in.stuck {
			done <- errors.New("it ended amid a write")
			return
		}
		for _, g := range in.lost {
			if g.view != nil {
				g.view.drop()
			}
		}
		in.views.wait()
		defer func() {
			if r := recover(); r != nil {
				done <- fmt.Errorf("closing: %v", r)
			}
		}()
		_ = in.db.Close() // that it has failed is known
		done <- nil
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(endAfter):
		return errors.New("it does not come to its end")
	}
}
