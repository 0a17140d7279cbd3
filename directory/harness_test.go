package directory_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/directory/vault"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
	"github.com/gatehouse/gatehouse/route"
	"github.com/gatehouse/gatehouse/rule"
)

// key is a vault key made of one byte.
func key(b byte) []byte { return bytes.Repeat([]byte{b}, vault.KeySize) }

func testVault(t testing.TB, b byte) *vault.Vault {
	t.Helper()
	v, err := vault.New(key(b))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func newEngine(t testing.TB) engine.Engine {
	t.Helper()
	e := memory.New(memory.Options{Shards: 1})
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func open(t testing.TB, e engine.Engine, change ...func(*directory.Options)) *directory.Directory {
	t.Helper()
	o := directory.Options{Vault: testVault(t, 1), Environment: "test", CheckHandler: checkHandler}
	for _, f := range change {
		f(&o)
	}
	d, err := directory.Open(context.Background(), e, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// run has a directory follow others until the test ends.
func run(t testing.TB, d *directory.Directory) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := d.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		ended.Wait()
	})
}

func checkHandler(kind string, config json.RawMessage) error {
	if kind != "router" && kind != "webhook" {
		return fmt.Errorf("kind: there is no handler kind %q; the kinds are router and webhook", kind)
	}
	if kind == "webhook" && !bytes.Contains(config, []byte("url")) {
		return fmt.Errorf("config: url is missing")
	}
	return nil
}

// put creates or replaces definitions of account acme and stops at an error.
func put(t testing.TB, d *directory.Directory, specs ...directory.Spec) {
	t.Helper()
	for _, s := range specs {
		if _, err := d.Put(context.Background(), "acme", s, 0); err != nil {
			t.Fatal(err)
		}
	}
}

func acme(t testing.TB, d *directory.Directory) { put(t, d, &directory.AccountSpec{Name: "acme"}) }

func routeSpec(name, endpoints, channels string) *directory.RouteSpec {
	return &directory.RouteSpec{Authorization: route.Authorization{
		Name: name, Direction: route.Ingress, Endpoints: rule.Selector{Names: []string{endpoints}}, Channels: rule.Selector{Names: []string{channels}},
	}}
}

// account returns acme as it is.
func account(t testing.TB, d *directory.Directory) *directory.Account {
	t.Helper()
	a := d.Current().Account("acme")
	if a == nil {
		t.Fatal("there is no account acme")
	}
	return a
}

func wantKind(t testing.TB, err error, k gatehouse.Kind, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want %s", k)
	}
	if gatehouse.KindOf(err) != k {
		t.Fatalf("error of kind %s: %v; want %s", gatehouse.KindOf(err), err, k)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Fatalf("error %q does not say %q", err, text)
		}
	}
}

// dump returns everything a snapshot says, with the keys, one line each.
func dump(t testing.TB, d *directory.Directory) []string {
	t.Helper()
	var lines []string
	for a := range d.Current().Accounts() {
		for _, k := range directory.Kinds() {
			rows := a.Rows(k, "", 0)
			if len(rows) != a.Count(k) {
				t.Fatalf("there are %d rows of kind %s, but Count says %d", len(rows), k, a.Count(k))
			}
			for _, r := range rows {
				lines = append(lines, dumpRow(t, d, r))
			}
		}
		lines = append(lines, dumpDecisions(a)...)
	}
	return lines
}

func dumpRow(t testing.TB, d *directory.Directory, r directory.Row) string {
	t.Helper()
	text, err := json.Marshal(r.Spec)
	if err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("%s/%s revision %d %s", r.Account, r.Ref, r.Revision, text)
	switch r.Kind {
	case directory.KindEndpoint:
		keys, err := d.Reveal(r.Account, gatehouse.EndpointName(r.Name))
		if err != nil {
			t.Fatal(err)
		}
		line += fmt.Sprint(keys.Send.Primary, keys.Send.Secondary, keys.Listen.Primary, keys.Listen.Secondary)
	case directory.KindPolicy:
		keys, rights, err := d.PolicyKeys(r.Account, gatehouse.PolicyName(r.Name))
		if err != nil {
			t.Fatal(err)
		}
		line += fmt.Sprint(keys.Primary, keys.Secondary, rights)
	}
	return line
}

// dumpDecisions says what the compiled rules make of every endpoint.
func dumpDecisions(a *directory.Account) []string {
	var lines []string
	for e := range a.Endpoints("") {
		m := &gatehouse.Message{ID: "1", Type: "t"}
		channels, err := a.Routes().Plan(e.Party()).Ingress(nil, m, now)
		lines = append(lines, fmt.Sprintf("%s/%s to %v, refused: %v, restricted: %v", a.Name(), e.Name(), channels, err != nil, a.Restrictions().Plan(e.Party()).Message(nil, m, now)))
	}
	return lines
}

func difference(a, b []string) string {
	var s strings.Builder
	inA, inB := map[string]bool{}, map[string]bool{}
	for _, l := range a {
		inA[l] = true
	}
	for _, l := range b {
		inB[l] = true
	}
	for _, l := range slices.Sorted(maps.Keys(inA)) {
		if !inB[l] {
			s.WriteString("- " + l + "\n")
		}
	}
	for _, l := range slices.Sorted(maps.Keys(inB)) {
		if !inA[l] {
			s.WriteString("+ " + l + "\n")
		}
	}
	return s.String()
}
