// Package vault encrypts small secrets that are stored: the keys of endpoints
// and policies. It uses AES-256-GCM with a random nonce. What is sealed is
// bound to a text, such as the name of whom it belongs to, and opens only with
// the same text, so that sealed secrets cannot be exchanged in storage.
//
// A vault has one key to seal with and may have former ones to open with. The
// first byte of a sealed secret is the version of the format, the second tells
// which key it was sealed with. Nonces are random: a key is good for four
// thousand million secrets.
package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gatehouse/gatehouse"
)

// KeySize is the length of a key in bytes.
const KeySize = 32

// Overhead is how much longer a sealed secret is than the secret.
const Overhead = headerSize + nonceSize + tagSize

const (
	version    = 1
	headerSize = 2
	nonceSize  = 12
	tagSize    = 16
)

// A Vault seals and opens secrets. It is immutable and safe for concurrent
// use.
type Vault struct {
	current byte // id of the key to seal with
	keys    map[byte]cipher.AEAD
}

// New returns a vault that seals with the first key and opens with all.
func New(keys ...[]byte) (*Vault, error) {
	if len(keys) == 0 {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "the encryption key is missing")
	}
	v := &Vault{keys: make(map[byte]cipher.AEAD, len(keys))}
	for i, key := range keys {
		if len(key) != KeySize {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "encryption key %d is %d bytes long; it must be %d random bytes", i+1, len(key), KeySize)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		id := keyID(key)
		if v.keys[id] != nil {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "encryption key %d is there twice, or has the same number as another; make a new one", i+1)
		}
		v.keys[id] = aead
		if i == 0 {
			v.current = id
		}
	}
	return v, nil
}

// keyID is the number that sealed secrets name a key by.
func keyID(key []byte) byte {
	sum := sha256.Sum256(append([]byte("gatehouse vault key id v1\x00"), key...))
	return sum[0]
}

// Seal appends secret, sealed and bound, to dst.
func (v *Vault) Seal(dst, secret, bound []byte) []byte {
	start := len(dst)
	dst = append(dst, version, v.current)
	dst = append(dst, make([]byte, nonceSize)...)
	rand.Read(dst[start+headerSize:]) //nolint:errcheck // it never fails
	return v.keys[v.current].Seal(dst, dst[start+headerSize:], secret, with(dst[start:start+headerSize], bound))
}

// with returns what is authenticated beside the secret.
func with(header, bound []byte) []byte {
	return append(append(make([]byte, 0, len(header)+len(bound)), header...), bound...)
}

// Open appends the secret to dst. The error, of kind Internal, says whether
// the vault has no such key or what was sealed is not what is being opened.
func (v *Vault) Open(dst, sealed, bound []byte) ([]byte, error) {
	if len(sealed) < Overhead {
		return nil, gatehouse.Errorf(gatehouse.Internal, "an encrypted secret is %d bytes long, which is too short; the row that holds it is damaged", len(sealed))
	}
	if sealed[0] != version {
		return nil, gatehouse.Errorf(gatehouse.Internal, "an encrypted secret has format %d, which this version does not know; it was written by a newer one, or the row is damaged", sealed[0])
	}
	aead := v.keys[sealed[1]]
	if aead == nil {
		return nil, gatehouse.Errorf(gatehouse.Internal, "a secret was encrypted with a key that is not there; put back the encryption key it was made with")
	}
	plain, err := aead.Open(dst, sealed[headerSize:headerSize+nonceSize], sealed[headerSize+nonceSize:], with(sealed[:headerSize], bound))
	if err != nil {
		return nil, gatehouse.Wrap(gatehouse.Internal, err, "an encrypted secret does not open: it was changed, belongs to another row, or was encrypted with another key")
	}
	return plain, nil
}

// ParseKeys reads keys as text: 32 bytes each in base64 or hexadecimal, one a
// line, the one to seal with first. Empty lines and lines that begin with #
// do not count. source is what errors call it. No error shows a key.
func ParseKeys(text, source string) ([][]byte, error) {
	var keys [][]byte
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, ok := parseKey(line)
		if !ok {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "%s, line %d: it is not an encryption key; write 32 random bytes in base64 or hexadecimal, as from: openssl rand -base64 32", source, i+1)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "%s has no encryption key; write 32 random bytes in base64 or hexadecimal, as from: openssl rand -base64 32", source)
	}
	return keys, nil
}

func parseKey(s string) ([]byte, bool) {
	if key, err := hex.DecodeString(s); err == nil && len(key) == KeySize {
		return key, true
	}
	s = strings.TrimRight(s, "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if key, err := encoding.DecodeString(s); err == nil && len(key) == KeySize {
			return key, true
		}
	}
	return nil, false
}

// Parse returns a vault with the keys in text; see ParseKeys.
func Parse(text, source string) (*Vault, error) {
	keys, err := ParseKeys(text, source)
	if err != nil {
		return nil, err
	}
	return New(keys...)
}

// Load returns a vault with the keys in a file.
func Load(file string) (*Vault, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, gatehouse.Wrap(gatehouse.Invalid, err, "the encryption key cannot be read: "+err.Error())
	}
	return Parse(string(text), file)
}

// LoadOrCreate is Load, but makes the file with a new random key, mode 0600,
// if there is none; created reports whether it did. A file that others may
// read is refused.
func LoadOrCreate(file string) (v *Vault, created bool, err error) {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if created, err = create(file); err != nil {
			return nil, false, gatehouse.Wrap(gatehouse.Unavailable, err, "the encryption key cannot be made: "+err.Error())
		}
	case err != nil:
		return nil, false, gatehouse.Wrap(gatehouse.Unavailable, err, "the encryption key cannot be read: "+err.Error())
	case info.Mode().Perm()&0o077 != 0:
		return nil, false, gatehouse.Errorf(gatehouse.Invalid, "the encryption key %s may be read by others (mode %04o); run: chmod 600 %s", file, info.Mode().Perm(), file)
	}
	v, err = Load(file)
	return v, created, err
}

// create makes a key file that is complete from the moment it can be seen. It
// reports false if another process was first.
func create(file string) (bool, error) {
	var key [KeySize]byte
	rand.Read(key[:]) //nolint:errcheck // it never fails
	dir := filepath.Dir(file)
	f, err := os.CreateTemp(dir, ".key-*") // with mode 0600
	if err != nil {
		return false, err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // best effort
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(key[:]) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return false, err
	}
	if err := os.Link(f.Name(), file); errors.Is(err, fs.ErrExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, syncDir(dir)
}

// syncDir makes a new name in dir durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // which does that by itself, and does not let others
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
