package route

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/rule"
)

// StepKind is the Kind of every step that an explanation returns.
const StepKind = "route"

// The outcomes of an authorization in an explanation.
const (
	Allowed = "allowed"  // it allows the message
	Denied  = "denied"   // it denies the message
	Skipped = "skipped"  // it does not concern the endpoint or the direction
	NoMatch = "no match" // it concerns the endpoint, but not this message
)

// maxListed is how many channels a reason names.
const maxListed = 10

// ExplainIngress says what each authorization of the account makes of a
// message from the plan's endpoint, in their order, and which channels Ingress
// returns for it. An authorization whose condition depends on the channel may
// have a step for each outcome. A last step without a Rule says why the
// message is refused, if it is: its Reason is the error of Ingress.
func (p Plan) ExplainIngress(m *gatehouse.Message, now time.Time) ([]rule.Step, []gatehouse.ChannelName) {
	x := p.explanation(Ingress, m, now)
	if p.set == nil {
		return x.refused(p.refuseIngress(m, verdict{})), nil
	}
	for _, to := range m.To {
		if prefix, name, ok := gatehouse.SplitAddress(to); ok && prefix == gatehouse.ChannelPrefix {
			x.name(name)
		}
	}
	x.explain()
	channels, err := p.ingress(nil, p.set.ingress.lane(m.Type), x.decision, m)
	if err != nil {
		return x.refused(err), nil
	}
	return x.steps, channels
}

// ExplainEgress says what each authorization of the account makes of a message
// that would leave a channel to the plan's endpoint, in their order, and
// whether Egress allows it. If not, a last step without a Rule says why: its
// Reason is the error of Egress.
func (p Plan) ExplainEgress(from gatehouse.ChannelName, m *gatehouse.Message, now time.Time) ([]rule.Step, bool) {
	x := p.explanation(Egress, m, now)
	if p.set == nil {
		return x.refused(p.refuseEgress(m, from, verdict{})), false
	}
	x.name(string(from))
	x.explain()
	if err := p.egress(p.set.egress.lane(m.Type), x.decision, from, m); err != nil {
		return x.refused(err), false
	}
	return x.steps, true
}

// An explanation is one in the making. Conditions are asked anew and not
// counted when they fail.
type explanation struct {
	plan      Plan
	direction Direction
	message   *gatehouse.Message
	decision  *decision
	named     bool  // the channels are given
	channels  []int // which; those that exist
	steps     []rule.Step
}

func (p Plan) explanation(direction Direction, m *gatehouse.Message, now time.Time) *explanation {
	x := &explanation{plan: p, direction: direction, message: m}
	if p.table != nil {
		x.decision = &decision{turn: 1, answers: make([]answer, p.table.asking)}
		x.decision.vars.Message, x.decision.vars.Endpoint, x.decision.vars.Now = m, p.endpoint, now
	}
	return x
}

// name narrows the explanation to a channel, or to one more.
func (x *explanation) name(channel string) {
	x.named = true
	i, ok := x.plan.table.index[gatehouse.Fold(channel)]
	if ok && !slices.Contains(x.channels, i) {
		x.channels = append(x.channels, i)
	}
}

func (x *explanation) refused(err error) []rule.Step {
	return append(x.steps, rule.Step{Kind: StepKind, Outcome: Denied, Reason: err.Error()})
}

func (x *explanation) step(c *compiled, outcome, reason string) {
	x.steps = append(x.steps, rule.Step{Rule: c.name, Kind: StepKind, Outcome: outcome, Reason: reason})
}

func (x *explanation) explain() {
	concerned := make(map[*compiled]bool, len(x.plan.set.matched))
	for _, c := range x.plan.set.matched {
		concerned[c] = true
	}
	for _, c := range x.plan.table.all {
		switch {
		case c.disabled:
			x.step(c, Skipped, "it is disabled")
		case c.direction != x.direction:
			x.step(c, Skipped, "it is for "+string(c.direction))
		case !concerned[c]:
			x.step(c, Skipped, "its selector does not match the endpoint")
		case !c.matchesType(x.message.Type):
			x.step(c, NoMatch, fmt.Sprintf("the message is of %s, and it is for %.200s", kindOf(x.message), c.typeList))
		default:
			x.explainChannels(c)
		}
	}
}

// explainChannels goes on with an authorization that matches the endpoint and
// the type.
func (x *explanation) explainChannels(c *compiled) {
	asked := c.channels
	if x.named {
		asked = slices.DeleteFunc(slices.Clone(x.channels), func(i int) bool { return !slices.Contains(c.channels, i) })
	}
	switch {
	case len(c.channels) == 0:
		x.step(c, NoMatch, "its selector matches no channel")
	case len(asked) == 0:
		x.step(c, NoMatch, "its selector does not match the channel")
	case c.when == nil:
		x.step(c, effect(c), verb(c)+x.list(asked))
	default:
		x.explainCondition(c, asked)
	}
}

// explainCondition asks a condition for each channel, and tells those apart
// for which it comes out differently.
func (x *explanation) explainCondition(c *compiled, asked []int) {
	type outcome struct{ word, why string }
	var order []outcome
	channels := make(map[outcome][]int)
	for _, i := range asked {
		var o outcome
		o.word, o.why = x.ask(c, x.plan.table.channels[i])
		if channels[o] == nil {
			order = append(order, o)
		}
		channels[o] = append(channels[o], i)
	}
	for _, o := range order {
		switch {
		case o.word != NoMatch:
			o.why += "; " + verb(c) + x.list(channels[o])
		case len(order) > 1:
			o.why += ", for " + x.list(channels[o])
		}
		x.step(c, o.word, o.why)
	}
}

// ask says how a condition comes out for a channel, and why.
func (x *explanation) ask(c *compiled, channel gatehouse.ChannelName) (outcome, why string) {
	is, err := x.decision.ask(c, channel)
	switch {
	case err != nil && c.deny:
		return Denied, fmt.Sprintf("its condition cannot be evaluated (%v), which counts as true where it denies", err)
	case err != nil:
		return NoMatch, fmt.Sprintf("its condition cannot be evaluated: %v", err)
	case is:
		return effect(c), "its condition is true"
	}
	return NoMatch, "its condition is false"
}

func effect(c *compiled) string {
	if c.deny {
		return Denied
	}
	return Allowed
}

func verb(c *compiled) string {
	if c.deny {
		return "it denies "
	}
	return "it allows "
}

// list names channels.
func (x *explanation) list(indexes []int) string {
	var b strings.Builder
	b.WriteString("channel")
	if len(indexes) > 1 {
		b.WriteByte('s')
	}
	for n, i := range indexes {
		if n == maxListed {
			fmt.Fprintf(&b, " and %d more", len(indexes)-n)
			break
		}
		if n > 0 {
			b.WriteByte(',')
		}
		b.WriteString(" " + string(x.plan.table.channels[i]))
	}
	return b.String()
}
