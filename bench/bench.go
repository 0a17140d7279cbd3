// Package bench measures a gateway on the machine it runs on: the whole of it,
// as package app builds it, over the embedded engine on a real disk, every
// commit synced. What comes over the network is sent by another process than
// the gateway's (server.go), by clients that do no more than their protocol
// asks for (wire.go, and a file or more for each protocol). Each measurement that has a baseline takes both in one run,
// one after the other, and reports the ratio: figures of different runs or
// machines do not compare.
package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/app"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/route"
)

// Options say what is measured and how.
type Options struct {
	// Dir is where the data goes; it must be on the disk that counts. It is
	// emptied of what was measured.
	Dir string
	// For is how long each measurement lasts.
	For time.Duration
	// Body is the size of messages in bytes.
	Body int
	// Endpoints is how many there are in the measurement "endpoints".
	Endpoints int
	// Connections is how many there are where idle ones are measured.
	Connections int
	// Profiles is a folder for profiles of what measurements over the network
	// make the gateway do; empty for none.
	Profiles string
	// Out is where figures are written: as text while they come, or with JSON
	// as one document at the end.
	Out  io.Writer
	JSON bool
}

// A measurement is one thing that is measured.
type measurement struct {
	name, what string
	run        func(*run, context.Context) error
}

func measurements() []measurement {
	return []measurement{
		{"disk", "fdatasync of 256 bytes appended to a file", (*run).disk},
		{"submit", "messages through the gate into a channel, against plain Pebble commits", (*run).submit},
		{"inbox", "put, take and complete, in process", (*run).inboxes},
		{"https", "messages over HTTPS with keep-alive", (*run).https},
		{"amqp", "messages over AMQP 1.0, by clients in a process of their own", (*run).amqp},
		{"mqtt", "messages over MQTT 5, by clients in a process of their own", (*run).mqtt},
		{"signalr", "messages over SignalR, by clients in a process of their own", (*run).signalR},
		{"through", "messages from one endpoint's publisher to another's inbox, in process", (*run).through},
		{"endpoints", "many endpoints, each with an inbox that holds a message", (*run).endpoints},
	}
}

// Names returns what can be measured.
func Names() []string {
	var names []string
	for _, m := range measurements() {
		names = append(names, m.name)
	}
	return names
}

// Run measures what is named, or everything.
func Run(ctx context.Context, o Options, names ...string) error {
	for _, name := range names {
		if !slices.Contains(Names(), name) {
			return gatehouse.Errorf(gatehouse.Invalid, "there is no measurement %q; there are %s", name, strings.Join(Names(), ", "))
		}
	}
	r := &run{Options: o, report: &Report{Go: runtime.Version(), CPUs: runtime.NumCPU(), Arch: runtime.GOARCH, Dir: o.Dir, Body: o.Body}}
	r.line("%s, %d CPUs, %s; data in %s; messages of %d bytes", runtime.Version(), runtime.NumCPU(), runtime.GOARCH, o.Dir, o.Body)
	for _, m := range measurements() {
		if len(names) > 0 && !slices.Contains(names, m.name) {
			continue
		}
		r.line("\n%s: %s", m.name, m.what)
		r.now = m.name
		if err := m.run(r, ctx); err != nil {
			return fmt.Errorf("measuring %s: %w", m.name, err)
		}
	}
	if o.JSON {
		return json.NewEncoder(o.Out).Encode(r.report)
	}
	return nil
}

type run struct {
	Options
	report *Report
	now    string // the measurement
}

// folder makes an empty folder, which remove takes away.
func (r *run) folder() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp(r.Dir, "gatehouse-bench-")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

// account is who sends and receives while it is measured.
const (
	account = "bench"
	channel = "work"
)

// A gateway is a running gateway, with an account.
type gateway struct {
	*app.App
	cancel  context.CancelFunc
	stopped chan error
	remove  func()
}

// gateway starts one. Its account has n endpoints e-0, e-1, …, a channel and
// routes in and out of it; with a router, handlers deliver what is in the
// channel.
func (r *run) gateway(ctx context.Context, n int, router bool) (*gateway, error) {
	dir, remove, err := r.folder()
	if err != nil {
		return nil, err
	}
	g, err := startIn(ctx, dir, "https")
	if err != nil {
		remove()
		return nil, err
	}
	g.remove = remove
	if err := define(ctx, g.Directory, definition{endpoints: n, router: router}); err != nil {
		return nil, fmt.Errorf("%w; %w", err, g.stop())
	}
	return g, nil
}

// startIn starts a gateway over a folder, with a listener for each adapter,
// and waits until it serves.
func startIn(ctx context.Context, dir string, adapters ...string) (*gateway, error) {
	cfg := config.Default()
	cfg.Data = filepath.Join(dir, "data")
	cfg.Admin.Address = "127.0.0.1:0"
	cfg.Listeners = nil
	for _, name := range adapters {
		cfg.Listeners = append(cfg.Listeners, config.Listener{Adapter: name, Address: "127.0.0.1:0"})
	}
	a, err := app.New(ctx, cfg, app.Options{Version: "bench"})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	g := &gateway{App: a, cancel: cancel, stopped: make(chan error, 1), remove: func() {}}
	go func() { g.stopped <- a.Run(ctx) }()
	select {
	case <-a.Ready():
		return g, nil
	case err := <-g.stopped:
		cancel()
		return nil, err
	}
}

// stop stops the gateway and removes its data.
func (g *gateway) stop() error {
	g.cancel()
	err := <-g.stopped
	g.remove()
	return err
}

// A definition is what an account has beside a channel and routes in and out
// of it.
type definition struct {
	endpoints    int
	router       bool   // a handler delivers what is in the channel
	send, listen string // keys of all endpoints; empty: they are made
}

func define(ctx context.Context, d *directory.Directory, what definition) error {
	changes := []directory.Change{
		{Spec: &directory.AccountSpec{Name: account}},
		{Spec: &directory.ChannelSpec{Name: channel}},
		{Spec: &directory.RouteSpec{Authorization: route.Authorization{Name: "in", Direction: route.Ingress}}},
		{Spec: &directory.RouteSpec{Authorization: route.Authorization{Name: "out", Direction: route.Egress}}},
	}
	if what.router {
		changes = append(changes, directory.Change{Spec: &directory.HandlerSpec{Name: "answers", Channel: channel, Kind: "router"}})
	}
	if _, err := d.Update(ctx, account, changes...); err != nil {
		return err
	}
	var keys *directory.KeySpec
	if what.send != "" {
		keys = &directory.KeySpec{Send: []string{what.send}, Listen: []string{what.listen}}
	}
	_, err := d.Import(ctx, account, func(yield func(*directory.EndpointSpec, error) bool) {
		for i := range what.endpoints {
			if !yield(&directory.EndpointSpec{Name: endpointName(i), AllowPlaintext: true, Keys: keys}, nil) {
				return
			}
		}
	})
	return err
}

func endpointName(i int) string { return fmt.Sprint("e-", i) }
