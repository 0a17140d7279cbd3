// Package bench measures a gateway on the machine it runs on: the whole of it,
// as package app builds it, over the embedded engine on a real disk, every
// commit synced. Each measurement that has a baseline takes both in one run,
// one after the other, and reports the ratio: figures of different runs or
// machines do not compare.
package bench

import (
	"context"
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
	// Out is where figures are written, as a table.
	Out io.Writer
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
	r := &run{Options: o}
	r.line("%s, %d CPUs, %s; data in %s; messages of %d bytes", runtime.Version(), runtime.NumCPU(), runtime.GOARCH, o.Dir, o.Body)
	for _, m := range measurements() {
		if len(names) > 0 && !slices.Contains(names, m.name) {
			continue
		}
		r.line("\n%s: %s", m.name, m.what)
		if err := m.run(r, ctx); err != nil {
			return fmt.Errorf("measuring %s: %w", m.name, err)
		}
	}
	return nil
}

type run struct{ Options }

func (r *run) line(format string, args ...any) { fmt.Fprintf(r.Out, format+"\n", args...) }

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
	g, err := startIn(ctx, dir)
	if err != nil {
		remove()
		return nil, err
	}
	g.remove = remove
	if err := define(ctx, g.Directory, n, router); err != nil {
		return nil, fmt.Errorf("%w; %w", err, g.stop())
	}
	return g, nil
}

// startIn starts a gateway over a folder and waits until it serves.
func startIn(ctx context.Context, dir string) (*gateway, error) {
	cfg := config.Default()
	cfg.Data = filepath.Join(dir, "data")
	cfg.Admin.Address = "127.0.0.1:0"
	cfg.Listeners = []config.Listener{{Adapter: "https", Address: "127.0.0.1:0"}}
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

func define(ctx context.Context, d *directory.Directory, n int, router bool) error {
	changes := []directory.Change{
		{Spec: &directory.AccountSpec{Name: account}},
		{Spec: &directory.ChannelSpec{Name: channel}},
		{Spec: &directory.RouteSpec{Authorization: route.Authorization{Name: "in", Direction: route.Ingress}}},
		{Spec: &directory.RouteSpec{Authorization: route.Authorization{Name: "out", Direction: route.Egress}}},
	}
	if router {
		changes = append(changes, directory.Change{Spec: &directory.HandlerSpec{Name: "answers", Channel: channel, Kind: "router"}})
	}
	if _, err := d.Update(ctx, account, changes...); err != nil {
		return err
	}
	_, err := d.Import(ctx, account, func(yield func(*directory.EndpointSpec, error) bool) {
		for i := range n {
			if !yield(&directory.EndpointSpec{Name: endpointName(i)}, nil) {
				return
			}
		}
	})
	return err
}

func endpointName(i int) string { return fmt.Sprint("e-", i) }
