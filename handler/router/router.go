// Package router is the built-in handler that takes messages out: it delivers
// each message of a channel to the endpoints that the message names, that an
// expression finds, or that have certain labels.
//
// It says where a message is to go; whether it may is decided when it is
// delivered, by the egress authorizations, for each endpoint on its own. What
// may not be delivered, or names what does not exist, becomes a dead letter of
// the handler then.
package router

import (
	"context"
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/condition"
	"github.com/gatehouse/gatehouse/handler"
	"github.com/gatehouse/gatehouse/plugin"
	"github.com/gatehouse/gatehouse/rule"
)

// Reasons of dead letters, part of the documented interface.
const (
	ReasonNoDestination = "NoDestination"    // the message names nobody
	ReasonExpression    = "ExpressionFailed" // the expression cannot be evaluated for it
)

// Config says where messages go. All that is switched on counts together, and
// an address found in several ways gets a message once.
type Config struct {
	// To delivers to the endpoints that a message's "to" names. Channels among
	// its addresses are left alone: it entered them when it came in. On unless
	// switched off.
	To bool `json:"to"`
	// ReplyTo delivers to the address in a message's "replyTo", an endpoint or
	// a channel, as an answering handler wants it. Off unless switched on.
	ReplyTo bool `json:"replyTo"`
	// Expression, in CEL, gives an address or a list of addresses, as
	// endpoints/NAME or channels/NAME, for instance
	//
	//	"endpoints/" + msg.subject
	//
	// It sees msg, channel, now (when the message entered the channel, so that
	// the answer stays the same), and as endpoint the sender, with its name but
	// no labels. A message that it fails for becomes a dead letter
	// (ExpressionFailed).
	Expression string `json:"expression,omitempty"`
	// Labels delivers to every endpoint of the account that has them, such as
	// "site=oslo,kind!=test", and that an egress authorization lets have the
	// message: its condition may compare the message with the labels. An
	// endpoint that is found by its address as well gets the message once.
	Labels string `json:"labels,omitempty"`
	// Unaddressed is what becomes of a message that names nobody in any of
	// these ways: "ignore", the default, since most telemetry is for the
	// channel alone and stays there, or "deadLetter" (NoDestination), for a
	// channel whose messages are all meant for someone.
	Unaddressed string `json:"unaddressed"`
}

// Choices for Config.Unaddressed.
const (
	Ignore     = "ignore"
	DeadLetter = "deadLetter"
)

func defaults() Config { return Config{To: true, Unaddressed: Ignore} }

// Validate reports what is wrong with c.
func (c *Config) Validate() error {
	_, err := c.compile()
	return err
}

// compile checks c and compiles its expression, if it has one.
func (c *Config) compile() (*condition.Addresses, error) {
	if !c.To && !c.ReplyTo && c.Expression == "" && c.Labels == "" {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "the router would deliver to nobody; switch on to or replyTo, or give an expression or labels")
	}
	if c.Unaddressed != Ignore && c.Unaddressed != DeadLetter {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "unaddressed is %q; it must be %q or %q", c.Unaddressed, Ignore, DeadLetter)
	}
	if c.Labels != "" {
		if _, err := rule.CompileLabels(c.Labels); err != nil {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "labels: %w", err)
		}
	}
	if c.Expression == "" {
		return nil, nil
	}
	expression, err := condition.CompileAddresses(c.Expression)
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "expression: %w", err)
	}
	return expression, nil
}

// Kind is the router, as the application lists it.
var Kind = plugin.Define("router", defaults, New)

// A Router is the handler. It keeps nothing between messages.
type Router struct {
	config     Config
	channel    gatehouse.ChannelName
	expression *condition.Addresses // nil: none
}

// New returns a router of the given configuration. The error is of kind
// Invalid.
func New(c Config, d handler.Deps) (handler.Handler, error) {
	expression, err := c.compile()
	if err != nil {
		return nil, err
	}
	return &Router{config: c, channel: d.Channel, expression: expression}, nil
}

// Handle sends m to where it is to go.
func (r *Router) Handle(_ context.Context, m *gatehouse.Message, out handler.Sender) error {
	var few [4]string
	addresses, err := r.addresses(m, few[:0])
	if err != nil {
		return handler.Reject(ReasonExpression, err)
	}
	for _, a := range addresses {
		out.Send(a, m)
	}
	if r.config.Labels != "" {
		out.SendLabels(r.config.Labels, m)
		return nil
	}
	if len(addresses) == 0 && r.config.Unaddressed == DeadLetter {
		return handler.Reject(ReasonNoDestination, gatehouse.Errorf(gatehouse.Invalid, "the message names no endpoint to deliver it to"))
	}
	return nil
}

// addresses appends to dst the addresses m is to go to, each once.
func (r *Router) addresses(m *gatehouse.Message, dst []string) ([]string, error) {
	if r.config.To {
		for _, to := range m.To {
			if prefix, _, ok := gatehouse.SplitAddress(to); !ok || prefix != gatehouse.ChannelPrefix {
				dst = append(dst, to)
			}
		}
	}
	if r.config.ReplyTo && m.ReplyTo != "" {
		dst = append(dst, m.ReplyTo)
	}
	if r.expression != nil {
		found, err := r.expression.Eval(&condition.Vars{Message: m, Endpoint: senderOf(m), Channel: r.channel, Now: m.Enqueued})
		if err != nil {
			return nil, err
		}
		dst = append(dst, found...)
	}
	return unique(dst), nil
}

// senderOf returns the endpoint that sent m, as far as its source tells.
func senderOf(m *gatehouse.Message) rule.Endpoint {
	const segment = "/endpoints/"
	if i := strings.LastIndex(m.Source, segment); i >= 0 {
		return rule.Endpoint{Name: gatehouse.EndpointName(m.Source[i+len(segment):])}
	}
	return rule.Endpoint{}
}

// manyAddresses is from how many on a set finds repetitions faster.
const manyAddresses = 16

// unique removes repetitions, which differ in case at most, in place.
func unique(addresses []string) []string {
	if len(addresses) < 2 {
		return addresses
	}
	var seen map[string]bool
	if len(addresses) > manyAddresses {
		seen = make(map[string]bool, len(addresses))
	}
	kept := addresses[:0]
	for _, a := range addresses {
		if !repeats(a, kept, seen) {
			kept = append(kept, a)
		}
	}
	return kept
}

// repeats reports whether a is among kept, and notes it in seen, if there is
// such a set.
func repeats(a string, kept []string, seen map[string]bool) bool {
	if seen != nil {
		key := gatehouse.Fold(a)
		known := seen[key]
		seen[key] = true
		return known
	}
	for _, k := range kept {
		if strings.EqualFold(a, k) {
			return true
		}
	}
	return false
}
