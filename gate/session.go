package gate

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/restrict"
	"github.com/gatehouse/gatehouse/route"

	"github.com/google/uuid"
)

// An Attempt is what an adapter knows about a client that wants in.
type Attempt struct {
	Account  gatehouse.AccountName
	Endpoint gatehouse.EndpointName // to send as it or receive from its inbox
	Channel  gatehouse.ChannelName  // trusted code: the channel to produce to or consume
	Need     gatehouse.Rights       // RightSend, RightListen, RightChannels or RightManage
	// Want are rights that the session gets too, or without Need at least one
	// of them, if they are proven and not revoked. Session.Identity says which.
	Want gatehouse.Rights
	// Below is the rest of the address that the client uses, for a proof that is
	// good for that alone: see auth.Request. The adapter must use the session
	// for nothing else.
	Below string
	// Credentials are tried in turn until they prove all of Need together.
	Credentials []auth.Credentials

	Protocol string // the adapter's name, as restrictions and endpoints list it
	TLS      bool
	Remote   netip.AddrPort
	Origin   string // of a browser's page; empty otherwise
}

// A Session is an open way through the gate for one proven identity. It ends
// when it is closed, or when what it stands on is taken away; adapters watch
// Done. Its methods are safe for concurrent use.
type Session struct {
	gate     *Gate
	attempt  Attempt // without credentials
	party    party
	id       uuid.UUID
	opened   time.Time
	proofs   []gatehouse.Identity // what was proven, one per credential used
	ident    gatehouse.Identity
	source   string
	shardKey string // for messages without a key of their own
	// incarnation of the endpoint: the session has nothing to do with the next
	// one of its name.
	incarnation uint32
	beside      neighbours // in the registry, whose lock guards it
	limits      *limited   // stays when the session has ended: messages may be on their way in

	view atomic.Pointer[view]

	ctx    context.Context
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	released bool   // limits were given back
	after    func() // of AfterDone
	expiry   *time.Timer
	hours    *time.Timer // until hours are looked at again; nil: they do not concern it

	order    order
	channels atomic.Pointer[[]gatehouse.ChannelName] // of the last message
}

// A view is what the directory's snapshot says about a session's party,
// looked up once per snapshot.
type view struct {
	snapshot *directory.Snapshot
	account  *directory.Account
	routes   *route.Table
	route    route.Plan
	limits   *restrict.Table
	restrict *restrict.Plan
	endpoint *directory.Endpoint // nil for trusted code
}

// Open checks a client's credentials and starts a session for the identity
// they prove. Until they are proven, every error is Unauthenticated, Expired
// or Invalid and says nothing about what exists. After that it is Revoked,
// Forbidden or Restricted with the reason.
func (g *Gate) Open(ctx context.Context, a Attempt) (*Session, error) {
	s, err := g.open(ctx, a)
	if err != nil {
		if f := g.Events.Refused; f != nil {
			f(a.Protocol, gatehouse.KindOf(err))
		}
		return nil, err
	}
	return s, nil
}

func (g *Gate) open(ctx context.Context, a Attempt) (*Session, error) {
	before := g.Directory.Current()
	proofs, err := g.prove(ctx, &a)
	if err != nil {
		return nil, err
	}
	s := &Session{gate: g, attempt: a, party: partyOf(a.Account, a.Endpoint), id: uuid.New(), opened: time.Now(), proofs: proofs}
	s.attempt.Credentials = nil
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	v := newView(g.snapshot.Load(), a.Account, a.Endpoint, nil)
	s.incarnation = v.incarnation()
	s.view.Store(v)
	s.waive()
	s.adopt(s.proofs)
	s.spell()
	s.shardKey = gatehouse.Fold(a.Endpoint)
	if a.Endpoint == "" {
		s.shardKey = s.id.String() // spreads trusted producers, keeps the order of each
	}
	s.source = s.ident.Source()
	checked := g.snapshot.Load()
	if err := g.standing(s, before); err != nil {
		s.end(err)
		return nil, err
	}
	s.limits = g.limits.take(s.party)
	if f := g.Events.Opened; f != nil {
		f(a.Protocol) // before anything can end it
	}
	g.sessions.add(s)
	if g.snapshot.Load() == checked {
		s.watchExpiry()
		return s, nil
	}
	// A change since the check has not seen the session.
	if err := g.standing(s, nil); err != nil {
		s.end(err)
		return nil, err
	}
	s.watchExpiry()
	return s, nil
}

// spell gives the session the names as they were defined. Clients may write
// them in any case, and the source of a message must not be theirs to choose.
func (s *Session) spell() {
	v := s.gate.look(s)
	if v.account == nil {
		return // standing will tell
	}
	s.attempt.Account = v.account.Name()
	if v.endpoint != nil {
		s.attempt.Endpoint = v.endpoint.Name()
	}
	s.ident.Account, s.ident.Endpoint = s.attempt.Account, s.attempt.Endpoint
	if p := v.account.Policy(s.ident.Policy); p != nil {
		s.ident.Policy = p.Name()
	}
}

