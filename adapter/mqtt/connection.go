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
	"github.com/gatehouse/gatehouse/idle"
)

// A connection is one client's connection. It has a goroutine that reads packets
// and deals with them as long as they come; what is written, and what comes from
// an inbox, has others as long as there is anything.
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
	place    idle.Place
	restless bool // it cannot be watched
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

// enter begins to use a connection; it reports whether the gateway still serves
// any.
func (c *connection) enter(nc net.Conn) bool {
	c.nc = nc
	c.room.L = &c.mu
	c.feeds[1].dead = true
	if !c.conns.Enter(c) {
		_ = nc.Close() // nothing was said on it
		return false
	}
	return true
}

// attend deals with what comes, until the connection ends, when it returns true,
// or nothing comes for a while: then the connection is left to the watcher, which
// has it attended to again.
func (c *connection) attend() (over bool) {
	for c.read() {
		if c.rest() {
			return false // it is somebody else's by now
		}
	}
	c.leave()
	c.linger()
	_ = c.nc.Close() // if it was not already
	c.conns.Exit(c)
	return true
}

// rest has an idle connection watched. It reports whether that is possible.
func (c *connection) rest() bool {
	if !c.idle.Watch(&c.place, c.nc, c.until(time.Now()), c) {
		c.restless = true
		return false
	}
	if c.over.Load() {
		c.idle.Wake(&c.place) // whoever ended it may not have seen it idle
	}
	return true
}

// Awake implements idle.Awaker.
func (c *connection) Awake() {
	go func() {
		if c.attend() {
			c.conns.Leave()
		}
	}()
}

// mayRest reports whether the connection can be idle.
func (c *connection) mayRest() bool { return c.idle != nil && !c.restless && c.session != nil }

// rouse has the connection attended to if it is idle.
func (c *connection) rouse() {
	if c.idle != nil {
		c.idle.Wake(&c.place)
	}
}
