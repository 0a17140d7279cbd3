package adaptertest

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/directory/vault"
	"github.com/gatehouse/gatehouse/dispatch"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/handler"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/restrict"
	"github.com/gatehouse/gatehouse/route"
	"github.com/gatehouse/gatehouse/rule"
)

// lock is how long a receiver of the world may take. The suite waits for it to
// run out, and must never be slower elsewhere.
const lock = 4 * time.Second

// Who and what is in the world of a suite. Both endpoints may send anything but
// DeniedType, of at most MaxSize bytes, into Channel, from where it goes to the
// endpoints that it names.
const (
	Account    = "Acme"
	Sender     = "pump-7"
	Receiver   = "Panel"
	Channel    = "telemetry"
	Policy     = "backend" // may use channels and manage
	DeniedType = "com.example.denied"
	MaxSize    = 64 << 10
)

// SendKey returns the key of an endpoint's publisher.
func SendKey(e gatehouse.EndpointName) string { return "send-key-of-endpoint-" + string(e) }

// ListenKey returns the key of an endpoint's inbox.
func ListenKey(e gatehouse.EndpointName) string { return "listen-key-of-endpoint-" + string(e) }

// PolicyKey returns the key of Policy.
func PolicyKey() string { return "key-of-policy-" + Policy }

// A World is a real gate with a few definitions, over an engine.
type World struct {
	Gate       *gate.Gate
	Directory  *directory.Directory
	Dispatcher *dispatch.Dispatcher
	t          testing.TB
}

// NewWorld makes a world that lasts until the test ends.
func NewWorld(t testing.TB, newEngine func() engine.Engine, authenticator func(auth.Keys) auth.Authenticator) *World {
	t.Helper()
	e := newEngine()
	ctx, cancel := context.WithCancel(context.Background())
	v, err := vault.New(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	d, err := directory.Open(ctx, e, directory.Options{Vault: v})
	if err != nil {
		t.Fatal(err)
	}
	define(t, d)
	commit := engine.NewCommitter(e)
	channels := channel.New(e, commit)
	inboxes := inbox.New(e, commit, inbox.Options{Policy: d.InboxPolicy, Incarnation: d.Incarnation})
	g := gate.New(gate.Config{
		Directory: d, Engine: e, Commit: commit, Channels: channels, Inboxes: inboxes, Auth: authenticator(d),
	})
	work := dispatch.New(channels, commit, g.Deliver, dispatch.Options{})
	work.Use([]dispatch.Spec{{Channel: channel.ID{Account: Account, Channel: Channel}, Name: "relay", Handler: relay{}, Revision: 1}})
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{inboxes.Run, g.Run, work.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	<-inboxes.Ready()
	t.Cleanup(func() {
		cancel()
		running.Wait()
		commit.Close()
		d.Close()
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &World{Gate: g, Directory: d, Dispatcher: work, t: t}
}

// Revoke withdraws both sides of an endpoint.
func (w *World) Revoke(e gatehouse.EndpointName) {
	w.t.Helper()
	if err := w.Directory.Revoke(context.Background(), Account, e, directory.Revoked{Send: true, Listen: true}); err != nil {
		w.t.Fatal(err)
	}
}

// Recreate deletes an endpoint and creates it anew, with the same keys.
func (w *World) Recreate(e gatehouse.EndpointName) {
	w.t.Helper()
	spec := w.Directory.Current().Account(Account).Endpoint(e).Spec()
	spec.Keys = endpointKeys(e)
	if err := w.Directory.Delete(context.Background(), Account, directory.KindEndpoint, string(e), 0); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.Directory.Put(context.Background(), Account, spec, 0); err != nil {
		w.t.Fatal(err)
	}
}

func endpointKeys(e gatehouse.EndpointName) *directory.KeySpec {
	return &directory.KeySpec{Send: []string{SendKey(e)}, Listen: []string{ListenKey(e)}}
}

func define(t testing.TB, d *directory.Directory) {
	t.Helper()
	all := rule.Selector{Names: []string{"*"}}
	changes := []directory.Change{
		{Spec: &directory.AccountSpec{Name: Account}},
		{Spec: &directory.ChannelSpec{Name: Channel}},
		{Spec: &directory.RouteSpec{Authorization: route.Authorization{
			Name: "in", Direction: route.Ingress, Endpoints: all, Channels: all,
		}}},
		{Spec: &directory.RouteSpec{Authorization: route.Authorization{
			Name: "not-in", Direction: route.Ingress, Endpoints: all, Channels: all, Types: []string{DeniedType}, Effect: route.Deny,
		}}},
		{Spec: &directory.RouteSpec{Authorization: route.Authorization{
			Name: "out", Direction: route.Egress, Endpoints: all, Channels: all,
		}}},
		{Spec: &directory.RestrictionSpec{Restriction: restrict.Restriction{Name: "small", MaxSize: config.Size(MaxSize)}}},
		{Spec: &directory.PolicySpec{Name: Policy, Rights: []string{"channels", "manage"}, Keys: []string{PolicyKey()}}},
	}
	length := config.Duration(lock)
	for _, e := range []gatehouse.EndpointName{Sender, Receiver} {
		changes = append(changes, directory.Change{Spec: &directory.EndpointSpec{
			Name: string(e), AllowPlaintext: true, Keys: endpointKeys(e),
			Inbox: &directory.InboxSpec{Lock: &length},
		}})
	}
	if _, err := d.Update(t.Context(), Account, changes...); err != nil {
		t.Fatal(err)
	}
}

// A relay sends messages on to the endpoints they name.
type relay struct{}

// Handle implements handler.Handler.
func (relay) Handle(_ context.Context, m *gatehouse.Message, out handler.Sender) error {
	for _, to := range m.To {
		out.Send(to, m)
	}
	return nil
}
