package app

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse/adapter"
	"github.com/gatehouse/gatehouse/adapter/amqp1"
	"github.com/gatehouse/gatehouse/adapter/httpapi"
	mqttadapter "github.com/gatehouse/gatehouse/adapter/mqtt"
	"github.com/gatehouse/gatehouse/adapter/web"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/auth/cert"
	"github.com/gatehouse/gatehouse/auth/secret"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
	"github.com/gatehouse/gatehouse/engine/pebbledb"
	"github.com/gatehouse/gatehouse/handler"
	"github.com/gatehouse/gatehouse/handler/router"
	"github.com/gatehouse/gatehouse/plugin"
)

// This file lists every plug-in: a line for each.

// adapters returns the wire protocols there are. A listener names one of them.
func adapters() []adapterKind {
	return []adapterKind{
		secure(httpapi.ProtocolTLS, 8443, httpDefaults, newHTTP),
		plain(httpapi.ProtocolPlain, 8080, httpDefaults, newHTTP),
		secure(amqp1.ProtocolTLS, 5671, amqpDefaults, newAMQP),
		plain(amqp1.ProtocolPlain, 5672, amqpDefaults, newAMQP),
		secure(mqttadapter.ProtocolTLS, 8883, mqttDefaults, newMQTT),
		plain(mqttadapter.ProtocolPlain, 1883, mqttDefaults, newMQTT),
	}
}

// engines returns the ways of keeping what is durable.
func engines() []engineKind {
	return []engineKind{
		engineOf("pebbledb", pebbleDefaults, openPebble),
		engineOf("memory", memoryDefaults, openMemory),
	}
}

// handlers returns the kinds of work a channel can be given.
func handlers() plugin.Set[handler.Deps, handler.Handler] {
	return plugin.Set[handler.Deps, handler.Handler]{
		router.Kind,
	}
}

// authenticators returns the ways of proving an identity, in the order they are
// asked.
func authenticators(d *directory.Directory, authorities *x509.CertPool) []auth.Authenticator {
	return []auth.Authenticator{
		secret.New(d),
		cert.New(d, authorities),
	}
}

// An adapterKind is an adapter as a listener names it.
type adapterKind struct {
	name string
	port int  // its usual one
	tls  bool // it speaks TLS, and is on unless listeners are configured
	make func(adapterDeps, config.Block) (adapter.Adapter, error)
	// options returns a pointer to its own options, for the reference.
	options func() any
}

// adapterDeps is what an adapter is made of besides its own options.
type adapterDeps struct {
	adapter.Options
	app *App
}

// secure is the kind of an adapter that speaks TLS.
func secure[C any](name string, port int, defaults func() C, build func(adapterDeps, C) adapter.Adapter) adapterKind {
	k := plain(name, port, defaults, build)
	k.tls = true
	return k
}

// plain is the kind of an adapter that does not.
func plain[C any](name string, port int, defaults func() C, build func(adapterDeps, C) adapter.Adapter) adapterKind {
	return adapterKind{
		name: name, port: port,
		make: func(d adapterDeps, b config.Block) (adapter.Adapter, error) {
			c := defaults()
			if err := b.Decode(&c); err != nil {
				return nil, err
			}
			return build(d, c), nil
		},
		options: func() any { c := defaults(); return &c },
	}
}

// An engineKind is an engine as the configuration names it.
type engineKind struct {
	name    string
	open    func(*App, config.Block) (engine.Engine, error)
	options func() any
}

func engineOf[C any](name string, defaults func() C, open func(*App, C) (engine.Engine, error)) engineKind {
	return engineKind{
		name: name,
		open: func(a *App, b config.Block) (engine.Engine, error) {
			c := defaults()
			if err := b.Decode(&c); err != nil {
				return nil, err
			}
			return open(a, c)
		},
		options: func() any { c := defaults(); return &c },
	}
}

// adapterNames returns the names that listeners may have.
func adapterNames() []string {
	var names []string
	for _, k := range adapters() {
		names = append(names, k.name)
	}
	return names
}

// protocols returns the names that endpoints and restrictions may list.
func protocols() []string { return append(adapterNames(), web.Protocols()...) }

