package enginetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

var tableTests = []test{
	{"Update", on(tableUpdate)},
	{"Conditions", on(tableConditions)},
	{"Counter", on(tableCounter)},
	{"Scan", on(tableScan)},
	{"WatchLive", on(watchLive)},
	{"WatchHistory", on(watchHistory)},
	{"WatchMissesNothing", on(watchMissesNothing)},
	{"WatchEnds", on(watchEnds)},
}

func set(key, value string) engine.Change { return engine.Change{Key: key, Value: []byte(value)} }

// update makes changes that must succeed, and returns their revision.
func (r *rig) update(table string, changes ...engine.Change) uint64 {
	r.t.Helper()
	revision, err := r.e.Table(table).Update(r.ctx, changes...)
	if err != nil {
		r.t.Fatalf("Update: %v", err)
	}
	return revision
}

// table returns the rows of a table, as text without revisions.
func (r *rig) table(name string) string {
	r.t.Helper()
	text := ""
	_, err := r.e.Table(name).Scan(r.ctx, "", func(row engine.TableRow) error {
		text += row.Key + "=" + string(row.Value) + ";"
		return nil
	})
	r.ok(err)
	return text
}

func tableUpdate(r *rig) {
	t := r.e.Table("t")
	_, err := t.Get(r.ctx, "a")
	r.kind(err, gatehouse.NotFound)
	first := r.update("t", set("a", "1"), set("b", ""))
	other := r.update("other", set("a", "x"))
	second := r.update("t", set("a", "2"))
	if first == 0 || other <= first || second <= other {
		r.t.Fatalf("revisions %d, %d, %d do not grow", first, other, second)
	}
	row, err := t.Get(r.ctx, "a")
	r.ok(err)
	r.equal(fmt.Sprint(row), fmt.Sprint(engine.TableRow{Key: "a", Value: []byte("2"), Revision: second}))
	copy(row.Value, "X")
	row, err = t.Get(r.ctx, "b") // empty, and there
	r.ok(err)
	if row.Value == nil || len(row.Value) != 0 || row.Revision != first {
		r.t.Fatalf("row %+v, want an empty value of revision %d", row, first)
	}
	third := r.update("t", engine.Change{Key: "b"}, set("c", "3"), engine.Change{Key: "never"})
	if third <= second {
		r.t.Fatalf("revision %d after %d", third, second)
	}
	_, err = t.Get(r.ctx, "b")
	r.kind(err, gatehouse.NotFound)
	r.equal(r.table("t"), "a=2;c=3;")
	r.equal(r.table("other"), "a=x;")
	value := []byte("caller's")
	r.update("t", engine.Change{Key: "a", Value: value})
	copy(value, "XXXXXXXX")
	r.equal(r.table("t"), "a=caller's;c=3;")
}

func tableConditions(r *rig) {
	t := r.e.Table("t")
	when := func(c engine.Change, f engine.If) engine.Change { c.If = f; return c }
	conflict := func(changes ...engine.Change) {
		r.t.Helper()
		before := r.table("t")
		_, err := t.Update(r.ctx, changes...)
		r.kind(err, gatehouse.Conflict)
		r.equal(r.table("t"), before)
	}
	one := r.update("t", when(set("a", "1"), engine.Absent))
	conflict(when(set("a", "2"), engine.Absent))
	conflict(when(set("none", "2"), engine.If(one)))
	conflict(set("b", "1"), when(set("a", "2"), engine.If(one+1)))
	conflict(when(set("a", "2"), engine.If(one)), when(set("c", "2"), engine.If(one)))
	conflict(when(engine.Change{Key: "a"}, engine.If(one+1)))
	two := r.update("t", when(set("a", "2"), engine.If(one)), when(set("b", "1"), engine.Absent))
	conflict(when(set("a", "3"), engine.If(one)))
	three := r.update("t", when(engine.Change{Key: "a"}, engine.If(two)), set("b", "2"))
	conflict(when(set("a", "4"), engine.If(two)))
	conflict(when(engine.Change{Key: "a"}, engine.If(three)))
	r.update("t", when(set("a", "5"), engine.Absent), when(set("b", "3"), engine.If(three)))
	r.equal(r.table("t"), "a=5;b=3;")
	r.update("elsewhere", when(set("a", "1"), engine.Absent))
}

