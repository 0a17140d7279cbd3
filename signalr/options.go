package signalr

import (
	"log/slog"
	"net/http"
	"time"
)

// Options is how connections are served. Zero fields take the default.
type Options struct {
	// Origin decides on requests with an Origin header, which browsers set,
	// preflights and WebSockets included. If it returns true the answer carries
	// what the clients need (the exact origin, credentials); otherwise the request
	// is refused with 403. Requests without the header are not asked about.
	// Default: the origin's host and port must be those of the request.
	Origin func(r *http.Request, origin string) bool

	// AllowHeaders are headers that scripts may set beside those of the client
	// itself (Authorization, Content-Type, X-Requested-With, X-SignalR-User-Agent).
	AllowHeaders []string

	// WithoutWebSockets, WithoutServerSentEvents and WithoutLongPolling switch
	// transports off.
	WithoutWebSockets       bool
	WithoutServerSentEvents bool
	WithoutLongPolling      bool

	// MaxConnections is how many connections may exist, those that have
	// negotiated and not come yet included. More are refused with 503. Default:
	// 100,000.
	MaxConnections int

	// HandshakeTimeout is how long a client may take from negotiation to
	// transport, and from there to the handshake. Default: 15 s.
	HandshakeTimeout time.Duration

	// KeepAlive is after how much silence the server pings. Default: 15 s.
	KeepAlive time.Duration

	// ClientTimeout is after how much silence a client that pings is given up,
	// and how long a record may be unfinished. Default: 30 s.
	ClientTimeout time.Duration

	// WriteTimeout is how long one write to a client may take; what a write takes
	// is at most 16 KiB. Default: 10 s.
	WriteTimeout time.Duration

	// BodyTimeout is how long a client may pause within the body of a POST.
	// Default: 30 s.
	BodyTimeout time.Duration

	// PollTimeout is how long a poll waits for data. Clients give up after 100 s.
	// Default: 90 s.
	PollTimeout time.Duration

	// PollGap is how long a client may be without a poll. Default: 15 s.
	PollGap time.Duration

	// Resume is how long a connection with stateful reconnect waits for its client
	// after a socket broke; negative: stateful reconnect is not offered. Default:
	// 15 s.
	Resume time.Duration

	// MaxRecord is the largest record taken, in bytes. Default: 32 KiB.
	MaxRecord int

	// Invocations is how many calls of a connection may be unfinished; reading
	// stops there. Default: 256.
	Invocations int

	// InvocationBytes is how many bytes of unfinished calls a connection may hold;
	// reading stops there, with at least one. Default: 1 MiB.
	InvocationBytes int

	// Calls is how many results of the client a connection may await
	// (Conn.Invoke). Default: 4096.
	Calls int

	// SendBuffer is how many bytes may wait to be sent, or with stateful reconnect
	// to be acknowledged, before Conn.Send fails and nothing more is read.
	// Default: 256 KiB.
	SendBuffer int

	// Logger gets what is of use when a client misbehaves, at debug level.
	// Default: none.
	Logger *slog.Logger
}

func orDefault[T comparable](value, standard T) T {
	var zero T
	if value == zero {
		return standard
	}
	return value
}

// withDefaults fills in what was left out.
func (o Options) withDefaults() Options {
	if o.Origin == nil {
		o.Origin = sameOrigin
	}
	o.MaxConnections = orDefault(o.MaxConnections, 100_000)
	o.HandshakeTimeout = orDefault(o.HandshakeTimeout, 15*time.Second)
	o.KeepAlive = orDefault(o.KeepAlive, 15*time.Second)
	o.ClientTimeout = orDefault(o.ClientTimeout, 30*time.Second)
	o.WriteTimeout = orDefault(o.WriteTimeout, 10*time.Second)
	o.BodyTimeout = orDefault(o.BodyTimeout, 30*time.Second)
	o.PollTimeout = orDefault(o.PollTimeout, 90*time.Second)
	o.PollGap = orDefault(o.PollGap, 15*time.Second)
	o.Resume = orDefault(o.Resume, 15*time.Second)
	o.MaxRecord = orDefault(o.MaxRecord, 32<<10)
	o.Invocations = orDefault(o.Invocations, 256)
	o.InvocationBytes = orDefault(o.InvocationBytes, 1<<20)
	o.Calls = orDefault(o.Calls, 4096)
	o.SendBuffer = orDefault(o.SendBuffer, 256<<10)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}
