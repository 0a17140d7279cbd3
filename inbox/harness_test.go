package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
	"github.com/gatehouse/gatehouse/inbox"
)

var pump = inbox.Key{Account: "acme", Endpoint: "pump-7"}

func dead(k inbox.Key) inbox.Key { k.Dead = true; return k }

// A rig is a Set over an engine, running.
type rig struct {
	t testing.TB
	*inbox.Set
	engine *memory.Engine
	commit *engine.Committer
	stop   func()
	keep   bool // stop leaves the engine open

	running sync.WaitGroup

	mu      sync.Mutex
	dropped map[string]int
	buried  map[string]int
	corrupt int
	expired int
	fenced  bool // Run is to fail
}

func start(t testing.TB, o inbox.Options) *rig {
	t.Helper()
	return startOn(t, memory.New(memory.Options{}), o)
}

func startOn(t testing.TB, e *memory.Engine, o inbox.Options) *rig {
	t.Helper()
	return startWith(t, e, e, o)
}

// startWith lets the Set see e through another engine.
func startWith(t testing.TB, e *memory.Engine, through engine.Engine, o inbox.Options) *rig {
	t.Helper()
	r := &rig{t: t, engine: e, commit: engine.NewCommitter(through), dropped: make(map[string]int), buried: make(map[string]int)}
	o.Events.Dropped = func(_ inbox.Key, reason string, n int) { r.count(r.dropped, reason, n) }
	o.Events.DeadLettered = func(_ inbox.Key, reason string, n int) { r.count(r.buried, reason, n) }
	o.Events.Corrupt = func(*engine.CorruptError) { r.mu.Lock(); r.corrupt++; r.mu.Unlock() }
	o.Events.LockExpired = func(n int) { r.mu.Lock(); r.expired += n; r.mu.Unlock() }
	r.Set = inbox.New(through, r.commit, o)
	ctx, cancel := context.WithCancel(context.Background())
	r.running.Go(func() {
		err := r.Run(ctx)
		r.mu.Lock()
		fenced := r.fenced
		r.mu.Unlock()
		if fenced != errors.Is(err, gatehouse.Conflict) || !fenced && err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	<-r.Ready()
	r.stop = sync.OnceFunc(func() {
		cancel()
		r.running.Wait()
		r.commit.Close()
		if !r.keep {
			if err := e.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	})
	t.Cleanup(r.stop)
	return r
}

// restart stops the set and starts another on the same engine.
func (r *rig) restart(o inbox.Options) *rig {
	r.t.Helper()
	r.keep = true
	r.stop()
	return startOn(r.t, r.engine, o)
}

func (r *rig) count(m map[string]int, reason string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m[reason] += n
}

func (r *rig) counted(m map[string]int, reason string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return m[reason]
}

// pass lets fake time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func msg(id string) *gatehouse.Message {
	return &gatehouse.Message{ID: id, Type: "t", Body: []byte("body of " + id), Enqueued: time.Now().UTC()}
}

func grouped(id, group string) *gatehouse.Message {
	m := msg(id)
	m.Group = group
	return m
}

// tryPut puts messages and returns what became of each.
func (r *rig) tryPut(k inbox.Key, messages ...*gatehouse.Message) []error {
	r.t.Helper()
	puts := make([]inbox.Put, len(messages))
	for i, m := range messages {
		puts[i] = inbox.Put{Key: k, Message: m}
	}
	done := make(chan error, 1)
	if err := r.Deliver(context.Background(), r.Shard(k), puts, engine.Row{}, func(err error) { done <- err }); err != nil {
		r.t.Fatalf("Deliver: %v", err)
	}
	if err := <-done; err != nil {
		r.t.Fatalf("Deliver: done with %v", err)
	}
	errs := make([]error, len(puts))
	for i := range puts {
		errs[i] = puts[i].Err
	}
	return errs
}

func (r *rig) put(k inbox.Key, ids ...string) {
	r.t.Helper()
	messages := make([]*gatehouse.Message, len(ids))
	for i, id := range ids {
		messages[i] = msg(id)
	}
	r.putAll(k, messages...)
}

func (r *rig) putAll(k inbox.Key, messages ...*gatehouse.Message) {
	r.t.Helper()
	for i, err := range r.tryPut(k, messages...) {
		if err != nil {
			r.t.Fatalf("put of %s: %v", messages[i].ID, err)
		}
	}
}

// take receives what there is, without waiting.
func (r *rig) take(k inbox.Key, o inbox.ReceiveOptions) []*inbox.Delivery {
	r.t.Helper()
	o.NoWait = true
	got, err := r.Receive(context.Background(), k, o)
	if err != nil {
		r.t.Fatalf("Receive: %v", err)
	}
	return got
}

// takeAll receives all there is.
func (r *rig) takeAll(k inbox.Key) []*inbox.Delivery {
	r.t.Helper()
	var all []*inbox.Delivery
	for {
		got := r.take(k, inbox.ReceiveOptions{Max: 100})
		if len(got) == 0 {
			return all
		}
		all = append(all, got...)
	}
}

func (r *rig) takeOne(k inbox.Key) *inbox.Delivery {
	r.t.Helper()
	got := r.take(k, inbox.ReceiveOptions{})
	if len(got) != 1 {
		r.t.Fatalf("received %d messages, want 1", len(got))
	}
	return got[0]
}

func (r *rig) settle(k inbox.Key, outcome inbox.Outcome, deliveries ...*inbox.Delivery) {
	r.t.Helper()
	s := make([]inbox.Settlement, len(deliveries))
	for i, d := range deliveries {
		s[i] = inbox.Settlement{Sequence: d.Sequence, Lock: d.Lock, Outcome: outcome}
	}
	if err := r.Settle(context.Background(), k, s); err != nil {
		r.t.Fatalf("Settle: %v", err)
	}
}

func (r *rig) stats(k inbox.Key) inbox.Stats {
	r.t.Helper()
	s, err := r.Stats(context.Background(), k)
	if err != nil {
		r.t.Fatalf("Stats: %v", err)
	}
	return s
}

func ids(deliveries []*inbox.Delivery) string {
	s := ""
	for _, d := range deliveries {
		if s != "" {
			s += " "
		}
		s += d.Message.ID
	}
	return s
}

func (r *rig) wantIDs(got []*inbox.Delivery, want string) {
	r.t.Helper()
	if ids(got) != want {
		r.t.Fatalf("received %q, want %q", ids(got), want)
	}
}

func wantKind(t testing.TB, err error, k gatehouse.Kind) {
	t.Helper()
	if !errors.Is(err, k) {
		t.Fatalf("error %v, want one of kind %v", err, k)
	}
}

func numbered(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s%05d", prefix, i)
	}
	return names
}
