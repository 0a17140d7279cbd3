// Package web is the adapter for web front ends: a small JSON protocol over
// WebSocket, Server-Sent Events, and SignalR. All three send as an endpoint or
// receive its inbox with the guarantees of any other protocol. docs/web.md is
// their reference.
//
// They are guests of the listeners of HTTP: a door is a handler for what is
// below an endpoint's address, whose names it takes from the request's path
// values "account", "endpoint" and "rest". It does not answer preflights, and
// decides nothing: who may connect, from which page, and what becomes of a
// message, the gate says.
//
// # Guarantees
//
// A send is accepted once the message is durable. A delivery is completed by
// the client's acknowledgement, never by the write to its socket. A client has
// a bounded window of deliveries it has not settled. When its connection ends,
// what it had not settled goes back to its place at once, in order, and does not
// count as delivered; a client that connects again under its name, or with the
// id of its last event, comes after that. The locks of a client that is slow or
// stuck run out as those of any receiver; what it costs in memory is bounded.
// Tokens, which browsers can show in a query only, are not logged.
package web

import (
	"time"

	"github.com/gatehouse/gatehouse/adapter"
)

// Names of the protocols, as endpoints and restrictions list them, with and
// without TLS.
const (
	ProtocolWebSocket = "websocket"
	ProtocolEvents    = "sse"
	ProtocolSignalR   = "signalr"
)

// Where the doors are, below {account}.
const (
	WebSocketPath = "endpoints/ws"      // endpoints/{endpoint}/ws
	EventsPath    = "inboxes/events"    // inboxes/{endpoint}/events
	SignalRPath   = "endpoints/signalr" // endpoints/{endpoint}/signalr
)

// Options are those of every adapter and those of the web. TLS has no meaning:
// the listener speaks it. The zero value of a field stands for its default.
type Options struct {
	adapter.Options
	// Window is how many deliveries a client may have that it has not settled,
	// where it does not say so itself. Default: 64.
	Window int
	// WindowBytes is how many bytes of bodies they may have together, in which
	// the last of them is not counted. Default: 256 KiB.
	WindowBytes int
	// Sending is how many messages of a client may be on their way to the disk,
	// and SendingBytes how large they may be together. Nothing is read from it
	// beyond. Defaults: 256, 4 MiB.
	Sending, SendingBytes int
	// KeepAlive is how often a client that is silent is asked whether it is
	// there. Default: 15 s.
	KeepAlive time.Duration
	// WriteTime is how long a write to a client may take. Default: 10 s.
	WriteTime time.Duration
}

// Defaults of Options.
const (
	DefaultWindow       = 64
	DefaultWindowBytes  = 256 << 10
	DefaultSending      = 256
	DefaultSendingBytes = 4 << 20
	DefaultKeepAlive    = 15 * time.Second
	DefaultWriteTime    = 10 * time.Second
)

func (o Options) complete() Options {
	o.Options = o.Options.Complete()
	setDefault(&o.Window, DefaultWindow)
	setDefault(&o.WindowBytes, DefaultWindowBytes)
	setDefault(&o.Sending, DefaultSending)
	setDefault(&o.SendingBytes, DefaultSendingBytes)
	setDefault(&o.KeepAlive, DefaultKeepAlive)
	setDefault(&o.WriteTime, DefaultWriteTime)
	return o
}

func setDefault[T int | time.Duration](v *T, to T) {
	if *v <= 0 {
		*v = to
	}
}

// An Adapter makes the doors. It holds no state but its options.
type Adapter struct{ options Options }

// New returns an adapter.
func New(o Options) *Adapter { return &Adapter{options: o.complete()} }

// Protocols returns the names of the protocols.
func Protocols() []string { return []string{ProtocolWebSocket, ProtocolEvents, ProtocolSignalR} }
