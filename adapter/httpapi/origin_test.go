package httpapi

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/restrict"
	"github.com/gatehouse/gatehouse/rule"
)

const app, evil = "https://app.example.com", "https://evil.example"

// state restricts the sender to web pages of the origins.
func (s *site) state(origins ...string) {
	s.Helper()
	_, err := s.world.Directory.Update(s.Context(), adaptertest.Account, directory.Change{Spec: &directory.RestrictionSpec{
		Restriction: restrict.Restriction{Name: "web", Endpoints: rule.Selector{Names: []string{adaptertest.Sender}}, Origins: origins},
	}})
	if err != nil {
		s.Fatal(err)
	}
}

func TestOrigin(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	w, body := s.post("x", "Origin", app)
	s.want(w, http.StatusForbidden)
	if h := w.Header; !strings.Contains(body, "states its origins") || h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("no origins stated: %s %v", body, h)
	}
	s.state(app)
	w, _ = s.post("x", "Origin", app, "BrokerProperties", toReceiver)
	s.want(w, http.StatusCreated)
	if h := w.Header; h.Get("Access-Control-Allow-Origin") != app || h.Get("Vary") != "Origin" || h.Get("Access-Control-Allow-Credentials") != "true" {
		t.Errorf("%v", h)
	}
	w, _ = s.post("x", "Origin", evil)
	s.want(w, http.StatusForbidden)
	if w.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("a page may read the answer though nobody has let it in")
	}
	s.state("*")
	w, _ = s.post("x", "Origin", evil)
	s.want(w, http.StatusCreated)
	if h := w.Header; h.Get("Access-Control-Allow-Origin") != evil {
		t.Errorf("%v", h)
	}
	s.sender.SendKey = "wrong"
	w, _ = s.post("x", "Origin", app)
	s.want(w, http.StatusUnauthorized)
	if w.Header.Get("Access-Control-Allow-Origin") != app {
		t.Error("a page that is let in may not read why its key is refused")
	}
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{Guests: []Guest{{Below: "endpoints/ws", Begin: beginEcho}}})
	s.state(app)
	account := "http://" + s.address + "/" + adaptertest.Account
	sender, receiver := string(adaptertest.Sender), string(adaptertest.Receiver)
	for _, c := range []struct {
		path, origin, methods string // allowed; none: the page is not let in
	}{
		{"/publishers/" + sender + "/messages", app, "POST"},
		{"/inboxes/" + sender + "/messages/head", app, "POST, DELETE"},
		{"/Endpoints/" + sender + "/ws", app, "GET, POST, DELETE"},
		{"/publishers/" + sender + "/messages", evil, ""},
		{"/publishers/" + receiver + "/messages", app, ""},
		{"/publishers/nobody/messages", app, ""},
		{"/channels/" + adaptertest.Channel + "/messages", app, ""},
		{"/endpoints/" + sender + "/ws", evil, ""},
	} {
		w := get(t, "OPTIONS", account+c.path, "Origin", c.origin, "Access-Control-Request-Headers", "authorization,x-y")
		h := w.Header
		if w.StatusCode != http.StatusNoContent || !strings.Contains(h.Get("Vary"), "Origin") || h.Get("Allow") == "" {
			t.Errorf("%+v: %d %v", c, w.StatusCode, h)
		}
		let, headers := "", ""
		if c.methods != "" {
			let, headers = app, "authorization,x-y"
		}
		if h.Get("Access-Control-Allow-Origin") != let || h.Get("Access-Control-Allow-Methods") != c.methods || h.Get("Access-Control-Allow-Headers") != headers {
			t.Errorf("%+v: %v", c, h)
		}
	}
	if w := get(t, "OPTIONS", account+"/inboxes/p/messages"); w.StatusCode != http.StatusNoContent || w.Header.Get("Allow") != "GET, OPTIONS" || w.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("without an origin: %d %v", w.StatusCode, w.Header)
	}
	for _, path := range []string{"/nothing", "/endpoints/" + sender + "/signalr"} {
		if w := get(t, "OPTIONS", account+path, "Origin", app); w.StatusCode != http.StatusNotFound || w.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v", path, w.StatusCode, w.Header)
		}
	}
}

// beginEcho begins a guest that tells where it was asked.
func beginEcho(*gate.Gate) (http.Handler, func()) {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Method+" "+r.PathValue("account")+" "+r.PathValue("endpoint")+" "+r.PathValue("rest"))
	}), func() {}
}

func TestGuestsBelowEndpoints(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{Guests: []Guest{{Below: "endpoints/SignalR", Begin: beginEcho}, {Below: "inboxes/events", Begin: beginEcho}}})
	s.state(app)
	for path, want := range map[string]string{
		"/acme/endpoints/pump-7/signalr":            "GET acme pump-7 ",
		"/Acme/ENDPOINTS/Pump-7/SignalR/negotiate/": "GET Acme Pump-7 negotiate",
		"/acme/inboxes/pump-7/events/1":             "GET acme pump-7 1",
	} {
		w, err := http.Get("http://" + s.address + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(w.Body)
		_ = w.Body.Close()
		if string(body) != want {
			t.Errorf("%s: %s", path, body)
		}
	}
	w := get(t, "GET", "http://"+s.address+"/acme/endpoints/pump-7/signalr", "Origin", app)
	if w.Header.Get("Access-Control-Allow-Origin") != app {
		t.Errorf("%v", w.Header)
	}
	w = get(t, "GET", "http://"+s.address+"/acme/endpoints/pump-7/signalr", "Origin", evil)
	if w.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%v", w.Header)
	}
}
