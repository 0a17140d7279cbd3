package inbox

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/record"
)

// Resubmitted is what Resubmit has done.
type Resubmitted struct {
	Moved int   // dead letters put back
	Kept  int   // dead letters that were not
	Err   error // why the first of those was not
}

// Resubmit puts dead letters of an inbox back into it, behind what it holds,
// each removed and put in one commit: those with the given sequence numbers in
// the dead-letter queue, or all. They are taken as accepted now, so that their
// time to live begins anew, and their deliveries are counted from zero. allow
// decides about each once more, as the message that would be put; its error
// keeps the dead letter where it is, as does an inbox that is full or a lock.
func (s *Set) Resubmit(ctx context.Context, k Key, allow func(*gatehouse.Message) error, sequences ...gatehouse.Offset) (Resubmitted, error) {
	var r Resubmitted
	q := k.fold().deadLetters()
	sh := s.shardOf(q)
	b, err := sh.enter(ctx, q)
	if err != nil {
		return r, err
	}
	defer sh.leave(b)
	wanted := make(map[gatehouse.Offset]struct{}, len(sequences))
	for _, o := range sequences {
		wanted[o] = struct{}{}
	}
	// What dies again while this runs is not taken up again.
	started := time.Now().UnixNano()
	w := walk{box: b, bodies: true}
	for {
		if err := w.page(ctx); err != nil || len(w.envelopes) == 0 || w.envelopes[0].Enqueued > started {
			for o := range wanted {
				r.keep(gatehouse.Errorf(gatehouse.NotFound, "inbox %s has no dead letter %d", k, o))
			}
			return r, err
		}
		b.reading++
		sh.addAttributes(b, w.envelopes, w.messages)
		w.leaveOutGone()
		b.read()
		if err := b.resubmitPage(ctx, &w, k, allow, sequences, wanted, &r); err != nil {
			return r, err
		}
	}
}

// resubmitPage resubmits what is wanted of a page. The shard is locked, and let
// go while writing.
func (b *box) resubmitPage(ctx context.Context, w *walk, k Key, allow func(*gatehouse.Message) error, sequences []gatehouse.Offset, wanted map[gatehouse.Offset]struct{}, r *Resubmitted) error {
	d := &resubmitting{b: b, r: r}
	d.sh = b.shard
	for i := range w.envelopes {
		v, m := &w.envelopes[i], w.messages[i]
		_, named := wanted[v.Offset]
		if m == nil || len(sequences) > 0 && !named {
			continue
		}
		delete(wanted, v.Offset)
		if b.taken[v.Offset] != nil {
			r.keep(gatehouse.Errorf(gatehouse.Conflict, "dead letter %d is locked by a receiver", v.Offset))
			continue
		}
		d.locks = append(d.locks, b.withdraw(&entry{
			off: v.Offset, msg: m, size: int32(v.Size), enqueued: v.Enqueued, expires: v.Expires,
		}))
		d.messages = append(d.messages, m)
	}
	if len(d.locks) == 0 {
		return nil
	}
	b.shard.mu.Unlock()
	defer b.shard.mu.Lock()
	return d.run(ctx, k, allow)
}

func (r *Resubmitted) keep(err error) {
	r.Kept++
	if r.Err == nil {
		r.Err = err
	}
}

// A resubmitting is an op of Resubmit.
type resubmitting struct {
	delivering
	b        *box
	r        *Resubmitted
	messages []*gatehouse.Message
	moving   []*lock // of puts
}

func (d *resubmitting) run(ctx context.Context, k Key, allow func(*gatehouse.Message) error) error {
	now := time.Now()
	k.Dead = false
	locks := d.locks
	d.locks = nil
	d.puts = make([]Put, 0, len(locks))
	for i, l := range locks {
		m := *d.messages[i]
		m.Dead, m.Enqueued, m.NotBefore = nil, now.UTC(), time.Time{}
		if err := allow(&m); err != nil {
			d.giveBack(l)
			d.r.keep(err)
			continue
		}
		d.puts = append(d.puts, Put{Key: k, Message: &m, Data: record.Append(nil, &m)})
		if err := d.add(ctx, len(d.puts)-1, now); err != nil {
			d.giveBack(locks[i:]...)
			d.giveBack(d.moving...)
			d.release()
			return err
		}
		d.moving = append(d.moving, l)
	}
	for i := range d.quotas {
		if p := &d.quotas[i].policy; p.OnFull == DeadLetterNew {
			p.OnFull = Refuse // it is a dead letter already
		}
	}
	if len(d.moving) == 0 {
		return nil
	}
	d.admit, d.apply = d.admitSome, d.resubmitted
	d.Epoch = d.sh.queues.Epoch()
	return d.do(ctx)
}

// giveBack makes dead letters available again.
func (d *resubmitting) giveBack(locks ...*lock) {
	d.sh.mu.Lock()
	defer d.sh.mu.Unlock()
	for _, l := range locks {
		d.b.restore(l, time.Now().UnixNano())
	}
}

// admitSome checks the quotas, and removes the dead letters that fit.
func (d *resubmitting) admitSome() error {
	if d.b.closed {
		return errDeleted
	}
	if err := d.admitAll(); err != nil {
		return err
	}
	for i, l := range d.moving {
		if d.puts[i].Err != nil {
			continue
		}
		d.Remove = append(d.Remove, l.ref())
		d.State = d.b.rowsOfRemoved(d.State, l.off)
	}
	return nil
}

func (d *resubmitting) resubmitted(err error, now int64) {
	d.applied(err, now)
	for i, l := range d.moving {
		switch {
		case err == nil && d.puts[i].Err == nil:
			d.b.removed(l)
			d.r.Moved++
		default:
			if err == nil {
				d.r.keep(d.puts[i].Err)
			}
			d.b.restore(l, now)
		}
	}
}
