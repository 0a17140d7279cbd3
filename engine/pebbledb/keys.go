package pebbledb

import (
	"bytes"
	"encoding/binary"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// The layout of keys. Numbers are big-endian, so that the order of keys is the
// order of what they name. The first byte is the space; in spaces that belong
// to a shard two bytes of shard follow.
//
//	m name                             of the store: format, starts, revision
//	t len(table) table key             row of a table: revision, value
//	c len(table) table revision key    the row's newest change: 1 if it is gone
//	o shard                            offsets below this one may be in use
//	l shard log 0 offset               record of a log
//	g shard log 0 offset               segment of a log that begins at offset
//	q shard queue 0 offset             record of a queue
//	x shard expires offset             record of a queue that expires: its queue
//	s shard key                        row of State
//
// Names of logs and queues do not contain the byte 0. Every value begins with
// a checksum over the key and the rest of the value; see codec.go.
const (
	spaceMeta    = 'm'
	spaceTable   = 't'
	spaceChange  = 'c'
	spaceOffsets = 'o'
	spaceLog     = 'l'
	spaceSegment = 'g'
	spaceQueue   = 'q'
	spaceExpiry  = 'x'
	spaceState   = 's'
)

const (
	metaFormat   = "format"
	metaStarts   = "starts"
	metaRevision = "revision"

	shardLen  = 3 // a space and a shard
	offsetLen = 8
	maxName   = 512
)

func metaKey(name string) []byte { return append([]byte{spaceMeta}, name...) }

// appendShard appends a space and a shard.
func appendShard(dst []byte, space byte, s engine.Shard) []byte {
	return append(dst, space, byte(s>>8), byte(s))
}

// appendStream appends the prefix of all keys of a log or queue.
func appendStream(dst []byte, space byte, s engine.Shard, name string) []byte {
	dst = appendShard(dst, space, s)
	dst = append(dst, name...)
	return append(dst, 0)
}

// streamKeyLen is the length of the key of a record or segment.
func streamKeyLen(name string) int { return shardLen + len(name) + 1 + offsetLen }

// putStreamKey writes the key of a record or segment into dst, which is as
// long as it must be.
func putStreamKey(dst []byte, space byte, s engine.Shard, name string, o gatehouse.Offset) {
	dst[0], dst[1], dst[2] = space, byte(s>>8), byte(s)
	n := shardLen + copy(dst[shardLen:], name)
	dst[n] = 0
	binary.BigEndian.PutUint64(dst[n+1:], uint64(o))
}

func appendOffset(dst []byte, o gatehouse.Offset) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(o))
}

// keyOffset returns the offset at the end of the key of a record or segment.
func keyOffset(key []byte) gatehouse.Offset {
	return gatehouse.Offset(binary.BigEndian.Uint64(key[len(key)-offsetLen:]))
}

// streamName returns the name within the key of a record, or nil if the key is
// damaged.
func streamName(key []byte) []byte {
	if len(key) < shardLen+1+offsetLen {
		return nil
	}
	n := len(key) - offsetLen - 1
	if key[n] != 0 || bytes.IndexByte(key[shardLen:n], 0) >= 0 {
		return nil
	}
	return key[shardLen:n]
}

const expiryKeyLen = shardLen + 8 + offsetLen

// putExpiryKey writes the key of a record's expiry. Times before 1970 do not
// occur: zero is none.
func putExpiryKey(dst []byte, s engine.Shard, expires int64, o gatehouse.Offset) {
	dst[0], dst[1], dst[2] = spaceExpiry, byte(s>>8), byte(s)
	binary.BigEndian.PutUint64(dst[shardLen:], uint64(expires))
	binary.BigEndian.PutUint64(dst[shardLen+8:], uint64(o))
}

func parseExpiryKey(key []byte) (expires int64, o gatehouse.Offset) {
	return int64(binary.BigEndian.Uint64(key[shardLen:])), gatehouse.Offset(binary.BigEndian.Uint64(key[shardLen+8:]))
}

// appendTable appends the prefix of a table's rows or changes.
func appendTable(dst []byte, space byte, table string) []byte {
	dst = append(dst, space)
	dst = binary.AppendUvarint(dst, uint64(len(table)))
	return append(dst, table...)
}

// prefixEnd returns the least key greater than all that start with prefix,
// nil if there is none. It allocates.
func prefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}
