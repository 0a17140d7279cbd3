package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/dispatch"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/record"
)

// acme is an account with one of all that leaves a rest. Nothing follows its
// handler's channel but a handler that is off.
func acme() *directory.File {
	off := false
	return &directory.File{
		Account:   "Acme",
		Channels:  []directory.ChannelSpec{{Name: "Work", Duplicates: config.Duration(time.Hour)}, {Name: "Other", Duplicates: config.Duration(time.Hour)}},
		Endpoints: []directory.EndpointSpec{{Name: "Pump-7"}, {Name: "Desk"}},
		Handlers:  []directory.HandlerSpec{{Name: "Deliver", Channel: "Work", Kind: "router", Enabled: &off}},
	}
}

var (
	work  = channel.ID{Account: "Acme", Channel: "Work"}
	other = channel.ID{Account: "Acme", Channel: "Other"}
	pump  = inbox.Key{Account: "Acme", Endpoint: "Pump-7"}
	desk  = inbox.Key{Account: "Acme", Endpoint: "Desk"}
)

// openAt opens a gateway over a data folder. It is closed when the test ends.
func openAt(t *testing.T, data string) *App {
	t.Helper()
	text := "data: '" + data + "'\nadmin: {address: '127.0.0.1:0'}\nshards: 2\nlisteners: [{adapter: http, address: '127.0.0.1:0'}]\n"
	cfg, err := config.Parse([]byte(text), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// serveIt runs a gateway until it is stopped, or the end of the test.
func serveIt(t *testing.T, a *App) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	<-a.Ready()
	return stop
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// furnish stores something of all that can be left in the account acme.
func furnish(t *testing.T, a *App) {
	t.Helper()
	ctx := t.Context()
	_, err := a.Directory.Apply(ctx, acme(), false)
	must(t, err)
	m := &gatehouse.Message{ID: "old", Type: "t", Source: "/Acme/endpoints/Pump-7", Body: []byte("old"), Enqueued: time.Now()}
	for _, id := range []channel.ID{work, other} {
		for s := range a.Engine.Shards() {
			shard := engine.Shard(s)
			done := make(chan error, 1)
			add := &channel.Append{
				Account: id.Account, Shard: shard, Message: m, Targets: []channel.Target{{Channel: id.Channel, Duplicates: time.Hour}},
				Done: func(_ *channel.Append, err error) { done <- err },
			}
			must(t, a.Channels.Append(ctx, add))
			must(t, <-done)
			for _, group := range dispatch.Groups("Deliver") {
				must(t, a.Channels.SetCursor(ctx, id, group, shard, 1))
				must(t, a.commit.Do(ctx, shard, &engine.Op{State: []engine.Row{{Key: channel.MarkKey(id, group, uint16(s)), Value: make([]byte, 8)}}}))
			}
			dead := channel.DeadRecord(id, "Deliver", m, gatehouse.DeadLetter{Reason: "r"})
			must(t, a.commit.Do(ctx, shard, &engine.Op{Records: []engine.Record{dead}}))
			later := *m
			later.NotBefore, later.Channel, later.To = time.Now().Add(time.Hour), id.Channel, []string{"channels/" + string(id.Channel)}
			must(t, a.Channels.Schedule(ctx, &channel.Append{
				Account: id.Account, Shard: shard, Message: &later, Done: func(_ *channel.Append, err error) { done <- err },
			}))
			must(t, <-done)
		}
	}
	for _, k := range []inbox.Key{pump, desk} {
		put := engine.Record{Stream: k.String(), Queue: true, Data: record.Append(nil, m)}
		must(t, a.commit.Do(ctx, a.Inboxes.Shard(k), &engine.Op{Records: []engine.Record{put}}))
	}
}

// left lists what is stored of the account acme: keys of rows, and logs. What
// is scheduled shows by the channel it is for.
func left(t *testing.T, a *App) []string {
	t.Helper()
	var all []string
	for s := range a.Engine.Shards() {
		shard := engine.Shard(s)
		must(t, a.Engine.State(shard).Scan("", func(key string, value []byte) bool {
			switch {
			case strings.HasPrefix(key, "due/"):
				_, c, _ := strings.Cut(string(value), "channels/")
				all = append(all, "due "+strings.ToLower(c[:4]))
			case strings.Contains(key, "acme/") && !strings.HasPrefix(key, "scheduled/"):
				key, _, _ = strings.Cut(key, "\x00")
				all = append(all, key)
			}
			return true
		}))
		for _, id := range []channel.ID{work, other} {
			for _, log := range []string{id.String(), id.String() + "/$dead/deliver"} {
				if _, next, _, err := a.Engine.Log(shard, log).Bounds(t.Context()); err != nil || next != 0 {
					all = append(all, "log "+log)
				}
			}
		}
	}
	slices.Sort(all)
	return all
}

// without returns those of all that are not of gone, by what they contain.
func without(all []string, gone ...string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool {
		return slices.ContainsFunc(gone, func(part string) bool { return strings.Contains(s, part) })
	})
}

// TestRestIsRemoved deletes, with the gateway closed before anything can be
// removed, and says what is left once it has run again, and that a new one of
// the same name begins with nothing.
func TestRestIsRemoved(t *testing.T) {
	t.Parallel()
	handler := directory.Change{Kind: directory.KindHandler, Name: "deliver"}
	for name, c := range map[string]struct {
		changes []directory.Change
		gone    []string
		emptied []inbox.Key
	}{
		"channel":  {[]directory.Change{handler, {Kind: directory.KindChannel, Name: "WORK"}}, []string{"acme/work", "due work"}, nil},
		"handler":  {[]directory.Change{handler}, []string{"acme/work/$handler/deliver", "acme/work/$dead/deliver"}, nil},
		"moved":    {[]directory.Change{{Spec: &directory.HandlerSpec{Name: "Deliver", Channel: "Other", Kind: "router"}}}, []string{"$handler/deliver", "$dead/deliver"}, nil},
		"endpoint": {[]directory.Change{{Kind: directory.KindEndpoint, Name: "PUMP-7"}}, nil, []inbox.Key{pump}},
		"account":  {[]directory.Change{{Kind: directory.KindAccount, Name: "ACME"}}, []string{"acme/", "due "}, []inbox.Key{pump, desk}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := t.TempDir()
			a := openAt(t, data)
			furnish(t, a)
			before := left(t, a)
			if name == "moved" {
				off := false
				c.changes[0].Spec.(*directory.HandlerSpec).Enabled = &off
			}
			_, err := a.Directory.Update(t.Context(), "ACME", c.changes...)
			must(t, err)
			must(t, a.Close())

			a = openAt(t, data)
			serveIt(t, a)
			waitRemoved(t, a)
			want := without(before, c.gone...)
			if len(c.gone) > 0 && len(want) == len(before) {
				t.Fatalf("nothing of %q was there: %q", c.gone, before)
			}
			wantLeft(t, a, want)
			_, err = a.Directory.Apply(t.Context(), acme(), false)
			must(t, err)
			wantLeft(t, a, want)
			for _, k := range []inbox.Key{pump, desk} {
				n := 1
				if slices.Contains(c.emptied, k) {
					n = 0
				}
				if s, err := a.Inboxes.Stats(t.Context(), k); err != nil || s.Active != n {
					t.Errorf("inbox %v holds %d, %v; want %d", k, s.Active, err, n)
				}
			}
		})
	}
}

