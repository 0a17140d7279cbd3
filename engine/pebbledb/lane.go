package pebbledb

import (
	"sync"

	"github.com/gatehouse/gatehouse/engine"
)

// A lane calls back, in order, for what belongs together: one shard, or the
// tables. It has one goroutine, which ends after close once everything was
// told; what comes later has one of its own for as long as it takes.
type lane struct {
	shard *shard        // nil: of the tables
	wake  chan struct{} // has a token when queue is not empty

	mu     sync.Mutex
	queue  []entry
	closed bool
	ended  bool // there is no goroutine
}

func (l *lane) init(sh *shard) { l.shard, l.wake = sh, make(chan struct{}, 1) }

// push hands over an entry whose outcome is known. It does not block.
func (l *lane) push(en entry) {
	l.mu.Lock()
	l.queue = append(l.queue, en)
	if l.ended {
		l.ended = false
		go l.run()
	}
	l.mu.Unlock()
	l.poke()
}

// close ends the goroutine once the queue is empty.
func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.poke()
}

func (l *lane) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lane) run() {
	var entries []entry
	for range l.wake {
		for entries = l.take(entries); len(entries) > 0; entries = l.take(entries) {
			for i := range entries {
				entries[i].tell(l.shard)
			}
			clear(entries)
		}
		if l.end() {
			return
		}
	}
}

// take returns what is queued, and has the memory of spare used for what comes.
func (l *lane) take(spare []entry) []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	entries := l.queue
	l.queue = spare[:0]
	return entries
}

// end reports whether the goroutine is to end.
func (l *lane) end() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = l.closed && len(l.queue) == 0
	return l.ended
}

// tell tells those concerned what became of an entry.
func (en *entry) tell(sh *shard) {
	if en.err == nil && en.batch != nil {
		sh.tell(en.batch.Records, en.enqueued)
	}
	if en.done != nil {
		en.done(en.err)
	}
}

// tell tells the owner and waiting readers of records that are durable.
func (sh *shard) tell(records []engine.Record, enqueued int64) {
	logs := false
	for i := range records {
		r := &records[i]
		if !r.Queue {
			logs = true
			continue
		}
		if sh.put != nil {
			sh.put(r.Stream, engine.Envelope{
				Offset: r.Offset, Size: len(r.Data), Enqueued: enqueued,
				Expires: r.Expires, NotBefore: r.NotBefore, Data: r.Data,
			})
		}
	}
	if logs {
		sh.wakeReaders(records)
	}
}
