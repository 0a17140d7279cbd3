package directory

import (
	"bytes"
	"encoding/json"

	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/restrict"
	"github.com/gatehouse/gatehouse/route"

	"go.yaml.in/yaml/v3"
)

// A Spec is a definition as it is written by an administrator: *AccountSpec,
// *EndpointSpec, *ChannelSpec, *RouteSpec, *RestrictionSpec, *HandlerSpec or
// *PolicySpec. The set is closed.
type Spec interface {
	SpecKind() Kind
	SpecName() string
}

// A Row is a definition as it is stored. Its Spec is the reader's own for
// endpoints and must not be changed for other kinds; it has no keys.
type Row struct {
	Ref
	Revision uint64
	Spec     Spec
}

// AccountSpec defines an account.
type AccountSpec struct {
	Name        string `json:"name" yaml:"name"`
	Description string `json:"description,omitempty" yaml:"description,omitempty"`
	// Disabled lets no endpoint and no trusted code of the account in.
	Disabled bool `json:"disabled,omitempty" yaml:"disabled,omitempty"`
	// Inbox is how inboxes of the account behave unless their endpoint says
	// otherwise.
	Inbox *InboxSpec `json:"inbox,omitempty" yaml:"inbox,omitempty"`
	// Environment is set when the account is created and cannot be changed.
	Environment string `json:"environment,omitempty" yaml:"environment,omitempty"`
}

// InboxSpec says how an inbox behaves. What is not given is as the account has
// it, or else the environment.
type InboxSpec struct {
	// Lock is how long a receiver may take before a message is given to another.
	Lock *config.Duration `json:"lock,omitempty" yaml:"lock,omitempty"`
	// MaxDeliveries is after how many failed deliveries a message goes to the dead letters; -1: never.
	MaxDeliveries *int `json:"maxDeliveries,omitempty" yaml:"maxDeliveries,omitempty"`
	// MaxAge is how long a message waits before it expires; 0: as long as its own time to live says.
	MaxAge *config.Duration `json:"maxAge,omitempty" yaml:"maxAge,omitempty"`
	// DeadLetterExpired sends what expires to the dead letters instead of dropping and counting it.
	DeadLetterExpired *bool `json:"deadLetterExpired,omitempty" yaml:"deadLetterExpired,omitempty"`
	// MaxMessages is how many messages the inbox holds; 0: any number.
	MaxMessages *int `json:"maxMessages,omitempty" yaml:"maxMessages,omitempty"`
	// MaxBytes is how many bytes of messages the inbox holds; 0: any number.
	MaxBytes *config.Size `json:"maxBytes,omitempty" yaml:"maxBytes,omitempty"`
	// OnFull is refuse, dropOldest or deadLetter.
	OnFull string `json:"onFull,omitempty" yaml:"onFull,omitempty"`
	// DeadLetterMaxAge is how long dead letters are kept; 0: until they are purged or resubmitted.
	DeadLetterMaxAge *config.Duration `json:"deadLetterMaxAge,omitempty" yaml:"deadLetterMaxAge,omitempty"`
}

// EndpointSpec defines an endpoint.
type EndpointSpec struct {
	Name        string            `json:"name" yaml:"name"`
	Description string            `json:"description,omitempty" yaml:"description,omitempty"`
	Labels      map[string]string `json:"labels,omitempty" yaml:"labels,omitempty"`
	// Protocols are the adapters it may use; none means all.
	Protocols []string `json:"protocols,omitempty" yaml:"protocols,omitempty"`
	// AllowPlaintext lets it use connections without TLS.
	AllowPlaintext bool `json:"allowPlaintext,omitempty" yaml:"allowPlaintext,omitempty"`
	// Certificates are the client certificates that prove the endpoint, besides
	// its keys.
	Certificates []CertificateSpec `json:"certificates,omitempty" yaml:"certificates,omitempty"`
	Inbox        *InboxSpec        `json:"inbox,omitempty" yaml:"inbox,omitempty"`
	// Disabled lets it in no more. If not given, it stays as it is, so that a
	// file that says nothing about it does not let in who was shut out.
	Disabled *bool `json:"disabled,omitempty" yaml:"disabled,omitempty"`
	// Revoked withdraws the publisher, the inbox or both. If not given, it
	// stays as it is.
	Revoked *Revoked `json:"revoked,omitempty" yaml:"revoked,omitempty"`
	// Keys to set. Those not given stay as they are, or are made.
	Keys *KeySpec `json:"keys,omitempty" yaml:"keys,omitempty"`
}

// Revoked says which of an endpoint's two sides is withdrawn.
type Revoked struct {
	Send   bool `json:"send,omitempty" yaml:"send,omitempty"`
	Listen bool `json:"listen,omitempty" yaml:"listen,omitempty"`
}

// KeySpec gives keys of an endpoint: primary, secondary.
type KeySpec struct {
	Send   []string `json:"send,omitempty" yaml:"send,omitempty"`
	Listen []string `json:"listen,omitempty" yaml:"listen,omitempty"`
}

