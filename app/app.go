// Package app builds the whole gateway from its configuration and runs it. It
// is the one place that knows all parts: builtin.go lists the plug-ins, New
// puts the parts together, run.go says in which order they start and stop.
//
// It is no place for rules about messages: it makes, joins, starts, stops and
// nothing else.
//
// # Stopping
//
// When its context is done, Run stops from the edge inwards: listeners accept no
// more and let what is under way finish within the drain time; handlers finish
// what they have in hand; inboxes give up their shards; what was accepted for
// storage is stored; and the engine is closed. Nothing that was acknowledged is
// lost, and a client that was not answered may try again.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter"
	"github.com/gatehouse/gatehouse/adapter/amqp1"
	"github.com/gatehouse/gatehouse/adapter/httpapi"
	mqttadapter "github.com/gatehouse/gatehouse/adapter/mqtt"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/dispatch"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/route"
	"github.com/gatehouse/gatehouse/telemetry"
)

// Options of New. The zero value is ready for use.
type Options struct {
	// Version is that of the program.
	Version string
	// Logger is told what operators should know. Default: nothing is logged.
	Logger *slog.Logger
	// Guests are what the listeners of HTTP serve besides the adapters, as the
	// page of the demo.
	Guests []httpapi.Guest
}

// An App is a gateway. Its parts are there to be used from New until Run
// returns.
type App struct {
	Config     *config.Config
	Metrics    *telemetry.Metrics
	Engine     engine.Engine
	Directory  *directory.Directory
	Channels   *channel.Set
	Inboxes    *inbox.Set
	Gate       *gate.Gate
	Dispatcher *dispatch.Dispatcher

	version      string
	logger       *slog.Logger
	guests       []httpapi.Guest
	commit       *engine.Committer
	follower     *follower
	remover      *remover
	tls          *identity
	token        string
	listeners    []*listener
	readers      amqp1.Readers
	mqttSessions mqttadapter.Sessions
	adminAt      net.Listener
	admin        *http.Server
	phase        atomic.Pointer[string] // why it is not ready; nil: it is
	ready        chan struct{}

	cleanups []cleanup // what Close undoes, the last first
	closing  sync.Once
	closed   error
}

// A cleanup undoes one step of New.
type cleanup struct {
	what string
	do   func() error
}

// A listener is a port and the adapter that serves it.
type listener struct {
	name    string // of the adapter
	adapter adapter.Adapter
	net.Listener
}

// New opens everything that cfg names, storage and ports included, and starts
// nothing that serves. If it fails, it has undone all it did. Run or Close the
// App.
func New(ctx context.Context, cfg *config.Config, o Options) (*App, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	a := &App{Config: cfg, Metrics: telemetry.New(o.Version), version: o.Version, logger: o.Logger, guests: o.Guests, ready: make(chan struct{})}
	a.setPhase("the gateway is starting")
	for _, step := range []func(context.Context) error{
		a.makeData, a.openTLS, a.openEngine, a.openDirectory, a.makeGate, a.openListeners, a.openAdmin,
	} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, a.Close())
		}
	}
	return a, nil
}

func (a *App) onClose(what string, do func() error) {
	a.cleanups = append(a.cleanups, cleanup{what, do})
}

// Close gives back everything New took, in reverse order. Run calls it; it is
// for an App that is not run. Only the first call has an effect.
func (a *App) Close() error {
	a.closing.Do(func() {
		for _, c := range slices.Backward(a.cleanups) {
			if err := c.do(); err != nil {
				a.closed = errors.Join(a.closed, fmt.Errorf("%s: %w", c.what, err))
			}
		}
	})
	return a.closed
}

// makeData makes the data folder, which nobody else may read.
func (a *App) makeData(context.Context) error {
	if err := os.MkdirAll(a.Config.Data, 0o700); err != nil {
		return a.Config.Faultf("data", "the folder cannot be made: %v", err)
	}
	return nil
}

