// Package httpapi is the adapter for HTTP: adapters https (TLS, HTTP/2 and
// HTTP/1.1) and http (the same without TLS, for endpoints that allow it). It
// speaks the shapes of Azure's Event Hubs and Service Bus REST APIs and
// CloudEvents over HTTP. docs/http.md lists every path.
//
// It is no server of pages or of the admin API, and it does not decide: a
// request's session is opened by the gate, once per connection, credential and
// address.
//
// # Guarantees
//
// A 201 to a message means that it is durable. A received message stays
// locked until it is settled or the lock expires: a client that goes away
// while it waits, or before it has its answer, loses nothing. Only a receive
// by DELETE removes the message by itself, after the answer was handed to the
// connection. Bodies are read after the client has proven who it is. Nothing
// costs unbounded memory or time: see Options and the package's constants.
package httpapi

import (
	"cmp"
	"context"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter"
	"github.com/gatehouse/gatehouse/gate"
)

// Names of the two adapters, as endpoints and restrictions list them.
const (
	ProtocolTLS   = "https"
	ProtocolPlain = "http"
)

// A Revoker revokes publishers, for Azure's REST operations. It checks nothing
// about the session but that it is one with the right to manage its account.
type Revoker interface {
	// Revoke withdraws the publisher of an endpoint; Conflict if it is
	// revoked, NotFound if there is no such endpoint.
	Revoke(ctx context.Context, s *gate.Session, publisher gatehouse.EndpointName) error
	// Restore gives it back. Restoring what is not revoked does nothing.
	Restore(ctx context.Context, s *gate.Session, publisher gatehouse.EndpointName) error
	// Revoked lists the revoked publishers of the session's account.
	Revoked(ctx context.Context, s *gate.Session) ([]gatehouse.EndpointName, error)
}

// A Guest is another protocol that begins with a request of HTTP, such as one
// over WebSocket.
type Guest struct {
	// Path is where clients ask for it.
	Path string
	// Below, instead of a Path, is where they do for each endpoint:
	// "endpoints/ws" is /{account}/endpoints/{endpoint}/ws, and "inboxes/events"
	// /{account}/inboxes/{endpoint}/events. The handler finds the names as path
	// values "account" and "endpoint", and what follows, without a slash, as
	// "rest". Preflights are answered for it, and answers made readable for web
	// pages that the endpoint lets in.
	Below string
	// Begin is called once per listener. The handler answers requests to the
	// path, whoever sends them and whatever their method; it may take
	// connections over. stop ends what is left of them and returns when nothing
	// is.
	Begin func(g *gate.Gate) (h http.Handler, stop func())
}

// Options are those of every adapter and those of HTTP. The zero value of a
// field stands for its default.
type Options struct {
	adapter.Options
	// H2C lets clients of the plain adapter speak HTTP/2 with prior knowledge.
	H2C bool
	// Revoker serves revokedpublishers. Without one these paths are not found.
	Revoker Revoker
	// Guests are other protocols that are served here.
	Guests []Guest
	// MaxHeader is the greatest size of a request's headers in bytes.
	// Default: 32 KiB.
	MaxHeader int
	// MaxBatch is the greatest number of messages in a batch. Default: 4096.
	MaxBatch int
	// HeaderTime is how long a connection may take for its TLS handshake and
	// for the headers of a request. A connection that says nothing is dropped
	// after it. Default: 10 s.
	HeaderTime time.Duration
	// BodyTime is how long a whole request may take to come in. Default: 60 s.
	BodyTime time.Duration
	// WriteTime is how long an answer may take to go out. Default: 60 s.
	WriteTime time.Duration
	// IdleTime is how long a connection may wait between requests.
	// Default: 120 s.
	IdleTime time.Duration
}

// Defaults of Options.
const (
	DefaultMaxHeader  = 32 << 10
	DefaultMaxBatch   = 4096
	DefaultHeaderTime = 10 * time.Second
	DefaultBodyTime   = 60 * time.Second
	DefaultWriteTime  = 60 * time.Second
	DefaultIdleTime   = 120 * time.Second
)

