// Package auth is the seam between the gate and the ways of proving who is
// calling. An adapter turns what its client showed into Credentials; the gate
// asks an Authenticator, usually a Chain, once per connection.
//
// Authentication says that a proof is right and what it may be used for. It
// does not say that the endpoint is enabled, not revoked and let in by its
// restrictions; that is the gate's.
//
// To a caller who has proven nothing, an account or endpoint that does not
// exist and a key that is wrong look the same: the same kind, the same text,
// about the same work. Whatever an authenticator tells beyond that follows
// from what the caller sent, not from what is stored.
package auth

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
)

// Credentials are what a client shows as proof: SAS, Password, Bearer or
// Certificate. The set is closed. They do not show their secrets when printed
// or logged.
type Credentials interface {
	String() string // the kind of proof, without the proof
	credentials()
}

// SAS is a shared access signature, with its leading word.
type SAS struct{ Token string }

// Password is a user name and a password, as HTTP Basic, MQTT and SASL PLAIN
// have them. ParseUser says what the user name may be; the password is a key
// or a SAS token, or two of them joined by a comma.
type Password struct{ User, Password string }

// Bearer is a bearer token: a SAS token from a client that can send no other
// kind of header.
type Bearer struct{ Token string }

// Certificate is the chain that a TLS client showed, leaf first. Of it is known
// only that the client holds the key of the leaf: whether it is in its time,
// and who vouches for it, is for the authenticator to find out. FromTLS makes
// it.
type Certificate struct{ Chain []*x509.Certificate }

func (SAS) credentials()         {}
func (Password) credentials()    {}
func (Bearer) credentials()      {}
func (Certificate) credentials() {}

// String says what c is.
func (c SAS) String() string { return "shared access signature" }

// String says what c is, with the user name.
func (c Password) String() string { return "password of " + c.User }

// String says what c is.
func (c Bearer) String() string { return "bearer token" }

// String says what c is, with the certificate's subject.
func (c Certificate) String() string {
	if len(c.Chain) == 0 {
		return "certificate"
	}
	return "certificate of " + c.Chain[0].Subject.String()
}

// GoString keeps %#v from showing the secret.
func (c SAS) GoString() string { return c.String() }

// GoString keeps %#v from showing the secret.
func (c Password) GoString() string { return c.String() }

// GoString keeps %#v from showing the secret.
func (c Bearer) GoString() string { return c.String() }

// MarshalText keeps logs and JSON from showing the secret.
func (c SAS) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// MarshalText keeps logs and JSON from showing the secret.
func (c Password) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// MarshalText keeps logs and JSON from showing the secret.
func (c Bearer) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// A Request asks whether credentials prove the right to use an address.
type Request struct {
	Credentials Credentials
	Account     gatehouse.AccountName
	Endpoint    gatehouse.EndpointName // to send as it, or to receive from its inbox
	Channel     gatehouse.ChannelName  // trusted code: to produce to it or consume it
	// Need is what the proof must include. Zero asks for whatever it proves,
	// at least one right.
	Need gatehouse.Rights
	// Below is the rest of the address the client uses, behind that of the
	// endpoint's publisher or inbox or of the channel, for a proof that is
	// good for that alone: "$deadletterqueue", "messages/head" or
	// "ConsumerGroups/g/Partitions/0". What is then opened must be used for
	// nothing else.
	Below string
	// Now is when the proof must be valid.
	Now time.Time

	own *ownKeys // nil: not asked for yet
}

// ownKeys are the answer of Keys.OwnKeys.
type ownKeys struct {
	send, listen KeyPair
	err          error
}

// OwnKeys returns the keys of one of the own policies of the request's endpoint,
// PolicySend or PolicyListen. It asks for them once, so that they are decrypted
// once for all credentials and rights that the request is made for in turn:
// Account and Endpoint must stay the same.
func (r *Request) OwnKeys(k Keys, policy gatehouse.PolicyName) (KeyPair, error) {
	if r.own == nil {
		r.own = new(ownKeys)
		r.own.send, r.own.listen, r.own.err = k.OwnKeys(r.Account, r.Endpoint)
	}
	if policy == gatehouse.PolicySend {
		return r.own.send, r.own.err
	}
	return r.own.listen, r.own.err
}

// ErrNotMine says that an authenticator does not know this kind of proof, so
// that a chain asks the next.
var ErrNotMine = errors.New("auth: not a kind of proof this authenticator knows")

// An Authenticator turns credentials into an identity. It is safe for
// concurrent use.
//
// The identity has the names of the request, all rights that the proof gives
// for the request's address (at least Need), and the end of the proof. It
// fails with ErrNotMine for a kind of proof it does not know; with
// Unauthenticated for one that is wrong; with Expired and Forbidden only when
// the proof is right but has ended or gives too few rights; with Unavailable
// when it cannot tell.
type Authenticator interface {
	Authenticate(ctx context.Context, r *Request) (gatehouse.Identity, error)
}

