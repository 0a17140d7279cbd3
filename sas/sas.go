// Package sas reads and makes Shared Access Signatures and connection strings
// exactly as Azure's messaging services and their SDKs do, so that unmodified
// clients work. It knows nothing of accounts, endpoints or rights: whether a
// token's key exists and what it may be used for is decided in package
// auth/secret.
//
// A token is
//
//	SharedAccessSignature sr=RESOURCE&sig=SIGNATURE&se=EXPIRY&skn=POLICY
//
// with its fields in any order. SIGNATURE is HMAC-SHA256 over the sr field
// exactly as it stands in the token (encoded, in its case), a line feed, and
// the se field; its key is the bytes of the policy's key as text, which looks
// like base64 and is not decoded. A token is good for its resource and for
// everything below it.
//
// Parsing is bounded by MaxToken and never panics. Nothing here is secret in
// errors: a field's name is told, its content is not.
package sas

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
)

// MaxToken is the greatest length of a token, of a resource and of each part
// of a connection string, in bytes.
const MaxToken = 8 << 10

// Scheme is the word a token begins with; it is also the HTTP authorization
// scheme.
const Scheme = "SharedAccessSignature"

// maxExpiry is the last second of the year 9999, the latest that other formats
// can show. A token that lasts longer lasts until then.
const maxExpiry = 253402300799

// A Token is a parsed token. That it was parsed says nothing about its
// signature: see Verify. It is immutable and safe for concurrent use.
type Token struct {
	resource Resource
	policy   string
	expiry   int64 // Unix seconds
	sr, se   string
	mac      [sha256.Size]byte
}

// IsToken reports whether s is meant to be a token: whether it begins with
// Scheme, in any case, and a space.
func IsToken(s string) bool {
	return len(s) > len(Scheme) && s[len(Scheme)] == ' ' && strings.EqualFold(s[:len(Scheme)], Scheme)
}

// Parse reads a token. Errors are of kind Unauthenticated, begin with
// MalformedToken and name the field.
func Parse(token string) (*Token, error) {
	if len(token) > MaxToken {
		return nil, malformed("it is %d bytes long; at most %d are allowed", len(token), MaxToken)
	}
	token = strings.TrimSpace(token)
	if !IsToken(token) {
		return nil, malformed("it does not begin with %q and a space", Scheme)
	}
	fields, err := splitFields(token[len(Scheme)+1:])
	if err != nil {
		return nil, err
	}
	t := &Token{sr: fields[fieldSR].text, se: fields[fieldSE].text}
	if t.resource, err = ParseResource(t.sr); err != nil {
		return nil, malformed("field sr: %v", err)
	}
	if t.expiry, err = parseExpiry(t.se); err != nil {
		return nil, err
	}
	if err := t.setPolicy(fields[fieldSKN]); err != nil {
		return nil, err
	}
	return t, t.decodeMAC(fields[fieldSig].text)
}

// setPolicy reads the skn field, which a device's token does without, or has
// empty.
func (t *Token) setPolicy(skn field) (err error) {
	if skn.text == "" {
		if _, _, ok := t.resource.Device(); ok {
			return nil
		}
		return skn.lack(fieldSKN)
	}
	if t.policy, err = unescape(skn.text, false); err != nil {
		return malformed("field skn has %v", err)
	}
	return nil
}

// The fields of a token.
const (
	fieldSR = iota
	fieldSig
	fieldSE
	fieldSKN
	fieldCount
)

var fieldNames = [fieldCount]string{"sr", "sig", "se", "skn"}

// A field is the raw text of one field, and whether it is there at all.
type field struct {
	text  string
	there bool
}

// lack is the error that the field has no text.
func (f field) lack(i int) error {
	if f.there {
		return malformed("field %s is empty", fieldNames[i])
	}
	return malformed("field %s is missing", fieldNames[i])
}

// splitFields returns the fields. Those it does not know are passed over; one
// that is there twice is an error, and so is one without text, but for skn.
func splitFields(s string) (fields [fieldCount]field, err error) {
	for s != "" {
		var part string
		part, s, _ = strings.Cut(s, "&")
		name, value, _ := strings.Cut(strings.TrimLeft(part, " "), "=")
		for i, known := range fieldNames {
			if name != known {
				continue
			}
			if fields[i].there {
				return fields, malformed("field %s is there twice", known)
			}
			fields[i] = field{value, true}
		}
	}
	for i, f := range fields {
		if f.text == "" && i != fieldSKN {
			return fields, f.lack(i)
		}
	}
	return fields, nil
}

func parseExpiry(se string) (int64, error) {
	for i := range len(se) {
		if se[i] < '0' || se[i] > '9' {
			return 0, malformed("field se is not a decimal number of seconds since 1970")
		}
	}
	n, err := strconv.ParseInt(se, 10, 64)
	if err != nil { // only the range is left to be wrong
		return maxExpiry, nil
	}
	return min(n, maxExpiry), nil
}

