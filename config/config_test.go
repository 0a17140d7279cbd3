package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// env returns the environment of a test.
func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func parse(t *testing.T, text string, pairs ...string) *Config {
	t.Helper()
	c, err := Parse([]byte(text), "gatehouse.yaml", env(pairs...))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// same ignores where values come from.
var same = cmp.Options{cmpopts.IgnoreUnexported(Config{}), cmpopts.IgnoreTypes(Block{})}

func TestEmptyIsDefault(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "# nothing\n", "---\n", "admin:\nlisteners:\n"} {
		if diff := cmp.Diff(Default(), parse(t, text), same); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
	if err := Default().Validate(); err != nil {
		t.Errorf("the default is not valid: %v", err)
	}
}

const whole = `
environment: oslo
data: /var/lib/gatehouse
shards: 16
engine: {kind: natsjs, url: "nats://n1:4222,n2:4222", replicas: 3}
admin: {address: "127.0.0.1:9090"}
listeners:
  - {adapter: https, address: ":8443", maxBody: 4MiB, idle: 2m}
  - adapter: http
    address: "127.0.0.1:8080"
    drain: 3s
    connections: 100
    clientCertificates: never
tls: {certificate: cert.pem, key: key.pem, clientCA: ca.pem, clientCertificates: ask}
encryption: {keyEnv: SECRET}
inbox: {lock: 1m, maxDeliveries: -1, maxAge: 7d, deadLetterExpired: false, maxMessages: 10, maxBytes: 1GiB, onFull: dropOldest, deadLetterMaxAge: 30d}
handlers: {maxAttempts: 5, minBackoff: 1s, maxBackoff: 2m, deadLetterMaxAge: 14d}
drain: 30s
log: {level: debug, format: json}
`

func TestWholeFile(t *testing.T) {
	t.Parallel()
	want := &Config{
		Environment: "oslo", Data: "/var/lib/gatehouse", Shards: 16,
		Engine: Engine{Kind: "natsjs"},
		Admin:  Admin{Address: "127.0.0.1:9090"},
		Listeners: []Listener{
			{Adapter: "https", Address: ":8443", MaxBody: 4 << 20},
			{Adapter: "http", Address: "127.0.0.1:8080", Drain: Duration(3 * time.Second), Connections: 100, ClientCertificates: Never},
		},
		TLS:        TLS{Certificate: "cert.pem", Key: "key.pem", ClientCA: "ca.pem", ClientCertificates: Ask},
		Encryption: Encryption{KeyEnv: "SECRET"},
		Inbox: Inbox{
			Lock: Duration(time.Minute), MaxDeliveries: -1, MaxAge: Duration(7 * 24 * time.Hour), MaxMessages: 10,
			MaxBytes: 1 << 30, OnFull: DropOldest, DeadLetterMaxAge: Duration(30 * 24 * time.Hour),
		},
		Handlers: Handlers{MaxAttempts: 5, MinBackoff: Duration(time.Second), MaxBackoff: Duration(2 * time.Minute), DeadLetterMaxAge: Duration(14 * 24 * time.Hour)},
		Drain:    Duration(30 * time.Second),
		Log:      Log{Level: "debug", Format: "json"},
	}
	if diff := cmp.Diff(want, parse(t, whole), same); diff != "" {
		t.Error(diff)
	}
}

// TestFaults holds what a person is told to what was wrong.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"unknown key", "data: x\nadmin:\n  adress: ':1'\n", []string{`gatehouse.yaml:3: unknown key "adress" in admin; did you mean "address"?`}},
		{"unknown key at the top", "listener: []\n", []string{`gatehouse.yaml:1: unknown key "listener"; did you mean "listeners"?`}},
		{"case", "tls: {clientca: x}\n", []string{`gatehouse.yaml:1: unknown key "clientca" in tls; did you mean "clientCA"?`}},
		{"nothing near", "admin: {zzzzzzzz: 1}\n", []string{`gatehouse.yaml:1: unknown key "zzzzzzzz" in admin; the keys are address`}},
		{"twice", "data: x\ndata: y\n", []string{`gatehouse.yaml:2: key "data" is there twice`}},
		{"not a number", "shards: many\n", []string{`gatehouse.yaml:1: shards: "many" is not a whole number`}},
		{"a fraction", "shards: 1.5\n", []string{`gatehouse.yaml:1: shards: "1.5" is not a whole number`}},
		{"not a switch", "inbox: {deadLetterExpired: perhaps}\n", []string{`inbox.deadLetterExpired: "perhaps" is not true or false`}},
		{"not a section", "admin: ':7070'\n", []string{"gatehouse.yaml:1: admin must be a section with keys of its own"}},
		{"not a list", "listeners: {adapter: https}\n", []string{"gatehouse.yaml:1: listeners must be a list"}},
		{"not a value", "data: [a]\n", []string{"gatehouse.yaml:1: data must be a single value"}},
		{"no section at all", "- a\n", []string{"gatehouse.yaml:1: the file must be a section"}},
		{"not YAML", "data: x\n  bad: [\n", []string{"gatehouse.yaml:2: not YAML: "}},
		{"two documents", "data: x\n---\ndata: y\n", []string{"gatehouse.yaml:2: the file has more than one document"}},
		{"a duration", "drain: 10\n", []string{"gatehouse.yaml:1: drain: ", "a unit is missing"}},
		{"a size", "inbox:\n  maxBytes: 10 parsecs\n", []string{"gatehouse.yaml:2: inbox.maxBytes: ", "the unit is none of"}},
		{"environment", "environment: 'a b'\n", []string{"gatehouse.yaml:1: environment: ", "not allowed at position 2"}},
		{"shards", "shards: 0\n", []string{"gatehouse.yaml:1: shards: 0 is not between 1 and 1024"}},
		{"data", "data: ''\n", []string{"gatehouse.yaml:1: data: a folder is needed"}},
		{"engine", "engine: {kind: ''}\n", []string{"engine.kind: an engine is needed"}},
		{"admin", "admin: {address: localhost}\n", []string{`gatehouse.yaml:1: admin.address: "localhost" is not HOST:PORT or :PORT`}},
		{"port", "admin: {address: ':70000'}\n", []string{`admin.address: "70000" is not a port`}},
		{"no adapter", "listeners:\n  - address: ':1'\n", []string{"gatehouse.yaml:2: listeners[0].adapter: an adapter is needed"}},
		{"port taken", "listeners:\n  - {adapter: a, address: ':1'}\n  - {adapter: b, address: ':1'}\n", []string{"gatehouse.yaml:3: listeners[1].address: :1 is taken by listeners[0] already"}},
		{"admin port taken", "listeners: [{adapter: a, address: '127.0.0.1:7070'}]\n", []string{"127.0.0.1:7070 is taken by admin.address"}},
		{"listener", "listeners: [{adapter: a, connections: -1, maxBody: 1GiB}]\n", []string{"connections cannot be negative", "maxBody: the size must be at most 48 MiB"}},
		{"half a certificate", "tls: {certificate: a}\n", []string{"gatehouse.yaml:1: tls: certificate and key go together"}},
		{"two keys", "encryption: {keyFile: a, keyEnv: b}\n", []string{"gatehouse.yaml:1: encryption: give keyFile or keyEnv"}},
		{"lock", "inbox: {lock: 25h}\n", []string{"inbox.lock: a lock lasts longer than 0 and at most 24h"}},
		{"deliveries", "inbox: {maxDeliveries: 0}\n", []string{"inbox.maxDeliveries: must be at least 1"}},
		{"messages", "inbox: {maxMessages: -1}\n", []string{"inbox.maxMessages: a number"}},
		{"full", "inbox: {onFull: explode}\n", []string{`inbox.onFull: "explode" is not refuse, dropOldest or deadLetter`}},
		{"backoff", "handlers: {minBackoff: 2m}\n", []string{"handlers: minBackoff must be more than 0 and at most maxBackoff"}},
		{"attempts", "handlers: {maxAttempts: -2}\n", []string{"handlers.maxAttempts: a number"}},
		{"log", "log: {level: loud, format: xml}\n", []string{`log.level: "loud" is not`, `log.format: "xml" is not text or json`}},
		{"all at once", "shard: 1\nadmin: {adress: x}\ndrain: x\n", []string{"gatehouse.yaml:1: ", "gatehouse.yaml:2: ", "gatehouse.yaml:3: "}},
		{"no such variable", "data: '${NOWHERE}/x'\n", []string{"gatehouse.yaml:1: data: environment variable NOWHERE is not set"}},
		{"no such file", "data: '${file:/no/such}'\n", []string{"gatehouse.yaml:1: data: the configuration cannot be read: open /no/such"}},
		{"open brace", "data: '${x'\n", []string{"without a closing brace"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse([]byte(c.text), "gatehouse.yaml", env())
			if !errors.Is(err, gatehouse.Invalid) {
				t.Fatalf("the error is %v, of kind %v", err, gatehouse.KindOf(err))
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q\ndoes not say %q", err, want)
				}
			}
		})
	}
}

