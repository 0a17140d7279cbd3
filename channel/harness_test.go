package channel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
)

var (
	telemetry = channel.ID{Account: "Acme", Channel: "Telemetry"}
	alerts    = channel.ID{Account: "Acme", Channel: "Alerts"}

	errDisk = gatehouse.Errorf(gatehouse.Unavailable, "the disk is full")
)

// A rig is the channels of an engine, which can be stopped and started.
type rig struct {
	t testing.TB
	*channel.Set
	engine *memory.Engine
	held   *holding
	commit *engine.Committer
}

func start(t testing.TB) *rig {
	r := &rig{t: t, engine: memory.New(memory.Options{Shards: 4, Segment: 1 << 10})}
	r.begin()
	t.Cleanup(r.end)
	return r
}

func (r *rig) begin() {
	r.held = &holding{Engine: r.engine}
	r.held.came.L = &r.held.mu
	r.commit = engine.NewCommitter(r.held)
	r.Set = channel.New(r.held, r.commit)
}

func (r *rig) end() {
	r.commit.Close()
	if err := r.engine.Close(); err != nil {
		r.t.Errorf("Close: %v", err)
	}
}

// restart goes on with what the engine has stored.
func (r *rig) restart() {
	r.commit.Close()
	r.engine = r.engine.Reopen()
	r.begin()
}

// crash loses what is held back, but for the first kept commits of each shard.
func (r *rig) crash(kept int) {
	shard := engine.Shard(0)
	next := r.engine.Crash(func(n int) int {
		r.held.release(shard)
		shard++
		return min(n, kept)
	})
	r.commit.Close()
	r.engine = next
	r.begin()
}

// A holding engine keeps back, while it is told to, that commits are done. So
// the first commit of a shard is stored but not acknowledged, and those behind
// it are in flight.
type holding struct {
	engine.Engine
	mu      sync.Mutex
	came    sync.Cond
	gates   []chan struct{} // by shard; nil: open
	commits []int           // by shard: since hold
	parked  []bool          // by shard: the first of them is stored
}

func (h *holding) hold() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commits = make([]int, h.Shards())
	h.parked = make([]bool, h.Shards())
	h.gates = make([]chan struct{}, h.Shards())
	for i := range h.gates {
		h.gates[i] = make(chan struct{})
	}
}

func (h *holding) release(s engine.Shard) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gates != nil && h.gates[s] != nil {
		close(h.gates[s])
		h.gates[s] = nil
	}
}

// park notes that a commit of a shard is stored, and returns what to wait for.
func (h *holding) park(s engine.Shard) chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gates == nil {
		return nil
	}
	h.parked[s] = true
	h.came.Broadcast()
	return h.gates[s]
}

// await waits until n commits of a shard have been made since hold, and the
// first of them is stored.
func (h *holding) await(s engine.Shard, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.commits[s] < n || !h.parked[s] {
		h.came.Wait()
	}
}

func (h *holding) Commit(s engine.Shard, b *engine.Batch, done func(error)) {
	h.Engine.Commit(s, b, func(err error) {
		if gate := h.park(s); gate != nil {
			<-gate
		}
		done(err)
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gates != nil {
		h.commits[s]++
		h.came.Broadcast()
	}
}

func msg(id string) *gatehouse.Message {
	return &gatehouse.Message{ID: id, Type: "t", Body: []byte("body of " + id), Enqueued: time.Now()}
}

func to(window time.Duration, ids ...channel.ID) []channel.Target {
	targets := make([]channel.Target, len(ids))
	for i, id := range ids {
		targets[i] = channel.Target{Channel: id.Channel, Duplicates: window}
	}
	return targets
}

// An outcome is what became of an append.
type outcome struct {
	*channel.Append
	err error
}

// send begins an append and returns where its outcome comes.
func (r *rig) send(m *gatehouse.Message, targets []channel.Target) <-chan outcome {
	r.t.Helper()
	return r.submit(r.Append, m, targets)
}

func (r *rig) submit(how func(context.Context, *channel.Append) error, m *gatehouse.Message, targets []channel.Target) <-chan outcome {
	r.t.Helper()
	got := make(chan outcome, 1)
	a := &channel.Append{
		Account: telemetry.Account, Shard: r.Shard(telemetry.Account, m.Key), Message: m, Targets: targets,
		Done: func(a *channel.Append, err error) { got <- outcome{a, err} },
	}
	if err := how(context.Background(), a); err != nil {
		r.t.Fatalf("message %s was not taken: %v", m.ID, err)
	}
	return got
}

// put appends and waits.
func (r *rig) put(m *gatehouse.Message, targets []channel.Target) *channel.Append {
	r.t.Helper()
	o := <-r.send(m, targets)
	if o.err != nil {
		r.t.Fatalf("message %s: %v", m.ID, o.err)
	}
	return o.Append
}

// schedule is put for a message due after d.
func (r *rig) schedule(m *gatehouse.Message, d time.Duration, targets []channel.Target) *channel.Append {
	r.t.Helper()
	m.NotBefore = time.Now().Add(d)
	o := <-r.submit(r.Schedule, m, targets)
	if o.err != nil {
		r.t.Fatalf("message %s: %v", m.ID, o.err)
	}
	return o.Append
}

// ids returns the ids of all messages of a channel, partition by partition.
func (r *rig) ids(id channel.ID) []string {
	r.t.Helper()
	var all []string
	for p := range r.Partitions() {
		all = append(all, r.partition(id, engine.Shard(p))...)
	}
	return all
}

func (r *rig) partition(id channel.ID, p engine.Shard) []string {
	r.t.Helper()
	var all []string
	_, err := r.Read(context.Background(), id, p, 0, func(err error) { r.t.Errorf("damaged: %v", err) }, func(m *gatehouse.Message) bool {
		all = append(all, m.ID)
		return true
	})
	if err != nil {
		r.t.Fatalf("reading %s: %v", id, err)
	}
	return all
}

func (r *rig) want(id channel.ID, want ...string) {
	r.t.Helper()
	if got := r.ids(id); !slices.Equal(got, want) {
		r.t.Errorf("channel %s has %q; want %q", id, got, want)
	}
}

// runSchedule runs the scheduler of a shard that puts what is due into
// telemetry, until the function it returns is called.
func (r *rig) runSchedule(shard engine.Shard) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	set := r.Set
	go func() {
		done <- set.RunSchedule(ctx, shard, func(d *channel.Due) []engine.Record {
			if d.Err != nil {
				return nil
			}
			return channel.Records(d.Account, d.Message, telemetry.Channel)
		})
	}()
	return func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("RunSchedule: %v", err)
		}
	}
}

func numbered(format string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(format, i)
	}
	return all
}

func isDisk(err error) bool { return errors.Is(err, gatehouse.Unavailable) }
