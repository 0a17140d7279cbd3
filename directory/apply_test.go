package directory_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/directory"

	"go.yaml.in/yaml/v3"
)

const example = `
account: acme
channels:
  - {name: telemetry, retention: {age: 24h, bytes: 10GiB}}
endpoints:
  - {name: pump-7, labels: {site: oslo}, protocols: [amqp, mqtt, https], allowPlaintext: false,
     keys: {send: ["${K1}", key-number-two-0123], listen: [key-number-three-01, key-number-four-012]}}
  - name: pump-8
    inbox: {maxMessages: 5, lock: 1m}
routes:
  - {name: telemetry-in, direction: ingress, endpoints: {names: ["pump-*"]}, channels: {names: [telemetry]}, types: ["*"]}
  - {name: commands-out, direction: egress, channels: {names: [telemetry]}, endpoints: {labels: "site=oslo"}, when: "size(msg.body) < 4096"}
restrictions:
  - {name: web-only, endpoints: {labels: "kind=web"}, origins: ["https://app.example.com"]}
handlers:
  - {name: answers, channel: telemetry, kind: router}
  - name: hook
    channel: telemetry
    kind: webhook
    config:
      url: https://x.example
      retries: 3
      headers: {a: "1"}
policies:
  - {name: backend, rights: [channels], keys: [key-number-five-012, key-number-six-0123]}
`

func env(name string) (string, bool) {
	if name == "K1" {
		return "key-number-one-0123", true
	}
	return "", false
}

