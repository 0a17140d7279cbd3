// Package client talks to the administration API of a gateway, as described by
// its /api/openapi.json. It is what the command line is made of.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/problem"
)

// A Client sends requests to one gateway. It is safe for concurrent use.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// New returns a client of the admin listener at base, "http://127.0.0.1:7070",
// that shows the operator's token.
func New(base, token string) *Client {
	return &Client{base: strings.TrimSuffix(base, "/"), token: token, http: &http.Client{Timeout: 5 * time.Minute}}
}

// Close ends the connections that are kept open.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Path joins segments to a path below /api/v1, escaping each.
func Path(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	return b.String()
}

// Do sends in, as JSON unless it is an io.Reader or nil, and reads the answer
// into out, unless that is nil; an io.Writer gets it as it is. An error is of
// the kind that the gateway told, and Unavailable if it cannot be reached; its
// cause is the directory.Problems with what was sent, if there are any.
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, in, out any) error {
	body, err := bodyOf(in)
	if err != nil {
		return err
	}
	at := c.base + "/api/v1" + path
	if len(query) > 0 {
		at += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, at, body)
	if err != nil {
		return gatehouse.Errorf(gatehouse.Invalid, "%q is not the address of an admin listener: %w", c.base, err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	w, err := c.http.Do(r)
	if err != nil {
		return gatehouse.Errorf(gatehouse.Unavailable, "no gateway answers at %s: %w; is it running, and is this its admin address?", c.base, err)
	}
	defer w.Body.Close()
	if w.StatusCode >= http.StatusBadRequest {
		return errorOf(w)
	}
	return read(w.Body, out)
}

func bodyOf(in any) (io.Reader, error) {
	switch in := in.(type) {
	case nil:
		return nil, nil
	case io.Reader:
		return in, nil
	}
	b, err := json.Marshal(in)
	return bytes.NewReader(b), err
}

func read(from io.Reader, out any) error {
	switch out := out.(type) {
	case nil:
		_, err := io.Copy(io.Discard, from)
		return err
	case io.Writer:
		_, err := io.Copy(out, from)
		return err
	}
	return json.NewDecoder(from).Decode(out)
}

// maxProblem bounds what is read of an error.
const maxProblem = 1 << 20

func errorOf(w *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(w.Body, maxProblem)) // what came is all there is to tell
	var p struct {
		problem.Problem
		Problems directory.Problems
		Errors   []struct{ Message, Location string }
	}
	if err := json.Unmarshal(body, &p); err != nil || p.Status == 0 {
		return gatehouse.Errorf(gatehouse.Internal, "%s answered %s: %.200s", w.Request.URL.Host, w.Status, body)
	}
	if p.Kind == "" { // the request did not get as far as the gateway's own code
		p.Kind = gatehouse.Invalid.String()
		for _, e := range p.Errors {
			p.Detail += "; " + e.Location + ": " + e.Message
		}
	}
	if err := p.Err(); len(p.Problems) > 0 {
		return gatehouse.Wrap(gatehouse.KindOf(err), p.Problems, err.Error())
	}
	return p.Err()
}
