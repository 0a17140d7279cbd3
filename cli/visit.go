package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/admin/client"
	"github.com/gatehouse/gatehouse/problem"
	"github.com/gatehouse/gatehouse/sas"
)

// A visit is a client of the gateway's HTTPS listener for one endpoint.
type visit struct {
	door  *door
	path  string // /ACCOUNT/publishers/NAME
	token string
}

// visit goes to one side of an endpoint, as the endpoint, with a token.
func (g *Globals) visit(ctx context.Context, p Party, side string) (*visit, error) {
	a, err := g.client()
	if err != nil {
		return nil, err
	}
	defer a.Close()
	d, err := a.door(ctx)
	if err != nil {
		return nil, err
	}
	address, policy := []string{p.Account, side, p.Name}, own(side)
	key, err := a.keyOf(ctx, address, policy)
	if err != nil {
		return nil, err
	}
	const good = 12 * time.Hour
	return &visit{door: d, path: client.Path(address...), token: sas.Sign(strings.Join(address, "/"), policy, key, time.Now().Add(good))}, nil
}

func (v *visit) close() { v.door.http.CloseIdleConnections() }

// do makes a request below the endpoint's address.
func (v *visit) do(ctx context.Context, method, below string, h http.Header, body []byte, out *json.RawMessage) (*http.Response, error) {
	return v.send(ctx, method, v.path+below, h, body, out)
}

func (v *visit) send(ctx context.Context, method, path string, h http.Header, body []byte, out *json.RawMessage) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, v.door.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range h {
		r.Header[name] = values
	}
	r.Header.Set("Authorization", v.token)
	w, err := v.door.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, gatehouse.Errorf(gatehouse.Unavailable, "the gateway cannot be reached: %w", err)
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		return nil, err
	}
	if w.StatusCode >= http.StatusBadRequest {
		var p problem.Problem
		if err := json.Unmarshal(text, &p); err != nil {
			return nil, gatehouse.Errorf(gatehouse.Internal, "%s: %.200s", w.Status, text)
		}
		return nil, p.Err()
	}
	if out != nil {
		*out = text
	}
	return w, nil
}