// waitRemoved waits until nothing is left to remove.
func waitRemoved(t *testing.T, a *App) {
	t.Helper()
	for {
		rows, err := a.remover.notes(t.Context(), "")
		must(t, err)
		if len(rows) == 0 {
			return
		}
		<-time.After(time.Millisecond)
	}
}

// TestLatePut says that what comes to an inbox behind its removal, having been
// on its way before, is refused and not in the next one of its name, also if the
// gateway was closed meanwhile; and that the next one takes messages.
func TestLatePut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]directory.Change{
		"endpoint": {Kind: directory.KindEndpoint, Name: "Pump-7"},
		"account":  {Kind: directory.KindAccount, Name: "Acme"},
	} {
		for _, closing := range []bool{false, true} {
			t.Run(fmt.Sprint(name, closing), func(t *testing.T) {
				t.Parallel()
				data := t.TempDir()
				a := openAt(t, data)
				stop := serveIt(t, a)
				for range 2 {
					furnish(t, a)
					former, _ := a.Directory.Incarnation(pump)
					_, err := a.Directory.Update(t.Context(), "acme", c)
					must(t, err)
					waitRemoved(t, a)
					if err := putLate(t, a, former); gatehouse.KindOf(err) != gatehouse.NotFound {
						t.Errorf("a late put: %v", err)
					}
					if closing {
						stop()
						a = openAt(t, data)
						stop = serveIt(t, a)
					}
					_, err = a.Directory.Apply(t.Context(), acme(), false)
					must(t, err)
					if s, err := a.Inboxes.Stats(t.Context(), pump); err != nil || s.Active != 0 {
						t.Errorf("the new inbox holds %d, %v", s.Active, err)
					}
					if err := putLate(t, a, former); gatehouse.KindOf(err) != gatehouse.NotFound {
						t.Errorf("a put for the former one: %v", err)
					}
					own, _ := a.Directory.Incarnation(pump)
					must(t, putLate(t, a, own))
				}
			})
		}
	}
}

