package memory

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// maxInFlight is how many commits of a shard may be in flight before Commit
// blocks.
const maxInFlight = 64

// maxStream is the greatest length of the name of a log or queue.
const maxStream = 512

// A shard orders the commits of one shard and applies them, one at a time, in
// a goroutine of its own (drain) that exists while there are any.
type shard struct {
	id      engine.Shard
	segment int

	mu       sync.Mutex
	changed  sync.Cond // inFlight has shrunk
	store    *store
	pending  []commit // in order; from head on not yet applied
	head     int
	inFlight int // commits whose done has not returned
	draining bool
	closed   bool
	failure  error // for commits, see Engine.Fail
	enqueued int64 // of the last record
	put      func(string, engine.Envelope)
	waits    map[string]*waiting // for logs to grow
	ended    chan struct{}       // of the engine
}

// A commit is a batch, or the taking over of the queues, in its place in the
// order of the shard.
type commit struct {
	batch *engine.Batch
	done  func(error)
	err   error // the refusal
	take  *takeover
	time  int64
}

// A takeover makes put the one who is told of puts.
type takeover struct {
	put  func(string, engine.Envelope)
	done chan struct{}
}

func newShard(e *Engine, id engine.Shard, st *store) *shard {
	s := &shard{id: id, segment: e.opts.Segment, store: st, waits: make(map[string]*waiting), ended: e.closed}
	s.changed.L = &s.mu
	return s
}

func (s *shard) commit(b *engine.Batch, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.inFlight >= maxInFlight && !s.closed {
		s.changed.Wait()
	}
	c := commit{batch: b, done: done, err: s.check(b)}
	if c.err == nil {
		s.enqueued = max(s.enqueued, time.Now().UnixNano())
		c.time = s.enqueued
		s.store.number(b.Records)
	}
	s.push(c)
}

// push adds c to the order, with s.mu held.
func (s *shard) push(c commit) {
	if s.head > maxInFlight {
		s.pending, s.head = slices.Delete(s.pending, 0, s.head), 0
	}
	s.pending = append(s.pending, c)
	s.inFlight++
	if !s.draining {
		s.draining = true
		go s.drain()
	}
}

// check says why b is refused, with s.mu held.
func (s *shard) check(b *engine.Batch) error {
	switch {
	case s.closed:
		return errClosed()
	case s.failure != nil:
		return s.failure
	case b.Epoch != 0 && b.Epoch != s.store.epoch:
		return gatehouse.Errorf(gatehouse.Conflict, "the queues of shard %d have another owner: epoch %d, this commit is of %d", s.id, s.store.epoch, b.Epoch)
	}
	for i := range b.Records {
		if err := checkRecord(&b.Records[i]); err != nil {
			return err
		}
	}
	return nil
}

func checkRecord(r *engine.Record) error {
	if len(r.Data) > engine.MaxRecord {
		return gatehouse.Errorf(gatehouse.TooLarge, "a record of %d bytes cannot be stored; at most %d are allowed", len(r.Data), engine.MaxRecord)
	}
	if r.Stream == "" || len(r.Stream) > maxStream || strings.IndexByte(r.Stream, 0) >= 0 {
		return gatehouse.Errorf(gatehouse.Invalid, "%q cannot be the name of a log or queue: 1 to %d bytes without the byte 0 are allowed", r.Stream, maxStream)
	}
	return nil
}

// drain applies commits in order until there are none.
func (s *shard) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.head < len(s.pending) {
		c := s.pending[s.head]
		s.pending[s.head] = commit{}
		s.head++
		if s.head == len(s.pending) {
			s.pending, s.head = s.pending[:0], 0
		}
		s.finish(&c)
	}
	s.draining = false
}

// finish applies c, unless it was refused, and tells of it: first of its puts,
// then of the whole. s.mu is held, and let go while telling.
func (s *shard) finish(c *commit) {
	if c.take != nil {
		s.put = c.take.put
		close(c.take.done)
		s.finished()
		return
	}
	if c.err == nil {
		s.store.apply(c.batch, c.time, s.segment)
		s.wake(c.batch.Records)
	}
	put := s.put
	s.mu.Unlock()
	if c.err == nil && put != nil {
		tell(put, c)
	}
	c.done(c.err)
	s.mu.Lock()
	s.finished()
}

func (s *shard) finished() {
	s.inFlight--
	s.changed.Broadcast()
}

func tell(put func(string, engine.Envelope), c *commit) {
	for i := range c.batch.Records {
		r := &c.batch.Records[i]
		if r.Queue {
			put(r.Stream, engine.Envelope{
				Offset: r.Offset, Size: len(r.Data), Enqueued: c.time, Expires: r.Expires, NotBefore: r.NotBefore, Data: r.Data,
			})
		}
	}
}

func (s *shard) own(ctx context.Context, put func(string, engine.Envelope)) (engine.Queues, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errClosed()
	}
	s.store.epoch++
	q := &queues{shard: s, epoch: s.store.epoch}
	t := &takeover{put: put, done: make(chan struct{})}
	s.push(commit{take: t})
	s.mu.Unlock()
	select {
	case <-t.done:
		return q, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// close refuses further commits and waits for those in flight.
func (s *shard) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.changed.Broadcast()
	for s.inFlight > 0 {
		s.changed.Wait()
	}
}

// crash refuses further commits and fails those in flight, some of which it
// applies.
func (s *shard) crash(kept func(int) int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.changed.Broadcast()
	var lost []*commit
	for i := s.head; i < len(s.pending); i++ {
		if c := &s.pending[i]; c.err == nil && c.take == nil {
			lost = append(lost, c)
		}
	}
	keep := kept(len(lost))
	for i, c := range lost {
		if i < keep {
			s.store.apply(c.batch, c.time, s.segment)
		}
		c.err = gatehouse.Errorf(gatehouse.Unavailable, "the storage failed while it wrote; what was written is in doubt")
	}
	for s.inFlight > 0 {
		s.changed.Wait()
	}
}

// view locks s to read it. The caller unlocks, unless there is an error.
func (s *shard) view() (*store, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errClosed()
	}
	return s.store, nil
}
