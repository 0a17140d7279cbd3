package pebbledb

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"

	"github.com/cockroachdb/pebble/v2"
)

// Every value is a CRC-32C (Castagnoli) of the key and of what follows it in
// the value, little-endian, and then
//
//	of a record:   1 byte of flags, 8 of enqueued, 8 of expires and 8 of
//	               not-before if the flags say so, and the data
//	of a segment:  8 bytes of enqueued, 8 of bytes in the log before it
//	of a row:      the value; in a table 8 bytes of revision before it
//
// Pebble has checksums of its own for blocks and for chunks of the write-ahead
// log. These here hold from Commit to the reader, through memtables, caches
// and compactions, and tie a value to its key.
const (
	crcLen = 4

	flagExpires   = 1 << 0
	flagNotBefore = 1 << 1
	flagRecord    = 1 << 4 // set in every record of this format
	knownFlags    = flagExpires | flagNotBefore | flagRecord

	recordHeader = crcLen + 1 + 8
	segmentLen   = crcLen + 8 + 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal writes the checksum to the front of value.
func seal(key, value []byte) {
	c := crc32.Update(0, castagnoli, key)
	c = crc32.Update(c, castagnoli, value[crcLen:])
	binary.LittleEndian.PutUint32(value, c)
}

// intact reports whether value is what was stored under key.
func intact(key, value []byte) bool {
	if len(value) < crcLen {
		return false
	}
	c := crc32.Update(0, castagnoli, key)
	c = crc32.Update(c, castagnoli, value[crcLen:])
	return binary.LittleEndian.Uint32(value) == c
}

// setRecord adds a record to b.
func setRecord(b *pebble.Batch, s engine.Shard, r *engine.Record, enqueued int64) error {
	space, flags, n := byte(spaceLog), byte(flagRecord), recordHeader
	if r.Queue {
		space = spaceQueue
		if r.Expires != 0 {
			flags |= flagExpires
			n += 8
		}
		if r.NotBefore != 0 {
			flags |= flagNotBefore
			n += 8
		}
	}
	op := b.SetDeferred(streamKeyLen(r.Stream), n+len(r.Data))
	putStreamKey(op.Key, space, s, r.Stream, r.Offset)
	v := op.Value
	v[crcLen] = flags
	binary.BigEndian.PutUint64(v[crcLen+1:], uint64(enqueued))
	at := recordHeader
	if flags&flagExpires != 0 {
		binary.BigEndian.PutUint64(v[at:], uint64(r.Expires))
		at += 8
	}
	if flags&flagNotBefore != 0 {
		binary.BigEndian.PutUint64(v[at:], uint64(r.NotBefore))
		at += 8
	}
	copy(v[at:], r.Data)
	seal(op.Key, v)
	return op.Finish()
}

// parseRecord takes a record's value apart. Data is a part of value.
func parseRecord(key, value []byte) (e engine.Envelope, ok bool) {
	if len(value) < recordHeader || value[crcLen]&^knownFlags != 0 || value[crcLen]&flagRecord == 0 || !intact(key, value) {
		return e, false
	}
	flags, rest := value[crcLen], value[recordHeader:]
	e.Enqueued = int64(binary.BigEndian.Uint64(value[crcLen+1:]))
	for _, f := range [...]struct {
		flag byte
		to   *int64
	}{{flagExpires, &e.Expires}, {flagNotBefore, &e.NotBefore}} {
		if flags&f.flag == 0 {
			continue
		}
		if len(rest) < 8 {
			return e, false
		}
		*f.to = int64(binary.BigEndian.Uint64(rest))
		rest = rest[8:]
	}
	e.Offset, e.Size, e.Data = keyOffset(key), len(rest), rest
	return e, true
}

// setExpiry adds the index entry of a record that expires.
func setExpiry(b *pebble.Batch, s engine.Shard, r *engine.Record) error {
	op := b.SetDeferred(expiryKeyLen, crcLen+len(r.Stream))
	putExpiryKey(op.Key, s, r.Expires, r.Offset)
	copy(op.Value[crcLen:], r.Stream)
	seal(op.Key, op.Value)
	return op.Finish()
}

// A segment is a row of a log's index: how the log stood when the record at
// its offset was appended.
type segment struct {
	first    gatehouse.Offset
	enqueued int64
	before   int64 // bytes ever appended to the log before it
}

func setSegment(b *pebble.Batch, s engine.Shard, log string, g segment) error {
	op := b.SetDeferred(streamKeyLen(log), segmentLen)
	putStreamKey(op.Key, spaceSegment, s, log, g.first)
	binary.BigEndian.PutUint64(op.Value[crcLen:], uint64(g.enqueued))
	binary.BigEndian.PutUint64(op.Value[crcLen+8:], uint64(g.before))
	seal(op.Key, op.Value)
	return op.Finish()
}

func parseSegment(key, value []byte) (segment, bool) {
	if len(value) != segmentLen || !intact(key, value) {
		return segment{}, false
	}
	return segment{
		first:    keyOffset(key),
		enqueued: int64(binary.BigEndian.Uint64(value[crcLen:])),
		before:   int64(binary.BigEndian.Uint64(value[crcLen+8:])),
	}, true
}

// setRow adds a sealed row under a key that starts with prefix.
func setRow(b *pebble.Batch, prefix []byte, key string, value []byte) error {
	op := b.SetDeferred(len(prefix)+len(key), crcLen+len(value))
	copy(op.Key[copy(op.Key, prefix):], key)
	copy(op.Value[crcLen:], value)
	seal(op.Key, op.Value)
	return op.Finish()
}

// setNumber adds a sealed row that is a number.
func setNumber(b *pebble.Batch, key []byte, n uint64) error {
	return setRow(b, key, "", binary.BigEndian.AppendUint64(nil, n))
}

func parseNumber(key, value []byte) (uint64, bool) {
	if len(value) != crcLen+8 || !intact(key, value) {
		return 0, false
	}
	return binary.BigEndian.Uint64(value[crcLen:]), true
}