// Limits of HTTP/2, per connection.
const (
	maxStreams      = 250       // requests at a time
	connectionBytes = 1 << 20   // received and not yet read
	streamBytes     = 256 << 10 // the same of one request
)

func (o Options) complete() Options {
	o.Options = o.Options.Complete()
	setDefault(&o.MaxHeader, DefaultMaxHeader)
	setDefault(&o.MaxBatch, DefaultMaxBatch)
	setDefault(&o.HeaderTime, DefaultHeaderTime)
	setDefault(&o.BodyTime, DefaultBodyTime)
	setDefault(&o.WriteTime, DefaultWriteTime)
	setDefault(&o.IdleTime, DefaultIdleTime)
	return o
}

func setDefault[T int | time.Duration](v *T, to T) {
	if *v <= 0 {
		*v = to
	}
}

// An Adapter serves HTTP. It holds no state but its options.
type Adapter struct{ options Options }

var _ adapter.Adapter = (*Adapter)(nil)

// New returns the adapter https if the options have TLS, or else the adapter
// http.
func New(o Options) *Adapter { return &Adapter{options: o.complete()} }

// Protocol returns the adapter's name: ProtocolTLS or ProtocolPlain.
func (a *Adapter) Protocol() string {
	if a.options.TLS != nil {
		return ProtocolTLS
	}
	return ProtocolPlain
}

// Serve serves ln until ctx is done: see adapter.Adapter.
func (a *Adapter) Serve(ctx context.Context, ln net.Listener, g *gate.Gate) error {
	stopping, stop := context.WithCancel(context.Background())
	defer stop()
	s := &server{Options: &a.options, gate: g, protocol: a.Protocol(), stopping: stopping}
	stopGuests := s.beginGuests()
	guarded := newListener(ln, a.options.Connections, a.options.Logger)
	web := a.webServer(s)
	served := make(chan error, 1)
	go func() {
		if a.options.TLS != nil {
			served <- web.ServeTLS(guarded, "", "")
		} else {
			served <- web.Serve(guarded)
		}
	}()
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	stop() // what only waits for messages is answered at once
	guarded.hangUp()
	var guests sync.WaitGroup
	guests.Go(stopGuests)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.options.Drain)
	defer cancel()
	if web.Shutdown(drain) != nil {
		_ = web.Close() // the listener is closed already
	}
	if ctx.Err() != nil {
		<-served // says that it was told to stop
		err = nil
	}
	guests.Wait()
	guarded.wait()
	s.requests.Wait()
	return err
}

// beginGuests begins to serve the guests.
func (s *server) beginGuests() (stop func()) {
	var stops []func()
	s.guests = make(map[string]http.Handler, len(s.Guests))
	for _, g := range s.Guests {
		h, stop := g.Begin(s.gate)
		s.guests[cmp.Or(g.Path, gatehouse.Fold(g.Below))] = h
		stops = append(stops, stop)
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

func (a *Adapter) webServer(s *server) *http.Server {
	o := &a.options
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(o.TLS != nil)
	protocols.SetUnencryptedHTTP2(o.TLS == nil && o.H2C)
	web := &http.Server{
		Handler:                      s,
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            o.HeaderTime,
		ReadTimeout:                  o.BodyTime,
		WriteTimeout:                 o.WriteTime,
		IdleTimeout:                  o.IdleTime,
		MaxHeaderBytes:               o.MaxHeader,
		Protocols:                    protocols,
		TLSConfig:                    o.ServerTLS(),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: connectionBytes,
			MaxReceiveBufferPerStream:     streamBytes,
			WriteByteTimeout:              o.WriteTime,
		},
		ErrorLog:    log.New(&errorLog{o.Logger}, "", 0),
		ConnContext: withConnection,
	}
	return web
}

// errorLog takes what net/http logs. Nearly all of it is about clients that
// went away or never spoke TLS, which is nothing to be woken for.
type errorLog struct{ to *slog.Logger }

// Write logs one line.
func (l *errorLog) Write(line []byte) (int, error) {
	level, text := slog.LevelDebug, strings.TrimSpace(string(line))
	if strings.Contains(text, "panic") {
		level = slog.LevelError
	}
	l.to.Log(context.Background(), level, text)
	return len(line), nil
}