// putLate puts something that was on its way into an inbox.
func putLate(t *testing.T, a *App, incarnation uint32) error {
	t.Helper()
	puts := []inbox.Put{{Key: pump, Incarnation: incarnation, Message: &gatehouse.Message{ID: "late", Type: "t"}}}
	done := make(chan error, 1)
	must(t, a.Inboxes.Deliver(t.Context(), a.Inboxes.Shard(pump), puts, engine.Row{}, func(err error) { done <- err }))
	must(t, <-done)
	return puts[0].Err
}

// TestAccountWaitsForParts says that an account is not created again while
// somebody still removes what is left of a part of the former one: what he
// removes might be the new one's.
func TestAccountWaitsForParts(t *testing.T) {
	t.Parallel()
	a := openAt(t, t.TempDir())
	serveIt(t, a)
	furnish(t, a)
	lease, err := a.Engine.Lease(t.Context(), restTable+"/acme/endpoint/pump-7") // somebody is at it
	must(t, err)
	must(t, a.Directory.Delete(t.Context(), "acme", directory.KindEndpoint, "Pump-7", 0))
	must(t, a.Directory.Delete(t.Context(), "acme", directory.KindAccount, "acme", 0))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := a.Directory.Apply(ctx, acme(), false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a creation while a part is being removed: %v", err)
	}
	lease.Release()
	waitRemoved(t, a)
	_, err = a.Directory.Apply(t.Context(), acme(), false)
	must(t, err)
}

func wantLeft(t *testing.T, a *App, want []string) {
	t.Helper()
	if got := left(t, a); !slices.Equal(got, want) {
		t.Errorf("left are %q; want %q", got, want)
	}
}

// TestCreationClears says that who creates finds nothing of a former one, however
// it was left: its deletion was noted and not begun, or there is no note at all.
func TestCreationClears(t *testing.T) {
	t.Parallel()
	for _, noted := range []bool{true, false} {
		a := openAt(t, t.TempDir())
		furnish(t, a)
		before := left(t, a)
		_, err := a.Directory.Update(t.Context(), "acme", directory.Change{Kind: directory.KindHandler, Name: "Deliver"}, directory.Change{Kind: directory.KindChannel, Name: "Work"})
		must(t, err)
		wantLeft(t, a, before) // nobody works at it
		if noted {
			// Handlers have to stop first; here is somebody who says so.
			a.follower.use(a.Directory.Current())
			a.follower.note(a.Directory.Current())
		} else {
			rows, err := a.remover.notes(t.Context(), "")
			must(t, err)
			for _, row := range rows {
				_, err := a.Engine.Table(restTable).Update(t.Context(), engine.Change{Key: row.Key})
				must(t, err)
			}
		}
		_, err = a.Directory.Apply(t.Context(), acme(), false)
		must(t, err)
		wantLeft(t, a, without(before, "acme/work", "due work"))
		if rows, err := a.remover.notes(t.Context(), ""); err != nil || len(rows) != 0 {
			t.Errorf("notes %v, %v", rows, err)
		}
	}
}

