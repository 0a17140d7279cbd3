package inbox

import (
	"slices"
	"time"

	"github.com/gatehouse/gatehouse"
)

// Bounds of a window.
const (
	maxReady      = 1024      // messages
	maxReadyBytes = 256 << 10 // of bodies, above which nothing is read ahead
	lowWater      = 32        // messages below which it is read ahead
)

// An entry is an available message in a window.
type entry struct {
	off      gatehouse.Offset
	msg      *gatehouse.Message // nil: not read yet
	enqueued int64
	expires  int64
	// notBefore is kept for a message that is returned.
	notBefore int64
	size      int32
	stub      bool // the commit that put it is about to bring msg
}

// A feed hands the available messages of a box to receivers, in order: of the
// whole box, or of one group for a session. Its window holds the first messages
// not yet handed out, in order; what is behind the cursor is still on disk.
type feed struct {
	box      *box
	session  *session // nil: the main feed
	ready    []entry  // from head
	head     int
	bytes    int64            // of bodies in ready
	cursor   gatehouse.Offset // of the last record looked at
	caughtUp bool             // there is nothing behind the cursor
	loading  bool             // queued for a loader, or being read
	more     bool             // something was put while reading
	full     bool             // the last page was as long as asked: more is likely
	ahead    int              // messages to read next
	gen      uint32           // changes when the cursor goes back
	first    *waiter
	last     *waiter
}

// A waiter is a receiver at a feed, served in order of arrival.
type waiter struct {
	next, prev *waiter
	feed       *feed
	max        int
	lock       time.Duration
	remove     bool // receive and delete
	noWait     bool
	waiting    bool // in the feed's list
	got        []*Delivery
	bytes      int     // of bodies in got
	locks      []*lock // with remove
	err        error
	done       chan struct{} // has a token once it is served
	later      *Waiting      // told instead of done
}

func (f *feed) window() []entry { return f.ready[f.head:] }

func (f *feed) wait(w *waiter) {
	w.feed, w.waiting, w.prev, w.next = f, true, f.last, nil
	if f.last == nil {
		f.first = w
	} else {
		f.last.next = w
	}
	f.last = w
}

