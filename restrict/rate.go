package restrict

import (
	"math"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse"
)

// A limit is one bucket's numbers; perSecond is zero if there is no limit.
type limit struct{ perSecond, burst float64 }

// A rate is the compiled rate of one restriction.
type rate struct {
	name, key       string
	messages, bytes limit
}

// A Limiter is the rate state of one endpoint. It outlives the tables: state
// is kept by the name of the restriction, follows changed numbers, and is
// forgotten with the restriction once it is full again. The zero Limiter is
// ready for use; it must not be copied after that. It is safe for concurrent
// use.
//
// It holds a mutex, not atomics: what one message takes from several buckets
// it must take from all or none, and the sessions of one endpoint seldom meet.
type Limiter struct {
	mu      sync.Mutex
	plan    *Plan
	current []*bucket          // one for each of plan.rates
	kept    map[string]*bucket // by key of the rate
}

// A bucket is the state of one rate.
type bucket struct {
	rate            *rate
	messages, bytes float64 // left to take
	filled          time.Time
}

// take takes one message of size bytes from all buckets, or from none. No
// bucket is too small for it.
func (l *Limiter) take(p *Plan, size int, now time.Time) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.plan != p {
		l.adopt(p, now)
	}
	var wait float64 // seconds
	var slowest *bucket
	n := float64(size)
	for _, b := range l.current {
		b.fill(now)
		if w := b.wait(n); w > wait {
			wait, slowest = w, b
		}
	}
	if slowest != nil {
		return slowest.rate.refuse(wait)
	}
	for _, b := range l.current {
		b.take(n)
	}
	return nil
}

// adopt arranges the buckets for another plan. Sessions may hold two plans for
// a moment while tables are swapped, so buckets that p does not need are kept
// for as long as they differ from new ones.
func (l *Limiter) adopt(p *Plan, now time.Time) {
	if l.kept == nil {
		l.kept = make(map[string]*bucket, len(p.rates))
	}
	l.plan, l.current = p, l.current[:0]
	for _, r := range p.rates {
		b := l.kept[r.key]
		if b == nil {
			b = &bucket{rate: r, messages: r.messages.burst, bytes: r.bytes.burst, filled: now}
			l.kept[r.key] = b
		}
		b.change(r, now)
		l.current = append(l.current, b)
	}
	for key, b := range l.kept {
		if !p.hasRate(b.rate) {
			if b.fill(now); b.full() {
				delete(l.kept, key)
			}
		}
	}
}

func (p *Plan) hasRate(r *rate) bool {
	for _, other := range p.rates {
		if other == r {
			return true
		}
	}
	return false
}

// change gives b new numbers from now on. What is left in it stays, up to the
// new burst; a limit that was not there before begins full.
func (b *bucket) change(r *rate, now time.Time) {
	b.fill(now)
	old := b.rate
	b.rate = r
	if old.messages.perSecond == 0 {
		b.messages = r.messages.burst
	}
	if old.bytes.perSecond == 0 {
		b.bytes = r.bytes.burst
	}
	b.messages, b.bytes = min(b.messages, r.messages.burst), min(b.bytes, r.bytes.burst)
}

// fill adds what has come together since the last time. A clock that went
// back adds nothing.
func (b *bucket) fill(now time.Time) {
	elapsed := now.Sub(b.filled)
	if elapsed <= 0 {
		return
	}
	s := elapsed.Seconds()
	b.filled = now
	b.messages = min(b.messages+s*b.rate.messages.perSecond, b.rate.messages.burst)
	b.bytes = min(b.bytes+s*b.rate.bytes.perSecond, b.rate.bytes.burst)
}

// take takes a message of n bytes. What is not limited stays full.
func (b *bucket) take(n float64) {
	if b.rate.messages.perSecond > 0 {
		b.messages--
	}
	if b.rate.bytes.perSecond > 0 {
		b.bytes -= n
	}
}

func (b *bucket) full() bool {
	return b.messages >= b.rate.messages.burst && b.bytes >= b.rate.bytes.burst
}

// wait returns how many seconds it takes until a message of n bytes may be
// taken from b; zero if it may now.
func (b *bucket) wait(n float64) float64 {
	var wait float64
	if r := &b.rate.messages; r.perSecond > 0 && b.messages < 1 {
		wait = (1 - b.messages) / r.perSecond
	}
	if r := &b.rate.bytes; r.perSecond > 0 && b.bytes < n {
		wait = max(wait, (n-b.bytes)/r.perSecond)
	}
	return wait
}

// maxRetryAfter bounds what a tiny rate leads to.
const maxRetryAfter = 24 * time.Hour

func (r *rate) refuse(seconds float64) error {
	after := maxRetryAfter
	if seconds < maxRetryAfter.Seconds() {
		// A nanosecond more than computed, so that it is not refused again
		// for the last bit of a fraction.
		after = time.Duration(math.Ceil(seconds*1e9)) + 1
	}
	e := gatehouse.Errorf(gatehouse.RateLimited, "restriction %q limits how fast this endpoint may send; try again in %s, and send more slowly", r.name, after.Round(time.Millisecond))
	e.Rule, e.RetryAfter = r.name, after
	return e
}

// checkSize refuses what would not pass however long it waited.
func (r *rate) checkSize(size int) error {
	if r.bytes.perSecond == 0 || float64(size) <= r.bytes.burst {
		return nil
	}
	e := gatehouse.Errorf(gatehouse.TooLarge, "restriction %q allows at most %.0f bytes at once (its byteBurst), and this message has %d in body and attributes; send less at once", r.name, r.bytes.burst, size)
	e.Rule = r.name
	return e
}
