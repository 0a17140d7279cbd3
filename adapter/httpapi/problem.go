package httpapi

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse/gatehouse"

	"github.com/google/uuid"
)

// An answer is what HTTP says for one kind of error.
type answer struct {
	status int
	title  string
}

// answers is the one table from kinds to HTTP. Where Azure has a status for
// the same case it is Azure's: 403 for a quota, 404 for a lock that is gone.
var answers = map[gatehouse.Kind]answer{
	gatehouse.Internal:        {http.StatusInternalServerError, "Internal error"},
	gatehouse.Invalid:         {http.StatusBadRequest, "Invalid request"},
	gatehouse.Unauthenticated: {http.StatusUnauthorized, "Not authenticated"},
	gatehouse.Expired:         {http.StatusUnauthorized, "Credentials expired"},
	gatehouse.Revoked:         {http.StatusUnauthorized, "Revoked"},
	gatehouse.Forbidden:       {http.StatusForbidden, "Forbidden"},
	gatehouse.Restricted:      {http.StatusForbidden, "Refused by a restriction"},
	gatehouse.TooLarge:        {http.StatusRequestEntityTooLarge, "Too large"},
	gatehouse.RateLimited:     {http.StatusTooManyRequests, "Too fast"},
	gatehouse.QuotaExceeded:   {http.StatusForbidden, "Quota exceeded"},
	gatehouse.NotFound:        {http.StatusNotFound, "Not found"},
	gatehouse.Conflict:        {http.StatusConflict, "Conflict"},
	gatehouse.LockLost:        {http.StatusNotFound, "Lock lost"},
	gatehouse.Unavailable:     {http.StatusServiceUnavailable, "Unavailable"},
}

// problemType is the prefix of the type URI of a problem; the kind follows.
const problemType = "urn:gatehouse:problem:"

// A problem is the body of an error, by RFC 9457.
type problem struct {
	Type       string  `json:"type"`
	Title      string  `json:"title"`
	Status     int     `json:"status"`
	Detail     string  `json:"detail,omitempty"`
	Instance   string  `json:"instance,omitempty"` // names an internal error in the log
	Kind       string  `json:"kind"`
	Rule       string  `json:"rule,omitempty"`
	RetryAfter float64 `json:"retryAfter,omitempty"` // seconds
	// Accepted lists the messages of a batch, counted from 1, that were
	// stored before storing the others failed.
	Accepted []int `json:"accepted,omitempty"`
}

// defaultRetry is what RateLimited and Unavailable suggest if the error does
// not say.
const defaultRetry = time.Second

// newProblem describes err as the caller may know it. What is internal gets a
// name of its own instead of its text, and is logged under that.
func newProblem(log *slog.Logger, r *http.Request, err error) *problem {
	kind := gatehouse.KindOf(err)
	a, ok := answers[kind]
	if !ok {
		kind, a = gatehouse.Internal, answers[gatehouse.Internal]
	}
	p := &problem{Type: problemType + kind.String(), Title: a.title, Status: a.status, Kind: kind.String()}
	if kind == gatehouse.Internal {
		p.Instance = "urn:uuid:" + uuid.NewString()
		p.Detail = "the gateway failed; its log tells why under this instance"
		log.ErrorContext(r.Context(), "request failed", "instance", p.Instance, "method", r.Method, "path", r.URL.Path, "error", err)
		return p
	}
	p.Detail = err.Error()
	var retry time.Duration
	if e, ok := errors.AsType[*gatehouse.Error](err); ok {
		p.Rule, retry = e.Rule, e.RetryAfter
	}
	if kind == gatehouse.Revoked {
		p.Detail = "com.microsoft:publisher-revoked: " + p.Detail // the words Azure's clients look for
	}
	if retry <= 0 && (kind == gatehouse.RateLimited || kind == gatehouse.Unavailable) {
		retry = defaultRetry
	}
	p.RetryAfter = retry.Seconds()
	return p
}

// write sends the problem as JSON, or as Azure's XML if the client asks for XML.
func (p *problem) write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter))))
	}
	if p.Status == http.StatusUnauthorized {
		h["Www-Authenticate"] = []string{`SharedAccessSignature`, `Bearer`, `Basic realm="gatehouse", charset="UTF-8"`}
	}
	var body []byte
	if accepts(r.Header, "application/xml", "text/xml", "application/atom+xml") && !accepts(r.Header, "application/json", "application/problem+json") {
		h.Set(headerContentType, "application/xml; charset=utf-8")
		body = p.xml()
	} else {
		h.Set(headerContentType, "application/problem+json")
		body, _ = json.Marshal(p) // strings and numbers: cannot fail
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // the client may be gone
}

// xml returns the error as Azure writes it.
func (p *problem) xml() []byte {
	detail := p.Detail
	if p.Instance != "" {
		detail += " TrackingId:" + p.Instance
	}
	body, _ := xml.Marshal(struct { // strings and numbers: cannot fail
		XMLName xml.Name `xml:"Error"`
		Code    int
		Detail  string
	}{Code: p.Status, Detail: p.Kind + ": " + detail})
	return body
}
