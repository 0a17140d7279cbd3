// Package adaptertest proves an adapter: Run drives its real server over
// loopback with a small client that the adapter's tests bring along, against a
// real gate. The engine and the authenticator come from the caller, so that
// this package knows no plug-in.
package adaptertest

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/engine"
)

// A Client is one client of the adapter's protocol. Its methods are called
// from one goroutine at a time. Errors are of the kind the protocol told.
type Client interface {
	// Send sends a message and returns when the gateway has acknowledged it.
	Send(ctx context.Context, m *gatehouse.Message) error
	// Receive waits for a message as long as ctx lasts. Without one it returns
	// nil and no error.
	Receive(ctx context.Context) (*Received, error)
	// The settlements return when the gateway has acknowledged them.
	Complete(ctx context.Context, r *Received) error
	Abandon(ctx context.Context, r *Received) error
	DeadLetter(ctx context.Context, r *Received, reason, description string) error
	// Close ends the connection, without settling anything.
	Close()
}

// A Received message is locked for the client that received it.
type Received struct {
	Message *gatehouse.Message
	Count   uint32 // deliveries, 1 for the first; 0 if the protocol does not tell
	Handle  any    // what the client needs to settle it
}

// A Login is what a client connects with.
type Login struct {
	Address  string // HOST:PORT
	Account  gatehouse.AccountName
	Endpoint gatehouse.EndpointName
	// SendKey and ListenKey are the endpoint's own keys, or wrong ones.
	SendKey, ListenKey string
	// Dead asks for the dead letters instead of the inbox.
	Dead bool
}

// A Harness is what Run needs to know of an adapter.
type Harness struct {
	// Adapter is the adapter, and Protocol its name.
	Adapter  adapter.Adapter
	Protocol string
	// Dial returns a client that uses the login for what it does. It may
	// connect later, and fail then.
	Dial func(Login) Client
	// Keeps returns what arrives of a message that the protocol carries both
	// ways. It may change its argument. Nil: all of it arrives.
	Keeps func(*gatehouse.Message) *gatehouse.Message
	// Engine makes an empty engine, and Auth an authenticator over keys.
	Engine func() engine.Engine
	Auth   func(auth.Keys) auth.Authenticator
}

// patience is how long a step of the suite may take before it has failed.
const patience = 20 * time.Second

// Run proves the adapter of h.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, *bench)
	}{
		{"Carries", testCarries},
		{"Order", testOrder},
		{"Abandon", testAbandon},
		{"DeadLetter", testDeadLetter},
		{"LostConnection", testLostConnection},
		{"WrongKey", testWrongKey},
		{"Refusals", testRefusals},
		{"Revocation", testRevocation},
		{"Crowd", testCrowd},
		{"Stop", testStop},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, newBench(t, h))
		})
	}
}

// A bench is an adapter at work, in a world of its own.
type bench struct {
	Harness
	world   *World
	address string
	stop    func() // returns when Serve has
}

func newBench(t *testing.T, h Harness) *bench {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{Harness: h, world: NewWorld(t, h.Engine, h.Auth), address: ln.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- h.Adapter.Serve(ctx, ln, b.world.Gate) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(b.stop)
	return b
}

// login returns the right login of an endpoint.
func (b *bench) login(e gatehouse.EndpointName) Login {
	return Login{Address: b.address, Account: Account, Endpoint: e, SendKey: SendKey(e), ListenKey: ListenKey(e)}
}

// dial returns a client that is closed at the end of the test.
func (b *bench) dial(t *testing.T, l Login) Client {
	t.Helper()
	c := b.Dial(l)
	t.Cleanup(c.Close)
	return c
}

// receive waits for a message, which has to come.
func receive(t *testing.T, c Client) *Received {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := c.Receive(ctx)
	if err != nil {
		t.Fatalf("receive: %v", err)
	}
	if r == nil {
		t.Fatal("no message came")
	}
	return r
}

// must fails the test if there is an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
