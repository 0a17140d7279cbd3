package amqp1

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp"
	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/auth"
)

// A connection is one client's connection. Its methods as an amqp.Handler are
// called on the goroutine that serves it; what may take time is handed to
// workers.
type connection struct {
	*serving
	protocol string // ProtocolTLS or ProtocolPlain
	conn     *amqp.Conn
	remote   netip.AddrPort
	secure   bool
	origin   string            // of a browser's page
	shown    *auth.Certificate // nil if the client showed none

	working sync.WaitGroup
	jobs    worker[func()] // proofs and attaches, in the order they came

	mu        sync.Mutex
	ended     bool
	stopping  bool
	pending   int // messages and settlements under way
	proven    bool
	nodeLinks int
	failures  int
	claims    map[string]*claim       // by the folded path they are for
	proofs    []shown                 // good for what they cover; one from each place
	replies   []*replyLink            // of clients that wait for answers to requests
	senders   map[*incoming]struct{}  // links whose clients send messages
	groups    map[groupKey]*inboxLink // groups of inboxes that links hold
}

// run serves the connection until it ends.
func (c *connection) run(nc net.Conn) {
	server := c.open
	if c.shown != nil {
		server = c.known
	}
	c.jobs.do = func(jobs []func()) {
		for _, job := range jobs {
			job()
		}
	}
	c.conn = server.NewConn(nc, c)
	if !c.conns.Enter(c) {
		_ = nc.Close()
		return
	}
	late := time.AfterFunc(c.options.AuthTime, c.demandProof)
	err := c.conn.Serve(c.ctx)
	late.Stop()
	c.conns.Exit(c)
	c.end()
	if err != nil {
		c.options.Logger.Debug("connection ended", "remote", c.remote, "error", err)
	}
}

// end waits for what is under way and closes the sessions. All links have been
// told that they are closed.
func (c *connection) end() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.working.Wait()
	c.mu.Lock()
	claims := c.claims
	c.claims = nil
	c.mu.Unlock()
	for _, cl := range claims {
		cl.unwatch()
		cl.session.Close()
	}
}

// spawn starts a goroutine that the connection waits for, unless it has ended.
func (c *connection) spawn(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.working.Go(f)
	return true
}

// hold keeps the connection from being done until working.Done is called,
// unless it has ended.
func (c *connection) hold() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.working.Add(1)
	}
	return !c.ended
}

// demandProof ends a connection that has not proven in time who it is.
func (c *connection) demandProof() {
	c.mu.Lock()
	proven := c.proven
	c.mu.Unlock()
	if !proven {
		c.conn.Close(amqp.Err(amqp.UnauthorizedAccess, "the client did not prove in time who it is; put a token to $cbs, or use SASL PLAIN"))
	}
}

// hasProven notes that the client has shown a right proof.
func (c *connection) hasProven() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proven = true
}

// maxFailures is how often a connection may fail to prove who it is before it
// is closed.
const maxFailures = 16

// hasFailed notes a wrong proof.
func (c *connection) hasFailed(err error) {
	if gatehouse.KindOf(err) != gatehouse.Unauthenticated {
		return
	}
	c.mu.Lock()
	c.failures++
	over := c.failures == maxFailures
	c.mu.Unlock()
	if over {
		c.conn.Close(amqp.Err(amqp.UnauthorizedAccess, "too many wrong proofs"))
	}
}

// stop closes the connection as soon as nothing is under way.
func (c *connection) stop() {
	c.mu.Lock()
	c.stopping = true
	idle := c.pending == 0
	senders := make([]*incoming, 0, len(c.senders))
	for in := range c.senders {
		senders = append(senders, in)
	}
	c.mu.Unlock()
	if idle {
		c.conn.Close(errStopping)
		return
	}
	for _, in := range senders {
		in.link.SetWindow(0)
	}
}

var errStopping = amqp.Err(amqp.ConnectionForced, "the gateway is shutting down; connect again")

// begin notes n things under way.
func (c *connection) begin(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending += n
}

// finish notes that n of them are over, and were answered.
func (c *connection) finish(n int) {
	c.mu.Lock()
	c.pending -= n
	over := c.stopping && c.pending == 0
	c.mu.Unlock()
	if over {
		c.conn.Close(errStopping)
	}
}

// Authenticate decides on SASL credentials. What cannot be decided without an
// address is decided when a link is attached.
func (c *connection) Authenticate(_ *amqp.Conn, a amqp.Authentication) error {
	switch a.Mechanism {
	case mechanismPlain:
		return c.plain(a)
	case mechanismExternal:
		return c.external(a)
	}
	return nil // anonymous: tokens follow
}

