package inbox

import (
	"context"
	"slices"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/record"
)

// A Put is one message for one inbox.
type Put struct {
	Key     Key
	Message *gatehouse.Message // not to be changed from now on; puts may share it
	// Data is Message as record.Append encodes it; puts of one message may
	// share it. Nil has Deliver encode it.
	Data []byte
	// Incarnation is that of the endpoint the message is meant for, if
	// Options.Incarnation is set. What comes to its inbox when it was deleted, or
	// has become another's, is refused: otherwise whoever has its name next would
	// get it.
	Incarnation uint32
	// Instead, if set, makes the record of a log that is stored in the same
	// commit if this put is refused, so that a refusal leaves a trace whatever
	// happens. It must be fast.
	Instead func(refusal error) engine.Record
	// Err is set if this put was refused: QuotaExceeded if the inbox is full,
	// TooLarge if the message cannot be stored, NotFound if its endpoint is not
	// there any more.
	Err error
}

// refusePut notes why the put is not stored, and what is stored instead.
func (d *delivering) refusePut(p *Put, reason error) {
	p.Err = reason
	if p.Instead != nil {
		d.beside = append(d.beside, p.Instead(reason))
	}
}

// Deliver stores puts, all of whose inboxes belong to shard, the records of
// logs beside them, and the row mark, unless its Key is empty, in one commit:
// all or nothing, so that who keeps in mark what it has delivered delivers it
// once. A put that is refused has its Err set and does not hold up the others;
// mark is stored even so.
//
// It returns at once, and done is called, in the order of Deliver within the
// shard, when everything is durable (nil) or nothing is stored (the error,
// of kind Unavailable: try again). done must not block. puts belong to the Set
// until then. If Deliver itself fails, done is not called: with Invalid if an
// inbox is not of the shard, or Unavailable.
func (s *Set) Deliver(ctx context.Context, shard engine.Shard, puts []Put, mark engine.Row, done func(error), beside ...engine.Record) error {
	d := &delivering{puts: puts}
	d.beside = slices.Clip(beside)
	d.sh, d.admit, d.apply, d.after = s.shards[shard], d.admitAll, d.applied, done
	d.checked = s.opts.Incarnation != nil
	d.Records, d.arrivals = d.record[:0], d.arrival[:0]
	if len(puts) > 1 {
		d.Records, d.arrivals = make([]engine.Record, 0, len(puts)), make([]arrival, 0, len(puts))
	}
	now := time.Now()
	for i := range puts {
		if err := d.add(ctx, i, now); err != nil {
			d.release()
			return err
		}
	}
	if mark.Key != "" {
		d.State = append(d.State, mark)
	}
	if err := d.write(ctx); err != nil {
		d.release()
		return err
	}
	return nil
}

// A delivering is an op of Deliver.
type delivering struct {
	op
	puts    []Put
	quotas  []quota // of Records; empty if no inbox has one
	checked bool    // puts go only to the endpoints they are meant for
}

// A quota is what a put must fit into.
type quota struct {
	usage  *usage // held; nil: no limit
	policy Policy
	size   int64
	// reserved says that size is reserved in usage.
	reserved bool
	trim     bool // the oldest messages must make room
}

// add prepares the i-th put.
func (d *delivering) add(ctx context.Context, i int, now time.Time) error {
	p := &d.puts[i]
	q := p.Key.fold()
	s := d.sh.set
	if s.shardOf(q) != d.sh {
		return gatehouse.Errorf(gatehouse.Invalid, "inbox %s does not belong to shard %d", p.Key, d.sh.id)
	}
	p.Err = nil
	m := p.Message
	data := p.Data
	if data == nil {
		data = record.Append(make([]byte, 0, len(m.Body)+192), m)
	}
	if len(data) > engine.MaxRecord {
		d.refusePut(p, gatehouse.Errorf(gatehouse.TooLarge, "the message is %d bytes long; at most %d can be stored", len(data), engine.MaxRecord))
		return nil
	}
	if m.Position != (gatehouse.Position{}) {
		c := *m
		c.Position = gatehouse.Position{}
		m = &c
	}
	policy := s.policy(p.Key)
	d.Records = append(d.Records, newRecord(q, m, data, &policy, now))
	d.arrivals = append(d.arrivals, arrival{q, m})
	if q.dead || !policy.quota() {
		if d.quotas != nil {
			d.quotas = append(d.quotas, quota{})
		}
		return nil
	}
	u, err := d.sh.usage(ctx, q)
	if err != nil {
		return err
	}
	for len(d.quotas) < len(d.Records)-1 {
		d.quotas = append(d.quotas, quota{})
	}
	d.quotas = append(d.quotas, quota{usage: u, policy: policy})
	return nil
}

