package inbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/record"
)

// Settle decides the fate of deliveries of one inbox, durably and in one
// commit. Each has its Err set; Settle returns the first of them, or the error
// that kept all from being settled. Once it has begun it does not stop when ctx
// is done.
func (s *Set) Settle(ctx context.Context, k Key, settlements []Settlement) error {
	done := make(chan error, 1)
	if err := s.SettleAsync(ctx, k, settlements, func(err error) { done <- err }); err != nil {
		return err
	}
	return <-done
}

// SettleAsync is Settle that returns at once. done is called once, with what
// Settle would return, when everything is durable: perhaps before SettleAsync
// returns, and else from a goroutine that must not be blocked. settlements
// belong to the Set until then. If SettleAsync fails, nothing is settled, done
// is not called, and the locks stay.
func (s *Set) SettleAsync(ctx context.Context, k Key, settlements []Settlement, done func(error)) error {
	q := k.fold()
	sh := s.shardOf(q)
	policy := s.policy(k)
	d := &settling{list: settlements, done: done, limit: uint32(max(policy.MaxDeliveries, 0))}
	d.sh, d.apply, d.after = sh, d.applied, d.report
	d.items = d.item[:0]
	now := time.Now().UnixNano()
	sh.mu.Lock()
	if !sh.running {
		sh.mu.Unlock()
		return errNotRunning
	}
	b := sh.boxes[q]
	for i := range settlements {
		settlements[i].Err = d.begin(b, q, i, now)
	}
	sh.mu.Unlock()
	if d.slow {
		d.read(ctx, &policy)
	}
	if len(d.items) == 0 || len(d.Remove)+len(d.State)+len(d.Records) == 0 {
		d.refuse(nil)
		d.report(nil)
		return nil
	}
	d.Epoch = sh.queues.Epoch()
	if err := d.write(ctx); err != nil {
		d.refuse(err)
		return err
	}
	return nil
}

// A settling is an op of Settle.
type settling struct {
	op
	list  []Settlement
	items []settled
	item  [1]settled
	limit uint32 // of deliveries; 0: none
	slow  bool   // something must be read first
	done  func(error)
}

// A settled is one settlement under way.
type settled struct {
	lock    *lock
	index   int // in list
	outcome Outcome
	mark    mark // to be
	reason  string
	text    string
}

// begin takes the lock of the i-th settlement and notes what is to be written.
func (d *settling) begin(b *box, q qkey, i int, now int64) error {
	t := &d.list[i]
	if t.Outcome > DeadLetter {
		return gatehouse.Errorf(gatehouse.Invalid, "a message cannot be settled as %v", t.Outcome)
	}
	if t.Outcome == DeadLetter && q.dead {
		return gatehouse.Errorf(gatehouse.Invalid, "message %d is a dead letter already; complete, abandon or resubmit it", t.Lock.offset())
	}
	l, err := b.lockOf(q, t.Sequence, t.Lock, now)
	if err != nil {
		return err
	}
	d.sh.timers.remove(&l.timer)
	l.state = leaving
	m := b.marks[l.off]
	it := settled{lock: l, index: i, outcome: t.Outcome, mark: m}
	switch t.Outcome {
	case Complete:
		d.remove(l)
	case DeadLetter:
		it.reason, it.text = t.Reason, t.Description
		if it.reason == "" {
			it.reason = ReasonReceiver
		}
	case Abandon:
		it.mark.count = l.count
		if d.limit > 0 && l.count >= d.limit && !q.dead {
			it.outcome, it.reason, it.text = DeadLetter, ReasonMaxDeliveries, tooOften(l.count)
		}
	case Defer:
		it.mark.deferred = true
	}
	if it.outcome != Complete {
		d.locks = append(d.locks, l)
		d.slow = d.slow || it.outcome == DeadLetter || len(t.Attributes) > 0
		it.mark.attributes = m.attributes || len(t.Attributes) > 0
		if it.outcome != DeadLetter && it.mark != m && (it.mark.count != m.count || it.mark.deferred != m.deferred) {
			d.State = append(d.State, engine.Row{Key: q.markRow(l.off), Value: it.mark.value()})
		}
	}
	d.items = append(d.items, it)
	return nil
}

func tooOften(n uint32) string {
	return fmt.Sprintf("the message was delivered %d times and never completed; see why its receivers fail, then resubmit it", n)
}

func (d *settling) remove(l *lock) {
	d.Remove = append(d.Remove, l.ref())
	d.State = l.box.rowsOfRemoved(d.State, l.off)
}

