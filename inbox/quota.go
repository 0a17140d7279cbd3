package inbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// maxUsages is for how many inboxes of a shard the usage is remembered.
const maxUsages = 8192

// envelopePage is how many envelopes without bodies are read at once.
const envelopePage = 2048

// A usage is what an inbox with a quota holds. It is counted when first needed
// and kept up to date from then on.
type usage struct {
	pos     gatehouse.Offset // of the last record counted
	bytes   int64
	count   int32
	counted bool
	more    bool    // something was put while counting
	flight  *flight // nil while nothing is under way
}

// A flight is what is on its way into an inbox with a quota.
type flight struct {
	held     int // by deliveries under way
	reserved int
	// seen are the reserved puts that are counted already, because the engine
	// told of them before their commit was done.
	seen          int
	reservedBytes int64
	seenBytes     int64
	counting      chan struct{} // closed when counted
}

// hold keeps u from being forgotten until drop.
func (u *usage) hold() {
	if u.flight == nil {
		u.flight = new(flight)
	}
	u.flight.held++
}

func (u *usage) drop() {
	if u.flight.held--; u.flight.held == 0 && u.flight.counting == nil {
		u.flight = nil
	}
}

// full returns why a put of the given size does not fit, or nil. The text goes
// on behind the name of the inbox.
func (u *usage) full(p *Policy, size int64) *gatehouse.Error {
	f := u.flight
	count := int(u.count) + f.reserved - f.seen
	bytes := u.bytes + f.reservedBytes - f.seenBytes
	var text string
	switch {
	case p.MaxMessages > 0 && count >= p.MaxMessages:
		text = fmt.Sprintf(" is full: it holds %d messages of the %d allowed; receive or purge some, or raise maxMessages", count, p.MaxMessages)
	case p.MaxBytes > 0 && bytes+size > p.MaxBytes:
		text = fmt.Sprintf(" is full: it holds %d bytes of the %d allowed, and the message has %d; receive or purge some, or raise maxBytes", bytes, p.MaxBytes, size)
	default:
		return nil
	}
	return &gatehouse.Error{Kind: gatehouse.QuotaExceeded, Text: text}
}

// told counts a record that has become durable.
func (u *usage) told(o gatehouse.Offset, size int) {
	if o <= u.pos {
		return
	}
	if !u.counted {
		u.more = true
		return
	}
	u.pos = o
	u.count++
	u.bytes += int64(size)
	if f := u.flight; f != nil && f.seen < f.reserved {
		f.seen++
		f.seenBytes += int64(size)
	}
}

// reserve makes room for a put.
func (f *flight) reserve(size int64) {
	f.reserved++
	f.reservedBytes += size
}

// settle ends a reservation.
func (f *flight) settle(size int64, stored bool) {
	f.reserved--
	f.reservedBytes -= size
	if stored && f.seen > 0 {
		f.seen--
		f.seenBytes -= size
	}
	if f.seen == 0 {
		f.seenBytes = 0
	}
}

func (u *usage) removed(o gatehouse.Offset, size int) {
	if o > u.pos {
		return // not counted yet, and it will not be
	}
	u.count--
	u.bytes -= int64(size)
}

// usage returns the counted usage of q, held.
func (sh *shard) usage(ctx context.Context, q qkey) (*usage, error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for {
		if !sh.running {
			return nil, errNotRunning
		}
		u := sh.usages[q]
		if u == nil {
			u = new(usage)
			sh.usages[q] = u
			sh.forgetUsages()
		}
		if u.counted {
			u.hold()
			return u, nil
		}
		if u.flight == nil {
			if err := sh.count(ctx, q, u); err != nil {
				return nil, err
			}
			continue
		}
		counting := u.flight.counting
		sh.mu.Unlock()
		var err error
		select {
		case <-counting:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		sh.mu.Lock()
		if err != nil {
			return nil, err
		}
	}
}

// count counts the records of q. sh.mu is held, and let go while reading.
func (sh *shard) count(ctx context.Context, q qkey, u *usage) error {
	u.flight = &flight{held: 1, counting: make(chan struct{})}
	b := sh.hold(q)
	var page []engine.Envelope
	var err error
	for {
		u.more = false
		pos := u.pos
		b.reading++
		sh.mu.Unlock()
		page, err = sh.queues.Scan(ctx, b.queue, pos, envelopePage, false, page[:0])
		sh.mu.Lock()
		for i := range page {
			u.pos = page[i].Offset
			if _, gone := b.gone[u.pos]; gone {
				continue
			}
			u.count++
			u.bytes += int64(page[i].Size)
		}
		b.read()
		if c, ok := errors.AsType[*engine.CorruptError](err); ok {
			u.pos, err = max(u.pos, c.Offset), nil
			continue
		}
		if err != nil || len(page) == 0 && !u.more {
			break
		}
	}
	u.counted = err == nil
	close(u.flight.counting)
	u.flight.counting = nil
	u.drop()
	sh.drop(b)
	if err != nil {
		delete(sh.usages, q)
		return unavailable(err)
	}
	return nil
}

// forgetUsages makes room: of a few, the one that is counted again fastest
// goes.
func (sh *shard) forgetUsages() {
	if len(sh.usages) <= maxUsages {
		return
	}
	var least qkey
	best := int32(-1)
	looked := 0
	for q, u := range sh.usages {
		if u.flight != nil || !u.counted {
			continue
		}
		if best < 0 || u.count < best {
			least, best = q, u.count
		}
		if looked++; looked == 8 {
			break
		}
	}
	if best >= 0 {
		delete(sh.usages, least)
	}
}
