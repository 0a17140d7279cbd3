package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/admin"
	"github.com/gatehouse/gatehouse/admin/client"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/auth/secret"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/inbox"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	token   = "a-token-of-the-operator"
	account = adaptertest.Account
)

// A rig is the API over a world, with a client.
type rig struct {
	*testing.T
	*adaptertest.World
	*client.Client
	base string
	down error // what is not ready
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t}
	r.World = adaptertest.NewWorld(t, func() engine.Engine { return memory.New(memory.Options{}) }, secret.New)
	g := r.Gate
	web := httptest.NewServer(admin.New(admin.Config{
		Directory: g.Directory, Gate: g, Channels: g.Channels, Inboxes: g.Inboxes, Dispatcher: r.Dispatcher, Token: token, Version: "1.2.3",
		Environment: func() admin.Environment { return admin.Environment{Name: "test", Shards: 8} },
		Ready:       func(context.Context) error { return r.down },
		Metrics:     http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metric 1\n") }),
	}))
	r.base = web.URL
	r.Client = client.New(web.URL, token)
	t.Cleanup(func() { r.Client.Close(); web.Close() })
	return r
}

// do makes a request that has to succeed.
func (r *rig) do(method, path string, query url.Values, in, out any) {
	r.Helper()
	if err := r.Do(context.Background(), method, path, query, in, out); err != nil {
		r.Fatalf("%s %s: %v", method, path, err)
	}
}

// refused makes a request that has to fail with a kind.
func (r *rig) refused(kind gatehouse.Kind, method, path string, query url.Values, in any) error {
	r.Helper()
	err := r.Do(context.Background(), method, path, query, in, nil)
	if !errors.Is(err, kind) {
		r.Errorf("%s %s: %v (%v), want %v", method, path, err, gatehouse.KindOf(err), kind)
	}
	return err
}

