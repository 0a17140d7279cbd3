package secret_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/auth/authtest"
	"github.com/gatehouse/gatehouse/auth/secret"
	"github.com/gatehouse/gatehouse/sas"
)

const allRights = gatehouse.RightSend | gatehouse.RightListen | gatehouse.RightManage | gatehouse.RightChannels

// newKeys returns keys for the parties of the suite. A key's text says whose
// it is.
func newKeys() *authtest.Keys {
	k := new(authtest.Keys)
	for _, a := range []gatehouse.AccountName{authtest.Account, authtest.OtherAccount} {
		for _, e := range []gatehouse.EndpointName{authtest.Endpoint, authtest.Neighbour} {
			for _, p := range []gatehouse.PolicyName{gatehouse.PolicySend, gatehouse.PolicyListen} {
				k.SetEndpoint(a, e, p, pairOf(string(a), string(e), string(p)))
			}
		}
		for _, p := range []struct {
			name   gatehouse.PolicyName
			rights gatehouse.Rights
		}{
			{"all", allRights},
			{"sender", gatehouse.RightSend},
			{"admin", gatehouse.RightManage},
			{"backend", gatehouse.RightChannels},
			{"bare", 0},
		} {
			k.SetPolicy(a, p.name, pairOf(string(a), "", string(p.name)), p.rights)
		}
	}
	return k
}

func pairOf(names ...string) auth.KeyPair {
	text := strings.ToLower(strings.Join(names, ":"))
	return auth.KeyPair{Primary: "1:" + text, Secondary: "2:" + text}
}

// address is the resource a claim is for, as a client writes it.
func address(c authtest.Claim) string {
	a := "sb://gw.example.com:5671/" + string(c.Account)
	switch {
	case c.Broad || c.Right == gatehouse.RightManage:
		return a
	case c.Right == gatehouse.RightSend:
		return a + "/publishers/" + string(c.Endpoint)
	case c.Right == gatehouse.RightListen:
		return a + "/inboxes/" + string(c.Endpoint)
	}
	return a + "/channels/" + string(c.Channel)
}

// policyFor returns the policy that can prove a claim, and its keys.
func policyFor(c authtest.Claim) (string, auth.KeyPair) {
	own := map[gatehouse.Rights]string{gatehouse.RightSend: "send", gatehouse.RightListen: "listen"}[c.Right]
	if c.Broad || own == "" {
		return "all", pairOf(string(c.Account), "", "all")
	}
	return own, pairOf(string(c.Account), string(c.Endpoint), own)
}

func token(c authtest.Claim, key func(auth.KeyPair) string) string {
	policy, pair := policyFor(c)
	k := key(pair)
	if c.Wrong {
		k = "somebody else's"
	}
	expires := c.Expires
	if expires.IsZero() {
		expires = authtest.Now.Add(time.Hour)
	}
	return sas.Sign(address(c), policy, k, expires)
}

func primary(p auth.KeyPair) string   { return p.Primary }
func secondary(p auth.KeyPair) string { return p.Secondary }

// userOf returns the user name that goes with a claim.
func userOf(c authtest.Claim) string {
	policy, _ := policyFor(c)
	if policy == "all" {
		return string(c.Account) + "/$policies/" + policy
	}
	return string(c.Account) + "/" + string(c.Endpoint)
}

// bareKey returns the key of a claim, or "" if a bare key cannot prove it: it
// does not expire, and an account policy's is good for the whole account.
func bareKey(c authtest.Claim) string {
	policy, pair := policyFor(c)
	if !c.Expires.IsZero() || policy == "all" && !c.Broad {
		return ""
	}
	if c.Wrong {
		return "somebody else's"
	}
	return pair.Primary
}