// findAdapter returns the kind of that name.
func findAdapter(name string) (adapterKind, error) {
	all := adapters()
	if i := slices.IndexFunc(all, func(k adapterKind) bool { return k.name == name }); i >= 0 {
		return all[i], nil
	}
	return adapterKind{}, fmt.Errorf("there is no adapter %q; there are %s", name, strings.Join(adapterNames(), ", "))
}

// makeEngine opens the engine that is configured.
func (a *App) makeEngine() (engine.Engine, error) {
	var names []string
	for _, k := range engines() {
		if k.name == a.Config.Engine.Kind {
			return k.open(a, a.Config.Engine.Options)
		}
		names = append(names, k.name)
	}
	return nil, a.Config.Faultf("engine.kind", "there is no engine %q; there are %s", a.Config.Engine.Kind, strings.Join(names, ", "))
}

// PebbleOptions are the options of engine pebbledb.
type PebbleOptions struct {
	// How many bytes read from disk are kept in memory.
	Cache config.Size `yaml:"cache"`
	// How many bytes of recent commits are gathered in memory before they are written into a table. Up to three times as much is used.
	MemTable config.Size `yaml:"memTable"`
	// How many files are kept open.
	OpenFiles int `yaml:"openFiles"`
	// The free space of the disk below which no more messages are taken.
	MinFree config.Size `yaml:"minFree"`
}

func pebbleDefaults() PebbleOptions {
	return PebbleOptions{Cache: 64 << 20, MemTable: 32 << 20, OpenFiles: 1000, MinFree: 256 << 20}
}

func openPebble(a *App, o PebbleOptions) (engine.Engine, error) {
	return pebbledb.Open(pebbledb.Options{
		Dir: a.path("messages"), Shards: a.Config.Shards, Cache: int64(o.Cache), MemTable: int64(o.MemTable),
		OpenFiles: o.OpenFiles, MinFree: int64(o.MinFree), Logger: a.logger.With("part", "engine"),
	})
}

// MemoryOptions are the options of engine memory, which has none.
type MemoryOptions struct{}

func memoryDefaults() MemoryOptions { return MemoryOptions{} }

func openMemory(a *App, _ MemoryOptions) (engine.Engine, error) {
	return memory.New(memory.Options{Shards: a.Config.Shards}), nil
}

// HTTPOptions are the options of adapters https and http.
type HTTPOptions struct {
	// Lets clients of http speak HTTP/2 with prior knowledge. On https it has no effect: HTTP/2 is negotiated there.
	H2C bool `yaml:"h2c"`
	// The greatest size of a request's headers.
	MaxHeader config.Size `yaml:"maxHeader"`
	// The greatest number of messages in a batch.
	MaxBatch int `yaml:"maxBatch"`
	// How long a connection may take for its TLS handshake and for the headers of a request.
	HeaderTime config.Duration `yaml:"headerTime"`
	// How long a whole request may take to come in.
	BodyTime config.Duration `yaml:"bodyTime"`
	// How long an answer may take to go out.
	WriteTime config.Duration `yaml:"writeTime"`
	// How long a connection may wait between requests.
	IdleTime config.Duration `yaml:"idleTime"`
	// SignalR, WebSocket and Server-Sent Events, which are served there too.
	Web WebOptions `yaml:"web"`
}

// WebOptions are the options of SignalR, WebSocket and Server-Sent Events.
type WebOptions struct {
	// How many deliveries a client may have that it has not settled, unless it says so itself.
	Window int `yaml:"window"`
	// How many bytes of bodies these may have together, in which the last of them is not counted.
	WindowBytes config.Size `yaml:"windowBytes"`
	// How many messages of a client may be on their way to the disk.
	Sending int `yaml:"sending"`
	// How many bytes these may have together.
	SendingBytes config.Size `yaml:"sendingBytes"`
	// How often a client that is silent is asked whether it is there.
	KeepAlive config.Duration `yaml:"keepAlive"`
	// How long a write to a client may take. One that reads more slowly is dropped.
	WriteTime config.Duration `yaml:"writeTime"`
}

