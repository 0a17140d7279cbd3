package memory

import (
	"iter"
	"slices"
)

// chunkLength is how many entries a chunk has at most.
const chunkLength = 128

// A sorted is an ordered map: a list of chunks of sorted entries. A snapshot
// costs nothing but a copy of each chunk that is changed after it.
type sorted[K, V any] struct {
	compare func(K, K) int
	chunks  []*chunk[K, V] // none is empty
	n       int
	epoch   uint64 // grows with each snapshot; older chunks are not to be changed
	shared  bool   // chunks itself is a snapshot's too
}

type chunk[K, V any] struct {
	epoch   uint64
	entries []entry[K, V]
}

type entry[K, V any] struct {
	key   K
	value V
}

func newSorted[K, V any](compare func(K, K) int) sorted[K, V] { return sorted[K, V]{compare: compare} }

// snapshot returns s as it is now, to be read only, by anybody.
func (s *sorted[K, V]) snapshot() sorted[K, V] {
	s.epoch++
	s.shared = true
	return *s
}

// find returns the chunk that has k or where it belongs, and the place in it.
func (s *sorted[K, V]) find(k K) (c, i int, ok bool) {
	c, ok = slices.BinarySearchFunc(s.chunks, k, func(c *chunk[K, V], k K) int { return s.compare(c.entries[0].key, k) })
	if ok {
		return c, 0, true
	}
	if c == 0 {
		return 0, 0, false
	}
	c--
	i, ok = slices.BinarySearchFunc(s.chunks[c].entries, k, func(e entry[K, V], k K) int { return s.compare(e.key, k) })
	return c, i, ok
}

func (s *sorted[K, V]) get(k K) (v V, ok bool) {
	c, i, ok := s.find(k)
	if !ok {
		return v, false
	}
	return s.chunks[c].entries[i].value, true
}

func (s *sorted[K, V]) set(k K, v V) {
	c, i, ok := s.find(k)
	if ok {
		s.own(c).entries[i].value = v
		return
	}
	s.n++
	e := entry[K, V]{k, v}
	switch {
	case len(s.chunks) == 0:
		s.insert(0, []entry[K, V]{e})
	case len(s.chunks[c].entries) < chunkLength:
		w := s.own(c)
		w.entries = slices.Insert(w.entries, i, e)
	case i == chunkLength:
		s.insert(c+1, append(make([]entry[K, V], 0, chunkLength/4), e))
	default:
		w := s.own(c)
		half := slices.Clone(w.entries[chunkLength/2:])
		clear(w.entries[chunkLength/2:])
		w.entries = w.entries[:chunkLength/2]
		s.insert(c+1, half)
		if i > chunkLength/2 {
			c, i = c+1, i-chunkLength/2
		}
		w = s.chunks[c]
		w.entries = slices.Insert(w.entries, i, e)
	}
}

func (s *sorted[K, V]) delete(k K) (v V, ok bool) {
	c, i, ok := s.find(k)
	if !ok {
		return v, false
	}
	s.n--
	w := s.own(c)
	v = w.entries[i].value
	w.entries = slices.Delete(w.entries, i, i+1)
	switch {
	case len(w.entries) == 0:
		s.chunks = slices.Delete(s.chunks, c, c+1)
	case len(w.entries) < chunkLength/4 && c+1 < len(s.chunks) && len(s.chunks[c+1].entries) < chunkLength/2:
		w.entries = append(w.entries, s.chunks[c+1].entries...)
		s.chunks = slices.Delete(s.chunks, c+1, c+2)
	}
	return v, true
}

// from returns the entries whose key is at least k, in order. s must not change
// meanwhile: take a snapshot, or hold the lock.
func (s *sorted[K, V]) from(k K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		c, i, _ := s.find(k)
		for ; c < len(s.chunks); c++ {
			entries := s.chunks[c].entries
			for ; i < len(entries); i++ {
				if !yield(entries[i].key, entries[i].value) {
					return
				}
			}
			i = 0
		}
	}
}

// own makes chunk c and the list of chunks safe to change.
func (s *sorted[K, V]) own(c int) *chunk[K, V] {
	s.ownList()
	w := s.chunks[c]
	if w.epoch != s.epoch {
		w = &chunk[K, V]{epoch: s.epoch, entries: slices.Clone(w.entries)}
		s.chunks[c] = w
	}
	return w
}

func (s *sorted[K, V]) ownList() {
	if s.shared {
		s.chunks, s.shared = slices.Clone(s.chunks), false
	}
}

func (s *sorted[K, V]) insert(at int, entries []entry[K, V]) {
	s.ownList()
	s.chunks = slices.Insert(s.chunks, at, &chunk[K, V]{epoch: s.epoch, entries: entries})
}
