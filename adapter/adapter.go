// Package adapter is the seam for wire protocols. An adapter translates
// between its clients and the gate; it decides nothing: who may do what, and
// where a message goes, the gate says, in errors whose kind the adapter turns
// into its protocol's words by one total table.
//
// An adapter only calls down. A connection opens a *gate.Session with what its
// client shows as proof, submits and receives through it, and ends when the
// session does. Package adapter/adaptertest proves an adapter.
package adapter

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"github.com/gatehouse/gatehouse/gate"
)

// An Adapter speaks one wire protocol. It may serve several listeners at once.
type Adapter interface {
	// Serve accepts connections from ln, which it closes, until ctx is done.
	// Then it accepts no more, ends what only waits, lets what is under way
	// finish within the drain time, cuts off the rest, and returns nil. It
	// returns early, with an error, if ln fails. When it has returned, none of
	// its goroutines and sessions is left.
	Serve(ctx context.Context, ln net.Listener, g *gate.Gate) error
}

// Options are what every adapter can be told. The zero value of a field stands
// for its default.
type Options struct {
	// TLS, if set, makes the adapter speak TLS. It must have a certificate. The
	// adapter uses a copy, in which it sets the protocols it negotiates.
	TLS *tls.Config
	// Drain is how long requests under way may take once Serve is told to
	// stop. Default: 10 s.
	Drain time.Duration
	// Connections is how many connections a listener has at a time. Further
	// ones are closed as soon as they are accepted. Default: 65536.
	Connections int
	// MaxBody is the greatest size of a message, or of a batch on the wire, in
	// bytes. Default: 1 MiB.
	MaxBody int64
	// Logger is told what no client can be told. Default: nothing is logged.
	Logger *slog.Logger
}

// Defaults of Options.
const (
	DefaultDrain       = 10 * time.Second
	DefaultConnections = 65536
	DefaultMaxBody     = 1 << 20
)

// Complete returns o with the defaults in place of zero values.
func (o Options) Complete() Options {
	if o.Drain <= 0 {
		o.Drain = DefaultDrain
	}
	if o.Connections <= 0 {
		o.Connections = DefaultConnections
	}
	if o.MaxBody <= 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// ServerTLS returns a copy of TLS, which speaks version 1.2 at least, and
// negotiates these protocols if there are any; nil without TLS.
func (o *Options) ServerTLS(protocols ...string) *tls.Config {
	if o.TLS == nil {
		return nil
	}
	c := o.TLS.Clone()
	if len(protocols) > 0 {
		c.NextProtos = protocols
	}
	if c.MinVersion == 0 {
		c.MinVersion = tls.VersionTLS12
	}
	return c
}
