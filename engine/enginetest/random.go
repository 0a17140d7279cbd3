package enginetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

const (
	runSteps    = 250
	runInFlight = 12 // commits
	defaultRuns = 12
)

var modelTests = []test{
	{"Plain", func(t *testing.T, h Harness) {
		runs(t, h, func(t *testing.T, w *walk) { w.rig = open(t, h) })
	}},
	{"Crashes", func(t *testing.T, h Harness) {
		if h.Crash == nil {
			t.Skip("the harness cannot crash")
		}
		runs(t, h, func(t *testing.T, w *walk) { w.rig, w.crashes = open(t, h), true })
	}},
	{"Faults", func(t *testing.T, h Harness) {
		if len(h.Faults) == 0 {
			t.Skip("the harness cannot fail")
		}
		for _, f := range h.Faults {
			t.Run(f.Name, func(t *testing.T) {
				t.Parallel()
				runs(t, h, func(t *testing.T, w *walk) { w.rig, w.fail = openFault(t, h, f) })
			})
		}
	}},
}

// runs makes random runs, each from its seed.
func runs(t *testing.T, h Harness, prepare func(*testing.T, *walk)) {
	n := h.Runs
	if n == 0 {
		n = defaultRuns
	}
	if testing.Short() {
		n = min(n, 3)
	}
	for seed := range n {
		t.Run(fmt.Sprintf("seed-%d", seed), func(t *testing.T) {
			t.Parallel()
			w := &walk{rand: rand.New(rand.NewPCG(uint64(seed), 1)), rows: make(map[string][]string)}
			prepare(t, w)
			w.run()
		})
	}
}

// A walk is a random run: what it did, and what ought to have become of it.
type walk struct {
	*rig
	rand    *rand.Rand
	crashes bool
	fail    func(bool) // nil: it does not
	failing bool
	shards  []engine.Shard
	queues  []engine.Queues     // of shards
	rows    map[string][]string // of the table: what each may be

	mu    sync.Mutex
	idle  sync.Cond // busy has shrunk
	busy  int       // commits in flight
	deeds []*deed
	told  []map[place]bool // by each put there was
}

// A place is where a record is.
type place struct {
	shard  engine.Shard
	offset gatehouse.Offset
}

func (w *walk) run() {
	w.idle.L = &w.mu
	w.shards = []engine.Shard{0, engine.Shard(w.e.Shards() - 1)}
	w.queues = make([]engine.Queues, len(w.shards))
	w.ownAll()
	for range runSteps {
		switch n := w.rand.IntN(100); {
		case n < 80:
			w.commit()
		case n < 86:
			w.update()
		case n < 90:
			w.check()
		case n < 93 && !w.failing:
			w.own(w.rand.IntN(len(w.shards)))
		case n < 95 && w.h.Reopen != nil:
			w.restart()
		case n < 98 && w.crashes:
			w.crash()
		case w.fail != nil:
			w.setFailing(!w.failing)
		}
	}
	w.setFailing(false)
	w.check()
}

func (w *walk) setFailing(failing bool) {
	if w.failing != failing {
		w.failing = failing
		w.fail(failing)
	}
}

func (w *walk) ownAll() {
	for i := range w.shards {
		w.own(i)
	}
}

func (w *walk) own(i int) {
	s, told := w.shards[i], make(map[place]bool)
	w.mu.Lock()
	w.told = append(w.told, told)
	w.mu.Unlock()
	w.eventually(func() (err error) {
		w.queues[i], err = w.e.Own(w.ctx, s, func(_ string, e engine.Envelope) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if told[place{s, e.Offset}] {
				w.t.Errorf("put was told of record %d of shard %d twice", e.Offset, s)
			}
			told[place{s, e.Offset}] = true
		})
		return err
	})
}

// commit starts to commit a batch, and does not wait for it.
func (w *walk) commit() {
	i := w.rand.IntN(len(w.shards))
	w.wait(runInFlight - 1)
	b := imagine(w.rand, w.refs(w.shards[i]))
	stale := false
	switch epoch := w.queues[i].Epoch(); w.rand.IntN(8) {
	case 0:
		b.Epoch, stale = epoch-1, epoch > 1
	case 1, 2:
		b.Epoch = epoch
	}
	w.do(w.shards[i], b, stale)
}

// refs returns records of shard s that are stored, or may be.
func (w *walk) refs(s engine.Shard) []engine.Ref {
	w.mu.Lock()
	defer w.mu.Unlock()
	var refs []engine.Ref
	for _, d := range w.deeds[max(0, len(w.deeds)-60):] {
		for k := range d.batch.Records {
			if r := &d.batch.Records[k]; d.shard == s && d.fate != refused && r.Queue {
				refs = append(refs, engine.Ref{Queue: r.Stream, Offset: r.Offset, Expires: r.Expires})
			}
		}
	}
	return refs
}

