package app

import (
	"context"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/gatehouse/gatehouse/adapter"
	"github.com/gatehouse/gatehouse/config"
)

// listenersOf returns the listeners that are configured, or those that are
// there if none is: every adapter that speaks TLS, at its usual port.
func listenersOf(cfg *config.Config) []config.Listener {
	if len(cfg.Listeners) > 0 {
		return cfg.Listeners
	}
	var all []config.Listener
	for _, k := range adapters() {
		if k.tls {
			all = append(all, config.Listener{Adapter: k.name})
		}
	}
	return all
}

// needsTLS reports whether any listener shows a certificate.
func needsTLS(cfg *config.Config) bool {
	for _, l := range listenersOf(cfg) {
		if k, err := findAdapter(l.Adapter); err == nil && k.tls {
			return true
		}
	}
	return false
}

// openListeners makes the adapters first, so that everything about them is
// known to be right before a port is taken.
func (a *App) openListeners(ctx context.Context) error {
	wanted := listenersOf(a.Config)
	made := make([]*listener, len(wanted))
	addresses := make([]string, len(wanted))
	for i := range wanted {
		path := "listeners[" + strconv.Itoa(i) + "]"
		k, err := findAdapter(wanted[i].Adapter)
		if err != nil {
			return a.Config.Faultf(path+".adapter", "%v", err)
		}
		if !k.tls && wanted[i].ClientCertificates == config.Ask {
			return a.Config.Faultf(path+".clientCertificates", "%s has no TLS, by which clients show certificates", k.name)
		}
		if made[i], err = a.makeAdapter(k, &wanted[i]); err != nil {
			return err
		}
		addresses[i] = wanted[i].Address
		if addresses[i] == "" {
			addresses[i] = ":" + strconv.Itoa(k.port)
		}
	}
	for i, l := range made {
		if err := a.listen(ctx, l, addresses[i], "listeners["+strconv.Itoa(i)+"].address"); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) makeAdapter(k adapterKind, l *config.Listener) (*listener, error) {
	o := adapter.Options{
		Drain: time.Duration(a.Config.Drain), Connections: l.Connections, MaxBody: int64(l.MaxBody),
		Logger: a.logger.With("adapter", k.name),
	}
	if l.Drain > 0 {
		o.Drain = time.Duration(l.Drain)
	}
	if k.tls {
		o.TLS = a.tlsOf(k, l)
	}
	made, err := k.make(adapterDeps{o, a}, l.Options)
	if err != nil {
		return nil, err
	}
	return &listener{name: k.name, adapter: made}, nil
}

func (a *App) listen(ctx context.Context, l *listener, address, path string) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return a.Config.Faultf(path, "%s cannot listen: %v", l.name, err)
	}
	l.Listener = a.Metrics.Listen(ln, l.name)
	a.listeners = append(a.listeners, l)
	a.onClose("listener "+l.name, func() error { return ignoreClosed(ln.Close()) })
	return nil
}

// AddPlain returns a configuration that has, besides the listeners of cfg, one
// on loopback for every adapter without TLS that it does not list: at its usual
// port, or at any free one if that is taken.
func AddPlain(cfg *config.Config) *config.Config {
	c := *cfg
	c.Listeners = append([]config.Listener(nil), listenersOf(cfg)...)
	for _, k := range adapters() {
		listed := func(l config.Listener) bool { return l.Adapter == k.name }
		if k.tls || slices.ContainsFunc(c.Listeners, listed) {
			continue
		}
		address := net.JoinHostPort(loopback, strconv.Itoa(k.port))
		if ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address); err == nil {
			_ = ln.Close() // it was only to see
		} else {
			address = net.JoinHostPort(loopback, "0")
		}
		c.Listeners = append(c.Listeners, config.Listener{Adapter: k.name, Address: address})
	}
	return &c
}

const loopback = "127.0.0.1"
