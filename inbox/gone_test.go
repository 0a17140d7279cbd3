package inbox_test

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/inbox"
)

// sameShard returns another endpoint whose inbox is in the shard of pump.
func (r *rig) sameShard() inbox.Key {
	for i := 0; ; i++ {
		k := inbox.Key{Account: pump.Account, Endpoint: gatehouse.EndpointName("other-" + strconv.Itoa(i))}
		if r.Shard(k) == r.Shard(pump) {
			return k
		}
	}
}

// deliver delivers puts of one shard.
func (r *rig) deliver(puts []inbox.Put) {
	r.t.Helper()
	done := make(chan error, 1)
	if err := r.Deliver(context.Background(), r.Shard(puts[0].Key), puts, engine.Row{}, func(err error) { done <- err }); err != nil {
		r.t.Fatal(err)
	}
	if err := <-done; err != nil {
		r.t.Fatal(err)
	}
}

// TestPutBehindDeletion says that what comes to an inbox when its endpoint was
// deleted, or another has its name, is refused, each put alone.
func TestPutBehindDeletion(t *testing.T) {
	t.Parallel()
	for _, quota := range []int{0, 2} {
		for what, remove := range map[string]func(*rig) error{
			"inbox":   func(r *rig) error { return r.Delete(context.Background(), dead(pump)) },
			"account": func(r *rig) error { return r.DeleteAccount(context.Background(), "ACME") },
		} {
			t.Run(fmt.Sprint(what, quota), func(t *testing.T) {
				t.Parallel()
				var incarnation atomic.Uint32 // of pump; 0: there is none
				incarnation.Store(1)
				r := start(t, inbox.Options{
					Policy: func(inbox.Key) inbox.Policy { return inbox.Policy{MaxMessages: quota} },
					Incarnation: func(k inbox.Key) (uint32, bool) {
						if k.Endpoint != pump.Endpoint {
							return 9, true
						}
						n := incarnation.Load()
						return n, n != 0
					},
				})
				other := r.sameShard()
				r.deliver([]inbox.Put{{Key: pump, Incarnation: 1, Message: msg("before")}})
				if s := r.stats(pump); s.Active != 1 {
					t.Fatalf("%+v", s)
				}
				puts := []inbox.Put{
					{Key: pump, Incarnation: 1, Message: msg("a")},
					{Key: other, Incarnation: 9, Message: msg("b")},
					{Key: other, Incarnation: 9, Message: msg("c"), Data: make([]byte, engine.MaxRecord+1)},
					{Key: pump, Incarnation: 1, Message: msg("d"), Instead: func(refusal error) engine.Record {
						return engine.Record{Stream: "instead", Data: []byte(refusal.Error())}
					}},
					{Key: other, Incarnation: 9, Message: msg("e")},
				}
				traces := func() gatehouse.Offset {
					_, next, _, err := r.engine.Log(r.Shard(pump), "instead").Bounds(context.Background())
					if err != nil {
						t.Error(err)
					}
					return next
				}
				late := func() {
					t.Helper()
					before := traces()
					r.deliver(puts)
					for i, want := range []gatehouse.Kind{gatehouse.NotFound, 0, gatehouse.TooLarge, gatehouse.NotFound, 0} {
						if got := puts[i].Err; (got == nil) != (want == 0) || got != nil && gatehouse.KindOf(got) != want {
							t.Errorf("put %d: %v", i, got)
						}
					}
					got := r.takeAll(other)
					r.wantIDs(got, "b e")
					r.settle(other, inbox.Complete, got...)
					if s := r.stats(pump); s.Active+s.Dead != 0 {
						t.Errorf("the inbox that was deleted holds %+v", s)
					}
					if traces() == before {
						t.Error("the refusal has left no trace")
					}
				}
				incarnation.Store(0)
				if err := remove(r); err != nil {
					t.Fatal(err)
				}
				late()
				incarnation.Store(2) // another of its name
				late()
				r.deliver([]inbox.Put{{Key: pump, Incarnation: 2, Message: msg("new")}})
				r.wantIDs(r.takeAll(pump), "new")
			})
		}
	}
}

// TestResubmitWithIncarnations says that dead letters go back into the inbox
// whose they are, whoever knows the number of its endpoint.
func TestResubmitWithIncarnations(t *testing.T) {
	t.Parallel()
	r := start(t, inbox.Options{Incarnation: func(inbox.Key) (uint32, bool) { return 7, true }})
	r.deliver([]inbox.Put{{Key: pump, Incarnation: 7, Message: msg("a")}})
	r.settle(pump, inbox.DeadLetter, r.takeAll(pump)...)
	got, err := r.Resubmit(context.Background(), pump, func(*gatehouse.Message) error { return nil })
	if err != nil || got.Moved != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	r.wantIDs(r.takeAll(pump), "a")
}
