package pebbledb

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"

	"github.com/cockroachdb/pebble/v2"
)

// Bounds of tables.
const (
	maxTableGroup = 1024    // updates in one commit
	maxDeleted    = 1 << 16 // deletions that are remembered for Watch across a restart
)

// tables commits the updates of all tables, from one goroutine, in groups: the
// updates of a group are checked one after the other, each against what those
// before it will have written.
type tables struct {
	e *Engine

	wake chan struct{}

	// Of the goroutine.
	revision uint64 // of the last update, durable or not
	doubtful bool   // an update failed and may have been stored

	mu      sync.Mutex
	waiting []*update
	ended   bool
	news    *tableNews // what comes next
	visible uint64     // revision of the last update in news
}

// An update is a call of Table.Update.
type update struct {
	table    string
	changes  []engine.Change
	rows     []engine.TableRow // as changed, for watchers
	replaced []uint64          // by index in rows: the revision before, 0 if there was no row
	revision uint64
	done     chan error
}

// A tableNews is an update that is durable, once ready is closed; who watches
// goes from one to the next.
type tableNews struct {
	ready    chan struct{}
	table    string
	revision uint64
	rows     []engine.TableRow
	next     *tableNews
}

func newNews() *tableNews { return &tableNews{ready: make(chan struct{})} }

// load reads the revision.
func (t *tables) load(in *instance) (err error) {
	t.wake = make(chan struct{}, 1)
	t.news = newNews()
	t.revision, err = in.number(metaKey(metaRevision))
	t.visible = t.revision
	return err
}

func (t *tables) start(e *Engine) {
	t.e = e
	e.running.Go(t.run)
}

func (t *tables) run() {
	for {
		select {
		case <-t.e.closing:
			t.mu.Lock()
			t.ended = true
			t.mu.Unlock()
			for group := t.take(); len(group) > 0; group = t.take() {
				t.commit(group)
			}
			return
		case <-t.wake:
		}
		t.resync()
		for group := t.take(); len(group) > 0; group = t.take() {
			t.commit(group)
		}
	}
}

func (t *tables) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *tables) take() []*update {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(t.waiting), maxTableGroup)
	group := t.waiting[:n:n]
	t.waiting = t.waiting[n:]
	return group
}

