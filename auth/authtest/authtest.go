package authtest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
)

// What the suite asks about. Both accounts exist, with the endpoint and the
// channel of the same names; names that begin alike must not be confused.
const (
	Account      gatehouse.AccountName  = "acme"
	OtherAccount gatehouse.AccountName  = "acme-2"
	NoAccount    gatehouse.AccountName  = "nobody"
	Endpoint     gatehouse.EndpointName = "pump-7"
	Neighbour    gatehouse.EndpointName = "pump-70"
	NoEndpoint   gatehouse.EndpointName = "pump-x"
	Channel      gatehouse.ChannelName  = "telemetry"
	OtherChannel gatehouse.ChannelName  = "telemetry-2"
)

// Now is the time of the suite's requests. It is not the time of day.
var Now = time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)

// A Claim is what credentials are to prove: one right at one address.
type Claim struct {
	Account  gatehouse.AccountName
	Endpoint gatehouse.EndpointName // for RightSend and RightListen
	Channel  gatehouse.ChannelName  // for RightChannels
	Right    gatehouse.Rights
	Expires  time.Time // zero: as long as the authenticator lets it last
	Broad    bool      // for the account as a whole instead of the address
	Wrong    bool      // well-formed, but by somebody who may not vouch for it
}

// A Harness is an authenticator with the means to make proofs for it.
type Harness struct {
	Authenticator auth.Authenticator
	// Mint returns credentials for a claim, or nil for a kind of claim that
	// the authenticator has no proof for. It is also asked for wrong proofs
	// for NoAccount and NoEndpoint, which do not exist.
	Mint func(t testing.TB, c Claim) auth.Credentials
	// NotMine are credentials of kinds the authenticator does not know.
	NotMine []auth.Credentials
}

// Run checks that the authenticator of h keeps the promises of package auth.
func Run(t *testing.T, h Harness) {
	t.Run("right proof", h.rightProof)
	t.Run("wrong proof", h.wrongProof)
	t.Run("nothing leaks", h.nothingLeaks)
	t.Run("clock", h.clock)
	t.Run("other address", h.otherAddress)
	t.Run("broader proof", h.broaderProof)
	t.Run("case", h.caseVariants)
	t.Run("not mine", h.notMine)
	t.Run("concurrent", h.concurrent)
}

// claims are one of each kind.
func claims() map[string]Claim {
	return map[string]Claim{
		"send":     {Account: Account, Endpoint: Endpoint, Right: gatehouse.RightSend},
		"listen":   {Account: Account, Endpoint: Endpoint, Right: gatehouse.RightListen},
		"channels": {Account: Account, Channel: Channel, Right: gatehouse.RightChannels},
		"manage":   {Account: Account, Right: gatehouse.RightManage},
	}
}

// each runs f for every kind of claim the authenticator has proofs for, as
// changed by change.
func (h Harness) each(t *testing.T, change func(*Claim), f func(t *testing.T, c Claim, creds auth.Credentials)) {
	t.Helper()
	for name, c := range claims() {
		change(&c)
		t.Run(name, func(t *testing.T) {
			creds := h.Mint(t, c)
			if creds == nil {
				t.Skip("the authenticator has no such proof")
			}
			f(t, c, creds)
		})
	}
}

func (h Harness) ask(c Claim, creds auth.Credentials) (gatehouse.Identity, error) {
	return h.Authenticator.Authenticate(context.Background(), &auth.Request{
		Credentials: creds, Account: c.Account, Endpoint: c.Endpoint, Channel: c.Channel, Need: c.Right, Now: Now,
	})
}

func (h Harness) rightProof(t *testing.T) {
	h.each(t, func(*Claim) {}, func(t *testing.T, c Claim, creds auth.Credentials) {
		id, err := h.ask(c, creds)
		if err != nil {
			t.Fatal(err)
		}
		if id.Account != c.Account || id.Endpoint != c.Endpoint || !id.Rights.Has(c.Right) {
			t.Errorf("identity %+v for claim %+v", id, c)
		}
		if !id.Expires.IsZero() && !id.Expires.After(Now) {
			t.Errorf("identity expired at %v, before it was proven", id.Expires)
		}
		// Asked for nothing in particular, it proves at least the same.
		c.Right = 0
		if open, err := h.ask(c, creds); err != nil || open.Rights&id.Rights == 0 {
			t.Errorf("without a need: identity %+v, error %v", open, err)
		}
	})
}

