package inbox

import (
	"cmp"
	"slices"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// The engine tells of every put once it is durable, before the commit's Done.
// What this node put itself comes with its message in that Done, so told only
// makes room for it (a stub): it need not be read back. A put that no Done
// claims was another node's, and is read from disk.

// news is what was told and may yet be claimed, in order of offset.
type news struct {
	queue    []piece
	head     int
	prepared uint64 // ops with puts given to the engine so far
	done     uint64 // of those, with an outcome
}

type piece struct {
	box      *box
	off      gatehouse.Offset
	prepared uint64 // when it was told: once these are done nobody will claim it
	claimed  bool
}

// told is the engine's callback.
func (sh *shard) told(queue string, e engine.Envelope) {
	q, ok := parseQueue(queue)
	if !ok {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if u := sh.usages[q]; u != nil {
		u.told(e.Offset, e.Size)
	}
	b := sh.boxes[q]
	if b == nil {
		return
	}
	b.feed.told(&e)
	n := &sh.news
	if n.head == len(n.queue) {
		n.queue, n.head = n.queue[:0], 0
	} else if n.head > 1024 && n.head > len(n.queue)/2 {
		n.queue, n.head = slices.Delete(n.queue, 0, n.head), 0
	}
	n.queue = append(n.queue, piece{box: b, off: e.Offset, prepared: n.prepared})
	sh.unclaimed()
}

// told makes room for a message.
func (f *feed) told(e *engine.Envelope) {
	if e.Offset <= f.cursor {
		return
	}
	if !f.caughtUp || !f.hasRoom(e.Size) {
		f.caughtUp, f.more = false, true
		return
	}
	f.cursor = e.Offset
	v := entry{off: e.Offset, enqueued: e.Enqueued, expires: e.Expires, notBefore: e.NotBefore, size: int32(e.Size), stub: true}
	if e.NotBefore > time.Now().UnixNano() {
		f.box.hide(v)
		return
	}
	f.push(v)
}

// unclaimed has read what no Done will bring.
func (sh *shard) unclaimed() {
	n := &sh.news
	for n.head < len(n.queue) && n.queue[n.head].prepared <= n.done {
		p := n.queue[n.head]
		n.queue[n.head] = piece{}
		n.head++
		if p.claimed || p.box.closed {
			continue
		}
		b := p.box
		if e := b.feed.at(p.off); e != nil {
			e.stub = false
		}
		now := time.Now().UnixNano()
		b.feeds(func(f *feed) {
			if f.session != nil {
				f.caughtUp, f.more = false, true
			}
			f.serve(now)
		})
		b.wakeAccepter(p.off)
	}
}

// arrived hands over a message that this node put.
func (sh *shard) arrived(q qkey, o gatehouse.Offset, m *gatehouse.Message, now int64) {
	b := sh.boxes[q]
	if b == nil {
		return
	}
	n := &sh.news
	i, ok := slices.BinarySearchFunc(n.queue[n.head:], o, func(p piece, o gatehouse.Offset) int { return cmp.Compare(p.off, o) })
	if ok {
		n.queue[n.head+i].claimed = true
	}
	f := &b.feed
	e := f.at(o)
	if e != nil && e.stub {
		e.msg, e.stub = m, false
		f.count(int64(e.size))
	}
	if m.Group != "" && len(b.sessions)+len(b.accepters) > 0 {
		b.arrivedInGroup(o, m, e, now)
	}
	f.serve(now)
}

// arrivedInGroup hands a message over to the session of its group.
func (b *box) arrivedInGroup(o gatehouse.Offset, m *gatehouse.Message, e *entry, now int64) {
	s := b.sessions[m.Group]
	if s == nil {
		b.wakeAccepter(o)
		return
	}
	f := &s.feed
	switch {
	case o <= f.cursor:
	case e != nil && e.msg != nil && f.caughtUp && f.hasRoom(int(e.size)):
		f.cursor = o
		f.push(*e)
	default:
		f.caughtUp, f.more = false, true
	}
	f.serve(now)
}
