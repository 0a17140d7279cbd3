package enginetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

var closeTests = []test{
	{"LaterCallsFail", on(closeFails)},
	{"WaitsForCommits", on(closeWaits)},
	{"EndsWaiting", on(closeEndsWaiting)},
	{"WhileCommitting", on(closeWhileCommitting)},
}

func closeFails(r *rig) {
	q := r.own(0)
	r.put(0, true, "queue", "a")
	r.put(0, false, "log", "a")
	r.update("t", set("a", "1"))
	log, state, table := r.e.Log(0, "log"), r.e.State(0), r.e.Table("t")
	r.close()
	r.kind(r.try(0, puts(true, "queue", "b")), gatehouse.Unavailable)
	r.kind(r.try(0, &engine.Batch{Epoch: q.Epoch()}), gatehouse.Unavailable)
	none := func(string, engine.Envelope) {}
	visit := func(gatehouse.Offset, int64, []byte) bool { return true }
	for name, call := range map[string]func() error{
		"Read":         func() error { _, err := log.Read(r.ctx, 0, visit); return err },
		"Wait":         func() error { return log.Wait(r.ctx, 1<<40) },
		"Bounds":       func() error { _, _, _, err := log.Bounds(r.ctx); return err },
		"Seek":         func() error { _, err := log.Seek(r.ctx, time.Now()); return err },
		"Retain":       func() error { return log.Retain(r.ctx, time.Nanosecond, 1) },
		"State.Get":    func() error { _, err := state.Get("a"); return err },
		"State.Scan":   func() error { return state.Scan("", func(string, []byte) bool { return true }) },
		"Own":          func() error { _, err := r.e.Own(r.ctx, 0, none); return err },
		"Queues.Scan":  func() error { _, err := q.Scan(r.ctx, "queue", 0, 1, true, nil); return err },
		"Queues.Get":   func() error { _, err := q.Get(r.ctx, "queue", 1); return err },
		"Names":        func() error { return q.Names(r.ctx, "", func(string) bool { return true }) },
		"Expired":      func() error { _, err := q.Expired(r.ctx, 1, 1, nil); return err },
		"Table.Get":    func() error { _, err := table.Get(r.ctx, "a"); return err },
		"Table.Scan":   func() error { _, err := table.Scan(r.ctx, "", func(engine.TableRow) error { return nil }); return err },
		"Table.Update": func() error { _, err := table.Update(r.ctx, set("a", "2")); return err },
		"Table.Watch":  func() error { return table.Watch(r.ctx, 0, func([]engine.TableRow) error { return nil }) },
		"Lease":        func() error { _, err := r.e.Lease(r.ctx, "a"); return err },
	} {
		if err := call(); gatehouse.KindOf(err) != gatehouse.Unavailable {
			r.t.Errorf("%s after Close: %v, want one of kind Unavailable", name, err)
		}
	}
}

func closeWaits(r *rig) {
	var done atomic.Int32
	const n = 40
	for i := range n {
		r.e.Commit(engine.Shard(i%2), puts(false, "log", string(filled(10_000, 'x'))), func(err error) {
			if err != nil {
				r.t.Errorf("a commit in flight when Close was called: %v", err)
			}
			done.Add(1)
		})
	}
	r.close()
	if got := done.Load(); got != n {
		r.t.Fatalf("Close returned when %d of %d commits were done", got, n)
	}
}

func closeEndsWaiting(r *rig) {
	held, err := r.e.Lease(r.ctx, "a")
	r.ok(err)
	ends, begun := make(chan error, 30), make(chan struct{})
	for range cap(ends) / 3 {
		go func() { begun <- struct{}{}; ends <- r.e.Log(0, "log").Wait(r.ctx, 0) }()
		go func() {
			begun <- struct{}{}
			ends <- r.e.Table("t").Watch(r.ctx, 0, func([]engine.TableRow) error { return nil })
		}()
		go func() { begun <- struct{}{}; _, err := r.e.Lease(r.ctx, "a"); ends <- err }()
	}
	for range cap(ends) {
		<-begun
		r.put(0, false, "other", "x") // they come to wait meanwhile
	}
	r.close()
	for range cap(ends) {
		r.kind(r.await(ends), gatehouse.Unavailable)
	}
	r.gone(held)
	held.Release()
}

// closeWhileCommitting: each commit has exactly one outcome, whenever it was.
func closeWhileCommitting(r *rig) {
	const writers, each = 4, 100
	var outcomes, stored atomic.Int32
	var wg, done sync.WaitGroup
	begun := make(chan struct{}, writers*each)
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				done.Add(1)
				b := puts(true, "queue", fmt.Sprintf("%d/%d", w, i))
				r.e.Commit(0, b, func(err error) {
					defer done.Done()
					outcomes.Add(1)
					switch gatehouse.KindOf(err) {
					case gatehouse.Unavailable:
					default:
						if err != nil {
							r.t.Errorf("a commit beside Close: %v", err)
						}
						stored.Add(1)
					}
				})
				begun <- struct{}{}
			}
		})
	}
	<-begun
	r.close()
	wg.Wait()
	done.Wait()
	if got := outcomes.Load(); got != writers*each {
		r.t.Fatalf("%d outcomes of %d commits", got, writers*each)
	}
	if r.h.Reopen == nil {
		return
	}
	r.use(r.h.Reopen(r.t, r.e))
	if n := len(r.scan(r.own(0), "queue")); n != int(stored.Load()) {
		r.t.Fatalf("%d records after reopening, %d were acknowledged and the others refused", n, stored.Load())
	}
}
