// Package mqttadapter is the adapter for MQTT 3.1.1 and 5: adapters mqtts (TLS)
// and mqtt (the same without TLS, for endpoints that allow it), and MQTT over
// WebSocket for a server of HTTP to hang in. It is no broker: there is no space
// of topics that clients share. A client publishes into channels, and
// subscribes to its own inbox. docs/mqtt.md lists the topics, how a message is
// mapped and what clients are told.
//
// It decides nothing: who may send or receive, and what becomes of a message,
// the gate says. Package mqtt speaks the protocol.
//
// # Guarantees
//
// PUBACK and PUBREC with success leave when the message is durable, and not
// before; acknowledgements leave in the order of the messages. A QoS 2 message
// that is sent again within the life of its session is stored once. Every
// refusal is told: by a reason code in MQTT 5, by the end of the connection in
// 3.1.1, which has no other way. A delivery is completed by PUBACK or PUBCOMP,
// at QoS 0 when it was written; a lost connection gives back what its client
// has not acknowledged, at once. Sessions that outlive their connection outlive
// the process, too: see Sessions.
//
// # Goroutines
//
// One per connection; one more while it has something to write, and one while
// messages are taken from its inbox. A connection that has said nothing for a
// second has none, and no buffers: package idle waits for it. Those over
// WebSocket, and all on systems other than Linux, keep one.
package mqttadapter

import (
	"time"

	"github.com/gatehouse/gatehouse/adapter"
)

// Names of the two adapters, as endpoints and restrictions list them.
const (
	ProtocolTLS   = "mqtts"
	ProtocolPlain = "mqtt"
)

// Options are those of every adapter and those of MQTT. The zero value of a
// field stands for its default.
type Options struct {
	adapter.Options
	// ConnectTime is how long a client may take until its CONNECT is there,
	// the TLS handshake included. Default: 10 s.
	ConnectTime time.Duration
	// KeepAlive is the longest keep-alive a client gets; one that asks for
	// none gets this. Default: 20 minutes.
	KeepAlive time.Duration
	// Window is how many messages a client may have on their way in.
	// Default: 1024.
	Window int
	// Deliveries is how many messages a client may hold unacknowledged.
	// Default: 128.
	Deliveries int
	// HoldTime is how long a client may hold a message before it is available
	// to others again. Its lock is renewed until then. Default: 5 minutes.
	HoldTime time.Duration
	// SessionTime is the longest a session outlives its connection.
	// Default: 24 h.
	SessionTime time.Duration
	// Sessions are shared by listeners, so that a client finds its session
	// again, and takes it over, on any of them. Default: the adapter's own.
	Sessions *Sessions
}

// Defaults of Options.
const (
	DefaultConnectTime = 10 * time.Second
	DefaultKeepAlive   = 20 * time.Minute
	DefaultWindow      = 1024
	DefaultDeliveries  = 128
	DefaultHoldTime    = 5 * time.Minute
	DefaultSessionTime = 24 * time.Hour
)

func (o Options) complete() Options {
	o.Options = o.Options.Complete()
	setDefault(&o.ConnectTime, DefaultConnectTime)
	setDefault(&o.KeepAlive, DefaultKeepAlive)
	setDefault(&o.Window, DefaultWindow)
	setDefault(&o.Deliveries, DefaultDeliveries)
	setDefault(&o.HoldTime, DefaultHoldTime)
	setDefault(&o.SessionTime, DefaultSessionTime)
	o.Window, o.Deliveries = min(o.Window, maxPacketIDs), min(o.Deliveries, maxDeliveries)
	o.KeepAlive = min(o.KeepAlive, maxKeepAlive*time.Second)
	o.TLS = o.ServerTLS("mqtt")
	if o.Sessions == nil {
		o.Sessions = new(Sessions)
	}
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Bounds of what can be configured.
const (
	maxPacketIDs  = 65535
	maxDeliveries = 1024
	maxKeepAlive  = 65535
)

// An Adapter serves MQTT. It holds no state but its options.
type Adapter struct {
	options  Options
	idleTime time.Duration // after which a connection that says nothing is idle
}

var _ adapter.Adapter = (*Adapter)(nil)

// New returns the adapter mqtts if the options have TLS, or else the adapter
// mqtt.
func New(o Options) *Adapter { return &Adapter{options: o.complete(), idleTime: idleTime} }

// Protocol returns the adapter's name: ProtocolTLS or ProtocolPlain.
func (a *Adapter) Protocol() string {
	if a.options.TLS != nil {
		return ProtocolTLS
	}
	return ProtocolPlain
}
