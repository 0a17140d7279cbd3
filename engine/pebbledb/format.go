package pebbledb

import (
	"errors"
	"fmt"
	"os"

	"github.com/gatehouse/gatehouse"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// formatVersion is the version of everything the engine writes: keys, values
// and the version of Pebble's own format. It is kept in the file FORMAT, which
// is read before Pebble touches anything, and in a row of the store, which is
// written first and decides if a crash has kept the file from being written.
const (
	formatVersion = 1
	formatFile    = "FORMAT"
	lockFile      = "LOCK"
	formatLine    = "gatehouse pebbledb format %d shards %d\n"
)

// lockDir makes the directory and locks it against other processes.
func (e *Engine) lockDir() error {
	dir := e.opts.Dir
	if err := e.opts.FS.MkdirAll(dir, 0o750); err != nil {
		return gatehouse.Wrap(gatehouse.Unavailable, err, fmt.Sprintf("store %s cannot be made: %v; check the path and its permissions", dir, err))
	}
	lock, err := e.opts.FS.Lock(e.opts.FS.PathJoin(dir, lockFile))
	if err != nil {
		return gatehouse.Wrap(gatehouse.Unavailable, err, fmt.Sprintf("store %s cannot be locked: %v; if another gateway has it open, stop that one first", dir, err))
	}
	e.lock = lock
	return nil
}

// prepare checks the FORMAT file, if there is one, and returns the number of
// shards to open the store with: zero for whatever the store says.
func (e *Engine) prepare() (shards int, err error) {
	fs, dir := e.opts.FS, e.opts.Dir
	data, err := readAll(fs, fs.PathJoin(dir, formatFile))
	if errors.Is(err, os.ErrNotExist) {
		return e.opts.Shards, nil
	}
	if err != nil {
		return 0, gatehouse.Wrap(gatehouse.Unavailable, err, fmt.Sprintf("store %s cannot be read: %v", dir, err))
	}
	text := string(data)
	var version, count int
	if _, err := fmt.Sscanf(text, "gatehouse pebbledb format %d", &version); err != nil {
		return 0, gatehouse.Errorf(gatehouse.Invalid, "file %s of store %s does not say which format the store has: %q", formatFile, dir, cut(text))
	}
	if err := checkVersion(dir, version); err != nil {
		return 0, err
	}
	if _, err := fmt.Sscanf(text, formatLine, &version, &count); err != nil {
		return 0, gatehouse.Errorf(gatehouse.Invalid, "file %s of store %s does not say how many shards the store has: %q", formatFile, dir, cut(text))
	}
	d, err := pebble.Peek(dir, fs)
	if err != nil {
		return 0, gatehouse.Wrap(gatehouse.Unavailable, err, fmt.Sprintf("store %s cannot be read: %v", dir, err))
	}
	if !d.Exists {
		return 0, gatehouse.Errorf(gatehouse.Invalid, "store %s has a file %s but no data: its files were lost; restore them from a backup, or remove the directory to start with an empty store", dir, formatFile)
	}
	return count, checkShards(dir, count, e.opts.Shards)
}

func cut(s string) string { return s[:min(len(s), 80)] }

func checkVersion(dir string, version int) error {
	if version > formatVersion {
		return gatehouse.Errorf(gatehouse.Invalid, "store %s has format version %d, but this version of Gatehouse reads up to version %d; use the version that wrote it, or a newer one", dir, version, formatVersion)
	}
	if version < 1 {
		return gatehouse.Errorf(gatehouse.Invalid, "store %s has format version %d, which does not exist", dir, version)
	}
	return nil
}

func checkShards(dir string, has, wanted int) error {
	if wanted != 0 && wanted != has {
		return gatehouse.Errorf(gatehouse.Invalid, "store %s was made with %d shards, not %d; the number of shards cannot be changed", dir, has, wanted)
	}
	return nil
}

// writeFormat writes the FORMAT file of a store that has none.
func (e *Engine) writeFormat(shards int) error {
	fs, dir := e.opts.FS, e.opts.Dir
	name := fs.PathJoin(dir, formatFile)
	if _, err := fs.Stat(name); err == nil {
		return nil
	}
	err := writeFile(fs, dir, name, fmt.Sprintf(formatLine, formatVersion, shards))
	if err != nil {
		return gatehouse.Wrap(gatehouse.Unavailable, err, fmt.Sprintf("store %s cannot be written: %v", dir, err))
	}
	return nil
}

// writeFile writes a file durably: all of it is there or nothing.
func writeFile(fs vfs.FS, dir, name, text string) error {
	f, err := fs.Create(name+".tmp", "gatehouse")
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(text))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(name+".tmp", name); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// settle makes the rows of a new store, or checks those of an old one, counts
// the start, and returns the number of shards.
func (in *instance) settle(shards int) (int, error) {
	dir := in.e.opts.Dir
	format, err := in.number(metaKey(metaFormat))
	if err != nil {
		return 0, err
	}
	starts, err := in.number(metaKey(metaStarts))
	if err != nil {
		return 0, err
	}
	b := in.db.NewBatch()
	if format == 0 {
		// The first log of a database is written in an old format.
		if err := in.db.Flush(); err != nil {
			return 0, in.unavailable(err)
		}
		if empty, err := in.empty(); err != nil || !empty {
			return 0, errors.Join(err, gatehouse.Errorf(gatehouse.Invalid, "directory %s holds a database that is not a store of Gatehouse", dir))
		}
		if shards == 0 {
			shards = DefaultShards
		}
		if shards < 0 || shards > 1<<16 {
			return 0, gatehouse.Errorf(gatehouse.Invalid, "a store cannot have %d shards; choose between 1 and %d", shards, 1<<16)
		}
		err = setNumber(b, metaKey(metaFormat), formatVersion<<32|uint64(shards))
	} else {
		if err := checkVersion(dir, int(format>>32)); err != nil {
			return 0, err
		}
		has := int(uint32(format))
		if err := checkShards(dir, has, shards); err != nil {
			return 0, err
		}
		shards = has
	}
	err = errors.Join(err, setNumber(b, metaKey(metaStarts), starts+1))
	if err != nil {
		return 0, in.unavailable(err)
	}
	return shards, in.write(b)
}
