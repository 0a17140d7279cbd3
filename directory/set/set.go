// Package set has immutable sets of named things, which are found by their key
// in a hash trie and walked in order of key in a tree of pages. A changed set
// shares with the former one all but the few nodes on the way to what changed,
// so that both may be used, by many goroutines at once, and a change of one
// item among a million copies a few kilobytes.
//
// The overhead is about 30 bytes an item. It is not a container for general
// use: items know their key, and a key is never empty.
package set

import (
	"hash/maphash"
	"iter"
)

// An Item is something in a set, usually a pointer. Its key never changes.
type Item interface {
	comparable
	Key() string
}

// A Set is immutable. The zero Set is empty.
type Set[T Item] struct {
	seed maphash.Seed // of hashes; set with the first item
	hash *branch[T]
	tree *page[T]
	size int
}

// Len returns the number of items.
func (s *Set[T]) Len() int { return s.size }

// Get returns the item called key, or the zero T. It allocates nothing.
func (s *Set[T]) Get(key string) T {
	if s.hash == nil {
		var none T
		return none
	}
	return s.hash.get(maphash.String(s.seed, key), key)
}

// From yields the items whose key is at or after from, in order.
func (s *Set[T]) From(from string) iter.Seq[T] {
	return func(yield func(T) bool) {
		if s.tree != nil {
			s.tree.walk(from, yield)
		}
	}
}

// All yields all items, in order of key.
func (s *Set[T]) All() iter.Seq[T] { return s.From("") }

// Edit returns an edit that begins with s, which it does not change.
func (s *Set[T]) Edit() *Edit[T] { return &Edit[T]{set: *s, owner: new(owner)} }

// An owner is who may change a node in place: the edit that made it.
type owner struct{ _ byte }

// An Edit makes a new set out of another. Nodes that it has made itself are
// changed in place. It is for one goroutine.
type Edit[T Item] struct {
	set   Set[T]
	owner *owner
}

// Len returns the number of items so far.
func (e *Edit[T]) Len() int { return e.set.size }

// Get returns the item called key as it is so far, or the zero T.
func (e *Edit[T]) Get(key string) T { return e.set.Get(key) }

// Put adds an item, or replaces the one of the same key.
func (e *Edit[T]) Put(item T) {
	s := &e.set
	if s.hash == nil {
		s.seed = maphash.MakeSeed()
		s.hash = &branch[T]{owner: e.owner}
		s.tree = &page[T]{owner: e.owner}
	}
	var added bool
	s.hash, added = s.hash.put(e.owner, s.seed, maphash.String(s.seed, item.Key()), 0, item)
	if added {
		s.size++
	}
	s.tree = s.tree.put(e.owner, item)
}

// Delete takes the item called key out and reports whether it was there.
func (e *Edit[T]) Delete(key string) bool {
	s := &e.set
	var none T
	if s.Get(key) == none {
		return false
	}
	if s.size--; s.size == 0 {
		e.set = Set[T]{}
		return true
	}
	s.hash = s.hash.delete(e.owner, maphash.String(s.seed, key), 0, key)
	s.tree = s.tree.delete(e.owner, key)
	return true
}

// Set returns what e has come to. Later changes to e do not show in it.
func (e *Edit[T]) Set() Set[T] {
	e.owner = new(owner)
	return e.set
}