// lockOf returns the lock of a message that is to be settled or renewed.
func (b *box) lockOf(q qkey, sequence gatehouse.Offset, token LockToken, now int64) (*lock, error) {
	o := token.offset()
	if b != nil && (sequence == 0 || sequence == o) {
		l := b.taken[o]
		if l != nil && l.state == locked && l.token == token && l.until() > now && (l.session == nil || !l.session.ended) {
			return l, nil
		}
	}
	return nil, gatehouse.Errorf(gatehouse.LockLost, "lock %v in inbox %s is lost: it has expired, or was settled already; receive the message again", token, q.queue())
}

// read reads what the settlements need that are not only a change of rows or a
// removal.
func (d *settling) read(ctx context.Context, p *Policy) {
	keep := d.items[:0]
	for _, it := range d.items {
		t := &d.list[it.index]
		var err error
		switch {
		case it.outcome == DeadLetter:
			err = d.bury(ctx, &it, t.Attributes, p)
		case it.outcome != Complete && len(t.Attributes) > 0:
			err = d.keepAttributes(&it, t.Attributes)
		}
		if err == nil {
			keep = append(keep, it)
			continue
		}
		d.sh.mu.Lock()
		if errors.Is(err, gatehouse.NotFound) {
			it.lock.box.removed(it.lock)
		} else {
			it.lock.resume(time.Now().UnixNano())
		}
		d.sh.mu.Unlock()
		t.Err = unavailable(err)
	}
	d.items = keep
}

// bury makes the dead letter of a message.
func (d *settling) bury(ctx context.Context, it *settled, attributes []gatehouse.Attribute, p *Policy) error {
	r, m, err := it.lock.deadRecord(ctx, attributes, it.reason, it.text, p)
	if err != nil {
		return err
	}
	d.Records = append(d.Records, r)
	d.arrivals = append(d.arrivals, arrival{it.lock.box.key.deadLetters(), m})
	d.sh.mu.Lock()
	d.remove(it.lock)
	d.sh.mu.Unlock()
	return nil
}

// keepAttributes notes changed attributes.
func (d *settling) keepAttributes(it *settled, changed []gatehouse.Attribute) error {
	b := it.lock.box
	before, err := d.sh.attributes(b.key, it.lock.off)
	if err != nil {
		return err
	}
	d.State = append(d.State, engine.Row{
		Key:   b.key.attributesRow(it.lock.off),
		Value: record.Append(nil, &gatehouse.Message{Attributes: merge(before, changed)}),
	})
	return nil
}

// applied ends the locks, or gives them back if nothing was stored.
func (d *settling) applied(err error, now int64) {
	for _, it := range d.items {
		l := it.lock
		b := l.box
		switch {
		case err != nil:
			d.list[it.index].Err = err
			l.resume(now)
		case it.outcome == Complete, it.outcome == DeadLetter:
			b.removed(l)
		default:
			if it.mark != (mark{}) {
				b.setMark(l.off, it.mark)
			}
			b.restore(l, now)
		}
	}
}

// resume makes l a lock again whose outcome could not be stored.
func (l *lock) resume(now int64) {
	b := l.box
	switch {
	case b.closed:
		b.untake(l)
	case l.session != nil && l.session.ended:
		b.restore(l, now)
	default:
		l.state = locked
		if l.session == nil {
			b.shard.at(&l.timer, l.timer.at)
		}
	}
}

// report tells the receiver.
func (d *settling) report(err error) {
	events := &d.sh.set.opts.Events
	if err == nil {
		var n [DeadLetter + 1]int
		for _, it := range d.items {
			n[it.outcome]++
			if it.outcome == DeadLetter && events.DeadLettered != nil {
				events.DeadLettered(it.lock.box.key.key(), it.reason, 1)
			}
		}
		for o, n := range n {
			if n > 0 && events.Settled != nil {
				events.Settled(Outcome(o), n)
			}
		}
	}
	for i := range d.list {
		if err == nil {
			err = d.list[i].Err
		}
	}
	d.done(err)
}

// Renew makes a lock last as long from now as when it was taken, and returns
// until when. The lock of a message of a session renews the session. It fails
// with LockLost like Settle.
func (s *Set) Renew(k Key, sequence gatehouse.Offset, token LockToken) (time.Time, error) {
	q := k.fold()
	sh := s.shardOf(q)
	now := time.Now().UnixNano()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if !sh.running {
		return time.Time{}, errNotRunning
	}
	l, err := sh.boxes[q].lockOf(q, sequence, token, now)
	if err != nil {
		return time.Time{}, err
	}
	if l.session != nil {
		sh.at(&l.session.timer, now+int64(l.session.length))
	} else {
		sh.at(&l.timer, now+int64(l.length))
	}
	return unixTime(l.until()), nil
}
