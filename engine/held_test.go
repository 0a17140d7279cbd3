package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
)

// A held engine keeps commits of shard 0 from being stored until it is let go, and tells
// what they were made of.
type held struct {
	*memory.Engine
	mu      sync.Mutex
	holding bool
	waiting []func()
	commits []string
	ops     []int // records and rows of each
}

func (h *held) Commit(s engine.Shard, b *engine.Batch, done func(error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commits = append(h.commits, describe(b))
	h.ops = append(h.ops, len(b.Records)+len(b.State))
	if h.holding && s == 0 {
		h.waiting = append(h.waiting, func() { h.Engine.Commit(s, b, done) })
		return
	}
	h.Engine.Commit(s, b, done)
}

func (h *held) hold() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holding = true
}

func (h *held) letGo() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holding = false
	for _, f := range h.waiting {
		f()
	}
	h.waiting = nil
}

// seen returns the commits so far and forgets them.
func (h *held) seen() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer func() { h.commits, h.ops = nil, nil }()
	return h.commits
}

func (h *held) sizes() []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer func() { h.commits, h.ops = nil, nil }()
	return h.ops
}

// describe says what is in b: records by their data, rows by their keys, and
// what is cleared.
func describe(b *engine.Batch) string {
	if len(b.Records)+len(b.State) > 20 {
		return fmt.Sprintf("%d records and rows", len(b.Records)+len(b.State))
	}
	var parts []string
	if b.Epoch != 0 {
		parts = append(parts, fmt.Sprintf("epoch %d", b.Epoch))
	}
	for _, c := range slices.Concat(b.Clear, b.ClearQueues) {
		parts = append(parts, "clear "+c)
	}
	for _, name := range b.DropLogs {
		parts = append(parts, "drop "+name)
	}
	for i := range b.Records {
		parts = append(parts, fmt.Sprintf("%.8s", b.Records[i].Data))
	}
	for i := range b.Remove {
		parts = append(parts, "remove "+b.Remove[i].Queue)
	}
	for i := range b.State {
		parts = append(parts, "row "+b.State[i].Key)
	}
	return strings.Join(parts, ", ")
}

// A rig is a Committer over a held engine, and the outcomes of its ops.
type rig struct {
	*engine.Committer
	t *testing.T
	e *held

	mu       sync.Mutex
	outcomes []string
	kinds    map[string]gatehouse.Kind // of those that failed
}

func start(t *testing.T) *rig {
	h := &held{Engine: memory.New(memory.Options{Shards: 2})}
	return &rig{Committer: engine.NewCommitter(h), t: t, e: h, kinds: make(map[string]gatehouse.Kind)}
}

func (r *rig) stop() {
	r.e.letGo()
	r.Close()
	if err := r.e.Close(); err != nil {
		r.t.Errorf("Close: %v", err)
	}
}

// write writes op to shard 0; its outcome will be noted under name.
func (r *rig) write(name string, op *engine.Op) {
	r.t.Helper()
	op.Done = func(_ *engine.Op, err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.outcomes = append(r.outcomes, name)
		if err != nil {
			r.kinds[name] = gatehouse.KindOf(err)
			if errors.Is(err, gatehouse.Conflict) {
				r.kinds[name] = gatehouse.Conflict
			}
		}
	}
	if err := r.Write(context.Background(), 0, op); err != nil {
		r.t.Fatalf("Write: %v", err)
	}
}

// occupy has as many commits in flight as there may be, so that what is
// written next waits. letGo ends it.
func (r *rig) occupy(pause func()) {
	r.e.hold()
	for range 4 {
		r.write("occupied", record("occupied"))
		pause()
	}
	r.e.seen()
}

func (r *rig) wantOutcomes(want ...string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	got := slices.DeleteFunc(r.outcomes, func(s string) bool { return s == "occupied" })
	if !slices.Equal(got, want) {
		r.t.Errorf("outcomes came for %q, want %q", got, want)
	}
}

func (r *rig) wantKinds(want map[string]gatehouse.Kind) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if fmt.Sprint(r.kinds) != fmt.Sprint(want) {
		r.t.Errorf("failed: %v, want %v", r.kinds, want)
	}
}

func (r *rig) wantCommits(want ...string) {
	r.t.Helper()
	if got := r.e.seen(); !slices.Equal(got, want) {
		r.t.Errorf("commits\n%q\nwant\n%q", got, want)
	}
}

func record(data string) *engine.Op {
	return &engine.Op{Records: []engine.Record{{Stream: "log", Data: []byte(data)}}}
}

func row(key string) *engine.Op {
	return &engine.Op{State: []engine.Row{{Key: key, Value: []byte("x")}}}
}
