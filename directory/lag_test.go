package directory_test

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/engine"
)

// A laggingEngine has its first Watch tell of nothing before it is released,
// and all of them tell of what came before the call by revision, not at once.
type laggingEngine struct {
	engine.Engine
	once    sync.Once
	started chan struct{} // closed when the first Watch has begun
	release chan struct{}
}

func lag(e engine.Engine) *laggingEngine {
	return &laggingEngine{Engine: e, started: make(chan struct{}), release: make(chan struct{})}
}

func (l *laggingEngine) Table(name string) engine.Table {
	return &laggingTable{l.Engine.Table(name), l}
}

type laggingTable struct {
	engine.Table
	*laggingEngine
}

func (l *laggingTable) Watch(ctx context.Context, revision uint64, visit func([]engine.TableRow) error) error {
	first := false
	l.once.Do(func() { first = true; close(l.started) })
	return l.Table.Watch(ctx, revision, func(rows []engine.TableRow) error {
		if first {
			select {
			case <-l.release:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		slices.SortStableFunc(rows, func(a, b engine.TableRow) int { return cmp.Compare(a.Revision, b.Revision) })
		for len(rows) > 0 {
			n := 1
			for n < len(rows) && rows[n].Revision == rows[0].Revision {
				n++
			}
			if err := visit(rows[:n]); err != nil {
				return err
			}
			rows = rows[n:]
		}
		return nil
	})
}

// tellings counts how often subscribers were told of each name.
func tellings(d *directory.Directory) func(name string) int {
	var mu sync.Mutex
	told := map[string]int{}
	d.Subscribe(func(_, _ *directory.Snapshot, changed []directory.Ref) {
		mu.Lock()
		defer mu.Unlock()
		for _, r := range changed {
			told[r.Name]++
		}
	})
	return func(name string) int {
		mu.Lock()
		defer mu.Unlock()
		return told[name]
	}
}

// What a directory has done itself it does not do again when it hears of it.
func TestOwnChangesAreMadeOnce(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	l := lag(e)
	d := open(t, l)
	acme(t, d)
	told, news := tellings(d), follow(d)
	run(t, d)
	<-l.started
	put(t, d, &directory.EndpointSpec{Name: "short-lived"}, &directory.EndpointSpec{Name: "lasting"})
	if err := d.Delete(context.Background(), "acme", directory.KindEndpoint, "short-lived", 0); err != nil {
		t.Fatal(err)
	}
	put(t, open(t, e), &directory.EndpointSpec{Name: "others"})
	close(l.release)
	news.until(func(s *directory.Snapshot) bool { return s.Account("acme").Endpoint("others") != nil })
	if told("short-lived") != 2 || told("lasting") != 1 || told("others") != 1 {
		t.Fatalf("told %d, %d and %d times; want 2, 1 and 1", told("short-lived"), told("lasting"), told("others"))
	}
}

// What a directory had to learn early, because a change of its own crossed it,
// does not come again when Run hears of it.
func TestWhatWasCaughtUpWithComesOnce(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	l := lag(e)
	other := open(t, e)
	acme(t, other)
	d := open(t, l)
	told, news := tellings(d), follow(d)
	run(t, d)
	<-l.started
	put(t, other, &directory.EndpointSpec{Name: "short-lived"}, &directory.ChannelSpec{Name: "theirs"})
	if err := other.Delete(context.Background(), "acme", directory.KindEndpoint, "short-lived", 0); err != nil {
		t.Fatal(err)
	}
	put(t, d, &directory.ChannelSpec{Name: "ours"})
	if account(t, d).Channel("theirs") == nil {
		t.Fatal("a change was made to an account that was not known as it is")
	}
	put(t, other, &directory.EndpointSpec{Name: "others"})
	close(l.release)
	news.until(func(s *directory.Snapshot) bool { return s.Account("acme").Endpoint("others") != nil })
	if told("short-lived") > 1 || told("theirs") != 1 || told("ours") != 1 {
		t.Fatalf("told %d, %d and %d times; want at most 1, 1 and 1", told("short-lived"), told("theirs"), told("ours"))
	}
}

// An account whose own row is the last to be told of is complete.
func TestAccountToldOfLast(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	l := lag(e)
	d := open(t, l)
	news := follow(d)
	other := open(t, e)
	put(t, other, oneOfEach()...)
	put(t, other, &directory.AccountSpec{Name: "acme", Description: "written last"})
	close(l.release)
	run(t, d)
	news.until(func(s *directory.Snapshot) bool { return s.Account("acme") != nil })
	if got, want := dump(t, d), dump(t, other); !slices.Equal(got, want) {
		t.Fatal(difference(got, want))
	}
	if err := other.Delete(context.Background(), "acme", directory.KindEndpoint, "pump-7", 0); err != nil {
		t.Fatal(err)
	}
	news.until(func(s *directory.Snapshot) bool { return s.Account("acme").Endpoint("pump-7") == nil })
	wantKind(t, d.Revoke(context.Background(), "acme", "pump-7", directory.Revoked{Send: true}), gatehouse.NotFound)
}
