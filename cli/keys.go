package cli

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/admin"
	"github.com/gatehouse/gatehouse/admin/client"
	"github.com/gatehouse/gatehouse/sas"
)

// Keys is "gatehouse keys".
type Keys struct {
	Of     Party  `arg:"" placeholder:"ACCOUNT/NAME" help:"ACCOUNT/ENDPOINT or ACCOUNT/$policies/POLICY."`
	Rotate string `enum:",send,listen,policy" default:"" help:"Replace a key: of the endpoint's send or listen, or of the policy."`
	Key    string `enum:"primary,secondary" default:"secondary" help:"Which key to replace."`
}

// Run shows the keys, or what replaced one.
func (c *Keys) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	defer api.Close()
	_, isPolicy := c.Of.policy()
	var out map[string]any
	switch {
	case c.Rotate == "":
		err = api.Do(ctx, http.MethodPost, c.Of.path()+"/reveal", nil, nil, &out)
	case isPolicy != (c.Rotate == "policy"):
		err = gatehouse.Errorf(gatehouse.Invalid, "an endpoint has keys to send and to listen, and a policy only its own: --rotate send|listen, or --rotate policy")
	case isPolicy:
		err = api.Do(ctx, http.MethodPost, c.Of.path()+"/rotate", nil, map[string]string{"key": c.Key}, &out)
	default:
		err = api.Do(ctx, http.MethodPost, c.Of.path()+"/rotate", nil, map[string]string{"policy": c.Rotate, "key": c.Key}, &out)
	}
	if err != nil {
		return err
	}
	return g.show(&definition{Spec: out})
}

// Revoke is "gatehouse revoke".
type Revoke struct {
	Endpoint revocation `cmd:"" help:"Withdraw an endpoint's publisher, inbox or both."`
}

// Restore is "gatehouse restore".
type Restore struct {
	Endpoint restoration `cmd:"" help:"Give an endpoint's publisher, inbox or both back."`
}

type sides struct {
	Of     Party `arg:"" placeholder:"ACCOUNT/NAME" help:"The endpoint."`
	Send   bool  `help:"Only the publisher."`
	Listen bool  `help:"Only the inbox."`
}

type (
	revocation  struct{ sides }
	restoration struct{ sides }
)

// Run revokes.
func (c *revocation) Run(ctx context.Context, g *Globals) error { return c.change(ctx, g, "revoke") }

// Run restores.
func (c *restoration) Run(ctx context.Context, g *Globals) error { return c.change(ctx, g, "restore") }

func (s *sides) change(ctx context.Context, g *Globals, verb string) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	defer api.Close()
	q := url.Values{}
	if s.Send {
		q.Set("send", "true")
	}
	if s.Listen {
		q.Set("listen", "true")
	}
	return api.Do(ctx, http.MethodPost, s.Of.path()+"/"+verb, q, nil, nil)
}

// Token is "gatehouse token".
type Token struct {
	Address string        `arg:"" help:"What it is good for: ACCOUNT/publishers/NAME, ACCOUNT/inboxes/NAME, ACCOUNT/channels/NAME or ACCOUNT/endpoints/NAME."`
	Policy  string        `help:"The policy that signs it; by default the endpoint's own."`
	Key     string        `env:"GATEHOUSE_KEY" help:"Sign with this key, without asking the gateway."`
	For     time.Duration `default:"1h" help:"How long it is good."`
}

// Run prints the token.
func (c *Token) Run(ctx context.Context, g *Globals) error {
	if c.For <= 0 {
		return gatehouse.Errorf(gatehouse.Invalid, "--for %v: a token must be good for some time", c.For)
	}
	segments := strings.Split(strings.Trim(c.Address, "/"), "/")
	if len(segments) < 3 {
		return gatehouse.Errorf(gatehouse.Invalid, "address %q is not ACCOUNT/publishers/NAME, ACCOUNT/inboxes/NAME, ACCOUNT/channels/NAME or ACCOUNT/endpoints/NAME", c.Address)
	}
	p, key := c.Policy, c.Key
	if p == "" {
		switch strings.ToLower(segments[1]) {
		case "publishers":
			p = string(gatehouse.PolicySend)
		case "inboxes":
			p = string(gatehouse.PolicyListen)
		default:
			return gatehouse.Errorf(gatehouse.Invalid, "say with --policy which policy signs a token for %s", c.Address)
		}
	}
	if key == "" {
		api, err := g.client()
		if err != nil {
			return err
		}
		defer api.Close()
		if key, err = keyOf(ctx, api, segments, p); err != nil {
			return err
		}
	}
	token := sas.Sign(strings.Trim(c.Address, "/"), p, key, time.Now().Add(c.For))
	if g.Output == "json" {
		return g.print(map[string]any{"token": token, "expires": time.Now().Add(c.For).UTC()})
	}
	return g.say("%s", token)
}

// keyOf asks for the primary key of an endpoint's own policy, or the account's.
func keyOf(ctx context.Context, api *client.Client, segments []string, policy string) (string, error) {
	if own := strings.EqualFold(segments[1], "publishers") || strings.EqualFold(segments[1], "inboxes"); own {
		var k admin.EndpointKeys
		if policy == string(gatehouse.PolicySend) || policy == string(gatehouse.PolicyListen) {
			err := api.Do(ctx, http.MethodPost, Party{segments[0], segments[2]}.path()+"/reveal", nil, nil, &k)
			if policy == string(gatehouse.PolicySend) {
				return k.Send.Primary, err
			}
			return k.Listen.Primary, err
		}
	}
	var k admin.Keys
	err := api.Do(ctx, http.MethodPost, Party{segments[0], policies + policy}.path()+"/reveal", nil, nil, &k)
	return k.Primary, err
}
