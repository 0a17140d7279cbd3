// Package route decides which messages may cross the boundary: from an
// endpoint into a channel, and from a channel to an endpoint. Nothing crosses
// without a route authorization that allows it.
//
// An account's authorizations are compiled into a Table, which is immutable.
// Table.Plan finds those that concern one endpoint; endpoints that the same
// authorizations concern share what was worked out for them. For each message
// the authorizations that select its endpoint, its channel and its type, and
// whose condition is true of it, are looked at:
//
//   - if one of them denies, the message is denied;
//   - otherwise, if one of them allows, it is allowed;
//   - otherwise it is denied.
//
// A condition that cannot be evaluated, because an attribute is missing or the
// body is not JSON, is not true of an authorization that allows, and true of
// one that denies: a message that cannot be judged does not pass.
//
// Decisions do no I/O and change nothing. One without a condition is a table
// look-up.
package route

import (
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/rule"
)

// A Direction is which way messages go.
type Direction string

// The directions of messages.
const (
	Ingress Direction = "ingress" // from endpoints into channels
	Egress  Direction = "egress"  // from channels to endpoints
)

// An Effect is what an authorization does with the messages that match it.
type Effect string

// The effects of authorizations.
const (
	Allow Effect = "allow"
	Deny  Effect = "deny" // even if another one allows them
)

// An Authorization lets messages cross between endpoints and channels, or
// keeps them from it. What is not given does not narrow it.
type Authorization struct {
	Name      string    `json:"name" yaml:"name"`
	Direction Direction `json:"direction" yaml:"direction"`
	// Endpoints selects them by name and label; nothing selects all.
	Endpoints rule.Selector `json:"endpoints,omitzero" yaml:"endpoints,omitempty"`
	// Channels selects them by name; nothing selects all.
	Channels rule.Selector `json:"channels,omitzero" yaml:"channels,omitempty"`
	// Types are globs of message types, "order.*"; case counts. Nothing and
	// "*" match all, also messages without a type.
	Types []string `json:"types,omitempty" yaml:"types,omitempty"`
	// When is a condition over msg, endpoint, channel and now, in CEL.
	When string `json:"when,omitempty" yaml:"when,omitempty"`
	// Effect is allow if not given.
	Effect Effect `json:"effect,omitempty" yaml:"effect,omitempty"`
	// Enabled is true if not given. A disabled authorization must be valid too.
	Enabled *bool `json:"enabled,omitempty" yaml:"enabled,omitempty"`
}

// A Plan is what concerns one endpoint. It is immutable, small enough to be
// passed by value, and safe for concurrent use; the zero Plan allows nothing.
type Plan struct {
	table    *Table
	set      *set
	endpoint rule.Endpoint
}

// Ingress decides where a message from the plan's endpoint goes, and appends
// these channels to dst, each once and under the name it was defined with.
//
// A message that names channels in To goes to exactly those, in their order,
// and all of them must allow it. One that names none goes to every channel
// that allows it, in the order of their names. Otherwise the error is of kind
// Forbidden; its Rule names the authorization that denied it, if one did.
func (p Plan) Ingress(dst []gatehouse.ChannelName, m *gatehouse.Message, now time.Time) ([]gatehouse.ChannelName, error) {
	if p.set == nil {
		return nil, p.refuseIngress(m, verdict{})
	}
	l := p.set.ingress.lane(m.Type)
	d := p.decision(l, m, now)
	defer p.done(d)
	return p.ingress(dst, l, d, m)
}

func (p Plan) ingress(dst []gatehouse.ChannelName, l *lane, d *decision, m *gatehouse.Message) ([]gatehouse.ChannelName, error) {
	start, named := len(dst), false
	for _, to := range m.To {
		prefix, name, ok := gatehouse.SplitAddress(to)
		if !ok {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "address %.200q is not channels/NAME or endpoints/NAME", to)
		}
		if prefix != gatehouse.ChannelPrefix {
			continue
		}
		named = true
		c := l.cell(p.table, name)
		if c == nil {
			return nil, p.refuseUnknown(m, name)
		}
		if v := c.decide(d); !v.allowed {
			return nil, p.refuseNamed(m, c.channel, v)
		}
		dst = appendOnce(dst, start, c.channel)
	}
	if named {
		return dst, nil
	}
	return p.everywhere(dst, l, d, m)
}

// appendOnce appends name unless it is there already from start on.
func appendOnce(dst []gatehouse.ChannelName, start int, name gatehouse.ChannelName) []gatehouse.ChannelName {
	for _, have := range dst[start:] {
		if have == name {
			return dst
		}
	}
	return append(dst, name)
}

// everywhere appends all channels that allow m.
func (p Plan) everywhere(dst []gatehouse.ChannelName, l *lane, d *decision, m *gatehouse.Message) ([]gatehouse.ChannelName, error) {
	if !l.asks && len(l.open) > 0 {
		return append(dst, l.open...), nil
	}
	start := len(dst)
	var why verdict
	for i := range l.cells {
		v := l.cells[i].decide(d)
		switch {
		case v.allowed:
			dst = append(dst, l.cells[i].channel)
		case v.by != nil && (why.by == nil || v.by.deny && !why.by.deny):
			why = v
		}
	}
	if len(dst) == start {
		return nil, p.refuseIngress(m, why)
	}
	return dst, nil
}

// Egress decides whether a message may leave a channel to the plan's endpoint.
// The error is of kind Forbidden; its Rule names the authorization that denied
// it, if one did.
func (p Plan) Egress(from gatehouse.ChannelName, m *gatehouse.Message, now time.Time) error {
	if p.set == nil {
		return p.refuseEgress(m, from, verdict{})
	}
	l := p.set.egress.lane(m.Type)
	d := p.decision(l, m, now)
	defer p.done(d)
	return p.egress(l, d, from, m)
}

func (p Plan) egress(l *lane, d *decision, from gatehouse.ChannelName, m *gatehouse.Message) error {
	c := l.cell(p.table, string(from))
	if c == nil {
		return p.refuseEgress(m, from, verdict{})
	}
	if v := c.decide(d); !v.allowed {
		return p.refuseEgress(m, c.channel, v)
	}
	return nil
}