func TestConformance(t *testing.T) {
	t.Parallel()
	const other = "SharedAccessSignature sr=x&sig=8UM0iIfFCfeBSqxSdBMW8pUbhAm7mnjSUaIZTZx8V0g%3D&se=1&skn=send"
	mints := map[string]func(authtest.Claim) auth.Credentials{
		"SAS with the primary key":   func(c authtest.Claim) auth.Credentials { return auth.SAS{Token: token(c, primary)} },
		"SAS with the secondary key": func(c authtest.Claim) auth.Credentials { return auth.SAS{Token: token(c, secondary)} },
		"SAS as a bearer token":      func(c authtest.Claim) auth.Credentials { return auth.Bearer{Token: token(c, primary)} },
		"SAS as a password": func(c authtest.Claim) auth.Credentials {
			return auth.Password{User: userOf(c), Password: token(c, secondary)}
		},
		"SAS as a password, Azure's user": func(c authtest.Claim) auth.Credentials {
			policy, _ := policyFor(c)
			return auth.Password{User: policy, Password: token(c, primary)}
		},
		"SAS after another": func(c authtest.Claim) auth.Credentials {
			return auth.SAS{Token: other + "," + token(c, primary)}
		},
		"key": func(c authtest.Claim) auth.Credentials {
			if k := bareKey(c); k != "" {
				return auth.Password{User: userOf(c), Password: k}
			}
			return nil
		},
		"key, Azure's user": func(c authtest.Claim) auth.Credentials {
			policy, _ := policyFor(c)
			if k := bareKey(c); k != "" {
				return auth.Password{User: policy, Password: k}
			}
			return nil
		},
	}
	for name, mint := range mints {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			authtest.Run(t, authtest.Harness{
				Authenticator: secret.New(newKeys()),
				Mint:          func(_ testing.TB, c authtest.Claim) auth.Credentials { return mint(c) },
				NotMine:       []auth.Credentials{auth.Bearer{Token: "eyJhbGciOi.e30.x"}, auth.Bearer{}, auth.Certificate{}},
			})
		})
	}
}

// ask returns the rights that creds prove, or the kind of the refusal.
func ask(a auth.Authenticator, r auth.Request) string {
	if r.Account == "" {
		r.Account = authtest.Account
	}
	r.Now = authtest.Now
	id, err := a.Authenticate(context.Background(), &r)
	if err != nil {
		return gatehouse.KindOf(err).String()
	}
	return fmt.Sprintf("%s %04b", id.Policy, id.Rights)
}