func (h Harness) wrongProof(t *testing.T) {
	h.each(t, func(c *Claim) { c.Wrong = true }, func(t *testing.T, c Claim, creds auth.Credentials) {
		id, err := h.ask(c, creds)
		if !errors.Is(err, gatehouse.Unauthenticated) {
			t.Fatalf("error %v, want Unauthenticated", err)
		}
		if id != (gatehouse.Identity{}) {
			t.Errorf("a wrong proof gives identity %+v", id)
		}
	})
}

// nothingLeaks asks with a wrong proof about what exists and what does not:
// the answers must be the same but for the names the caller itself gave.
func (h Harness) nothingLeaks(t *testing.T) {
	answer := func(t *testing.T, c Claim) string {
		creds := h.Mint(t, c)
		if creds == nil {
			t.Skip("the authenticator has no such proof")
		}
		_, err := h.ask(c, creds)
		if !errors.Is(err, gatehouse.Unauthenticated) {
			t.Fatalf("error %v, want Unauthenticated", err)
		}
		return strings.NewReplacer(string(c.Account), "ACCOUNT", string(c.Endpoint), "ENDPOINT").Replace(err.Error())
	}
	lives := map[string]time.Time{"lasting": {}, "valid": Now.Add(time.Hour), "expired": Now.Add(-time.Hour)}
	for life, expires := range lives {
		t.Run(life, func(t *testing.T) {
			for _, right := range []gatehouse.Rights{gatehouse.RightSend, gatehouse.RightListen} {
				there := answer(t, Claim{Account: Account, Endpoint: Endpoint, Right: right, Wrong: true, Expires: expires})
				for _, c := range []Claim{{Account: NoAccount, Endpoint: Endpoint}, {Account: Account, Endpoint: NoEndpoint}} {
					c.Right, c.Wrong, c.Expires = right, true, expires
					if got := answer(t, c); got != there {
						t.Errorf("what does not exist is refused with %q, what does with %q", got, there)
					}
				}
			}
		})
	}
}

// clock checks that a proof is held against the time of the request.
func (h Harness) clock(t *testing.T) {
	for _, tt := range []struct {
		name    string
		expires time.Time
		kind    error
	}{
		{"an hour left", Now.Add(time.Hour), nil},
		{"a second left", Now.Add(time.Second), nil},
		{"this moment", Now, gatehouse.Expired},
		{"a second ago", Now.Add(-time.Second), gatehouse.Expired},
		{"a year ago", Now.AddDate(-1, 0, 0), gatehouse.Expired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h.each(t, func(c *Claim) { c.Expires = tt.expires }, func(t *testing.T, c Claim, creds auth.Credentials) {
				id, err := h.ask(c, creds)
				if !errors.Is(err, tt.kind) {
					t.Fatalf("error %v, want %v", err, tt.kind)
				}
				if err == nil && !id.Expires.Equal(c.Expires) {
					t.Errorf("identity expires %v, want %v", id.Expires, c.Expires)
				}
			})
			h.each(t, func(c *Claim) { c.Expires, c.Wrong = tt.expires, true }, func(t *testing.T, c Claim, creds auth.Credentials) {
				if _, err := h.ask(c, creds); !errors.Is(err, gatehouse.Unauthenticated) {
					t.Errorf("wrong, besides: error %v, want Unauthenticated", err)
				}
			})
		})
	}
}