func TestEnvironmentOverrides(t *testing.T) {
	t.Parallel()
	c := parse(t, whole,
		"GATEHOUSE_DATA", "/elsewhere: really",
		"GATEHOUSE_ADMIN_ADDRESS", ":1234",
		"GATEHOUSE_TLS_CLIENT_CA", "other.pem",
		"GATEHOUSE_INBOX_MAX_BYTES", "2GiB",
		"GATEHOUSE_INBOX", "{lock: 5s, maxMessages: 20}",
		"GATEHOUSE_INBOX_DEAD_LETTER_EXPIRED", "true",
		"GATEHOUSE_LISTENERS", "[{adapter: http, address: ':1', idle: 3s}]",
		"GATEHOUSE_SHARDS", "4",
	)
	if c.Data != "/elsewhere: really" || c.Admin.Address != ":1234" || c.TLS.ClientCA != "other.pem" || c.TLS.Key != "key.pem" || c.Shards != 4 {
		t.Errorf("%+v", c)
	}
	if c.Inbox.MaxBytes != 2<<30 || c.Inbox.Lock != Duration(5*time.Second) || c.Inbox.MaxMessages != 20 || !c.Inbox.DeadLetterExpired || c.Inbox.OnFull != DropOldest {
		t.Errorf("inbox: %+v", c.Inbox)
	}
	if len(c.Listeners) != 1 || c.Listeners[0].Adapter != "http" || c.Listeners[0].Connections != 0 {
		t.Errorf("listeners: %+v", c.Listeners)
	}
}