// do commits b, and returns what becomes of it, and where its outcome comes.
func (w *walk) do(s engine.Shard, b engine.Batch, stale bool) <-chan error {
	w.mu.Lock()
	d := &deed{id: len(w.deeds), shard: s, batch: b}
	w.deeds = append(w.deeds, d)
	w.busy++
	w.mu.Unlock()
	d.batch.State = append(d.batch.State, engine.Row{Key: d.mark(), Value: []byte("x")})
	given := copyBatch(&d.batch)
	numbered, end := make(chan struct{}), make(chan error, 1)
	w.e.Commit(s, given, func(err error) {
		<-numbered
		w.outcome(d, stale, err)
		for i := range given.Records {
			clear(given.Records[i].Data) // it is not the engine's any more
		}
		end <- err
	})
	w.mu.Lock()
	for i := range given.Records {
		d.batch.Records[i].Offset = given.Records[i].Offset
	}
	w.mu.Unlock()
	close(numbered)
	return end
}

func copyBatch(b *engine.Batch) *engine.Batch {
	c := *b
	c.Records = slices.Clone(b.Records)
	for i := range c.Records {
		c.Records[i].Data = bytes.Clone(c.Records[i].Data)
	}
	return &c
}

// outcome notes what the engine says became of d.
func (w *walk) outcome(d *deed, stale bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy--
	w.idle.Broadcast()
	if d.fate != pending {
		return // there was a crash meanwhile
	}
	kind := gatehouse.KindOf(err)
	switch {
	case err == nil && !stale:
		d.fate = stored
		w.wantTold(d)
	case kind == gatehouse.Conflict && d.batch.Epoch != 0:
		d.fate = refused
	case kind == gatehouse.Unavailable && w.fail != nil:
		d.fate = doubtful
	default:
		w.t.Errorf("commit %d ended with %v; stale epoch: %v", d.id, err, stale)
	}
}

// wantTold fails the test unless put was told of d's records.
func (w *walk) wantTold(d *deed) {
	for i := range d.batch.Records {
		r := &d.batch.Records[i]
		if r.Queue && !slices.ContainsFunc(w.told, func(told map[place]bool) bool { return told[place{d.shard, r.Offset}] }) {
			w.t.Errorf("commit %d was done and put not told of record %d", d.id, r.Offset)
		}
	}
}

// wait waits until no more than n commits are in flight.
func (w *walk) wait(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.busy > n {
		w.idle.Wait()
	}
}

// absent stands for a row of the table that is not there.
const absent = "no row"

// update changes a row of the table.
func (w *walk) update() {
	key, value := pick(w.rand, modelKeys), absent
	c := engine.Change{Key: key}
	if w.rand.IntN(3) > 0 {
		c.Value = randomData(w.rand)
		value = string(c.Value)
	}
	_, err := w.e.Table("model").Update(w.ctx, c)
	switch {
	case err == nil:
		w.rows[key] = []string{value}
	case w.failing:
		w.kind(err, gatehouse.Unavailable)
		if w.rows[key] == nil {
			w.rows[key] = []string{absent}
		}
		w.rows[key] = append(w.rows[key], value)
	default:
		w.eventually(func() error {
			_, err := w.e.Table("model").Update(w.ctx, c)
			return err
		})
		w.rows[key] = []string{value}
	}
}

// check compares the engine with what ought to be stored, as far as storage
// works.
func (w *walk) check() {
	w.t.Helper()
	w.wait(0)
	for i, s := range w.shards {
		if w.failing {
			w.readAll(i)
			continue
		}
		if w.fail != nil {
			w.recover(s)
		}
		w.decide(s)
		w.compare(s, w.queues[i], paint(w.deeds, s))
	}
	for key, may := range w.rows {
		got := absent
		row, err := w.e.Table("model").Get(w.ctx, key)
		if err == nil {
			got = string(row.Value)
		} else {
			w.kind(err, gatehouse.NotFound)
		}
		if !slices.Contains(may, got) {
			w.t.Fatalf("row %q of the table is %.100q, want one of %.100q", key, got, may)
		}
	}
}

// readAll reads all there is, whatever it be: storage fails, but for reading.
func (w *walk) readAll(i int) {
	w.t.Helper()
	for _, name := range modelNames {
		w.read(w.shards[i], name, 0)
		w.scan(w.queues[i], name)
	}
	w.rig.rows(w.shards[i], "")
}

// recover commits to shard s until it succeeds.
func (w *walk) recover(s engine.Shard) {
	w.t.Helper()
	w.eventually(func() error { return w.await(w.do(s, engine.Batch{}, false)) })
}

// decide finds out which of the doubtful deeds of shard s are stored.
func (w *walk) decide(s engine.Shard) {
	w.t.Helper()
	for _, d := range w.deeds {
		if d.shard != s || d.fate != doubtful {
			continue
		}
		row, err := w.e.State(s).Get(d.mark())
		w.ok(err)
		d.fate = refused
		if row != nil {
			d.fate = stored
		}
	}
}

func (w *walk) restart() {
	w.setFailing(false)
	w.check()
	w.reopen()
	w.ownAll()
	w.check()
}

func (w *walk) crash() {
	w.setFailing(false)
	w.mu.Lock()
	for _, d := range w.deeds {
		if d.fate == pending {
			d.fate = doubtful
		}
	}
	w.mu.Unlock()
	w.use(w.h.Crash(w.t, w.e, w.rand))
	w.wait(0)
	w.ownAll()
	w.check()
}