// raw makes a request by hand.
func (r *rig) raw(method, path, body string, header ...string) (*http.Response, string) {
	r.Helper()
	q, err := http.NewRequest(method, r.base+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	w, err := http.DefaultTransport.RoundTrip(q)
	if err != nil {
		r.Fatal(err)
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		r.Fatal(err)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	return w, string(text)
}

const bearer = "Bearer " + token

func TestOpenToAll(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for path, want := range map[string]string{"/healthz": "alive\n", "/readyz": "ready\n", "/metrics": "metric 1\n"} {
		if w, body := r.raw(http.MethodGet, path, ""); w.StatusCode != 200 || body != want {
			t.Errorf("%s: %d %q", path, w.StatusCode, body)
		}
	}
	r.down = errors.New("shard 3 is not owned yet")
	if w, body := r.raw(http.MethodGet, "/readyz", ""); w.StatusCode != 503 || !strings.Contains(body, "shard 3") {
		t.Errorf("%d %q", w.StatusCode, body)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, shown := range []string{"", "Bearer", "Bearer wrong", "Basic " + token, "Bearer " + token + "x"} {
		for _, path := range []string{"/api/v1/accounts", "/api/v1/accounts/acme/endpoints:export", "/api/v1/environment"} {
			w, body := r.raw(http.MethodGet, path, "", "Authorization", shown)
			if w.StatusCode != 401 || w.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(body, "admin-token") {
				t.Errorf("%q: %d %s", shown, w.StatusCode, body)
			}
		}
	}
	w, _ := r.raw(http.MethodPut, "/api/v1/accounts/other", "{}", "Authorization", bearer, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
	if w.StatusCode != 403 {
		t.Errorf("a page of another site changes something: %d", w.StatusCode)
	}
}

// TestDefinitions takes a definition of each kind through its life.
func TestDefinitions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.do(http.MethodPut, "/accounts/Other", nil, map[string]any{"description": "x"}, nil)
	for _, c := range []struct {
		plural, name string
		spec, other  map[string]any
	}{
		{"channels", "c1", map[string]any{"retention": map[string]any{"age": "24h", "bytes": "10GiB"}}, map[string]any{"duplicates": "1h"}},
		{"endpoints", "e1", map[string]any{"labels": map[string]any{"site": "oslo"}}, map[string]any{"protocols": []string{"https"}}},
		{"routes", "r1", map[string]any{"direction": "ingress", "when": "msg.size < 10"}, map[string]any{"direction": "egress"}},
		{"restrictions", "x1", map[string]any{"maxSize": "1KiB", "schema": map[string]any{"type": "object"}}, map[string]any{"requireTLS": true}},
		{"handlers", "h1", map[string]any{"channel": "c1", "kind": "router", "config": map[string]any{"replyTo": true}}, map[string]any{"channel": "c1", "kind": "router", "enabled": false}},
		{"policies", "p1", map[string]any{"rights": []string{"channels"}}, map[string]any{"rights": []string{"manage"}}},
	} {
		all := client.Path("accounts", "Other", c.plural)
		one := all + "/" + c.name
		r.refused(gatehouse.NotFound, http.MethodGet, one, nil, nil)
		var made, got, changed admin.Definition[map[string]any]
		r.do(http.MethodPut, one, nil, c.spec, &made)
		if hasKeys := c.plural == "endpoints" || c.plural == "policies"; (made.Keys != nil) != hasKeys {
			t.Errorf("%s: keys %v", c.plural, made.Keys)
		}
		r.do(http.MethodGet, strings.ToUpper(one[:0])+one, nil, nil, &got)
		if got.Keys != nil || got.Name != c.name || got.Revision != made.Revision || got.Revision == 0 {
			t.Errorf("%s: %+v", c.plural, got)
		}
		for field := range c.spec {
			if got.Spec[field] == nil {
				t.Errorf("%s: field %s is missing in %v", c.plural, field, got.Spec)
			}
		}
		r.do(http.MethodPut, one, nil, c.other, &changed)
		if changed.Revision <= made.Revision || changed.Keys != nil {
			t.Errorf("%s: %+v", c.plural, changed)
		}
		if w, body := r.raw(http.MethodPut, "/api/v1"+one, `{}`, "Authorization", bearer, "If-Match", `"1"`); w.StatusCode != 409 && w.StatusCode != 400 {
			t.Errorf("%s: a change of an old revision: %d %s", c.plural, w.StatusCode, body)
		}
		if w, body := r.raw(http.MethodPut, "/api/v1"+one, `{"colour":1}`, "Authorization", bearer); w.StatusCode != 400 || !strings.Contains(body, "colour") {
			t.Errorf("%s: an unknown field: %d %s", c.plural, w.StatusCode, body)
		}
		var page struct {
			Items []admin.Definition[map[string]any]
		}
		r.do(http.MethodGet, all, nil, nil, &page)
		if len(page.Items) != 1 || page.Items[0].Name != c.name {
			t.Errorf("%s: %+v", c.plural, page)
		}
		if c.plural != "channels" {
			r.do(http.MethodDelete, one, nil, nil, nil)
			r.refused(gatehouse.NotFound, http.MethodDelete, one, nil, nil)
		}
	}
	r.do(http.MethodDelete, "/accounts/OTHER", nil, nil, nil)
	r.refused(gatehouse.NotFound, http.MethodGet, "/accounts/Other/channels", nil, nil)
}

func TestConditions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const one = "/api/v1/accounts/Acme/channels/c"
	put := func(want int, header ...string) string {
		t.Helper()
		w, body := r.raw(http.MethodPut, one, `{"description":"`+strings.Join(header, "")[:0]+`"}`, append(header, "Authorization", bearer)...)
		if w.StatusCode != want {
			t.Errorf("%v: %d %s", header, w.StatusCode, body)
		}
		return w.Header.Get("ETag")
	}
	tag := put(201, "If-None-Match", "*")
	put(409, "If-None-Match", "*")
	put(200, "If-Match", tag)
	put(400, "If-Match", "what")
	w, _ := r.raw(http.MethodDelete, one, "", "Authorization", bearer, "If-Match", `"99999999"`)
	if w.StatusCode != 409 {
		t.Errorf("deleting another revision: %d", w.StatusCode)
	}
}

// TestBadDefinitions says that refusals name what is wrong.
func TestBadDefinitions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for path, c := range map[string]struct {
		body string
		says string
	}{
		"/accounts/Acme/routes/r":       {`{"direction":"ingress","when":"msg.sise < 3"}`, "1:5"},
		"/accounts/Acme/restrictions/x": {`{"networks":["10.0.0.0/99"]}`, "networks"},
		"/accounts/Acme/channels/$bad":  {`{}`, "$bad"},
		"/accounts/Acme/channels/c":     {`{"name":"other"}`, "other"},
		"/accounts/Acme/endpoints/e":    {`{"labels":`, "body"},
	} {
		w, body := r.raw(http.MethodPut, "/api/v1"+path, c.body, "Authorization", bearer)
		var p struct{ Detail, Kind string }
		if err := json.Unmarshal([]byte(body), &p); err != nil || w.StatusCode != 400 || p.Kind != "Invalid" || !strings.Contains(p.Detail, c.says) {
			t.Errorf("%s: %d %s", path, w.StatusCode, body)
		}
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	lines := ""
	for _, name := range []string{"a-1", "a-2", "a-3", "b-1"} {
		lines += `{"name":"` + name + `","labels":{"kind":"` + name[:1] + `"}}` + "\n"
	}
	var done directory.Imported
	r.do(http.MethodPost, "/accounts/Acme/endpoints:import", nil, strings.NewReader(lines), &done)
	if done.Created != 4 {
		t.Fatalf("%+v", done)
	}
	list := func(q url.Values) string {
		t.Helper()
		var names []string
		for {
			var page struct {
				Items []admin.Definition[map[string]any]
				Next  string
			}
			r.do(http.MethodGet, "/accounts/Acme/endpoints", q, nil, &page)
			for _, d := range page.Items {
				names = append(names, d.Name)
			}
			if page.Next == "" {
				return strings.Join(names, " ")
			}
			q.Set("after", page.Next)
		}
	}
	for want, q := range map[string]url.Values{
		"a-1 a-2 a-3":                  {"prefix": {"A-"}, "limit": {"2"}},
		"a-1 b-1":                      {"glob": {"?-1"}, "limit": {"1"}},
		"b-1":                          {"labels": {"kind!=a,kind"}},
		"a-1 a-2 a-3 b-1 Panel pump-7": {"limit": {"2"}},
	} {
		if got := list(q); got != want {
			t.Errorf("%v: %s, want %s", q, got, want)
		}
	}
	r.refused(gatehouse.Invalid, http.MethodGet, "/accounts/Acme/channels", url.Values{"prefix": {"a"}}, nil)
	r.refused(gatehouse.Invalid, http.MethodPost, "/accounts/Acme/endpoints:import", nil, strings.NewReader(`{"name":"x"}{"nam":"y"}`))
	var out bytes.Buffer
	r.do(http.MethodGet, "/accounts/Acme/endpoints:export", nil, nil, &out)
	if n := strings.Count(out.String(), "\n"); n != 7 && n != 6 {
		t.Errorf("%d lines: %s", n, out.String())
	}
	if strings.Contains(out.String(), "keys") {
		t.Error("keys are exported")
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	file := map[string]any{
		"account": "fresh", "channels": []any{map[string]any{"name": "c"}},
		"endpoints": []any{map[string]any{"name": "e", "keys": map[string]any{"send": []string{"a-key-that-is-long-enough"}}}},
	}
	var done admin.Applied
	r.do(http.MethodPost, "/apply", url.Values{"dryRun": {"true"}}, file, &done)
	if len(done.Changes) == 0 || !done.DryRun {
		t.Errorf("%+v", done)
	}
	r.refused(gatehouse.NotFound, http.MethodGet, "/accounts/fresh", nil, nil)
	r.do(http.MethodPost, "/apply", nil, file, &done)
	r.do(http.MethodPost, "/apply", nil, file, &done)
	if len(done.Changes) != 0 {
		t.Errorf("applied twice: %+v", done)
	}
	file["channels"] = []any{map[string]any{"name": "d"}, map[string]any{"name": "bad name"}}
	if err := r.refused(gatehouse.Invalid, http.MethodPost, "/apply", nil, file); err != nil && !strings.Contains(err.Error(), "bad name") {
		t.Error(err)
	}
	var exported map[string]any
	r.do(http.MethodGet, "/accounts/fresh/file", nil, nil, &exported)
	if exported["account"] != "fresh" || exported["channels"] == nil {
		t.Errorf("%v", exported)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const one = "/accounts/Acme/endpoints/pump-7"
	var k admin.EndpointKeys
	r.do(http.MethodPost, one+"/reveal", nil, nil, &k)
	if k.Send.Primary != adaptertest.SendKey(adaptertest.Sender) || k.Send.Secondary == "" || k.Listen.Primary != adaptertest.ListenKey(adaptertest.Sender) {
		t.Errorf("%+v", k)
	}
	var rotated admin.Keys
	r.do(http.MethodPost, one+"/rotate", nil, map[string]string{"policy": "send", "key": "primary"}, &rotated)
	if rotated.Primary == k.Send.Primary || rotated.Secondary != k.Send.Secondary {
		t.Errorf("%+v", rotated)
	}
	var p admin.Keys
	r.do(http.MethodPost, "/accounts/Acme/policies/backend/reveal", nil, nil, &p)
	if p.Primary != adaptertest.PolicyKey() {
		t.Errorf("%+v", p)
	}
	r.do(http.MethodPost, "/accounts/Acme/policies/backend/rotate", nil, map[string]string{"key": "primary"}, &rotated)
	if rotated.Primary == p.Primary {
		t.Errorf("%+v", rotated)
	}
	if err := r.Do(context.Background(), http.MethodPost, one+"/rotate", nil, map[string]string{"policy": "other", "key": "primary"}, nil); err == nil {
		t.Error("rotated the key of a policy that is not there")
	}
}

// session opens a session that receives.
func (r *rig) session() *gate.Session {
	r.Helper()
	s, err := r.Gate.Open(context.Background(), gate.Attempt{
		Account: account, Endpoint: adaptertest.Receiver, Need: gatehouse.RightListen, Protocol: "test", TLS: true,
		Credentials: []auth.Credentials{auth.Password{User: account + "/" + adaptertest.Receiver, Password: adaptertest.ListenKey(adaptertest.Receiver)}},
	})
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(s.Close)
	return s
}

func TestRevokeAndSessions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.session()
	var all []gate.Info
	r.do(http.MethodGet, "/accounts/acme/sessions", nil, nil, &all)
	if len(all) != 1 || all[0].Endpoint != adaptertest.Receiver {
		t.Fatalf("%+v", all)
	}
	r.do(http.MethodDelete, "/accounts/acme/sessions/"+all[0].ID, nil, nil, nil)
	if s.Err() == nil {
		t.Error("the session goes on")
	}
	r.refused(gatehouse.NotFound, http.MethodDelete, "/accounts/acme/sessions/"+all[0].ID, nil, nil)
	s = r.session()
	r.do(http.MethodPost, "/accounts/acme/endpoints/panel/revoke", url.Values{"send": {"true"}}, nil, nil)
	if s.Err() != nil {
		t.Errorf("its publisher was revoked, not its inbox: %v", s.Err())
	}
	r.do(http.MethodPost, "/accounts/acme/endpoints/panel/revoke", nil, nil, nil)
	if !errors.Is(s.Err(), gatehouse.Revoked) {
		t.Errorf("%v", s.Err())
	}
	r.do(http.MethodPost, "/accounts/acme/endpoints/panel/restore", url.Values{"listen": {"true"}}, nil, nil)
	r.session()
	r.refused(gatehouse.NotFound, http.MethodPost, "/accounts/acme/endpoints/nobody/revoke", nil, nil)
}

func TestExplain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const path = "/accounts/acme/explain"
	var a gate.Answer
	r.do(http.MethodPost, path, nil, map[string]any{"endpoint": "pump-7", "message": map[string]any{"type": "reading", "data": "x"}}, &a)
	if !a.Allowed || len(a.Channels) != 1 || len(a.Steps) == 0 {
		t.Errorf("%+v", a)
	}
	r.do(http.MethodPost, path, nil, admin.Question{
		Endpoint: "pump-7", Message: json.RawMessage(`{"type":"` + adaptertest.DeniedType + `"}`), Connection: &admin.Connection{Protocol: "https", TLS: true, Remote: "10.0.0.1"},
	}, &a)
	if a.Allowed || a.Rule != "not-in" {
		t.Errorf("%+v", a)
	}
	r.do(http.MethodPost, path, nil, admin.Question{Endpoint: "panel", From: adaptertest.Channel}, &a)
	if !a.Allowed {
		t.Errorf("%+v", a)
	}
	r.refused(gatehouse.Invalid, http.MethodPost, path, nil, admin.Question{Endpoint: "x", Message: json.RawMessage(`{"specversion":"9"}`)})
	r.refused(gatehouse.Invalid, http.MethodPost, path, nil, admin.Question{Endpoint: "x", Connection: &admin.Connection{Remote: "nowhere"}})
}

func TestInbox(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const one = "/accounts/acme/endpoints/panel/inbox"
	for i := range 3 {
		r.put(string(rune('a' + i)))
	}
	s := r.session()
	got, err := s.Receive(context.Background(), false, inbox.ReceiveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(context.Background(), false, inbox.Settlement{Lock: got[0].Lock, Outcome: inbox.DeadLetter, Reason: "R", Description: "why"}); err != nil {
		t.Fatal(err)
	}
	var d admin.Depth
	r.do(http.MethodGet, one, nil, nil, &d)
	if d.Active != 2 || d.Dead != 1 || d.Oldest == nil {
		t.Errorf("%+v", d)
	}
	var all []admin.Waiting
	r.do(http.MethodGet, one+"/messages", nil, nil, &all)
	if len(all) != 2 || all[0].State != "Active" || !strings.Contains(string(all[0].Message), `"id":"b"`) {
		t.Errorf("%+v", all)
	}
	r.do(http.MethodGet, one+"/messages", url.Values{"dead": {"true"}}, nil, &all)
	if len(all) != 1 || all[0].DeadLetter == nil || all[0].DeadLetter.Reason != "R" {
		t.Errorf("%+v", all)
	}
	var moved admin.Resubmitted
	r.do(http.MethodPost, one+"/resubmit", nil, map[string]any{"sequences": []uint64{all[0].Sequence}}, &moved)
	if moved.Moved != 1 {
		t.Errorf("%+v", moved)
	}
	var purged admin.Purged
	r.do(http.MethodPost, one+"/purge", nil, nil, &purged)
	if purged.Removed != 3 {
		t.Errorf("%+v", purged)
	}
	r.refused(gatehouse.NotFound, http.MethodGet, "/accounts/acme/endpoints/nobody/inbox", nil, nil)
	r.refused(gatehouse.NotFound, http.MethodPost, "/accounts/acme/handlers/nobody/replay", nil, nil)
}

// put puts a message into the receiver's inbox.
func (r *rig) put(id string) {
	r.Helper()
	k := inbox.Key{Account: account, Endpoint: adaptertest.Receiver}
	done := make(chan error, 1)
	m := &gatehouse.Message{ID: id, Channel: adaptertest.Channel, Body: []byte(id)}
	n, _ := r.Directory.Incarnation(k)
	puts := []inbox.Put{{Key: k, Incarnation: n, Message: m}}
	err := r.Gate.Inboxes.Deliver(context.Background(), r.Gate.Inboxes.Shard(k), puts, engine.Row{}, func(err error) { done <- err })
	if err == nil {
		err = <-done
	}
	if err != nil || puts[0].Err != nil {
		r.Fatal(err, puts[0].Err)
	}
}

// TestDescription says that the API describes every operation.
func TestDescription(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w, body := r.raw(http.MethodGet, "/api/openapi.json", "", "Authorization", bearer)
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]any
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil || w.StatusCode != 200 || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("%d %v %.200s", w.StatusCode, err, body)
	}
	for _, path := range []string{"/api/v1/accounts/{account}/endpoints/{name}", "/api/v1/apply", "/api/v1/accounts/{account}/explain"} {
		if doc.Paths[path] == nil {
			t.Errorf("%s is missing", path)
		}
	}
}
