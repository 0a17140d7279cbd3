package memory

import (
	"cmp"
	"context"
	"strings"
	"sync"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// definitions is what all tables keep. Rows that were deleted are kept without
// a value, for those who watch from before.
type definitions struct {
	revision uint64
	rows     map[string]*sorted[string, engine.TableRow]
}

func newDefinitions() *definitions {
	return &definitions{rows: make(map[string]*sorted[string, engine.TableRow])}
}

// tables is the tables of an engine.
type tables struct {
	closed chan struct{}

	mu          sync.Mutex
	definitions *definitions
	failure     error
	ended       bool
	watchers    map[string]map[*watcher]struct{}
}

// A watcher has the updates that its Watch has not told of.
type watcher struct {
	updates [][]engine.TableRow
	more    chan struct{} // has a token when updates is not empty
}

func (t *tables) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
}

// view locks t to read it. The caller unlocks, unless there is an error.
func (t *tables) view(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t.mu.Lock()
	if t.ended {
		t.mu.Unlock()
		return errClosed()
	}
	return nil
}

// A tableHandle is an engine.Table.
type tableHandle struct {
	tables *tables
	name   string
}

// rows returns the rows of the table, with the lock held.
func (h *tableHandle) rows() *sorted[string, engine.TableRow] {
	d := h.tables.definitions
	rows := d.rows[h.name]
	if rows == nil {
		made := newSorted[string, engine.TableRow](cmp.Compare[string])
		rows = &made
		d.rows[h.name] = rows
	}
	return rows
}

func (h *tableHandle) Get(ctx context.Context, key string) (engine.TableRow, error) {
	if err := h.tables.view(ctx); err != nil {
		return engine.TableRow{}, err
	}
	defer h.tables.mu.Unlock()
	r, _ := h.rows().get(key)
	if r.Value == nil {
		return engine.TableRow{}, gatehouse.Errorf(gatehouse.NotFound, "table %q has no row %q", h.name, key)
	}
	return clone(r), nil
}

func (h *tableHandle) Scan(ctx context.Context, prefix string, visit func(engine.TableRow) error) (uint64, error) {
	if err := h.tables.view(ctx); err != nil {
		return 0, err
	}
	rows, revision := h.rows().snapshot(), h.tables.definitions.revision
	h.tables.mu.Unlock()
	for key, r := range rows.from(prefix) {
		if !strings.HasPrefix(key, prefix) {
			break
		}
		if r.Value == nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := visit(clone(r)); err != nil {
			return 0, err
		}
	}
	return revision, nil
}

func (h *tableHandle) Update(ctx context.Context, changes ...engine.Change) (uint64, error) {
	t := h.tables
	if err := t.view(ctx); err != nil {
		return 0, err
	}
	defer t.mu.Unlock()
	if t.failure != nil {
		return 0, t.failure
	}
	rows := h.rows()
	for i := range changes {
		if err := h.check(rows, &changes[i]); err != nil {
			return 0, err
		}
	}
	t.definitions.revision++
	changed := make([]engine.TableRow, 0, len(changes))
	for _, c := range changes {
		if old, _ := rows.get(c.Key); c.Value == nil && old.Value == nil {
			continue
		}
		r := clone(engine.TableRow{Key: c.Key, Value: c.Value, Revision: t.definitions.revision})
		rows.set(c.Key, r)
		changed = append(changed, r)
	}
	if len(changed) > 0 {
		for w := range t.watchers[h.name] {
			w.add(changed)
		}
	}
	return t.definitions.revision, nil
}

// check says why c may not be made.
func (h *tableHandle) check(rows *sorted[string, engine.TableRow], c *engine.Change) error {
	r, _ := rows.get(c.Key)
	exists := r.Value != nil
	switch {
	case c.If == 0:
		return nil
	case c.If == engine.Absent && exists:
		return gatehouse.Errorf(gatehouse.Conflict, "table %q has a row %q already, of revision %d", h.name, c.Key, r.Revision)
	case c.If == engine.Absent:
		return nil
	case !exists:
		return gatehouse.Errorf(gatehouse.Conflict, "table %q has no row %q any more; read it again", h.name, c.Key)
	case uint64(c.If) != r.Revision:
		return gatehouse.Errorf(gatehouse.Conflict, "row %q of table %q has revision %d, not %d; read it again", c.Key, h.name, r.Revision, c.If)
	}
	return nil
}

func (h *tableHandle) Watch(ctx context.Context, revision uint64, visit func([]engine.TableRow) error) error {
	t := h.tables
	if err := t.view(ctx); err != nil {
		return err
	}
	w := &watcher{more: make(chan struct{}, 1)}
	var before []engine.TableRow
	for _, r := range h.rows().from("") {
		if r.Revision > revision {
			before = append(before, r)
		}
	}
	if len(before) > 0 {
		w.add(before)
	}
	if t.watchers[h.name] == nil {
		t.watchers[h.name] = make(map[*watcher]struct{})
	}
	t.watchers[h.name][w] = struct{}{}
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		delete(t.watchers[h.name], w)
		t.mu.Unlock()
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.closed:
			return errClosed()
		case <-w.more:
		}
		t.mu.Lock()
		updates := w.updates
		w.updates = nil
		t.mu.Unlock()
		if err := tellUpdates(ctx, updates, visit); err != nil {
			return err
		}
	}
}

func tellUpdates(ctx context.Context, updates [][]engine.TableRow, visit func([]engine.TableRow) error) error {
	for _, u := range updates {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows := make([]engine.TableRow, len(u))
		for i := range u {
			rows[i] = clone(u[i])
		}
		if err := visit(rows); err != nil {
			return err
		}
	}
	return nil
}

// add queues an update, with the lock held.
func (w *watcher) add(rows []engine.TableRow) {
	w.updates = append(w.updates, rows)
	select {
	case w.more <- struct{}{}:
	default:
	}
}

func clone(r engine.TableRow) engine.TableRow {
	if r.Value != nil {
		r.Value = append([]byte{}, r.Value...)
	}
	return r
}
