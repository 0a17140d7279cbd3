package pebbledb_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/pebbledb"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// oneFault fails the n-th change of a file, and reports by fired whether there
// were as many.
func oneFault(fs vfs.FS, n int64, err error) (faulty vfs.FS, fired func() bool) {
	var count atomic.Int64
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if isWrite(op) && op.Kind != errorfs.OpLock && count.Add(1) == n {
			return err
		}
		return nil
	})), func() bool { return count.Load() >= n }
}

// TestEveryFault has one change of a file fail, each in turn: whichever it is,
// the process lives, what was acknowledged is there, and storing goes on.
func TestEveryFault(t *testing.T) {
	t.Parallel()
	const step, batches = 2, 120
	for n := int64(1); ; n += step {
		mem := vfs.NewMem()
		fs, fired := oneFault(mem, n, syscall.EIO)
		o := testOptions(fs)
		o.Probe = time.Millisecond
		e, err := pebbledb.Open(o)
		if err != nil {
			if !errors.Is(err, gatehouse.Unavailable) {
				t.Fatalf("fault %d: Open: %v", n, err)
			}
			e = open(t, o)
		}
		acked := make(map[gatehouse.Offset]string)
		failures := 0
		for i := range batches {
			b := &engine.Batch{Records: []engine.Record{record(true, "queue", numbered("record", i)+strings.Repeat("z", 8<<10))}}
			for ctx := withPatience(t); ; {
				err := try(e, 0, b)
				if err == nil {
					acked[b.Records[0].Offset] = string(b.Records[0].Data)
					break
				}
				failures++
				if !errors.Is(err, gatehouse.Unavailable) || ctx.Err() != nil {
					t.Fatalf("fault %d: Commit: %v", n, err)
				}
			}
		}
		check := func(e *pebbledb.Engine, when string) {
			got := contents(t, own(t, e, 0), "queue")
			for o, data := range acked {
				if got[o] != data {
					t.Fatalf("fault %d, %s: record %d was acknowledged, and is %.20q", n, when, o, got[o])
				}
			}
		}
		check(e, "after it")
		_ = e.Close() // may have failed
		o.FS = mem
		e = open(t, o)
		check(e, "opened again")
		if err := e.Close(); err != nil {
			t.Fatalf("fault %d: Close: %v", n, err)
		}
		if !fired() {
			t.Logf("changes of files: %d", n)
			return
		}
	}
}