func TestEnvironmentFaultsNameTheVariable(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"GATEHOUSE_SHARDS", "x", `environment variable GATEHOUSE_SHARDS: shards: "x" is not a whole number`},
		{"GATEHOUSE_SHARDS", "0", "environment variable GATEHOUSE_SHARDS: shards: 0 is not between"},
		{"GATEHOUSE_LISTENERS", "[{adaptor: https}]", ""}, // an adapter's own key, perhaps: found out by who knows the adapter
		{"GATEHOUSE_INBOX", "{look: 3s}", `environment variable GATEHOUSE_INBOX: unknown key "look" in inbox; did you mean "lock"?`},
		{"GATEHOUSE_LISTENERS", "[", "environment variable GATEHOUSE_LISTENERS: not YAML"},
		{"GATEHOUSE_DRAIN", "never", "environment variable GATEHOUSE_DRAIN: drain: "},
	} {
		_, err := Parse(nil, "", env(c[0], c[1]))
		if err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%s=%s: %v", c[0], c[1], err)
		}
	}
}

// TestVariablesAreDistinct proves that no two values share a variable.
func TestVariablesAreDistinct(t *testing.T) {
	t.Parallel()
	c := parse(t, "")
	paths := map[string]string{}
	var walk func(reflect.Value, string)
	walk = func(v reflect.Value, path string) {
		if other, ok := paths[variableName(path)]; ok {
			t.Errorf("%s and %s are both %s", path, other, variableName(path))
		}
		paths[variableName(path)] = path
		if v.Kind() == reflect.Struct && !isLeaf(v.Type()) {
			fields, _ := fieldsOf(v)
			for key, f := range fields {
				walk(f, join(path, key))
			}
		}
	}
	walk(valueOf(c), "")
	if len(paths) < 30 {
		t.Errorf("only %d values have a variable", len(paths))
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := parse(t, "data: '${HOME_DIR}/$$x/${file:"+file+"}/$y'\nshards: ${N}\ndrain: ${D}\n",
		"HOME_DIR", "/home", "N", "3", "D", "5s")
	if c.Data != "/home/$x/s3cret/$y" || c.Shards != 3 || c.Drain != Duration(5*time.Second) {
		t.Errorf("%+v", c)
	}
}

type options struct {
	URL  string   `yaml:"url"`
	N    int      `json:"replicas"`
	Idle Duration `yaml:"idle"`
}

func TestBlock(t *testing.T) {
	t.Parallel()
	c := parse(t, whole, "GATEHOUSE_ENGINE_REPLICAS", "5", "GATEHOUSE_IDLE", "9s")
	o := options{Idle: Duration(time.Second)}
	if err := c.Engine.Options.Decode(&o); err != nil {
		t.Fatal(err)
	}
	if want := (options{URL: "nats://n1:4222,n2:4222", N: 5, Idle: Duration(time.Second)}); o != want {
		t.Errorf("%+v", o)
	}
	if err := c.Listeners[0].Options.Decode(&o); err != nil || o.Idle != Duration(2*time.Minute) {
		t.Errorf("%+v, %v", o, err)
	}
	for _, b := range []Block{{}, Default().Engine.Options, parse(t, "").Engine.Options} {
		o := options{N: 1}
		if err := b.Decode(&o); err != nil || o.N != 1 {
			t.Errorf("an empty block: %+v, %v", o, err)
		}
	}
}

func TestBlockFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"engine:\n  kind: x\n  ulr: y\n", `gatehouse.yaml:3: unknown key "ulr" in engine; did you mean "url"?`},
		{"engine:\n  kind: x\n  kidn: y\n", `gatehouse.yaml:3: unknown key "kidn" in engine; did you mean "kind"?`},
		{"engine:\n  replicas: y\n", `gatehouse.yaml:2: engine.replicas: "y" is not a whole number`},
	} {
		err := parse(t, c.text).Engine.Options.Decode(&options{})
		if !errors.Is(err, gatehouse.Invalid) || err.Error() != c.want {
			t.Errorf("%q: %v", c.text, err)
		}
	}
	err := parse(t, "listeners:\n  - {adapter: https}\n  - adapter: http\n    adress: x\n").Listeners[1].Options.Decode(&options{})
	if want := `gatehouse.yaml:4: unknown key "adress" in listeners[1]; did you mean "address"?`; err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
	err = parse(t, "", "GATEHOUSE_ENGINE_REPLICAS", "x").Engine.Options.Decode(&options{})
	if want := `environment variable GATEHOUSE_ENGINE_REPLICAS: engine.replicas: "x" is not a whole number`; err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}

