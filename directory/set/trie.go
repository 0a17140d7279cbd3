package set

import "hash/maphash"

// Shape of the trie: a leaf that would have more than maxLeaf items becomes a
// branch of fan leaves, by the next bits of their hashes.
const (
	fanBits = 4
	fan     = 1 << fanBits
	maxLeaf = 64
	maxBits = 64
)

// A branch is a node of the trie: a leaf as long as kids is nil.
type branch[T Item] struct {
	owner  *owner
	kids   *[fan]*branch[T]
	hashes []uint32 // of items: the high half
	items  []T
}

func high(h uint64) uint32 { return uint32(h >> 32) }

func (b *branch[T]) get(h uint64, key string) T {
	var none T
	for shift := 0; b.kids != nil; shift += fanBits {
		if b = b.kids[h>>shift&(fan-1)]; b == nil {
			return none
		}
	}
	for i, other := range b.hashes {
		if other == high(h) && b.items[i].Key() == key {
			return b.items[i]
		}
	}
	return none
}

// own returns b if o has made it, else a copy that o has made.
func (b *branch[T]) own(o *owner) *branch[T] {
	if b.owner == o {
		return b
	}
	c := &branch[T]{owner: o}
	if b.kids != nil {
		kids := *b.kids
		c.kids = &kids
		return c
	}
	c.hashes = append(make([]uint32, 0, len(b.hashes)+1), b.hashes...)
	c.items = append(make([]T, 0, len(b.items)+1), b.items...)
	return c
}

func (b *branch[T]) put(o *owner, seed maphash.Seed, h uint64, shift int, item T) (_ *branch[T], added bool) {
	b = b.own(o)
	if b.kids != nil {
		slot := &b.kids[h>>shift&(fan-1)]
		if *slot == nil {
			*slot = &branch[T]{owner: o}
		}
		*slot, added = (*slot).put(o, seed, h, shift+fanBits, item)
		return b, added
	}
	if i := b.index(h, item.Key()); i >= 0 {
		b.items[i] = item
		return b, false
	}
	b.hashes, b.items = append(b.hashes, high(h)), append(b.items, item)
	if len(b.items) > maxLeaf && shift+fanBits < maxBits {
		b.split(o, seed, shift)
	}
	return b, true
}

func (b *branch[T]) index(h uint64, key string) int {
	for i, other := range b.hashes {
		if other == high(h) && b.items[i].Key() == key {
			return i
		}
	}
	return -1
}

// split makes a leaf a branch.
func (b *branch[T]) split(o *owner, seed maphash.Seed, shift int) {
	b.kids = new([fan]*branch[T])
	for i, item := range b.items {
		slot := &b.kids[maphash.String(seed, item.Key())>>shift&(fan-1)]
		if *slot == nil {
			*slot = &branch[T]{owner: o}
		}
		(*slot).hashes, (*slot).items = append((*slot).hashes, b.hashes[i]), append((*slot).items, item)
	}
	b.hashes, b.items = nil, nil
}

// delete takes out an item that is there. Leaves that become empty go; a branch
// stays one, so that a set that shrinks keeps some of its nodes.
func (b *branch[T]) delete(o *owner, h uint64, shift int, key string) *branch[T] {
	b = b.own(o)
	if b.kids != nil {
		slot := &b.kids[h>>shift&(fan-1)]
		*slot = (*slot).delete(o, h, shift+fanBits, key)
		for _, kid := range b.kids {
			if kid != nil {
				return b
			}
		}
		return nil
	}
	i, last := b.index(h, key), len(b.items)-1
	var none T
	b.hashes[i], b.items[i] = b.hashes[last], b.items[last]
	b.items[last] = none
	b.hashes, b.items = b.hashes[:last], b.items[:last]
	if last == 0 {
		return nil
	}
	return b
}
