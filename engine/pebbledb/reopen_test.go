package pebbledb_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/pebbledb"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// onDisk are options for a real directory.
func onDisk(t testing.TB) pebbledb.Options {
	o := testOptions(vfs.Default)
	o.Dir = filepath.Join(t.TempDir(), "store")
	return o
}

func TestReopenDirectory(t *testing.T) {
	t.Parallel()
	o := onDisk(t)
	o.Reserve = 1 << 20
	e := open(t, o)
	b := &engine.Batch{
		Records: []engine.Record{record(false, "log", "a"), record(true, "queue", "b"), record(true, "queue", "c")},
		State:   []engine.Row{{Key: "k", Value: []byte("v")}},
	}
	commit(t, e, 3, b)
	commit(t, e, 3, &engine.Batch{Remove: []engine.Ref{{Queue: "queue", Offset: b.Records[1].Offset}}})
	last := b.Records[2].Offset
	if err := e.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	o.Shards = 0
	e = open(t, o)
	if e.Shards() != 4 {
		t.Fatalf("%d shards, want 4", e.Shards())
	}
	got := contents(t, own(t, e, 3), "queue")
	if len(got) != 1 || got[last] != "c" {
		t.Fatalf("the queue holds %v", got)
	}
	if v, err := e.State(3).Get("k"); err != nil || string(v) != "v" {
		t.Fatalf("State.Get: %q, %v", v, err)
	}
	b = &engine.Batch{Records: []engine.Record{record(true, "queue", "d")}}
	commit(t, e, 3, b)
	if b.Records[0].Offset <= last {
		t.Fatalf("offset %d after %d", b.Records[0].Offset, last)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, format string
		shards       int
		kind         gatehouse.Kind
		text         string
	}{
		{"newer", "gatehouse pebbledb format 7 shards 4\n", 4, gatehouse.Invalid, "has format version 7, but this version of Gatehouse reads up to version 1"},
		{"newer, with more to say", "gatehouse pebbledb format 2 mirrors 4\n", 4, gatehouse.Invalid, "has format version 2"},
		{"shards", "", 5, gatehouse.Invalid, "was made with 4 shards, not 5"},
		{"no format", "something else\n", 4, gatehouse.Invalid, "does not say which format"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := onDisk(t)
			if err := open(t, o).Close(); err != nil {
				t.Fatal(err)
			}
			if test.format != "" {
				if err := os.WriteFile(filepath.Join(o.Dir, "FORMAT"), []byte(test.format), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			o.Shards = test.shards
			e, err := pebbledb.Open(o)
			if err == nil {
				_ = e.Close()
				t.Fatal("Open succeeded")
			}
			if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.text) {
				t.Fatalf("Open: %v, want %v: … %s …", err, test.kind, test.text)
			}
		})
	}
}

// TestFormatLost opens a store whose FORMAT file a crash has kept from being
// written, and one whose data are gone.
func TestFormatLost(t *testing.T) {
	t.Parallel()
	o := onDisk(t)
	e := open(t, o)
	commit(t, e, 0, &engine.Batch{Records: []engine.Record{record(true, "q", "x")}})
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(o.Dir, "FORMAT")); err != nil {
		t.Fatal(err)
	}
	o.Shards = 9
	if _, err := pebbledb.Open(o); !errors.Is(err, gatehouse.Invalid) {
		t.Fatalf("Open with another number of shards: %v", err)
	}
	o.Shards = 0
	e = open(t, o)
	if got := contents(t, own(t, e, 0), "q"); len(got) != 1 {
		t.Fatalf("the queue holds %v", got)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(o.Dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if filepath.Base(f) != "FORMAT" {
			if err := os.RemoveAll(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := pebbledb.Open(o); !errors.Is(err, gatehouse.Invalid) || !strings.Contains(err.Error(), "no data") {
		t.Fatalf("Open without data: %v", err)
	}
}

// TestLock opens a store twice: within this process, and from another.
func TestLock(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("PEBBLEDB_TEST_LOCKED"); dir != "" {
		o := testOptions(vfs.Default)
		o.Dir = dir
		_, err := pebbledb.Open(o)
		if !errors.Is(err, gatehouse.Unavailable) || !strings.Contains(err.Error(), "another gateway") {
			t.Fatalf("Open: %v", err)
		}
		return
	}
	o := onDisk(t)
	e := open(t, o)
	if _, err := pebbledb.Open(o); !errors.Is(err, gatehouse.Unavailable) {
		t.Fatalf("Open twice: %v", err)
	}
	cmd := exec.CommandContext(withPatience(t), os.Args[0], "-test.run=^TestLock$")
	cmd.Env = append(os.Environ(), "PEBBLEDB_TEST_LOCKED="+o.Dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the other process: %v\n%s", err, out)
	}
	commit(t, e, 0, &engine.Batch{Records: []engine.Record{record(true, "q", "x")}})
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, o)
}
