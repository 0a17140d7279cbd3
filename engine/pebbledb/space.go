package pebbledb

import (
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// reserveFile takes up space that is given up when the disk is full.
const reserveFile = "RESERVE"

// watchDisk looks at the free space from time to time until the engine is
// closed.
func (e *Engine) watchDisk() {
	ticker := time.NewTicker(e.opts.Probe)
	defer ticker.Stop()
	for {
		e.lookAtDisk()
		select {
		case <-e.closing:
			return
		case <-ticker.C:
		}
	}
}

// lookAtDisk decides whether records are taken. Once the disk was full there
// must be space for the reserve again.
func (e *Engine) lookAtDisk() {
	e.mu.Lock()
	full, reserved, failed := e.full, e.reserved, e.failed != nil
	e.mu.Unlock()
	if failed {
		return
	}
	low := e.isLow()
	if !low && !reserved {
		low = e.makeReserve() != nil
		reserved = !low
	}
	if low == full {
		if reserved {
			e.setFull(full, reserved)
		}
		return
	}
	if low {
		e.opts.Logger.Error("the disk is nearly full; no more messages are stored", "store", e.opts.Dir, "minFree", e.opts.MinFree)
	} else {
		e.opts.Logger.Info("there is space on the disk again", "store", e.opts.Dir)
	}
	e.setFull(low, reserved)
}

func (e *Engine) setFull(full, reserved bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.full, e.reserved = full, reserved
}

// isLow reports whether less than MinFree bytes are free, as far as the file
// system tells.
func (e *Engine) isLow() bool {
	if e.opts.MinFree < 0 {
		return false
	}
	usage, err := e.opts.FS.GetDiskUsage(e.opts.Dir)
	return err == nil && usage.AvailBytes < uint64(e.opts.MinFree)
}

// makeReserve sets the reserve aside, unless it is there. It is allocated, and
// not only a hole.
func (e *Engine) makeReserve() error {
	if e.opts.Reserve <= 0 {
		return nil
	}
	fs := e.opts.FS
	name := fs.PathJoin(e.opts.Dir, reserveFile)
	if info, err := fs.Stat(name); err == nil && info.Size() >= e.opts.Reserve {
		return nil
	}
	f, err := fs.Create(name, "gatehouse")
	if err != nil {
		return err
	}
	err = fillReserve(f, e.opts.Reserve)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, fs.Remove(name))
	}
	return nil
}

func fillReserve(f vfs.File, size int64) error {
	if err := f.Preallocate(0, size); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil || info.Size() >= size {
		return err
	}
	// The file system does not know how to allocate. Zeros will do, unless it
	// compresses them.
	zeros := make([]byte, 1<<20)
	for n := info.Size(); n < size; n += int64(len(zeros)) {
		if _, err := f.Write(zeros[:min(int64(len(zeros)), size-n)]); err != nil {
			return err
		}
	}
	return f.Sync()
}

// diskFull is called when a file cannot grow. It gives up the reserve and
// reports whether there was one.
func (e *Engine) diskFull() bool {
	e.mu.Lock()
	had := e.reserved
	e.full, e.reserved = true, false
	e.mu.Unlock()
	if !had {
		return false
	}
	e.opts.Logger.Error("the disk is full; the reserve is given up, and no more messages are stored", "store", e.opts.Dir)
	fs := e.opts.FS
	return fs.Remove(fs.PathJoin(e.opts.Dir, reserveFile)) == nil
}