func TestFaultf(t *testing.T) {
	t.Parallel()
	c := parse(t, whole)
	for path, want := range map[string]string{
		"listeners[1].adapter": "gatehouse.yaml:9: listeners[1].adapter: no",
		"listeners[0].maxBody": "gatehouse.yaml:8: listeners[0].maxBody: no",
		"listeners[1].nosuch":  "gatehouse.yaml:9: listeners[1].nosuch: no",
		"nowhere":              "nowhere: no",
	} {
		if got := c.Faultf(path, "n%s", "o").Error(); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
	if got := Default().Faultf("data", "no").Error(); got != "data: no" {
		t.Error(got)
	}
}

func TestUnknownVariables(t *testing.T) {
	t.Parallel()
	c := parse(t, "")
	if err := c.Engine.Options.Decode(&options{}); err != nil {
		t.Fatal(err)
	}
	got := c.UnknownVariables([]string{
		"PATH=/bin", "GATEHOUSE_DATA=x", "GATEHOUSE_ENGINE_URL=x", "GATEHOUSE_TOKEN=x", "GATEHOUSE_SERVICE_HOST=x",
		"GATEHOUSE_PORT=tcp://x", "GATEHOUSE_PORT_8443_TCP_ADDR=x", "GATEHOUSE_ADMIN_ADRESS=:1",
	}, "GATEHOUSE_TOKEN")
	want := []string{"environment variable GATEHOUSE_ADMIN_ADRESS is not one of the gateway's; did you mean GATEHOUSE_ADMIN_ADDRESS?"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "g.yaml")
	if _, err := Load(file, nil); !errors.Is(err, gatehouse.NotFound) {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(file, []byte("shards: 2\nshrads: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file, nil); err == nil || !strings.Contains(err.Error(), file+":2: ") {
		t.Errorf("%v", err)
	}
	if c, err := Load("", env("GATEHOUSE_SHARDS", "3")); err != nil || c.Shards != 3 {
		t.Errorf("%+v, %v", c, err)
	}
}

// FuzzParse proves that no file brings the reader down.
func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("a: &a [*a]\nlisteners: *a"))
	f.Add([]byte("listeners: &a [{adapter: x}, *a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data, "f", env())
		if err == nil {
			_ = c.Engine.Options.Decode(&options{})
			return
		}
		if !errors.Is(err, gatehouse.Invalid) {
			t.Errorf("%v", err)
		}
	})
}
