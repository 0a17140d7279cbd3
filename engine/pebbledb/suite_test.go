package pebbledb_test

import (
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/enginetest"
	"github.com/gatehouse/gatehouse/engine/pebbledb"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A storage is what the engines of a test are on.
type storage struct {
	mem     *vfs.MemFS
	options pebbledb.Options
}

// A harness remembers on what each engine is.
type harness struct {
	mu       sync.Mutex
	storages map[engine.Engine]storage
}

func (h *harness) on(t *testing.T, s storage) engine.Engine {
	t.Helper()
	e := open(t, s.options)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.storages[e] = s
	return e
}

func (h *harness) storage(e engine.Engine) storage {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.storages[e]
}

func (h *harness) open(t *testing.T) engine.Engine {
	mem := vfs.NewCrashableMem()
	return h.on(t, storage{mem, testOptions(mem)})
}

func (h *harness) reopen(t *testing.T, e engine.Engine) engine.Engine { return h.on(t, h.storage(e)) }

func (h *harness) crash(t *testing.T, e engine.Engine, r *rand.Rand) engine.Engine {
	s := h.storage(e)
	s.mem = s.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
	s.options.FS = s.mem
	_ = e.Close()
	return h.on(t, s)
}

// corrupt changes a bit of the data of a record as a cache or memtable would
// that forgets: Pebble's own checksums are right.
func (h *harness) corrupt(t *testing.T, e engine.Engine, p enginetest.Place) engine.Engine {
	if err := e.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	s := h.storage(e)
	db, err := pebble.Open(s.options.Dir, &pebble.Options{FS: s.mem, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	key := pebbledb.RecordKey(p.Queue, p.Shard, p.Stream, p.Offset)
	value, closer, err := db.Get(key)
	if err != nil {
		t.Fatalf("record %+v: %v", p, err)
	}
	changed := append([]byte(nil), value...)
	changed[len(changed)-1] ^= 0x10
	for _, err := range [...]error{closer.Close(), db.Set(key, changed, pebble.Sync), db.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return h.on(t, s)
}

// fault opens an engine that is quick to see that storage works again.
func (h *harness) fault(t *testing.T, fs vfs.FS) engine.Engine {
	o := testOptions(fs)
	o.Probe = 20 * time.Millisecond
	o.MinFree, o.Reserve = 4<<20, 2<<20
	return h.on(t, storage{options: o})
}

func TestEngine(t *testing.T) {
	t.Parallel()
	h := &harness{storages: make(map[engine.Engine]storage)}
	faults := []enginetest.Fault{{Name: "FullDisk", Open: func(t *testing.T) (engine.Engine, func(bool)) {
		disk := newSmallDisk(vfs.NewMem())
		return h.fault(t, disk), func(on bool) {
			if on {
				disk.free.Store(128 << 10)
			} else {
				disk.free.Store(1 << 40)
			}
		}
	}}}
	for _, f := range []struct {
		name  string
		err   error
		match opMatch
	}{{"Writes", syscall.EIO, isWrite}, {"Fsyncs", syscall.EIO, isSync}, {"NoSpaceAtAll", syscall.ENOSPC, isWrite}} {
		faults = append(faults, enginetest.Fault{Name: f.name, Open: func(t *testing.T) (engine.Engine, func(bool)) {
			fs, toggle := failing(vfs.NewMem(), f.err, f.match)
			return h.fault(t, fs), func(on bool) {
				if on {
					toggle.On()
				} else {
					toggle.Off()
				}
			}
		}})
	}
	enginetest.Run(t, enginetest.Harness{Open: h.open, Reopen: h.reopen, Crash: h.crash, Corrupt: h.corrupt, Faults: faults})
}