// ChannelSpec defines a channel.
type ChannelSpec struct {
	Name        string    `json:"name" yaml:"name"`
	Description string    `json:"description,omitempty" yaml:"description,omitempty"`
	Retention   Retention `json:"retention,omitzero" yaml:"retention,omitempty"`
	// Duplicates is the window within which a second message of the same id
	// is dropped as a retry; at most 7 days, 0: no detection.
	Duplicates config.Duration `json:"duplicates,omitempty" yaml:"duplicates,omitempty"`
	// DeadLetterRetention is how long dead letters are kept; 0: as the environment has it.
	DeadLetterRetention config.Duration `json:"deadLetterRetention,omitempty" yaml:"deadLetterRetention,omitempty"`
}

// Retention is how long and how much a channel keeps; zero is no limit.
type Retention struct {
	Age   config.Duration `json:"age,omitempty" yaml:"age,omitempty"`
	Bytes config.Size     `json:"bytes,omitempty" yaml:"bytes,omitempty"`
}

// RouteSpec defines a route authorization.
type RouteSpec struct {
	route.Authorization `yaml:",inline"`
}

// RestrictionSpec defines a restriction.
type RestrictionSpec struct {
	restrict.Restriction `yaml:",inline"`
}

// HandlerSpec attaches a handler to a channel.
type HandlerSpec struct {
	Name        string `json:"name" yaml:"name"`
	Description string `json:"description,omitempty" yaml:"description,omitempty"`
	Channel     string `json:"channel" yaml:"channel"`
	Kind        string `json:"kind" yaml:"kind"`
	// Config is what the kind asks for.
	Config Raw `json:"config,omitempty" yaml:"config,omitempty"`
	// Enabled is true if not given.
	Enabled *bool `json:"enabled,omitempty" yaml:"enabled,omitempty"`
	// From is where a new handler starts: "first" (if not given), the first
	// message the channel still has, or "now".
	From string `json:"from,omitempty" yaml:"from,omitempty"`
}

// PolicySpec defines a policy of an account.
type PolicySpec struct {
	Name        string `json:"name" yaml:"name"`
	Description string `json:"description,omitempty" yaml:"description,omitempty"`
	// Rights are any of send, listen, manage, channels.
	Rights []string `json:"rights" yaml:"rights"`
	// Keys to set: primary, secondary. Those not given stay as they are, or
	// are made.
	Keys []string `json:"keys,omitempty" yaml:"keys,omitempty"`
}

// Raw is a JSON document inside a definition. In YAML it is written as YAML.
type Raw json.RawMessage

// SpecKind implements Spec.
func (*AccountSpec) SpecKind() Kind { return KindAccount }

// SpecKind implements Spec.
func (*EndpointSpec) SpecKind() Kind { return KindEndpoint }

// SpecKind implements Spec.
func (*ChannelSpec) SpecKind() Kind { return KindChannel }

// SpecKind implements Spec.
func (*RouteSpec) SpecKind() Kind { return KindRoute }

// SpecKind implements Spec.
func (*RestrictionSpec) SpecKind() Kind { return KindRestriction }

// SpecKind implements Spec.
func (*HandlerSpec) SpecKind() Kind { return KindHandler }

// SpecKind implements Spec.
func (*PolicySpec) SpecKind() Kind { return KindPolicy }

// SpecName implements Spec.
func (s *AccountSpec) SpecName() string { return s.Name }

// SpecName implements Spec.
func (s *EndpointSpec) SpecName() string { return s.Name }

// SpecName implements Spec.
func (s *ChannelSpec) SpecName() string { return s.Name }

// SpecName implements Spec.
func (s *RouteSpec) SpecName() string { return s.Name }

// SpecName implements Spec.
func (s *RestrictionSpec) SpecName() string { return s.Name }

// SpecName implements Spec.
func (s *HandlerSpec) SpecName() string { return s.Name }

// SpecName implements Spec.
func (s *PolicySpec) SpecName() string { return s.Name }

// MarshalJSON returns the document.
func (r Raw) MarshalJSON() ([]byte, error) { return json.RawMessage(r).MarshalJSON() }

// UnmarshalJSON keeps the document, without white space.
func (r *Raw) UnmarshalJSON(data []byte) error {
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		return err
	}
	*r = b.Bytes()
	return nil
}

// MarshalYAML returns the document as YAML.
func (r Raw) MarshalYAML() (any, error) {
	if len(r) == 0 {
		return nil, nil
	}
	var n yaml.Node
	if err := yaml.Unmarshal(r, &n); err != nil { // JSON is YAML
		return nil, err
	}
	plain(&n)
	return n.Content[0], nil
}

// plain takes off the style of JSON.
func plain(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		plain(c)
	}
}

// UnmarshalYAML keeps YAML as JSON.
func (r *Raw) UnmarshalYAML(n *yaml.Node) error {
	var v any
	if err := n.Decode(&v); err != nil {
		return err
	}
	data, err := json.Marshal(v)
	*r = data
	return err
}