// otherAddress shows a proof where it was not made for.
func (h Harness) otherAddress(t *testing.T) {
	moves := map[string]func(*Claim){
		"another account":              func(c *Claim) { c.Account = OtherAccount },
		"an account that is not there": func(c *Claim) { c.Account = NoAccount },
		"another endpoint or channel": func(c *Claim) {
			if c.Endpoint != "" {
				c.Endpoint = Neighbour
			}
			if c.Channel != "" {
				c.Channel = OtherChannel
			}
		},
		"another right": func(c *Claim) {
			switch c.Right {
			case gatehouse.RightSend:
				c.Right = gatehouse.RightListen
			case gatehouse.RightListen:
				c.Right = gatehouse.RightSend
			default:
				*c = Claim{Account: c.Account, Right: gatehouse.RightManage}
			}
		},
		"the account": func(c *Claim) { *c = Claim{Account: c.Account, Right: gatehouse.RightManage} },
	}
	for name, move := range moves {
		t.Run(name, func(t *testing.T) {
			h.each(t, func(*Claim) {}, func(t *testing.T, c Claim, creds auth.Credentials) {
				moved := c
				move(&moved)
				if moved == c {
					t.Skip("the claim has no such thing")
				}
				id, err := h.ask(moved, creds)
				if !errors.Is(err, gatehouse.Unauthenticated) && !errors.Is(err, gatehouse.Forbidden) {
					t.Fatalf("a proof for %+v is taken for %+v: identity %+v, error %v", c, moved, id, err)
				}
			})
		})
	}
}

// broaderProof shows a proof for a whole account at addresses in it, and in
// another account.
func (h Harness) broaderProof(t *testing.T) {
	h.each(t, func(c *Claim) { c.Broad = true }, func(t *testing.T, c Claim, creds auth.Credentials) {
		id, err := h.ask(c, creds)
		if err != nil || !id.Rights.Has(c.Right) {
			t.Errorf("identity %+v, error %v", id, err)
		}
		if c.Endpoint != "" {
			c.Endpoint = Neighbour
		}
		if c.Channel != "" {
			c.Channel = OtherChannel
		}
		if id, err := h.ask(c, creds); err != nil || id.Endpoint != c.Endpoint {
			t.Errorf("at another address of the account: identity %+v, error %v", id, err)
		}
		c.Account = OtherAccount
		if _, err := h.ask(c, creds); !errors.Is(err, gatehouse.Unauthenticated) {
			t.Errorf("in another account: error %v, want Unauthenticated", err)
		}
	})
}

// caseVariants checks that names are compared without case, on either side.
func (h Harness) caseVariants(t *testing.T) {
	upper := func(c *Claim) {
		c.Account = gatehouse.AccountName(strings.ToUpper(string(c.Account)))
		c.Endpoint = gatehouse.EndpointName(strings.ToUpper(string(c.Endpoint)))
		c.Channel = gatehouse.ChannelName(strings.ToUpper(string(c.Channel)))
	}
	h.each(t, func(*Claim) {}, func(t *testing.T, c Claim, creds auth.Credentials) {
		plain, err := h.ask(c, creds)
		if err != nil {
			t.Fatal(err)
		}
		shouted := c
		upper(&shouted)
		got, err := h.ask(shouted, creds)
		if err != nil || got.Proof != plain.Proof {
			t.Errorf("address in upper case: identity %+v, error %v", got, err)
		}
		other := h.Mint(t, shouted)
		if got, err = h.ask(c, other); err != nil || got.Account != c.Account || got.Endpoint != c.Endpoint || got.Policy != plain.Policy {
			t.Errorf("proof in upper case: identity %+v, error %v", got, err)
		}
	})
}

func (h Harness) notMine(t *testing.T) {
	for _, creds := range append([]auth.Credentials{nil}, h.NotMine...) {
		for _, c := range claims() {
			if _, err := h.ask(c, creds); !errors.Is(err, auth.ErrNotMine) {
				t.Errorf("%v: error %v, want ErrNotMine", creds, err)
			}
		}
	}
}

// concurrent is for the race detector.
func (h Harness) concurrent(t *testing.T) {
	h.each(t, func(*Claim) {}, func(t *testing.T, c Claim, creds auth.Credentials) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 50 {
					if _, err := h.ask(c, creds); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}
