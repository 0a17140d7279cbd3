package signalr

import (
	"net/http"
	"net/url"
	"strings"
)

// sameOrigin reports whether an origin is the host of the request itself.
func sameOrigin(r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}
