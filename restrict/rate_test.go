package restrict

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
)

func sized(n int) *gatehouse.Message { return &gatehouse.Message{Body: make([]byte, n)} }

// count sends messages of n bytes until one is refused for the rate and
// returns how many were not, and when to try again.
func count(t testing.TB, p *Plan, l *Limiter, n int, now time.Time) (passed int, after time.Duration) {
	t.Helper()
	for range 1_000_000 {
		err := p.Message(l, sized(n), now)
		if err == nil {
			passed++
			continue
		}
		e, ok := err.(*gatehouse.Error)
		if !ok || e.Kind != gatehouse.RateLimited || e.Rule == "" || e.RetryAfter <= 0 {
			t.Fatalf("after %d: %v, want it to be limited, with a time to try again", passed, err)
		}
		return passed, e.RetryAfter
	}
	t.Fatal("a million messages were not limited")
	return 0, 0
}

func TestRates(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		rate         Rate
		size         int
		first        int           // pass at once
		after        time.Duration // to the next
		second, hour int           // pass a second, an hour later
	}{
		"messages":               {Rate{Messages: 4}, 100, 4, time.Second / 4, 4, 4},
		"messages with burst":    {Rate{Messages: 4, MessageBurst: 10}, 0, 10, time.Second / 4, 4, 10},
		"a burst below the rate": {Rate{Messages: 4, MessageBurst: 2}, 0, 2, time.Second / 4, 2, 2},
		"less than one":          {Rate{Messages: 0.25}, 0, 1, 4 * time.Second, 0, 1},
		"fractions":              {Rate{Messages: 2.5}, 0, 3, 400 * time.Millisecond, 2, 3},
		"bytes":                  {Rate{Bytes: 1000}, 250, 4, time.Second / 4, 4, 4},
		"bytes with burst":       {Rate{Bytes: 1000, ByteBurst: 2000}, 500, 4, time.Second / 2, 2, 4},
		"bytes that do not fit":  {Rate{Bytes: 1000}, 300, 3, time.Second / 5, 3, 3},
		"both, messages first":   {Rate{Messages: 2, Bytes: 1000}, 100, 2, time.Second / 2, 2, 2},
		"both, bytes first":      {Rate{Messages: 10, Bytes: 1000}, 500, 2, time.Second / 2, 2, 2},
	}
	for name, tt := range tests {
		p, l := plan(t, Restriction{Rate: &tt.rate}), new(Limiter)
		got, after := count(t, p, l, tt.size, noon)
		if got != tt.first || after < tt.after || after > tt.after+2 {
			t.Errorf("%s: %d passed, the next after %v; want %d, %v", name, got, after, tt.first, tt.after)
		}
		if got, _ := count(t, p, l, tt.size, noon.Add(time.Second)); got != tt.second {
			t.Errorf("%s: a second later %d passed, want %d", name, got, tt.second)
		}
		if got, _ := count(t, p, l, tt.size, noon.Add(time.Hour)); got != tt.hour {
			t.Errorf("%s: an hour later %d passed, want %d", name, got, tt.hour)
		}
		// Who waits as told is not refused, and who comes a little sooner is.
		now := noon.Add(2 * time.Hour)
		_, after = count(t, p, l, tt.size, now)
		expect(t, name+": too soon", p.Message(l, sized(tt.size), now.Add(after-3)), gatehouse.RateLimited, "r1")
		expect(t, name+": as told", p.Message(l, sized(tt.size), now.Add(after)), 0, "")
	}
}

func TestBytesCountAttributesToo(t *testing.T) {
	t.Parallel()
	p, l := plan(t, Restriction{Rate: &Rate{Bytes: 10}}), new(Limiter)
	m := &gatehouse.Message{Body: []byte("123"), Attributes: []gatehouse.Attribute{{Name: "ab", Value: gatehouse.String("cdefg")}}}
	expect(t, "the first", p.Message(l, m, noon), 0, "")
	expect(t, "the second", p.Message(l, sized(1), noon), gatehouse.RateLimited, "r1")
	expect(t, "one of no bytes", p.Message(l, sized(0), noon), 0, "")
}

