package pebbledb

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A gate stands between one Pebble instance and its files.
//
// Pebble ends the process when a write of its log or manifest fails. The gate
// keeps it from learning of such a failure too early: the call that failed,
// and every later one that would change a file, waits until the engine has
// failed what is in flight and is about to close the instance (release). From
// then on such calls fail without touching a file, so that the instance that
// is opened in its place has the files for itself. Reads always pass.
type gate struct {
	vfs.FS
	// full is called if the disk is full, and reports whether that was mended.
	full func() bool
	// sync is told how long an fsync of the write-ahead log took.
	sync func(time.Duration)
	// broke is closed at the first failure.
	broke    chan struct{}
	released chan struct{}

	mu   sync.RWMutex // held for reading while a file is changed
	mode gateMode
	err  error // why it broke
}

type gateMode uint8

const (
	gateOpening gateMode = iota // failures are returned: Open deals with them
	gateOpen
	gateBroken   // calls wait for release
	gateReleased // calls fail
)

var errGate = errors.New("the store is being closed after a failed write")

func newGate(fs vfs.FS) *gate {
	return &gate{FS: fs, broke: make(chan struct{}), released: make(chan struct{})}
}

// arm ends the opening of the instance. It fails if something has failed.
func (g *gate) arm() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.mode = gateOpen
	}
	return g.err
}

// fail breaks the gate.
func (g *gate) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return
	}
	g.err = err
	if g.mode == gateOpen {
		g.mode = gateBroken
	}
	close(g.broke)
}

// cause returns why the gate broke.
func (g *gate) cause() error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.err
}

// opening reports whether the instance is still being opened.
func (g *gate) opening() bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.mode == gateOpening
}

// release lets those go who wait, with an error, once no file is being changed.
func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mode == gateReleased {
		return
	}
	g.mode = gateReleased
	if g.err == nil {
		g.err = errGate
		close(g.broke)
	}
	close(g.released)
}

// change runs f, which changes a file, if that is allowed. If the disk is full
// and that can be mended f is run once more.
func (g *gate) change(f func() error) error {
	g.mu.RLock()
	if g.err != nil {
		return g.refuse()
	}
	err := f()
	g.mu.RUnlock()
	if errors.Is(err, syscall.ENOSPC) && g.full != nil && g.full() {
		g.mu.RLock()
		if g.err != nil {
			return g.refuse()
		}
		err = f()
		g.mu.RUnlock()
	}
	if err == nil {
		return nil
	}
	g.fail(err)
	g.mu.RLock()
	_ = g.refuse()
	return err
}

// refuse waits until the gate is released, if it has to be, and returns an
// error. mu is held for reading, and let go.
func (g *gate) refuse() error {
	mode := g.mode
	g.mu.RUnlock()
	if mode == gateBroken {
		<-g.released
	}
	return errGate
}

// Create implements vfs.FS.
func (g *gate) Create(name string, category vfs.DiskWriteCategory) (f vfs.File, err error) {
	err = g.change(func() (err error) { f, err = g.FS.Create(name, category); return err })
	return g.wrap(f, category), err
}

// Link implements vfs.FS.
func (g *gate) Link(from, to string) error {
	return g.change(func() error { return g.FS.Link(from, to) })
}

// Open implements vfs.FS.
func (g *gate) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	return g.FS.Open(name, opts...)
}

// OpenReadWrite implements vfs.FS.
func (g *gate) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (f vfs.File, err error) {
	err = g.change(func() (err error) { f, err = g.FS.OpenReadWrite(name, category, opts...); return err })
	return g.wrap(f, category), err
}

// OpenDir implements vfs.FS.
func (g *gate) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	return g.wrap(f, ""), err
}

// Remove implements vfs.FS. That a file cannot be removed is no failure: Pebble
// tries again when it is opened.
func (g *gate) Remove(name string) error { return g.remove(g.FS.Remove, name) }

// RemoveAll implements vfs.FS.
func (g *gate) RemoveAll(name string) error { return g.remove(g.FS.RemoveAll, name) }

func (g *gate) remove(f func(string) error, name string) error {
	g.mu.RLock()
	if g.err != nil {
		return g.refuse()
	}
	defer g.mu.RUnlock()
	return f(name)
}

// Rename implements vfs.FS.
func (g *gate) Rename(from, to string) error {
	return g.change(func() error { return g.FS.Rename(from, to) })
}

// ReuseForWrite implements vfs.FS.
func (g *gate) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (f vfs.File, err error) {
	err = g.change(func() (err error) { f, err = g.FS.ReuseForWrite(from, to, category); return err })
	return g.wrap(f, category), err
}

// MkdirAll implements vfs.FS.
func (g *gate) MkdirAll(dir string, perm os.FileMode) error {
	return g.change(func() error { return g.FS.MkdirAll(dir, perm) })
}

// Unwrap implements vfs.FS.
func (g *gate) Unwrap() vfs.FS { return g.FS }

const categoryLog vfs.DiskWriteCategory = "pebble-wal"

func (g *gate) wrap(f vfs.File, category vfs.DiskWriteCategory) vfs.File {
	if f == nil {
		return nil
	}
	return &gatedFile{File: f, g: g, log: category == categoryLog}
}

// A gatedFile is a file, or directory, that can be changed.
type gatedFile struct {
	vfs.File
	g   *gate
	log bool // of the write-ahead log
}

// Write implements vfs.File. After a full disk was mended it goes on where it
// had to stop.
func (f *gatedFile) Write(p []byte) (n int, err error) {
	err = f.g.change(func() error {
		m, err := f.File.Write(p[n:])
		n += m
		return err
	})
	return n, err
}

// WriteAt implements vfs.File.
func (f *gatedFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.g.change(func() (err error) { n, err = f.File.WriteAt(p, off); return err })
	return n, err
}

// Preallocate implements vfs.File. It is a help, not a must.
func (f *gatedFile) Preallocate(offset, length int64) error {
	f.g.mu.RLock()
	if f.g.err != nil {
		return f.g.refuse()
	}
	defer f.g.mu.RUnlock()
	return f.File.Preallocate(offset, length)
}

// Sync implements vfs.File.
func (f *gatedFile) Sync() error { return f.timed(f.File.Sync) }

// SyncData implements vfs.File.
func (f *gatedFile) SyncData() error { return f.timed(f.File.SyncData) }

// timed is change for an fsync. It is never tried again: after one that has
// failed, nobody can tell what is on disk.
func (f *gatedFile) timed(sync func() error) error {
	begin := time.Now()
	err := f.g.change(func() error {
		err := sync()
		if errors.Is(err, syscall.ENOSPC) {
			return errors.New("fsync: " + err.Error()) // not to be mended
		}
		return err
	})
	if err == nil && f.log && f.g.sync != nil {
		f.g.sync(time.Since(begin))
	}
	return err
}

// SyncTo implements vfs.File.
func (f *gatedFile) SyncTo(length int64) (full bool, err error) {
	err = f.g.change(func() (err error) { full, err = f.File.SyncTo(length); return err })
	return full, err
}
