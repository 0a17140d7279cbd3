package pebbledb

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A gate stands between one Pebble instance and its files.
//
// Pebble cannot go on when a write of its log or manifest fails: it ends the
// process, and where it panics instead, with a lock it does not hold, that
// cannot be recovered from. So it is never told. The call that failed, and
// every later one that would change a file, waits while the engine fails what
// is in flight and has a new instance opened (gateBroken). Then they all
// succeed (gateDetached), but on files in memory that go away with the
// instance, so that it can be closed in order and does no harm. Reads pass.
type gate struct {
	vfs.FS
	// full is called if the disk is full, and reports whether that was mended.
	full func() bool
	// synced is told how long an fsync of the write-ahead log took.
	synced func(time.Duration)
	// broke is closed at the first failure.
	broke    chan struct{}
	detached chan struct{}

	mu   sync.RWMutex // held for reading while a file is changed
	mode gateMode
	err  error      // why it broke
	mem  *vfs.MemFS // what was made after it was detached
}

type gateMode uint8

const (
	gateOpening gateMode = iota // or closing: there is nobody to detach it, so that it is at once
	gateOpen
	gateBroken
	gateDetached
)

var errGate = errors.New("the store was given up")

func newGate(fs vfs.FS) *gate {
	return &gate{FS: fs, broke: make(chan struct{}), detached: make(chan struct{})}
}

// arm ends the opening of the instance: from now on there is somebody to detach
// it. It fails if something has failed.
func (g *gate) arm() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.mode = gateOpen
	}
	return g.err
}

// disarm has the gate detached at the first failure again, or now if there was
// one.
func (g *gate) disarm() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		g.detachLocked()
		return
	}
	g.mode = gateOpening
}

// fail breaks the gate. No file is being changed when it returns.
func (g *gate) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return
	}
	g.err = err
	close(g.broke)
	if g.mode == gateOpening {
		g.detachLocked()
		return
	}
	g.mode = gateBroken
}

// cause returns why the gate broke, nil if it did not.
func (g *gate) cause() error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.err
}

// detach lets those go who wait. What they and all others do from now on
// reaches no file.
func (g *gate) detach() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = errGate
		close(g.broke)
	}
	g.detachLocked()
}

func (g *gate) detachLocked() {
	if g.mode == gateDetached {
		return
	}
	g.mode, g.mem = gateDetached, vfs.NewMem()
	close(g.detached)
}

// change runs f, which changes a file, unless the gate is broken. If the disk
// is full and that can be mended f is run once more. It reports whether f was
// done; if not, the gate is detached now.
func (g *gate) change(f func() error) bool {
	ok, err := g.try(f)
	if errors.Is(err, syscall.ENOSPC) && g.full != nil && g.full() {
		ok, err = g.try(f)
	}
	if ok {
		return true
	}
	if err != nil {
		g.fail(err)
	}
	<-g.detached
	return false
}

func (g *gate) try(f func() error) (ok bool, err error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.err != nil {
		return false, nil
	}
	err = f()
	return err == nil, err
}

// lost returns the file system in memory, once the gate is detached, or nil.
func (g *gate) lost() *vfs.MemFS {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.mem
}

// make creates a file by f, or in memory.
func (g *gate) make(name string, c vfs.DiskWriteCategory, f func() (vfs.File, error)) (vfs.File, error) {
	var file vfs.File
	if g.change(func() (err error) { file, err = f(); return err }) {
		return &gatedFile{File: file, g: g, log: c == categoryLog}, nil
	}
	mem := g.lost()
	if err := mem.MkdirAll(mem.PathDir(name), 0o700); err != nil {
		return nil, err
	}
	return mem.Create(name, c)
}

// Create implements vfs.FS.
func (g *gate) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.make(name, c, func() (vfs.File, error) { return g.FS.Create(name, c) })
}

// OpenReadWrite implements vfs.FS.
func (g *gate) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return g.make(name, c, func() (vfs.File, error) { return g.FS.OpenReadWrite(name, c, opts...) })
}

