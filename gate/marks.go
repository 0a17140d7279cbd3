package gate

import (
	"encoding/binary"
	"strings"
	"sync"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/handler"
)

// marks remembers, for each consumer group and partition, up to which source offset
// each shard has what was sent from there. The truth is a row of the shard,
// written with what was sent; this spares reading it.
type marks struct {
	mu    sync.Mutex
	known map[string][]gatehouse.Offset // by key of the rows; by shard
}

// markKey is the key of the row in every shard.
func markKey(id channel.ID, b *handler.Batch) string {
	return channel.MarkKey(id, b.Group, b.Partition)
}

// Forget has the gate read again what it knows of the consumer groups of a
// channel, or of all channels of an account if id names none: for when rows of
// theirs were dropped.
func (g *Gate) Forget(id channel.ID) {
	prefix, m := channel.MarkPrefix(id), &g.marks
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.known {
		if strings.HasPrefix(key, prefix) {
			delete(m.known, key)
		}
	}
}

func markValue(o gatehouse.Offset) []byte { return binary.BigEndian.AppendUint64(nil, uint64(o)) }

// of returns the marks of key, reading those it does not know. The slice is
// the caller's to read until note is called.
func (m *marks) of(e engine.Engine, key string) ([]gatehouse.Offset, error) {
	m.mu.Lock()
	known := m.known[key]
	m.mu.Unlock()
	if known != nil {
		return known, nil
	}
	known = make([]gatehouse.Offset, e.Shards())
	for i := range known {
		value, err := e.State(engine.Shard(i)).Get(key)
		if err != nil {
			return nil, err
		}
		if len(value) == 8 {
			known[i] = gatehouse.Offset(binary.BigEndian.Uint64(value))
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known[key] = known
	return known, nil
}

// note remembers what was stored. If that is in doubt anywhere, the rows are
// read again before they are relied on.
func (m *marks) note(key string, shards []bundle, through gatehouse.Offset, errs []error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.known[key]
	if known == nil {
		return // forgotten meanwhile
	}
	for i := range shards {
		if errs[i] != nil {
			delete(m.known, key)
			return
		}
	}
	for i := range shards {
		if len(shards[i].puts)+len(shards[i].beside) > 0 {
			known[i] = through
		}
	}
}
