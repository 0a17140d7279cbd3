package memory

import (
	"cmp"
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// A store is what a shard keeps: what would be on a disk.
type store struct {
	last    gatehouse.Offset // given to a record
	epoch   uint64           // of the owner of the queues
	logs    map[string]*log
	queues  map[string]*queue // those that have a record
	names   sorted[string, struct{}]
	expires sorted[expiry, string] // the name of the queue
	rows    sorted[string, []byte]
	arena   arena
}

// An expiry is a record's place in the order of expiry.
type expiry struct {
	at     int64
	offset gatehouse.Offset
}

func (e expiry) compare(f expiry) int {
	if e.at != f.at {
		return cmp.Compare(e.at, f.at)
	}
	return cmp.Compare(e.offset, f.offset)
}

func newStore() *store {
	return &store{
		logs: make(map[string]*log), queues: make(map[string]*queue),
		names: newSorted[string, struct{}](cmp.Compare[string]), expires: newSorted[expiry, string](expiry.compare),
		rows: newSorted[string, []byte](cmp.Compare[string]),
	}
}

// number gives records their offsets. One is skipped before each batch, so that
// nobody comes to rely on there being no gaps.
func (st *store) number(records []engine.Record) {
	if len(records) == 0 {
		return
	}
	if st.last > 0 {
		st.last++
	}
	for i := range records {
		st.last++
		records[i].Offset = st.last
	}
}

// apply stores b.
func (st *store) apply(b *engine.Batch, now int64, segment int) {
	for _, name := range b.ClearQueues {
		st.clearQueue(name)
	}
	for _, name := range b.DropLogs {
		st.dropLogs(name)
	}
	for _, r := range b.Remove {
		st.remove(r.Queue, r.Offset)
	}
	for _, prefix := range b.Clear {
		st.clear(prefix)
	}
	for _, r := range b.State {
		if r.Value == nil {
			st.rows.delete(r.Key)
		} else {
			st.rows.set(r.Key, append([]byte{}, r.Value...))
		}
	}
	for i := range b.Records {
		r := &b.Records[i]
		if r.Queue {
			st.enqueue(r, now)
		} else {
			st.appendLog(r, now, segment)
		}
	}
}

// clear removes the rows whose key starts with prefix.
func (st *store) clear(prefix string) {
	var keys []string
	for key := range st.rows.from(prefix) {
		if !strings.HasPrefix(key, prefix) {
			break
		}
		keys = append(keys, key)
	}
	for _, key := range keys {
		st.rows.delete(key)
	}
}

// An arena copies small data into shared blocks, to allocate seldom.
type arena struct{ free []byte }

const (
	arenaBlock = 16 << 10
	arenaSmall = 1 << 10
)

func (a *arena) copy(data []byte) []byte {
	n := len(data)
	if n > arenaSmall {
		return append([]byte(nil), data...)
	}
	if n > len(a.free) {
		a.free = make([]byte, arenaBlock)
	}
	c := a.free[:n:n]
	a.free = a.free[n:]
	copy(c, data)
	return c
}

// state reads the rows of a shard.
type state struct{ shard *shard }

func (v state) Get(key string) ([]byte, error) {
	st, err := v.shard.view()
	if err != nil {
		return nil, err
	}
	defer v.shard.mu.Unlock()
	value, ok := st.rows.get(key)
	if !ok {
		return nil, nil
	}
	return append([]byte{}, value...), nil
}

func (v state) Scan(prefix string, visit func(key string, value []byte) bool) error {
	st, err := v.shard.view()
	if err != nil {
		return err
	}
	rows := st.rows.snapshot()
	v.shard.mu.Unlock()
	var lent loan
	defer lent.end()
	for key, value := range rows.from(prefix) {
		if !strings.HasPrefix(key, prefix) || !visit(key, lent.lend(value)) {
			break
		}
	}
	return nil
}

// A loan is the memory in which data is lent to a visitor. It is overwritten
// with the next, and at the end.
type loan struct{ buffer []byte }

func (l *loan) lend(data []byte) []byte {
	l.buffer = append(l.buffer[:0], data...)
	return l.buffer
}

func (l *loan) end() { clear(l.buffer[:cap(l.buffer)]) }