// external takes the certificate of the TLS handshake as proof for whatever it
// is good for, which shows when a link is attached. A client may name in
// advance who it is, ACCOUNT/ENDPOINT, to be told at once if it is not.
func (c *connection) external(a amqp.Authentication) error {
	if c.shown == nil {
		return &amqp.SASLError{Code: frame.SASLAuth, Reason: "EXTERNAL without a client certificate"}
	}
	if u, ok := auth.ParseUser(string(a.Response)); ok && u.Endpoint != "" {
		at := address{kind: nodeEndpoint, account: u.Account, endpoint: u.Endpoint}
		if err := c.probe(&at, *c.shown); err != nil {
			return &amqp.SASLError{Code: saslCode(err), Reason: err.Error()}
		}
	} else if len(a.Response) > 0 {
		return &amqp.SASLError{Code: frame.SASLAuth, Reason: "the authorization identity of EXTERNAL is not ACCOUNT/ENDPOINT"}
	}
	c.keep("certificate", *c.shown)
	return nil
}

// plain checks a user name and a password, as far as they say what they are
// for: a token, and Azure's bare policy name, are for addresses.
func (c *connection) plain(a amqp.Authentication) error {
	_, user, password, ok := a.Plain()
	if !ok {
		return &amqp.SASLError{Code: frame.SASLAuth, Reason: "malformed PLAIN response"}
	}
	u, ok := auth.ParseUser(user)
	if !ok || password == "" {
		return &amqp.SASLError{Code: frame.SASLAuth, Reason: "the user name is not ACCOUNT/ENDPOINT, ACCOUNT/$policies/POLICY or a policy, or there is no password"}
	}
	shown := auth.Password{User: user, Password: password}
	if u.Account != "" && !strings.Contains(password, "SharedAccessSignature ") {
		path := address{kind: nodeAccount, account: u.Account, path: gatehouse.Fold(u.Account)}
		if u.Endpoint != "" {
			path.kind, path.endpoint = nodeEndpoint, u.Endpoint
		}
		if err := c.probe(&path, shown); err != nil {
			return &amqp.SASLError{Code: saslCode(err), Reason: err.Error()}
		}
	}
	c.keep("password", shown)
	return nil
}

func saslCode(err error) frame.SASLCode {
	switch gatehouse.KindOf(err) {
	case gatehouse.Unavailable, gatehouse.RateLimited:
		return frame.SASLSysTemp
	case gatehouse.Internal:
		return frame.SASLSys
	}
	return frame.SASLAuth
}

// Open takes the client's open frame.
func (c *connection) Open(*amqp.Conn, *frame.Open) error { return nil }

// Attach takes a link that the client asks for.
func (c *connection) Attach(a *amqp.Attach) {
	c.jobs.add(c, func() { c.attach(a) })
}

// attach finds out what the link is to, and who may have it.
func (c *connection) attach(a *amqp.Attach) {
	if err := c.accept(a); err != nil {
		c.hasFailed(err)
		a.Refuse(c.refused(err))
	}
}

func (c *connection) accept(a *amqp.Attach) error {
	if a.Address() == "" {
		return amqp.Err(amqp.NotImplemented, "a link needs an address; sending to whatever a message names is not supported")
	}
	at, err := parseAddress(a.Address())
	if err != nil {
		return err
	}
	switch at.kind {
	case nodeClaims, nodeManagement:
		return c.attachNode(a, &at, nil)
	case nodeAccount, nodeEndpoint:
		return amqp.Err(amqp.NotAllowed, "nothing can be sent to or received from "+at.path+"; an endpoint sends to "+string(at.account)+"/publishers/ENDPOINT, trusted code to "+string(at.account)+"/channels/CHANNEL")
	}
	cl, err := c.claimOf(&at)
	if err != nil {
		return err
	}
	if at.manage {
		return c.attachNode(a, &at, cl)
	}
	switch {
	case at.kind == nodeInbox && a.FromPeer():
		return amqp.Err(amqp.NotAllowed, "nothing can be sent to an inbox; send to ACCOUNT/publishers/ENDPOINT, with endpoints/NAME as the address")
	case at.kind == nodeInbox:
		return c.attachInbox(a, &at, cl)
	case a.FromPeer() && at.group == "":
		return c.attachSender(a, &at, cl)
	case at.kind == nodeChannel && !a.FromPeer() && at.group != "" && at.partition != "":
		return c.attachReader(a, &at, cl)
	case at.kind == nodePublisher:
		return amqp.Err(amqp.NotAllowed, "nothing can be received from a publisher; receive from ACCOUNT/inboxes/ENDPOINT")
	}
	return amqp.Err(amqp.NotAllowed, "send to ACCOUNT/channels/CHANNEL; receive from ACCOUNT/channels/CHANNEL/ConsumerGroups/GROUP/Partitions/N")
}
