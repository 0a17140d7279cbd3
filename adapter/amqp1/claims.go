package amqp1

import (
	"context"
	"slices"
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/gate"
)

// maxClaims is how many addresses a connection may have proven itself for.
const maxClaims = 256

// A claim is an address that the client has proven itself for, with the session
// of the gate that stands for it. All links to the address and below share it.
type claim struct {
	path    string // folded
	session *gate.Session
	unwatch func() bool
	links   map[member]struct{} // under the connection's mu
}

// A member is a link that lasts as long as its claim.
type member interface {
	// revoke detaches the link, because its session ended with err.
	revoke(err error)
}

// keep notes credentials that are tried for any address.
func (c *connection) keep(from string, credentials auth.Credentials) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := shown{from, credentials}
	if i := slices.IndexFunc(c.proofs, func(p shown) bool { return p.from == from }); i >= 0 {
		c.proofs[i] = p
	} else if len(c.proofs) < maxClaims {
		c.proofs = append(c.proofs, p)
	}
}

// shown are credentials that a client has shown, and where they come from.
type shown struct {
	from        string
	credentials auth.Credentials
}

// claimOf returns the claim that covers an address, making one from what the
// client has shown if there is none.
func (c *connection) claimOf(at *address) (*claim, error) {
	c.mu.Lock()
	for path := at.path; len(path) >= len(at.base()); {
		if cl := c.claims[path]; cl != nil && cl.session.Err() == nil {
			c.mu.Unlock()
			return cl, nil
		}
		i := strings.LastIndexByte(path, '/')
		if i < 0 {
			break
		}
		path = path[:i]
	}
	shown := make([]auth.Credentials, 0, len(c.proofs))
	for _, p := range c.proofs {
		shown = append(shown, p.credentials)
	}
	c.mu.Unlock()
	if len(shown) == 0 {
		return nil, gatehouse.Errorf(gatehouse.Unauthenticated, "nothing was shown that proves a right to %s; put a token for it to $cbs, or use SASL PLAIN", at.path)
	}
	cl, err := c.claim(at, at.base(), "", shown)
	if err != nil && at.below != "" && gatehouse.KindOf(err) == gatehouse.Unauthenticated {
		return c.claim(at, at.path, at.below, shown)
	}
	return cl, err
}

// claim opens a session for an address, and notes it under path.
func (c *connection) claim(at *address, path, below string, shown []auth.Credentials) (*claim, error) {
	session, err := c.session(at, at.need(), below, shown)
	if err != nil {
		return nil, err
	}
	cl := &claim{path: path, session: session, links: make(map[member]struct{})}
	c.mu.Lock()
	if other := c.claims[path]; other != nil && other.session.Err() == nil {
		c.mu.Unlock()
		session.Close() // another request was faster
		return other, nil
	}
	if c.ended || len(c.claims) >= maxClaims && c.claims[path] == nil {
		c.mu.Unlock()
		session.Close()
		return nil, gatehouse.Errorf(gatehouse.RateLimited, "the connection has proven itself for %d addresses, which is as many as it may; use another one", maxClaims)
	}
	if c.claims == nil {
		c.claims = make(map[string]*claim)
	}
	c.claims[path] = cl
	c.mu.Unlock()
	cl.unwatch = session.AfterDone(func() { c.lost(cl) })
	return cl, nil
}

// session opens a session of the gate.
func (c *connection) session(at *address, need gatehouse.Rights, below string, shown []auth.Credentials) (*gate.Session, error) {
	s, err := c.gate.Open(context.Background(), gate.Attempt{
		Account: at.account, Endpoint: at.endpoint, Channel: at.channel, Need: need, Below: below, Credentials: shown,
		Protocol: c.protocol, TLS: c.secure, Remote: c.remote, Origin: c.origin,
	})
	if err == nil {
		c.hasProven()
	}
	return s, err
}

// probe reports whether credentials are right for an account or an endpoint as
// a whole, of which nothing is opened. If they prove too little, or the gate
// refuses who they prove, that shows when a link is attached.
func (c *connection) probe(at *address, shown ...auth.Credentials) error {
	needs := []gatehouse.Rights{gatehouse.RightChannels}
	if at.kind == nodeEndpoint {
		needs = []gatehouse.Rights{gatehouse.RightSend, gatehouse.RightListen}
	}
	var refusal error
	for _, need := range needs {
		s, err := c.session(at, need, "", shown)
		if err == nil {
			s.Close()
			return nil
		}
		switch gatehouse.KindOf(err) {
		case gatehouse.Unauthenticated, gatehouse.Expired, gatehouse.Unavailable, gatehouse.Internal, gatehouse.Invalid:
			refusal = err
		default:
			c.hasProven()
			return nil
		}
	}
	return refusal
}

// join adds a link to its claim. It fails if the session has ended meanwhile.
func (c *connection) join(cl *claim, m member) error {
	c.mu.Lock()
	cl.links[m] = struct{}{}
	c.mu.Unlock()
	return cl.session.Err()
}

func (c *connection) part(cl *claim, m member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(cl.links, m)
}

// lost is told that the session of a claim has ended: all links of it go.
func (c *connection) lost(cl *claim) {
	err := cl.session.Err()
	c.mu.Lock()
	if c.claims[cl.path] == cl {
		delete(c.claims, cl.path)
	}
	links := cl.links
	cl.links = make(map[member]struct{})
	c.mu.Unlock()
	for m := range links {
		m.revoke(err)
	}
}

// putToken takes a token for an audience.
func (c *connection) putToken(audience, token string) error {
	shown := auth.FromToken(token)
	if len(shown) == 0 {
		return gatehouse.Errorf(gatehouse.Invalid, "there is no token in the request")
	}
	at, err := parseAddress(audience)
	if err != nil {
		return err
	}
	switch at.kind {
	case nodePublisher, nodeInbox, nodeChannel:
		return c.renew(&at, shown)
	case nodeAccount, nodeEndpoint:
		if err := c.probe(&at, shown...); err != nil {
			return err
		}
		for i, p := range shown {
			c.keep(at.path+"#"+string(rune('0'+i)), p)
		}
		return nil
	}
	return noAddress(audience)
}

// renew gives the claim of an address a fresh proof, or makes the claim.
func (c *connection) renew(at *address, shown []auth.Credentials) error {
	c.mu.Lock()
	cl := c.claims[at.path]
	c.mu.Unlock()
	if cl != nil {
		err := cl.session.Reauthenticate(context.Background(), shown...)
		if err == nil || cl.session.Err() == nil {
			return err
		}
		c.lost(cl) // it ended just now
	}
	_, err := c.claim(at, at.path, at.below, shown)
	return err
}
