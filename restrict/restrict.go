// Package restrict decides what an endpoint that has proven its identity may
// still not do: from where and how it may connect, when, and what and how much
// it may send. Restrictions narrow what route authorizations allow; they let
// nothing through by themselves.
//
// An account's restrictions are compiled into a Table, which is immutable.
// Table.Plan finds those that concern one endpoint; endpoints that the same
// restrictions concern share one Plan. Every restriction of a plan must be
// satisfied: origins, networks, protocols and requireTLS when a session opens,
// hours then and with every message, the rest with every message. Decisions do
// no I/O. The only thing that changes is the rate state, a Limiter for each
// endpoint, which the caller keeps when tables are swapped.
//
// What each condition does and does not protect from:
//
//   - Origins keep pages of other sites from using a browser user's
//     credentials. They are held against the Origin header when there is one:
//     with one, an endpoint for which no restriction states origins is closed.
//     A connection without it is let through, because browsers send it
//     wherever one site reaches for another, and any other client could
//     write into it what it likes. To keep other clients out, list protocols.
//   - Networks are held against the peer of the connection. Behind a proxy
//     that is the proxy, unless the adapter knows better.
//   - A schema is held against every message, whatever content type it claims:
//     a condition that the sender could switch off by another label is none.
//     List contentTypes besides to demand the label as well.
//   - Rates are counted per endpoint on each node, over all its sessions.
package restrict

import (
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/rule"
)

// A Restriction is a further condition on the endpoints it selects. Conditions
// that are not given do not restrict.
type Restriction struct {
	Name string `json:"name" yaml:"name"`
	// Endpoints selects whom it concerns; nothing selects all.
	Endpoints rule.Selector `json:"endpoints,omitzero" yaml:"endpoints,omitempty"`
	// Enabled is true if not given. A disabled restriction must be valid too.
	Enabled *bool `json:"enabled,omitempty" yaml:"enabled,omitempty"`

	// Origins are those of the web pages that may connect: scheme, host and
	// port, "https://app.example.com". "https://*.example.com" is any host
	// below example.com, and not example.com itself. "null" is what browsers
	// send for pages without an origin, such as files. "*" is all of them.
	// Pages may not use an endpoint for which no restriction gives origins.
	Origins []string `json:"origins,omitempty" yaml:"origins,omitempty"`
	// Networks are the addresses that may connect: "10.1.0.0/16",
	// "2001:db8::/32", or one address. IPv4 addresses in IPv6 form are the
	// same as the plain ones, on both sides: "0.0.0.0/0" is all of them, and
	// "::/0" all others.
	Networks []string `json:"networks,omitempty" yaml:"networks,omitempty"`
	// Protocols are the adapters to come by: "https", "amqp", …
	Protocols []string `json:"protocols,omitempty" yaml:"protocols,omitempty"`
	// RequireTLS refuses connections without TLS.
	RequireTLS bool `json:"requireTLS,omitempty" yaml:"requireTLS,omitempty"`

	// MaxSize is the greatest Size of a message in bytes.
	MaxSize config.Size `json:"maxSize,omitempty" yaml:"maxSize,omitempty"`
	Rate    *Rate       `json:"rate,omitempty" yaml:"rate,omitempty"`
	// ContentTypes are globs of media types, "application/json", "text/*".
	// Parameters (";charset=…") and case do not count. A message without a
	// content type matches "*" only.
	ContentTypes []string `json:"contentTypes,omitempty" yaml:"contentTypes,omitempty"`
	// Schema is a JSON Schema that every body must satisfy: draft 2020-12,
	// unless $schema says otherwise. It cannot refer to other documents.
	Schema any    `json:"schema,omitempty" yaml:"schema,omitempty"`
	Hours  *Hours `json:"hours,omitempty" yaml:"hours,omitempty"`
}

// A Rate is how fast an endpoint may send: a bucket of messages and one of
// bytes, both full at first. A message that is refused for its rate takes
// nothing from them.
type Rate struct {
	// Messages per second; zero does not limit.
	Messages float64 `json:"messages,omitempty" yaml:"messages,omitempty"`
	// MessageBurst is how many may come at once; if zero, those of one
	// second, at least 1.
	MessageBurst int `json:"messageBurst,omitempty" yaml:"messageBurst,omitempty"`
	// Bytes per second, of Size; zero does not limit.
	Bytes config.Size `json:"bytes,omitempty" yaml:"bytes,omitempty"`
	// ByteBurst is how many may come at once, and so the greatest Size of a
	// message, counted or not; if zero, those of one second.
	ByteBurst config.Size `json:"byteBurst,omitempty" yaml:"byteBurst,omitempty"`
}

