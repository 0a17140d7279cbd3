package directory

import (
	"slices"
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/rule"
)

// An Endpoint is one outside party. It is immutable, and another pointer
// exactly when its definition has been written. There may be millions: what
// endpoints have in common they share.
type Endpoint struct {
	name        string
	key         string // folded name; the same text if that is the same
	labels      rule.Labels
	traits      *traits // nil for none
	sealed      string  // keys
	rest        string  // certificates that prove it, then the description
	revision    uint64
	flags       endpointFlags
	bound       uint16 // bytes of certificates in rest
	incarnation uint32
}

// traits are what many endpoints have in common besides labels.
type traits struct {
	Protocols []string   `json:"protocols,omitempty"`
	Inbox     *InboxSpec `json:"inbox,omitempty"`
}

type endpointFlags uint8

// Their values are part of the row format.
const (
	flagDisabled endpointFlags = 1 << iota
	flagPlaintext
	flagRevokedSend
	flagRevokedListen
	flagCertificates        // it lists some
	flagIncarnation         // it has one; see Incarnation
	flagsKnown       = iota // how many bits have a meaning
)

// Key returns the folded name.
func (e *Endpoint) Key() string { return e.key }

// Name returns the name as it was given.
func (e *Endpoint) Name() gatehouse.EndpointName { return gatehouse.EndpointName(e.name) }

// Revision is that of its row.
func (e *Endpoint) Revision() uint64 { return e.revision }

// Incarnation is a random number that the endpoint was given when it was
// created: the next one of its name, when it was deleted, has another. It is
// zero for one that was created before there were such numbers.
func (e *Endpoint) Incarnation() uint32 { return e.incarnation }

// setIncarnation sets it; zero for none.
func (e *Endpoint) setIncarnation(n uint32) {
	e.incarnation = n
	e.flags &^= flagIncarnation
	if n != 0 {
		e.flags |= flagIncarnation
	}
}

// Labels returns the labels, which must not be changed.
func (e *Endpoint) Labels() rule.Labels { return e.labels }

// Description returns what an administrator noted.
func (e *Endpoint) Description() string { return e.rest[e.bound:] }

// bindings are the certificates that prove it, as they are stored.
func (e *Endpoint) bindings() string { return e.rest[:e.bound] }

// describe sets the certificates, as they are stored, and the description.
func (e *Endpoint) describe(bindings, description string) {
	e.rest, e.bound = bindings+description, uint16(len(bindings))
	e.flags &^= flagCertificates
	if bindings != "" {
		e.flags |= flagCertificates
	}
}

// Disabled reports whether it is let in at all.
func (e *Endpoint) Disabled() bool { return e.flags&flagDisabled != 0 }

// Revoked says which sides are withdrawn.
func (e *Endpoint) Revoked() Revoked {
	return Revoked{Send: e.flags&flagRevokedSend != 0, Listen: e.flags&flagRevokedListen != 0}
}

// Party returns the endpoint as rules see it.
func (e *Endpoint) Party() rule.Endpoint {
	return rule.Endpoint{Name: gatehouse.EndpointName(e.name), Labels: e.labels}
}

// Allows returns a Restricted error that says how to allow it, unless the
// endpoint may use the protocol, with TLS or (plaintext) without.
func (e *Endpoint) Allows(protocol string, plaintext bool) error {
	if plaintext && e.flags&flagPlaintext == 0 {
		return &gatehouse.Error{
			Kind: gatehouse.Restricted, Rule: "allowPlaintext",
			Text: "endpoint " + quote(e.name) + " may not connect without TLS; use the gateway's TLS port, or set allowPlaintext on the endpoint",
		}
	}
	if e.traits == nil || len(e.traits.Protocols) == 0 || containsFold(e.traits.Protocols, protocol) {
		return nil
	}
	return &gatehouse.Error{
		Kind: gatehouse.Restricted, Rule: "protocols",
		Text: "endpoint " + quote(e.name) + " may not use " + protocol + ", only " + strings.Join(e.traits.Protocols, ", ") + "; add " + protocol + " to the endpoint's protocols",
	}
}

func quote(s string) string { return `"` + s + `"` }

func containsFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(e string) bool { return strings.EqualFold(e, s) })
}

// Spec returns the definition, without keys. It is the caller's own.
func (e *Endpoint) Spec() *EndpointSpec {
	s := &EndpointSpec{
		Name: e.name, Description: e.Description(), Labels: e.labels.Map(), AllowPlaintext: e.flags&flagPlaintext != 0,
	}
	if e.traits != nil {
		s.Protocols, s.Inbox = slices.Clone(e.traits.Protocols), e.traits.Inbox.clone()
	}
	for _, b := range e.Bindings() {
		s.Certificates = append(s.Certificates, specOf(&b))
	}
	if e.Disabled() {
		disabled := true
		s.Disabled = &disabled
	}
	if r := e.Revoked(); r != (Revoked{}) {
		s.Revoked = &r
	}
	return s
}

func (e *Endpoint) row(a gatehouse.AccountName) Row {
	return Row{Ref: Ref{KindEndpoint, a, e.name}, Revision: e.revision, Spec: e.Spec()}
}

func (e *Endpoint) displayName() string { return e.name }

func (r Revoked) flags() (f endpointFlags) {
	if r.Send {
		f |= flagRevokedSend
	}
	if r.Listen {
		f |= flagRevokedListen
	}
	return f
}
