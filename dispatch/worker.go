package dispatch

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/handler"
)

// A worker runs one handler over one partition, on one goroutine.
type worker struct {
	*Dispatcher
	spec      *Spec
	partition engine.Shard
	group     string // whose cursor is kept
	dead      bool   // follows the handler's dead letters instead of the channel

	next      gatehouse.Offset     // to read
	attempted gatehouse.Offset     // the message that failed last
	attempts  int                  // made for it
	aim       gatehouse.DeadLetter // what the message being replayed died of
	cursor    cursor
	round     round
}

func newWorker(d *Dispatcher, f *follower, partition engine.Shard, group string) *worker {
	return &worker{
		Dispatcher: d, spec: &f.spec, partition: partition, group: group,
		cursor: cursor{commit: d.commit, id: f.spec.Channel, group: group, partition: partition},
	}
}

// follow handles what the partition has and what comes, until ctx is done.
func (w *worker) follow(ctx context.Context) {
	hand, drop := inHand(ctx)
	defer drop()
	defer w.cursor.settled()
	wait := w.opts.MinBackoff
	for {
		err := w.locate(ctx)
		if err == nil {
			break
		}
		if !w.pause(ctx, err, &wait) {
			return
		}
	}
	wait = w.opts.MinBackoff
	for ctx.Err() == nil {
		n, err := w.step(ctx, hand)
		if n > 0 {
			wait = w.opts.MinBackoff
		}
		if err != nil && !w.pause(ctx, err, &wait) {
			return
		}
	}
}

// inHand returns a context for storing what was handled when ctx ends: it is
// done a while later, or when drop is called.
func inHand(ctx context.Context) (hand context.Context, drop func()) {
	hand, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-hand.Done():
		case <-time.After(drainTime):
			cancel()
		}
	})
	return hand, func() { stop(); cancel() }
}

// step waits for messages and handles some. It returns how many it is done
// with, and the error that makes it necessary to wait before the next step.
func (w *worker) step(ctx, hand context.Context) (int, error) {
	sound := w.cursor.sound(ctx)
	if err := w.channels.Wait(sound, w.spec.Channel, w.partition, w.next); err != nil {
		if sound.Err() != nil && ctx.Err() == nil {
			err = context.Cause(sound)
			w.cursor.save(hand, w.next)
		}
		return 0, err
	}
	return w.work(ctx, hand, 0)
}

// locate finds where the handler goes on, or starts.
func (w *worker) locate(ctx context.Context) error {
	next, ok, err := w.channels.Cursor(w.spec.Channel, w.group, w.partition)
	if err != nil {
		return err
	}
	if !ok && w.spec.FromNow && !w.dead {
		if _, next, _, err = w.channels.Bounds(ctx, w.spec.Channel, w.partition); err != nil {
			return err
		}
		if err := w.channels.SetCursor(ctx, w.spec.Channel, w.group, w.partition, next); err != nil {
			return err
		}
	}
	w.next = next
	return nil
}

// pause waits before the next attempt: wait with jitter, but at least as long
// as err demands. It doubles wait, and reports whether to go on.
func (w *worker) pause(ctx context.Context, err error, wait *time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	if f := w.opts.Events.Retried; f != nil {
		f(w.spec, err)
	}
	after, _ := handler.IsTransient(err)
	delay := max(*wait/2+rand.N(*wait/2+1), after)
	*wait = min(*wait*2, w.opts.MaxBackoff)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// read fills the round with the next messages, up to offset end if that is not
// zero, and returns the offset behind them.
func (w *worker) read(ctx context.Context, end gatehouse.Offset) (gatehouse.Offset, error) {
	r := &w.round
	size := 0
	visit := func(m *gatehouse.Message) bool {
		if end != 0 && m.Position.Offset >= end {
			return false
		}
		r.messages = append(r.messages, m)
		size += len(m.Body)
		return len(r.messages) < maxRoundMessages && size < maxRoundBytes
	}
	damaged := func(err error) {
		w.opts.Logger.Error("a message is damaged and passed over", "channel", w.spec.Channel, "handler", w.spec.Name, "error", err)
		if f := w.opts.Events.Damaged; f != nil {
			f(w.spec, err)
		}
	}
	if w.dead {
		return w.channels.ReadDead(ctx, w.spec.Channel, w.spec.Name, w.partition, w.next, damaged, visit)
	}
	return w.channels.Read(ctx, w.spec.Channel, w.partition, w.next, damaged, visit)
}

// replay handles the dead letters of the partition that are there now.
func (w *worker) replay(ctx context.Context) (int, error) {
	hand, drop := inHand(ctx)
	defer drop()
	defer w.cursor.settled()
	if err := w.locate(ctx); err != nil {
		return 0, err
	}
	_, end, _, err := w.channels.BoundsDead(ctx, w.spec.Channel, w.spec.Name, w.partition)
	total := 0
	for err == nil && w.next < end {
		before := w.next
		var n int
		n, err = w.work(ctx, hand, end)
		total += n
		if w.next == before {
			break
		}
	}
	if failed := w.cursor.settled(); err == nil {
		err = failed
	}
	return total, err
}

// bury stores a segment's dead letters together with the cursor behind them.
func (w *worker) bury(ctx context.Context, s *segment, next gatehouse.Offset) error {
	op := &engine.Op{State: []engine.Row{channel.CursorRow(w.spec.Channel, w.group, next)}}
	for i := range s.dead {
		op.Records = append(op.Records, channel.DeadRecord(w.spec.Channel, w.spec.Name, s.dead[i].message, s.dead[i].why))
	}
	done := make(chan error, 1)
	op.Done = func(_ *engine.Op, err error) { done <- err }
	if err := w.commit.Write(ctx, w.partition, op); err != nil {
		return err
	}
	return <-done
}