// Hours are when an endpoint may connect and send.
type Hours struct {
	// Days are mon, tue, … or ranges of them, "mon-fri"; none means all.
	Days []string `json:"days,omitempty" yaml:"days,omitempty"`
	// From and To are "HH:MM" on the clocks of Zone; To itself is outside.
	// They default to 00:00 and 24:00. If To is before From, the hours last
	// over midnight and belong to the day they begin on.
	From string `json:"from,omitempty" yaml:"from,omitempty"`
	To   string `json:"to,omitempty" yaml:"to,omitempty"`
	// Zone is an IANA time zone, "Europe/Oslo"; UTC if not given. Where
	// clocks are changed, the hours follow the clocks.
	Zone string `json:"zone,omitempty" yaml:"zone,omitempty"`
}

// A Plan is what concerns one endpoint. It is immutable, shared between
// endpoints and safe for concurrent use; the nil Plan restricts nothing.
type Plan struct {
	table   *Table
	matched []*compiled

	// The matched ones again, by what they ask, in their order.
	connect []*compiled
	hours   []*compiled
	types   []*compiled
	schemas []*compiled
	rates   []*rate

	smallest *compiled // with the least maxSize; nil if none has one
	origins  bool      // some restriction states origins
	sized    bool      // some condition asks for the size
	checks   bool      // some condition asks about messages
}

func newPlan(t *Table, matched []*compiled) *Plan {
	p := &Plan{table: t, matched: matched}
	for _, c := range matched {
		p.origins = p.origins || c.origins != nil
		if c.asksConnection() {
			p.connect = append(p.connect, c)
		}
		if c.hours != nil {
			p.hours = append(p.hours, c)
		}
		if c.types != nil {
			p.types = append(p.types, c)
		}
		if c.schema != nil {
			p.schemas = append(p.schemas, c)
		}
		if c.rate != nil {
			p.rates = append(p.rates, c.rate)
		}
		if c.maxSize > 0 && (p.smallest == nil || c.maxSize < p.smallest.maxSize) {
			p.smallest = c
		}
	}
	p.sized = p.smallest != nil || len(p.rates) > 0
	p.checks = p.sized || len(p.hours)+len(p.types)+len(p.schemas) > 0
	return p
}

// Message decides about a message from the plan's endpoint, whose rate state
// is l; l may be nil if the message is not to be counted, as when it was
// before. The kind of the error is TooLarge for a size, RateLimited for a rate
// and Restricted for all else; its Rule names the restriction.
//
// Conditions that cost little come first. A message that only a schema refuses
// has been counted: a flood of them is to be slowed as well.
func (p *Plan) Message(l *Limiter, m *gatehouse.Message, now time.Time) error {
	if p == nil || !p.checks {
		return nil
	}
	for _, c := range p.hours {
		if err := c.checkHours(now); err != nil {
			return err
		}
	}
	size := 0
	if p.sized {
		size = Size(m)
	}
	if p.smallest != nil {
		if err := p.smallest.checkSize(size); err != nil {
			return err
		}
	}
	for _, r := range p.rates {
		if err := r.checkSize(size); err != nil {
			return err
		}
	}
	for _, c := range p.types {
		if err := c.checkType(m.ContentType); err != nil {
			return err
		}
	}
	if len(p.rates) > 0 {
		if err := l.take(p, size, now); err != nil {
			return err
		}
	}
	for _, c := range p.schemas {
		if err := c.checkSchema(m.Body); err != nil {
			return err
		}
	}
	return nil
}

// Timed reports whether what Connect says may change as time goes by, because
// of hours: a session that only receives should then be held against Connect
// now and then.
func (p *Plan) Timed() bool { return p != nil && len(p.hours) > 0 }

// Size returns the size of a message as restrictions count it, in bytes: its
// body and its attributes, names and values. Numbers, booleans and timestamps
// count as 8, a UUID as 16, null as 0, a list or map as its elements.
func Size(m *gatehouse.Message) int {
	n := len(m.Body)
	for i := range m.Attributes {
		n += len(m.Attributes[i].Name) + valueSize(&m.Attributes[i].Value)
	}
	return n
}

func valueSize(v *gatehouse.Value) int {
	switch v.Type() {
	case gatehouse.TypeNull:
		return 0
	case gatehouse.TypeString, gatehouse.TypeBinary, gatehouse.TypeUUID:
		return len(v.Str())
	case gatehouse.TypeList:
		n, list := 0, v.List()
		for i := range list {
			n += valueSize(&list[i])
		}
		return n
	case gatehouse.TypeMap:
		n, entries := 0, v.Map()
		for i := range entries {
			n += len(entries[i].Name) + valueSize(&entries[i].Value)
		}
		return n
	}
	return 8
}
