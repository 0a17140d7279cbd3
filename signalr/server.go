package signalr

import (
	"context"
	"net/http"
)

// A Server serves the connections of one Hub.
type Server struct {
	hub     Hub
	options Options
}

// NewServer returns a Server.
func NewServer(hub Hub, options Options) *Server {
	return &Server{hub: hub, options: options.withDefaults()}
}

// ServeHTTP serves a request of any transport, a negotiation, or a preflight.
// It returns once a WebSocket is established, which then belongs to the Server.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	http.Error(w, "not yet", http.StatusNotImplemented)
}

// Close refuses new connections, tells clients to connect anew, and waits until
// what was to be sent to them has been sent and Hub.Closed has returned for all,
// or until ctx is done: then it cuts off the rest and returns the error of ctx.
func (s *Server) Close(ctx context.Context) error { return ctx.Err() }

// Len returns how many connections there are, those that have negotiated and
// not come yet included.
func (s *Server) Len() int { return 0 }
