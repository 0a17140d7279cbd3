// Package amqp1 is the adapter for AMQP 1.0: adapters amqps (TLS) and amqp (the
// same without TLS, for endpoints that allow it), and AMQP over WebSocket for
// a server of HTTP to hang in. It speaks what Azure's Event Hubs and Service
// Bus speak, so that their SDKs work unmodified: an endpoint's publisher is a
// publisher of the event hub ACCOUNT, its inbox a Service Bus queue, a channel
// an event hub. docs/amqp.md lists every address and how a message is mapped.
//
// It decides nothing: who may attach to what, and what becomes of a message,
// the gate says. Package amqp speaks the protocol.
//
// # Guarantees
//
// A message is accepted when it is durable, a batch when all of it is. What is
// refused is rejected with a condition that clients do not retry unless it
// helps, and with the reason. A delivery's lock outlives the link and the
// connection it came on. A message that goes from AMQP to AMQP keeps its bare
// message byte for byte: see native.go. Before a client has proven who it is,
// it can do nothing but that, within AuthTime.
//
// # Goroutines
//
// One per connection, one more per connection while it has something to write,
// one per link that waits for messages or has something under way. An idle
// link has none.
package amqp1

import (
	"sync"
	"time"

	"github.com/gatehouse/gatehouse/adapter"
	"github.com/gatehouse/gatehouse/amqp"
)

// Names of the two adapters, as endpoints and restrictions list them.
const (
	ProtocolTLS   = "amqps"
	ProtocolPlain = "amqp"
)

// Options are those of every adapter and those of AMQP. The zero value of a
// field stands for its default.
type Options struct {
	adapter.Options
	// ContainerID names the gateway to its clients. Default: gatehouse.
	ContainerID string
	// IdleTime is how often clients are asked to say something; after twice
	// that a connection is dropped. Default: 2 minutes.
	IdleTime time.Duration
	// AuthTime is how long a client may take to prove who it is.
	// Default: 20 s.
	AuthTime time.Duration
	// Window is how many messages a sender may have on their way on one link.
	// Default: 500.
	Window int
	// MaxBatch is the greatest number of messages in a batch. Default: 4096.
	MaxBatch int
	// Readers are the consumers of channels that listeners share, so that one
	// of a higher epoch ends those of lower ones. Default: the adapter's own.
	Readers *Readers
}

// Defaults of Options.
const (
	DefaultContainerID = "gatehouse"
	DefaultIdleTime    = 2 * time.Minute
	DefaultAuthTime    = 20 * time.Second
	DefaultWindow      = 500
	DefaultMaxBatch    = 4096
)

func (o Options) complete() Options {
	o.Options = o.Options.Complete()
	setDefault(&o.ContainerID, DefaultContainerID)
	setDefault(&o.IdleTime, DefaultIdleTime)
	setDefault(&o.AuthTime, DefaultAuthTime)
	setDefault(&o.Window, DefaultWindow)
	setDefault(&o.MaxBatch, DefaultMaxBatch)
	o.TLS = o.ServerTLS()
	if o.Readers == nil {
		o.Readers = new(Readers)
	}
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// SASL mechanisms.
const (
	mechanismAzure     = "MSSBCBS"
	mechanismPlain     = "PLAIN"
	mechanismAnonymous = "ANONYMOUS"
	mechanismExternal  = "EXTERNAL"
)

// maxUnfinished is how many bytes of messages that have not come completely a
// connection may hold.
const maxUnfinished = 8 << 20

// closeTime is how long a client has to answer the close of its connection.
const closeTime = 2 * time.Second

// An Adapter serves AMQP 1.0. It holds no state but its options, and memory to
// be used again.
type Adapter struct {
	options Options
	open    *amqp.Server // for connections without a client certificate
	known   *amqp.Server // for those with one, which may use EXTERNAL

	passages sync.Pool // of *passage
	encoders sync.Pool // of *encoder
}

var _ adapter.Adapter = (*Adapter)(nil)

// New returns the adapter amqps if the options have TLS, or else the adapter
// amqp.
func New(o Options) *Adapter {
	a := &Adapter{options: o.complete()}
	a.passages.New = newPassage
	a.encoders.New = func() any { return new(encoder) }
	usual := []string{mechanismAzure, mechanismPlain, mechanismAnonymous}
	a.open = a.server(usual)
	a.known = a.server(append(usual, mechanismExternal))
	return a
}

func (a *Adapter) server(mechanisms []string) *amqp.Server {
	s, err := amqp.NewServer(amqp.Config{
		ContainerID: a.options.ContainerID, Mechanisms: mechanisms, MaxFirstFrame: 16 << 10,
		IdleTimeout: a.options.IdleTime, HandshakeTimeout: a.options.AuthTime,
		MaxUnfinished: int(max(maxUnfinished, 2*a.options.MaxBody)), CloseTimeout: closeTime,
	})
	if err != nil {
		panic(err) // the limits are ours
	}
	return s
}

// Protocol returns the adapter's name: ProtocolTLS or ProtocolPlain.
func (a *Adapter) Protocol() string {
	if a.options.TLS != nil {
		return ProtocolTLS
	}
	return ProtocolPlain
}
