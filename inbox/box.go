package inbox

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// maxHidden is how many scheduled messages of an inbox are tracked one by one.
const maxHidden = 1024

// A box is an inbox, or a dead-letter queue, that is in use or was lately. It
// exists while somebody holds it: receivers, locks, sessions, reads from disk.
//
// Each record of the queue is in exactly one place: behind a feed's cursor and
// not looked at; in its window; taken; hidden; deferred; or passed over by the
// main feed because its group is locked by a session, which remembers the
// first of these.
type box struct {
	shard *shard
	key   qkey
	queue string

	refs      int
	idleSince int64
	resting   bool
	prev      *box
	next      *box
	closed    bool // forgotten or deleted; in no map
	opened    bool // marks are read
	opening   chan struct{}

	policy    Policy
	feed      feed // for all but the groups of sessions
	sessions  map[string]*session
	accepters []*accepter      // in order of arrival
	accept    gatehouse.Offset // no free group has an available message before it; of meaning while there are accepters
	taken     map[gatehouse.Offset]*lock
	marks     map[gatehouse.Offset]mark
	hidden    map[gatehouse.Offset]*hidden
	again     rescan
	late      map[string]int // locks that are late, by group

	reading int                           // pages being read
	gone    map[gatehouse.Offset]struct{} // removed since the first of them was begun
}

// A hidden is a scheduled message.
type hidden struct {
	timer timer
	box   *box
	entry entry
}

// A rescan brings back the scheduled messages that are not tracked.
type rescan struct {
	timer timer
	box   *box
	low   gatehouse.Offset
}

// open reads the marks of the box.
func (b *box) open() error {
	b.shard.mu.Lock()
	b.reading++
	b.shard.mu.Unlock()
	marks := make(map[gatehouse.Offset]mark)
	prefix := b.key.marksPrefix()
	err := b.shard.state.Scan(prefix, func(key string, value []byte) bool {
		o, attributes, ok := parseMark(key[len(prefix):])
		m := marks[o]
		if ok && attributes {
			m.attributes = true // its row comes behind that of the mark
		} else if ok {
			m, ok = parseMarkValue(value)
		}
		if !ok {
			b.shard.set.opts.Logger.Error("a row about a message cannot be read; its deliveries are counted from zero", "inbox", b.queue, "row", key)
			return true
		}
		marks[o] = m
		return true
	})
	b.shard.mu.Lock()
	defer b.shard.mu.Unlock()
	if len(marks) > 0 {
		for o := range b.gone {
			delete(marks, o)
		}
		maps.Copy(marks, b.marks)
		b.marks = marks
	}
	b.read()
	return err
}

// read ends the reading of a page.
func (b *box) read() {
	b.reading--
	if b.reading == 0 {
		b.gone = nil
	}
}

// known reports whether the message is in a place of its own, so that whoever
// comes upon it in the queue passes it over.
func (b *box) known(o gatehouse.Offset) bool {
	if _, ok := b.gone[o]; ok {
		return true
	}
	if _, ok := b.taken[o]; ok {
		return true
	}
	if _, ok := b.hidden[o]; ok {
		return true
	}
	return len(b.marks) > 0 && b.marks[o].deferred
}

// feeds calls visit for the main feed and that of each session.
func (b *box) feeds(visit func(*feed)) {
	visit(&b.feed)
	for _, s := range b.sessions {
		visit(&s.feed)
	}
}

// take marks a message as not available.
func (b *box) take(e *entry, state lockState) *lock {
	l := &lock{
		box: b, off: e.off, state: state, size: int(e.size), count: b.marks[e.off].count + 1,
		enqueued: e.enqueued, expires: e.expires, notBefore: e.notBefore,
	}
	if e.msg != nil {
		l.grouped, l.group = true, e.msg.Group
	}
	if b.taken == nil {
		b.taken = make(map[gatehouse.Offset]*lock)
	}
	b.taken[e.off] = l
	b.retain()
	return l
}

// withdraw takes a message out of all windows and returns its lock, in state
// leaving; nil if it is taken already.
func (b *box) withdraw(e *entry) *lock {
	if b.taken[e.off] != nil {
		return nil
	}
	b.feeds(func(f *feed) { f.remove(e.off) })
	if h := b.hidden[e.off]; h != nil {
		b.shard.timers.remove(&h.timer)
		delete(b.hidden, e.off)
	}
	return b.take(e, leaving)
}

// untake ends l.
func (b *box) untake(l *lock) {
	b.shard.timers.remove(&l.timer)
	b.punctual(l)
	if b.taken[l.off] == l {
		delete(b.taken, l.off)
		b.shard.drop(b)
	}
}

// delay notes that the session of l has ended and its outcome is not durable: the
// next session of the group gets nothing until it is, or what comes back would
// come out of its order.
func (b *box) delay(l *lock) {
	l.late = true
	if b.late == nil {
		b.late = make(map[string]int)
	}
	b.late[l.group]++
}

