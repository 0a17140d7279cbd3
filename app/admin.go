package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gatehouse/gatehouse/admin"
)

// openAdmin takes the admin port.
func (a *App) openAdmin(ctx context.Context) error {
	var err error
	if a.token, err = a.openToken(); err != nil {
		return err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", a.Config.Admin.Address)
	if err != nil {
		return a.Config.Faultf("admin.address", "the admin listener cannot listen: %v", err)
	}
	a.adminAt = a.Metrics.Listen(ln, "admin")
	a.onClose("admin listener", func() error { return ignoreClosed(ln.Close()) })
	a.admin = &http.Server{
		Handler:           a.adminHandler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(a.logger.With("part", "admin").Handler(), slog.LevelDebug),
	}
	return nil
}

// adminHandler returns what the admin listener serves.
func (a *App) adminHandler() http.Handler {
	return admin.New(admin.Config{
		Directory: a.Directory, Gate: a.Gate, Channels: a.Channels, Inboxes: a.Inboxes, Dispatcher: a.Dispatcher,
		Token: a.token, Version: a.version, Environment: a.describe, Ready: a.CheckReady,
		Metrics: a.Metrics.Handler(), Logger: a.logger.With("part", "admin"),
	})
}

// describe tells administrators about the gateway.
func (a *App) describe() admin.Environment {
	e := admin.Environment{Name: a.Config.Environment, Version: a.version, Shards: a.Engine.Shards(), Listeners: []admin.Listener{}}
	for _, l := range a.Listeners() {
		e.Listeners = append(e.Listeners, admin.Listener{Adapter: l.Adapter, Address: l.Address})
	}
	if file := a.CA(); file != "" {
		if text, err := os.ReadFile(file); err == nil {
			e.CA = string(text)
		} else {
			a.logger.Warn("the local authority cannot be read", "error", err)
		}
	}
	return e
}

// serveAdmin serves the admin listener until ctx is done.
func (a *App) serveAdmin(ctx context.Context) error {
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), adminDrain)
		defer cancel()
		if a.admin.Shutdown(drain) != nil {
			_ = a.admin.Close() // the listener is closed already
		}
	})
	err := a.admin.Serve(a.adminAt)
	if !stop() {
		<-drained
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// adminDrain is how long requests of administrators may take once the gateway
// stops.
const adminDrain = 2 * time.Second
