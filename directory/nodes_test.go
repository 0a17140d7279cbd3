package directory_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
)

// A follower waits for a directory to come to a state.
type follower struct {
	d       *directory.Directory
	changed chan struct{}
}

func follow(d *directory.Directory) *follower {
	f := &follower{d: d, changed: make(chan struct{}, 1)}
	d.Subscribe(func(_, _ *directory.Snapshot, _ []directory.Ref) {
		select {
		case f.changed <- struct{}{}:
		default:
		}
	})
	return f
}

// until waits until ok holds of the snapshot.
func (f *follower) until(ok func(*directory.Snapshot) bool) {
	for !ok(f.d.Current()) {
		<-f.changed
	}
}

func TestChangesReachOtherNodes(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	e := newEngine(t)
	a, b := open(t, e), open(t, e)
	other := follow(b)
	var told atomic.Int64
	b.Subscribe(func(_, _ *directory.Snapshot, changed []directory.Ref) { told.Add(int64(len(changed))) })
	run(t, a)
	run(t, b)
	put(t, a, oneOfEach()...)
	other.until(func(s *directory.Snapshot) bool {
		return s.Account("acme") != nil && s.Account("acme").Policy("backend") != nil
	})
	if got, want := dump(t, b), dump(t, a); !slices.Equal(got, want) {
		t.Fatal(difference(got, want))
	}
	if told.Load() != 7 {
		t.Fatalf("it was told of %d changes; want 7", told.Load())
	}
	if err := a.Delete(ctx, "acme", directory.KindEndpoint, "pump-7", 0); err != nil {
		t.Fatal(err)
	}
	other.until(func(s *directory.Snapshot) bool { return s.Account("acme").Endpoint("pump-7") == nil })
	if err := a.Delete(ctx, "acme", directory.KindAccount, "", 0); err != nil {
		t.Fatal(err)
	}
	other.until(func(s *directory.Snapshot) bool { return s.Account("acme") == nil })
	acme(t, a)
	other.until(func(s *directory.Snapshot) bool { return s.Account("acme") != nil })
	if got, want := dump(t, b), dump(t, a); !slices.Equal(got, want) {
		t.Fatal(difference(got, want))
	}
}

// A node that has not heard of another's change finds out when it makes one
// that depends on it, and does not make it as if nothing had happened.
func TestChangesThatCross(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	e := newEngine(t)
	a := open(t, e)
	acme(t, a)
	put(t, a, &directory.ChannelSpec{Name: "telemetry"}, &directory.EndpointSpec{Name: "pump-7"})
	b := open(t, e) // neither follows the other

	// Both valid one by one, not together.
	put(t, a, &directory.HandlerSpec{Name: "h", Channel: "telemetry", Kind: "router"})
	err := b.Delete(ctx, "acme", directory.KindChannel, "telemetry", 0)
	wantKind(t, err, gatehouse.Conflict, `followed by handler "h"`)

	// The same row without a condition: both changes are made.
	if err := a.Revoke(ctx, "acme", "pump-7", directory.Revoked{Send: true}); err != nil {
		t.Fatal(err)
	}
	if err := b.Revoke(ctx, "acme", "pump-7", directory.Revoked{Listen: true}); err != nil {
		t.Fatal(err)
	}
	if got := account(t, b).Endpoint("pump-7").Revoked(); got != (directory.Revoked{Send: true, Listen: true}) {
		t.Fatalf("one revocation undid the other: %+v", got)
	}

	// A condition on what the node has not heard of yet holds, and one on what
	// is past does not.
	row := account(t, b).Endpoint("pump-7").Spec()
	_, err = a.Put(ctx, "acme", row, account(t, a).Endpoint("pump-7").Revision())
	wantKind(t, err, gatehouse.Conflict, "was changed meanwhile")
	if _, err := a.Put(ctx, "acme", &directory.EndpointSpec{Name: "pump-7", Description: "new"}, account(t, b).Endpoint("pump-7").Revision()); err != nil {
		t.Fatal(err)
	}

	// What another has created meanwhile.
	if _, err := b.Put(ctx, "other", &directory.AccountSpec{Name: "other"}, 0); err != nil {
		t.Fatal(err)
	}
	_, err = a.Put(ctx, "other", &directory.AccountSpec{Name: "other"}, directory.Absent)
	wantKind(t, err, gatehouse.Conflict)
	if _, err := a.Put(ctx, "other", &directory.EndpointSpec{Name: "x"}, 0); err != nil {
		t.Fatal(err)
	}
}

