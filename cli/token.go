package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/admin"
	"github.com/gatehouse/gatehouse/admin/client"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/sas"
)

// Token is "gatehouse token".
type Token struct {
	Address string          `arg:"" help:"What it is good for: ACCOUNT/publishers/NAME, ACCOUNT/inboxes/NAME, ACCOUNT/channels/NAME or ACCOUNT/endpoints/NAME."`
	Policy  string          `placeholder:"POLICY" help:"The policy that signs it; by default the endpoint's own or, if it is the only one that may, the account's."`
	Key     string          `env:"GATEHOUSE_KEY" placeholder:"KEY" help:"Sign with this key, without asking the gateway."`
	For     config.Duration `default:"1h" placeholder:"TIME" help:"How long it is good: 90s, 24h, 7d (default: 1h)."`
}

// Run prints the token.
func (c *Token) Run(ctx context.Context, g *Globals) error {
	if c.For <= 0 {
		return gatehouse.Errorf(gatehouse.Invalid, "--for %v: a token must be good for some time", c.For)
	}
	address := strings.Trim(c.Address, "/")
	segments := strings.Split(address, "/")
	side := strings.ToLower(sideOf(segments))
	if _, ok := rightsAt[side]; !ok || checkNames(segments[0], segments[2]) != nil {
		return gatehouse.Errorf(gatehouse.Invalid, "address %q is not ACCOUNT/publishers/NAME, ACCOUNT/inboxes/NAME, ACCOUNT/channels/NAME or ACCOUNT/endpoints/NAME", c.Address)
	}
	policy, key := c.Policy, c.Key
	if policy == "" {
		policy = own(side)
	}
	if key == "" {
		a, err := g.client()
		if err != nil {
			return err
		}
		defer a.Close()
		if policy == "" {
			if policy, err = a.onlyPolicy(ctx, segments[0], rightsAt[side]); err != nil {
				return err
			}
		}
		if key, err = a.keyOf(ctx, segments, policy); err != nil {
			return err
		}
	}
	if policy == "" {
		return gatehouse.Errorf(gatehouse.Invalid, "say with --policy which policy of the account the key belongs to")
	}
	expires := time.Now().Add(time.Duration(c.For))
	token := sas.Sign(address, policy, key, expires)
	return g.result(map[string]any{"token": token, "address": address, "policy": policy, "expires": expires.UTC().Truncate(time.Second)}, "%s", token)
}

// rightsAt are the rights that a policy of the account needs for the addresses
// of a side. Each of them will do.
var rightsAt = map[string][]string{
	"publishers": {"send"},
	"inboxes":    {"listen"},
	"channels":   {"channels"},
	"endpoints":  {"send", "listen"},
}

// sideOf returns the fixed segment of an address of at least three.
func sideOf(segments []string) string {
	if len(segments) < 3 {
		return ""
	}
	return segments[1]
}

// own returns the policy of an endpoint for one of its sides, or nothing.
func own(side string) string {
	switch side {
	case "publishers":
		return string(gatehouse.PolicySend)
	case "inboxes":
		return string(gatehouse.PolicyListen)
	}
	return ""
}

// onlyPolicy returns the one policy of an account that has any of the rights.
func (a *api) onlyPolicy(ctx context.Context, account string, rights []string) (string, error) {
	all, err := a.all(ctx, client.Path("accounts", account, "policies"), url.Values{})
	if err != nil {
		return "", err
	}
	var found []string
	for i := range all {
		var p struct{ Rights []string }
		if err := json.Unmarshal(all[i].Spec, &p); err != nil {
			return "", err
		}
		if slices.ContainsFunc(p.Rights, func(r string) bool { return slices.Contains(rights, r) }) {
			found = append(found, all[i].Name)
		}
	}
	switch len(found) {
	case 0:
		return "", gatehouse.Errorf(gatehouse.NotFound, "account %q has no policy with the right %s; create one, or say with --policy which to use", account, strings.Join(rights, " or "))
	case 1:
		return found[0], nil
	}
	return "", gatehouse.Errorf(gatehouse.Invalid, "account %q has several policies that may sign this; say which with --policy: %s", account, strings.Join(found, ", "))
}

// keyOf asks for the primary key of an endpoint's own policy, or the account's.
func (a *api) keyOf(ctx context.Context, segments []string, policy string) (string, error) {
	if ours := own(strings.ToLower(segments[1])); ours == "" || !strings.EqualFold(policy, ours) {
		var k admin.Keys
		err := a.Do(ctx, http.MethodPost, KeyOwner{Party{segments[0], policy}, true}.path()+"/reveal", nil, nil, &k)
		return k.Primary, err
	}
	var k admin.EndpointKeys
	err := a.Do(ctx, http.MethodPost, Party{segments[0], segments[2]}.path()+"/reveal", nil, nil, &k)
	if strings.EqualFold(policy, string(gatehouse.PolicySend)) {
		return k.Send.Primary, err
	}
	return k.Listen.Primary, err
}
