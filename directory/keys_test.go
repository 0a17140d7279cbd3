package directory_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/engine"
)

const (
	k1 = "first-key-01234567"
	k2 = "second-key-0123456"
	k3 = "third-key-01234567"
	k4 = "fourth-key-0123456"
)

func keysOf(t *testing.T, d *directory.Directory, name gatehouse.EndpointName) directory.EndpointSecrets {
	t.Helper()
	all, err := d.Reveal("acme", name)
	if err != nil {
		t.Fatal(err)
	}
	for policy, want := range map[gatehouse.PolicyName]auth.KeyPair{"send": all.Send, "Listen": all.Listen} {
		if got, err := d.EndpointKeys("ACME", gatehouse.EndpointName(strings.ToUpper(string(name))), policy); err != nil || got != want {
			t.Fatalf("EndpointKeys of %s = %#v, %v; Reveal says otherwise", policy, got, err)
		}
	}
	send, listen, err := d.OwnKeys("ACME", gatehouse.EndpointName(strings.ToUpper(string(name))))
	if err != nil || send != all.Send || listen != all.Listen {
		t.Fatalf("OwnKeys = %#v, %#v, %v; Reveal says otherwise", send, listen, err)
	}
	return all
}

func TestKeysAreMade(t *testing.T) {
	t.Parallel()
	d := open(t, newEngine(t))
	acme(t, d)
	put(t, d, &directory.EndpointSpec{Name: "pump-7"}, &directory.EndpointSpec{Name: "pump-8"}, &directory.PolicySpec{Name: "backend", Rights: []string{"channels"}})
	one, two := keysOf(t, d, "pump-7"), keysOf(t, d, "pump-8")
	policy, err := d.RevealPolicy("acme", "Backend")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, key := range []string{
		one.Send.Primary, one.Send.Secondary, one.Listen.Primary, one.Listen.Secondary,
		two.Send.Primary, two.Send.Secondary, two.Listen.Primary, two.Listen.Secondary, policy.Primary, policy.Secondary,
	} {
		if raw, err := base64.StdEncoding.DecodeString(key); err != nil || len(raw) != 32 {
			t.Errorf("key %q is not 32 bytes in base64", key)
		}
		if seen[key] {
			t.Errorf("key %q is there twice", key)
		}
		seen[key] = true
	}
}

