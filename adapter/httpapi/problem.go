package httpapi

import (
	"encoding/json"
	"encoding/xml"
	"log/slog"
	"math"
	"net/http"
	"strconv"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/problem"
)

// An answer is the body of an error.
type answer struct {
	problem.Problem
	// Accepted lists the messages of a batch, counted from 1, that were
	// stored before storing the others failed.
	Accepted []int `json:"accepted,omitempty"`
}

// newProblem describes err as the caller may know it. What is internal gets a
// name of its own instead of its text, and is logged under that.
func newProblem(log *slog.Logger, r *http.Request, err error) *answer {
	p := &answer{Problem: problem.New(err)}
	switch {
	case p.Name():
		log.ErrorContext(r.Context(), "request failed", "instance", p.Instance, "method", r.Method, "path", r.URL.Path, "error", err)
	case p.Kind == gatehouse.Revoked.String():
		p.Detail = "com.microsoft:publisher-revoked: " + p.Detail // the words Azure's clients look for
	}
	return p
}

// write sends the problem as JSON, or as Azure's XML if the client asks for XML.
func (p *answer) write(w http.ResponseWriter, r *http.Request) {
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
		h.Set(headerContentType, problem.ContentType)
		body, _ = json.Marshal(p) // strings and numbers: cannot fail
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // the client may be gone
}

// xml returns the error as Azure writes it.
func (p *answer) xml() []byte {
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