// waive gives up rights that are only wanted and are revoked, if others stay.
func (s *Session) waive() {
	v, a := s.gate.look(s), &s.attempt
	if v.endpoint == nil {
		return
	}
	for _, right := range rightsIn(a.Want) {
		if left := a.Need &^ right; left != 0 && v.partyStands(a.Account, a.Endpoint, right) != nil {
			a.Need = left
		}
	}
	a.Want = 0
	s.proofs = slices.DeleteFunc(s.proofs, func(p gatehouse.Identity) bool { return p.Rights&a.Need == 0 })
}

// prove asks the authenticators about each credential until they prove all
// that is needed and wanted. What is wanted and proven is needed from then on.
func (g *Gate) prove(ctx context.Context, a *Attempt) ([]gatehouse.Identity, error) {
	var proofs []gatehouse.Identity
	missing := a.Need | a.Want
	r := auth.Request{Account: a.Account, Endpoint: a.Endpoint, Channel: a.Channel, Below: a.Below, Now: time.Now()}
	var refusal error
	for _, r.Credentials = range a.Credentials {
		for _, r.Need = range rightsIn(missing) {
			id, err := g.Auth.Authenticate(ctx, &r)
			if err != nil {
				refusal = telling(refusal, err)
				continue
			}
			id.Rights &= missing
			missing &^= r.Need
			proofs = append(proofs, id)
		}
	}
	if missing&a.Need != 0 || len(proofs) == 0 {
		if refusal == nil {
			refusal = gatehouse.Errorf(gatehouse.Unauthenticated, "no credentials were given; send a shared access signature or a key, or connect with a client certificate")
		}
		return nil, refusal
	}
	a.Need |= a.Want &^ missing
	a.Want &= a.Need
	return proofs, nil
}

func rightsIn(r gatehouse.Rights) []gatehouse.Rights {
	var one []gatehouse.Rights
	for bit := gatehouse.Rights(1); bit != 0 && bit <= r; bit <<= 1 {
		if r&bit != 0 {
			one = append(one, bit)
		}
	}
	return one
}

// adopt makes the union of what was proven the session's identity: it lasts
// until the first of the proofs expires.
func (s *Session) adopt(proofs []gatehouse.Identity) {
	id := gatehouse.Identity{Account: s.attempt.Account, Endpoint: s.attempt.Endpoint, Policy: proofs[0].Policy, Proof: proofs[0].Proof}
	for _, p := range proofs {
		id.Rights |= p.Rights
		if !p.Expires.IsZero() && (id.Expires.IsZero() || p.Expires.Before(id.Expires)) {
			id.Expires = p.Expires
		}
	}
	id.Rights &= s.attempt.Need
	s.ident = id
}

func (s *Session) watchExpiry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expiry != nil {
		s.expiry.Stop()
	}
	if s.ident.Expires.IsZero() {
		return
	}
	proofs, end := s.proofs, s.ident.Expires
	s.expiry = time.AfterFunc(time.Until(end), func() { s.end(expired(proofs, end)) })
}

// Reauthenticate replaces the session's proof by a fresh one for the same party and
// rights, so that a connection outlives its first token. A proof that is wrong
// leaves the session as it is; one that was taken away meanwhile ends it.
func (s *Session) Reauthenticate(ctx context.Context, credentials ...auth.Credentials) error {
	if err := s.Err(); err != nil {
		return err
	}
	a := s.attempt
	a.Credentials = credentials
	proofs, err := s.gate.prove(ctx, &a)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.proofs = proofs
	s.adopt(proofs)
	s.mu.Unlock()
	s.watchExpiry()
	// A change since the proof was checked did not see the session stand on it.
	if err := s.gate.standing(s, nil); err != nil {
		s.end(err)
		return err
	}
	return nil
}

// standing reports why s may not go on, or nil, by the present snapshot. Its
// proofs were checked by what the directory has held since before; nil: they
// have to be.
func (g *Gate) standing(s *Session, before *directory.Snapshot) error {
	v := g.look(s)
	a := &s.attempt
	if err := v.accountStands(a.Account); err != nil {
		return err
	}
	if before == nil || before != g.Directory.Current() {
		if err := g.proofsStand(s); err != nil {
			return err
		}
	}
	if a.Channel != "" && v.account.Channel(a.Channel) == nil {
		return gatehouse.Errorf(gatehouse.NotFound, "account %q has no channel %q", a.Account, a.Channel)
	}
	switch {
	case a.Endpoint == "" && a.Origin != "":
		return errPage()
	case a.Endpoint == "":
		return nil
	}
	if err := v.endpointStands(a); err != nil {
		return err
	}
	s.watchHours(v)
	return nil
}

