package channel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/engine"
)

// pass lets fake time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestScheduledComesWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		shard := r.Shard("acme", "")
		defer r.runSchedule(shard)()
		synctest.Wait()
		r.schedule(msg("late"), 3*time.Hour, to(0, telemetry))
		r.schedule(msg("soon"), time.Second, to(0, telemetry))
		r.schedule(msg("later"), 2*time.Second, to(0, telemetry))
		pass(time.Second - 1)
		r.want(telemetry)
		pass(1)
		r.want(telemetry, "soon")
		pass(time.Second)
		r.want(telemetry, "soon", "later")
		pass(3*time.Hour - 2*time.Second)
		r.want(telemetry, "soon", "later", "late")
		if n, err := r.Scheduled(shard); n != 0 || err != nil {
			t.Errorf("%d are still scheduled (%v)", n, err)
		}
	})
}

// Messages scheduled at any moment, also while the scheduler looks or stores,
// come on time.
func TestScheduledWhileReleasing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		shard := r.Shard("acme", "")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- r.RunSchedule(ctx, shard, func(d *channel.Due) []engine.Record {
				// The next one is stored while this one is being released: after
				// the scheduler looked, and before it knows when to look next.
				if n := len(d.Message.ID); n < 20 {
					r.schedule(msg(d.Message.ID+"x"), 3*time.Second, to(0, telemetry))
				}
				if late := time.Since(d.Message.NotBefore); late != 0 {
					t.Errorf("%s is released %v late", d.Message.ID, late)
				}
				return nil
			})
		}()
		r.schedule(msg("x"), 3*time.Second, to(0, telemetry))
		pass(time.Minute)
		if n, _ := r.Scheduled(shard); n != 0 {
			t.Errorf("%d are still scheduled", n)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestScheduledOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		const n = 3000
		for i := range n {
			r.schedule(msg(fmt.Sprintf("%04d", i)), time.Hour, to(0, telemetry)) // all at once
		}
		r.schedule(msg("before"), time.Hour-1, to(0, telemetry))
		defer r.runSchedule(r.Shard("acme", ""))()
		pass(time.Hour)
		r.want(telemetry, append([]string{"before"}, numbered("%04d", n)...)...)
	})
}

func TestScheduledSurvivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		shard := r.Shard("acme", "")
		stop := r.runSchedule(shard)
		r.schedule(msg("a"), time.Second, to(0, telemetry))
		r.schedule(msg("b"), time.Hour, to(0, telemetry))
		pass(time.Minute)
		stop()
		r.restart()
		pass(time.Hour) // b is due while nobody looks
		stop = r.runSchedule(shard)
		synctest.Wait()
		r.want(telemetry, "a", "b")
		stop()
		r.restart()
		defer r.runSchedule(shard)()
		pass(time.Hour)
		r.want(telemetry, "a", "b")
	})
}

// A crash at any point of the release neither loses nor doubles a message.
func TestScheduledSurvivesCrash(t *testing.T) {
	for kept := range 2 {
		synctest.Test(t, func(t *testing.T) {
			r := start(t)
			shard := r.Shard("acme", "")
			ids := numbered("%03d", 300) // two commits of the scheduler
			for _, id := range ids {
				r.schedule(msg(id), time.Minute, to(0, telemetry))
			}
			pass(time.Minute)
			r.held.hold()
			blocker := r.send(msg("blocker"), to(0, alerts))
			r.held.await(shard, 1)
			stop := r.runSchedule(shard)
			r.held.await(shard, 2) // the first release is in flight
			r.crash(kept)
			<-blocker
			stop()
			r.want(telemetry, ids[:256*kept]...)
			defer r.runSchedule(shard)()
			synctest.Wait()
			r.want(telemetry, ids...)
		})
	}
}

func TestScheduleOutlastsFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		shard := r.Shard("acme", "")
		var failures atomic.Int32
		r.Failed = func(s engine.Shard, err error) {
			if failures.Add(1); s != shard || !isDisk(err) {
				t.Errorf("shard %d failed with %v", s, err)
			}
		}
		stop := r.runSchedule(shard)
		r.schedule(msg("m1"), time.Second, to(0, telemetry))
		r.engine.Fail(errDisk)
		pass(time.Hour)
		if n := failures.Load(); n < 200 || n > 400 {
			t.Errorf("tried %d times within an hour; want once every 15 s", n)
		}
		r.want(telemetry)
		if o := <-r.submit(r.Schedule, scheduled("m2"), nil); !isDisk(o.err) {
			t.Errorf("scheduling while storage fails: %v", o.err)
		}
		r.engine.Fail(nil)
		pass(15 * time.Second)
		r.want(telemetry, "m1")
		stop()
	})
}

func scheduled(id string) *gatehouse.Message {
	m := msg(id)
	m.NotBefore = time.Now().Add(time.Second)
	return m
}

// What cannot be read is given up and holds up nothing.
func TestScheduledDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		ctx := t.Context()
		const due = channel.DuePrefix + "0000000000000001/"
		rows := []engine.Row{{Key: due + "a", Value: nil}, {Key: due + "b", Value: []byte{9, 'x'}}, {Key: due + "c", Value: []byte("\x01a\xff\xffjunk")}}
		rows[0].Value = []byte{}
		if err := r.commit.Do(ctx, 0, &engine.Op{State: rows}); err != nil {
			t.Fatal(err)
		}
		m := msg("good")
		for r.Shard("acme", m.Key) != 0 {
			m.Key += "k"
		}
		r.schedule(m, 0, to(0, telemetry))
		run, cancel := context.WithCancel(ctx)
		var bad int
		var good []string
		ended := make(chan error, 1)
		go func() {
			ended <- r.RunSchedule(run, 0, func(d *channel.Due) []engine.Record {
				if d.Err == nil {
					good = append(good, d.Message.ID)
				} else {
					bad++
				}
				return nil
			})
		}()
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil || bad != 3 || !slices.Equal(good, []string{"good"}) {
			t.Errorf("%d damaged, good %q, %v", bad, good, err)
		}
		if n, _ := r.Scheduled(0); n != 0 {
			t.Errorf("%d are still scheduled", n)
		}
	})
}

func TestScheduleTooLarge(t *testing.T) {
	t.Parallel()
	r := start(t)
	m := scheduled("big")
	m.Body = make([]byte, engine.MaxRecord-1000)
	err := r.Schedule(context.Background(), &channel.Append{Account: "acme", Message: m})
	if !errors.Is(err, gatehouse.TooLarge) {
		t.Errorf("Schedule: %v; want TooLarge", err)
	}
}
