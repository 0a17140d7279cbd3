package pebbledb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"github.com/gatehouse/gatehouse"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pebble takes the write-ahead log to end where it cannot be read: after a
// crash that is how it ends. It tells damage from a torn end only in part: its
// log says here and there how far it was synced, but counts only some of what
// was, and within the last 32 KiB it does not look. Of a log that is damaged it
// may leave out what was acknowledged, in silence.
//
// So every group carries a stamp, as log data, which is in the log only: its
// number, and that of the last group that was known to be on disk when it was
// written. When a store is opened, the newest log is looked through first. If
// it cannot be read at some place, and a stamp behind that place knows of a
// group there that was on disk, then the log is damaged, and not torn, and
// Open fails. (Of older logs Pebble demands a proper end.) When nothing is
// committed for a while a stamp without a group is written, so that this holds
// for the last group too.
type stamp struct {
	number  uint64 // of the group, from 1 in each instance; without one, of the next
	durable uint64 // number of a group on disk
}

const (
	stampMagic = "gh-stamp"
	stampLen   = len(stampMagic) + 16
	stampAt    = batchHeader + 2 // in a batch
	// batchHeader is the length of what a batch of Pebble begins with; a kind
	// and a length follow.
	batchHeader   = 12
	kindLogData   = 3
	logBlock      = 32 << 10
	logHeader     = 11 // of a chunk: checksum, length, kind, number of the log
	logSyncHeader = logHeader + 8
)

// addStamp makes room for a stamp in an empty batch.
func addStamp(b *pebble.Batch) {
	var room [stampLen]byte
	copy(room[:], stampMagic)
	_ = b.LogData(room[:], nil) // always nil
}

// setStamp fills in the stamp of a batch.
func setStamp(b *pebble.Batch, s stamp) {
	room := b.Repr()[stampAt+len(stampMagic):]
	binary.BigEndian.PutUint64(room, s.number)
	binary.BigEndian.PutUint64(room[8:], s.durable)
}

// readStamp returns the stamp of a batch, of which this is the beginning.
func readStamp(batch []byte) (s stamp, ok bool) {
	if len(batch) < stampAt+stampLen || batch[batchHeader] != kindLogData || batch[batchHeader+1] != byte(stampLen) ||
		!bytes.HasPrefix(batch[stampAt:], []byte(stampMagic)) {
		return s, false
	}
	room := batch[stampAt+len(stampMagic):]
	return stamp{binary.BigEndian.Uint64(room), binary.BigEndian.Uint64(room[8:])}, true
}

// A chunk is a piece of a log: of a record, which is a batch.
type chunk struct {
	data        []byte
	first, last bool
	end         int
}

// parseChunk reads the chunk of a log at an offset. ok is false if there is
// none; end says that the log was ended there in order.
func parseChunk(data []byte, at int, number uint32) (c chunk, end, ok bool) {
	limit := min(len(data), (at/logBlock+1)*logBlock)
	if at+logHeader > limit {
		return c, false, false
	}
	kind := data[at+6]
	header := logHeader
	switch {
	case 5 <= kind && kind <= 8:
		kind -= 5
	case 9 <= kind && kind <= 12:
		kind -= 9
		header = logSyncHeader
	default:
		return c, false, false
	}
	stop := at + header + int(binary.LittleEndian.Uint16(data[at+4:]))
	if stop > limit {
		return c, false, false
	}
	sum := crc32.Checksum(data[at+6:stop], castagnoli)
	if (sum>>15|sum<<17)+0xa282ead8 != binary.LittleEndian.Uint32(data[at:]) {
		return c, false, false
	}
	switch binary.LittleEndian.Uint32(data[at+7:]) {
	case number:
	case number + 1:
		return c, true, false
	default:
		return c, false, false // of a file that was used before
	}
	return chunk{data[at+header : stop], kind == 0 || kind == 1, kind == 0 || kind == 3, stop}, false, true
}

// A logScan goes through a log.
type logScan struct {
	data   []byte
	number uint32
	good   uint64 // number of the last group that can be read in full
	seen   bool   // there was one
}

// readable goes through what can be read, and returns where that ends; ended
// is true if the log does.
func (l *logScan) readable() (at int, ended bool) {
	var current stamp
	stamped := false
	for {
		if rest := logBlock - at%logBlock; rest < logSyncHeader && allZero(l.data[at:min(at+rest, len(l.data))]) {
			at += rest
		}
		if at >= len(l.data) {
			return at, true
		}
		c, end, ok := parseChunk(l.data, at, l.number)
		if !ok {
			return at, end
		}
		if c.first {
			current, stamped = readStamp(c.data)
		}
		if c.last && stamped {
			l.good, l.seen = current.number, true
		}
		at = c.end
	}
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// lost looks behind the place where reading has ended for proof that a group
// there was on disk, and returns the number of the last one.
func (l *logScan) lost(from int) (group uint64, ok bool) {
	for at := from + 1; at+logHeader <= len(l.data); at++ {
		if kind := l.data[at+6]; kind < 5 || kind > 12 || binary.LittleEndian.Uint32(l.data[at+7:]) != l.number {
			continue
		}
		c, _, ok := parseChunk(l.data, at, l.number)
		if !ok || !c.first {
			continue
		}
		s, ok := readStamp(c.data)
		if !ok {
			continue
		}
		if !l.seen {
			// The log begins with what cannot be read: with the group before
			// this one, at the latest.
			l.seen, l.good = true, max(s.number, 2)-2
		}
		if s.durable > l.good {
			return s.durable, true
		}
	}
	return 0, false
}

// checkLog fails if the newest log of a store is damaged.
func checkLog(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if err != nil {
		return gatehouse.Wrap(gatehouse.Unavailable, err, fmt.Sprintf("store %s cannot be read: %v", dir, err))
	}
	newest, number := "", uint64(0)
	for _, name := range names {
		digits, ok := strings.CutSuffix(name, ".log")
		n, err := strconv.ParseUint(digits, 10, 64)
		if ok && err == nil && n >= number {
			newest, number = name, n
		}
	}
	if newest == "" {
		return nil
	}
	data, err := readAll(fs, fs.PathJoin(dir, newest))
	if err != nil {
		return gatehouse.Wrap(gatehouse.Unavailable, err, fmt.Sprintf("store %s cannot be read: %v", dir, err))
	}
	l := &logScan{data: data, number: uint32(number)}
	at, ended := l.readable()
	if ended {
		return nil
	}
	if group, ok := l.lost(at); ok {
		return gatehouse.Errorf(gatehouse.Internal, "store %s is damaged and cannot be opened without loss: its write-ahead log %s cannot be read at byte %d, and groups of commits up to number %d, which were acknowledged, are behind that; restore the store from a backup", dir, newest, at, group)
	}
	return nil
}

func readAll(fs vfs.FS, name string) (data []byte, err error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(f)
}
