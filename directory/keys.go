package directory

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/directory/vault"
)

// Keys of an endpoint or a policy are sealed together, in a fixed order: two
// for a policy; for an endpoint those of send, then those of listen. Each is a
// uvarint and what follows: 0 for none; 1 for the 32 bytes whose base64 is the
// key; 2 + n for n bytes of text.

// Lengths of keys.
const (
	MinKey = 16
	MaxKey = 256

	randomKey = 32 // bytes of a key that is made
	keyText   = 44 // characters of its base64

	maxBound = 3 * gatehouse.MaxName
)

// newKey makes a key.
func newKey() string {
	var b [randomKey]byte
	rand.Read(b[:]) //nolint:errcheck // it never fails
	return base64.StdEncoding.EncodeToString(b[:])
}

// checkKey says what is wrong with a given key, and nothing if it is right. It
// does not show the key.
func checkKey(key string) string {
	switch {
	case len(key) < MinKey:
		return fmt.Sprintf("it has %d characters; give at least %d random ones, or none to have a key made", len(key), MinKey)
	case len(key) > MaxKey:
		return fmt.Sprintf("it has %d characters; at most %d are allowed", len(key), MaxKey)
	}
	for i := range len(key) {
		if c := key[i]; c <= ' ' || c > '~' || c == ',' || c == ';' {
			return fmt.Sprintf("character %d is not allowed in a key; use visible ASCII characters without comma and semicolon", i+1)
		}
	}
	return ""
}

// bound is what sealed keys are bound to. Names are folded.
func bound(dst []byte, account string, k Kind, name string) []byte {
	dst = append(dst, "gatehouse keys v1\x00"...)
	dst = append(append(dst, account...), 0, k.letter(), 0)
	return append(dst, name...)
}

func (d *Directory) seal(account string, k Kind, name string, keys []string) string {
	plain := make([]byte, 0, keysPerEndpoint*(randomKey+1))
	for _, key := range keys {
		plain = appendKey(plain, key)
	}
	sealed := make([]byte, 0, len(plain)+vault.Overhead)
	return string(d.opts.Vault.Seal(sealed, plain, bound(make([]byte, 0, maxBound), account, k, name)))
}

func appendKey(dst []byte, key string) []byte {
	if key == "" {
		return append(dst, 0)
	}
	var raw [randomKey + 1]byte // the padding of 44 characters may stand for one byte more
	var again [keyText]byte
	if len(key) == keyText {
		n, err := base64.StdEncoding.Decode(raw[:], []byte(key))
		base64.StdEncoding.Encode(again[:], raw[:randomKey])
		if err == nil && n == randomKey && string(again[:]) == key {
			return append(append(dst, 1), raw[:randomKey]...)
		}
	}
	return append(binary.AppendUvarint(dst, uint64(len(key))+2), key...)
}

// unseal returns the keys from, up to but not including to, of those sealed
// together.
func (d *Directory) unseal(account string, k Kind, name, sealed string, from, to int, dst []string) ([]string, error) {
	// One buffer for all: what goes through the cipher cannot stay on the stack.
	b := bound(make([]byte, 0, maxBound+2*len(sealed)), account, k, name)
	end := len(b)
	b = append(b, sealed...)
	plain, err := d.opts.Vault.Open(b[len(b):], b[end:], b[:end])
	if err != nil {
		return nil, gatehouse.Wrap(gatehouse.Internal, err, fmt.Sprintf("the keys of %s %q of account %q cannot be read: %s", k, name, account, err))
	}
	for i := range to {
		key, rest, err := nextKey(plain, i >= from)
		if err != nil {
			return nil, gatehouse.Errorf(gatehouse.Internal, "the keys of %s %q of account %q cannot be read: %w", k, name, account, err)
		}
		plain = rest
		if i >= from {
			dst = append(dst, key)
		}
	}
	return dst, nil
}

var errKeys = errors.New("they are not in a known form")

// nextKey reads a key, as text only if it is wanted.
func nextKey(plain []byte, wanted bool) (key string, rest []byte, err error) {
	u, size := binary.Uvarint(plain)
	if size <= 0 {
		return "", nil, errKeys
	}
	plain = plain[size:]
	n := randomKey
	switch {
	case u == 0:
		return "", plain, nil
	case u >= 2 && u-2 <= uint64(len(plain)):
		n = int(u - 2)
	case u >= 2 || len(plain) < n:
		return "", nil, errKeys
	}
	if !wanted {
		return "", plain[n:], nil
	}
	if u == 1 {
		return base64.StdEncoding.EncodeToString(plain[:n]), plain[n:], nil
	}
	return string(plain[:n]), plain[n:], nil
}

// The places of keys among those sealed together.
const (
	keysPerPolicy   = 2
	sendKeys        = 0
	listenKeys      = keysPerPolicy
	keysPerEndpoint = 2 * keysPerPolicy
)

// OwnKeys implements auth.Keys.
func (d *Directory) OwnKeys(a gatehouse.AccountName, e gatehouse.EndpointName) (send, listen auth.KeyPair, err error) {
	account, endpoint, err := d.endpoint(a, e)
	if err != nil {
		return send, listen, err
	}
	var room [keysPerEndpoint]string
	keys, err := d.unseal(account.key, KindEndpoint, endpoint.key, endpoint.sealed, 0, keysPerEndpoint, room[:0])
	if err != nil {
		return send, listen, err
	}
	return auth.KeyPair{Primary: keys[sendKeys], Secondary: keys[sendKeys+1]}, auth.KeyPair{Primary: keys[listenKeys], Secondary: keys[listenKeys+1]}, nil
}

