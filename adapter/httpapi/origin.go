package httpapi

import (
	"net/http"
	"strings"
)

// preflightAge is how long a browser may keep the answer to a preflight.
const preflightAge = "600"

// preflight answers OPTIONS. A browser asks without credentials whether a page
// may make a request: it may if the restrictions on the endpoint state the
// page's origin. What exists it does not learn.
func preflight(w http.ResponseWriter, r *http.Request, op operation, origin string, let bool) {
	h := w.Header()
	h.Set("Allow", allowed[op])
	if origin != "" {
		h.Set("Vary", "Origin, Access-Control-Request-Headers")
	}
	if let {
		allowOrigin(h, origin)
		h.Set("Access-Control-Allow-Methods", strings.TrimSuffix(allowed[op], ", OPTIONS"))
		h.Set("Access-Control-Max-Age", preflightAge)
		if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
			h.Set("Access-Control-Allow-Headers", asked)
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// exposeTo lets a page read the answer, be it a refusal.
func exposeTo(h http.Header, origin string) {
	allowOrigin(h, origin)
	h.Set("Access-Control-Expose-Headers", "*")
	h.Set("Vary", "Origin")
}

// allowOrigin lets a page of an origin in, with what the browser adds to its
// requests by itself: clients of SignalR ask for that.
func allowOrigin(h http.Header, origin string) {
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
}