func (w *waiter) leave() {
	if !w.waiting {
		return
	}
	f := w.feed
	if w.prev == nil {
		f.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		f.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.next, w.prev, w.waiting = nil, nil, false
}

// finish ends the wait of w.
func (w *waiter) finish() {
	w.leave()
	if w.later != nil {
		go w.later.served()
		return
	}
	w.done <- struct{}{}
}

// fail ends the wait of all with err.
func (f *feed) fail(err error) {
	for f.first != nil {
		w := f.first
		w.err = err
		w.finish()
	}
}

// clear empties the window.
func (f *feed) clear() {
	f.box.shard.cached -= f.bytes
	f.bytes, f.ready, f.head = 0, nil, 0
	f.caughtUp = false
	f.gen++
}

// hasRoom reports whether a message of the given size may be kept in memory
// before it is asked for.
func (f *feed) hasRoom(size int) bool {
	if len(f.window()) == 0 && f.first != nil {
		return true
	}
	return len(f.window()) < maxReady && f.bytes+int64(size) <= maxReadyBytes && f.box.shard.cached < maxCached
}

// push appends an entry behind all others.
func (f *feed) push(e entry) {
	if f.head > 0 && len(f.ready) == cap(f.ready) {
		n := copy(f.ready, f.ready[f.head:])
		clear(f.ready[n:])
		f.ready, f.head = f.ready[:n], 0
	}
	f.ready = append(f.ready, e)
	if e.msg != nil {
		f.count(int64(e.size))
	}
}

func (f *feed) count(bytes int64) {
	f.bytes += bytes
	f.box.shard.cached += bytes
}

// pop takes the first entry out.
func (f *feed) pop() {
	e := &f.ready[f.head]
	if e.msg != nil {
		f.count(-int64(e.size))
	}
	*e = entry{}
	f.head++
	if f.head < len(f.ready) {
		return
	}
	f.head = 0
	if cap(f.ready) > 64 {
		f.ready = nil
	}
	f.ready = f.ready[:0]
}

// at returns the entry of o in the window, or nil.
func (f *feed) at(o gatehouse.Offset) *entry {
	i, ok := search(f.window(), o)
	if !ok {
		return nil
	}
	return &f.ready[f.head+i]
}

// remove takes the entry of o out of the window, if it is there.
func (f *feed) remove(o gatehouse.Offset) {
	i, ok := search(f.window(), o)
	if !ok {
		return
	}
	if i == 0 {
		f.pop()
		return
	}
	if f.ready[f.head+i].msg != nil {
		f.count(-int64(f.ready[f.head+i].size))
	}
	f.ready = slices.Delete(f.ready, f.head+i, f.head+i+1)
}

// insert puts an entry that was handed out before back to its place. If it is
// behind the cursor it will be found there.
func (f *feed) insert(e entry) {
	if e.off > f.cursor {
		return
	}
	i, dup := search(f.window(), e.off)
	switch {
	case dup:
		return
	case i == 0 && f.head > 0:
		f.head--
		f.ready[f.head] = e
	default:
		f.ready = slices.Insert(f.ready, f.head+i, e)
	}
	if e.msg != nil {
		f.count(int64(e.size))
	}
	if w := f.window(); len(w) > maxReady {
		f.cut(maxReady / 2)
	}
}

// cut shortens the window to its first n entries; the others will be read
// again.
func (f *feed) cut(n int) {
	w := f.window()
	for i := n; i < len(w); i++ {
		if w[i].msg != nil {
			f.count(-int64(w[i].size))
		}
		w[i] = entry{}
	}
	f.ready = f.ready[:f.head+n]
	if n > 0 {
		f.cursor = w[n-1].off
	}
	f.caughtUp, f.full = false, true
	f.gen++
}

// rewind has everything behind o read again.
func (f *feed) rewind(o gatehouse.Offset) {
	if o >= f.cursor {
		return
	}
	n, found := search(f.window(), o)
	if found {
		n++
	}
	f.cut(n)
	f.cursor = o
}

// serve hands out what is available to those who wait, and has more read if
// that is called for.
func (f *feed) serve(now int64) {
	f.handOut(now)
	if f.wantsLoad() {
		f.box.shard.load(f)
	}
	if f.caughtUp && len(f.window()) == 0 || f.heldUp() {
		for w := f.first; w != nil; {
			next := w.next
			if w.noWait {
				w.finish()
			}
			w = next
		}
	}
}

// serveHere is serve for a receiver whose caller may read what it needs from
// disk. sh.mu is let go meanwhile.
func (f *feed) serveHere(w *waiter, now int64) {
	f.handOut(now)
	if !w.waiting || !f.wantsLoad() || !f.box.shard.loadHere(f) {
		f.serve(now)
	}
}

// handOut hands out what is available to those who wait.
func (f *feed) handOut(now int64) {
	for f.first != nil && f.fill(f.first, now) {
		f.first.finish()
	}
}

// fill gives w what is available and reports whether that was anything.
func (f *feed) fill(w *waiter, now int64) bool {
	for len(w.got) < w.max && w.bytes < MaxReceiveBytes {
		e := f.next(now)
		if e == nil {
			break
		}
		f.give(w, e, now)
	}
	return len(w.got) > 0
}

// next returns the first entry if it can be handed out now, and takes out of
// the window what is not for this feed.
func (f *feed) next(now int64) *entry {
	b := f.box
	if f.heldUp() {
		return nil
	}
	for f.head < len(f.ready) {
		e := &f.ready[f.head]
		switch {
		case e.expires != 0 && e.expires <= now:
			b.shard.overdue = true
			poke(b.shard.broom)
		case e.msg == nil:
			return nil
		case f.session != nil:
			if e.msg.Group == f.session.group {
				return e
			}
		default:
			s := b.sessionOf(e.msg)
			if s == nil {
				return e
			}
			s.pass(e.off)
		}
		f.pop()
	}
	return nil
}

// heldUp reports whether an earlier message of the session's group may come back:
// see box.delay.
func (f *feed) heldUp() bool {
	return f.session != nil && len(f.box.late) > 0 && f.box.late[f.session.group] > 0
}

// give locks the first entry for w.
func (f *feed) give(w *waiter, e *entry, now int64) {
	b := f.box
	d := &Delivery{Message: e.msg, Sequence: e.off, Enqueued: unixTime(e.enqueued), Expires: unixTime(e.expires)}
	l := b.take(e, leaving)
	l.session = f.session
	d.Count = l.count
	if w.remove {
		w.locks = append(w.locks, l)
	} else {
		b.lock(l, f.session, w.lock, now)
		d.Lock, d.LockedUntil = l.token, unixTime(l.until())
	}
	f.pop()
	if f.session != nil {
		b.feed.remove(l.off)
	}
	w.got, w.bytes = append(w.got, d), w.bytes+len(d.Message.Body)
}

// lock gives a message that was taken to a receiver.
func (b *box) lock(l *lock, s *session, length time.Duration, now int64) {
	l.state, l.session, l.length = locked, s, length
	l.token = newToken(l.off)
	if s == nil {
		l.timer.owner = l
		b.shard.at(&l.timer, now+int64(length))
	}
}

// wantsLoad reports whether something should be read from disk now.
func (f *feed) wantsLoad() bool {
	if f.loading || f.box.closed {
		return false
	}
	if w := f.window(); len(w) > 0 {
		if w[0].msg == nil {
			return !w[0].stub && f.first != nil
		}
		if len(w) >= lowWater {
			return false
		}
	}
	if f.caughtUp {
		return false
	}
	if f.first != nil {
		return true
	}
	return f.full && f.ahead > 0 && f.bytes < maxReadyBytes/2 && f.box.shard.cached < maxCached
}