// EndpointKeys returns the keys of one of an endpoint's own policies, PolicySend
// or PolicyListen.
func (d *Directory) EndpointKeys(a gatehouse.AccountName, e gatehouse.EndpointName, policy gatehouse.PolicyName) (auth.KeyPair, error) {
	from, ok := ownKeys(policy)
	if !ok {
		return auth.KeyPair{}, gatehouse.Errorf(gatehouse.NotFound, "an endpoint has no policy %q, only send and listen", policy)
	}
	account, endpoint, err := d.endpoint(a, e)
	if err != nil {
		return auth.KeyPair{}, err
	}
	var room [keysPerPolicy]string
	keys, err := d.unseal(account.key, KindEndpoint, endpoint.key, endpoint.sealed, from, from+keysPerPolicy, room[:0])
	if err != nil {
		return auth.KeyPair{}, err
	}
	return auth.KeyPair{Primary: keys[0], Secondary: keys[1]}, nil
}

// ownKeys returns the place of the keys of one of an endpoint's policies.
func ownKeys(policy gatehouse.PolicyName) (from int, ok bool) {
	switch gatehouse.PolicyName(gatehouse.Fold(policy)) {
	case gatehouse.PolicySend:
		return sendKeys, true
	case gatehouse.PolicyListen:
		return listenKeys, true
	}
	return 0, false
}

func (d *Directory) endpoint(a gatehouse.AccountName, e gatehouse.EndpointName) (*Account, *Endpoint, error) {
	account := d.Current().Account(a)
	if account == nil {
		return nil, nil, notFound(Ref{KindAccount, a, string(a)})
	}
	endpoint := account.Endpoint(e)
	if endpoint == nil {
		return nil, nil, notFound(Ref{KindEndpoint, a, string(e)})
	}
	return account, endpoint, nil
}

// PolicyKeys implements auth.Keys.
func (d *Directory) PolicyKeys(a gatehouse.AccountName, policy gatehouse.PolicyName) (auth.KeyPair, gatehouse.Rights, error) {
	account := d.Current().Account(a)
	if account == nil {
		return auth.KeyPair{}, 0, notFound(Ref{KindAccount, a, string(a)})
	}
	p := account.Policy(policy)
	if p == nil {
		return auth.KeyPair{}, 0, notFound(Ref{KindPolicy, a, string(policy)})
	}
	var room [keysPerPolicy]string
	keys, err := d.unseal(account.key, KindPolicy, p.key, p.sealed, 0, keysPerPolicy, room[:0])
	if err != nil {
		return auth.KeyPair{}, 0, err
	}
	return auth.KeyPair{Primary: keys[0], Secondary: keys[1]}, p.rights, nil
}

// EndpointSecrets are the keys of an endpoint's two policies.
type EndpointSecrets struct {
	Send   auth.KeyPair `json:"send"`
	Listen auth.KeyPair `json:"listen"`
}

// String does not show the keys.
func (EndpointSecrets) String() string { return "endpoint secrets" }

// Reveal returns all keys of an endpoint, to be shown. The caller keeps the
// audit.
func (d *Directory) Reveal(a gatehouse.AccountName, e gatehouse.EndpointName) (EndpointSecrets, error) {
	account, endpoint, err := d.endpoint(a, e)
	if err != nil {
		return EndpointSecrets{}, err
	}
	keys, err := d.unseal(account.key, KindEndpoint, endpoint.key, endpoint.sealed, 0, keysPerEndpoint, nil)
	if err != nil {
		return EndpointSecrets{}, err
	}
	return EndpointSecrets{
		Send:   auth.KeyPair{Primary: keys[0], Secondary: keys[1]},
		Listen: auth.KeyPair{Primary: keys[2], Secondary: keys[3]},
	}, nil
}

// RevealPolicy returns the keys of a policy, to be shown. The caller keeps the
// audit.
func (d *Directory) RevealPolicy(a gatehouse.AccountName, policy gatehouse.PolicyName) (auth.KeyPair, error) {
	keys, _, err := d.PolicyKeys(a, policy)
	return keys, err
}

// A keyring is the keys of an endpoint or a policy while they are changed.
type keyring struct {
	keys    []string
	changed []string // the fields whose key is another
}

// give sets the keys of one policy to those given and makes those that are
// missing. It returns the field at fault and why.
func (r *keyring) give(from int, field string, given []string) (fault, why string) {
	if len(given) > keysPerPolicy {
		return field, "there are more than two keys; give the primary and the secondary"
	}
	pair := r.keys[from : from+keysPerPolicy]
	for i, key := range given {
		if why := checkKey(key); why != "" {
			return keyField(field, i), why
		}
		if key != pair[i] {
			pair[i] = key
			r.changed = append(r.changed, keyField(field, i))
		}
	}
	for i := range pair {
		if pair[i] == "" {
			pair[i] = newKey()
			r.changed = append(r.changed, keyField(field, i))
		}
	}
	if pair[0] == pair[1] {
		return field, "the primary and the secondary key are the same; they must differ, or replacing one would not take it out of use"
	}
	return "", ""
}

func keyField(field string, i int) string {
	if i == 0 {
		return field + "[0]"
	}
	return field + "[1]"
}

// rotate makes a new key at a place.
func (r *keyring) rotate(from int, which Which) error {
	i := slices.Index([]Which{Primary, Secondary}, which)
	if i < 0 {
		return gatehouse.Errorf(gatehouse.Invalid, "%q is not a key of a policy; the keys are primary and secondary", which)
	}
	r.keys[from+i] = newKey()
	return nil
}
