package inbox

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// bodyPage is how many messages with bodies are browsed at once.
const bodyPage = 128

// A walk reads a queue page by page. Damaged records are passed over.
type walk struct {
	box       *box
	after     gatehouse.Offset
	bodies    bool
	limit     int // per page; 0: the usual
	envelopes []engine.Envelope
	messages  []*gatehouse.Message // of envelopes if bodies; nil: damaged
}

// page reads the next page; it is empty at the end of the queue. The shard is
// locked, and let go while reading; what was removed meanwhile is left out.
func (w *walk) page(ctx context.Context) error {
	b := w.box
	sh := b.shard
	limit := envelopePage
	if w.bodies {
		limit = bodyPage
	}
	if w.limit > 0 {
		limit = min(limit, w.limit)
	}
	b.reading++
	defer b.read()
	for {
		sh.mu.Unlock()
		page, err := sh.queues.Scan(ctx, b.queue, w.after, limit, w.bodies, w.envelopes[:0])
		messages := w.messages[:0]
		for i := range page {
			w.after = page[i].Offset
			if w.bodies {
				messages = append(messages, sh.decode(b.queue, &page[i]))
			}
		}
		w.envelopes, w.messages = page, messages
		corrupt, damaged := errors.AsType[*engine.CorruptError](err)
		if damaged {
			sh.damaged(corrupt)
			w.after = max(w.after, corrupt.Offset)
		}
		sh.mu.Lock()
		if b.closed {
			return errNotRunning
		}
		read := len(w.envelopes)
		w.leaveOutGone()
		switch {
		case err != nil && !damaged:
			return unavailable(err)
		case len(w.envelopes) > 0, read == 0 && !damaged:
			return nil
		}
	}
}

func (w *walk) leaveOutGone() {
	if len(w.box.gone) == 0 {
		return
	}
	keep := 0
	for i := range w.envelopes {
		if _, gone := w.box.gone[w.envelopes[i].Offset]; gone {
			continue
		}
		w.envelopes[keep] = w.envelopes[i]
		if w.bodies {
			w.messages[keep] = w.messages[i]
		}
		keep++
	}
	w.envelopes = w.envelopes[:keep]
	if w.bodies {
		w.messages = w.messages[:keep]
	}
}

// Peek returns up to limit messages of an inbox whose sequence number is at least
// from, in order, without taking them: also those that are locked, deferred,
// scheduled or expired and not moved yet. Damaged ones are passed over.
func (s *Set) Peek(ctx context.Context, k Key, from gatehouse.Offset, limit int) ([]*Delivery, error) {
	q := k.fold()
	sh := s.shardOf(q)
	b, err := sh.enter(ctx, q)
	if err != nil {
		return nil, err
	}
	defer sh.leave(b)
	w := walk{box: b, after: max(from, 1) - 1, bodies: true}
	var seen []*Delivery
	for len(seen) < limit {
		w.limit = limit - len(seen)
		if err := w.page(ctx); err != nil {
			return nil, err
		}
		if len(w.envelopes) == 0 {
			break
		}
		sh.addAttributes(b, w.envelopes, w.messages)
		now := time.Now().UnixNano()
		for i := range w.envelopes {
			if w.messages[i] != nil {
				seen = append(seen, b.peeked(&w.envelopes[i], w.messages[i], now))
			}
		}
	}
	return seen, nil
}

func (b *box) peeked(v *engine.Envelope, m *gatehouse.Message, now int64) *Delivery {
	k := b.marks[v.Offset]
	d := &Delivery{
		Message: m, Sequence: v.Offset, Count: k.count,
		Enqueued: unixTime(v.Enqueued), Expires: unixTime(v.Expires),
	}
	switch {
	case k.deferred:
		d.State = Deferred
	case v.NotBefore > now:
		d.State = Scheduled
	}
	if l := b.taken[v.Offset]; l != nil && l.state == locked {
		d.LockedUntil = unixTime(l.until())
	}
	return d
}

// Stats is what an inbox holds. Each message counts once, as deferred before
// locked before scheduled before active.
type Stats struct {
	Active, Locked, Deferred, Scheduled, Dead int

	Bytes  int64     // of all but the dead letters, as stored
	Oldest time.Time // when the first of them was put; zero if there is none
}

// Stats counts what an inbox and its dead letters hold; k.Dead makes no
// difference. It reads all envelopes.
func (s *Set) Stats(ctx context.Context, k Key) (Stats, error) {
	var t Stats
	q := k.fold()
	q.dead = false
	sh := s.shardOf(q)
	err := sh.each(ctx, q, func(b *box, v *engine.Envelope) {
		k := b.marks[v.Offset]
		switch {
		case k.deferred:
			t.Deferred++
		case b.taken[v.Offset] != nil:
			t.Locked++
		case v.NotBefore > time.Now().UnixNano():
			t.Scheduled++
		default:
			t.Active++
		}
		t.Bytes += int64(v.Size)
		if t.Oldest.IsZero() {
			t.Oldest = unixTime(v.Enqueued)
		}
	})
	if err != nil {
		return Stats{}, err
	}
	err = sh.each(ctx, q.deadLetters(), func(*box, *engine.Envelope) { t.Dead++ })
	return t, err
}

// each calls visit for each envelope, with the shard locked.
func (sh *shard) each(ctx context.Context, q qkey, visit func(*box, *engine.Envelope)) error {
	b, err := sh.enter(ctx, q)
	if err != nil {
		return err
	}
	defer sh.leave(b)
	w := walk{box: b}
	for {
		if err := w.page(ctx); err != nil || len(w.envelopes) == 0 {
			return err
		}
		for i := range w.envelopes {
			visit(b, &w.envelopes[i])
		}
	}
}

// Sessions returns the groups that have messages or a state in an inbox, in
// order. It reads the whole inbox.
func (s *Set) Sessions(ctx context.Context, k Key) ([]string, error) {
	q := k.fold()
	sh := s.shardOf(q)
	b, err := sh.enter(ctx, q)
	if err != nil {
		return nil, err
	}
	defer sh.leave(b)
	groups := make(map[string]struct{})
	w := walk{box: b, bodies: true}
	for {
		if err := w.page(ctx); err != nil {
			return nil, err
		}
		if len(w.envelopes) == 0 {
			break
		}
		for _, m := range w.messages {
			if m != nil && m.Group != "" {
				groups[m.Group] = struct{}{}
			}
		}
	}
	sh.mu.Unlock()
	prefix := q.groupsPrefix()
	err = sh.state.Scan(prefix, func(key string, _ []byte) bool {
		groups[key[len(prefix):]] = struct{}{}
		return true
	})
	sh.mu.Lock()
	if err != nil {
		return nil, unavailable(err)
	}
	names := make([]string, 0, len(groups))
	for g := range groups {
		names = append(names, g)
	}
	slices.Sort(names)
	return names, nil
}
