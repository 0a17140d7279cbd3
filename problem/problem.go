// Package problem says in HTTP's words what went wrong, by RFC 9457: the one
// table from kinds of errors to statuses, for everything in Gatehouse that
// answers HTTP requests.
package problem

import (
	"errors"
	"net/http"
	"time"

	"github.com/gatehouse/gatehouse"

	"github.com/google/uuid"
)

// ContentType is the media type of a Problem in JSON.
const ContentType = "application/problem+json"

// typePrefix is the prefix of the type URI of a problem; the kind follows.
const typePrefix = "urn:gatehouse:problem:"

// DefaultRetry is what RateLimited and Unavailable suggest if the error does
// not say.
const DefaultRetry = time.Second

// A status is what HTTP says for one kind of error.
type status struct {
	code  int
	title string
}

// statuses is the table. Where Azure has a status for the same case it is
// Azure's: 403 for a quota, 404 for a lock that is gone.
var statuses = map[gatehouse.Kind]status{
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

// A Problem is the body of an error.
type Problem struct {
	Type       string  `json:"type"`
	Title      string  `json:"title"`
	Status     int     `json:"status"`
	Detail     string  `json:"detail,omitempty"`
	Instance   string  `json:"instance,omitempty"` // names an internal error in the log
	Kind       string  `json:"kind"`
	Rule       string  `json:"rule,omitempty"`
	RetryAfter float64 `json:"retryAfter,omitempty"` // seconds
}

// Name gives an internal error a name of its own in place of its text, under
// which the log is to tell what it was. It reports whether p is one.
func (p *Problem) Name() bool {
	if p.Kind != gatehouse.Internal.String() {
		return false
	}
	p.Instance = "urn:uuid:" + uuid.NewString()
	p.Detail = "the gateway failed; its log tells why under this instance"
	return true
}

// New describes err. The text of an internal error is not in it.
func New(err error) Problem {
	kind := gatehouse.KindOf(err)
	s, ok := statuses[kind]
	if !ok {
		kind, s = gatehouse.Internal, statuses[gatehouse.Internal]
	}
	p := Problem{Type: typePrefix + kind.String(), Title: s.title, Status: s.code, Kind: kind.String()}
	if kind == gatehouse.Internal {
		return p
	}
	p.Detail = err.Error()
	var retry time.Duration
	if e, ok := errors.AsType[*gatehouse.Error](err); ok {
		p.Rule, retry = e.Rule, e.RetryAfter
	}
	if retry <= 0 && (kind == gatehouse.RateLimited || kind == gatehouse.Unavailable) {
		retry = DefaultRetry
	}
	p.RetryAfter = retry.Seconds()
	return p
}

// Err turns a problem that was received back into an error.
func (p *Problem) Err() error {
	e := &gatehouse.Error{Kind: gatehouse.Internal, Rule: p.Rule, Text: p.Detail, RetryAfter: time.Duration(p.RetryAfter * float64(time.Second))}
	for _, k := range gatehouse.Kinds() {
		if k.String() == p.Kind {
			e.Kind = k
		}
	}
	if e.Text == "" {
		e.Text = p.Title
	}
	if p.Instance != "" {
		e.Text += " (" + p.Instance + ")"
	}
	return e
}
