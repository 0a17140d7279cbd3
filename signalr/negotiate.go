package signalr

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// negotiated is the answer to a negotiation.
type negotiated struct {
	Version    int         `json:"negotiateVersion"`
	ID         string      `json:"connectionId,omitempty"`
	Token      string      `json:"connectionToken,omitempty"`
	Transports []transport `json:"availableTransports,omitempty"`
	Stateful   bool        `json:"useStatefulReconnect,omitempty"`
	Error      string      `json:"error,omitempty"`
}

// transport is one of those offered, with the formats it can carry.
type transport struct {
	Transport Transport `json:"transport"`
	Formats   []string  `json:"transferFormats"`
}

// transports returns what is offered, the preferred one first.
func (o *Options) transports() (all []transport) {
	if !o.WithoutWebSockets {
		all = append(all, transport{WebSockets, []string{"Text", "Binary"}})
	}
	if !o.WithoutServerSentEvents {
		all = append(all, transport{ServerSentEvents, []string{"Text"}})
	}
	if !o.WithoutLongPolling {
		all = append(all, transport{LongPolling, []string{"Text", "Binary"}})
	}
	return all
}

// negotiate begins a connection and names the transports. Versions 0 (where the
// public name is the secret too) and 1 are spoken.
func (s *Server) negotiate(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "negotiation is by POST")
		return
	}
	version := 0
	if asked := query(r, "negotiateVersion"); asked != "" {
		n, err := strconv.Atoi(asked)
		if err != nil || n < 0 {
			answer(w, negotiated{Error: "negotiateVersion must be an integer of 0 or more"})
			return
		}
		version = min(n, 1)
	}
	c := s.begin(w, r)
	if c == nil {
		return
	}
	a := negotiated{Version: version, ID: c.id, Token: c.token, Transports: s.options.transports()}
	if version == 0 {
		a.ID, a.Token = c.token, ""
	}
	if query(r, "useStatefulReconnect") == "true" && s.options.Resume > 0 && !s.options.WithoutWebSockets {
		a.Stateful = true
		c.mu.Lock()
		c.mayResume = true
		c.mu.Unlock()
	}
	answer(w, a)
}

// answer writes the answer to a negotiation.
func answer(w http.ResponseWriter, a negotiated) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(a) // who is gone lets its token expire
}
