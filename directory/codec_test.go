package directory

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/rule"

	"pgregory.net/rapid"
)

func drawEndpoint(t *rapid.T) *Endpoint {
	labels, err := rule.MakeLabels(rapid.MapOfN(rapid.StringMatching(`[a-c]{1,3}`), rapid.StringMatching(`[^\x00-\x1f\x7f]{0,20}`), 0, 5).
		Filter(func(m map[string]string) bool { _, err := rule.MakeLabels(m); return err == nil }).Draw(t, "labels"))
	if err != nil {
		t.Fatal(err)
	}
	e := &Endpoint{
		name: rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._-]{0,40}`).Draw(t, "name"), labels: labels,
		sealed: rapid.String().Draw(t, "sealed"), revision: 7,
		flags: endpointFlags(rapid.IntRange(0, 1<<flagsKnown-1).Draw(t, "flags")),
	}
	var bindings []byte
	for range rapid.IntRange(0, 3).Draw(t, "certificates") {
		bindings = appendBinding(bindings, drawBinding(t))
	}
	e.describe(string(bindings), rapid.String().Draw(t, "description"))
	e.setIncarnation(rapid.Uint32().Draw(t, "incarnation"))
	e.key = gatehouse.Fold(e.name)
	if rapid.Bool().Draw(t, "traits") {
		e.traits = &traits{Protocols: []string{"amqp"}, Inbox: &InboxSpec{}}
		give(&e.traits.Inbox, pointerTo(&InboxSpec{MaxAge: pointerTo(config.Duration(rapid.Int64Range(0, 1e18).Draw(t, "age")))}))
	}
	return e
}

func drawBinding(t *rapid.T) *auth.Binding {
	hash := rapid.StringMatching(`[a-z]{32}`)
	b := &auth.Binding{
		Mark:   auth.Mark(rapid.IntRange(int(auth.Thumbprint), int(auth.CommonName)).Draw(t, "mark")),
		Value:  hash.Draw(t, "value"),
		Rights: gatehouse.Rights(rapid.IntRange(1, int(ownRights)).Draw(t, "rights")),
	}
	if b.Mark != auth.Thumbprint && rapid.Bool().Draw(t, "issued") {
		b.Issuer = hash.Draw(t, "issuer")
	}
	return b
}

func pointerTo[T any](v T) *T { return &v }

func TestEndpointRows(t *testing.T) {
	t.Parallel()
	d := newDecoder() // one for all, so that what is remembered is used
	rapid.Check(t, func(t *rapid.T) {
		want := drawEndpoint(t)
		data, err := appendEndpoint(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		lent := bytes.Clone(data)
		for range 2 {
			got, err := d.endpoint(lent, 7)
			if err != nil {
				t.Fatal(err)
			}
			clear(lent)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%+v comes back as %+v", want, got)
			}
			lent = bytes.Clone(data)
		}
		for n := range len(data) - len(want.Description()) {
			if e, err := newDecoder().endpoint(data[:n], 7); err == nil {
				t.Fatalf("%d of %d bytes are read as %+v", n, len(data), e)
			}
		}
	})
}

// The format is that of rows which exist.
func TestEndpointRowFormat(t *testing.T) {
	t.Parallel()
	e := &Endpoint{
		name: "Pump-7", sealed: "SEALED", rest: "a pump", flags: flagDisabled | flagRevokedListen,
		labels: rule.Labels{{Key: "kind", Value: "pump"}, {Key: "site", Value: "oslo"}}, traits: &traits{Protocols: []string{"amqp"}},
	}
	const want = "\x01\x09\x16" + `{"protocols":["amqp"]}` + "\x14\x04kind\x04pump\x04site\x04oslo" + "\x06\x06Pump-7SEALEDa pump"
	got, err := appendEndpoint(nil, e)
	if err != nil || string(got) != want {
		t.Fatalf("the row is\n%q, %v; want\n%q", got, err, want)
	}
	e = &Endpoint{name: "Pump-7", sealed: "SEALED"}
	e.describe(string(appendBinding(nil, &auth.Binding{Mark: auth.CommonName, Value: "pump", Rights: gatehouse.RightSend})), "a pump")
	const certified = "\x01\x10\x00\x00" + "\x06\x06\x08Pump-7SEALED\x04\x01\x04pump\x00a pump"
	if got, err = appendEndpoint(nil, e); err != nil || string(got) != certified {
		t.Fatalf("the row is\n%q, %v; want\n%q", got, err, certified)
	}
	e = &Endpoint{name: "Pump-7", sealed: "SEALED", rest: "a pump"}
	e.setIncarnation(0x61626364)
	const incarnation = "\x01\x20\x00\x00" + "\x06\x06abcdPump-7SEALEDa pump"
	if got, err = appendEndpoint(nil, e); err != nil || string(got) != incarnation {
		t.Fatalf("the row is\n%q, %v; want\n%q", got, err, incarnation)
	}
}

func TestEndpointsShare(t *testing.T) {
	t.Parallel()
	d := newDecoder()
	read := func(name string) *Endpoint {
		row, err := appendEndpoint(nil, &Endpoint{name: name, labels: rule.Labels{{Key: "site", Value: "oslo"}}, traits: &traits{Protocols: []string{"amqp"}}})
		if err != nil {
			t.Fatal(err)
		}
		e, err := d.endpoint(row, 1)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	a, b := read("a"), read("b")
	if a.traits != b.traits || &a.labels[0] != &b.labels[0] {
		t.Fatal("two endpoints with the same labels and protocols do not share them")
	}
}

func FuzzEndpointRow(f *testing.F) {
	row, err := appendEndpoint(nil, &Endpoint{name: "a", labels: rule.Labels{{Key: "k", Value: "v"}}, traits: &traits{Protocols: []string{"p"}}, sealed: "s", rest: "d"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(row)
	certified := &Endpoint{name: "a", sealed: "s"}
	certified.describe(string(appendBinding(nil, &auth.Binding{Mark: auth.DNSName, Value: "a.example", Issuer: strings.Repeat("i", 32), Rights: ownRights})), "d")
	if row, err = appendEndpoint(nil, certified); err != nil {
		f.Fatal(err)
	}
	f.Add(row)
	f.Add([]byte{1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{1, 0, 0, 4, 1, 'b', 1, 'a', 1, 0, 'x'})
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := newDecoder().endpoint(data, 1)
		if err != nil {
			return
		}
		again, err := appendEndpoint(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		back, err := newDecoder().endpoint(again, 1)
		if err != nil || !reflect.DeepEqual(back, e) {
			t.Fatalf("%+v comes back as %+v, %v", e, back, err)
		}
	})
}

func TestKeysAreStoredCompactly(t *testing.T) {
	t.Parallel()
	made := newKey()
	for key, n := range map[string]int{
		"": 1, made: 33, strings.Repeat("k", 20): 21, strings.Repeat("k", keyText): 45,
		made[:42] + "B=": 45, made[:43] + "A": 45, // not what 32 bytes are written as
	} {
		plain := appendKey(nil, key)
		back, rest, err := nextKey(plain, true)
		if len(plain) != n || err != nil || back != key || len(rest) != 0 {
			t.Errorf("key %q takes %d bytes and comes back as %q, %v", key, len(plain), back, err)
		}
		for i := range plain {
			if _, _, err := nextKey(plain[:i], true); err == nil {
				t.Errorf("%d bytes of key %q are read", i, key)
			}
		}
	}
}

// Asking for what exists allocates nothing.
func TestLookUpsDoNotAllocate(t *testing.T) {
	b := (&Directory{}).build(new(Snapshot))
	b.loading = true
	e := &Endpoint{name: "pump-7", key: "pump-7"}
	for _, r := range []row{
		{account: "acme", kind: KindAccount, value: append([]byte{1, 0}, `{"name":"acme"}`...), revision: 1},
		{account: "acme", kind: KindEndpoint, name: "pump-7", endpoint: e},
	} {
		if err := b.apply(r); err != nil {
			t.Fatal(err)
		}
	}
	s, err := b.finish()
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if s.Account("acme").Endpoint("pump-7") != e {
			t.Fatal("it is not found")
		}
	}); n != 0 {
		t.Fatalf("a look-up allocates %v times", n)
	}
}
