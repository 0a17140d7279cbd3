// Package gate is the boundary itself: the two ways through it. It is the
// package to read first.
//
// The way in: an adapter opens a Session with what its client shows as proof
// (Gate.Open), and hands it messages (Session.Submit). Each is checked against
// the restrictions on its sender, routed to the channels that a route
// authorization allows, and appended to them; the receipt follows when that is
// durable. The way out: a handler's messages are authorized for each endpoint
// they name and put into its inbox (Gate.Deliver), from where a session takes
// them (Session.Receive) and settles them.
//
// The order of the steps is the code of in.go and out.go. What they decide is
// decided by packages route and restrict, compiled into the directory's
// snapshot, for live traffic, scheduled messages, replay and resubmission
// alike; explain.go shows the same decision with its reasons.
//
// Revocation: the gate follows the directory. When a change takes away what a
// session stands on, the session ends before the change's subscriber returns;
// a session whose proof expires ends by timer.
package gate

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/restrict"

	"golang.org/x/sync/errgroup"
)

// Events are told what happens; every field may be nil. They are called on the
// hot path and must not block.
type Events struct {
	Opened    func(protocol string)
	Closed    func(protocol string)
	Refused   func(protocol string, kind gatehouse.Kind) // of a session or a message
	Accepted  func(protocol string, messages, bytes int)
	Delivered func(protocol string, messages int) // taken from inboxes by sessions
	Settled   func(protocol string, outcome inbox.Outcome, messages int)
	Routed    func(puts, refused int) // put into inboxes, or dead-lettered instead
}

// Config is what a Gate is made of. All fields but Events and Logger are
// required.
type Config struct {
	Directory *directory.Directory
	Engine    engine.Engine
	Commit    *engine.Committer
	Channels  *channel.Set
	Inboxes   *inbox.Set
	Auth      auth.Authenticator
	Events    Events
	Logger    *slog.Logger
}

// A Gate lets sessions in and messages through. It is safe for concurrent use.
type Gate struct {
	Config
	snapshot atomic.Pointer[directory.Snapshot]
	sessions registry
	limits   limiters
	marks    marks
	passages sync.Pool // of *passage
}

// New returns a gate that follows the directory.
func New(c Config) *Gate {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	g := &Gate{Config: c}
	g.sessions.byParty = make(map[party]*Session)
	g.limits.byParty = make(map[party]*limited)
	g.passages.New = func() any { return new(passage) }
	g.marks.known = make(map[string][]gatehouse.Offset)
	c.Directory.Subscribe(g.follow)
	g.snapshot.CompareAndSwap(nil, c.Directory.Current()) // unless a change was told already
	return g
}

// Run releases scheduled messages until ctx is done.
func (g *Gate) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for p := range g.Channels.Partitions() {
		group.Go(func() error { return g.runSchedule(ctx, engine.Shard(p)) })
	}
	return group.Wait()
}

// A party is who sessions belong to: an endpoint, or (endpoint empty) the
// trusted code of an account. Names are folded.
type party struct{ account, endpoint string }

func partyOf(a gatehouse.AccountName, e gatehouse.EndpointName) party {
	return party{gatehouse.Fold(a), gatehouse.Fold(e)}
}

// A registry knows the open sessions. Those of a party are a list, so that each
// costs no more than its links.
type registry struct {
	mu      sync.Mutex
	byParty map[party]*Session // the first
}

// neighbours are the sessions of the same party before and behind one.
type neighbours struct{ previous, next *Session }

func (r *registry) add(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := r.byParty[s.party]
	s.beside = neighbours{next: first}
	if first != nil {
		first.beside.previous = s
	}
	r.byParty[s.party] = s
}

// remove forgets a session that was added.
func (r *registry) remove(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := s.beside
	s.beside = neighbours{}
	if b.next != nil {
		b.next.beside.previous = b.previous
	}
	switch {
	case b.previous != nil:
		b.previous.beside.next = b.next
	case b.next != nil:
		r.byParty[s.party] = b.next
	default:
		delete(r.byParty, s.party)
	}
}

// of returns the sessions of a party.
func (r *registry) of(p party, dst []*Session) []*Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return appendList(dst, r.byParty[p])
}

func appendList(dst []*Session, first *Session) []*Session {
	for s := first; s != nil; s = s.beside.next {
		dst = append(dst, s)
	}
	return dst
}

// ofAccount returns the sessions of an account.
func (r *registry) ofAccount(account string, dst []*Session) []*Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p, first := range r.byParty {
		if p.account == account {
			dst = appendList(dst, first)
		}
	}
	return dst
}

// Sessions returns the open sessions of an account, for administration.
func (g *Gate) Sessions(a gatehouse.AccountName) []*Session {
	return g.sessions.ofAccount(gatehouse.Fold(a), nil)
}

// follow is told of every change of the directory, in order.
func (g *Gate) follow(_, now *directory.Snapshot, changed []directory.Ref) {
	g.snapshot.Store(now)
	var touched []*Session
	for _, ref := range changed {
		account := gatehouse.Fold(ref.Account)
		switch ref.Kind {
		case directory.KindEndpoint:
			touched = g.sessions.of(party{account, gatehouse.Fold(ref.Name)}, touched)
			g.limits.drop(party{account, gatehouse.Fold(ref.Name)}, now)
		case directory.KindAccount, directory.KindPolicy, directory.KindRestriction, directory.KindChannel:
			touched = g.sessions.ofAccount(account, touched)
		}
	}
	for _, s := range touched {
		if err := g.standing(s, nil); err != nil {
			s.end(err)
		}
	}
}

// limiters holds the rate state of the endpoints that have sessions, and for a
// while of those that had, so that reconnecting does not refill a bucket.
type limiters struct {
	mu      sync.Mutex
	byParty map[party]*limited
	swept   time.Time
}

type limited struct {
	limiter restrict.Limiter
	users   int
	idle    time.Time // since when users is zero
}

// keepLimits is how long the rate state of an endpoint without sessions is
// kept.
const keepLimits = 10 * time.Minute

func (l *limiters) take(p party) *limited {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.byParty[p]
	if e == nil {
		e = new(limited)
		l.byParty[p] = e
	}
	e.users++
	return e
}

func (l *limiters) release(e *limited) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.users--; e.users == 0 {
		e.idle = now
	}
	if now.Sub(l.swept) < keepLimits {
		return
	}
	l.swept = now
	for p, e := range l.byParty {
		if e.users == 0 && now.Sub(e.idle) > keepLimits {
			delete(l.byParty, p)
		}
	}
}

// drop forgets the state of an endpoint that was deleted.
func (l *limiters) drop(p party, now *directory.Snapshot) {
	if a := now.Account(gatehouse.AccountName(p.account)); a != nil && a.Endpoint(gatehouse.EndpointName(p.endpoint)) != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byParty, p)
}