// update commits changes and waits.
func (t *tables) update(ctx context.Context, table string, changes []engine.Change) (uint64, error) {
	u := &update{table: table, changes: changes, done: make(chan error, 1)}
	t.mu.Lock()
	if t.ended {
		t.mu.Unlock()
		return 0, errClosed()
	}
	t.waiting = append(t.waiting, u)
	t.mu.Unlock()
	t.poke()
	select {
	case err := <-u.done:
		return u.revision, err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// commit checks and stores a group.
func (t *tables) commit(group []*update) {
	if len(group) == 0 {
		return
	}
	v, err := t.e.views.acquire()
	if err != nil {
		finish(group, err)
		return
	}
	p := plan{v: v, revision: t.revision, known: make(map[string]uint64)}
	var accepted []*update
	for _, u := range group {
		if err := p.check(u); err != nil {
			u.done <- err
			continue
		}
		p.revision++
		u.revision = p.revision
		p.note(u)
		accepted = append(accepted, u)
	}
	t.e.views.release(v)
	if len(accepted) == 0 {
		return
	}
	t.revision = p.revision
	err = t.e.do(&t.e.env, func(b *pebble.Batch) error { return write(b, accepted) })
	if err != nil {
		t.doubtful = true
		finish(accepted, err)
		return
	}
	t.publish(accepted)
	finish(accepted, nil)
}

func finish(group []*update, err error) {
	for _, u := range group {
		if err != nil {
			u.revision = 0
		}
		u.done <- err
	}
}

// publish tells watchers.
func (t *tables) publish(group []*update) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, u := range group {
		t.tell(u.table, u.revision, u.rows)
	}
}

// tell adds an update to the news. mu is held.
func (t *tables) tell(table string, revision uint64, rows []engine.TableRow) {
	n := t.news
	n.table, n.revision, n.rows, n.next = table, revision, rows, newNews()
	t.news, t.visible = n.next, revision
	close(n.ready)
}

// A plan checks the conditions of updates.
type plan struct {
	v        *view
	revision uint64
	known    map[string]uint64 // revisions of rows, 0 for none, after what was noted
}

func (p *plan) rowRevision(table, key string) (uint64, error) {
	full := string(append(appendTable(nil, spaceTable, table), key...))
	if r, ok := p.known[full]; ok {
		return r, nil
	}
	row, ok, err := p.v.tableRow(table, key)
	if err != nil {
		return 0, err
	}
	if !ok {
		row.Revision = 0
	}
	p.known[full] = row.Revision
	return row.Revision, nil
}

func (p *plan) check(u *update) error {
	for i := range u.changes {
		c := &u.changes[i]
		has, err := p.rowRevision(u.table, c.Key)
		if err != nil && (c.If != 0 || !isCorrupt(err)) {
			return err
		}
		switch {
		case c.If == 0 || uint64(c.If) == has && has != 0:
		case c.If == engine.Absent && has == 0:
		case c.If == engine.Absent:
			return gatehouse.Errorf(gatehouse.Conflict, "%q exists already", c.Key)
		case has == 0:
			return gatehouse.Errorf(gatehouse.Conflict, "%q does not exist; its revision was expected to be %d", c.Key, c.If)
		default:
			return gatehouse.Errorf(gatehouse.Conflict, "%q has changed meanwhile: its revision is %d, not %d; read it again", c.Key, has, c.If)
		}
	}
	return nil
}

// note remembers what an update that was accepted will write. Deleting a row
// that is not there is nothing.
func (p *plan) note(u *update) {
	for i := range u.changes {
		c := &u.changes[i]
		full := string(append(appendTable(nil, spaceTable, u.table), c.Key...))
		old := p.known[full]
		if old == 0 && c.Value == nil {
			continue
		}
		row := engine.TableRow{Key: c.Key, Revision: u.revision}
		p.known[full] = 0
		if c.Value != nil {
			row.Value = own(c.Value, true)
			p.known[full] = u.revision
		}
		u.rows = append(u.rows, row)
		u.replaced = append(u.replaced, old)
	}
}

// write adds the rows of a group, and their changes, to b.
func write(b *pebble.Batch, group []*update) error {
	for _, u := range group {
		rows, changes := appendTable(nil, spaceTable, u.table), appendTable(nil, spaceChange, u.table)
		for i := range u.rows {
			r := &u.rows[i]
			if u.replaced[i] != 0 {
				at := binary.BigEndian.AppendUint64(changes[:len(changes):len(changes)], u.replaced[i])
				if err := b.Delete(append(at, r.Key...), nil); err != nil {
					return err
				}
			}
			var err error
			gone := byte(0)
			if r.Value == nil {
				gone = 1
				err = b.Delete(append(rows[:len(rows):len(rows)], r.Key...), nil)
			} else {
				err = setRow(b, rows, r.Key, append(binary.BigEndian.AppendUint64(nil, r.Revision), r.Value...))
			}
			at := binary.BigEndian.AppendUint64(changes[:len(changes):len(changes)], r.Revision)
			if err = errors.Join(err, setRow(b, at, r.Key, []byte{gone})); err != nil {
				return err
			}
		}
	}
	return setNumber(b, metaKey(metaRevision), group[len(group)-1].revision)
}

// tableRow reads a row.
func (v *view) tableRow(table, key string) (row engine.TableRow, ok bool, err error) {
	full := append(appendTable(nil, spaceTable, table), key...)
	value, closer, err := v.snap.Get(full)
	switch {
	case isNotFound(err):
		return row, false, nil
	case err != nil:
		return row, false, tableError(table, key, v.readError(err))
	}
	row, ok = parseRow(full, value, key)
	if err := closer.Close(); err != nil {
		return row, false, v.in.unavailable(err)
	}
	if !ok {
		return row, false, tableError(table, key, &engine.CorruptError{Detail: "the checksum of the row does not match"})
	}
	return row, true, nil
}

// parseRow takes a copy of a row apart.
func parseRow(full, value []byte, key string) (engine.TableRow, bool) {
	if len(value) < crcLen+8 || !intact(full, value) {
		return engine.TableRow{}, false
	}
	return engine.TableRow{
		Key:      key,
		Revision: binary.BigEndian.Uint64(value[crcLen:]),
		Value:    own(value[crcLen+8:], true),
	}, true
}

// tableError names the row that is damaged, if err says that one is.
func tableError(table, key string, err error) error {
	if c, ok := asCorrupt(err); ok {
		c.Stream = "table " + table + " " + key
	}
	return err
}
