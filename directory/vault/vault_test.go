package vault_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/directory/vault"

	"pgregory.net/rapid"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, vault.KeySize) }

func newVault(t testing.TB, keys ...[]byte) *vault.Vault {
	t.Helper()
	v, err := vault.New(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSealedOpens(t *testing.T) {
	t.Parallel()
	v := newVault(t, key(1))
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SliceOf(rapid.Byte()).Draw(t, "secret")
		bound := rapid.SliceOf(rapid.Byte()).Draw(t, "bound")
		prefix := []byte("before")
		sealed := v.Seal(prefix, secret, bound)
		if !bytes.HasPrefix(sealed, prefix) || len(sealed) != len(prefix)+len(secret)+vault.Overhead {
			t.Fatalf("%d bytes sealed become %d", len(secret), len(sealed)-len(prefix))
		}
		opened, err := v.Open([]byte("x"), sealed[len(prefix):], bound)
		if err != nil || string(opened) != "x"+string(secret) {
			t.Fatalf("opened %q, %v; want %q", opened, err, secret)
		}
	})
}

func TestEveryChangedByteIsFoundOut(t *testing.T) {
	t.Parallel()
	v := newVault(t, key(1))
	sealed := v.Seal(nil, []byte("secret"), []byte("whose"))
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if plain, err := v.Open(nil, changed, []byte("whose")); !errors.Is(err, gatehouse.Internal) {
			t.Fatalf("with byte %d changed it opens as %q, %v", i, plain, err)
		}
	}
	for n := range sealed {
		if _, err := v.Open(nil, sealed[:n], []byte("whose")); !errors.Is(err, gatehouse.Internal) {
			t.Fatalf("%d bytes of it open: %v", n, err)
		}
	}
	if _, err := v.Open(nil, sealed, []byte("others")); !errors.Is(err, gatehouse.Internal) {
		t.Fatalf("it opens for another: %v", err)
	}
}

func TestNoTwoAreAlike(t *testing.T) {
	t.Parallel()
	v := newVault(t, key(1))
	if bytes.Equal(v.Seal(nil, []byte("s"), nil), v.Seal(nil, []byte("s"), nil)) {
		t.Fatal("the same secret is sealed the same twice")
	}
}

func TestFormerKeysOpen(t *testing.T) {
	t.Parallel()
	old := newVault(t, key(1)).Seal(nil, []byte("secret"), nil)
	both := newVault(t, key(2), key(1))
	if plain, err := both.Open(nil, old, nil); err != nil || string(plain) != "secret" {
		t.Fatalf("opened %q, %v", plain, err)
	}
	fresh := both.Seal(nil, []byte("secret"), nil)
	if _, err := newVault(t, key(2)).Open(nil, fresh, nil); err != nil {
		t.Fatalf("it was not sealed with the first key: %v", err)
	}
	if _, err := newVault(t, key(2)).Open(nil, old, nil); !errors.Is(err, gatehouse.Internal) {
		t.Fatalf("a vault without the key opens it: %v", err)
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string][][]byte{
		"none": nil, "short": {key(1)[:31]}, "long": {append(key(1), 0)}, "twice": {key(1), key(1)},
	} {
		if _, err := vault.New(keys...); !errors.Is(err, gatehouse.Invalid) {
			t.Errorf("%s: error %v; want Invalid", name, err)
		}
	}
	for name, text := range map[string]string{
		"empty": "", "only a comment": "# nothing\n\n", "words": "correct horse battery staple",
		"31 bytes": base64.StdEncoding.EncodeToString(key(1)[:31]), "second line wrong": hex.EncodeToString(key(1)) + "\nwrong\n",
	} {
		_, err := vault.Parse(text, "the file")
		if !errors.Is(err, gatehouse.Invalid) || !strings.Contains(err.Error(), "the file") || !strings.Contains(err.Error(), "openssl rand") {
			t.Errorf("%s: error %v; want Invalid that names the file and how to make a key", name, err)
		}
		if text != "" && strings.Contains(err.Error(), "horse") {
			t.Errorf("%s: the error shows what was in the file: %v", name, err)
		}
	}
}

func TestFormsOfKeys(t *testing.T) {
	t.Parallel()
	sealed := newVault(t, key(0xfb)).Seal(nil, []byte("secret"), nil)
	for _, text := range []string{
		hex.EncodeToString(key(0xfb)), strings.ToUpper(hex.EncodeToString(key(0xfb))), base64.StdEncoding.EncodeToString(key(0xfb)),
		base64.RawStdEncoding.EncodeToString(key(0xfb)), base64.URLEncoding.EncodeToString(key(0xfb)),
		"# key\n\n  " + base64.StdEncoding.EncodeToString(key(0xfb)) + "\r\n",
	} {
		v, err := vault.Parse(text, "test")
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if _, err := v.Open(nil, sealed, nil); err != nil {
			t.Errorf("%q is read as another key: %v", text, err)
		}
	}
}

func TestLoadOrCreate(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	first, created, err := vault.LoadOrCreate(file)
	if err != nil || !created {
		t.Fatalf("created: %v, %v", created, err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file has mode %v, %v", info.Mode(), err)
	}
	second, created, err := vault.LoadOrCreate(file)
	if err != nil || created {
		t.Fatalf("created again: %v, %v", created, err)
	}
	if _, err := second.Open(nil, first.Seal(nil, []byte("s"), nil), nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := vault.LoadOrCreate(file); !errors.Is(err, gatehouse.Invalid) || !strings.Contains(err.Error(), "chmod 600") {
		t.Fatalf("a file that others may read: %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(left) != 1 {
		t.Fatalf("left behind: %v, %v", left, err)
	}
}

func TestCreatedOnceByMany(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	vaults := make([]*vault.Vault, 8)
	makers := make([]bool, len(vaults))
	var all sync.WaitGroup
	for i := range vaults {
		all.Go(func() {
			var err error
			if vaults[i], makers[i], err = vault.LoadOrCreate(file); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	n := 0
	for i, v := range vaults {
		if makers[i] {
			n++
		}
		if _, err := vaults[0].Open(nil, v.Seal(nil, []byte("s"), nil), nil); err != nil {
			t.Fatalf("they have different keys: %v", err)
		}
	}
	if n != 1 {
		t.Fatalf("%d of them made the file", n)
	}
}

func TestLoadMissing(t *testing.T) {
	t.Parallel()
	if _, err := vault.Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, gatehouse.Invalid) || !strings.Contains(err.Error(), "none") {
		t.Fatalf("error %v; want Invalid that names the file", err)
	}
}

func FuzzOpen(f *testing.F) {
	v := newVault(f, key(1))
	f.Add(v.Seal(nil, []byte("secret"), nil))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, data []byte) {
		plain, err := v.Open(nil, data, nil)
		if err == nil && string(plain) != "secret" {
			t.Fatalf("%x, which nobody has sealed, opens as %q", data, plain)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	v := newVault(b, key(1))
	sealed := v.Seal(nil, make([]byte, 132), []byte("bound"))
	b.ReportAllocs()
	var room [256]byte
	for b.Loop() {
		if _, err := v.Open(room[:0], sealed, []byte("bound")); err != nil {
			b.Fatal(err)
		}
	}
}