func TestLargerThanTheBurst(t *testing.T) {
	t.Parallel()
	p, l := plan(t, Restriction{Name: "a", Rate: &Rate{Messages: 1}}, Restriction{Name: "b", Rate: &Rate{Bytes: 100, ByteBurst: 200}}), new(Limiter)
	expect(t, "the largest", p.Message(l, sized(200), noon), 0, "")
	// It says that waiting does not help, even where waiting is due as well.
	err := p.Message(l, sized(201), noon)
	expect(t, "a byte more", err, gatehouse.TooLarge, "b")
	if !strings.Contains(err.Error(), "at most 200 bytes") || !strings.Contains(err.Error(), "has 201") {
		t.Errorf("%v does not say how large", err)
	}
	expect(t, "a byte more, not counted", p.Message(nil, sized(201), noon), gatehouse.TooLarge, "b")
	expect(t, "the largest, not counted", p.Message(nil, sized(200), noon), 0, "")
}

// A message takes from all buckets or from none.
func TestAllBucketsOrNone(t *testing.T) {
	t.Parallel()
	p, l := plan(t,
		Restriction{Name: "few", Rate: &Rate{Messages: 1, MessageBurst: 3}},
		Restriction{Name: "small", Rate: &Rate{Bytes: 10, ByteBurst: 100}},
	), new(Limiter)
	expect(t, "the first", p.Message(l, sized(90), noon), 0, "")
	for range 10 {
		expect(t, "too many bytes", p.Message(l, sized(20), noon), gatehouse.RateLimited, "small")
	}
	expect(t, "the second", p.Message(l, sized(5), noon), 0, "")
	expect(t, "the third", p.Message(l, sized(5), noon), 0, "")
	expect(t, "one too many", p.Message(l, sized(0), noon), gatehouse.RateLimited, "few")
	// The one that is waited for longest is named, with its time.
	err := p.Message(l, sized(40), noon)
	expect(t, "both", err, gatehouse.RateLimited, "small")
	if e := err.(*gatehouse.Error); e.RetryAfter < 4*time.Second || e.RetryAfter > 4*time.Second+2 {
		t.Errorf("to be tried again after %v, want 4s", e.RetryAfter)
	}
}

// The longer of the two waits of one restriction counts.
func TestLongerWait(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rate Rate
		want time.Duration
	}{
		{Rate{Messages: 1, MessageBurst: 2, Bytes: 100}, time.Second},
		{Rate{Messages: 10, MessageBurst: 2, Bytes: 100}, time.Second / 2},
	} {
		p, l := plan(t, Restriction{Rate: &tt.rate}), new(Limiter)
		if _, after := count(t, p, l, 50, noon); after < tt.want || after > tt.want+2 {
			t.Errorf("%+v: to be tried again after %v, want %v", tt.rate, after, tt.want)
		}
	}
}

func TestEndpointsDoNotShareRates(t *testing.T) {
	t.Parallel()
	tab := table(t, Restriction{Rate: &Rate{Messages: 1}})
	one, two := new(Limiter), new(Limiter)
	p := tab.Plan(endpoint(t, "a", nil))
	expect(t, "the first of one", p.Message(one, sized(0), noon), 0, "")
	expect(t, "the second of one", p.Message(one, sized(0), noon), gatehouse.RateLimited, "r1")
	expect(t, "the first of the other", p.Message(two, sized(0), noon), 0, "")
}

func TestTinyRates(t *testing.T) {
	t.Parallel()
	for _, perSecond := range []float64{1e-6, 1e-300, math.SmallestNonzeroFloat64} {
		p, l := plan(t, Restriction{Rate: &Rate{Messages: perSecond}}), new(Limiter)
		if passed, after := count(t, p, l, 0, noon); passed != 1 || after != maxRetryAfter {
			t.Errorf("%g a second: %d passed, the next after %v", perSecond, passed, after)
		}
	}
}

func TestClockThatGoesBack(t *testing.T) {
	t.Parallel()
	p, l := plan(t, Restriction{Rate: &Rate{Messages: 1, MessageBurst: 2}}), new(Limiter)
	for i := range 2 {
		expect(t, "at noon", p.Message(l, sized(i), noon), 0, "")
	}
	expect(t, "before noon", p.Message(l, sized(0), noon.Add(-time.Hour)), gatehouse.RateLimited, "r1")
	expect(t, "at noon again", p.Message(l, sized(0), noon), gatehouse.RateLimited, "r1")
	expect(t, "a second later", p.Message(l, sized(0), noon.Add(time.Second)), 0, "")
}