// Two nodes that change the same things at random agree in the end, with each
// other and with the tables.
func TestNodesAgree(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	e := newEngine(t)
	nodes := []*directory.Directory{open(t, e), open(t, e)}
	acme(t, nodes[0])
	var all sync.WaitGroup
	followers := make([]*follower, len(nodes))
	for i, d := range nodes {
		followers[i] = follow(d)
		run(t, d)
	}
	followers[1].until(func(s *directory.Snapshot) bool { return s.Account("acme") != nil })
	for i, d := range nodes {
		random := rand.New(rand.NewPCG(uint64(i), 7))
		all.Go(func() {
			for n := range 150 {
				if err := randomChange(ctx, d, random, n); err != nil && !expected(err) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, d := range nodes {
		if _, err := d.Put(ctx, "end", &directory.AccountSpec{Name: "end", Description: fmt.Sprintf("%p", d)}, 0); err != nil {
			t.Fatal(err)
		}
	}
	last := nodes[1].Current().Account("end").Revision()
	want := dump(t, open(t, e))
	for i, d := range nodes {
		followers[i].until(func(s *directory.Snapshot) bool {
			return s.Account("end") != nil && s.Account("end").Revision() == last
		})
		if got := dump(t, d); !slices.Equal(got, want) {
			t.Fatalf("node %d is not what the tables say:\n%s", i, difference(got, want))
		}
	}
}

func expected(err error) bool {
	switch gatehouse.KindOf(err) {
	case gatehouse.NotFound, gatehouse.Conflict, gatehouse.Invalid:
		return true
	}
	return false
}

func randomChange(ctx context.Context, d *directory.Directory, random *rand.Rand, n int) error {
	name := fmt.Sprint("n", random.IntN(4))
	var spec directory.Spec
	switch random.IntN(7) {
	case 0:
		spec = &directory.EndpointSpec{Name: name, Description: fmt.Sprint(n)}
	case 1:
		spec = &directory.ChannelSpec{Name: name, Description: fmt.Sprint(n)}
	case 2:
		spec = &directory.HandlerSpec{Name: name, Channel: fmt.Sprint("n", random.IntN(4)), Kind: "router"}
	case 3:
		spec = routeSpec(name, fmt.Sprint("n", random.IntN(4)), "*")
	case 4:
		return d.Revoke(ctx, "acme", gatehouse.EndpointName(name), directory.Revoked{Send: true})
	case 5:
		return d.Delete(ctx, "acme", directory.Kinds()[1+random.IntN(6)], name, 0)
	default:
		if n%40 == 39 {
			if err := d.Delete(ctx, "acme", directory.KindAccount, "", 0); err != nil {
				return err
			}
		}
		spec = &directory.AccountSpec{Name: "acme", Description: fmt.Sprint(n)}
	}
	_, err := d.Put(ctx, "acme", spec, 0)
	return err
}

// Reading goes on, unhindered and consistent, while changes are made.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := open(t, newEngine(t))
	run(t, d)
	acme(t, d)
	put(t, d, &directory.ChannelSpec{Name: "telemetry"}, &directory.EndpointSpec{Name: "n0"}, &directory.EndpointSpec{Name: "n1"})
	inside := atomic.Int32{}
	var lastTold *directory.Snapshot
	d.Subscribe(func(old, now *directory.Snapshot, _ []directory.Ref) {
		if inside.Add(1) != 1 || lastTold != nil && lastTold != old {
			t.Error("subscribers are not told in order, one at a time")
		}
		lastTold = now
		inside.Add(-1)
	})
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for a := range d.Current().Accounts() {
					n := 0
					for e := range a.Endpoints("") {
						a.Routes().Plan(e.Party())
						n++
					}
					if n != a.Count(directory.KindEndpoint) {
						t.Errorf("%d endpoints are found of %d", n, a.Count(directory.KindEndpoint))
					}
				}
				if _, err := d.EndpointKeys("acme", "n1", "send"); err != nil && !expected(err) {
					t.Error(err)
				}
			}
		})
	}
	for i := range 4 {
		random := rand.New(rand.NewPCG(uint64(i), 9))
		writers.Go(func() {
			for n := range 60 {
				if err := randomChange(ctx, d, random, n); err != nil && !expected(err) {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
}

func TestOtherEnvironments(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	e := newEngine(t)
	test := open(t, e)
	put(t, test, oneOfEach()...)
	live := open(t, e, func(o *directory.Options) { o.Environment = "live" })
	if live.Current().Account("acme") != nil {
		t.Fatal("an account of another environment is served")
	}
	_, err := live.Put(ctx, "acme", &directory.EndpointSpec{Name: "x"}, 0)
	wantKind(t, err, gatehouse.Conflict, `belongs to environment "test", and this gateway manages "live"`)
	_, err = live.Put(ctx, "acme", &directory.AccountSpec{Name: "acme"}, 0)
	wantKind(t, err, gatehouse.Conflict, `belongs to environment "test"`)
	wantKind(t, live.Delete(ctx, "acme", directory.KindAccount, "", 0), gatehouse.Conflict, `belongs to environment "test"`)
	_, err = live.EndpointKeys("acme", "pump-7", "send")
	wantKind(t, err, gatehouse.NotFound)

	// The same while running, and when the account goes.
	news := follow(live)
	run(t, live)
	if _, err := test.Put(ctx, "second", &directory.AccountSpec{Name: "second"}, 0); err != nil {
		t.Fatal(err)
	}
	_, err = live.Put(ctx, "second", &directory.AccountSpec{Name: "second"}, 0)
	wantKind(t, err, gatehouse.Conflict)
	if err := test.Delete(ctx, "second", directory.KindAccount, "", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := test.Put(ctx, "third", &directory.AccountSpec{Name: "third"}, 0); err != nil {
		t.Fatal(err)
	}
	second := open(t, e, func(o *directory.Options) { o.Environment = "live" })
	if _, err := second.Put(ctx, "second", &directory.AccountSpec{Name: "second"}, 0); err != nil {
		t.Fatal(err)
	}
	news.until(func(s *directory.Snapshot) bool { return s.Account("second") != nil })
	if live.Current().Account("third") != nil || test.Current().Account("third") == nil {
		t.Fatal("account third is served by the wrong one")
	}
}

// A change that the engine refuses is not there.
func TestEngineFailure(t *testing.T) {
	t.Parallel()
	e := memory.New(memory.Options{Shards: 1})
	t.Cleanup(func() { _ = e.Close() })
	d := open(t, e)
	acme(t, d)
	before := d.Current()
	e.Fail(gatehouse.Errorf(gatehouse.Unavailable, "the disk is full"))
	_, err := d.Put(context.Background(), "acme", &directory.EndpointSpec{Name: "pump-7"}, 0)
	wantKind(t, err, gatehouse.Unavailable, "disk is full")
	if d.Current() != before {
		t.Fatal("it is served though it is not stored")
	}
	e.Fail(nil)
	put(t, d, &directory.EndpointSpec{Name: "pump-7"})
}

// A node that comes across what it does not understand says so and stops.
func TestRunStopsAtWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	d := open(t, e)
	acme(t, d)
	table(t, e, engine.Change{Key: "acme/e/pump-7", Value: []byte{2}})
	wantKind(t, d.Run(context.Background()), gatehouse.Internal, `endpoint "pump-7" of account "acme" cannot be read`)
}
