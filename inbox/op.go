package inbox

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// An op is one write of the inboxes, on its way through the committer.
type op struct {
	engine.Op
	sh       *shard
	arrivals []arrival       // what Records are
	beside   []engine.Record // of logs, to follow Records once those are admitted
	locks    []*lock         // whose outcome this is
	// admit, if set, is called in the order of commits, with sh.mu locked.
	admit func() error
	// apply is called with the outcome, with sh.mu locked.
	apply func(err error, now int64)
	// after, if set, is called after that without it.
	after func(err error)

	counted bool
	record  [1]engine.Record
	arrival [1]arrival
}

// An arrival is a message being put.
type arrival struct {
	key     qkey
	message *gatehouse.Message
}

// errDeleted refuses what was under way when its inbox was deleted.
var errDeleted = gatehouse.Errorf(gatehouse.NotFound, "the inbox was deleted")

// write hands o to the committer. If it fails, neither apply nor after is
// called.
func (o *op) write(ctx context.Context) error {
	o.Prepare, o.Done = o.prepare, o.finish
	return o.sh.set.commit.Write(ctx, o.sh.id, &o.Op)
}

// do is write that waits for the outcome, whatever becomes of ctx once o was
// accepted: a message may not be both removed and forgotten. If o was not
// accepted, apply is called with the error.
func (o *op) do(ctx context.Context) error {
	done := make(chan error, 1)
	o.after = func(err error) { done <- err }
	if err := o.write(ctx); err != nil {
		o.refuse(err)
		return err
	}
	return <-done
}

// refuse applies the failure of an op that was not accepted.
func (o *op) refuse(err error) {
	o.sh.mu.Lock()
	defer o.sh.mu.Unlock()
	o.apply(err, time.Now().UnixNano())
}

func (o *op) prepare(*engine.Op) error {
	sh := o.sh
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, l := range o.locks {
		if l.box.closed {
			return errDeleted
		}
	}
	if o.admit != nil {
		if err := o.admit(); err != nil {
			return err
		}
	}
	sh.noteRows(o.State)
	if len(o.Records) > 0 {
		o.counted = true
		sh.news.prepared++
	}
	o.Records = append(o.Records, o.beside...)
	return nil
}

func (o *op) finish(_ *engine.Op, err error) {
	sh := o.sh
	if o.Epoch != 0 && errors.Is(err, gatehouse.Conflict) {
		sh.fenced(err)
		err = errNotRunning
	}
	now := time.Now().UnixNano()
	sh.mu.Lock()
	if o.counted {
		sh.news.done++
	}
	o.apply(err, now)
	for i := range o.arrivals {
		if err == nil {
			sh.arrived(o.arrivals[i].key, o.Records[i].Offset, o.arrivals[i].message, now)
		} else if b := sh.boxes[o.arrivals[i].key]; b != nil {
			// The record may turn up after all: look on disk.
			b.feed.caughtUp, b.feed.more = false, true
		}
	}
	if o.counted {
		sh.unclaimed()
	}
	if err != nil {
		o.forgetUsage()
	}
	sh.mu.Unlock()
	if o.after != nil {
		o.after(err)
	}
}

// forgetUsage has what the inboxes of o hold counted anew, since what failed
// may have been stored after all.
func (o *op) forgetUsage() {
	for i := range o.Remove {
		q, _ := parseQueue(o.Remove[i].Queue)
		if u := o.sh.usages[q]; u != nil && u.flight == nil {
			delete(o.sh.usages, q)
		}
	}
}
