package set_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/gatehouse/gatehouse/directory/set"

	"pgregory.net/rapid"
)

type thing struct {
	key   string
	value int
}

func (t *thing) Key() string { return t.key }

// check compares a set with what it should be in every way it can be asked.
func check(t interface{ Fatalf(string, ...any) }, s *set.Set[*thing], want map[string]*thing, from string) {
	if s.Len() != len(want) {
		t.Fatalf("it has %d items; want %d", s.Len(), len(want))
	}
	for key, item := range want {
		if got := s.Get(key); got != item {
			t.Fatalf("Get(%q) = %v; want %v", key, got, item)
		}
	}
	if got := s.Get("not there"); got != nil {
		t.Fatalf("Get of what is not there = %v", got)
	}
	var sorted []*thing
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if key >= from {
			sorted = append(sorted, want[key])
		}
	}
	if got := slices.Collect(s.From(from)); !slices.Equal(got, sorted) {
		t.Fatalf("From(%q) = %d items, not the %d expected", from, len(got), len(sorted))
	}
}

func TestAgainstMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var s set.Set[*thing]
		want := map[string]*thing{}
		type version struct {
			set  set.Set[*thing]
			want map[string]*thing
		}
		var former []version
		span := rapid.SampledFrom([]int{20, 300, 5000}).Draw(t, "span")
		value := 0
		for range rapid.IntRange(1, 12).Draw(t, "edits") {
			former = append(former, version{s, maps.Clone(want)})
			edit := s.Edit()
			put := rapid.IntRange(0, 4).Draw(t, "more puts than deletes") > 0
			start := rapid.IntRange(0, span).Draw(t, "start")
			step := rapid.SampledFrom([]int{1, 7, 13}).Draw(t, "step")
			for i := range rapid.IntRange(0, 400).Draw(t, "changes") {
				key := fmt.Sprintf("k%05d", (start+i*step)%span)
				if put {
					value++
					want[key] = &thing{key, value}
					edit.Put(want[key])
				} else if edit.Delete(key) != (want[key] != nil) {
					t.Fatalf("Delete(%q) is wrong about whether it was there", key)
				} else {
					delete(want, key)
				}
			}
			s = edit.Set()
			check(t, &s, want, fmt.Sprintf("k%05d", start))
		}
		for i := range former {
			check(t, &former[i].set, former[i].want, "")
		}
	})
}

func TestDeleteAll(t *testing.T) {
	t.Parallel()
	for _, order := range []func(a, b int) int{cmp.Compare[int], func(a, b int) int { return b - a }, func(a, b int) int { return a*7919%10007 - b*7919%10007 }} {
		var s set.Set[*thing]
		edit := s.Edit()
		keys := make([]int, 10000)
		for i := range keys {
			keys[i] = i
			edit.Put(&thing{key: fmt.Sprint("k", i)})
		}
		slices.SortFunc(keys, order)
		left := map[string]*thing{}
		full := edit.Set()
		for item := range full.All() {
			left[item.key] = item
		}
		for n, i := range keys {
			key := fmt.Sprint("k", i)
			if !edit.Delete(key) {
				t.Fatalf("%q was not there", key)
			}
			delete(left, key)
			if n%997 == 0 {
				s := edit.Set()
				check(t, &s, left, "k5")
			}
		}
		if s := edit.Set(); edit.Len() != 0 || len(slices.Collect(s.All())) != 0 {
			t.Fatal("it is not empty")
		}
	}
}

func TestStopsWalking(t *testing.T) {
	t.Parallel()
	var s set.Set[*thing]
	edit := s.Edit()
	for i := range 1000 {
		edit.Put(&thing{key: fmt.Sprintf("%04d", i)})
	}
	s = edit.Set()
	n := 0
	for item := range s.From("0500") {
		if n++; item.key == "0700" {
			break
		}
	}
	if n != 201 {
		t.Fatalf("walked over %d items; want 201", n)
	}
}

func TestGetDoesNotAllocate(t *testing.T) {
	var s set.Set[*thing]
	edit := s.Edit()
	for i := range 1000 {
		edit.Put(&thing{key: fmt.Sprint(i)})
	}
	s = edit.Set()
	if n := testing.AllocsPerRun(100, func() { s.Get("500") }); n != 0 {
		t.Fatalf("Get allocates %v times", n)
	}
}

func million() set.Set[*thing] {
	edit := new(set.Set[*thing]).Edit()
	for i := range 1_000_000 {
		edit.Put(&thing{key: fmt.Sprintf("pump-%07d", i)})
	}
	return edit.Set()
}

func BenchmarkPut(b *testing.B) {
	s := million()
	things := make([]*thing, 1000)
	for i := range things {
		things[i] = &thing{key: fmt.Sprintf("pump-%07d", i*977)}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		edit := s.Edit()
		edit.Put(things[i%1000])
		s = edit.Set()
	}
}

func BenchmarkGet(b *testing.B) {
	s := million()
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprintf("pump-%07d", i*977)
	}
	for i := 0; b.Loop(); i++ {
		s.Get(keys[i%1000])
	}
}
