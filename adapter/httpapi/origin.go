package httpapi

import (
	"net/http"
	"strings"

	"github.com/gatehouse/gatehouse/restrict"
)

// preflightAge is how long a browser may keep the answer to a preflight.
const preflightAge = "600"

// preflight answers OPTIONS. A browser asks without credentials whether a page
// may make a request: it may if the restrictions on the endpoint state the
// page's origin. What exists it does not learn.
func preflight(w http.ResponseWriter, r *http.Request, op operation, origin string, access restrict.Access) {
	h := w.Header()
	h.Set("Allow", allowed[op])
	if origin != "" {
		h.Set("Vary", "Origin, Access-Control-Request-Headers")
	}
	if access != restrict.NoAccess {
		allowOrigin(h, origin, access)
		h.Set("Access-Control-Allow-Methods", strings.TrimSuffix(allowed[op], ", OPTIONS"))
		h.Set("Access-Control-Max-Age", preflightAge)
		if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
			h.Set("Access-Control-Allow-Headers", asked)
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// exposeTo lets a page read the answer, be it a refusal.
func exposeTo(h http.Header, origin string, access restrict.Access) {
	allowOrigin(h, origin, access)
	h.Set("Access-Control-Expose-Headers", "*")
	h.Set("Vary", "Origin")
}

// allowOrigin lets a page of an origin in. A request may bring what the browser
// adds by itself, such as a client certificate, if a restriction names the
// origin; where pages of all origins are let in it may not.
func allowOrigin(h http.Header, origin string, access restrict.Access) {
	h.Set("Access-Control-Allow-Origin", origin)
	if access == restrict.NamedAccess {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
}