// The rules of what a token's sr and skn are good for. Rights are printed in
// bits: channels, manage, listen, send.
func TestTokenScope(t *testing.T) {
	t.Parallel()
	const (
		send, listen = gatehouse.RightSend, gatehouse.RightListen
		manage, chs  = gatehouse.RightManage, gatehouse.RightChannels
	)
	tests := []struct {
		name, sr, policy string
		need             gatehouse.Rights
		below            string
		want             string
	}{
		{"own address", "sb://h/acme/publishers/pump-7", "send", send, "", "send 0001"},
		{"own address, host without a scheme", "gw.example.com/acme/publishers/pump-7", "send", send, "", "send 0001"},
		{"own address, no host", "acme/publishers/pump-7", "send", send, "", "send 0001"},
		{"host named like the account", "acme/acme/publishers/pump-7", "send", send, "", "send 0001"},
		{"own address in another case", "sb://h/ACME/Publishers/Pump-7", "SEND", send, "", "send 0001"},
		{"own policy below its address", "sb://h/acme/publishers/pump-7/messages", "send", send, "messages", "send 0001"},
		{"below, but not where the client is", "sb://h/acme/publishers/pump-7/messages", "send", send, "", "Unauthenticated"},
		{"the SDKs' management audience", "sb://h/acme/inboxes/pump-7/$management", "listen", listen, "$Management", "listen 0010"},
		{"dead letters alone", "sb://h/acme/inboxes/pump-7/$DeadLetterQueue", "listen", listen, "$deadletterqueue", "listen 0010"},
		{"dead letters alone, for the inbox", "sb://h/acme/inboxes/pump-7/$DeadLetterQueue", "listen", listen, "", "Unauthenticated"},
		{"inbox covers dead letters", "sb://h/acme/inboxes/pump-7", "listen", listen, "$deadletterqueue", "listen 0010"},
		{"own policy at the other address", "sb://h/acme/inboxes/pump-7", "send", listen, "", "Unauthenticated"},
		{"own policy for the account", "sb://h/acme", "send", send, "", "Unauthenticated"},
		{"own policy for all publishers", "sb://h/acme/publishers", "send", send, "", "Unauthenticated"},
		{"own policy for the namespace", "sb://h/", "send", send, "", "Unauthenticated"},
		{"own policy for publisher and inbox", "sb://h/acme/endpoints/pump-7", "send", send, "", "Unauthenticated"},
		{"own policy for a neighbour", "sb://h/acme/publishers/pump-70", "send", send, "", "Unauthenticated"},
		{"a prefix within a segment", "sb://h/acme/publishers/pump", "all", send, "", "Unauthenticated"},
		{"account policy for the account", "sb://h/acme", "all", send, "", "all 0111"},
		{"account policy for the namespace", "sb://h/", "all", send, "", "Unauthenticated"},
		{"account policy for all publishers", "sb://h/acme/publishers", "all", send, "", "all 0001"},
		{"account policy for publisher and inbox", "sb://h/acme/endpoints/pump-7", "all", send | listen, "", "all 0011"},
		{"account policy below that", "sb://h/acme/endpoints/pump-7/ws", "all", send | listen, "ws", "all 0011"},
		{"account policy for a publisher, wanting both", "sb://h/acme/publishers/pump-7", "all", send | listen, "", "Unauthenticated"},
		{"account policy for one publisher", "sb://h/acme/publishers/pump-7", "sender", send, "", "sender 0001"},
		{"account policy without the right", "sb://h/acme", "sender", listen, "", "Forbidden"},
		{"account policy without any right", "sb://h/acme", "bare", 0, "", "Forbidden"},
		{"manage includes send and listen", "sb://h/acme", "admin", send | listen, "", "admin 0111"},
		{"manage needs the whole account", "sb://h/acme/endpoints/pump-7", "admin", manage, "", "Unauthenticated"},
		{"whatever it proves", "sb://h/acme/endpoints/pump-7", "all", 0, "", "all 0011"},
		{"whatever it proves, own", "sb://h/acme/inboxes/pump-7", "listen", 0, "", "listen 0010"},
		{"channels are not of an endpoint", "sb://h/acme", "all", chs, "", "Unauthenticated"},
		{"a policy that does not exist", "sb://h/acme", "nobody", send, "", "Unauthenticated"},
		{"a policy with an impossible name", "sb://h/acme", "no/body", send, "", "Unauthenticated"},
	}
	a := secret.New(newKeys())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			pair := pairOf("acme", "", tt.policy)
			if p := strings.ToLower(tt.policy); p == "send" || p == "listen" {
				pair = pairOf("acme", "pump-7", p)
			}
			creds := auth.SAS{Token: sas.Sign(tt.sr, tt.policy, pair.Secondary, authtest.Now.Add(time.Minute))}
			got := ask(a, auth.Request{Credentials: creds, Endpoint: "pump-7", Need: tt.need, Below: tt.below})
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestTokenForChannels(t *testing.T) {
	t.Parallel()
	a := secret.New(newKeys())
	for _, tt := range []struct {
		name, sr, policy, below string
		need                    gatehouse.Rights
		want                    string
	}{
		{"the channel", "sb://h/acme/channels/telemetry", "backend", "", gatehouse.RightChannels, "backend 1000"},
		{"a partition of it", "sb://h/acme/channels/telemetry/ConsumerGroups/$Default/Partitions/0", "backend", "consumergroups/$default/partitions/0", gatehouse.RightChannels, "backend 1000"},
		{"another partition", "sb://h/acme/channels/telemetry/ConsumerGroups/$Default/Partitions/0", "backend", "ConsumerGroups/$Default/Partitions/01", gatehouse.RightChannels, "Unauthenticated"},
		{"the account", "sb://h/acme", "backend", "", gatehouse.RightChannels, "backend 1000"},
		{"manage does not include channels", "sb://h/acme", "admin", "", gatehouse.RightChannels, "Forbidden"},
		{"no endpoint to send as", "sb://h/acme", "all", "", gatehouse.RightSend, "Unauthenticated"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			creds := auth.SAS{Token: sas.Sign(tt.sr, tt.policy, pairOf("acme", "", tt.policy).Primary, authtest.Now.Add(time.Minute))}
			if got := ask(a, auth.Request{Credentials: creds, Channel: "telemetry", Need: tt.need, Below: tt.below}); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// What user names and passwords are good for.
func TestPassword(t *testing.T) {
	t.Parallel()
	keys := newKeys()
	keys.SetEndpoint("acme", "empty", "send", auth.KeyPair{})
	keys.SetEndpoint("acme", "comma", "send", auth.KeyPair{Primary: "a,b"})
	a := secret.New(keys)
	sendKey, listenKey := pairOf("acme", "pump-7", "send").Primary, pairOf("acme", "pump-7", "listen").Secondary
	all := pairOf("acme", "", "all").Primary
	sign := func(sr, policy, key string) string {
		return sas.Sign(sr, policy, key, authtest.Now.Add(time.Minute))
	}
	sendToken := sign("sb://h/acme/publishers/pump-7", "send", sendKey)
	listenToken := sign("sb://h/acme/inboxes/pump-7", "listen", listenKey)
	both := gatehouse.RightSend | gatehouse.RightListen
	tests := []struct {
		name, user, password string
		endpoint             gatehouse.EndpointName
		channel              gatehouse.ChannelName
		need                 gatehouse.Rights
		want                 string
	}{
		{"send key", "acme/pump-7", sendKey, "pump-7", "", gatehouse.RightSend, "send 0001"},
		{"listen key", "acme/pump-7", listenKey, "pump-7", "", gatehouse.RightListen, "listen 0010"},
		{"the wrong one of its keys", "acme/pump-7", listenKey, "pump-7", "", gatehouse.RightSend, "Forbidden"},
		{"whichever key", "acme/pump-7", listenKey, "pump-7", "", 0, "listen 0010"},
		{"keys joined, send", "acme/pump-7", sendKey + "," + listenKey, "pump-7", "", gatehouse.RightSend, "send 0001"},
		{"keys joined, listen", "acme/pump-7", sendKey + ", " + listenKey, "pump-7", "", gatehouse.RightListen, "listen 0010"},
		{"tokens joined", "acme/pump-7", sendToken + "," + listenToken, "pump-7", "", gatehouse.RightListen, "listen 0010"},
		{"key and token joined", "acme/pump-7", sendKey + "," + listenToken, "pump-7", "", gatehouse.RightListen, "listen 0010"},
		{"joined is no union", "acme/pump-7", sendKey + "," + listenKey, "pump-7", "", both, "Forbidden"},
		{"joined, both wrong", "acme/pump-7", "x,y", "pump-7", "", gatehouse.RightSend, "Unauthenticated"},
		{"a key with a comma", "acme/comma", "a,b", "comma", "", gatehouse.RightSend, "send 0001"},
		{"half of a key with a comma", "acme/comma", "a", "comma", "", gatehouse.RightSend, "Unauthenticated"},
		{"an empty key is none", "acme/empty", "", "empty", "", gatehouse.RightSend, "Unauthenticated"},
		{"commas only", "acme/empty", ",", "empty", "", gatehouse.RightSend, "Unauthenticated"},
		{"policy", "acme/$policies/all", all, "pump-7", "", both, "all 0111"},
		{"policy, its segment in another case", "ACME/$Policies/ALL", all, "pump-7", "", both, "all 0111"},
		{"policy on a channel", "acme/$policies/all", all, "", "telemetry", gatehouse.RightChannels, "all 1100"},
		{"policy and a token of another", "acme/$policies/all", sendToken, "pump-7", "", gatehouse.RightSend, "Unauthenticated"},
		{"endpoint on a channel", "acme/pump-7", sendKey, "", "telemetry", gatehouse.RightChannels, "Unauthenticated"},
		{"another endpoint than the address", "acme/pump-7", sendKey, "pump-70", "", gatehouse.RightSend, "Unauthenticated"},
		{"another account than the address", "acme-2/pump-7", pairOf("acme-2", "pump-7", "send").Primary, "pump-7", "", gatehouse.RightSend, "Unauthenticated"},
		{"Azure's form, account policy", "all", all, "pump-7", "", gatehouse.RightSend, "all 0111"},
		{"Azure's form, own policy", "listen", listenKey, "pump-7", "", gatehouse.RightListen, "listen 0010"},
		{"Azure's form, the other own policy", "listen", listenKey, "pump-7", "", gatehouse.RightSend, "Forbidden"},
		{"Azure's form, own policy on a channel", "listen", listenKey, "", "telemetry", gatehouse.RightChannels, "Unauthenticated"},
		{"no user", "", sendKey, "pump-7", "", gatehouse.RightSend, "Unauthenticated"},
		{"no user, but a token", "", sendToken, "pump-7", "", gatehouse.RightSend, "Unauthenticated"},
		{"a user with too many parts", "acme/pump-7/x", sendKey, "pump-7", "", gatehouse.RightSend, "Unauthenticated"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := ask(a, auth.Request{
				Credentials: auth.Password{User: tt.user, Password: tt.password}, Endpoint: tt.endpoint, Channel: tt.channel, Need: tt.need,
			})
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// A proof stands as long as its key is one of the pair, whatever the case of
// the names, and falls when the key is rotated out.
func TestProofFollowsRotation(t *testing.T) {
	t.Parallel()
	keys := newKeys()
	a := secret.New(keys)
	old := pairOf("acme", "pump-7", "send")
	id, err := a.Authenticate(context.Background(), &auth.Request{
		Credentials: auth.Password{User: "ACME/PUMP-7", Password: old.Secondary}, Account: "Acme", Endpoint: "Pump-7", Need: gatehouse.RightSend, Now: authtest.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		pair auth.KeyPair
		want bool
	}{
		{old, true},
		{auth.KeyPair{Primary: old.Secondary, Secondary: "new"}, true},
		{auth.KeyPair{Primary: old.Primary, Secondary: "new"}, false},
		{auth.KeyPair{}, false},
	} {
		if got := tt.pair.Proves(id.Proof, "acme", "pump-7", gatehouse.PolicySend); got != tt.want {
			t.Errorf("%+v proves: %v, want %v", tt.pair, got, tt.want)
		}
	}
	if old.Proves(id.Proof, "acme", "pump-7", gatehouse.PolicyListen) || old.Proves(id.Proof, "acme", "", gatehouse.PolicySend) || old.Proves(id.Proof, "acme-2", "pump-7", gatehouse.PolicySend) {
		t.Error("the proof stands for another policy, endpoint or account with the same key")
	}
}

// Trouble with the keys is neither a refusal for good nor told to the caller.
func TestKeysUnavailable(t *testing.T) {
	t.Parallel()
	keys := newKeys()
	keys.Fail(errors.New("disk 7 is on fire"))
	a := secret.New(keys)
	for _, creds := range []auth.Credentials{
		auth.Password{User: "acme/pump-7", Password: "x"},
		auth.SAS{Token: sas.Sign("sb://h/acme/publishers/pump-7", "send", "x", authtest.Now.Add(time.Hour))},
	} {
		_, err := a.Authenticate(context.Background(), &auth.Request{Credentials: creds, Account: "acme", Endpoint: "pump-7", Need: gatehouse.RightSend, Now: authtest.Now})
		if !errors.Is(err, gatehouse.Unavailable) || strings.Contains(err.Error(), "fire") {
			t.Errorf("%v: error %v", creds, err)
		}
	}
}

// Names that cannot exist never become parts of paths.
func TestImpossibleNames(t *testing.T) {
	t.Parallel()
	a := secret.New(newKeys())
	creds := auth.SAS{Token: sas.Sign("sb://h/acme/publishers/pump-7", "send", pairOf("acme", "pump-7", "send").Primary, authtest.Now.Add(time.Hour))}
	for _, r := range []auth.Request{
		{Account: "acme", Endpoint: "pump-7/x"},
		{Account: "acme/publishers", Endpoint: "pump-7"},
		{Account: "acme", Endpoint: "pump-7", Channel: "../x"},
		{Account: "", Endpoint: "pump-7"},
	} {
		r.Credentials, r.Need, r.Now = creds, gatehouse.RightSend, authtest.Now
		if _, err := a.Authenticate(context.Background(), &r); !errors.Is(err, gatehouse.Unauthenticated) {
			t.Errorf("%q, %q: error %v, want Unauthenticated", r.Account, r.Endpoint, err)
		}
	}
}

func BenchmarkToken(b *testing.B) {
	a := secret.New(newKeys())
	r := &auth.Request{
		Credentials: auth.SAS{Token: sas.Sign("sb://h/acme/publishers/pump-7", "send", pairOf("acme", "pump-7", "send").Primary, authtest.Now.Add(time.Hour))},
		Account:     "acme", Endpoint: "pump-7", Need: gatehouse.RightSend, Now: authtest.Now,
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Authenticate(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}

// What a caller who is refused costs, known or not: compare the three.
func BenchmarkRefusal(b *testing.B) {
	a := secret.New(newKeys())
	for name, endpoint := range map[string]gatehouse.EndpointName{"wrong key": "pump-7", "no such endpoint": "pump-x"} {
		b.Run(name, func(b *testing.B) {
			r := &auth.Request{
				Credentials: auth.SAS{Token: sas.Sign("sb://h/acme/publishers/"+string(endpoint), "send", "x", authtest.Now.Add(time.Hour))},
				Account:     "acme", Endpoint: endpoint, Need: gatehouse.RightSend, Now: authtest.Now,
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Authenticate(b.Context(), r); err == nil {
					b.Fatal("let in")
				}
			}
		})
	}
}
