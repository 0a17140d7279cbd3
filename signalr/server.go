package signalr

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"sync"
)

// A Server serves the connections of one Hub.
type Server struct {
	hub     Hub
	options Options

	mu      sync.Mutex
	conns   map[string]*Conn // by token
	closing bool
	empty   chan struct{} // made by Close; closed when there are no connections
}

// NewServer returns a Server.
func NewServer(hub Hub, options Options) *Server {
	return &Server{hub: hub, options: options.withDefaults(), conns: map[string]*Conn{}}
}

// ServeHTTP serves a request of any transport, a negotiation, or a preflight.
// It returns once a WebSocket is established, which then belongs to the Server.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.admit(w, r) {
		return
	}
	if strings.HasSuffix(r.URL.Path, "/negotiate") {
		s.negotiate(w, r)
		return
	}
	switch r.Method {
	case http.MethodGet:
		s.get(w, r)
	case http.MethodPost:
		s.post(w, r)
	case http.MethodDelete:
		s.drop(w, r)
	default:
		w.Header().Set("Allow", "GET, POST, DELETE")
		refuse(w, http.StatusMethodNotAllowed, "the methods are GET, POST and DELETE")
	}
}

// get begins or continues a transport.
func (s *Server) get(w http.ResponseWriter, r *http.Request) {
	upgrade := strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
	events := strings.Contains(strings.ToLower(r.Header.Get("Accept")), "text/event-stream")
	o := &s.options
	if upgrade && o.WithoutWebSockets || !upgrade && events && o.WithoutServerSentEvents || !upgrade && !events && o.WithoutLongPolling {
		refuse(w, http.StatusNotFound, "this transport is switched off")
		return
	}
	if r.ContentLength != 0 { // it could hold a request for ever that may last long
		refuse(w, http.StatusBadRequest, "this request has no body")
		return
	}
	c := s.connOf(w, r, upgrade)
	switch {
	case c == nil:
	case upgrade:
		c.serveWebSocket(w, r)
	case events:
		c.serveEvents(w, r)
	default:
		c.servePoll(w, r)
	}
}

// connOf returns the connection a request belongs to, with the hub's consent;
// nil if the request has been refused. A WebSocket may come without one, which
// begins it.
func (s *Server) connOf(w http.ResponseWriter, r *http.Request, upgrade bool) *Conn {
	token := query(r, "id")
	if token == "" {
		if upgrade {
			return s.begin(w, r)
		}
		refuse(w, http.StatusBadRequest, "the request names no connection: id is missing")
		return nil
	}
	s.mu.Lock()
	c := s.conns[token]
	s.mu.Unlock()
	if c == nil {
		refuse(w, http.StatusNotFound, "there is no such connection")
		return nil
	}
	if err := s.hub.Continue(c, r); err != nil {
		refuseFor(w, err)
		return nil
	}
	return c
}

// begin makes a connection, with the hub's consent; nil if the request has been
// refused.
func (s *Server) begin(w http.ResponseWriter, r *http.Request) *Conn {
	owner, err := s.hub.Open(r)
	if err != nil {
		refuseFor(w, err)
		return nil
	}
	c := newConn(s, owner)
	s.mu.Lock()
	closing, full := s.closing, len(s.conns) >= s.options.MaxConnections
	if !closing && !full {
		s.conns[c.token] = c
	}
	s.mu.Unlock()
	if closing || full {
		c.end(ErrClosed, nil)
		refuse(w, http.StatusServiceUnavailable, "no more connections are taken now")
		return nil
	}
	c.start()
	return c
}

// remove forgets a connection that is over in every respect.
func (s *Server) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c.token)
	if s.closing && len(s.conns) == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

// Len returns how many connections there are, those that have negotiated and
// not come yet included.
func (s *Server) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// all returns all connections.
func (s *Server) all() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*Conn, 0, len(s.conns))
	for _, c := range s.conns {
		all = append(all, c)
	}
	return all
}

// Close refuses new connections, tells clients to connect anew, and waits until
// what was to be sent to them has been sent and Hub.Closed has returned for all,
// or until ctx is done: then it cuts off the rest and returns the error of ctx.
// It is called once.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	empty := make(chan struct{})
	if len(s.conns) == 0 {
		close(empty)
	} else {
		s.empty = empty
	}
	s.mu.Unlock()
	for _, c := range s.all() {
		c.Close("", true)
	}
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
	}
	for _, c := range s.all() {
		c.abandon()
	}
	return ctx.Err()
}

// query returns a parameter of a request's query, whose name is compared
// without case.
func query(r *http.Request, name string) string {
	for key, values := range r.URL.Query() {
		if strings.EqualFold(key, name) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

// secret returns n random bytes in base64url: clients put it into addresses as
// it is.
func secret(n int) string {
	b := make([]byte, n)
	rand.Read(b) //nolint:errcheck // it never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// refuse answers a request with an error.
func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // who is gone needs no answer
}

// refuseFor answers a request that the hub refuses.
func refuseFor(w http.ResponseWriter, err error) {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		refuse(w, refusal.Status, refusal.Text)
		return
	}
	refuse(w, http.StatusForbidden, "not allowed")
}
