package pebbledb_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/pebbledb"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// files returns the names of the files of a directory that end like this.
func files(t testing.TB, dir, suffix string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil || len(all) == 0 {
		t.Fatalf("there is no %s in %s: %v", suffix, dir, err)
	}
	return all
}

// flip changes a bit of a file.
func flip(t testing.TB, name string, at int) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[at] ^= 0x04
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedTable changes a bit in each of many places of the tables of a
// log. Whatever it hits, no record is served changed, what cannot be read is
// named, and reading on behind that finds the others.
func TestDamagedTable(t *testing.T) {
	t.Parallel()
	o := onDisk(t)
	e := open(t, o)
	const records = 400
	want := make(map[gatehouse.Offset]string)
	for i := range records {
		data := numbered("record", i) + strings.Repeat(string(rune('a'+i%26)), 300)
		b := &engine.Batch{Records: []engine.Record{record(false, "log", data), record(true, "other", data)}}
		commit(t, e, 1, b)
		want[b.Records[0].Offset] = data
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	compactAll(t, o)
	tables := files(t, o.Dir, ".sst")
	healthy := tables[len(tables)-1]
	data, err := os.ReadFile(healthy)
	if err != nil {
		t.Fatal(err)
	}
	damaged := 0
	for at := 100; at < len(data); at += len(data) / 12 {
		flip(t, healthy, at)
		e, err := pebbledb.Open(o)
		if err != nil {
			if !errors.Is(err, gatehouse.Internal) {
				t.Fatalf("Open with byte %d of a table changed: %v", at, err)
			}
			damaged++
		} else {
			n := readAround(t, e, want)
			if n < records {
				damaged++
			}
			_ = e.Close() // a compaction may have failed
		}
		if err := os.WriteFile(healthy, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if damaged == 0 {
		t.Fatal("no change has hit anything")
	}
	if n := readAround(t, open(t, o), want); n != records {
		t.Fatalf("%d records of %d without damage", n, records)
	}
}

// readAround reads a log, passing over what is damaged, and returns how many
// records it has got.
func readAround(t *testing.T, e *pebbledb.Engine, want map[gatehouse.Offset]string) int {
	t.Helper()
	seen, from, corrupt := 0, gatehouse.Offset(0), 0
	for {
		next, err := e.Log(1, "log").Read(context.Background(), from, func(o gatehouse.Offset, _ int64, data []byte) bool {
			if want[o] != string(data) {
				t.Errorf("record %d is %.40q, want %.40q", o, data, want[o])
			}
			seen++
			return true
		})
		if err == nil {
			break
		}
		c, ok := errors.AsType[*engine.CorruptError](err)
		if !ok || c.Shard != 1 || c.Stream != "log" || c.Offset < next {
			t.Fatalf("Read from %d: %v", from, err)
		}
		from = c.Offset + 1
		corrupt++
	}
	if seen < len(want) && corrupt == 0 {
		t.Errorf("%d of %d records were read, and no damage was told of", seen, len(want))
	}
	if corrupt > len(want)/4 {
		t.Errorf("damage of one bit was told of %d times", corrupt)
	}
	return seen
}

// compactAll has everything in tables.
func compactAll(t testing.TB, o pebbledb.Options) {
	t.Helper()
	db, err := pebble.Open(o.Dir, &pebble.Options{Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range [...]error{db.Flush(), db.Compact(context.Background(), []byte{0}, []byte{0xff}, false), db.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// crashed fills the queue of a store, and returns what a crash leaves of it
// once the end of the log is marked.
func crashed(t *testing.T) (mem *vfs.MemFS, log string, records int) {
	t.Helper()
	mem = vfs.NewCrashableMem()
	o := testOptions(mem)
	o.MemTable = 4 << 20
	e := open(t, o)
	const n = 50
	for i := range n {
		commit(t, e, 0, &engine.Batch{Records: []engine.Record{record(true, "queue", numbered("record", i)+strings.Repeat("x", 100))}})
	}
	fsyncs := e.Metrics().Fsyncs.Count
	for ctx := withPatience(t); e.Metrics().Fsyncs.Count == fsyncs; { // until the mark is written
		if ctx.Err() != nil {
			t.Fatal("the end of the log was not marked in time")
		}
	}
	return mem.CrashClone(vfs.CrashCloneCfg{}), newestLog(t, mem), n
}

func newestLog(t *testing.T, fs vfs.FS) string {
	t.Helper()
	names, err := fs.List("store")
	if err != nil {
		t.Fatal(err)
	}
	newest := ""
	for _, n := range names {
		if strings.HasSuffix(n, ".log") && n > newest {
			newest = n
		}
	}
	return path.Join("store", newest)
}

// change rewrites a file.
func change(t *testing.T, fs vfs.FS, name string, f func([]byte) []byte) {
	t.Helper()
	r, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	w, err := fs.Create(name, "test")
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(f(data))
	if err := errors.Join(err, w.Sync(), w.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedLog changes a bit of the write-ahead log that a crash has left, in
// the middle and in the last commit: Open must say so, and not leave out what
// was acknowledged.
func TestDamagedLog(t *testing.T) {
	t.Parallel()
	for _, what := range [...]string{numbered("record", 20), numbered("record", 49)} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			mem, log, _ := crashed(t)
			change(t, mem, log, func(data []byte) []byte {
				at := strings.Index(string(data), what)
				if at < 0 {
					t.Fatalf("%s is not in the log", what)
				}
				data[at] ^= 1
				return data
			})
			_, err := pebbledb.Open(testOptions(mem))
			if !errors.Is(err, gatehouse.Internal) || !strings.Contains(err.Error(), "is damaged and cannot be opened without loss") {
				t.Fatalf("Open: %v", err)
			}
		})
	}
}

// TestTornLog cuts the log off within what was written last and not
// acknowledged: that is no damage.
func TestTornLog(t *testing.T) {
	t.Parallel()
	mem, log, n := crashed(t)
	change(t, mem, log, func(data []byte) []byte {
		end := strings.LastIndex(string(data), "xxxx") + 4
		return append(data[:end:end], "half of what was written when the power failed"...)
	})
	e := open(t, testOptions(mem))
	if got := contents(t, own(t, e, 0), "queue"); len(got) != n {
		t.Fatalf("%d records of %d", len(got), n)
	}
}