// accountStands reports why nobody of the account may do anything.
func (v *view) accountStands(name gatehouse.AccountName) error {
	if v.account == nil || v.account.Disabled() {
		return gatehouse.Errorf(gatehouse.Revoked, "account %q is disabled or was deleted", name)
	}
	return nil
}

// partyStands reports why an endpoint may not do what needs the given rights,
// however it comes.
func (v *view) partyStands(account gatehouse.AccountName, name gatehouse.EndpointName, need gatehouse.Rights) error {
	e := v.endpoint
	switch {
	case e == nil:
		return gatehouse.Errorf(gatehouse.NotFound, "account %q has no endpoint %q", account, name)
	case e.Disabled():
		return gatehouse.Errorf(gatehouse.Revoked, "endpoint %q is disabled", name)
	case need.Has(gatehouse.RightSend) && e.Revoked().Send:
		return gatehouse.Errorf(gatehouse.Revoked, "the publisher of endpoint %q is revoked", name)
	case need.Has(gatehouse.RightListen) && e.Revoked().Listen:
		return gatehouse.Errorf(gatehouse.Revoked, "the inbox of endpoint %q is revoked", name)
	}
	return nil
}

func (v *view) endpointStands(a *Attempt) error {
	if err := v.partyStands(a.Account, a.Endpoint, a.Need); err != nil {
		return err
	}
	if err := v.endpoint.Allows(a.Protocol, !a.TLS); err != nil {
		return err
	}
	return v.restrict.Connect(a.connection(), time.Now())
}

func (a *Attempt) connection() restrict.Connection {
	return restrict.Connection{Protocol: a.Protocol, TLS: a.TLS, Remote: a.Remote.Addr(), Origin: a.Origin}
}

// hoursCheck is how often a session that hours concern is held against them.
const hoursCheck = time.Second

// watchHours has the session end by timer when its hours do.
func (s *Session) watchHours(v *view) {
	if !v.restrict.Timed() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hours != nil {
		return
	}
	s.hours = time.AfterFunc(hoursCheck, func() {
		s.mu.Lock()
		s.hours = nil
		s.mu.Unlock()
		if s.ctx.Err() != nil {
			return
		}
		if err := s.gate.standing(s, nil); err != nil {
			s.end(err)
		}
	})
}

// proofsStand checks that all that the session was opened with still is good.
func (g *Gate) proofsStand(s *Session) error {
	s.mu.Lock()
	proofs := s.proofs
	s.mu.Unlock()
	for i := range proofs {
		if err := g.proofStands(&proofs[i]); err != nil {
			return err
		}
	}
	return nil
}

// proofStands checks that the key an identity was proven with is still one of
// its policy's keys, or the certificate one of its endpoint's. Proofs by other
// means have no Proof.
func (g *Gate) proofStands(id *gatehouse.Identity) error {
	switch {
	case id.Proof == ([16]byte{}):
		return nil
	case id.Policy == gatehouse.PolicyCertificate:
		return g.bindingStands(id)
	}
	var keys auth.KeyPair
	var err error
	endpoint := id.Endpoint
	if isEndpointPolicy(id) {
		keys, err = g.Directory.EndpointKeys(id.Account, id.Endpoint, id.Policy)
	} else {
		endpoint = ""
		var rights gatehouse.Rights
		keys, rights, err = g.Directory.PolicyKeys(id.Account, id.Policy)
		if err == nil && rights == 0 {
			return gatehouse.Errorf(gatehouse.Revoked, "policy %q has no rights any more", id.Policy)
		}
	}
	if err != nil {
		return gatehouse.Errorf(gatehouse.Revoked, "the keys of policy %q are gone", id.Policy)
	}
	for _, key := range [...]string{keys.Primary, keys.Secondary} {
		if key != "" && auth.Proof(id.Account, endpoint, id.Policy, key) == id.Proof {
			return nil
		}
	}
	return gatehouse.Errorf(gatehouse.Revoked, "the key of policy %q that opened this session was rotated out; use the new key", id.Policy)
}

func isEndpointPolicy(id *gatehouse.Identity) bool {
	return id.Endpoint != "" && (id.Policy == gatehouse.PolicySend || id.Policy == gatehouse.PolicyListen)
}

// look returns what the present snapshot says about s.
func (g *Gate) look(s *Session) *view {
	snapshot := g.snapshot.Load()
	old := s.view.Load()
	if old.snapshot == snapshot {
		return old
	}
	v := newView(snapshot, s.attempt.Account, s.attempt.Endpoint, old)
	if v.incarnation() != s.incarnation {
		v.endpoint = nil // its own is gone
	}
	s.view.Store(v)
	return v
}

