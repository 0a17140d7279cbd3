package memory

import (
	"context"
	"maps"
	"sort"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

const (
	segmentRecords = 1024    // a segment is closed at this number of records, or at Options.Segment bytes
	minSlack       = 1 << 20 // bytes by which a log may exceed what it is to retain
	readPage       = 64      // records read under one lock
)

// A log is a sequence of segments, none of them empty.
type log struct {
	segments []*segment
	next     gatehouse.Offset
	bytes    int64
}

type segment struct {
	records []logRecord
	bytes   int64
}

type logRecord struct {
	offset   gatehouse.Offset
	enqueued int64
	data     []byte
	damaged  bool
}

func (g *segment) last() *logRecord { return &g.records[len(g.records)-1] }

func (st *store) appendLog(r *engine.Record, now int64, size int) {
	l := st.logs[r.Stream]
	if l == nil {
		l = &log{}
		st.logs[r.Stream] = l
	}
	n := len(l.segments)
	if n == 0 || l.segments[n-1].bytes >= int64(size) || len(l.segments[n-1].records) >= segmentRecords {
		l.segments = append(l.segments, &segment{})
		n++
	}
	g := l.segments[n-1]
	g.records = append(g.records, logRecord{offset: r.Offset, enqueued: now, data: st.arena.copy(r.Data)})
	g.bytes += int64(len(r.Data))
	l.bytes += int64(len(r.Data))
	l.next = r.Offset + 1
}

// dropLogs drops the log of a name, or all whose names begin with one that ends
// in /.
func (st *store) dropLogs(name string) {
	if !strings.HasSuffix(name, "/") {
		delete(st.logs, name)
		return
	}
	maps.DeleteFunc(st.logs, func(log string, _ *log) bool { return strings.HasPrefix(log, name) })
}

// has reports whether there is a record at from or behind it.
func (l *log) has(from gatehouse.Offset) bool {
	return l != nil && len(l.segments) > 0 && l.segments[len(l.segments)-1].last().offset >= from
}

// page appends to dst up to limit records from the first for which not before
// is false.
func (l *log) page(before func(*logRecord) bool, limit int, dst []logRecord) []logRecord {
	if l == nil {
		return dst
	}
	g := sort.Search(len(l.segments), func(i int) bool { return !before(l.segments[i].last()) })
	if g == len(l.segments) {
		return dst
	}
	records := l.segments[g].records
	at := sort.Search(len(records), func(i int) bool { return !before(&records[i]) })
	for len(dst) < limit {
		n := min(limit-len(dst), len(records)-at)
		dst = append(dst, records[at:at+n]...)
		if g++; g == len(l.segments) {
			break
		}
		records, at = l.segments[g].records, 0
	}
	return dst
}

func (st *store) damageLog(name string, o gatehouse.Offset) bool {
	l := st.logs[name]
	if l == nil {
		return false
	}
	for _, g := range l.segments {
		for i := range g.records {
			if g.records[i].offset == o {
				g.records[i].damaged = true
				return true
			}
		}
	}
	return false
}

// A logHandle is an engine.Log.
type logHandle struct {
	shard *shard
	name  string
}

func (h *logHandle) Read(ctx context.Context, from gatehouse.Offset, visit func(gatehouse.Offset, int64, []byte) bool) (gatehouse.Offset, error) {
	var page [readPage]logRecord
	var lent loan
	defer lent.end()
	next := from
	for {
		if err := ctx.Err(); err != nil {
			return next, err
		}
		st, err := h.shard.view()
		if err != nil {
			return next, err
		}
		got := st.logs[h.name].page(func(r *logRecord) bool { return r.offset < next }, len(page), page[:0])
		h.shard.mu.Unlock()
		for i := range got {
			r := &got[i]
			if r.damaged {
				return next, &engine.CorruptError{Shard: h.shard.id, Stream: h.name, Offset: r.offset, Detail: "it was damaged on purpose"}
			}
			if i > 0 && ctx.Err() != nil {
				return next, ctx.Err()
			}
			next = r.offset + 1
			if !visit(r.offset, r.enqueued, lent.lend(r.data)) {
				return next, nil
			}
		}
		if len(got) < len(page) {
			return next, nil
		}
	}
}

func (h *logHandle) Bounds(ctx context.Context) (first, next gatehouse.Offset, bytes int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, 0, err
	}
	st, err := h.shard.view()
	if err != nil {
		return 0, 0, 0, err
	}
	defer h.shard.mu.Unlock()
	l := st.logs[h.name]
	if l == nil {
		return 0, 0, 0, nil
	}
	first = l.next
	if len(l.segments) > 0 {
		first = l.segments[0].records[0].offset
	}
	return first, l.next, l.bytes, nil
}

func (h *logHandle) Seek(ctx context.Context, t time.Time) (gatehouse.Offset, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	st, err := h.shard.view()
	if err != nil {
		return 0, err
	}
	defer h.shard.mu.Unlock()
	l := st.logs[h.name]
	if l == nil {
		return 0, nil
	}
	var page [1]logRecord
	at := t.UnixNano()
	if got := l.page(func(r *logRecord) bool { return r.enqueued < at }, 1, page[:0]); len(got) > 0 {
		return got[0].offset, nil
	}
	return l.next, nil
}

func (h *logHandle) Retain(ctx context.Context, age time.Duration, bytes int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	st, err := h.shard.view()
	if err != nil {
		return err
	}
	defer h.shard.mu.Unlock()
	l := st.logs[h.name]
	if l == nil {
		return nil
	}
	oldest := time.Now().Add(-age).UnixNano()
	for len(l.segments) > 0 {
		g := l.segments[0]
		old := age > 0 && g.last().enqueued < oldest
		// A segment that is partly beyond the limit stays, unless it is of huge records.
		much := bytes > 0 && (l.bytes-g.bytes >= bytes || l.bytes > bytes+max(bytes/16, minSlack))
		if !old && !much {
			break
		}
		l.bytes -= g.bytes
		l.segments[0] = nil
		l.segments = l.segments[1:]
	}
	return nil
}

// A waiting is those who wait for a log to grow.
type waiting struct {
	grown chan struct{}
	n     int
}

func (h *logHandle) Wait(ctx context.Context, from gatehouse.Offset) error {
	for {
		st, err := h.shard.view()
		if err != nil {
			return err
		}
		if st.logs[h.name].has(from) {
			h.shard.mu.Unlock()
			return nil
		}
		w := h.shard.waits[h.name]
		if w == nil {
			w = &waiting{grown: make(chan struct{})}
			h.shard.waits[h.name] = w
		}
		w.n++
		h.shard.mu.Unlock()
		if err := h.wait(ctx, w); err != nil {
			return err
		}
	}
}

func (h *logHandle) wait(ctx context.Context, w *waiting) error {
	select {
	case <-w.grown:
		return nil
	case <-h.shard.ended:
		return errClosed()
	case <-ctx.Done():
	}
	s := h.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.n--; w.n == 0 && s.waits[h.name] == w {
		delete(s.waits, h.name)
	}
	return ctx.Err()
}

// wake wakes those who wait for the logs of records.
func (s *shard) wake(records []engine.Record) {
	if len(s.waits) == 0 {
		return
	}
	for i := range records {
		r := &records[i]
		if w := s.waits[r.Stream]; w != nil && !r.Queue {
			close(w.grown)
			delete(s.waits, r.Stream)
		}
	}
}
