// Package gatehouse holds the vocabulary every other package speaks: names,
// messages, identities, positions and errors. It contains no policy and does
// no I/O.
//
// Gatehouse is the boundary of a trusted system. Outside stand endpoints, each
// with an identity to send with and a durable inbox to receive from; inside
// are channels, where handlers work. docs/concepts.md explains the words.
package gatehouse

import (
	"strings"
	"time"
)

// Names of the things an administrator defines. They keep the case they were
// given and are compared without it: use Fold for a key, never the name itself.
type (
	// AccountName names a tenant. Nothing crosses accounts.
	AccountName string
	// EndpointName names one outside party within an account.
	EndpointName string
	// ChannelName names a durable, partitioned log within an account.
	ChannelName string
	// GroupName names a consumer group of a channel: one durable cursor per
	// partition.
	GroupName string
	// PolicyName names a set of rights with keys: of an account, or the fixed
	// policies "send" and "listen" of an endpoint.
	PolicyName string
)

// The fixed policies of every endpoint.
const (
	PolicySend   PolicyName = "send"
	PolicyListen PolicyName = "listen"
)

// PolicyCertificate stands in an Identity where a client certificate proved it
// instead of the key of a policy. No policy can be called so.
const PolicyCertificate PolicyName = "$certificate"

// MaxName is the greatest length of a name in bytes.
const MaxName = 128

// CheckName reports whether s may name an account, endpoint, channel, group,
// policy, route, restriction or handler: [A-Za-z0-9][A-Za-z0-9._-]{0,127}.
// The error is of kind Invalid and says what is wrong with it.
func CheckName(s string) error {
	switch {
	case s == "":
		return Errorf(Invalid, "a name is missing")
	case len(s) > MaxName:
		return Errorf(Invalid, "name %q is %d characters long; at most %d are allowed", s[:16]+"…", len(s), MaxName)
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return Errorf(Invalid, "name %q: character %q is not allowed at position %d; use letters, digits and . _ -, starting with a letter or digit", s, c, i+1)
		}
	}
	return nil
}

// Fold returns the form of a name under which it is stored and compared. It
// allocates only when s has an upper-case letter.
func Fold[T ~string](s T) string { return strings.ToLower(string(s)) }

// Rights say what a key may be used for.
type Rights uint8

// The rights of a policy. An endpoint's own policies have exactly one.
const (
	RightSend     Rights = 1 << iota // publish as an endpoint
	RightListen                      // receive from an inbox
	RightManage                      // administer the account
	RightChannels                    // produce to and consume from channels
)

// Has reports whether r includes all of want.
func (r Rights) Has(want Rights) bool { return r&want == want }

// An Identity is who a connection has proven to be, once, when it opened.
type Identity struct {
	Account  AccountName
	Endpoint EndpointName // empty for trusted code that named no endpoint
	Policy   PolicyName   // the policy whose key proved it, or PolicyCertificate
	Rights   Rights
	Expires  time.Time // zero if the proof does not expire
	// Proof identifies the key or the binding of a certificate that proved the
	// identity, so that rotating it out ends what it opened. It cannot be turned
	// back into the key.
	Proof [16]byte
}

// Source returns the CloudEvents source of a message this identity sends: a
// URI reference.
func (id *Identity) Source() string {
	if id.Endpoint != "" {
		return "/" + string(id.Account) + "/endpoints/" + string(id.Endpoint)
	}
	return "/" + string(id.Account) + "/$policies/" + string(id.Policy)
}

// An Offset is the place of a record within its shard. Offsets increase and
// may skip; zero is before the first record.
type Offset uint64

// A Position is the place of a message in a channel.
type Position struct {
	Partition uint16
	Offset    Offset
}

// MaxHops is how often a message may pass from channel to channel before it is
// taken for a loop and dead-lettered.
const MaxHops = 16

// A Message is a CloudEvent in Gatehouse's envelope. A message handed to the
// gate belongs to the gate until its receipt; received messages are the
// receiver's to read and not to change.
type Message struct {
	ID            string
	Type          string
	Subject       string
	Time          time.Time // when it happened, by the sender's clock
	ContentType   string
	Schema        string   // CloudEvents dataschema
	Source        string   // set by the gate, never by the sender
	To            []string // addresses: channels/NAME, endpoints/NAME
	Key           string   // ordering key; empty: the sending endpoint
	Group         string   // session
	CorrelationID string
	ReplyTo       string        // an address
	TTL           time.Duration // zero: no limit; counted from Enqueued
	NotBefore     time.Time     // scheduled; zero: at once
	TraceParent   string        // W3C trace context
	Attributes    []Attribute   // in the order they came
	Body          []byte
	Hops          uint8 // channels passed so far

	// Stamped on acceptance.

	Enqueued time.Time // when the channel took it
	Position Position  // in the channel; not set in an inbox
	// Channel is the channel a message in an inbox came from, and that of a
	// scheduled one which it was meant for first. It is not set in a channel.
	Channel ChannelName
	// Dead says why the message is in a dead-letter queue or log; nil elsewhere.
	Dead *DeadLetter
}

// A DeadLetter says why a message could not be delivered.
type DeadLetter struct {
	Reason      string // short and stable: MaxDeliveryCountExceeded, TTLExpired, …
	Description string // for people: what was refused, by which rule, what to do
	From        string // the address the message died at
	// To or Labels say which of the endpoints or channels that a handler sent
	// the message to it could not reach. Neither is set if it is not about one
	// of them: then the handler itself failed, or an inbox gave it up.
	To     string // address
	Labels string // selector
	Time   time.Time
}

// Expires returns when m is no longer worth delivering; zero for never.
func (m *Message) Expires() time.Time {
	if m.TTL <= 0 {
		return time.Time{}
	}
	from := m.Enqueued
	if m.NotBefore.After(from) {
		from = m.NotBefore
	}
	return from.Add(m.TTL)
}

// Attribute returns the value of the first attribute called name.
func (m *Message) Attribute(name string) (Value, bool) {
	for i := range m.Attributes {
		if m.Attributes[i].Name == name {
			return m.Attributes[i].Value, true
		}
	}
	return Value{}, false
}

// Addresses within an account, as messages name them in To and ReplyTo.
const (
	ChannelPrefix  = "channels/"
	EndpointPrefix = "endpoints/"
)

// SplitAddress splits an address of a message, channels/NAME or
// endpoints/NAME, into its lower-case prefix (with the slash) and its name.
// ok is false for anything else.
func SplitAddress(address string) (prefix, name string, ok bool) {
	for _, p := range [...]string{ChannelPrefix, EndpointPrefix} {
		if len(address) > len(p) && strings.EqualFold(address[:len(p)], p) {
			name = address[len(p):]
			return p, name, CheckName(name) == nil
		}
	}
	return "", "", false
}
