package dispatch_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/dispatch"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
	"github.com/gatehouse/gatehouse/handler"
)

var (
	telemetry = channel.ID{Account: "Acme", Channel: "Telemetry"}

	errDisk = gatehouse.Errorf(gatehouse.Unavailable, "the disk is full")
)

const shards = 2

// work is a handler made of a function.
type work func(ctx context.Context, m *gatehouse.Message, out handler.Sender) error

func (w work) Handle(ctx context.Context, m *gatehouse.Message, out handler.Sender) error {
	return w(ctx, m, out)
}

// forward sends every message to the endpoint that its subject names.
func forward(_ context.Context, m *gatehouse.Message, out handler.Sender) error {
	out.Send("endpoints/"+m.Subject, m)
	return nil
}

// A rig is a dispatcher over an engine, both of which can be stopped and
// started. What handlers send it stores as the gate does: with a mark, in the
// shard that the address belongs to.
type rig struct {
	t      testing.TB
	opts   dispatch.Options
	engine *memory.Engine
	commit *engine.Committer
	set    *channel.Set
	*dispatch.Dispatcher
	specs []dispatch.Spec
	stop  func()

	mu      sync.Mutex
	failing func(*handler.Batch) error // if set, decides first
	batches []handler.Batch
	handled int
	retried int
	damaged int
	buried  []string // ids of dead letters told of
}

func start(t testing.TB, o dispatch.Options, specs ...dispatch.Spec) *rig {
	r := &rig{t: t, opts: o, specs: specs, engine: memory.New(memory.Options{Shards: shards})}
	r.begin()
	t.Cleanup(func() { r.end(); _ = r.engine.Close() })
	return r
}

func spec(name string, h handler.Handler) dispatch.Spec {
	return dispatch.Spec{Channel: telemetry, Name: name, Handler: h, Revision: 1}
}

func (r *rig) begin() {
	r.commit = engine.NewCommitter(r.engine)
	r.set = channel.New(r.engine, r.commit)
	o := r.opts
	o.Events = dispatch.Events{
		Handled: func(_ *dispatch.Spec, n int, _ time.Duration) { r.count(&r.handled, n) },
		Retried: func(*dispatch.Spec, error) { r.count(&r.retried, 1) },
		Damaged: func(*dispatch.Spec, error) { r.count(&r.damaged, 1) },
		DeadLettered: func(_ *dispatch.Spec, m *gatehouse.Message, d *gatehouse.DeadLetter) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.buried = append(r.buried, m.ID+":"+d.Reason)
		},
	}
	r.Dispatcher = dispatch.New(r.set, r.commit, r.deliver, o)
	r.Use(r.specs)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	d := r.Dispatcher
	go func() {
		defer close(done)
		if err := d.Run(ctx); err != nil {
			r.t.Errorf("Run: %v", err)
		}
	}()
	r.stop = func() { cancel(); <-done }
}

func (r *rig) end() {
	r.stop()
	r.commit.Close()
}

// restart goes on with what the engine has stored.
func (r *rig) restart() {
	r.end()
	r.engine = r.engine.Reopen()
	r.begin()
}

// crash loses what is in flight, but for the first kept commits of each shard.
func (r *rig) crash(kept int) {
	next := r.engine.Crash(func(n int) int { return min(n, kept) })
	r.end()
	r.engine = next
	r.begin()
}

func (r *rig) count(what *int, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*what += n
}

func (r *rig) counted(what *int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return *what
}

func (r *rig) deliver(ctx context.Context, b *handler.Batch) error {
	r.mu.Lock()
	c := *b
	c.Outputs = slices.Clone(b.Outputs)
	r.batches = append(r.batches, c)
	failing := r.failing
	r.mu.Unlock()
	if failing != nil {
		if err := failing(b); err != nil {
			return err
		}
	}
	mark := fmt.Sprintf("mark/%s/%d", b.Group, b.Partition)
	for s := range engine.Shard(shards) {
		had, err := r.engine.State(s).Get(mark)
		if err != nil {
			return err
		}
		op := &engine.Op{State: []engine.Row{{Key: mark, Value: binary.BigEndian.AppendUint64(nil, uint64(b.Through))}}}
		for i := range b.Outputs {
			o := &b.Outputs[i]
			if engine.ShardOf(shards, b.Account, o.Address) == s && (had == nil || uint64(o.Source) > binary.BigEndian.Uint64(had)) {
				op.Records = append(op.Records, engine.Record{Stream: "out/" + o.Address, Data: []byte(o.Message.ID)})
			}
		}
		if len(op.Records) == 0 {
			continue
		}
		if err := r.commit.Do(ctx, s, op); err != nil {
			return err
		}
	}
	return nil
}

// out returns the ids of what was sent to an endpoint, in order.
func (r *rig) out(endpoint string) []string {
	r.t.Helper()
	address := "endpoints/" + endpoint
	var ids []string
	_, err := r.engine.Log(engine.ShardOf(shards, telemetry.Account, address), "out/"+address).
		Read(context.Background(), 0, func(_ gatehouse.Offset, _ int64, data []byte) bool {
			ids = append(ids, string(data))
			return true
		})
	if err != nil {
		r.t.Fatal(err)
	}
	return ids
}

// dead returns the dead letters of a handler.
func (r *rig) dead(name string) []*gatehouse.Message {
	r.t.Helper()
	var all []*gatehouse.Message
	for p := range engine.Shard(shards) {
		_, err := r.set.ReadDead(context.Background(), telemetry, name, p, 0, nil, func(m *gatehouse.Message) bool {
			all = append(all, m)
			return true
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
	return all
}

// deadIDs returns the ids of a handler's dead letters with their reasons.
func (r *rig) deadIDs(name string) []string {
	r.t.Helper()
	var ids []string
	for _, m := range r.dead(name) {
		ids = append(ids, m.ID+":"+m.Dead.Reason)
	}
	return ids
}

// put appends messages whose subject is "e" and whose ids are given. They all
// go to one partition.
func (r *rig) put(ids ...string) {
	r.t.Helper()
	messages := make([]*gatehouse.Message, len(ids))
	for i, id := range ids {
		messages[i] = &gatehouse.Message{ID: id, Subject: "e"}
	}
	r.putAll(messages...)
}

func (r *rig) putAll(messages ...*gatehouse.Message) {
	r.t.Helper()
	if err := r.tryPut(messages...); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) tryPut(messages ...*gatehouse.Message) error {
	done := make(chan error, len(messages))
	for _, m := range messages {
		m.Enqueued = time.Now()
		err := r.set.Append(context.Background(), &channel.Append{
			Account: telemetry.Account, Shard: r.set.Shard(telemetry.Account, m.Key), Message: m,
			Targets: []channel.Target{{Channel: telemetry.Channel}},
			Done:    func(_ *channel.Append, err error) { done <- err },
		})
		if err != nil {
			return err
		}
	}
	var failed error
	for range messages {
		if err := <-done; err != nil {
			failed = err
		}
	}
	return failed
}

func (r *rig) want(what string, got, want []string) {
	r.t.Helper()
	if !slices.Equal(got, want) {
		r.t.Errorf("%s: %q; want %q", what, got, want)
	}
}

// pass lets fake time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func numbered(format string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(format, i)
	}
	return all
}
