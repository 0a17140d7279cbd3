package enginetest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

var crashTests = []test{
	{"IdleLosesNothing", crashing(crashIdle)},
	{"WritersUnderWay", crashing(crashWriters)},
	{"Owner", crashing(crashOwner)},
	{"Retained", crashing(crashRetained)},
	{"Tables", crashing(crashTables)},
}

// crashing makes a test of one that needs Crash.
func crashing(run func(*rig, *rand.Rand)) func(*testing.T, Harness) {
	return func(t *testing.T, h Harness) {
		if h.Crash == nil {
			t.Skip("the harness cannot crash")
		}
		run(open(t, h), rand.New(rand.NewPCG(1, 2)))
	}
}

func (r *rig) crash(rnd *rand.Rand) {
	r.t.Helper()
	r.use(r.h.Crash(r.t, r.e, rnd))
}

func crashIdle(r *rig, rnd *rand.Rand) {
	for i := range 10 {
		r.commit(0, faultBatch(i, 3000))
		r.crash(rnd)
		r.wantBatches(r.own(0), i+1, nil)
		r.crash(rnd)
		r.wantBatches(r.own(0), i+1, nil)
	}
}

const (
	crashWritersN = 6
	crashKeep     = 10
)

// A diary is what a writer knows of what it wrote. It writes the numbers from 1
// on to a log and to a queue of its own, from which each write removes the
// number that is crashKeep behind, and the last number to a row.
type diary struct {
	mu      sync.Mutex
	begun   int
	acked   int
	removed map[int]int              // what the write of a number removes
	offsets map[int]gatehouse.Offset // in the queue
}

// crashWriters has writers write through a Committer while it crashes.
func crashWriters(r *rig, rnd *rand.Rand) {
	rounds := 8
	if testing.Short() {
		rounds = 3
	}
	diaries := make([]diary, crashWritersN)
	for w := range diaries {
		diaries[w].removed = make(map[int]int)
	}
	for range rounds {
		c := engine.NewCommitter(r.e)
		var wg sync.WaitGroup
		acks := make(chan struct{})
		for w := range diaries {
			diaries[w].offsets = make(map[int]gatehouse.Offset)
			wg.Go(func() { r.writeDiary(c, w, &diaries[w], acks) })
		}
		for range 50 + rnd.IntN(300) {
			<-acks
		}
		known := make([]int, len(diaries))
		for w := range diaries {
			diaries[w].mu.Lock()
			known[w] = diaries[w].acked
			diaries[w].mu.Unlock()
		}
		go func() {
			wg.Wait()
			close(acks)
		}()
		crashed := make(chan struct{})
		go func() {
			defer close(crashed)
			for range acks { // until the writers have failed
			}
		}()
		r.crash(rnd)
		<-crashed
		c.Close()
		for w := range diaries {
			r.checkDiary(w, &diaries[w], known[w])
		}
	}
}

func (r *rig) writeDiary(c *engine.Committer, w int, d *diary, acks chan<- struct{}) {
	name := fmt.Sprintf("w%d", w)
	for {
		d.mu.Lock()
		d.begun++
		n := d.begun
		v := []byte(strconv.Itoa(n))
		op := &engine.Op{
			Records: []engine.Record{{Stream: name, Data: v}, {Stream: name, Queue: true, Data: v}},
			State:   []engine.Row{{Key: name, Value: v}},
		}
		if o, ok := d.offsets[n-crashKeep]; ok {
			op.Remove = []engine.Ref{{Queue: name, Offset: o}}
			d.removed[n] = n - crashKeep
		}
		d.mu.Unlock()
		if c.Do(r.ctx, engine.Shard(w%2), op) != nil {
			return
		}
		d.mu.Lock()
		d.acked = n
		d.offsets[n] = op.Records[1].Offset
		d.mu.Unlock()
		acks <- struct{}{}
	}
}

// checkDiary fails the test unless what writer w wrote is there: its first
// numbers, at least those acknowledged and at most those begun.
func (r *rig) checkDiary(w int, d *diary, acked int) {
	r.t.Helper()
	name, s := fmt.Sprintf("w%d", w), engine.Shard(w%2)
	log := r.read(s, name, 0)
	n := len(log)
	if n < acked || n > d.begun {
		r.t.Fatalf("%s: %d numbers are stored, %d were acknowledged, %d begun", name, n, acked, d.begun)
	}
	var left []string
	gone := make(map[int]bool)
	for m, removed := range d.removed {
		if m > n {
			delete(d.removed, m)
		} else {
			gone[removed] = true
		}
	}
	for i, e := range log {
		if e.data != strconv.Itoa(i+1) {
			r.t.Fatalf("%s: record %d of the log is %s", name, i+1, e.data)
		}
		if !gone[i+1] {
			left = append(left, e.data)
		}
	}
	r.wantQueue(r.own(s), name, left...)
	row, err := r.e.State(s).Get(name)
	r.ok(err)
	if n > 0 && string(row) != strconv.Itoa(n) {
		r.t.Fatalf("%s: the row says %q, the log ends with %d", name, row, n)
	}
	d.begun, d.acked = n, n
}

func crashOwner(r *rig, rnd *rand.Rand) {
	var epoch uint64
	for range 5 {
		q := r.own(0)
		if q.Epoch() <= epoch {
			r.t.Fatalf("epoch %d after %d", q.Epoch(), epoch)
		}
		epoch = q.Epoch()
		l, err := r.e.Lease(r.ctx, "a")
		r.ok(err)
		r.crash(rnd)
		r.gone(l)
		err = r.try(0, &engine.Batch{Epoch: epoch + 1})
		r.kind(err, gatehouse.Conflict)
	}
}

// crashRetained crashes after a log was cut: it may come back longer, but whole
// and in order, and what was acknowledged behind the cut is there.
func crashRetained(r *rig, rnd *rand.Rand) {
	for range 3 {
		o := r.fill("log", 160)
		r.ok(r.e.Log(0, "log").Retain(r.ctx, 0, 1<<20))
		tail := r.put(0, false, "log", "tail")
		r.crash(rnd)
		all := r.read(0, "log", 0)
		want := append(o, tail...)
		if len(all) < 64 {
			r.t.Fatalf("%d records left, of 1 MiB of 16 KiB each", len(all))
		}
		for i := 1; i <= min(len(all), len(want)); i++ {
			if got := all[len(all)-i].offset; got != want[len(want)-i] {
				r.t.Fatalf("record %d from the end is at %d, want %d", i, got, want[len(want)-i])
			}
		}
		first, next, _ := r.bounds(0, "log")
		if first != all[0].offset || next != tail[0]+1 {
			r.t.Fatalf("bounds %d, %d, want %d, %d", first, next, all[0].offset, tail[0]+1)
		}
		if err := r.e.Log(0, "log").Retain(r.ctx, 0, 1); err != nil {
			r.t.Fatal(err)
		}
	}
}

func crashTables(r *rig, rnd *rand.Rand) {
	var revision uint64
	want := []string{}
	for i := range 10 {
		key := strconv.Itoa(i)
		begin := revision
		revision = r.update("t", set(key, "v"), set("last", key))
		if revision <= begin {
			r.t.Fatalf("revision %d after %d", revision, begin)
		}
		want = append(want, key+"=v;")
		r.crash(rnd)
		r.equal(r.table("t"), strings.Join(want, "")+"last="+key+";")
		updates, _ := r.watch(r.ctx, "t", begin)
		if seen := r.next(updates); len(seen) != 2 {
			r.t.Fatalf("watched from before the crash: %v", seen)
		}
	}
}
