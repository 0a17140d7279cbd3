package set

import "sort"

// maxPage is how many items, or pages, a page holds.
const maxPage = 64

// A page is a node of the ordered tree: a leaf has items, another has kids,
// each with a key that none of its own is less than, and none of the kid
// before reaches.
type page[T Item] struct {
	owner *owner
	items []T
	kids  []*page[T]
	lows  []string
}

func (p *page[T]) size() int { return len(p.items) + len(p.kids) }

// child returns the index of the kid where key belongs.
func (p *page[T]) child(key string) int {
	return max(sort.Search(len(p.lows), func(i int) bool { return p.lows[i] > key })-1, 0)
}

// place returns the index of the first item at or after key.
func (p *page[T]) place(key string) int {
	return sort.Search(len(p.items), func(i int) bool { return p.items[i].Key() >= key })
}

// walk yields the items from a key on and reports whether to go on.
func (p *page[T]) walk(from string, yield func(T) bool) bool {
	if p.kids == nil {
		for _, item := range p.items[p.place(from):] {
			if !yield(item) {
				return false
			}
		}
		return true
	}
	for _, kid := range p.kids[p.child(from):] {
		if !kid.walk(from, yield) {
			return false
		}
		from = ""
	}
	return true
}

func (p *page[T]) own(o *owner) *page[T] {
	if p.owner == o {
		return p
	}
	return &page[T]{owner: o, items: copied(p.items), kids: copied(p.kids), lows: copied(p.lows)}
}

// copied copies s with room for one more; nothing stays nil.
func copied[E any](s []E) []E {
	if s == nil {
		return nil
	}
	return append(make([]E, 0, len(s)+1), s...)
}

// put returns the root of the tree with item in it.
func (p *page[T]) put(o *owner, item T) *page[T] {
	left, right := p.insert(o, item)
	if right == nil {
		return left
	}
	return &page[T]{owner: o, kids: []*page[T]{left, right}, lows: []string{"", right.low()}}
}

func (p *page[T]) low() string {
	if p.kids != nil {
		return p.lows[0]
	}
	return p.items[0].Key()
}

// insert puts item into p, which is split in two if it is full.
func (p *page[T]) insert(o *owner, item T) (left, right *page[T]) {
	p = p.own(o)
	key := item.Key()
	if p.kids == nil {
		i := p.place(key)
		if i < len(p.items) && p.items[i].Key() == key {
			p.items[i] = item
			return p, nil
		}
		p.items = insertAt(p.items, i, item)
		return p.split(o, i)
	}
	i := p.child(key)
	kid, more := p.kids[i].insert(o, item)
	p.kids[i] = kid
	if more == nil {
		return p, nil
	}
	p.kids, p.lows = insertAt(p.kids, i+1, more), insertAt(p.lows, i+1, more.low())
	return p.split(o, i+1)
}

func insertAt[E any](s []E, i int, e E) []E {
	var zero E
	s = append(s, zero)
	copy(s[i+1:], s[i:])
	s[i] = e
	return s
}

// split halves a page that has become too full by what was put at i. What
// grows at its end, as when sorted items come one by one, leaves full pages
// behind.
func (p *page[T]) split(o *owner, i int) (left, right *page[T]) {
	n := p.size()
	if n <= maxPage {
		return p, nil
	}
	at := n / 2
	if i == n-1 {
		at = n - 1
	}
	right = &page[T]{owner: o}
	if p.kids == nil {
		right.items = append([]T(nil), p.items[at:]...)
		clear(p.items[at:])
		p.items = p.items[:at:at]
		return p, right
	}
	right.kids, right.lows = append([]*page[T](nil), p.kids[at:]...), append([]string(nil), p.lows[at:]...)
	clear(p.kids[at:])
	clear(p.lows[at:])
	p.kids, p.lows = p.kids[:at:at], p.lows[:at:at]
	return p, right
}

// delete returns the root of the tree without the item called key, which is
// there and is not the last one.
func (p *page[T]) delete(o *owner, key string) *page[T] {
	p = p.remove(o, key)
	for len(p.kids) == 1 {
		p = p.kids[0]
	}
	return p
}

// remove takes an item out; pages that become small are joined with the next.
func (p *page[T]) remove(o *owner, key string) *page[T] {
	p = p.own(o)
	if p.kids == nil {
		i := p.place(key)
		p.items = removeAt(p.items, i)
		return p
	}
	i := p.child(key)
	p.kids[i] = p.kids[i].remove(o, key)
	if p.kids[i].size() <= maxPage/4 {
		p.join(o, i)
	}
	return p
}

func removeAt[E any](s []E, i int) []E {
	var zero E
	copy(s[i:], s[i+1:])
	s[len(s)-1] = zero
	return s[:len(s)-1]
}

// join puts the kid at i together with a neighbour, if both fit into a page.
func (p *page[T]) join(o *owner, i int) {
	if i > 0 && p.kids[i-1].size()+p.kids[i].size() <= maxPage*3/4 {
		i--
	} else if i+1 >= len(p.kids) || p.kids[i].size()+p.kids[i+1].size() > maxPage*3/4 {
		p.dropEmpty(i)
		return
	}
	left, right := p.kids[i].own(o), p.kids[i+1]
	left.items = append(left.items, right.items...)
	if right.kids != nil {
		left.kids, left.lows = append(left.kids, right.kids...), append(left.lows, right.lows...)
		left.lows[len(left.lows)-len(right.lows)] = p.lows[i+1]
	}
	p.kids[i] = left
	p.kids, p.lows = removeAt(p.kids, i+1), removeAt(p.lows, i+1)
}

func (p *page[T]) dropEmpty(i int) {
	if p.kids[i].size() > 0 || len(p.kids) == 1 {
		return
	}
	p.kids, p.lows = removeAt(p.kids, i), removeAt(p.lows, i)
	if i == 0 {
		p.lows[0] = ""
	}
}
