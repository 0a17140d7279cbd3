package pebbledb

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"

	"github.com/cockroachdb/pebble/v2"
)

// A table is an engine.Table.
type table struct {
	e    *Engine
	name string
}

// Table implements engine.Engine.
func (e *Engine) Table(name string) engine.Table { return &table{e, name} }

// Get implements engine.Table.
func (t *table) Get(ctx context.Context, key string) (engine.TableRow, error) {
	if err := ctx.Err(); err != nil {
		return engine.TableRow{}, err
	}
	v, err := t.e.views.acquire()
	if err != nil {
		return engine.TableRow{}, err
	}
	defer t.e.views.release(v)
	row, ok, err := v.tableRow(t.name, key)
	if err == nil && !ok {
		err = gatehouse.Errorf(gatehouse.NotFound, "%s has no %q", t.name, key)
	}
	return row, err
}

// Scan implements engine.Table.
func (t *table) Scan(ctx context.Context, prefix string, visit func(engine.TableRow) error) (revision uint64, err error) {
	revision, v, _, err := t.e.tables.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer t.e.views.release(v)
	head := appendTable(nil, spaceTable, t.name)
	lower := append(head[:len(head):len(head)], prefix...)
	it, err := v.iter(lower, prefixEnd(lower))
	if err != nil {
		return 0, v.in.unavailable(err)
	}
	defer func() { err = v.closed(it, err) }()
	for valid := it.First(); valid; valid = it.Next() {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return 0, tableError(t.name, prefix, v.readError(err))
		}
		key := string(it.Key()[len(head):])
		row, ok := parseRow(it.Key(), value, key)
		if !ok {
			return 0, tableError(t.name, key, &engine.CorruptError{Detail: "the checksum of the row does not match"})
		}
		if err := visit(row); err != nil {
			return 0, err
		}
	}
	return revision, tableError(t.name, prefix, v.readError(it.Error()))
}

// begin returns a view, to be released, a revision it has in full, and the
// news that come after that revision.
func (t *tables) begin(ctx context.Context) (revision uint64, v *view, news *tableNews, err error) {
	if err := ctx.Err(); err != nil {
		return 0, nil, nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	v, err = t.e.views.acquire()
	return t.visible, v, t.news, err
}

// Update implements engine.Table.
func (t *table) Update(ctx context.Context, changes ...engine.Change) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return t.e.tables.update(ctx, t.name, changes)
}

// Watch implements engine.Table.
func (t *table) Watch(ctx context.Context, revision uint64, visit func([]engine.TableRow) error) error {
	upto, v, news, err := t.e.tables.begin(ctx)
	if err != nil {
		return err
	}
	updates, err := v.changes(t.name, revision, upto)
	t.e.views.release(v)
	if err != nil {
		return err
	}
	for _, u := range updates {
		if err := visit(u.rows); err != nil {
			return err
		}
	}
	updates = nil
	for {
		select {
		case <-news.ready:
		case <-ctx.Done():
			return ctx.Err()
		case <-t.e.closing:
			return errClosed()
		}
		if news.table == t.name && news.revision > revision && len(news.rows) > 0 {
			if err := visit(news.rows); err != nil {
				return err
			}
		}
		news = news.next
	}
}

// changes returns what of the updates of a table after one revision and up to
// another still holds.
func (v *view) changes(table string, after, upto uint64) (updates []*update, err error) {
	head := appendTable(nil, spaceChange, table)
	it, err := v.iter(binary.BigEndian.AppendUint64(head[:len(head):len(head)], after+1), prefixEnd(head))
	if err != nil {
		return nil, v.in.unavailable(err)
	}
	defer func() { err = v.closed(it, err) }()
	for valid := it.First(); valid; valid = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		rest := it.Key()[len(head):]
		if len(rest) < 8 || len(value) != crcLen+1 || !intact(it.Key(), value) {
			return nil, tableError(table, "", &engine.CorruptError{Detail: "an entry of the index of changes does not match its checksum"})
		}
		revision := binary.BigEndian.Uint64(rest)
		if revision > upto {
			break
		}
		row, ok, err := v.changed(table, string(rest[8:]), revision, value[crcLen] != 0)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if n := len(updates); n == 0 || updates[n-1].revision != revision {
			updates = append(updates, &update{table: table, revision: revision})
		}
		u := updates[len(updates)-1]
		u.rows = append(u.rows, row)
	}
	return updates, it.Error()
}

// changed returns what a change has made of a row; ok is false if another has
// come after it.
func (v *view) changed(table, key string, revision uint64, gone bool) (row engine.TableRow, ok bool, err error) {
	row, ok, err = v.tableRow(table, key)
	switch {
	case err != nil:
		return row, false, err
	case gone:
		return engine.TableRow{Key: key, Revision: revision}, !ok, nil
	}
	return row, ok && row.Revision == revision, nil
}

// resync tells watchers of updates that failed but were stored all the same.
func (t *tables) resync() {
	if !t.doubtful {
		return
	}
	t.e.mu.Lock()
	failed := t.e.failed
	t.e.mu.Unlock()
	if failed != nil {
		return
	}
	_, v, _, err := t.begin(context.Background())
	if err != nil {
		return
	}
	defer t.e.views.release(v)
	var missed []*update
	names, err := v.tableNames()
	for _, name := range names {
		updates, err2 := v.changes(name, t.visible, 1<<64-1)
		if err2 != nil {
			err = err2
		}
		missed = append(missed, updates...)
	}
	if err != nil {
		t.e.opts.Logger.Error("changes of definitions cannot be read; restart to be sure that all are in force", "error", err)
	}
	slices.SortFunc(missed, func(a, b *update) int { return cmp.Compare(a.revision, b.revision) })
	t.publish(missed)
	t.doubtful = false
}

// tableNames returns the names of all tables that were ever changed.
func (v *view) tableNames() (names []string, err error) {
	it, err := v.iter([]byte{spaceChange}, []byte{spaceChange + 1})
	if err != nil {
		return nil, v.in.unavailable(err)
	}
	defer func() { err = v.closed(it, err) }()
	for valid := it.First(); valid; {
		key := it.Key()[1:]
		n, w := binary.Uvarint(key)
		if w <= 0 || n > uint64(len(key)-w) {
			valid = it.Next() // a damaged key
			continue
		}
		name := string(key[w : w+int(n)])
		names = append(names, name)
		valid = it.SeekGE(prefixEnd(appendTable(nil, spaceChange, name)))
	}
	return names, it.Error()
}

// forgetDeleted drops the oldest changes that say that a row is gone, when
// there are too many: only who watches since before a restart would miss them.
func (t *tables) forgetDeleted(in *instance) error {
	var gone [][]byte
	it, err := in.db.NewIter(&pebble.IterOptions{LowerBound: []byte{spaceChange}, UpperBound: []byte{spaceChange + 1}})
	if err != nil {
		return in.unavailable(err)
	}
	for valid := it.First(); valid; valid = it.Next() {
		if value, err := it.ValueAndErr(); err == nil && len(value) == crcLen+1 && value[crcLen] != 0 {
			gone = append(gone, own(it.Key(), true))
		}
	}
	if err := it.Close(); err != nil {
		return in.e.openFailed(err)
	}
	if len(gone) <= maxDeleted {
		return nil
	}
	b := in.db.NewBatch()
	for _, key := range gone[:len(gone)-maxDeleted] {
		if err := b.Delete(key, nil); err != nil {
			return in.unavailable(err)
		}
	}
	return in.write(b)
}
