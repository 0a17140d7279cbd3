package mqttadapter

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/gate"
)

// A connection is one client's connection. Packets are read and dealt with on
// the goroutine that serves it; what is written, and what comes from an inbox,
// has goroutines that exist while there is anything.
type connection struct {
	*serving
	protocol string // ProtocolTLS or ProtocolPlain
	nc       net.Conn
	remote   netip.AddrPort
	secure   bool
	web      bool              // by WebSocket
	origin   string            // of a browser's page
	shown    *auth.Certificate // nil if the client showed none
	deadline time.Time         // of CONNECT
	in       input

	// Set by CONNECT.
	v5        bool
	self      gatehouse.EndpointName
	session   *gate.Session
	unwatch   func() bool
	state     *session
	limits    limits
	keepAlive time.Duration // until the client must have said something; with its grace
	keep      time.Duration // how long the session outlives the connection
	will      *will
	method    string // of authentication; empty: none
	user      string
	quiet     bool // the client does not want to be told reasons

	// For the reader alone.
	aliases [][]byte // topics, by alias
	stored  func(gate.Receipt, error)

	working sync.WaitGroup
	over    atomic.Bool // there is a cause

	mu        sync.Mutex
	room      sync.Cond // something was finished or written
	cause     *cause    // why the connection ends; nil: it does not
	greeted   bool      // CONNACK let the client in
	closed    bool      // goodbye was said, or there is nobody to say it to
	ended     bool      // nothing new is begun
	acks      acks
	out       output
	feeds     [2]feed // of the inbox and of the dead letters
	sent      []outgoing
	sentHead  int
	unsettled int // of sent
	renewal   *time.Timer
	lockTime  time.Duration
}

// limits are what the client has asked for.
type limits struct {
	deliveries int // unacknowledged ones
	packet     int // bytes; 0: no limit
}

// run serves the connection until it ends.
func (c *connection) run(nc net.Conn) {
	c.nc = nc
	c.room.L = &c.mu
	c.feeds[1].dead = true
	if !c.conns.Enter(c) {
		_ = nc.Close()
		return
	}
	c.read()
	c.leave()
	c.linger()
	_ = nc.Close() // if it was not already
	c.conns.Exit(c)
}
