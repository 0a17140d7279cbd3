package channel

import "github.com/gatehouse/gatehouse/engine"

// Claims returns how many ids are held in memory.
func (s *Set) Claims() int {
	n := 0
	for i := range s.recent {
		r := &s.recent[i]
		r.mu.Lock()
		n += len(r.ids)
		r.mu.Unlock()
	}
	return n
}

// SeenRows returns how many ids are kept in a shard for a channel.
func (s *Set) SeenRows(shard engine.Shard, id ID) (n int) {
	_ = s.engine.State(shard).Scan("seen/"+id.stream()+"\x00", func(string, []byte) bool { n++; return true })
	return n
}

// Stream is the name of the channel's log.
func (id ID) Stream() string { return id.stream() }

// DuePrefix is what the keys of scheduled messages begin with.
const DuePrefix = duePrefix

// NumberRows returns how many rows tell where scheduled messages of a shard are.
func (s *Set) NumberRows(shard engine.Shard) (n int) {
	_ = s.engine.State(shard).Scan(numberPrefix, func(string, []byte) bool { n++; return true })
	return n
}
