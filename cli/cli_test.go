package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/admin"
	"github.com/gatehouse/gatehouse/directory"
)

// TestExitCodes holds that every kind of error has an exit code, and which.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	want := map[gatehouse.Kind]int{
		gatehouse.Internal: 1, gatehouse.Invalid: 2, gatehouse.TooLarge: 2,
		gatehouse.Unauthenticated: 3, gatehouse.Expired: 3, gatehouse.Revoked: 3,
		gatehouse.Forbidden: 4, gatehouse.Restricted: 4, gatehouse.QuotaExceeded: 4,
		gatehouse.NotFound: 5, gatehouse.LockLost: 5, gatehouse.Conflict: 6, gatehouse.RateLimited: 7, gatehouse.Unavailable: 7,
	}
	for _, k := range gatehouse.Kinds() {
		code, ok := want[k]
		if !ok {
			t.Errorf("no exit code is agreed for %v", k)
		}
		if got := ExitCode(fmt.Errorf("wrapped: %w", gatehouse.Errorf(k, "x"))); got != code {
			t.Errorf("%v: %d, want %d", k, got, code)
		}
	}
	if ExitCode(nil) != 0 || ExitCode(errors.New("x")) != 1 {
		t.Error("no error, or one of no kind")
	}
}

func TestReachable(t *testing.T) {
	t.Parallel()
	for listens, want := range map[string]string{
		":8443":           "gw.example:8443",
		"0.0.0.0:8443":    "gw.example:8443",
		"[::]:8443":       "gw.example:8443",
		"127.0.0.1:8443":  "127.0.0.1:8443",
		"[::1]:8443":      "[::1]:8443",
		"10.1.2.3:8443":   "10.1.2.3:8443",
		"localhost:8443":  "localhost:8443",
		"not-an-address!": "not-an-address!",
	} {
		if got := reachable(listens, "gw.example"); got != want {
			t.Errorf("%s: %s, want %s", listens, got, want)
		}
	}
	if got := reachable(":1", "2001:db8::1"); got != "[2001:db8::1]:1" {
		t.Error(got)
	}
}

func TestParties(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "acme", "/", "acme/", "/pump", "acme/pump/7", "acme/pump 7", "ac me/pump", "acme/$policies", "acme/.x"} {
		if err := new(Party).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	var p Party
	if err := p.UnmarshalText([]byte("acme/pump-7")); err != nil || p != (Party{"acme", "pump-7"}) || p.String() != "acme/pump-7" || p.path() != "/accounts/acme/endpoints/pump-7" {
		t.Errorf("%+v, %v", p, err)
	}
	for text, want := range map[string]KeyOwner{
		"acme/pump-7":            {Party: Party{"acme", "pump-7"}},
		"acme/$policies/backend": {Party: Party{"acme", "backend"}, Policy: true},
	} {
		var o KeyOwner
		if err := o.UnmarshalText([]byte(text)); err != nil || o != want {
			t.Errorf("%s: %+v, %v", text, o, err)
		}
	}
	for _, text := range []string{"acme/$policies/", "/$policies/x", "acme/$policies/a/b", "acme/$other/b"} {
		if err := new(KeyOwner).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestRefs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ kind, name, account, path, text string }{
		{"account", "", "", "/accounts", ""},
		{"accounts", "acme", "other", "/accounts/acme", `account "acme"`},
		{"Channels", "", "acme", "/accounts/acme/channels", ""},
		{"policy", "p", "acme", "/accounts/acme/policies/p", `policy "p" of account "acme"`},
		{"endpoint", "acme/e", "", "/accounts/acme/endpoints/e", `endpoint "e" of account "acme"`},
		{"endpoint", "acme/e", "other", "/accounts/acme/endpoints/e", `endpoint "e" of account "acme"`},
	} {
		r, err := refOf(c.kind, c.name, c.account)
		if err != nil || r.path() != c.path || c.text != "" && r.String() != c.text {
			t.Errorf("%+v: %s, %s, %v", c, r.path(), r, err)
		}
	}
	for _, c := range [][3]string{{"thing", "x", "acme"}, {"channel", "x", ""}, {"channel", "a/b/c", ""}, {"account", "a/b", ""}, {"route", "x y", "acme"}} {
		if _, err := refOf(c[0], c[1], c[2]); !errors.Is(err, gatehouse.Invalid) {
			t.Errorf("%q: %v", c, err)
		}
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	ref := func(k directory.Kind, name string) directory.Ref {
		return directory.Ref{Kind: k, Account: "acme", Name: name}
	}
	done := admin.Applied{Changes: directory.Diff{
		{Action: directory.Created, Ref: ref(directory.KindChannel, "work")},
		{Action: directory.Changed, Ref: ref(directory.KindRoute, "in"), Fields: []directory.FieldDifference{
			{Field: "when", To: `"a \u003c b \u0026\u0026 c \u003e d"`}, {Field: "types", From: `["x"]`}, {Field: "enabled", From: "true", To: "false"}, {Field: "keys[0]"},
		}},
		{Action: directory.Deleted, Ref: ref(directory.KindEndpoint, "desk")},
	}}
	const body = `+ channel work
~ route in
    when: (none) → "a < b && c > d"
    types: ["x"] → (none)
    enabled: true → false
    keys[0]: (changed)
- endpoint desk
`
	for dry, last := range map[bool]string{
		false: "account acme is changed: 1 created, 1 changed, 1 deleted\n",
		true:  "account acme would be changed: 1 created, 1 changed, 1 deleted\n",
	} {
		var out bytes.Buffer
		done.DryRun = dry
		if err := (&Globals{Stdout: &out}).showDiff("acme", &done); err != nil || out.String() != body+last {
			t.Errorf("%v\n%s", err, out.String())
		}
	}
}

func TestProblemsAreLocated(t *testing.T) {
	t.Parallel()
	const text = `account: acme
endpoints:
  - &base
    name: a
    inbox:
      lock: 99d
  - {name: b, labels: {x: y}}
  - {name: B}
routes:
  - name: in
    endpoints: {labels: "a b"}
`
	problem := func(k directory.Kind, name, field string) directory.Problem {
		return directory.Problem{Ref: directory.Ref{Kind: k, Account: "acme", Name: name}, Field: field, Text: "is wrong"}
	}
	problems := directory.Problems{
		problem(directory.KindRoute, "in", "endpoints"),
		problem(directory.KindEndpoint, "a", "inbox.lock"),
		problem(directory.KindEndpoint, "b", "labels"),
		problem(directory.KindEndpoint, "b", "name"),
		problem(directory.KindEndpoint, "a", "protocols"),
		problem(directory.KindHandler, "nobody", "kind"),
	}
	err := inFile(gatehouse.Wrap(gatehouse.Invalid, problems, "text"), "f.yaml", []byte(text))
	const want = `f.yaml:1: handler "nobody": kind: is wrong
f.yaml:3: endpoint "a": protocols: is wrong
f.yaml:6: endpoint "a": inbox.lock: is wrong
f.yaml:7: endpoint "b": labels: is wrong
f.yaml:8: endpoint "b": name: is wrong
f.yaml:11: route "in": endpoints: is wrong`
	if !errors.Is(err, gatehouse.Invalid) || err.Error() != want {
		t.Errorf("%v", err)
	}
	other := gatehouse.Errorf(gatehouse.NotFound, "no account")
	if err := inFile(other, "f.yaml", []byte(text)); err != error(other) {
		t.Errorf("another error has become %v", err)
	}
	for _, unreadable := range []string{"", "a: [", "7"} {
		if err := inFile(gatehouse.Wrap(gatehouse.Invalid, problems, "text"), "f", []byte(unreadable)); !errors.Is(err, gatehouse.Invalid) {
			t.Errorf("%q: %v", unreadable, err)
		}
	}
}

// TestTerminal holds that nothing a sender writes reaches the terminal as
// anything but text.
func TestTerminal(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"plain": "plain", "two\nlines\tand a tab": "two\nlines\tand a tab", "blåbær €": "blåbær €", "": "",
		"\x1b[2J": `"\x1b[2J"`, "\xff\x00": `"\xff\x00"`, "a\u009bb": `"a\u009bb"`,
	} {
		if got := bodyText([]byte(body)); got != want {
			t.Errorf("%q is shown as %s", body, got)
		}
	}
	for name, want := range map[string]string{"m-1": "m-1", "a b": "a b", "a\nb": `"a\nb"`, "\x07": `"\a"`, "a\u202eb": `"a\u202eb"`} {
		if got := printable(name); got != want {
			t.Errorf("%q is shown as %s", name, got)
		}
	}
}

