package app

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/dispatch"
	"github.com/gatehouse/gatehouse/handler"
	"github.com/gatehouse/gatehouse/telemetry"
)

// A follower makes the dispatcher run the handlers that the directory defines.
type follower struct {
	directory  *directory.Directory
	dispatcher *dispatch.Dispatcher
	metrics    *telemetry.Metrics
	logger     *slog.Logger
	changed    chan struct{} // has a token when handlers may have changed
	ended      chan struct{} // closed when run has ended

	mu   sync.Mutex
	upTo uint64        // the revision of the snapshot used last
	used chan struct{} // closed when another one was used

	made map[channel.ID]map[string]dispatch.Spec // by channel and handler, as last used
}

func newFollower(d *directory.Directory, p *dispatch.Dispatcher, m *telemetry.Metrics, l *slog.Logger) *follower {
	f := &follower{
		directory: d, dispatcher: p, metrics: m, logger: l,
		changed: make(chan struct{}, 1), ended: make(chan struct{}), used: make(chan struct{}),
	}
	d.Subscribe(f.told)
	return f
}

// told is told of every change of the directory.
func (f *follower) told(_, _ *directory.Snapshot, changed []directory.Ref) {
	concerns := func(r directory.Ref) bool {
		return r.Kind == directory.KindHandler || r.Kind == directory.KindChannel || r.Kind == directory.KindAccount
	}
	if slices.ContainsFunc(changed, concerns) {
		f.poke()
	}
}

func (f *follower) poke() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// settle waits until the handlers that run are those that the directory defines
// at the time of the call: what those that do not any more had in hand is stored.
func (f *follower) settle(ctx context.Context) error {
	wanted := f.directory.Current().Revision()
	for {
		f.mu.Lock()
		upTo, used := f.upTo, f.used
		f.mu.Unlock()
		if upTo >= wanted {
			return nil
		}
		f.poke()
		select {
		case <-used:
		case <-f.ended:
			return gatehouse.Errorf(gatehouse.Unavailable, "the gateway is shutting down; try again shortly")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// note notes that a snapshot is used.
func (f *follower) note(s *directory.Snapshot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.upTo = s.Revision()
	close(f.used)
	f.used = make(chan struct{})
}

// run follows the directory until ctx is done.
func (f *follower) run(ctx context.Context) error {
	defer close(f.ended)
	for {
		s := f.directory.Current()
		f.use(s)
		f.note(s)
		select {
		case <-ctx.Done():
			return nil
		case <-f.changed:
		}
	}
}

// use runs the handlers of all accounts that are not disabled. Those of a
// disabled account rest: what they would send would not be let out.
func (f *follower) use(s *directory.Snapshot) {
	made := make(map[channel.ID]map[string]dispatch.Spec)
	var specs []dispatch.Spec
	for account := range s.Accounts() {
		if account.Disabled() {
			continue
		}
		for h := range account.Handlers() {
			if !h.Enabled() {
				continue
			}
			id := channel.ID{Account: account.Name(), Channel: h.Channel()}
			spec, err := f.spec(id, h)
			if err != nil {
				f.logger.Error("a handler cannot be started; its messages wait", "account", id.Account, "channel", id.Channel, "handler", h.Name(), "error", err)
				continue
			}
			if made[id] == nil {
				made[id] = make(map[string]dispatch.Spec)
			}
			made[id][h.Name()] = spec
			specs = append(specs, spec)
		}
	}
	f.made = made
	f.dispatcher.Use(specs)
	wanted := make(map[telemetry.HandlerName]bool, len(specs))
	for i := range specs {
		wanted[handlerName(&specs[i])] = true
	}
	f.metrics.KeepHandlers(func(n telemetry.HandlerName) bool { return wanted[n] })
}

// spec returns what the dispatcher is to run for h: what it runs already, if h
// has not changed.
func (f *follower) spec(id channel.ID, h *directory.Handler) (dispatch.Spec, error) {
	if old, ok := f.made[id][h.Name()]; ok && old.Revision == h.Revision() {
		return old, nil
	}
	work, err := handlers().Make(h.Kind(), h.Config(), handler.Deps{
		Account: id.Account, Channel: id.Channel, Name: h.Name(),
		Logger: f.logger.With("account", id.Account, "channel", id.Channel, "handler", h.Name()),
	})
	if err != nil {
		return dispatch.Spec{}, err
	}
	return dispatch.Spec{Channel: id, Name: h.Name(), Handler: work, Revision: h.Revision(), FromNow: h.FromNow()}, nil
}
