package httpapi

import (
	"context"
	"encoding/xml"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/gate"
)

// A list is a Revoker that keeps what it is told.
type list struct {
	mu      sync.Mutex
	revoked []gatehouse.EndpointName
}

func (l *list) Revoke(_ context.Context, _ *gate.Session, p gatehouse.EndpointName) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.Contains(l.revoked, p) {
		return gatehouse.Errorf(gatehouse.Conflict, "publisher %q is revoked already", p)
	}
	l.revoked = append(l.revoked, p)
	return nil
}

func (l *list) Restore(_ context.Context, _ *gate.Session, p gatehouse.EndpointName) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.revoked = slices.DeleteFunc(l.revoked, func(other gatehouse.EndpointName) bool { return other == p })
	return nil
}

func (l *list) Revoked(context.Context, *gate.Session) ([]gatehouse.EndpointName, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.revoked), nil
}

// trusted returns a client that shows the key of the account's policy.
func (s *site) trusted() *client {
	c := s.client(gatehouse.EndpointName("$policies/" + adaptertest.Policy))
	c.SendKey, c.ListenKey = adaptertest.PolicyKey(), adaptertest.PolicyKey()
	return c
}

func (s *site) account() string {
	return "http://" + s.address + "/" + string(adaptertest.Account)
}

func TestRevocationAsAzure(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{Revoker: new(list)})
	c := s.trusted()
	all := s.account() + "/revokedpublishers"
	w, body := s.request(c, http.MethodPut, all+"/pump-7", c.SendKey, "")
	s.want(w, http.StatusCreated)
	if err := parseRevocation([]byte(body), "pump-7"); err != nil || !strings.Contains(body, ">pump-7</Name>") {
		t.Errorf("%v: %s", err, body)
	}
	w, _ = s.request(c, http.MethodPut, all+"/pump-7", c.SendKey, "")
	s.want(w, http.StatusConflict)
	w, _ = s.request(c, http.MethodPut, all+"/pump-8", c.SendKey, body) // names another
	s.want(w, http.StatusBadRequest)
	w, body = s.request(c, http.MethodGet, all, c.SendKey, "")
	s.want(w, http.StatusOK)
	var feed atomFeed
	if err := xml.Unmarshal([]byte(body), &feed); err != nil || len(feed.Entries) != 1 || feed.Entries[0].ID != all+"/pump-7" {
		t.Errorf("%v: %s", err, body)
	}
	w, body = s.request(c, http.MethodDelete, all+"/pump-7", c.SendKey, "")
	if s.want(w, http.StatusOK); body != "" {
		t.Errorf("%s", body)
	}
	w, _ = s.request(s.sender, http.MethodPut, all+"/pump-7", s.sender.SendKey, "")
	if w.StatusCode != http.StatusUnauthorized && w.StatusCode != http.StatusForbidden {
		t.Errorf("an endpoint revokes: status %d", w.StatusCode)
	}
}

func TestProduceToChannel(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	c := s.trusted()
	to := s.account() + "/channels/" + string(adaptertest.Channel) + "/messages"
	w, _ := s.request(c, http.MethodPost, to, c.SendKey, "from inside", "BrokerProperties", toReceiver)
	s.want(w, http.StatusCreated)
	r := s.client(adaptertest.Receiver)
	w, body := s.take(r, http.MethodDelete, "/head")
	if s.want(w, http.StatusOK); body != "from inside" {
		t.Errorf("received %q", body)
	}
	w, _ = s.request(s.sender, http.MethodPost, to, s.sender.SendKey, "x")
	if w.StatusCode != http.StatusUnauthorized && w.StatusCode != http.StatusForbidden {
		t.Errorf("an endpoint's key produces to a channel: status %d", w.StatusCode)
	}
}
