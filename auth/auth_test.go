package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"

	"github.com/google/go-cmp/cmp"
)

type answer struct {
	id  gatehouse.Identity
	err error
}

func (a answer) Authenticate(context.Context, *Request) (gatehouse.Identity, error) {
	return a.id, a.err
}

func TestChain(t *testing.T) {
	t.Parallel()
	notMine := answer{err: fmt.Errorf("no: %w", ErrNotMine)}
	yes := answer{id: gatehouse.Identity{Account: "acme"}}
	no := answer{err: gatehouse.Errorf(gatehouse.Expired, "too late")}
	for _, tt := range []struct {
		name  string
		chain Chain
		id    gatehouse.Identity
		kind  error
	}{
		{"the first that knows it decides", Chain{notMine, yes, no}, yes.id, nil},
		{"also when it refuses", Chain{notMine, no, yes}, gatehouse.Identity{}, gatehouse.Expired},
		{"none knows it", Chain{notMine, notMine}, gatehouse.Identity{}, gatehouse.Unauthenticated},
		{"nobody to ask", nil, gatehouse.Identity{}, gatehouse.Unauthenticated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range []Credentials{nil, SAS{}, Bearer{}, Password{}, Certificate{}} {
				id, err := tt.chain.Authenticate(context.Background(), &Request{Credentials: c})
				if id != tt.id || !errors.Is(err, tt.kind) {
					t.Errorf("%v: identity %+v, error %v", c, id, err)
				}
				if errors.Is(err, ErrNotMine) {
					t.Errorf("%v: the chain itself says ErrNotMine", c)
				}
			}
		})
	}
}

func TestCredentialsHideSecrets(t *testing.T) {
	t.Parallel()
	const hidden = "hunter2"
	for _, v := range []any{SAS{hidden}, Password{"acme/pump-7", hidden}, Bearer{hidden}, KeyPair{hidden, hidden}, Request{Credentials: SAS{hidden}}} {
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		if text := fmt.Sprintf("%v %+v %#v %s %q", v, v, v, v, v) + log.String(); strings.Contains(text, hidden) {
			t.Errorf("%T shows its secret: %s", v, text)
		}
	}
}

// Credentials within something that is logged as JSON are not given away.
func TestCredentialsHideFromJSON(t *testing.T) {
	t.Parallel()
	for _, v := range []any{SAS{"hunter2"}, Password{"acme/pump-7", "hunter2"}, Bearer{"hunter2"}} {
		b, err := json.Marshal(map[string]any{"v": v})
		if err != nil || bytes.Contains(b, []byte("hunter2")) {
			t.Errorf("%T: %s, %v", v, b, err)
		}
	}
}

func TestProof(t *testing.T) {
	t.Parallel()
	base := Proof("acme", "pump-7", "send", "key")
	if base != Proof("ACME", "Pump-7", "SEND", "key") {
		t.Error("the proof depends on the case of names")
	}
	seen := map[[16]byte]string{base: "base"}
	for name, p := range map[string][16]byte{
		"account":  Proof("acm", "epump-7", "send", "key"),
		"endpoint": Proof("acme", "", "pump-7send", "key"),
		"policy":   Proof("acme", "pump-7", "listen", "key"),
		"key":      Proof("acme", "pump-7", "send", "Key"),
		"shifted":  Proof("acme", "pump-7", "sen", "dkey"),
		"long key": Proof("acme", "pump-7", "send", strings.Repeat("key", 1000)),
	} {
		if other, ok := seen[p]; ok {
			t.Errorf("%s has the same proof as %s", name, other)
		}
		seen[p] = name
	}
}

func TestParseUser(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]*User{
		"acme/pump-7":            {Account: "acme", Endpoint: "pump-7"},
		"Acme/Pump-7":            {Account: "Acme", Endpoint: "Pump-7"},
		"acme/$policies/backend": {Account: "acme", Policy: "backend"},
		"acme/$Policies/backend": {Account: "acme", Policy: "backend"},
		"listen":                 {Policy: "listen"},
		"":                       nil,
		"/":                      nil,
		"acme/":                  nil,
		"/pump-7":                nil,
		"acme/$policies/":        nil,
		"acme/$policies":         nil,
		"acme/pump-7/x":          nil,
		"acme/$policies/a/b":     nil,
		"a b":                    nil,
	} {
		got, ok := ParseUser(in)
		if ok != (want != nil) {
			t.Errorf("%q: ok %v", in, ok)
		} else if ok && got != *want {
			t.Errorf("%q: %+v, want %+v", in, got, *want)
		}
	}
}

func TestFromToken(t *testing.T) {
	t.Parallel()
	const token = "SharedAccessSignature sr=x&sig=y&se=1&skn=z"
	for in, want := range map[string][]Credentials{
		"":                        nil,
		" , ":                     nil,
		token:                     {SAS{token}},
		token + ", " + token:      {SAS{token}, SAS{token}},
		"a.b.c":                   {Bearer{"a.b.c"}},
		"a.b.c," + token:          {Bearer{"a.b.c"}, SAS{token}},
		"sharedaccesssignature x": {SAS{"sharedaccesssignature x"}},
	} {
		if diff := cmp.Diff(want, FromToken(in)); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
	}
}

func BenchmarkProof(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Proof("acme", "pump-7", "send", "2Yb0PxM0nq6dYv1kq1l1Q2m0g8zv7o6nq3Jc0lqVfWE=")
	}
}

func TestFromAuthorization(t *testing.T) {
	t.Parallel()
	for header, want := range map[string][]Credentials{
		"SharedAccessSignature sr=a&sig=b": {SAS{Token: "SharedAccessSignature sr=a&sig=b"}},
		"bearer abc":                       {Bearer{Token: "abc"}},
		"Bearer abc, SharedAccessSignature sr=a": {
			Bearer{Token: "abc"}, SAS{Token: "SharedAccessSignature sr=a"},
		},
		"Basic YWNtZS9wdW1wLTc6YTpi": {Password{User: "acme/pump-7", Password: "a:b"}},
		"Basic YWJj":                 nil,
		"Basic ###":                  nil,
		"Digest x":                   nil,
		"":                           nil,
	} {
		got, err := FromAuthorization(header)
		if (want == nil) != errors.Is(err, gatehouse.Unauthenticated) || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %#v, %v", header, got, err)
		}
	}
}

// counted counts how often it is asked for an endpoint's keys.
type counted struct {
	Keys
	n int
}

func (c *counted) OwnKeys(gatehouse.AccountName, gatehouse.EndpointName) (send, listen KeyPair, err error) {
	c.n++
	return KeyPair{Primary: "to send"}, KeyPair{Primary: "to listen"}, nil
}

// TestOwnKeys asks once, and shows nothing.
func TestOwnKeys(t *testing.T) {
	t.Parallel()
	keys := new(counted)
	r := Request{Account: "acme", Endpoint: "pump-7"}
	for range 2 {
		for policy, want := range map[gatehouse.PolicyName]string{gatehouse.PolicySend: "to send", gatehouse.PolicyListen: "to listen"} {
			if got, err := r.OwnKeys(keys, policy); err != nil || got.Primary != want {
				t.Errorf("%s: %q, %v", policy, got.Primary, err)
			}
		}
	}
	if keys.n != 1 {
		t.Errorf("asked %d times", keys.n)
	}
	if s := fmt.Sprintf("%v %+v %#v", r, &r, r); strings.Contains(s, "to send") || strings.Contains(s, "to listen") {
		t.Errorf("%s shows a key", s)
	}
}