func TestYAML(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	g := &Globals{Stdout: &out}
	document := `{"name":"x","age":"24h","count":10000000,"on":true,"text":"a: b","no":"no","empty":{},"list":["1",1,null],"when":"a < b"}`
	if err := g.printYAML(json.RawMessage(document)); err != nil {
		t.Fatal(err)
	}
	const want = `name: x
age: 24h
count: 10000000
"on": true
text: 'a: b'
"no": "no"
empty: {}
list:
  - "1"
  - 1
  - null
when: a < b
`
	if out.String() != want {
		t.Error(out.String())
	}
}

// TestGateway holds how a command finds its gateway.
func TestGateway(t *testing.T) {
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, TokenFile), []byte("from-the-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 1)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get("Authorization")
		_, _ = w.Write([]byte(`{"items":[]}`))
	}))
	defer web.Close()
	address := strings.TrimPrefix(web.URL, "http://")
	file := filepath.Join(t.TempDir(), "g.yaml")
	if err := os.WriteFile(file, []byte("data: "+data+"\nadmin: {address: '"+address+"'}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		g    Globals
		want string
	}{
		{Globals{Config: file}, "Bearer from-the-file"},
		{Globals{Config: file, Token: "given"}, "Bearer given"},
		{Globals{URL: web.URL, Data: data}, "Bearer from-the-file"},
		{Globals{URL: web.URL, Token: "given"}, "Bearer given"},
	} {
		c.g.Stdout, c.g.Output = new(bytes.Buffer), "json"
		if err := (&Get{Kind: "accounts"}).Run(context.Background(), &c.g); err != nil {
			t.Errorf("%+v: %v", c.g, err)
			continue
		}
		if got := <-seen; got != c.want {
			t.Errorf("%+v: %s", c.g, got)
		}
	}
	for kind, g := range map[gatehouse.Kind]Globals{
		gatehouse.Unauthenticated: {URL: web.URL, Data: t.TempDir()},
		gatehouse.Invalid:         {URL: "gw.example:7070", Token: "t"},
	} {
		if _, err := g.client(); !errors.Is(err, kind) {
			t.Errorf("%+v: %v", g, err)
		}
	}
}
