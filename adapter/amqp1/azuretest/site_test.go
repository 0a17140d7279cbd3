package azuretest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/adapter/amqp1"
	"github.com/gatehouse/gatehouse/auth/secret"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
	"github.com/gatehouse/gatehouse/restrict"
)

// patience is how long a test may take before it has failed.
const patience = 50 * time.Second

// Addresses of the world.
const (
	publisher = adaptertest.Account + "/publishers/" + adaptertest.Sender
	inboxOf   = adaptertest.Account + "/inboxes/" + adaptertest.Receiver
	hub       = adaptertest.Account + "/channels/" + adaptertest.Channel
	receiver  = gatehouse.EndpointPrefix + adaptertest.Receiver
)

// partitions is how many a channel has here.
const partitions = 2

func newEngine() engine.Engine { return memory.New(memory.Options{Shards: partitions}) }

// A site is the adapter at work on a plain listener, in a world of its own.
type site struct {
	t       *testing.T
	world   *adaptertest.World
	address string
	ctx     context.Context // of the test
	wires   *wires
}

func newSite(t *testing.T) *site {
	t.Helper()
	t.Parallel()
	return newSiteWith(t, amqp1.Options{})
}

func newSiteWith(t *testing.T, o amqp1.Options) *site {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{
		t: t, world: adaptertest.NewWorld(t, newEngine, secret.New),
		address: ln.Addr().String(), wires: &wires{Listener: ln},
	}
	serving, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- amqp1.New(o).Serve(serving, s.wires, s.world.Gate) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	var cancel context.CancelFunc
	s.ctx, cancel = context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	s.lock(10 * time.Minute) // nothing is lost by being slow
	return s
}

// must ends the test if there is an error.
func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// change changes definitions of the world.
func (s *site) change(all ...directory.Spec) {
	s.t.Helper()
	changes := make([]directory.Change, len(all))
	for i, spec := range all {
		changes[i].Spec = spec
	}
	_, err := s.world.Directory.Update(s.ctx, adaptertest.Account, changes...)
	s.must(err)
}

// lock sets how long locks of the receiver's inbox last.
func (s *site) lock(d time.Duration) {
	s.t.Helper()
	s.change(&directory.EndpointSpec{Name: adaptertest.Receiver, AllowPlaintext: true, Inbox: &directory.InboxSpec{Lock: new(config.Duration(d))}})
}

// unrestricted lets messages be as large as the adapter takes them.
func (s *site) unrestricted() {
	s.t.Helper()
	s.change(&directory.RestrictionSpec{Restriction: restrict.Restriction{Name: "small", MaxSize: config.Size(1 << 30)}})
}

// closing closes a client of an SDK at the end of the test, before the adapter
// stops.
func (s *site) closing(client interface{ Close(context.Context) error }) {
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = client.Close(ctx) // its links may have been detached
	})
}

// connectionString is one as users write it.
func (s *site) connectionString(policy, key, entity string) string {
	text := fmt.Sprintf("Endpoint=sb://%s;SharedAccessKeyName=%s;SharedAccessKey=%s;UseDevelopmentEmulator=true", s.address, policy, key)
	if entity != "" {
		text += ";EntityPath=" + entity
	}
	return text
}

// withToken is a connection string with a token instead of a key.
func (s *site) withToken(token, entity string) string {
	return fmt.Sprintf("Endpoint=sb://%s;SharedAccessSignature=%s;EntityPath=%s;UseDevelopmentEmulator=true", s.address, token, entity)
}

// failsWith checks that an operation failed with a code of an SDK: not by running
// out of time, which is what endless retries end in.
func failsWith[E error](s *site, what string, err error, ok func(E) bool) {
	s.t.Helper()
	e, is := errors.AsType[E](err)
	switch {
	case err == nil:
		s.t.Errorf("%s: no error", what)
	case s.ctx.Err() != nil:
		s.t.Fatalf("%s: no answer in time: %v", what, err)
	case !is || !ok(e):
		s.t.Errorf("%s: %v", what, err)
	}
}

// wires is a listener whose connections can be cut.
type wires struct {
	net.Listener
	mu  sync.Mutex
	all []net.Conn
}

// Accept implements net.Listener.
func (w *wires) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err == nil {
		w.mu.Lock()
		w.all = append(w.all, c)
		w.mu.Unlock()
	}
	return c, err
}

// cut cuts all connections.
func (w *wires) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.all {
		_ = c.Close()
	}
	w.all = nil
}