// newRecord returns the record that puts m into q now.
func newRecord(q qkey, m *gatehouse.Message, data []byte, p *Policy, now time.Time) engine.Record {
	r := engine.Record{Stream: q.queue(), Queue: true, Data: data}
	from := now
	if m.NotBefore.After(now) && !q.dead {
		from = m.NotBefore
		r.NotBefore = from.UnixNano()
	}
	age := p.MaxAge
	if q.dead {
		age = p.DeadLetterMaxAge
	} else {
		r.Expires = unixNano(m.Expires())
	}
	if age > 0 {
		if at := from.Add(age).UnixNano(); r.Expires == 0 || at < r.Expires {
			r.Expires = at
		}
	}
	return r
}

// admitAll refuses what may not be stored, in order.
func (d *delivering) admitAll() error {
	if !d.checked && len(d.quotas) == 0 {
		return nil
	}
	keep, put := 0, -1
	for i := range d.Records {
		// What was not refused before has a record each.
		for put++; d.puts[put].Err != nil; put++ {
		}
		var c quota
		if len(d.quotas) > 0 {
			c = d.quotas[i]
		}
		r, a := d.Records[i], d.arrivals[i]
		if !d.admits(&d.puts[put], &c, &r, &a) {
			if c.usage != nil {
				c.usage.drop()
			}
			continue
		}
		d.Records[keep], d.arrivals[keep] = r, a
		if len(d.quotas) > 0 {
			d.quotas[keep] = c
		}
		keep++
	}
	clear(d.Records[keep:])
	d.Records, d.arrivals = d.Records[:keep], d.arrivals[:keep]
	if len(d.quotas) > 0 {
		d.quotas = d.quotas[:keep]
	}
	return nil
}

// admits reports whether a put, or what becomes of it, may be stored.
func (d *delivering) admits(p *Put, c *quota, r *engine.Record, a *arrival) bool {
	if d.checked {
		if n, ok := d.sh.set.opts.Incarnation(p.Key); !ok || n != p.Incarnation {
			d.refusePut(p, errDeleted)
			return false
		}
	}
	return c.usage == nil || d.fits(p, c, r, a)
}

// fits reserves room for a put, or does with it what the policy says, and
// reports whether there is still something to put.
func (d *delivering) fits(p *Put, c *quota, r *engine.Record, a *arrival) bool {
	u, size := c.usage, int64(len(r.Data))
	full := u.full(&c.policy, size)
	if full != nil {
		full.Text = "inbox " + r.Stream + full.Text
	}
	events := &d.sh.set.opts.Events
	switch {
	case full == nil:
	case c.policy.OnFull == DeadLetterNew:
		u.drop()
		c.usage = nil
		dead := *a.message
		dead.Dead = &gatehouse.DeadLetter{
			Reason: ReasonQuota, Description: full.Text, Time: time.Now(), From: gatehouse.EndpointPrefix + string(p.Key.Endpoint),
		}
		a.key, a.message = a.key.deadLetters(), &dead
		*r = newRecord(a.key, &dead, encodeDead(&dead, r.Data), &c.policy, dead.Dead.Time)
		if events.DeadLettered != nil {
			events.DeadLettered(p.Key, ReasonQuota, 1)
		}
		return true
	case c.policy.OnFull == DropOldest && (c.policy.MaxBytes == 0 || size <= c.policy.MaxBytes):
		c.trim = true
	default:
		d.refusePut(p, full)
		if events.Refused != nil {
			events.Refused(p.Key)
		}
		return false
	}
	c.size, c.reserved = size, true
	u.flight.reserve(size)
	return true
}

// encodeDead encodes a dead letter whose record was data before. What it says
// about its death must not make it too large to keep.
func encodeDead(m *gatehouse.Message, data []byte) []byte {
	dead := record.Append(make([]byte, 0, len(data)+256), m)
	if len(dead) > engine.MaxRecord {
		short := *m.Dead
		short.Description = ""
		m.Dead = &short
		dead = record.Append(dead[:0], m)
	}
	if len(dead) > engine.MaxRecord {
		return data
	}
	return dead
}

func (d *delivering) applied(err error, _ int64) {
	bytes := 0
	for i := range d.quotas {
		c := &d.quotas[i]
		if c.usage == nil {
			continue
		}
		if c.reserved {
			c.usage.flight.settle(c.size, err == nil)
		}
		c.usage.drop()
		if c.trim && err == nil {
			d.sh.trims[d.arrivals[i].key] = struct{}{}
			poke(d.sh.broom)
		}
	}
	if err != nil {
		return
	}
	for i := range d.arrivals {
		bytes += len(d.Records[i].Data)
	}
	if f := d.sh.set.opts.Events.Put; f != nil && len(d.arrivals) > 0 {
		f(len(d.arrivals), bytes)
	}
}

// release gives back what a delivery that was not accepted holds.
func (d *delivering) release() {
	if len(d.quotas) == 0 {
		return
	}
	d.sh.mu.Lock()
	defer d.sh.mu.Unlock()
	for i := range d.quotas {
		if u := d.quotas[i].usage; u != nil {
			u.drop()
		}
	}
}