// decodeMAC decodes the sig field, in which clients leave "+" bare or not.
func (t *Token) decodeMAC(sig string) error {
	sig, err := unescape(sig, false)
	if err != nil {
		return malformed("field sig has %v", err)
	}
	var buf [sha256.Size + 4]byte
	// The length is checked first because the decoder passes over line breaks.
	if len(sig) != base64.StdEncoding.EncodedLen(sha256.Size) {
		return malformed("field sig is not the base64 of 32 bytes")
	}
	n, err := base64.StdEncoding.Strict().Decode(buf[:], []byte(sig))
	if err != nil || n != sha256.Size {
		return malformed("field sig is not the base64 of 32 bytes")
	}
	copy(t.mac[:], buf[:])
	return nil
}

func malformed(format string, args ...any) error {
	return gatehouse.Errorf(gatehouse.Unauthenticated, "MalformedToken: the token cannot be read: "+format, args...)
}

// Resource returns what the token is for.
func (t *Token) Resource() Resource { return t.resource }

// Policy returns the name of the policy whose key is said to have signed the
// token, decoded, in the case it was written in. It is empty for a token that a
// device made, and for no other.
func (t *Token) Policy() string { return t.policy }

// Expires returns when the token ends; at that moment it is expired. Times
// beyond the year 9999 are given as its last second.
func (t *Token) Expires() time.Time { return time.Unix(t.expiry, 0).UTC() }

// Expired reports whether the token has ended by now. No skew is allowed for.
func (t *Token) Expired(now time.Time) bool { return now.Unix() >= t.expiry }

// Verify reports whether key signed the token. It takes the same time whether
// it did or not, and does not allocate for resources of the usual length. The
// empty key signs nothing.
func (t *Token) Verify(key string) bool {
	mac := sign(key, t.sr, t.se)
	return subtle.ConstantTimeCompare(mac[:], t.mac[:]) == 1 && key != ""
}

// VerifyDecoded is Verify for a token that a device made: it was signed with
// the bytes that key stands for in base64. A key that is no base64, or of no
// bytes, signs nothing, which takes no less time.
func (t *Token) VerifyDecoded(key string) bool {
	var space [256]byte
	raw, err := base64.StdEncoding.AppendDecode(space[:0], []byte(key))
	mac := sign(raw, t.sr, t.se)
	return subtle.ConstantTimeCompare(mac[:], t.mac[:]) == 1 && err == nil && len(raw) > 0
}

// VerifyAny reports whether one of two keys signed the token, and which, and
// tries both in any case. An empty key stands for one that does not exist: it
// never matches and takes as long as another.
func (t *Token) VerifyAny(primary, secondary string) (key string, ok bool) {
	return either(t.Verify, primary, secondary)
}

// VerifyAnyDecoded is VerifyAny for a token that a device made.
func (t *Token) VerifyAnyDecoded(primary, secondary string) (key string, ok bool) {
	return either(t.VerifyDecoded, primary, secondary)
}

func either(verify func(key string) bool, primary, secondary string) (key string, ok bool) {
	first, second := verify(primary), verify(secondary)
	switch {
	case first:
		return primary, true
	case second:
		return secondary, true
	}
	return "", false
}

// ErrSignature is the error for a token whose signature is wrong, or whose
// policy does not exist: they are not told apart.
func ErrSignature() *gatehouse.Error {
	return gatehouse.Errorf(gatehouse.Unauthenticated, "InvalidSignature: The token has an invalid signature.")
}

// ErrExpired is the error for a token that was valid until expiry.
func ErrExpired(expiry time.Time) *gatehouse.Error {
	return gatehouse.Errorf(gatehouse.Expired, "ExpiredToken: The token is expired. Expiration time: '%s'.", expiry.UTC().Format(time.RFC3339))
}

// Sign makes a token in the form of Azure's JavaScript SDKs. resource is
// plain, not encoded, for example "sb://gw.example.com/acme/publishers/pump-7";
// expiry is cut to whole seconds.
func Sign(resource, policy, key string, expiry time.Time) string {
	sr, se := escape(resource), strconv.FormatInt(expiry.Unix(), 10)
	mac := sign(key, sr, se)
	sig := base64.StdEncoding.EncodeToString(mac[:])
	return Scheme + " sr=" + sr + "&sig=" + escape(sig) + "&se=" + se + "&skn=" + escape(policy)
}

// sign returns HMAC-SHA256(key, sr + LF + se). It is the construction of RFC
// 2104 written out, over one buffer on the stack, because crypto/hmac
// allocates half a kilobyte for every key it has not seen before; HTTP clients
// show a token with every request.
func sign[K string | []byte](key K, sr, se string) [sha256.Size]byte {
	var k [sha256.BlockSize]byte
	if len(key) > len(k) {
		h := sha256.Sum256([]byte(key))
		copy(k[:], h[:])
	} else {
		copy(k[:], key)
	}
	var space [1024]byte
	buf := space[:0]
	for _, b := range k {
		buf = append(buf, b^0x36)
	}
	buf = append(buf, sr...)
	buf = append(buf, '\n')
	buf = append(buf, se...)
	inner := sha256.Sum256(buf)
	var outer [sha256.BlockSize + sha256.Size]byte
	for i, b := range k {
		outer[i] = b ^ 0x5c
	}
	copy(outer[sha256.BlockSize:], inner[:])
	return sha256.Sum256(outer[:])
}
