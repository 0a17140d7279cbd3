package demo_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/app"
	"github.com/gatehouse/gatehouse/app/demo"
)

// ask asks a listener for something, as host, and returns the answer.
func ask(t *testing.T, a *app.App, method, path, host string) (*http.Response, string) {
	t.Helper()
	at := a.Listeners()[1]
	if at.Adapter != "http" {
		t.Fatalf("%+v", a.Listeners())
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+at.Address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		r.Host = host
	}
	w, err := http.DefaultTransport.(*http.Transport).Clone().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close() //nolint:errcheck // it is read
	text, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w, string(text)
}

func TestPage(t *testing.T) {
	t.Parallel()
	page := new(demo.Page)
	a := serveWith(t, twoListeners, app.Options{Guests: page.Guests()})
	if w, _ := ask(t, a, http.MethodGet, "/demo/token?endpoint=alice", ""); w.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("before it is prepared: %s", w.Status)
	}
	d := prepare(t, a)
	d.Open(page)
	w, text := ask(t, a, http.MethodGet, demo.PagePath, "")
	if w.StatusCode != http.StatusOK || !strings.Contains(text, "<title>Gatehouse") || !strings.Contains(w.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%s %v %s", w.Status, w.Header, text)
	}
	for line := range strings.Lines(text) { // whatever it refers to is there
		for _, before := range []string{`src="`, `href="`} {
			_, rest, ok := strings.Cut(line, before)
			if path, _, _ := strings.Cut(rest, `"`); ok && strings.HasPrefix(path, "/demo/") {
				if w, _ := ask(t, a, http.MethodGet, path, "localhost:80"); w.StatusCode != http.StatusOK {
					t.Errorf("%s: %s", path, w.Status)
				}
			}
		}
	}
	for _, name := range []string{"alice", "bob"} {
		w, text := ask(t, a, http.MethodGet, "/demo/token?endpoint="+name, "")
		var tokens struct{ Send, Listen, Both string }
		if err := json.Unmarshal([]byte(text), &tokens); err != nil || w.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s %v %s: %v", w.Status, w.Header, text, err)
		}
		if tokens.Both != tokens.Send+","+tokens.Listen || !strings.Contains(tokens.Send, "publishers%2F"+name) || !strings.Contains(tokens.Listen, "inboxes%2F"+name) {
			t.Errorf("%+v", tokens)
		}
	}
}

func TestPageIsForThisMachine(t *testing.T) {
	t.Parallel()
	page := new(demo.Page)
	a := serveWith(t, twoListeners, app.Options{Guests: page.Guests()})
	prepare(t, a).Open(page)
	for _, c := range []struct {
		method, path, host string
		want               int
	}{
		{http.MethodGet, "/demo/token?endpoint=alice", "evil.example.com", http.StatusForbidden},
		{http.MethodGet, "/demo/token?endpoint=alice", "192.0.2.1:8080", http.StatusForbidden},
		{http.MethodGet, "/demo/token?endpoint=alice", "[::1]:8080", http.StatusOK},
		{http.MethodPost, "/demo/token?endpoint=alice", "", http.StatusMethodNotAllowed},
		{http.MethodGet, "/demo/token?endpoint=pump-7", "", http.StatusNotFound},
		{http.MethodGet, "/demo/token", "", http.StatusNotFound},
		{http.MethodGet, "/demo/page.go", "", http.StatusNotFound},
	} {
		if w, text := ask(t, a, c.method, c.path, c.host); w.StatusCode != c.want {
			t.Errorf("%s %s at %q: %s %s, want %d", c.method, c.path, c.host, w.Status, text, c.want)
		}
	}
}