// newView looks a party up. old, if not nil, is a former view of it.
func newView(snapshot *directory.Snapshot, account gatehouse.AccountName, endpoint gatehouse.EndpointName, old *view) *view {
	v := &view{snapshot: snapshot, account: snapshot.Account(account)}
	if v.account == nil {
		return v
	}
	v.routes, v.limits = v.account.Routes(), v.account.Restrictions()
	if endpoint != "" {
		v.endpoint = v.account.Endpoint(endpoint)
	}
	if v.endpoint != nil {
		v.plan(old)
	}
	return v
}

// plan finds the rules that concern the endpoint, unless neither they nor the
// endpoint have changed.
func (v *view) plan(old *view) {
	if old != nil && old.endpoint == v.endpoint && old.routes == v.routes && old.limits == v.limits {
		v.route, v.restrict = old.route, old.restrict
		return
	}
	v.route = v.routes.Plan(v.endpoint.Party())
	v.restrict = v.limits.Plan(v.endpoint.Party())
}

// incarnation is that of the view's endpoint; zero without one.
func (v *view) incarnation() uint32 {
	if v.endpoint == nil {
		return 0
	}
	return v.endpoint.Incarnation()
}

// end ends the session; only the first call has an effect.
func (s *Session) end(cause error) {
	if s.ctx.Err() != nil {
		return
	}
	s.cancel(cause)
	s.mu.Lock()
	for _, t := range [...]*time.Timer{s.expiry, s.hours} {
		if t != nil {
			t.Stop()
		}
	}
	first := s.limits != nil && !s.released
	s.released = true
	after := s.after
	s.after = nil
	s.mu.Unlock()
	if after != nil {
		go after()
	}
	if !first {
		return
	}
	s.gate.sessions.remove(s)
	s.gate.limits.release(s.limits)
	if f := s.gate.Events.Closed; f != nil {
		f(s.attempt.Protocol)
	}
}

// errClosed is the cause of a session that its adapter closed.
var errClosed = gatehouse.Errorf(gatehouse.Unavailable, "the session is closed")

// Close ends the session. Messages submitted before still get their receipts;
// locks on deliveries stay until they expire or are settled by another
// session.
func (s *Session) Close() { s.end(errClosed) }

// End ends the session with a reason its client is told, for administration.
func (s *Session) End(reason string) {
	s.end(gatehouse.Errorf(gatehouse.Unavailable, "an administrator ended the session: %s", reason))
}

// Done is closed when the session has ended; Err says why.
func (s *Session) Done() <-chan struct{} { return s.ctx.Done() }

// AfterDone has f called, in a goroutine of its own, once the session has
// ended. The function it returns keeps f from being called, and reports whether
// it did: see context.AfterFunc.
func (s *Session) AfterDone(f func()) (stop func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.after != nil || s.ctx.Err() != nil {
		return context.AfterFunc(s.ctx, f)
	}
	s.after = f // the first, which is mostly the only one, costs little
	return s.notAfter
}

// notAfter withdraws the first function of AfterDone.
func (s *Session) notAfter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.after != nil
	s.after = nil
	return kept
}

// Err returns nil while the session is open, and why it ended after that.
func (s *Session) Err() error { return context.Cause(s.ctx) }

// Identity returns who the session belongs to.
func (s *Session) Identity() gatehouse.Identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ident
}

// Incarnation returns which of those that have had its name the session's
// endpoint is: see directory.Endpoint.Incarnation.
func (s *Session) Incarnation() uint32 { return s.incarnation }

// Info describes an open session to an administrator.
type Info struct {
	ID       string                 `json:"id"`
	Endpoint gatehouse.EndpointName `json:"endpoint,omitempty"`
	Channel  gatehouse.ChannelName  `json:"channel,omitempty"`
	Policy   gatehouse.PolicyName   `json:"policy"`
	Protocol string                 `json:"protocol"`
	TLS      bool                   `json:"tls"`
	Remote   string                 `json:"remote"`
	Since    time.Time              `json:"since"`
	Rights   string                 `json:"rights"`
}

// Info returns who is connected, how and since when.
func (s *Session) Info() Info {
	id := s.Identity()
	var rights []string
	for _, r := range []struct {
		bit  gatehouse.Rights
		name string
	}{{gatehouse.RightSend, "send"}, {gatehouse.RightListen, "listen"}, {gatehouse.RightManage, "manage"}, {gatehouse.RightChannels, "channels"}} {
		if id.Rights.Has(r.bit) {
			rights = append(rights, r.name)
		}
	}
	return Info{
		ID: s.id.String(), Endpoint: id.Endpoint, Channel: s.attempt.Channel, Policy: id.Policy, Protocol: s.attempt.Protocol,
		TLS: s.attempt.TLS, Remote: s.attempt.Remote.String(), Since: s.opened, Rights: strings.Join(rights, ","),
	}
}