func parse(t *testing.T, text string) *directory.File {
	t.Helper()
	f, err := directory.ParseFile([]byte(text), "acme.yaml", env)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// short is a diff in a form to compare.
func short(diff directory.Diff) string {
	var lines []string
	for _, d := range diff {
		line := string(d.Action) + " " + d.Ref.String()
		for _, f := range d.Fields {
			line += " " + f.Field + ":" + f.From + ">" + f.To
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestApply(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	e := newEngine(t)
	d := open(t, e)
	f := parse(t, example)
	planned, err := d.Diff(ctx, f, true)
	if err != nil {
		t.Fatal(err)
	}
	if d.Current().Account("acme") != nil {
		t.Fatal("a diff changed something")
	}
	done, err := d.Apply(ctx, f, true)
	if err != nil {
		t.Fatal(err)
	}
	const want = `create account "acme"
create endpoint "pump-7"
create endpoint "pump-8"
create channel "telemetry"
create route "commands-out"
create route "telemetry-in"
create restriction "web-only"
create handler "answers"
create handler "hook"
create policy "backend"`
	if short(done) != want || short(planned) != want {
		t.Fatalf("it did\n%s\nand had said\n%s\nwant\n%s", short(done), short(planned), want)
	}
	keys := keysOf(t, d, "pump-7")
	if keys.Send.Primary != "key-number-one-0123" || keys.Listen.Secondary != "key-number-four-012" {
		t.Fatal("the keys are not those of the file")
	}
	if got := string(account(t, d).Handler("hook").Config()); got != `{"headers":{"a":"1"},"retries":3,"url":"https://x.example"}` {
		t.Fatalf("the handler has the configuration %s", got)
	}

	// Again, it changes nothing.
	before := d.Current()
	for range 2 {
		if done, err = d.Apply(ctx, parse(t, example), true); err != nil || len(done) != 0 || d.Current() != before {
			t.Fatalf("applied again, it did %s, %v", short(done), err)
		}
	}
	if got, want := dump(t, d), dump(t, open(t, e)); !slices.Equal(got, want) {
		t.Fatal(difference(got, want))
	}
}

func TestApplyChanges(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := open(t, newEngine(t))
	if _, err := d.Apply(ctx, parse(t, example), false); err != nil {
		t.Fatal(err)
	}
	if err := d.Revoke(ctx, "acme", "pump-8", directory.Revoked{Send: true}); err != nil {
		t.Fatal(err)
	}
	const changed = `
account: ACME
channels:
  - {name: telemetry, retention: {age: 48h, bytes: 10GiB}}
endpoints:
  - {name: pump-7, labels: {site: bergen}, protocols: [amqp, mqtt, https], keys: {send: [key-number-ten-0123]}}
routes: []
policies:
  - {name: backend, rights: [channels, manage]}
`
	f := parse(t, changed)
	const kept = `change endpoint "pump-7" labels.site:"oslo">"bergen" keys.send[0]:>
change channel "telemetry" retention.age:"1d">"2d"
change policy "backend" rights:["channels"]>["channels","manage"]`
	if got, err := d.Diff(ctx, f, false); err != nil || normal(short(got)) != normal(kept) {
		t.Fatalf("without prune:\n%s\n%v\nwant\n%s", short(got), err, kept)
	}
	const pruned = `change endpoint "pump-7" labels.site:"oslo">"bergen" keys.send[0]:>
delete endpoint "pump-8"
change channel "telemetry" retention.age:"1d">"2d"
delete route "commands-out"
delete route "telemetry-in"
change policy "backend" rights:["channels"]>["channels","manage"]`
	got, err := d.Apply(ctx, f, true)
	if err != nil || normal(short(got)) != normal(pruned) {
		t.Fatalf("with prune:\n%s\n%v\nwant\n%s", short(got), err, pruned)
	}
	a := account(t, d)
	if a.Count(directory.KindHandler) != 2 || a.Count(directory.KindRestriction) != 1 {
		t.Fatal("sections that the file does not have were pruned")
	}
	if keys := keysOf(t, d, "pump-7"); keys.Send.Primary != "key-number-ten-0123" || keys.Send.Secondary != "key-number-two-0123" {
		t.Fatal("not exactly the given key is another")
	}
}

// normal has durations in one form.
func normal(s string) string { return strings.NewReplacer("1d", "24h", "2d", "48h").Replace(s) }

func TestApplyKeepsWhoIsShutOut(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := open(t, newEngine(t))
	if _, err := d.Apply(ctx, parse(t, example), false); err != nil {
		t.Fatal(err)
	}
	if err := d.Revoke(ctx, "acme", "pump-7", directory.Revoked{Send: true}); err != nil {
		t.Fatal(err)
	}
	put(t, d, &directory.AccountSpec{Name: "acme", Disabled: true})
	if done, err := d.Apply(ctx, parse(t, example), true); err != nil || len(done) != 0 {
		t.Fatalf("it did %s, %v", short(done), err)
	}
	if a := account(t, d); !a.Disabled() || !a.Endpoint("pump-7").Revoked().Send {
		t.Fatal("a file that says nothing about it let in who was shut out")
	}
}

func TestApplyRefusesTheWholeFile(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := open(t, newEngine(t))
	text := example + "  - {name: send, rights: [everything]}\n"
	_, planned := d.Diff(ctx, parse(t, text), true)
	_, err := d.Apply(ctx, parse(t, text), true)
	for _, err := range []error{planned, err} {
		wantKind(t, err, gatehouse.Invalid, `policy "send": name: `, `policy "send": rights: "everything" is not a right`)
	}
	if d.Current().Account("acme") != nil {
		t.Fatal("a part of it was applied")
	}
	if _, err := d.Apply(ctx, parse(t, example), true); err != nil {
		t.Fatal(err)
	}
	_, err = d.Apply(ctx, parse(t, "account: acme\nchannels: []\n"), true)
	wantKind(t, err, gatehouse.Conflict, `channel "telemetry" cannot be deleted`, `"answers", "hook"`)
}

func TestExportedFileApplies(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := open(t, newEngine(t))
	if _, err := d.Apply(ctx, parse(t, example), true); err != nil {
		t.Fatal(err)
	}
	f, err := d.Export("ACME")
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range [][]byte{asYAML, asJSON} {
		if strings.Contains(string(text), "key-number") {
			t.Fatalf("it has keys:\n%s", text)
		}
		back, err := directory.ParseFile(text, "export", nil)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if diff, err := d.Diff(ctx, back, true); err != nil || len(diff) > 0 {
			t.Fatalf("exported and applied, it does %s, %v:\n%s", short(diff), err, text)
		}
		back.Account = "copy"
		if _, err := d.Apply(ctx, back, true); err != nil {
			t.Fatal(err)
		}
	}
	copied := d.Current().Account("copy")
	for _, k := range directory.Kinds()[1:] {
		if copied.Count(k) != account(t, d).Count(k) {
			t.Errorf("the copy has %d %s", copied.Count(k), k)
		}
	}
	_, err = d.Export("other")
	wantKind(t, err, gatehouse.NotFound, "other")
}

func TestFilesThatAreRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                             "acme.yaml: it is empty",
		"account: acme\nchannel: []\n": `acme.yaml:2: unknown key "channel"; the keys are account, channels, endpoints`,
		"account: acme\nroutes:\n  - name: x\n    endpoint: {}\n":           `acme.yaml:4: unknown key "endpoint" in routes; the keys are channels, direction`,
		"account: acme\nroutes:\n  - endpoints: {label: x}\n":               `acme.yaml:3: unknown key "label" in routes.endpoints; the keys are labels, names`,
		"account: acme\nendpoints:\n  - inbox: {onfull: refuse}\n":          `unknown key "onfull" in endpoints.inbox`,
		"account: acme\nchannels:\n  - retention: {age: soon}\n":            `acme.yaml:3: duration "soon"`,
		"account: acme\nchannels: {name: x}\n":                              `acme.yaml:2: a map stands where a list is needed`,
		"account: acme\n\tchannels: x\n":                                    `acme.yaml:2: `,
		"account: ac me\n":                                                  `acme.yaml: account: name "ac me"`,
		"channels: []\n":                                                    `acme.yaml: account: a name is missing`,
		"account: a\n---\naccount: b\n":                                     "more than one document",
		"account: acme\npolicies:\n  - {name: p, keys: [\"${NO_SUCH}\"]}\n": `policy "p": keys: the environment variable NO_SUCH is not set`,
	} {
		_, err := directory.ParseFile([]byte(text), "acme.yaml", env)
		if err == nil {
			t.Errorf("%q: no error", text)
			continue
		}
		wantKind(t, err, gatehouse.Invalid, want)
	}
}

func TestKeysAreExpandedOnce(t *testing.T) {
	t.Parallel()
	f, err := directory.ParseFile([]byte(`{account: a, policies: [{name: p, keys: ["${A}-${B}", "$A {A} ${A", "${A"]}]}`), "f", func(name string) (string, bool) {
		return "<${" + name + "}>", true
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"<${A}>-<${B}>", "$A {A} ${A", "${A"}; !slices.Equal(f.Policies[0].Keys, want) {
		t.Fatalf("keys are %q; want %q", f.Policies[0].Keys, want)
	}
}

func FuzzParseFile(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte("account: &a acme\nchannels: [*a]\n"))
	f.Add([]byte("a: &a [*a]\naccount: x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := directory.ParseFile(data, "f", nil)
		if err != nil {
			wantKind(t, err, gatehouse.Invalid)
			return
		}
		if gatehouse.CheckName(string(file.Account)) != nil {
			t.Fatalf("it names account %q", file.Account)
		}
	})
}