// TestNoteOfWhatExists says that a note of something that exists does nothing,
// as when its deletion failed; nor does one of another environment.
func TestNoteOfWhatExists(t *testing.T) {
	t.Parallel()
	a := openAt(t, t.TempDir())
	furnish(t, a)
	before := left(t, a)
	for _, r := range []rest{
		{kind: directory.KindAccount, account: "acme"},
		{kind: directory.KindChannel, account: "acme", name: "work"},
		{kind: directory.KindEndpoint, account: "acme", name: "pump-7"},
		{kind: directory.KindHandler, account: "acme", name: "deliver", channel: "work"},
	} {
		if got, ok := parseRest(r.key()); !ok || got != r {
			t.Errorf("key %q is that of %+v", r.key(), got)
		}
		_, err := a.Engine.Table(restTable).Update(t.Context(), engine.Change{Key: r.key(), Value: a.remover.mine})
		must(t, err)
	}
	if !a.remover.removeAll(t.Context()) {
		t.Error("it failed")
	}
	other := rest{kind: directory.KindAccount, account: "acme"}
	must(t, a.Directory.Delete(t.Context(), "acme", directory.KindAccount, "acme", 0))
	_, err := a.Engine.Table(restTable).Update(t.Context(), engine.Change{Key: other.key(), Value: []byte("\x01elsewhere")})
	must(t, err)
	rows, err := a.remover.notes(t.Context(), "")
	must(t, err)
	for _, row := range rows {
		if row.Key != other.key() { // those from above
			_, err := a.Engine.Table(restTable).Update(t.Context(), engine.Change{Key: row.Key})
			must(t, err)
		}
	}
	if !a.remover.removeAll(t.Context()) {
		t.Error("it failed at a note of another environment")
	}
	wantLeft(t, a, before)
	for _, key := range []string{"", "acme", "acme/nothing/x", "acme/route/x/y/z"} {
		if r, ok := parseRest(key); ok {
			t.Errorf("key %q is that of %+v", key, r)
		}
	}
}

// TestCreationIsRefused says that a creation does not wait for ever.
func TestCreationIsRefused(t *testing.T) {
	t.Parallel()
	a := openAt(t, t.TempDir())
	furnish(t, a)
	must(t, a.Directory.Delete(t.Context(), "acme", directory.KindEndpoint, "Pump-7", 0))
	lease, err := a.Engine.Lease(t.Context(), restTable+"/acme/endpoint/pump-7") // somebody is at it
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := a.Directory.Apply(ctx, acme(), false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a creation whose context ends: %v", err)
	}
	r := rest{kind: directory.KindEndpoint, account: "acme", name: "pump-7"}
	if err := r.inTheWay(t.Context(), context.DeadlineExceeded); gatehouse.KindOf(err) != gatehouse.Conflict || !strings.Contains(err.Error(), `endpoint "pump-7" is still being deleted`) {
		t.Errorf("a creation that has waited: %v", err)
	}
	lease.Release()
	// The inboxes are not at work in a gateway that does not run.
	if _, err := a.Directory.Apply(t.Context(), acme(), false); gatehouse.KindOf(err) != gatehouse.Unavailable {
		t.Errorf("a creation whose way cannot be cleared: %v", err)
	}
	if a.Directory.Current().Account("acme").Endpoint("pump-7") != nil {
		t.Error("it was created all the same")
	}
}
