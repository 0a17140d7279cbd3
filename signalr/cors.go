package signalr

import (
	"net/http"
	"net/url"
	"strings"
)

// clientHeaders are the headers that clients in browsers set.
const clientHeaders = "Authorization, Content-Type, X-Requested-With, X-SignalR-User-Agent"

// sameOrigin reports whether an origin is the host of the request itself.
func sameOrigin(r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

// admit decides on a request by its origin, and answers it if it is refused or
// a preflight: then it returns false.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	if !s.options.Origin(r, origin) {
		refuse(w, http.StatusForbidden, "this origin is not allowed")
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	if r.Method != http.MethodOptions {
		return true
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
	h.Set("Access-Control-Allow-Headers", strings.Join(append([]string{clientHeaders}, s.options.AllowHeaders...), ", "))
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return false
}