// tableCounter has many count by compare and set.
func tableCounter(r *rig) {
	const counters, each = 6, 25
	t := r.e.Table("t")
	r.update("t", set("n", "0"))
	var wg sync.WaitGroup
	for range counters {
		wg.Go(func() {
			for range each {
				if err := count(r.ctx, t); err != nil {
					r.t.Errorf("counting: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	r.equal(r.table("t"), fmt.Sprintf("n=%d;", counters*each))
}

func count(ctx context.Context, t engine.Table) error {
	for {
		row, err := t.Get(ctx, "n")
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(row.Value))
		if err != nil {
			return err
		}
		_, err = t.Update(ctx, engine.Change{Key: "n", Value: []byte(strconv.Itoa(n + 1)), If: engine.If(row.Revision)})
		if !errors.Is(err, gatehouse.Conflict) {
			return err
		}
	}
}

func tableScan(r *rig) {
	t := r.e.Table("t")
	revision, err := t.Scan(r.ctx, "", func(engine.TableRow) error { return errors.New("there is a row") })
	r.ok(err)
	var last uint64
	for _, key := range [...]string{"b/2", "a", "b/1", "c", "b"} {
		last = r.update("t", set(key, "v"))
	}
	if revision >= last {
		r.t.Fatalf("an empty table was scanned at revision %d, its last row is of %d", revision, last)
	}
	keys := ""
	revision, err = t.Scan(r.ctx, "b", func(row engine.TableRow) error { keys += row.Key + " "; return nil })
	r.ok(err)
	r.equal(keys, "b b/1 b/2 ")
	if revision < last {
		r.t.Fatalf("scanned at revision %d, the last update was %d", revision, last)
	}
	stop := errors.New("enough")
	n := 0
	_, err = t.Scan(r.ctx, "", func(engine.TableRow) error { n++; return stop })
	if !errors.Is(err, stop) || n != 1 {
		r.t.Fatalf("Scan went on after %d rows, error %v", n, err)
	}
}

// watch starts watching and returns where the updates come, and its end.
func (r *rig) watch(ctx context.Context, table string, revision uint64) (<-chan []engine.TableRow, <-chan error) {
	updates, end := make(chan []engine.TableRow, 1000), make(chan error, 1)
	go func() {
		end <- r.e.Table(table).Watch(ctx, revision, func(rows []engine.TableRow) error {
			updates <- slices.Clone(rows)
			return nil
		})
	}()
	return updates, end
}

func (r *rig) next(updates <-chan []engine.TableRow) []engine.TableRow {
	r.t.Helper()
	select {
	case u := <-updates:
		return u
	case <-r.ctx.Done():
		r.t.Fatal("Watch did not tell in time")
		return nil
	}
}

// watchLive makes sure that Watch is running, and then that it tells each
// update by itself.
func watchLive(r *rig) {
	updates, _ := r.watch(r.ctx, "t", 0)
	first := r.update("t", set("begin", "x"))
	r.equal(fmt.Sprint(r.next(updates)), fmt.Sprint([]engine.TableRow{{Key: "begin", Value: []byte("x"), Revision: first}}))
	var want [][]engine.TableRow
	for i := range 100 {
		value := []byte(strconv.Itoa(i))
		changes := []engine.Change{{Key: "a", Value: value}, {Key: "b" + strconv.Itoa(i%3), Value: value}}
		if i%5 == 4 {
			changes[1].Value = nil
		}
		r.update("other", set("a", "x"))
		revision := r.update("t", changes...)
		rows := []engine.TableRow{{Key: "a", Value: value, Revision: revision}}
		if changes[1].Value != nil || i >= 3 {
			rows = append(rows, engine.TableRow{Key: changes[1].Key, Value: changes[1].Value, Revision: revision})
		}
		want = append(want, rows)
	}
	for i := range want {
		got := r.next(updates)
		slices.SortFunc(got, func(a, b engine.TableRow) int { return int(a.Key[0]) - int(b.Key[0]) })
		for k := range got {
			if got[k].Value == nil {
				got[k].Revision = want[i][0].Revision
			}
		}
		r.equal(fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", want[i]))
	}
}

// watchHistory looks at what came before, which may be collapsed.
func watchHistory(r *rig) {
	start := r.update("t", set("a", "1"), set("b", "1"), set("c", "1"), set("old", "1"))
	r.update("t", set("a", "2"))
	r.update("t", engine.Change{Key: "b"})
	middle := r.update("t", set("d", "1"))
	r.update("t", set("e", "1"))
	r.update("t", engine.Change{Key: "e"})
	end := r.update("t", set("c", "2"))
	for _, test := range []struct {
		from uint64
		must string // what has to be told, and no more
	}{
		{0, "a=2 c=2 d=1 old=1"},
		{start, "a=2 b=gone c=2 d=1"},
		{middle, "c=2"},
		{end, ""},
	} {
		ctx, cancel := context.WithCancel(r.ctx)
		updates, stopped := r.watch(ctx, "t", test.from)
		mark := r.update("t", set("mark", strconv.FormatUint(test.from, 10)))
		seen := r.until(updates, mark)
		told := ""
		for _, key := range slices.Sorted(maps.Keys(seen)) {
			row := seen[key]
			switch {
			case slices.Contains([]string{"mark", "e"}, key), test.from == 0 && row.Value == nil:
			case row.Value == nil:
				told += " " + key + "=gone"
			default:
				told += " " + key + "=" + string(row.Value)
			}
		}
		if test.must != "" {
			test.must = " " + test.must
		}
		r.equal(told, test.must)
		cancel()
		if err := r.await(stopped); !errors.Is(err, context.Canceled) {
			r.t.Fatalf("Watch whose context ended: %v", err)
		}
	}
}

// until takes updates until one of the revision mark, and returns the last
// word on each row. Revisions must not go back.
func (r *rig) until(updates <-chan []engine.TableRow, mark uint64) map[string]engine.TableRow {
	r.t.Helper()
	seen := make(map[string]engine.TableRow)
	found := false
	for {
		for _, row := range r.next(updates) {
			if old := seen[row.Key]; row.Value != nil && old.Revision > row.Revision {
				r.t.Fatalf("row %q of revision %d was told after that of %d", row.Key, row.Revision, old.Revision)
			}
			seen[row.Key] = row
			found = found || row.Revision == mark
		}
		if found {
			return seen
		}
	}
}

// watchMissesNothing scans and then watches from there, while rows change.
func watchMissesNothing(r *rig) {
	const writers, each = 3, 80
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				c := set(fmt.Sprintf("%d/%d", w, i%7), strconv.Itoa(i))
				if i%4 == 3 {
					c.Value = nil
				}
				if _, err := r.e.Table("t").Update(r.ctx, c); err != nil {
					r.t.Errorf("Update: %v", err)
					return
				}
			}
		})
	}
	rows := make(map[string]string)
	revision, err := r.e.Table("t").Scan(r.ctx, "", func(row engine.TableRow) error {
		rows[row.Key] = string(row.Value)
		return nil
	})
	r.ok(err)
	updates, _ := r.watch(r.ctx, "t", revision)
	wg.Wait()
	mark := r.update("t", set("mark", "x"))
	for key, row := range r.until(updates, mark) {
		if row.Value == nil {
			delete(rows, key)
		} else {
			rows[key] = string(row.Value)
		}
	}
	text := ""
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		text += key + "=" + rows[key] + ";"
	}
	r.equal(text, r.table("t"))
}

func watchEnds(r *rig) {
	revision := r.update("t", set("a", "1"))
	stop := errors.New("enough")
	n := 0
	err := r.e.Table("t").Watch(r.ctx, revision-1, func([]engine.TableRow) error { n++; return stop })
	if !errors.Is(err, stop) || n != 1 {
		r.t.Fatalf("Watch ended after %d updates with %v", n, err)
	}
	ctx, cancel := context.WithCancel(r.ctx)
	_, end := r.watch(ctx, "t", revision)
	cancel()
	if err := r.await(end); !errors.Is(err, context.Canceled) {
		r.t.Fatalf("Watch whose context ended: %v", err)
	}
}
