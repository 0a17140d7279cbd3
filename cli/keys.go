package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/gatehouse/gatehouse"
)

// Keys is "gatehouse keys".
type Keys struct {
	Of     KeyOwner `arg:"" name:"account/name" help:"ACCOUNT/ENDPOINT or ACCOUNT/$policies/POLICY."`
	Rotate string   `enum:",send,listen,policy" default:"" placeholder:"WHICH" help:"Replace a key: of the endpoint's send or listen, or of the policy."`
	Key    string   `enum:"primary,secondary" default:"secondary" help:"Which key to replace: primary or secondary."`
}

// Run shows the keys, or what replaced one.
func (c *Keys) Run(ctx context.Context, g *Globals) error {
	if c.Rotate != "" && c.Of.Policy != (c.Rotate == "policy") {
		return gatehouse.Errorf(gatehouse.Invalid, "an endpoint has keys to send and to listen, and a policy only its own: --rotate send|listen, or --rotate policy")
	}
	a, err := g.client()
	if err != nil {
		return err
	}
	defer a.Close()
	verb, in := "reveal", map[string]string(nil)
	if c.Rotate != "" {
		verb, in = "rotate", map[string]string{"key": c.Key}
	}
	if c.Rotate != "" && !c.Of.Policy {
		in["policy"] = c.Rotate
	}
	var body any // nothing, unless something is asked for
	if in != nil {
		body = in
	}
	var keys json.RawMessage
	if err := a.Do(ctx, http.MethodPost, c.Of.path()+"/"+verb, nil, body, &keys); err != nil {
		return err
	}
	if g.Output == "json" {
		return g.print(keys)
	}
	return g.printYAML(keys)
}

// Revoke is "gatehouse revoke".
type Revoke struct {
	Endpoint revocation `cmd:"" help:"Withdraw an endpoint's publisher, inbox or both; its sessions end at once."`
}

// Restore is "gatehouse restore".
type Restore struct {
	Endpoint restoration `cmd:"" help:"Give an endpoint's publisher, inbox or both back."`
}

type sides struct {
	Of     Party `arg:"" name:"account/name" help:"The endpoint."`
	Send   bool  `help:"Only the publisher."`
	Listen bool  `help:"Only the inbox."`
}

type (
	revocation  struct{ sides }
	restoration struct{ sides }
)

// Run revokes.
func (c *revocation) Run(ctx context.Context, g *Globals) error {
	return c.change(ctx, g, "revoke", "revoked")
}

// Run restores.
func (c *restoration) Run(ctx context.Context, g *Globals) error {
	return c.change(ctx, g, "restore", "restored")
}

func (s *sides) change(ctx context.Context, g *Globals, verb, done string) error {
	if !s.Send && !s.Listen {
		s.Send, s.Listen = true, true
	}
	a, err := g.client()
	if err != nil {
		return err
	}
	defer a.Close()
	q, what := url.Values{}, ""
	if s.Send {
		q.Set("send", "true")
		what = "publisher"
	}
	if s.Listen {
		q.Set("listen", "true")
		if what != "" {
			what += " and "
		}
		what += "inbox"
	}
	if err := a.Do(ctx, http.MethodPost, s.Of.path()+"/"+verb, q, nil, nil); err != nil {
		return err
	}
	changed := map[string]any{"account": s.Of.Account, "endpoint": s.Of.Name, "done": done, "send": s.Send, "listen": s.Listen}
	return g.result(changed, "%s %s: %s", s.Of, done, what)
}
