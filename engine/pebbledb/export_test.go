package pebbledb

import (
	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// RecordKey returns the key of a record, for tests that change it behind the
// engine's back.
func RecordKey(queue bool, s engine.Shard, stream string, o gatehouse.Offset) []byte {
	space := byte(spaceLog)
	if queue {
		space = spaceQueue
	}
	key := make([]byte, streamKeyLen(stream))
	putStreamKey(key, space, s, stream, o)
	return key
}
