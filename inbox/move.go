package inbox

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// Limits of one commit made by the sweeper.
const (
	maxMoves     = 512
	maxMoveBytes = 1 << 20
)

// A move is a message on its way to the dead letters without a receiver's
// doing.
type move struct {
	lock   *lock // in state leaving
	reason string
	text   string
	drop   bool // drop it instead
}

// deadRecord reads the message of l and returns the record that makes it a dead
// letter, and what that holds.
func (l *lock) deadRecord(ctx context.Context, changed []gatehouse.Attribute, reason, text string, p *Policy) (engine.Record, *gatehouse.Message, error) {
	b := l.box
	sh := b.shard
	v, err := sh.queues.Get(ctx, b.queue, l.off)
	if err != nil {
		if c, ok := errors.AsType[*engine.CorruptError](err); ok {
			sh.damaged(c)
		}
		return engine.Record{}, nil, err
	}
	m := sh.decode(b.queue, &v)
	if m == nil {
		return engine.Record{}, nil, &engine.CorruptError{Shard: sh.id, Stream: b.queue, Offset: l.off, Detail: "the message cannot be decoded"}
	}
	earlier, err := sh.attributes(b.key, l.off)
	if err != nil {
		return engine.Record{}, nil, err
	}
	m.Attributes = merge(merge(m.Attributes, earlier), changed)
	now := time.Now()
	m.Dead = &gatehouse.DeadLetter{Reason: reason, Description: text, From: gatehouse.EndpointPrefix + b.key.endpoint, Time: now.UTC()}
	q := b.key.deadLetters()
	return newRecord(q, m, encodeDead(m, v.Data), p, now), m, nil
}

// moveAll dead-letters or drops messages and returns those that could not be,
// because storage refuses.
func (sh *shard) moveAll(ctx context.Context, moves []move) (failed []move) {
	for len(moves) > 0 {
		var n int
		n, failed = sh.moveSome(ctx, moves, failed)
		moves = moves[n:]
	}
	return failed
}

// moveSome moves as many of moves as fit into one commit and returns how many
// it has dealt with, and failed with those that could not be moved.
func (sh *shard) moveSome(ctx context.Context, moves, failed []move) (n int, _ []move) {
	o := &moving{}
	o.sh, o.Epoch, o.apply = sh, sh.queues.Epoch(), o.applied
	for n < len(moves) && o.bytes <= maxMoveBytes {
		if err := o.add(ctx, moves[n]); err != nil {
			failed = sh.unmovable(moves[n], err, failed)
		}
		n++
	}
	if len(o.moves) == 0 {
		return n, failed
	}
	if err := o.do(ctx); err != nil {
		if ctx.Err() == nil {
			sh.set.opts.Logger.Warn("messages could not be moved or dropped; trying again", "shard", sh.id, "messages", len(o.moves), "error", err)
		}
		return n, append(failed, o.failed...)
	}
	for i := range o.moves {
		sh.moved(&o.moves[i])
	}
	return n, failed
}

// A moving is an op of moveSome.
type moving struct {
	op
	moves  []move
	failed []move
	bytes  int
}

// add notes what is to be written for mv, or fails because its message cannot
// be read.
func (o *moving) add(ctx context.Context, mv move) error {
	l := mv.lock
	if !mv.drop {
		p := o.sh.set.policy(l.box.key.key())
		r, m, err := l.deadRecord(ctx, nil, mv.reason, mv.text, &p)
		_, corrupt := errors.AsType[*engine.CorruptError](err)
		switch {
		case err == nil:
			o.Records = append(o.Records, r)
			o.arrivals = append(o.arrivals, arrival{l.box.key.deadLetters(), m})
			o.bytes += len(r.Data)
		case corrupt && mv.reason == ReasonExpired:
			mv.drop, mv.reason = true, ReasonCorrupt
		default:
			return err
		}
	}
	o.Remove = append(o.Remove, l.ref())
	o.locks = append(o.locks, l)
	o.moves = append(o.moves, mv)
	if err := o.removeRows(l); err != nil {
		o.sh.set.opts.Logger.Error("what is kept about a message cannot be read", "inbox", l.box.queue, "sequence", l.off, "error", err)
	}
	return nil
}

func (o *moving) applied(err error, _ int64) {
	for _, mv := range o.moves {
		switch {
		case err == nil:
			mv.lock.box.removed(mv.lock)
		case mv.lock.box.closed:
			mv.lock.box.untake(mv.lock)
		default:
			o.failed = append(o.failed, mv)
		}
	}
}

// removeRows notes the removal of what is kept about the message of l, whose
// box may not be opened.
func (o *op) removeRows(l *lock) error {
	sh, b := o.sh, l.box
	sh.mu.Lock()
	opened := b.opened
	if opened {
		o.State = b.rowsOfRemoved(o.State, l.off)
	}
	sh.mu.Unlock()
	if opened {
		return nil
	}
	return sh.state.Scan(b.key.markRow(l.off), func(key string, _ []byte) bool {
		o.State = append(o.State, engine.Row{Key: key})
		return true
	})
}

// unmovable deals with a message that cannot be read to be moved.
func (sh *shard) unmovable(mv move, err error, failed []move) []move {
	_, corrupt := errors.AsType[*engine.CorruptError](err)
	gone := errors.Is(err, gatehouse.NotFound)
	if !corrupt && !gone {
		return append(failed, mv)
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if gone {
		mv.lock.box.removed(mv.lock)
	} else {
		mv.lock.box.untake(mv.lock) // it stays where it is and is passed over
	}
	return failed
}

// moved counts a message that has left.
func (sh *shard) moved(mv *move) {
	k := mv.lock.box.key.key()
	events := &sh.set.opts.Events
	switch {
	case mv.drop && events.Dropped != nil:
		events.Dropped(k, mv.reason, 1)
	case !mv.drop && events.DeadLettered != nil:
		events.DeadLettered(k, mv.reason, 1)
	}
}