// punctual ends the delay of l.
func (b *box) punctual(l *lock) {
	if !l.late {
		return
	}
	l.late = false
	if b.late[l.group]--; b.late[l.group] > 0 {
		return
	}
	delete(b.late, l.group)
	if s := b.sessions[l.group]; s != nil {
		s.feed.serve(time.Now().UnixNano())
	}
}

// removed ends l: its message is gone.
func (b *box) removed(l *lock) {
	if b.reading > 0 {
		if b.gone == nil {
			b.gone = make(map[gatehouse.Offset]struct{})
		}
		b.gone[l.off] = struct{}{}
	}
	if b.shard.vanished != nil {
		b.shard.vanished[engine.Ref{Queue: b.queue, Offset: l.off}] = struct{}{}
	}
	delete(b.marks, l.off)
	if u := b.shard.usages[b.key]; u != nil {
		u.removed(l.off, l.size)
	}
	b.untake(l)
}

// restore ends l and makes its message available again.
func (b *box) restore(l *lock, now int64) {
	b.retain() // untake may be the last to hold b
	late := l.late
	l.late = false // until the message is in its place
	b.untake(l)
	if !b.closed && !b.marks[l.off].deferred {
		b.put(entry{off: l.off, size: int32(l.size), enqueued: l.enqueued, expires: l.expires, notBefore: l.notBefore}, l.grouped, l.group, now)
	}
	l.late = late
	b.punctual(l)
	b.shard.drop(b)
}

// put makes a message available to those it may concern.
func (b *box) put(e entry, grouped bool, group string, now int64) {
	if e.notBefore > now {
		b.hide(e)
		return
	}
	if grouped {
		if s := b.sessions[group]; s != nil {
			s.pass(e.off)
			s.feed.insert(e)
			s.feed.serve(now)
			return
		}
		b.feed.insert(e)
		b.feed.serve(now)
		if group != "" {
			b.wakeAccepter(e.off)
		}
		return
	}
	b.feeds(func(f *feed) { f.insert(e); f.serve(now) })
	b.wakeAccepter(e.off)
}

// hide keeps a message until its time: the soonest maxHidden/2 or more one by
// one, of the others only when the queue is to be looked through again.
func (b *box) hide(e entry) {
	if b.hidden[e.off] != nil {
		return
	}
	if len(b.hidden) >= maxHidden {
		b.shed()
	}
	if b.again.timer.pos != 0 && e.notBefore >= b.again.timer.at {
		b.again.add(e.off, e.notBefore)
		return
	}
	h := &hidden{box: b, entry: e}
	h.entry.msg, h.entry.stub = nil, false
	h.timer.owner = h
	if b.hidden == nil {
		b.hidden = make(map[gatehouse.Offset]*hidden)
	}
	b.hidden[e.off] = h
	b.shard.at(&h.timer, e.notBefore)
}

// shed stops tracking the later half of the scheduled messages.
func (b *box) shed() {
	all := slices.SortedFunc(maps.Values(b.hidden), func(x, y *hidden) int { return cmp.Compare(x.timer.at, y.timer.at) })
	b.again.box, b.again.timer.owner = b, &b.again
	for _, h := range all[len(all)/2:] {
		b.shard.timers.remove(&h.timer)
		delete(b.hidden, h.entry.off)
		b.again.add(h.entry.off, h.entry.notBefore)
	}
}

// add notes a message that is not tracked.
func (r *rescan) add(o gatehouse.Offset, notBefore int64) {
	if r.low == 0 || o < r.low {
		r.low = o
	}
	if r.timer.pos == 0 || notBefore < r.timer.at {
		r.box.shard.at(&r.timer, notBefore)
	}
}

// show makes a scheduled message available.
func (h *hidden) show(now int64) {
	delete(h.box.hidden, h.entry.off)
	h.box.put(h.entry, false, "", now)
}

// run looks through the queue again from the first message not tracked.
func (r *rescan) run(now int64) {
	low := r.low
	r.low = 0
	r.box.feeds(func(f *feed) { f.rewind(low - 1); f.serve(now) })
}

// rowsOfRemoved appends to rows the deletions of what is kept about a message
// that is being removed.
func (b *box) rowsOfRemoved(rows []engine.Row, o gatehouse.Offset) []engine.Row {
	m, ok := b.marks[o]
	if !ok {
		return rows
	}
	rows = append(rows, engine.Row{Key: b.key.markRow(o)})
	if m.attributes {
		rows = append(rows, engine.Row{Key: b.key.attributesRow(o)})
	}
	return rows
}

func (b *box) setMark(o gatehouse.Offset, m mark) {
	if b.marks == nil {
		b.marks = make(map[gatehouse.Offset]mark)
	}
	b.marks[o] = m
}

// sessionOf returns the session that has the message's group locked.
func (b *box) sessionOf(m *gatehouse.Message) *session {
	if len(b.sessions) == 0 || m.Group == "" {
		return nil
	}
	return b.sessions[m.Group]
}

func search(entries []entry, o gatehouse.Offset) (int, bool) {
	return slices.BinarySearchFunc(entries, o, func(e entry, o gatehouse.Offset) int { return cmp.Compare(e.off, o) })
}
