package web

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/gate"
)

// A serving is the clients of one door of one listener.
type serving struct {
	options  *Options
	protocol string
	at       *gate.Gate
	ctx      context.Context // ends what is left once the drain time is over
	cut      context.CancelFunc
	conns    *adapter.Connections[*session]

	mu       sync.Mutex
	sessions map[string]*session // by the id of the connection
	named    map[string]*session // by party and name
	empty    chan struct{}       // made by stopSessions, after which none enters; closed once there are no sessions
}

func newServing(a *Adapter, g *gate.Gate, protocol string) *serving {
	s := &serving{options: &a.options, protocol: protocol, at: g, sessions: make(map[string]*session), named: make(map[string]*session)}
	s.conns = adapter.NewConnections[*session](a.options.Connections, a.options.Logger.With("protocol", protocol))
	s.ctx, s.cut = context.WithCancel(context.Background())
	return s
}

var errFull = gatehouse.Errorf(gatehouse.Unavailable, "the gateway has as many connections as it may, or is stopping; try again shortly")

// admit takes a connection in if there is room, which then must leave.
func (v *serving) admit() error {
	if !v.conns.Admit() {
		return errFull
	}
	return nil
}

func (v *serving) leave() { v.conns.Leave() }

// enter adds a session to those that are told to stop; false if that has
// happened already.
func (v *serving) enter(s *session) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.empty != nil {
		return false
	}
	v.sessions[s.id] = s
	return true
}

func (v *serving) exit(s *session) {
	key := s.key()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.sessions[s.id] == s {
		delete(v.sessions, s.id)
		if v.empty != nil && len(v.sessions) == 0 {
			close(v.empty)
		}
	}
	if v.named[key] == s {
		delete(v.named, key)
	}
}

// key is that of the session's name.
func (s *session) key() string {
	id := s.gate.Identity()
	return gatehouse.Fold(id.Account) + "/" + gatehouse.Fold(id.Endpoint) + "/" + s.name
}

var errTakenOver = gatehouse.Errorf(gatehouse.Conflict, "another connection came under this client's name")

// take ends the session that has the name of s, and waits until what its client
// held is back. s has the name from now on.
func (v *serving) take(s *session) {
	if s.name == "" {
		return
	}
	key := s.key()
	v.mu.Lock()
	old := v.named[key]
	v.named[key] = s
	v.mu.Unlock()
	if old != nil {
		old.finish(errTakenOver)
		<-old.over
	}
}

// find returns the session of a connection, if it is of that endpoint.
func (v *serving) find(id string, a gatehouse.AccountName, e gatehouse.EndpointName) *session {
	v.mu.Lock()
	s := v.sessions[id]
	v.mu.Unlock()
	if s == nil {
		return nil
	}
	of := s.gate.Identity()
	if gatehouse.Fold(of.Account) != gatehouse.Fold(a) || gatehouse.Fold(of.Endpoint) != gatehouse.Fold(e) {
		return nil
	}
	return s
}

// stop ends the sessions and returns when all connections are gone.
func (v *serving) stop() {
	deadline := time.Now().Add(v.options.Drain)
	v.stopSessions(deadline)
	cut := time.AfterFunc(max(time.Until(deadline), minClosing), v.cut)
	v.conns.Wait()
	cut.Stop()
	v.cut()
}

// minClosing is how long a connection may take to close at least.
const minClosing = time.Second

// stopSessions takes no more sessions, and ends those there are: as soon as
// nothing of theirs is on its way, but by the deadline.
func (v *serving) stopSessions(deadline time.Time) {
	v.conns.Stop()
	empty := make(chan struct{})
	v.mu.Lock()
	v.empty = empty
	if len(v.sessions) == 0 {
		close(empty)
	}
	v.mu.Unlock()
	for _, s := range v.all() {
		s.stop()
	}
	late := time.NewTimer(time.Until(deadline))
	defer late.Stop()
	select {
	case <-empty:
		return
	case <-late.C:
	}
	for _, s := range v.all() {
		s.finish(errStopping)
	}
}

func (v *serving) all() []*session {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Collect(maps.Values(v.sessions))
}

// open opens a session for a client that sends a request. The session is to be
// started once it has its door, or finished.
func (v *serving) open(r *http.Request, wants gatehouse.Rights) (*session, error) {
	shown, err := credentials(r)
	if err != nil {
		return nil, err
	}
	query := r.URL.Query()
	name := query.Get("client")
	if name != "" {
		if err := gatehouse.CheckName(name); err != nil {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "client: %w", err)
		}
	}
	window, err := windowOf(query.Get("window"), v.options.Window)
	if err != nil {
		return nil, err
	}
	g, err := v.at.Open(context.WithoutCancel(r.Context()), v.attempt(r, wants, shown))
	if err != nil {
		return nil, err
	}
	var id [12]byte
	_, _ = rand.Read(id[:]) // never fails
	return &session{
		serving: v, gate: g, id: hex.EncodeToString(id[:]), dead: query.Get("deadLetters") == "true", name: name, asked: window,
		over: make(chan struct{}), told: make(chan struct{}),
	}, nil
}

// maxWindow is how many deliveries a client may ask to hold.
const maxWindow = 1024

// windowOf returns how many deliveries a client wants to hold.
func windowOf(text string, usual int) (int, error) {
	if text == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxWindow {
		return 0, gatehouse.Errorf(gatehouse.Invalid, "window is %.32q; it is a number from 0 to %d", text, maxWindow)
	}
	return n, nil
}

// attempt describes the client to the gate.
func (v *serving) attempt(r *http.Request, wants gatehouse.Rights, shown []auth.Credentials) gate.Attempt {
	return gate.Attempt{
		Account: gatehouse.AccountName(r.PathValue("account")), Endpoint: gatehouse.EndpointName(r.PathValue("endpoint")),
		Want: wants, Credentials: shown, Protocol: v.protocol, TLS: r.TLS != nil, Remote: adapter.RemoteOfRequest(r), Origin: r.Header.Get("Origin"),
	}
}

// credentials returns what a request shows as proof: its Authorization header,
// or the parameter access_token for browsers, which cannot set one everywhere;
// and the certificate of its connection.
func credentials(r *http.Request) ([]auth.Credentials, error) {
	var shown []auth.Credentials
	if header := r.Header.Get("Authorization"); header != "" {
		var err error
		if shown, err = auth.FromAuthorization(header); err != nil {
			return nil, err
		}
	}
	shown = append(shown, auth.FromToken(r.URL.Query().Get("access_token"))...)
	if c, ok := auth.FromTLS(r.TLS); ok {
		shown = append(shown, c)
	}
	return shown, nil
}
