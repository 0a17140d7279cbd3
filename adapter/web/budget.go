package web

import "sync"

// A budget bounds what is under way: how many things, and how many bytes. One
// thing is always allowed.
type budget struct {
	things, bytes int // at most

	mu    sync.Mutex
	freed sync.Cond
	count int
	size  int
}

func newBudget(things, bytes int) *budget {
	b := &budget{things: things, bytes: bytes}
	b.freed.L = &b.mu
	return b
}

// take waits until there is room for a thing of the given size.
func (b *budget) take(size int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.count > 0 && (b.count >= b.things || b.size+size > b.bytes) {
		b.freed.Wait()
	}
	b.count++
	b.size += size
}

// give gives the room back.
func (b *budget) give(size int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count--
	b.size -= size
	b.freed.Signal()
}
