package inbox

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
)

func TestDeadlines(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	var heap deadlines
	var in []*timer
	for range 20_000 {
		switch n := r.IntN(10); {
		case n < 5:
			x := &timer{at: r.Int64N(1000)}
			heap.add(x)
			in = append(in, x)
		case len(in) == 0:
		case n < 7:
			heap.move(in[r.IntN(len(in))], r.Int64N(1000))
		default:
			i := r.IntN(len(in))
			heap.remove(in[i])
			heap.remove(in[i]) // does nothing
			in = slices.Delete(in, i, i+1)
		}
		if len(heap) != len(in) {
			t.Fatalf("%d timers in the heap, want %d", len(heap), len(in))
		}
		if len(in) > 0 {
			soonest := slices.MinFunc(in, func(a, b *timer) int { return int(a.at - b.at) })
			if heap[0].at != soonest.at {
				t.Fatalf("the heap starts with %d, want %d", heap[0].at, soonest.at)
			}
		}
	}
}

func FuzzQueueName(f *testing.F) {
	for _, s := range []string{"acme/pump-7", "acme/pump-7/$dead", "", "/", "a/b/c", "a/$dead", "/$dead"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, ok := parseQueue(s)
		if ok && q.queue() != s {
			t.Errorf("%q came back as %q", s, q.queue())
		}
		if ok && (q.account == "" || q.endpoint == "" || strings.Contains(q.endpoint, "/")) {
			t.Errorf("%q is no queue", s)
		}
	})
}

func FuzzMarkRow(f *testing.F) {
	f.Add("000000000000000a", uint64(10), []byte{1, 1, 0, 0, 0, 7})
	f.Add("000000000000000aa", uint64(1<<63), []byte{})
	f.Add("inbox/acme/pump-7/d/0000000000000001", uint64(1), []byte{})
	f.Fuzz(func(t *testing.T, key string, n uint64, value []byte) {
		q := qkey{"acme", "pump-7", n%2 == 1}
		o := gatehouse.Offset(n)
		for row, attributes := range map[string]bool{q.markRow(o): false, q.attributesRow(o): true} {
			got, a, ok := parseMark(row[len(q.marksPrefix()):])
			if got != o || a != attributes || !ok {
				t.Errorf("row %q of %d came back as %d, attributes %v, %v", row, o, got, a, ok)
			}
			if of, ok := parseRow(row); of != q || !ok {
				t.Errorf("row %q is of %v, %v", row, of, ok)
			}
		}
		_, _, _ = parseMark(key)
		if of, ok := parseRow(key); ok && !strings.HasPrefix(key, of.marksPrefix()) {
			t.Errorf("%q is no row of %v", key, of)
		}
		if m, ok := parseMarkValue(value); ok {
			again, ok := parseMarkValue(m.value())
			if !ok || again != m {
				t.Errorf("%+v came back as %+v", m, again)
			}
		}
	})
}

func FuzzLockToken(f *testing.F) {
	f.Add("6f1c0a52-9c1d-8e03-a5f0-0000000004d2", uint64(1234))
	f.Fuzz(func(t *testing.T, s string, n uint64) {
		token := newToken(gatehouse.Offset(n))
		if uint64(token.offset()) != n || token.IsZero() {
			t.Errorf("the token of %d says %d", n, token.offset())
		}
		if again, err := ParseLockToken(token.String()); err != nil || again != token {
			t.Errorf("%v came back as %v, %v", token, again, err)
		}
		if parsed, err := ParseLockToken(s); err == nil && !strings.EqualFold(parsed.String(), s) {
			t.Errorf("%q was taken for %v", s, parsed)
		}
	})
}
