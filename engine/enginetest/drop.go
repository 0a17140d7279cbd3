package enginetest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

var dropTests = []test{
	{"Gone", on(dropGone)},
	{"Under", on(dropUnder)},
	{"NeverWas", on(dropNeverWas)},
	{"BeforeTheRecordsOfTheBatch", on(dropBefore)},
	{"NotIfRefused", on(dropRefused)},
	{"InFlight", on(dropInFlight)},
	{"BesideAppends", on(dropBeside)},
	{"WithinRead", on(dropWithinRead)},
	{"Readers", on(dropReaders)},
	{"Waiting", on(dropWaiting)},
	{"Retaining", on(dropRetaining)},
	{"Reopened", reopening(dropReopened)},
	{"Crash", crashing(dropCrash)},
	{"CrashBehind", crashing(dropCrashBehind)},
}

func dropped(names ...string) *engine.Batch { return &engine.Batch{DropLogs: names} }

// wantNoLog fails the test if there is anything of a log.
func (r *rig) wantNoLog(s engine.Shard, name string) {
	r.t.Helper()
	r.wantData(r.read(s, name, 0))
	r.wantBounds(s, name, nil)
	o, err := r.e.Log(s, name).Seek(r.ctx, time.Now().Add(-time.Hour))
	r.ok(err)
	r.equal(o, 0)
	r.ok(r.e.Log(s, name).Retain(r.ctx, time.Nanosecond, 1))
	r.wantBounds(s, name, nil)
}

func dropGone(r *rig) {
	r.fill("log", 320) // 5 MiB
	old := r.put(0, false, "log", "last")
	r.put(0, false, "logs", "a longer name")
	r.put(0, false, "lo", "a shorter name")
	r.put(0, false, "log/x", "below it")
	r.put(0, true, "log", "a queue of that name")
	r.put(1, false, "log", "another shard")
	r.commit(0, dropped("log"))
	r.wantNoLog(0, "log")
	r.wantData(r.read(0, "log", old[0]))
	r.wantData(r.read(0, "logs", 0), "a longer name")
	r.wantData(r.read(0, "lo", 0), "a shorter name")
	r.wantData(r.read(0, "log/x", 0), "below it")
	r.wantData(r.read(1, "log", 0), "another shard")
	r.wantQueue(r.own(0), "log", "a queue of that name")

	o := r.put(0, false, "log", "new", "newer")
	if o[0] <= old[0] {
		r.t.Fatalf("offset %d after %d", o[0], old[0])
	}
	r.wantData(r.read(0, "log", 0), "new", "newer")
	r.wantData(r.read(0, "log", old[0]), "new", "newer")
	first, next, bytes := r.bounds(0, "log")
	if first != o[0] || next != o[1]+1 || bytes > 1<<20 {
		r.t.Fatalf("bounds %d, %d, %d bytes, want %d, %d and few", first, next, bytes, o[0], o[1]+1)
	}
	r.fill("log", 320)
	r.ok(r.e.Log(0, "log").Retain(r.ctx, 0, 1<<20))
	if kept, _ := r.keptBytes("log"); kept > 1<<20+slack(1<<20) || kept < 1<<20-16<<10 {
		r.t.Fatalf("Retain of 1 MiB left %d bytes of a log that was dropped once", kept)
	}
	r.commit(0, dropped("log"))
	r.wantNoLog(0, "log")
}

func dropUnder(r *rig) {
	for _, name := range []string{"a", "a/b", "a/b/c", "a0", "ab", "b/a/", "a.b"} {
		r.put(0, false, name, name)
	}
	r.commit(0, dropped("a/"))
	r.wantNoLog(0, "a/b")
	r.wantNoLog(0, "a/b/c")
	for _, name := range []string{"a", "a0", "ab", "b/a/", "a.b"} {
		r.wantData(r.read(0, name, 0), name)
	}
	r.put(0, false, "a/b", "again")
	r.commit(0, dropped("a", "b/"))
	r.wantNoLog(0, "a")
	r.wantNoLog(0, "b/a/")
	r.wantData(r.read(0, "a/b", 0), "again")
}

func dropNeverWas(r *rig) {
	r.put(0, false, "log", "a")
	r.commit(0, dropped("nobody", "nobody/"))
	r.commit(1, dropped("log"))
	r.wantNoLog(0, "nobody")
	r.wantData(r.read(0, "log", 0), "a")
	r.put(0, false, "nobody", "b")
	r.wantData(r.read(0, "nobody", 0), "b")
}

func dropBefore(r *rig) {
	r.put(0, false, "log", "old")
	b := puts(false, "log", "new", "newer")
	b.DropLogs = []string{"log"}
	b.State = []engine.Row{{Key: "k", Value: []byte("v")}}
	r.commit(0, b)
	r.wantData(r.read(0, "log", 0), "new", "newer")
	r.equal(r.rows(0, ""), "k=v;")
	r.equal(r.read(0, "log", 0)[0].offset, b.Records[0].Offset)
}

