package admin

import (
	"context"
	"net/http"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/directory"

	"github.com/danielgtaylor/huma/v2"
)

// Keys are the two keys of a policy, as they are shown.
type Keys struct {
	Primary   string `json:"primary"`
	Secondary string `json:"secondary"`
}

// EndpointKeys are the keys of an endpoint, as they are shown.
type EndpointKeys struct {
	Send   Keys `json:"send" doc:"Of its publisher"`
	Listen Keys `json:"listen" doc:"Of its inbox"`
}

func keysOf(p auth.KeyPair) Keys { return Keys{p.Primary, p.Secondary} }

// WhichKey says which of two keys is meant.
type WhichKey struct {
	Key string `json:"key" enum:"primary,secondary" doc:"Which of the two is replaced"`
}

func (s *server) keys(api huma.API) {
	const endpoint, policy = "/accounts/{account}/endpoints/{name}", "/accounts/{account}/policies/{name}"
	huma.Register(api, operation(http.MethodPost, endpoint+"/reveal", "reveal-endpoint-keys", "Show the keys of an endpoint; this is noted", "keys"),
		func(ctx context.Context, in *NamePath) (*struct{ Body EndpointKeys }, error) {
			k, err := s.Directory.Reveal(gatehouse.AccountName(in.Account), gatehouse.EndpointName(in.Name))
			if err != nil {
				return nil, s.fail(err)
			}
			s.audit(ctx, "reveal endpoint keys", in.Account, in.Name)
			return &struct{ Body EndpointKeys }{EndpointKeys{keysOf(k.Send), keysOf(k.Listen)}}, nil
		})
	huma.Register(api, operation(http.MethodPost, endpoint+"/rotate", "rotate-endpoint-key", "Replace a key of an endpoint; what the old one opened ends", "keys"),
		func(ctx context.Context, in *struct {
			NamePath
			Body struct {
				Policy string `json:"policy" enum:"send,listen"`
				WhichKey
			}
		},
		) (*struct{ Body Keys }, error) {
			k, err := s.Directory.Rotate(ctx, gatehouse.AccountName(in.Account), gatehouse.EndpointName(in.Name), gatehouse.PolicyName(in.Body.Policy), directory.Which(in.Body.Key))
			if err != nil {
				return nil, s.fail(err)
			}
			s.audit(ctx, "rotate "+in.Body.Key+" "+in.Body.Policy+" key", in.Account, in.Name)
			return &struct{ Body Keys }{keysOf(k)}, nil
		})
	huma.Register(api, operation(http.MethodPost, policy+"/reveal", "reveal-policy-keys", "Show the keys of a policy; this is noted", "keys"),
		func(ctx context.Context, in *NamePath) (*struct{ Body Keys }, error) {
			k, err := s.Directory.RevealPolicy(gatehouse.AccountName(in.Account), gatehouse.PolicyName(in.Name))
			if err != nil {
				return nil, s.fail(err)
			}
			s.audit(ctx, "reveal policy keys", in.Account, in.Name)
			return &struct{ Body Keys }{keysOf(k)}, nil
		})
	huma.Register(api, operation(http.MethodPost, policy+"/rotate", "rotate-policy-key", "Replace a key of a policy; what the old one opened ends", "keys"),
		func(ctx context.Context, in *struct {
			NamePath
			Body WhichKey
		},
		) (*struct{ Body Keys }, error) {
			k, err := s.Directory.RotatePolicy(ctx, gatehouse.AccountName(in.Account), gatehouse.PolicyName(in.Name), directory.Which(in.Body.Key))
			if err != nil {
				return nil, s.fail(err)
			}
			s.audit(ctx, "rotate "+in.Body.Key+" policy key", in.Account, in.Name)
			return &struct{ Body Keys }{keysOf(k)}, nil
		})
}

// revocation registers revoke and restore.
func (s *server) revocation(api huma.API) {
	for _, o := range []struct {
		verb, summary string
		change        func(context.Context, gatehouse.AccountName, gatehouse.EndpointName, directory.Revoked) error
	}{
		{"revoke", "Withdraw the publisher, the inbox or both of an endpoint, at once", s.Directory.Revoke},
		{"restore", "Give the publisher, the inbox or both back", s.Directory.Restore},
	} {
		huma.Register(api, operation(http.MethodPost, "/accounts/{account}/endpoints/{name}/"+o.verb, o.verb+"-endpoint", o.summary, "endpoints"),
			func(ctx context.Context, in *struct {
				NamePath
				Send   bool `query:"send" doc:"Only the publisher, unless listen is given too"`
				Listen bool `query:"listen" doc:"Only the inbox, unless send is given too"`
			},
			) (*struct{}, error) {
				sides := directory.Revoked{Send: in.Send, Listen: in.Listen}
				if sides == (directory.Revoked{}) {
					sides = directory.Revoked{Send: true, Listen: true}
				}
				if err := o.change(ctx, gatehouse.AccountName(in.Account), gatehouse.EndpointName(in.Name), sides); err != nil {
					return nil, s.fail(err)
				}
				s.audit(ctx, o.verb+" endpoint", in.Account, in.Name)
				return nil, nil
			})
	}
}