// A Chain asks its authenticators in turn until one takes the credentials.
type Chain []Authenticator

// Authenticate returns the answer of the first authenticator that knows the
// kind of proof; if none does, the error is Unauthenticated.
func (c Chain) Authenticate(ctx context.Context, r *Request) (gatehouse.Identity, error) {
	for _, a := range c {
		id, err := a.Authenticate(ctx, r)
		if errors.Is(err, ErrNotMine) {
			continue
		}
		return id, err
	}
	if r.Credentials == nil {
		return gatehouse.Identity{}, gatehouse.Errorf(gatehouse.Unauthenticated, "no credentials were given; send a shared access signature or a key, or connect with a client certificate")
	}
	return gatehouse.Identity{}, gatehouse.Errorf(gatehouse.Unauthenticated, "this gateway does not accept that kind of credentials; send a shared access signature or a key, or connect with a client certificate")
}

// Keys finds the keys that prove an identity. Names are compared without
// case. Implementations are safe for concurrent use. An error of kind NotFound
// says that there is no such account, endpoint or policy; any other that the
// keys cannot be had at present.
type Keys interface {
	// OwnKeys returns the keys of an endpoint's own policies, PolicySend and
	// PolicyListen.
	OwnKeys(a gatehouse.AccountName, e gatehouse.EndpointName) (send, listen KeyPair, err error)
	// PolicyKeys returns the keys and the rights of an account's policy.
	PolicyKeys(a gatehouse.AccountName, policy gatehouse.PolicyName) (KeyPair, gatehouse.Rights, error)
}

// A KeyPair is the two keys of a policy, so that one can be replaced while the
// other is in use. An empty key is none, and proves nothing.
type KeyPair struct{ Primary, Secondary string }

// String does not show the keys.
func (KeyPair) String() string { return "key pair" }

// GoString does not show the keys.
func (KeyPair) GoString() string { return "key pair" }

// LogValue does not show the keys. Encoded as JSON, a pair is complete, so that
// it can be stored.
func (KeyPair) LogValue() slog.Value { return slog.StringValue("key pair") }

// Proof identifies a key of a policy in Identity.Proof. endpoint is empty for
// a policy of the account. The same arguments, in any case of the names, give
// the same proof, so that whether the key still exists can be asked later; the
// key cannot be found from it, provided that the key is not guessable.
func Proof(account gatehouse.AccountName, endpoint gatehouse.EndpointName, policy gatehouse.PolicyName, key string) [16]byte {
	var space [512]byte
	// No name has the byte 0, and the key comes last: no two lists of
	// arguments make the same text.
	b := append(space[:0], "gatehouse key proof v1\x00"...)
	b = append(append(b, gatehouse.Fold(account)...), 0)
	b = append(append(b, gatehouse.Fold(endpoint)...), 0)
	b = append(append(b, gatehouse.Fold(policy)...), 0)
	h := sha256.Sum256(append(b, key...))
	return [16]byte(h[:16])
}

// Proves reports whether proof was made with one of the pair's keys.
func (k KeyPair) Proves(proof [16]byte, account gatehouse.AccountName, endpoint gatehouse.EndpointName, policy gatehouse.PolicyName) bool {
	for _, key := range [...]string{k.Primary, k.Secondary} {
		if key != "" && Proof(account, endpoint, policy, key) == proof {
			return true
		}
	}
	return false
}

// A User is what the user name of a Password says. At most one of Endpoint and
// Policy is set, and Account with Endpoint always.
type User struct {
	Account  gatehouse.AccountName
	Endpoint gatehouse.EndpointName
	Policy   gatehouse.PolicyName
}

// ParseUser reads a user name: ACCOUNT/ENDPOINT, ACCOUNT/$policies/POLICY for
// trusted code, or, as Azure has it, a policy's name alone, which leaves the
// account and the endpoint to the address in use. ok is false for anything
// else. Adapters whose clients name no other address take it from here.
func ParseUser(user string) (u User, ok bool) {
	account, rest, slash := strings.Cut(user, "/")
	if !slash {
		return User{Policy: gatehouse.PolicyName(user)}, gatehouse.CheckName(user) == nil
	}
	if gatehouse.CheckName(account) != nil {
		return User{}, false
	}
	u.Account = gatehouse.AccountName(account)
	const policies = "$policies/"
	if len(rest) > len(policies) && strings.EqualFold(rest[:len(policies)], policies) {
		rest = rest[len(policies):]
		u.Policy = gatehouse.PolicyName(rest)
	} else {
		u.Endpoint = gatehouse.EndpointName(rest)
	}
	return u, gatehouse.CheckName(rest) == nil
}
