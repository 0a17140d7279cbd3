package app_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/app/demo"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/inbox"
)

// TestDeletedInboxIsEmptied says that who is given the name of a deleted
// endpoint does not get its messages.
func TestDeletedInboxIsEmptied(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(*gateway) error{
		"endpoint": func(g *gateway) error {
			return g.Directory.Delete(context.Background(), demo.Account, directory.KindEndpoint, demo.Receiver, 0)
		},
		"account": func(g *gateway) error {
			return g.Directory.Delete(context.Background(), demo.Account, directory.KindAccount, demo.Account, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := serve(t, configure(t, t.TempDir(), inMemory))
			k := inbox.Key{Account: demo.Account, Endpoint: demo.Receiver}
			active := func() int {
				t.Helper()
				s, err := g.Inboxes.Stats(context.Background(), k)
				switch {
				case errors.Is(err, gatehouse.Unavailable): // it is being deleted at this moment
					return -1
				case err != nil:
					t.Fatal(err)
				}
				return s.Active
			}
			g.mustSend("m-1")
			until(t, func() bool { return active() == 1 })
			if err := remove(g); err != nil {
				t.Fatal(err)
			}
			until(t, func() bool { return active() == 0 })
		})
	}
}

// TestCreatedAgainAtOnce deletes and creates in one breath: what is kept of the
// former is not seen, and what is sent to the new one is not removed.
func TestCreatedAgainAtOnce(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string][]directory.Change{
		"channel": {{Kind: directory.KindHandler, Name: "deliver"}, {Kind: directory.KindChannel, Name: demo.Channel}},
		"account": {{Kind: directory.KindAccount, Name: demo.Account}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := serve(t, configure(t, t.TempDir(), inMemory))
			ctx := context.Background()
			for i := range 10 {
				g.mustSend("same")
				if id, _ := g.mustTake().properties(t); id != "same" {
					t.Fatalf("round %d: took %q", i, id)
				}
				if name == "account" {
					g.mustSend("not taken")
				}
				if n := len(g.ids()); n == 0 {
					t.Fatal("the channel is empty")
				}
				if _, err := g.Directory.Update(ctx, demo.Account, remove...); err != nil {
					t.Fatal(err)
				}
				if _, err := g.Directory.Apply(ctx, demo.File(), false); err != nil {
					t.Fatal(err)
				}
				if ids := g.ids(); len(ids) != 0 {
					t.Fatalf("round %d: the new channel has %q", i, ids)
				}
			}
		})
	}
}

// ids returns those of all messages that the demo's channel keeps, read from the
// beginning.
func (g *gateway) ids() (all []string) {
	g.t.Helper()
	id := channel.ID{Account: demo.Account, Channel: demo.Channel}
	for p := range g.Channels.Partitions() {
		_, err := g.Channels.Read(context.Background(), id, engine.Shard(p), 0, nil, func(m *gatehouse.Message) bool {
			all = append(all, m.ID)
			return true
		})
		if err != nil {
			g.t.Fatal(err)
		}
	}
	return all
}

// TestDeletedWhileSentTo says that what was acknowledged before a channel was
// deleted is not in the next one, whatever is on its way meanwhile.
func TestDeletedWhileSentTo(t *testing.T) {
	t.Parallel()
	g := serve(t, configure(t, t.TempDir(), inMemory))
	key, _ := g.keys(demo.Sender)
	var mu sync.Mutex
	acked := make(map[string]bool)
	ctx, cancel := context.WithCancel(context.Background())
	var senders sync.WaitGroup
	for s := range 4 {
		senders.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("%d-%d", s, i)
				if a, err := g.send(ctx, key, id); err == nil && a.status == http.StatusCreated {
					mu.Lock()
					acked[id] = true
					mu.Unlock()
				}
			}
		})
	}
	defer senders.Wait()
	defer cancel()
	for range 20 {
		until(t, func() bool { return len(g.ids()) > 5 })
		mu.Lock()
		before := maps.Clone(acked)
		mu.Unlock()
		if _, err := g.Directory.Update(ctx, demo.Account,
			directory.Change{Kind: directory.KindHandler, Name: "deliver"}, directory.Change{Kind: directory.KindChannel, Name: demo.Channel}); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Directory.Apply(ctx, demo.File(), false); err != nil {
			t.Fatal(err)
		}
		for _, id := range g.ids() {
			if before[id] {
				t.Fatalf("message %s was sent to the channel before it was deleted, and is in the next one", id)
			}
		}
	}
}

// TestHandlerCreatedAgain says that a handler that was deleted begins anew.
func TestHandlerCreatedAgain(t *testing.T) {
	t.Parallel()
	g := serve(t, configure(t, t.TempDir(), inMemory))
	ctx := context.Background()
	g.mustSend("m-1")
	for i := range 5 {
		if id, _ := g.mustTake().properties(t); id != "m-1" {
			t.Fatalf("round %d: took %q", i, id)
		}
		if err := g.Directory.Delete(ctx, demo.Account, directory.KindHandler, "deliver", 0); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Directory.Apply(ctx, demo.File(), false); err != nil {
			t.Fatal(err)
		}
	}
}

// until waits for something to become true.
func until(t *testing.T, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !met(); {
		if time.Now().After(deadline) {
			t.Fatal("it does not become true")
		}
		<-time.After(time.Millisecond)
	}
}