func dropRefused(r *rig) {
	r.put(0, false, "log", "kept")
	epoch := r.own(0).Epoch()
	r.own(0)
	r.kind(r.try(0, &engine.Batch{Epoch: epoch, DropLogs: []string{"log"}}), gatehouse.Conflict)
	r.wantData(r.read(0, "log", 0), "kept")
	r.put(0, false, "log", "more")
	r.wantData(r.read(0, "log", 0), "kept", "more")
}

// dropInFlight appends and drops without waiting for what came before.
func dropInFlight(r *rig) {
	const rounds, each = 30, 12
	data := string(filled(16<<10, 'x'))
	var ends []chan error
	var last []gatehouse.Offset
	for i := range rounds {
		b := puts(false, "log", strconv.Itoa(i))
		if i%3 > 0 {
			b.DropLogs = []string{[]string{"log", "lo/", "none"}[i%3]}
			if i%2 == 0 {
				b.DropLogs[0] = "log"
			}
		}
		if len(b.DropLogs) > 0 && b.DropLogs[0] == "log" {
			last = nil
		}
		ends = append(ends, r.start(0, b))
		last = append(last, offsets(b)...)
		for range each {
			more := puts(false, "log", data)
			ends = append(ends, r.start(0, more))
			last = append(last, offsets(more)...)
		}
	}
	for _, end := range ends {
		r.ok(r.await(end))
	}
	got := r.read(0, "log", 0)
	if len(got) != len(last) {
		r.t.Fatalf("%d records, want %d", len(got), len(last))
	}
	size := int64(0)
	for i, e := range got {
		r.equal(e.offset, last[i])
		size += int64(len(e.data))
	}
	first, next, bytes := r.bounds(0, "log")
	if first != last[0] || next != last[len(last)-1]+1 || bytes < size || bytes > size*3/2+1<<10 {
		r.t.Fatalf("bounds %d, %d, %d bytes; want %d, %d and about %d", first, next, bytes, last[0], last[len(last)-1]+1, size)
	}
	r.commit(0, dropped("log"))
	r.wantNoLog(0, "log")
}

// dropBeside drops a log time and again while others append to it and, in the
// same batches, to logs that nobody has appended to since the engine was opened.
func dropBeside(r *rig) {
	const rounds, fresh = 40, 40
	stop := make(chan struct{})
	var wg sync.WaitGroup
	end := sync.OnceFunc(func() { close(stop); wg.Wait() })
	defer end()
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, b := range []*engine.Batch{dropped("log"), puts(false, "log", "z"), puts(false, "other", "z")} {
				if err := r.await(r.start(0, b)); err != nil {
					r.t.Errorf("a commit: %v", err)
					return
				}
			}
		}
	})
	for i := range rounds {
		b := puts(false, "log", "x")
		for k := range fresh {
			b.Records = append(b.Records, puts(false, fmt.Sprintf("fresh %d %d", i, k), "y").Records...)
		}
		r.commit(0, b)
	}
	end()
	last := r.put(0, false, "log", "last")
	got := r.read(0, "log", 0)
	if n := len(got); n == 0 || got[n-1].offset != last[0] {
		r.t.Fatalf("%d records, want the last at %d", n, last[0])
	}
	for i := range rounds {
		r.wantData(r.read(0, fmt.Sprintf("fresh %d %d", i, fresh-1), 0), "y")
	}
}

// dropWithinRead drops a log from within the function that visits it.
func dropWithinRead(r *rig) {
	old := r.put(0, false, "log", numbered("x", 1000)...)
	var o, more gatehouse.Offset
	_, err := r.e.Log(0, "log").Read(r.ctx, 0, func(at gatehouse.Offset, _ int64, data []byte) bool {
		if at <= o {
			r.t.Fatalf("offset %d after %d", at, o)
		}
		if o = at; at == old[10] {
			r.commit(0, dropped("log"))
			more = r.put(0, false, "log", "new")[0]
		}
		if i := int(at - old[0]); at <= old[999] && string(data) != fmt.Sprintf("x%06d", i) {
			r.t.Fatalf("record %d is %.20q", at, data)
		}
		if at > old[999] && (at != more || string(data) != "new") {
			r.t.Fatalf("record %d is %.20q", at, data)
		}
		return true
	})
	r.ok(err)
	r.wantData(r.read(0, "log", 0), "new")
}

