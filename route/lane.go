package route

import (
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gatehouse/gatehouse"
)

// Bounds of what a way keeps. Types come from senders, who may send any
// number of them: what does not fit is worked out again.
const (
	keptTypes  = 256
	keptLanes  = 64
	longestKey = 256 // bytes of a type
)

// A set is what endpoints share that the same authorizations concern.
type set struct {
	matched         []*compiled
	ingress, egress *way
}

func newSet(t *Table, matched []*compiled) *set {
	return &set{matched: matched, ingress: newWay(t, matched, Ingress), egress: newWay(t, matched, Egress)}
}

// A way holds the authorizations of one direction. It finds the lane of a type
// by look-up once it has been asked for it.
type way struct {
	table *Table
	rules []*compiled
	only  *lane // of all types; nil if types matter
	types atomic.Pointer[map[string]*lane]

	mu    sync.Mutex
	lanes map[string]*lane // by the authorizations that match the type
}

func newWay(t *Table, matched []*compiled, d Direction) *way {
	w := &way{table: t, lanes: make(map[string]*lane)}
	typed := false
	for _, c := range matched {
		if c.direction == d {
			w.rules = append(w.rules, c)
			typed = typed || c.types != nil
		}
	}
	w.types.Store(&map[string]*lane{})
	if !typed {
		w.only = newLane(t, w.rules)
	}
	return w
}

// lane returns the lane of a type.
func (w *way) lane(typ string) *lane {
	if w.only != nil {
		return w.only
	}
	if l := (*w.types.Load())[typ]; l != nil {
		return l
	}
	return w.find(typ)
}

// find works out the lane of a type and keeps it.
func (w *way) find(typ string) *lane {
	var rules []*compiled
	var key []byte
	for i, c := range w.rules {
		if c.matchesType(typ) {
			rules = append(rules, c)
			key = binary.AppendUvarint(key, uint64(i))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.lanes[string(key)]
	if l == nil {
		l = newLane(w.table, rules)
		if len(w.lanes) >= keptLanes {
			clear(w.lanes)
		}
		w.lanes[string(key)] = l
	}
	w.keep(typ, l)
	return l
}

// keep notes the lane of a type in a copy of what is known, which readers
// look into without a lock.
func (w *way) keep(typ string, l *lane) {
	if len(typ) > longestKey {
		return
	}
	old := *w.types.Load()
	if len(old) >= keptTypes {
		old = nil
	}
	kept := make(map[string]*lane, len(old)+1)
	for t, l := range old {
		kept[t] = l
	}
	kept[strings.Clone(typ)] = l // a type may be part of a larger text
	w.types.Store(&kept)
}

func (c *compiled) matchesType(typ string) bool { return c.types == nil || c.types.Match(typ) }

// A lane is what one set of authorizations says about each channel, conditions
// aside.
type lane struct {
	cells []cell                  // of the channels concerned, in their order
	open  []gatehouse.ChannelName // allowed without a condition; if not asks
	asks  bool                    // some cell has a condition
}

// A cell is what the authorizations of a lane say about one channel.
type cell struct {
	index   int // of the channel
	channel gatehouse.ChannelName
	deny    *compiled   // denies without a condition; nil: none
	allow   bool        // one allows without a condition
	denies  []*compiled // those with a condition
	allows  []*compiled
}

func newLane(t *Table, rules []*compiled) *lane {
	at := make(map[int]*cell)
	for _, c := range rules {
		for _, i := range c.channels {
			if at[i] == nil {
				at[i] = &cell{index: i, channel: t.channels[i]}
			}
			at[i].add(c)
		}
	}
	l := &lane{cells: make([]cell, 0, len(at))}
	for _, c := range at {
		l.cells = append(l.cells, *c)
	}
	slices.SortFunc(l.cells, func(a, b cell) int { return a.index - b.index })
	for i := range l.cells {
		c := &l.cells[i]
		l.asks = l.asks || c.deny == nil && len(c.denies)+len(c.allows) > 0
		if c.deny == nil && c.allow {
			l.open = append(l.open, c.channel)
		}
	}
	return l
}

func (c *cell) add(r *compiled) {
	switch {
	case r.when == nil && !r.deny:
		c.allow = true
	case r.when == nil && c.deny == nil:
		c.deny = r
	case r.when == nil: // another denies already
	case r.deny:
		c.denies = append(c.denies, r)
	default:
		c.allows = append(c.allows, r)
	}
}

// cell returns the cell of a channel by any spelling of its name; nil if there
// is no such channel or no authorization that could allow it.
func (l *lane) cell(t *Table, name string) *cell {
	index, ok := t.index[gatehouse.Fold(name)]
	if !ok {
		return nil
	}
	i, ok := slices.BinarySearchFunc(l.cells, index, func(c cell, index int) int { return c.index - index })
	if !ok {
		return nil
	}
	return &l.cells[i]
}
