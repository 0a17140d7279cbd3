package memory

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSorted compares a sorted map, and snapshots of it, with plain maps.
func TestSorted(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := newSorted[int, int](cmp.Compare[int])
		model := make(map[int]int)
		type picture struct {
			sorted sorted[int, int]
			model  map[int]int
		}
		var pictures []picture
		span := []int{50, 500, 5000}[seed%3]
		for step := range 20_000 {
			k := r.IntN(span)
			switch grow := step/3000%2 == 0; {
			case step%997 == 0:
				pictures = append(pictures, picture{s.snapshot(), maps.Clone(model)})
			case grow == (r.IntN(4) > 0):
				s.set(k, step)
				model[k] = step
			default:
				v, ok := s.delete(k)
				if want, had := model[k]; v != want || ok != had {
					t.Fatalf("seed %d: delete of %d: %d, %v; want %d, %v", seed, k, v, ok, want, had)
				}
				delete(model, k)
			}
		}
		pictures = append(pictures, picture{s, model})
		for i, p := range pictures {
			from := r.IntN(span)
			for _, from := range []int{0, from, span} {
				compareSorted(t, &p.sorted, p.model, from)
			}
			if t.Failed() {
				t.Fatalf("seed %d, picture %d", seed, i)
			}
		}
	}
}

func compareSorted(t *testing.T, s *sorted[int, int], model map[int]int, from int) {
	t.Helper()
	if s.n != len(model) {
		t.Errorf("%d entries, want %d", s.n, len(model))
	}
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(model)), func(k int) bool { return k < from })
	i := 0
	for k, v := range s.from(from) {
		if i == len(keys) || k != keys[i] || v != model[k] {
			t.Errorf("from %d: entry %d is %d: %d", from, i, k, v)
			return
		}
		if got, ok := s.get(k); !ok || got != v {
			t.Errorf("get of %d: %d, %v; want %d", k, got, ok, v)
		}
		i++
	}
	if i != len(keys) {
		t.Errorf("from %d: %d entries, want %d", from, i, len(keys))
	}
}