// Rates go on where they were when tables are swapped.
func TestLimiterSurvivesTables(t *testing.T) {
	t.Parallel()
	l := new(Limiter)
	limited := func(messages float64, burst int) *Plan {
		return plan(t, Restriction{Name: "Rate", Rate: &Rate{Messages: messages, MessageBurst: burst}})
	}
	if got, _ := count(t, limited(1, 10), l, 0, noon); got != 10 {
		t.Fatalf("%d passed, want 10", got)
	}
	now := noon
	expect(t, "the same again", limited(1, 10).Message(l, sized(0), now), gatehouse.RateLimited, "Rate")
	renamed := plan(t, Restriction{Name: "RATE", Rate: &Rate{Messages: 1, MessageBurst: 10}})
	expect(t, "in other letters", renamed.Message(l, sized(0), now), gatehouse.RateLimited, "RATE")
	expect(t, "a greater burst", limited(1, 100).Message(l, sized(0), now), gatehouse.RateLimited, "Rate")
	now = now.Add(2 * time.Second)
	if got, _ := count(t, limited(5, 100), l, 0, now); got != 2 {
		t.Errorf("%d passed, want the 2 that came at the old rate", got)
	}
	now = now.Add(2 * time.Second)
	if got, _ := count(t, limited(5, 100), l, 0, now); got != 10 {
		t.Errorf("%d passed, want the 10 that came at the new rate", got)
	}
	now = now.Add(time.Hour)
	if got, _ := count(t, limited(5, 3), l, 0, now); got != 3 {
		t.Errorf("%d passed, want the smaller burst", got)
	}
	// A limit that was not there begins full.
	both := plan(t, Restriction{Name: "Rate", Rate: &Rate{Messages: 5, MessageBurst: 3, Bytes: 100}})
	now = now.Add(time.Hour)
	if got, _ := count(t, both, l, 50, now); got != 2 {
		t.Errorf("%d passed, want those of the full bucket of bytes", got)
	}
}

func TestLimiterForgetsWhatIsFull(t *testing.T) {
	t.Parallel()
	kept := func(l *Limiter) int { return len(l.kept) }
	tests := map[string]*Rate{
		"messages": {Messages: 1, MessageBurst: 5},
		"bytes":    {Bytes: 10, ByteBurst: 50},
		"both":     {Messages: 1, MessageBurst: 5, Bytes: 10, ByteBurst: 50},
	}
	check := func(name string, r *Rate, swapsBack bool) {
		l := new(Limiter)
		old := plan(t, Restriction{Name: "old", Rate: r}, Restriction{Name: "stays", Rate: &Rate{Messages: 1000}})
		next := plan(t, Restriction{Name: "stays", Rate: &Rate{Messages: 1000}})
		again := plan(t, Restriction{Name: "stays", Rate: &Rate{Messages: 1000}})
		passed, _ := count(t, old, l, 10, noon)
		expect(t, name+": without it", next.Message(l, sized(10), noon), 0, "")
		if kept(l) != 2 {
			t.Errorf("%s: %d buckets are kept, want the one that is not full besides", name, kept(l))
		}
		// A session that still holds the old plan does not get a new bucket.
		if swapsBack {
			expect(t, name+": the old one", old.Message(l, sized(10), noon), gatehouse.RateLimited, "old")
		}
		expect(t, name+": without it, later", again.Message(l, sized(10), noon.Add(time.Hour)), 0, "")
		if kept(l) != 1 {
			t.Errorf("%s: %d buckets are kept an hour later, want 1", name, kept(l))
		}
		if got, _ := count(t, old, l, 10, noon.Add(time.Hour)); got != passed {
			t.Errorf("%s: %d passed after it came back, want %d", name, got, passed)
		}
	}
	for name, r := range tests {
		check(name, r, false)
		check(name+", swapped back for a moment", r, true)
	}
}

func TestLimiterIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	const burst = 1000
	l := new(Limiter)
	plans := []*Plan{
		plan(t, Restriction{Name: "a", Rate: &Rate{Messages: 1, MessageBurst: burst}}),
		plan(t, Restriction{Name: "A", Rate: &Rate{Messages: 1, MessageBurst: burst}}),
	}
	var passed atomic.Int64
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range burst {
				if plans[(i+n/100)%2].Message(l, sized(0), noon) == nil {
					passed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if passed.Load() != burst {
		t.Errorf("%d passed, want %d", passed.Load(), burst)
	}
}
