package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/gatehouse/gatehouse/adapter/httpapi"
	"github.com/gatehouse/gatehouse/app"
	"github.com/gatehouse/gatehouse/app/demo"
	"github.com/gatehouse/gatehouse/cli"
	"github.com/gatehouse/gatehouse/config"
)

// serveCommand runs the gateway.
type serveCommand struct {
	Demo bool `help:"Define a demo account, let plain connections in on loopback, and show a message on its way."`
}

// clientVariables are the environment variables of other commands.
func clientVariables() []string {
	return []string{"GATEHOUSE_CONFIG", "GATEHOUSE_URL", "GATEHOUSE_TOKEN", "GATEHOUSE_ACCOUNT", "GATEHOUSE_KEY"}
}

// Run runs the gateway until ctx is done.
func (c *serveCommand) Run(ctx context.Context, s streams, g *cli.Globals) error {
	cfg, err := g.Configuration()
	if err != nil {
		return err
	}
	page := new(demo.Page)
	var guests []httpapi.Guest
	if c.Demo {
		guests = page.Guests()
		cfg = app.AddPlain(cfg)
		if cfg.Log.Level == config.Default().Log.Level {
			cfg.Log.Level = "warn" // what is said is said below
		}
	}
	logger, err := newLogger(cfg.Log, s.err)
	if err != nil {
		return err
	}
	a, err := app.New(ctx, cfg, app.Options{Version: programVersion(), Logger: logger, Guests: guests})
	if err != nil {
		return err
	}
	for _, warning := range cfg.UnknownVariables(os.Environ(), clientVariables()...) {
		logger.Warn(warning)
	}
	if !c.Demo {
		return a.Run(ctx)
	}
	return runDemo(ctx, a, page, s)
}

// runDemo runs the gateway and, once it serves, the demo.
func runDemo(ctx context.Context, a *app.App, page *demo.Page, s streams) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- a.Run(ctx) }()
	select {
	case err := <-served:
		return err
	case <-a.Ready():
	}
	if err := showDemo(ctx, a, page, s.out); err != nil && ctx.Err() == nil {
		cancel()
		return errors.Join(fmt.Errorf("the demo: %w", err), <-served)
	}
	return <-served
}

func showDemo(ctx context.Context, a *app.App, page *demo.Page, w io.Writer) error {
	d, err := demo.Prepare(ctx, a)
	if err != nil {
		return err
	}
	defer d.Close()
	d.Open(page)
	j, err := d.Run(ctx)
	if err != nil {
		return err
	}
	return d.Show(w, j, demo.Paint{Colour: isTerminal(w) && os.Getenv("NO_COLOR") == ""})
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func newLogger(l config.Log, w io.Writer) (*slog.Logger, error) {
	level, err := l.SlogLevel()
	if err != nil {
		return nil, err
	}
	o := &slog.HandlerOptions{Level: level}
	if l.Format == config.FormatJSON {
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return slog.New(slog.NewTextHandler(w, o)), nil
}
