package app_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/app/demo"
	"github.com/gatehouse/gatehouse/directory"
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
