package restrict

import (
	"math"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/rule"

	"pgregory.net/rapid"
)

// An exact bucket is a bucket in whole numbers: of tokens in eighths, at times
// in eighths of a second, for rates in whole tokens a second.
type exactBucket struct {
	rate, burst int64 // per second; rate is zero if there is no limit
	left        int64 // eighths
	at          int64 // eighths of a second
}

func (b *exactBucket) fill(at int64) {
	if at > b.at {
		b.left, b.at = min(b.left+(at-b.at)*b.rate, b.burst*8), at
	}
}

// short returns the seconds until there are n tokens.
func (b *exactBucket) short(n int64) float64 {
	if b.rate == 0 || b.left >= n*8 {
		return 0
	}
	return float64(n*8-b.left) / 8 / float64(b.rate)
}

// swap gives b new numbers, as Limiter's documentation says.
func (b *exactBucket) swap(rate, burst, at int64) {
	b.fill(at)
	if b.rate == 0 {
		b.left = burst * 8
	}
	b.rate, b.burst, b.left = rate, burst, min(b.left, burst*8)
}

func drawRate(t *rapid.T) Rate {
	r := Rate{}
	if rapid.Bool().Draw(t, "limits messages") {
		r.Messages, r.MessageBurst = float64(rapid.IntRange(1, 20).Draw(t, "messages")), rapid.IntRange(0, 10).Draw(t, "message burst")
	}
	if r.Messages == 0 || rapid.Bool().Draw(t, "limits bytes") {
		r.Bytes = config.Size(rapid.IntRange(1, 100).Draw(t, "bytes"))
		r.ByteBurst = config.Size(rapid.IntRange(0, 200).Draw(t, "byte burst"))
	}
	return r
}

// exact returns the numbers of both buckets of r.
func exact(r Rate) (messages, messageBurst, bytes, byteBurst int64) {
	messages, messageBurst, bytes, byteBurst = int64(r.Messages), int64(r.MessageBurst), int64(r.Bytes), int64(r.ByteBurst)
	if messageBurst == 0 {
		messageBurst = messages
	}
	if byteBurst == 0 {
		byteBurst = bytes
	}
	return messages, messageBurst, bytes, byteBurst
}

// Limiter agrees with exact buckets, over any messages, times and tables.
func TestRateProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c"}[:rapid.IntRange(1, 3).Draw(t, "restrictions")]
		type pair struct{ messages, bytes exactBucket }
		buckets := make([]pair, len(names))
		var p *Plan
		var rates []Rate
		swap := func() {
			var all []Restriction
			rates = nil
			for _, name := range names {
				r := drawRate(t)
				rates = append(rates, r)
				all = append(all, Restriction{Name: name, Rate: &r})
			}
			tab, err := Compile(all)
			if err != nil {
				t.Fatal(err)
			}
			p = tab.Plan(rule.Endpoint{Name: "pump-7"})
		}
		swap()
		swapped, begun := true, false
		l, at := new(Limiter), int64(0)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			at += int64(rapid.IntRange(-2, 16).Draw(t, "eighths of a second"))
			if rapid.IntRange(0, 7).Draw(t, "swap") == 0 {
				swap()
				swapped = true
			}
			size := int64(rapid.IntRange(0, 120).Draw(t, "size"))
			err := p.Message(l, sized(int(size)), noon.Add(time.Duration(at)*time.Second/8))
			tooLarge := ""
			for i, r := range rates {
				if _, _, bytes, burst := exact(r); bytes > 0 && size > burst && tooLarge == "" {
					tooLarge = names[i]
				}
			}
			if tooLarge != "" {
				checkRefusal(t, err, gatehouse.TooLarge, tooLarge)
				continue
			}
			wait := make([]float64, len(names))
			longest := 0
			for i := range buckets {
				b := &buckets[i]
				if !begun {
					b.messages.at, b.bytes.at = at, at
				}
				if swapped {
					m, mb, n, nb := exact(rates[i])
					b.messages.swap(m, mb, at)
					b.bytes.swap(n, nb, at)
				}
				b.messages.fill(at)
				b.bytes.fill(at)
				wait[i] = max(b.messages.short(1), b.bytes.short(size))
				if wait[i] > wait[longest] {
					longest = i
				}
			}
			swapped, begun = false, true
			if wait[longest] == 0 {
				if err != nil {
					t.Fatalf("%v, want no objection", err)
				}
				for i := range buckets {
					buckets[i].messages.left -= 8
					buckets[i].bytes.left -= size * 8
				}
				continue
			}
			checkRefusal(t, err, gatehouse.RateLimited, names[longest])
			after := err.(*gatehouse.Error).RetryAfter.Seconds()
			if math.Abs(after-min(wait[longest], maxRetryAfter.Seconds())) > 1e-8 {
				t.Fatalf("to be tried again after %vs, want %vs", after, wait[longest])
			}
		}
	})
}

func checkRefusal(t *rapid.T, err error, kind gatehouse.Kind, name string) {
	if e, ok := err.(*gatehouse.Error); !ok || e.Kind != kind || e.Rule != name {
		t.Fatalf("%v, want %v by %q", err, kind, name)
	}
}