// ReuseForWrite implements vfs.FS.
func (g *gate) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.make(to, c, func() (vfs.File, error) { return g.FS.ReuseForWrite(from, to, c) })
}

// Open implements vfs.FS.
func (g *gate) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if mem := g.lost(); mem != nil {
		if f, err := mem.Open(name); err == nil {
			return f, nil
		}
	}
	return g.FS.Open(name, opts...)
}

// Stat implements vfs.FS.
func (g *gate) Stat(name string) (vfs.FileInfo, error) {
	if mem := g.lost(); mem != nil {
		if info, err := mem.Stat(name); err == nil {
			return info, nil
		}
	}
	return g.FS.Stat(name)
}

// OpenDir implements vfs.FS.
func (g *gate) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &gatedFile{File: f, g: g}, nil
}

// Link implements vfs.FS.
func (g *gate) Link(from, to string) error {
	if !g.change(func() error { return g.FS.Link(from, to) }) {
		_ = g.lost().Link(from, to) // matters to nobody
	}
	return nil
}

// Rename implements vfs.FS.
func (g *gate) Rename(from, to string) error {
	if !g.change(func() error { return g.FS.Rename(from, to) }) {
		_ = g.lost().Rename(from, to) // matters to nobody
	}
	return nil
}

// MkdirAll implements vfs.FS.
func (g *gate) MkdirAll(dir string, perm os.FileMode) error {
	if !g.change(func() error { return g.FS.MkdirAll(dir, perm) }) {
		return g.lost().MkdirAll(dir, perm)
	}
	return nil
}

// Remove implements vfs.FS. That a file cannot be removed is no failure: Pebble
// tries again when it is opened.
func (g *gate) Remove(name string) error { return g.remove(g.FS.Remove, name) }

// RemoveAll implements vfs.FS.
func (g *gate) RemoveAll(name string) error { return g.remove(g.FS.RemoveAll, name) }

func (g *gate) remove(f func(string) error, name string) (err error) {
	g.change(func() error { err = f(name); return nil })
	return err
}

// Lock implements vfs.FS. The engine holds the lock of the directory, for all
// instances.
func (g *gate) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// Unwrap implements vfs.FS.
func (g *gate) Unwrap() vfs.FS { return g.FS }

const categoryLog vfs.DiskWriteCategory = "pebble-wal"

// A gatedFile is a file, or directory, that can be changed.
type gatedFile struct {
	vfs.File
	g   *gate
	log bool // of the write-ahead log
}

// Write implements vfs.File. After a full disk was mended it goes on where it
// had to stop.
func (f *gatedFile) Write(p []byte) (int, error) {
	n := 0
	f.g.change(func() error {
		m, err := f.File.Write(p[n:])
		n += m
		return err
	})
	return len(p), nil
}

// WriteAt implements vfs.File.
func (f *gatedFile) WriteAt(p []byte, off int64) (int, error) {
	f.g.change(func() error { _, err := f.File.WriteAt(p, off); return err })
	return len(p), nil
}

// Preallocate implements vfs.File. It is a help, not a must.
func (f *gatedFile) Preallocate(offset, length int64) (err error) {
	f.g.change(func() error { err = f.File.Preallocate(offset, length); return nil })
	return err
}

// Sync implements vfs.File.
func (f *gatedFile) Sync() error { f.sync(f.File.Sync); return nil }

// SyncData implements vfs.File.
func (f *gatedFile) SyncData() error { f.sync(f.File.SyncData); return nil }

// sync is change for an fsync. It is never tried again: after one that has
// failed, nobody can tell what is on disk.
func (f *gatedFile) sync(do func() error) {
	begin := time.Now()
	ok := f.g.change(func() error {
		err := do()
		if errors.Is(err, syscall.ENOSPC) {
			return errors.New("fsync: " + err.Error()) // not to be mended
		}
		return err
	})
	if ok && f.log && f.g.synced != nil {
		f.g.synced(time.Since(begin))
	}
}

// SyncTo implements vfs.File.
func (f *gatedFile) SyncTo(length int64) (full bool, err error) {
	f.g.change(func() (err error) { full, err = f.File.SyncTo(length); return err })
	return full, nil
}
