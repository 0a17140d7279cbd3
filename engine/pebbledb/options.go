package pebbledb

import (
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options of an Engine. The zero value of a field means its default.
type Options struct {
	// Dir is the directory of the store. It is created if it does not exist.
	Dir string
	// FS is where Dir is. The default is the file system of the machine.
	FS vfs.FS
	// Shards is the number of shards of a new store, 8 by default. A store
	// that exists refuses another number; zero takes the one it has.
	Shards int
	// Cache is how many bytes of blocks read from disk are kept in memory;
	// 64 MiB by default.
	Cache int64
	// MemTable is how many bytes of recent commits are gathered in memory
	// before they are written into a table; 32 MiB by default. Up to three
	// times as much memory is used for them.
	MemTable int64
	// OpenFiles is how many files are kept open; 1,000 by default.
	OpenFiles int
	// MinFree is the free space of the disk in bytes below which no more
	// records are taken; 256 MiB by default. Negative: it is not looked at.
	MinFree int64
	// Reserve is how many bytes are set aside in a file that is given up when
	// the disk is full; 64 MiB by default. Negative: none.
	Reserve int64
	// Probe is how often the free space is looked at and, after writing has
	// failed, whether it works again; once a second by default.
	Probe time.Duration
	// Logger tells what operators should know. The default discards it.
	Logger *slog.Logger
}

// Defaults of Options.
const (
	DefaultShards = 8

	defaultCache     = 64 << 20
	defaultMemTable  = 32 << 20
	defaultOpenFiles = 1000
	defaultMinFree   = 256 << 20
	defaultReserve   = 64 << 20
	defaultProbe     = time.Second
)

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Cache == 0 {
		o.Cache = defaultCache
	}
	if o.MemTable == 0 {
		o.MemTable = defaultMemTable
	}
	if o.OpenFiles == 0 {
		o.OpenFiles = defaultOpenFiles
	}
	if o.MinFree == 0 {
		o.MinFree = defaultMinFree
	}
	if o.Reserve == 0 {
		o.Reserve = defaultReserve
	}
	if o.Probe == 0 {
		o.Probe = defaultProbe
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}