// dropReaders has readers follow a log that is dropped time and again.
func dropReaders(r *rig) {
	const rounds, each = 40, 10
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 4 {
		wg.Go(func() {
			log := r.e.Log(0, "log")
			var next gatehouse.Offset
			last := 0
			for last < rounds*each {
				if err := log.Wait(r.ctx, next); err != nil {
					r.t.Errorf("Wait: %v", err)
					return
				}
				var err error
				next, err = log.Read(r.ctx, next, func(o gatehouse.Offset, _ int64, data []byte) bool {
					n, bad := strconv.Atoi(string(data))
					if bad != nil || n <= last || o < next {
						r.t.Errorf("record %q at %d, after %d", data, o, last)
					}
					last = n
					return true
				})
				if err != nil {
					r.t.Errorf("Read: %v", err)
					return
				}
			}
		})
	}
	n := 0
	for range rounds {
		r.commit(0, dropped("log"))
		for range each {
			n++
			r.put(0, false, "log", strconv.Itoa(n))
		}
	}
}

// dropWaiting: who waited before a log was dropped is woken behind it.
func dropWaiting(r *rig) {
	o := r.put(0, false, "log", "a")
	log := r.e.Log(0, "log")
	grown := make(chan error, 1)
	go func() { grown <- log.Wait(r.ctx, o[0]+1) }()
	r.commit(0, dropped("log"))
	again := make(chan error, 1)
	go func() { again <- log.Wait(r.ctx, 0) }()
	r.put(0, false, "other", "x")
	for _, end := range []chan error{grown, again} {
		select {
		case err := <-end:
			r.t.Fatalf("Wait returned %v of a log that was dropped", err)
		default:
		}
	}
	r.put(0, false, "log", "b")
	r.ok(r.await(grown))
	r.ok(r.await(again))
	r.ok(log.Wait(r.ctx, 0))
}

// dropRetaining: dropping and cutting at once leave nothing behind.
func dropRetaining(r *rig) {
	log := r.e.Log(0, "log")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	end := sync.OnceFunc(func() { close(stop); wg.Wait() })
	defer end()
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := log.Retain(r.ctx, time.Nanosecond, 0); err != nil {
					r.t.Errorf("Retain: %v", err)
					return
				}
			}
		})
	}
	for range 200 {
		r.put(0, false, "log", "a", "b")
		r.commit(0, dropped("log"))
		r.wantData(r.read(0, "log", 0))
		r.wantBounds(0, "log", nil)
	}
	end()
	r.wantNoLog(0, "log")
}

func dropReopened(r *rig) {
	r.fill("log", 160)
	r.put(0, false, "log/under", "x")
	r.put(0, false, "other", "kept")
	r.commit(0, dropped("log", "log/"))
	r.reopen()
	r.wantNoLog(0, "log")
	r.wantNoLog(0, "log/under")
	r.wantData(r.read(0, "other", 0), "kept")
	o := r.put(0, false, "log", "new")
	r.reopen()
	r.wantData(r.read(0, "log", 0), "new")
	first, next, bytes := r.bounds(0, "log")
	if first != o[0] || next != o[0]+1 || bytes > 1<<10 {
		r.t.Fatalf("bounds %d, %d, %d bytes, want %d, %d and few", first, next, bytes, o[0], o[0]+1)
	}
	r.commit(0, dropped("log")) // of which nothing was read yet
	o2 := r.put(0, false, "log", "newest")
	if o2[0] <= o[0] {
		r.t.Fatalf("offset %d after %d", o2[0], o[0])
	}
	r.wantData(r.read(0, "log", 0), "newest")
}

// dropCrash crashes while a log is dropped: it is gone together with what the
// same batch wrote, or all there without.
func dropCrash(r *rig, rnd *rand.Rand) {
	var kept []string
	for i := range 16 {
		round := strconv.Itoa(i)
		for k := range 1 + rnd.IntN(20) {
			data := fmt.Sprintf("%s-%d", round, k)
			r.put(0, false, "log", data)
			kept = append(kept, data)
		}
		b := puts(false, "log", "behind "+round)
		b.DropLogs = []string{"log"}
		b.State = []engine.Row{{Key: "dropped", Value: []byte(round)}}
		end := r.start(0, b)
		acked := rnd.IntN(2) == 0
		if acked {
			r.ok(r.await(end))
		}
		r.crash(rnd)
		row, err := r.e.State(0).Get("dropped")
		r.ok(err)
		if string(row) == round {
			kept = []string{"behind " + round}
		} else if acked {
			r.t.Fatalf("round %d was acknowledged and is not there", i)
		}
		r.wantData(r.read(0, "log", 0), kept...)
	}
}

// dropCrashBehind crashes with commits in flight behind the one that drops.
func dropCrashBehind(r *rig, rnd *rand.Rand) {
	for i := range 10 {
		r.fill("log", 40)
		r.commit(0, dropped("log"))
		var want []string
		for k := range 10 {
			want = append(want, fmt.Sprintf("%d-%d", i, k))
			r.start(0, puts(false, "log", want[k]))
		}
		r.crash(rnd)
		got := r.read(0, "log", 0)
		r.wantData(got, want[:len(got)]...)
		if len(got) == 0 {
			r.wantNoLog(0, "log")
		}
	}
}
