package web

import (
	"encoding/json"
	"log/slog"
	"math"
	"net/http"
	"strconv"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/problem"
)

// refuse answers a request with an error. A connection on which a proof was
// wrong is closed.
func (v *serving) refuse(w http.ResponseWriter, err error) {
	p := v.tell(err)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Type", problem.ContentType)
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter))))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("Connection", "close")
		h["Www-Authenticate"] = []string{`SharedAccessSignature`, `Bearer`}
	}
	w.WriteHeader(p.Status)
	body, _ := json.Marshal(p) // strings and numbers: cannot fail
	_, _ = w.Write(body)       // the client may be gone
}

// tell describes err as the client may know it. What is internal gets a name
// of its own instead of its text, and is logged under that.
func (v *serving) tell(err error) problem.Problem {
	p := problem.New(err)
	if p.Name() { // those who speak by hand are not shown the instance
		p.Detail = "the gateway failed; its log tells why under " + p.Instance
		v.options.Logger.Error("an operation failed", slog.String("protocol", v.protocol), slog.String("instance", p.Instance), slog.Any("error", err))
	}
	return p
}

// refuseMethod answers a request whose method the address does not take.
func (v *serving) refuseMethod(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	p := v.tell(gatehouse.Errorf(gatehouse.Invalid, "this address does not take %.16s; it takes %s", r.Method, allow))
	w.Header().Set("Content-Type", problem.ContentType)
	w.WriteHeader(http.StatusMethodNotAllowed)
	p.Title, p.Status = "Method not allowed", http.StatusMethodNotAllowed
	body, _ := json.Marshal(p) // strings and numbers: cannot fail
	_, _ = w.Write(body)       // the client may be gone
}