func TestGivenKeys(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	d := open(t, e)
	acme(t, d)
	put(t, d, &directory.EndpointSpec{Name: "pump-7", Keys: &directory.KeySpec{Send: []string{k1, k2}, Listen: []string{k3}}})
	first := keysOf(t, d, "pump-7")
	if first.Send != (auth.KeyPair{Primary: k1, Secondary: k2}) || first.Listen.Primary != k3 || len(first.Listen.Secondary) != 44 {
		t.Fatalf("keys are %v", [4]string{first.Send.Primary, first.Send.Secondary, first.Listen.Primary, first.Listen.Secondary})
	}
	revision := account(t, d).Endpoint("pump-7").Revision()

	// What is not given stays, and the same keys again are no change.
	put(t, d, &directory.EndpointSpec{Name: "pump-7"}, &directory.EndpointSpec{Name: "pump-7", Keys: &directory.KeySpec{Send: []string{k1}}})
	if got := keysOf(t, d, "pump-7"); got != first || account(t, d).Endpoint("pump-7").Revision() != revision {
		t.Fatal("keys, or the revision, changed though none was given")
	}
	put(t, d, &directory.EndpointSpec{Name: "pump-7", Keys: &directory.KeySpec{Listen: []string{k3, k4}}})
	if got := keysOf(t, d, "pump-7"); got.Send != first.Send || got.Listen != (auth.KeyPair{Primary: k3, Secondary: k4}) {
		t.Fatal("the keys are not those given")
	}
	if got, want := keysOf(t, d, "pump-7"), keysOf(t, open(t, e), "pump-7"); got != want {
		t.Fatal("the keys are others after reading them again")
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	t.Parallel()
	d := open(t, newEngine(t))
	acme(t, d)
	for _, c := range []struct {
		keys directory.KeySpec
		text string
	}{
		{directory.KeySpec{Send: []string{"short"}}, "keys.send[0]: it has 5 characters; give at least 16"},
		{directory.KeySpec{Send: []string{k1, ""}}, "keys.send[1]: it has 0 characters"},
		{directory.KeySpec{Listen: []string{strings.Repeat("k", 257)}}, "keys.listen[0]: it has 257 characters; at most 256"},
		{directory.KeySpec{Listen: []string{"with a space in the middle"}}, "keys.listen[0]: character 5 is not allowed"},
		{directory.KeySpec{Send: []string{"with,comma-0123456789"}}, "character 5 is not allowed"},
		{directory.KeySpec{Send: []string{"with;semicolon-0123456789"}}, "character 5 is not allowed"},
		{directory.KeySpec{Send: []string{k1, k1}}, "the primary and the secondary key are the same"},
		{directory.KeySpec{Send: []string{k1, k2, k3}}, "more than two keys"},
	} {
		_, err := d.Put(context.Background(), "acme", &directory.EndpointSpec{Name: "pump-7", Keys: &c.keys}, 0)
		wantKind(t, err, gatehouse.Invalid, `endpoint "pump-7": keys`, c.text)
		if strings.Contains(err.Error(), "0123456789") {
			t.Errorf("the error shows the key: %v", err)
		}
	}
	if account(t, d).Endpoint("pump-7") != nil {
		t.Fatal("the endpoint was created")
	}
}

func TestRotate(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	d := open(t, e)
	acme(t, d)
	put(t, d, &directory.EndpointSpec{Name: "pump-7"}, &directory.PolicySpec{Name: "backend", Rights: []string{"manage"}, Keys: []string{k1, k2}})
	ctx, before := context.Background(), keysOf(t, d, "pump-7")
	got, err := d.Rotate(ctx, "Acme", "Pump-7", "LISTEN", directory.Secondary)
	if err != nil {
		t.Fatal(err)
	}
	after := keysOf(t, d, "pump-7")
	if got != after.Listen || after.Send != before.Send || after.Listen.Primary != before.Listen.Primary || after.Listen.Secondary == before.Listen.Secondary {
		t.Fatal("not exactly the secondary key of listen is another")
	}
	pair, err := d.RotatePolicy(ctx, "acme", "backend", directory.Primary)
	if err != nil {
		t.Fatal(err)
	}
	if stored, rights, err := d.PolicyKeys("acme", "BACKEND"); err != nil || stored != pair || pair.Secondary != k2 || pair.Primary == k1 || rights != gatehouse.RightManage {
		t.Fatalf("the policy has %v, rights %v, %v", stored, rights, err)
	}
	if keysOf(t, open(t, e), "pump-7") != after {
		t.Fatal("the rotated key is not the stored one")
	}
	_, err = d.Rotate(ctx, "acme", "pump-7", "manage", directory.Primary)
	wantKind(t, err, gatehouse.NotFound, "only send and listen")
	_, err = d.Rotate(ctx, "acme", "pump-7", "send", "third")
	wantKind(t, err, gatehouse.Invalid, "primary and secondary")
	_, err = d.Rotate(ctx, "acme", "pump-9", "send", directory.Primary)
	wantKind(t, err, gatehouse.NotFound, "pump-9")
	_, err = d.RotatePolicy(ctx, "acme", "other", directory.Primary)
	wantKind(t, err, gatehouse.NotFound, "other")
}

func TestKeysOfNobody(t *testing.T) {
	t.Parallel()
	d := open(t, newEngine(t))
	acme(t, d)
	put(t, d, &directory.EndpointSpec{Name: "pump-7"})
	_, err := d.EndpointKeys("other", "pump-7", "send")
	wantKind(t, err, gatehouse.NotFound)
	_, err = d.EndpointKeys("acme", "pump-8", "send")
	wantKind(t, err, gatehouse.NotFound)
	_, _, err = d.OwnKeys("acme", "pump-8")
	wantKind(t, err, gatehouse.NotFound)
	_, err = d.EndpointKeys("acme", "pump-7", "backend")
	wantKind(t, err, gatehouse.NotFound)
	_, _, err = d.PolicyKeys("acme", "backend")
	wantKind(t, err, gatehouse.NotFound)
	_, _, err = d.PolicyKeys("other", "backend")
	wantKind(t, err, gatehouse.NotFound)
}

// No key is stored, or shown by printing, in the clear.
func TestKeysAreNotShown(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	d := open(t, e)
	acme(t, d)
	put(t, d, &directory.EndpointSpec{Name: "pump-7", Keys: &directory.KeySpec{Send: []string{k1, k2}}}, &directory.PolicySpec{Name: "backend", Rights: []string{"send"}, Keys: []string{k3, k4}})
	var stored []byte
	if _, err := e.Table("directory").Scan(context.Background(), "", func(r engine.TableRow) error {
		stored = append(stored, r.Value...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	secrets := keysOf(t, d, "pump-7")
	rows := account(t, d).Rows(directory.KindPolicy, "", 0)
	file, err := d.Export("acme")
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprint(secrets, rows[0].Spec, file.Policies, file.Endpoints, account(t, d).Endpoint("pump-7").Spec())
	for _, key := range []string{k1, k2, k3, k4} {
		if bytes.Contains(stored, []byte(key)) {
			t.Errorf("key %q is stored in the clear", key)
		}
		if strings.Contains(shown, key) {
			t.Errorf("key %q is shown", key)
		}
	}
}

func TestWrongVault(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	acme(t, open(t, e))
	_, err := directory.Open(context.Background(), e, directory.Options{Vault: testVault(t, 2), Environment: "test"})
	wantKind(t, err, gatehouse.Invalid, "the encryption key is not the one", "put back the former key")
	_, err = directory.Open(context.Background(), e, directory.Options{Environment: "test"})
	wantKind(t, err, gatehouse.Invalid, "vault")
}

// table writes rows behind the directory's back.
func table(t *testing.T, e engine.Engine, changes ...engine.Change) {
	t.Helper()
	if _, err := e.Table("directory").Update(context.Background(), changes...); err != nil {
		t.Fatal(err)
	}
}

func value(t *testing.T, e engine.Engine, key string) []byte {
	t.Helper()
	r, err := e.Table("directory").Get(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	return r.Value
}

// Sealed keys that were changed, or moved to another row, prove nothing; the
// others are not affected.
func TestTamperedKeys(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	d := open(t, e)
	acme(t, d)
	put(t, d, &directory.EndpointSpec{Name: "pump-1"}, &directory.EndpointSpec{Name: "pump-2"}, &directory.EndpointSpec{Name: "pump-3"})
	good := keysOf(t, d, "pump-3")

	moved := bytes.Replace(value(t, e, "acme/e/pump-1"), []byte("pump-1"), []byte("pump-2"), 1)
	changed := value(t, e, "acme/e/pump-1")
	changed[len(changed)-1] ^= 1
	table(t, e, engine.Change{Key: "acme/e/pump-1", Value: changed}, engine.Change{Key: "acme/e/pump-2", Value: moved})

	d = open(t, e)
	for _, name := range []gatehouse.EndpointName{"pump-1", "pump-2"} {
		_, err := d.EndpointKeys("acme", name, "send")
		wantKind(t, err, gatehouse.Internal, string(name), "cannot be read")
		_, err = d.Rotate(context.Background(), "acme", name, "send", directory.Primary)
		wantKind(t, err, gatehouse.Internal, string(name))
	}
	if keysOf(t, d, "pump-3") != good {
		t.Fatal("the keys of an endpoint that was not touched are others")
	}
}

// Sealed keys are good for their account and kind alone, whatever the name.
func TestKeysOfOthersWithTheSameName(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	e := newEngine(t)
	d := open(t, e)
	acme(t, d)
	if _, err := d.Update(ctx, "other", directory.Change{Spec: &directory.AccountSpec{Name: "other"}}, directory.Change{Spec: &directory.EndpointSpec{Name: "same"}}); err != nil {
		t.Fatal(err)
	}
	put(t, d, &directory.EndpointSpec{Name: "same"}, &directory.PolicySpec{Name: "same", Rights: []string{"manage"}})
	endpoint := value(t, e, "acme/e/same")
	sealed := endpoint[bytes.Index(endpoint, []byte("same"))+len("same"):]
	if len(sealed) > 255 || len(sealed) < 128 {
		t.Fatalf("the sealed keys are %d bytes", len(sealed))
	}
	policy := binary.AppendUvarint([]byte{1}, uint64(len(sealed)))
	policy = append(append(policy, sealed...), `{"name":"same","rights":["manage"]}`...)
	table(t, e, engine.Change{Key: "other/e/same", Value: endpoint}, engine.Change{Key: "acme/p/same", Value: policy})
	d = open(t, e)
	_, err := d.EndpointKeys("other", "same", "send")
	wantKind(t, err, gatehouse.Internal, "cannot be read")
	_, _, err = d.PolicyKeys("acme", "same")
	wantKind(t, err, gatehouse.Internal, "cannot be read")
	if _, err := d.EndpointKeys("acme", "same", "send"); err != nil {
		t.Fatal(err)
	}
}

// A row that cannot be read keeps the directory from opening, and is named.
func TestDamagedRows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key   string
		value []byte
		text  string
	}{
		"newer endpoint":     {"acme/e/pump-1", []byte{9, 0}, `endpoint "pump-1" of account "acme" cannot be read: it has format 9`},
		"endpoint cut short": {"acme/e/pump-1", []byte{1, 0, 0, 0, 40}, "ends too early"},
		"unknown flag":       {"acme/e/pump-1", []byte{1, 0x80, 0, 0, 0, 0}, "flags 0x80"},
		"empty endpoint":     {"acme/e/pump-1", []byte{1}, "ends too early"},
		"newer channel":      {"acme/c/telemetry", []byte{2, 0, '{', '}'}, `channel "telemetry"`},
		"unknown field":      {"acme/r/in", append([]byte{1, 0}, `{"name":"in","direction":"ingress","unless":"x"}`...), `unknown field "unless"`},
		"rule that is wrong": {"acme/r/in", append([]byte{1, 0}, `{"name":"in","direction":"sideways"}`...), "do not compile"},
		"other name":         {"acme/c/telemetry", append([]byte{1, 0}, `{"name":"alarms"}`...), `the definition of "alarms"`},
		"unknown kind":       {"acme/z/x", []byte{1}, `row "acme/z/x"`},
	} {
		e := newEngine(t)
		acme(t, open(t, e))
		table(t, e, engine.Change{Key: c.key, Value: c.value})
		_, err := directory.Open(context.Background(), e, directory.Options{Vault: testVault(t, 1), Environment: "test"})
		if err == nil {
			t.Errorf("%s: it opens", name)
			continue
		}
		wantKind(t, err, gatehouse.Internal, c.text)
	}
}
