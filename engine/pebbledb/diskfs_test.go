package pebbledb_test

import (
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A smallDisk is a file system of limited size.
type smallDisk struct {
	vfs.FS
	free atomic.Int64
}

func newSmallDisk(fs vfs.FS) *smallDisk {
	d := &smallDisk{FS: fs}
	d.free.Store(1 << 40)
	return d
}

// take uses up n bytes if there are as many.
func (d *smallDisk) take(n int64) error {
	if d.free.Add(-n) < 0 {
		d.free.Add(n)
		return syscall.ENOSPC
	}
	return nil
}

func (d *smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: uint64(max(d.free.Load(), 0)), TotalBytes: 1 << 41}, nil
}

func (d *smallDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := d.take(4096); err != nil {
		return nil, err
	}
	f, err := d.FS.Create(name, c)
	return d.wrap(f), err
}

func (d *smallDisk) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.ReuseForWrite(from, to, c)
	return d.wrap(f), err
}

func (d *smallDisk) wrap(f vfs.File) vfs.File {
	if f == nil {
		return nil
	}
	return &smallFile{f, d}
}

func (d *smallDisk) Remove(name string) error {
	if info, err := d.FS.Stat(name); err == nil {
		d.free.Add(info.Size())
	}
	return d.FS.Remove(name)
}

type smallFile struct {
	vfs.File
	disk *smallDisk
}

// Write writes as much as there is space for, like a disk does.
func (f *smallFile) Write(p []byte) (int, error) {
	if err := f.disk.take(int64(len(p))); err == nil {
		return f.File.Write(p)
	}
	n, err := f.File.Write(p[:len(p)/2])
	if err == nil {
		err = syscall.ENOSPC
	}
	return n, err
}

type opMatch func(errorfs.Op) bool

// failing wraps a file system so that the operations that match fail with err
// while it is on.
func failing(fs vfs.FS, err error, match opMatch) (vfs.FS, *errorfs.Toggle) {
	t := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		if match(op) {
			return err
		}
		return nil
	})}
	return errorfs.Wrap(fs, t), t
}

func isWrite(op errorfs.Op) bool {
	return op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose
}

func isSync(op errorfs.Op) bool {
	return op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData
}