func webDefaults() WebOptions {
	return WebOptions{
		Window: web.DefaultWindow, WindowBytes: web.DefaultWindowBytes, Sending: web.DefaultSending, SendingBytes: web.DefaultSendingBytes,
		KeepAlive: config.Duration(web.DefaultKeepAlive), WriteTime: config.Duration(web.DefaultWriteTime),
	}
}

func buildWeb(d adapterDeps, o WebOptions) *web.Adapter {
	return web.New(web.Options{
		Options: d.Options, Window: o.Window, WindowBytes: int(o.WindowBytes), Sending: o.Sending, SendingBytes: int(o.SendingBytes),
		KeepAlive: time.Duration(o.KeepAlive), WriteTime: time.Duration(o.WriteTime),
	})
}

func httpDefaults() HTTPOptions {
	return HTTPOptions{
		Web:       webDefaults(),
		MaxHeader: httpapi.DefaultMaxHeader, MaxBatch: httpapi.DefaultMaxBatch,
		HeaderTime: config.Duration(httpapi.DefaultHeaderTime), BodyTime: config.Duration(httpapi.DefaultBodyTime),
		WriteTime: config.Duration(httpapi.DefaultWriteTime), IdleTime: config.Duration(httpapi.DefaultIdleTime),
	}
}

func newHTTP(d adapterDeps, o HTTPOptions) adapter.Adapter {
	return httpapi.New(httpapi.Options{
		Options: d.Options, H2C: o.H2C, Revoker: revoker{d.app.Directory}, Guests: guests(d, o.Web), MaxHeader: int(o.MaxHeader), MaxBatch: o.MaxBatch,
		HeaderTime: time.Duration(o.HeaderTime), BodyTime: time.Duration(o.BodyTime),
		WriteTime: time.Duration(o.WriteTime), IdleTime: time.Duration(o.IdleTime),
	})
}

// guests returns the protocols that begin with a request of HTTP.
func guests(d adapterDeps, o WebOptions) []httpapi.Guest {
	d.TLS = nil // the listener speaks it
	w, m := buildWeb(d, o), buildMQTT(d, mqttDefaults())
	return append([]httpapi.Guest{
		{Path: amqp1.WebSocketPath, Begin: buildAMQP(d, amqpDefaults()).WebSocket},
		{Path: mqttadapter.WebSocketPath, Begin: m.WebSocket},
		{Path: mqttadapter.WebSocketPathIoTHub, Begin: m.WebSocket},
		{Below: web.WebSocketPath, Begin: w.WebSocket},
		{Below: web.EventsPath, Begin: w.Events},
		{Below: web.SignalRPath, Begin: w.SignalR},
	}, d.app.guests...)
}

// AMQPOptions are the options of adapters amqps and amqp.
type AMQPOptions struct {
	// How often clients are asked to say something. After twice that a connection is dropped.
	IdleTime config.Duration `yaml:"idleTime"`
	// How long a client may take to prove who it is.
	AuthTime config.Duration `yaml:"authTime"`
	// How many messages a sender may have on their way on one link.
	Window int `yaml:"window"`
	// The greatest number of messages in a batch.
	MaxBatch int `yaml:"maxBatch"`
}

func amqpDefaults() AMQPOptions {
	return AMQPOptions{
		IdleTime: config.Duration(amqp1.DefaultIdleTime), AuthTime: config.Duration(amqp1.DefaultAuthTime),
		Window: amqp1.DefaultWindow, MaxBatch: amqp1.DefaultMaxBatch,
	}
}

func newAMQP(d adapterDeps, o AMQPOptions) adapter.Adapter { return buildAMQP(d, o) }

func buildAMQP(d adapterDeps, o AMQPOptions) *amqp1.Adapter {
	return amqp1.New(amqp1.Options{
		Options: d.Options, ContainerID: "gatehouse-" + d.app.Config.Environment,
		IdleTime: time.Duration(o.IdleTime), AuthTime: time.Duration(o.AuthTime),
		Window: o.Window, MaxBatch: o.MaxBatch, Readers: &d.app.readers,
	})
}
