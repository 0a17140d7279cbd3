package gate_test

import (
	"errors"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/restrict"
	"github.com/gatehouse/gatehouse/rule"
)

const page = "https://app.example.com"

// TestPages lets web pages in by what restrictions state, and by nothing else.
func TestPages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := attempt(sender, gatehouse.RightSend)
	a.Origin = page
	if kind := r.refused(a); kind != gatehouse.Restricted {
		t.Errorf("no origins stated: %v", kind)
	}
	if got := r.Gate.Origin(account, sender, page); got {
		t.Errorf("no origins stated: %v", got)
	}
	state := func(origins ...string) {
		r.change(&directory.RestrictionSpec{Restriction: restrict.Restriction{
			Name: "web", Endpoints: rule.Selector{Names: []string{sender}}, Origins: origins,
		}})
	}
	state(page)
	s := r.open(a)
	for _, c := range []struct {
		account  gatehouse.AccountName
		endpoint gatehouse.EndpointName
		origin   string
		want     bool
	}{
		{account, sender, page, true},
		{account, sender, "https://evil.example", false},
		{account, sender, "", false},
		{account, receiver, page, false},
		{account, "nobody", page, false},
		{"nowhere", sender, page, false},
		{account, "", page, false},
	} {
		if got := r.Gate.Origin(c.account, c.endpoint, c.origin); got != c.want {
			t.Errorf("%+v: access %v", c, got)
		}
	}
	state("https://other.example.com")
	<-s.Done()
	if err := s.Err(); !errors.Is(err, gatehouse.Restricted) {
		t.Errorf("a page whose origin was taken away: %v", err)
	}
	state("*")
	if s := r.open(a); s.Err() != nil {
		t.Error(s.Err())
	}
	if got := r.Gate.Origin(account, sender, page); !got {
		t.Errorf("all origins: %v", got)
	}
}

// TestTrustedCodeIsNoPage refuses web pages that have a policy's key.
func TestTrustedCodeIsNoPage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := gate.Attempt{
		Account: account, Channel: work, Need: gatehouse.RightChannels, Protocol: "test", TLS: true,
		Credentials: []auth.Credentials{auth.Password{User: account + "/$policies/" + adaptertest.Policy, Password: adaptertest.PolicyKey()}},
	}
	r.open(a)
	a.Origin = page
	if kind := r.refused(a); kind != gatehouse.Restricted {
		t.Errorf("trusted code in a web page: %v", kind)
	}
}