func (a *App) openEngine(context.Context) error {
	opened, err := a.makeEngine()
	if err != nil {
		return err
	}
	a.onClose("engine", opened.Close)
	a.Engine = measured{opened, a.Metrics.Storage}
	a.commit = engine.NewCommitter(a.Engine)
	a.onClose("committer", func() error { a.commit.Close(); return nil })
	a.Channels = channel.New(a.Engine, a.commit)
	return nil
}

func (a *App) openDirectory(ctx context.Context) error {
	vault, err := a.openVault()
	if err != nil {
		return err
	}
	a.Directory, err = directory.Open(ctx, a.Engine, directory.Options{
		Vault: vault, Environment: a.Config.Environment, CheckHandler: handlers().Check,
		Protocols: protocols(), Inbox: a.Config.Inbox,
		Before: func(ctx context.Context, old, now *directory.Snapshot, changed []directory.Ref) error {
			return a.remover.before(ctx, old, now, changed)
		},
		Routes: []route.Option{route.OnError(func(string, error) { a.Metrics.Rules.Failed() })},
	})
	if err != nil {
		return err
	}
	a.onClose("directory", func() error { a.Directory.Close(); return nil })
	return nil
}

func (a *App) makeGate(context.Context) error {
	a.Inboxes = inbox.New(a.Engine, a.commit, inbox.Options{
		Policy: a.Directory.InboxPolicy, Incarnation: a.Directory.Incarnation, Events: inboxEvents(a.Metrics), Logger: a.logger.With("part", "inbox"),
	})
	a.Gate = gate.New(gate.Config{
		Directory: a.Directory, Engine: a.Engine, Commit: a.commit, Channels: a.Channels, Inboxes: a.Inboxes,
		Auth: auth.Chain(authenticators(a.Directory, a.tls.clients)), Events: gateEvents(a.Metrics), Logger: a.logger.With("part", "gate"),
	})
	h := &a.Config.Handlers
	a.Dispatcher = dispatch.New(a.Channels, a.commit, a.Gate.Deliver, dispatch.Options{
		MaxAttempts: h.MaxAttempts, MinBackoff: time.Duration(h.MinBackoff), MaxBackoff: time.Duration(h.MaxBackoff),
		Events: handlerEvents(a.Metrics), Logger: a.logger.With("part", "dispatch"),
	})
	a.follower = newFollower(a.Directory, a.Dispatcher, a.Metrics, a.logger.With("part", "handlers"))
	a.remover = &remover{
		engine: a.Engine, directory: a.Directory, channels: a.Channels, inboxes: a.Inboxes, gate: a.Gate, follower: a.follower,
		mine: append([]byte{noteVersion}, a.Config.Environment...), logger: a.logger.With("part", "deletions"),
	}
	a.remover.start()
	return nil
}

// setPhase says why the gateway is not ready, or (nothing) that it is.
func (a *App) setPhase(why string) {
	if why == "" {
		a.phase.Store(nil)
		return
	}
	a.phase.Store(&why)
}

// Ready is closed once everything is served.
func (a *App) Ready() <-chan struct{} { return a.ready }

// CheckReady returns an error of kind Unavailable that says what is missing
// for the gateway to serve, or nil.
func (a *App) CheckReady(context.Context) error {
	if why := a.phase.Load(); why != nil {
		return gatehouse.Errorf(gatehouse.Unavailable, "%s", *why)
	}
	return nil
}

// A Bound is an adapter and the address it is bound to.
type Bound struct{ Adapter, Address string }

// Listeners returns the addresses that clients may connect to, in the order of
// the configuration.
func (a *App) Listeners() []Bound {
	all := make([]Bound, len(a.listeners))
	for i, l := range a.listeners {
		all[i] = Bound{l.name, l.Addr().String()}
	}
	return all
}

// AdminAddress returns the address of the admin listener.
func (a *App) AdminAddress() string { return a.adminAt.Addr().String() }

// CA returns the file with the local authority that clients are to trust, or
// nothing if the certificate was configured.
func (a *App) CA() string { return a.tls.authority }
