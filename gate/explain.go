package gate

import (
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/restrict"
	"github.com/gatehouse/gatehouse/rule"
)

// A Question asks what would become of a message.
type Question struct {
	Account  gatehouse.AccountName
	Endpoint gatehouse.EndpointName // the sender or, with From, the receiver
	// From, if set, asks about the way out: from that channel to the endpoint.
	From    gatehouse.ChannelName
	Message *gatehouse.Message
	// Connection, if not zero, is how the sender would come. Without a Protocol
	// what asks for one is not looked at.
	Connection restrict.Connection
	Now        time.Time // zero: the present
}

// An Answer is the decision, and what was looked at to come to it.
type Answer struct {
	Allowed  bool                    `json:"allowed"`
	Kind     string                  `json:"kind,omitempty"` // of the refusal
	Rule     string                  `json:"rule,omitempty"` // that refused, if one did
	Reason   string                  `json:"reason,omitempty"`
	Channels []gatehouse.ChannelName `json:"channels,omitempty"` // it would go to
	Steps    []rule.Step             `json:"steps"`
}

// Kinds and outcomes of the steps that the gate itself adds to those of the
// rules.
const (
	stepAccount  = "account"
	stepEndpoint = "endpoint"
	stepProtocol = "protocol"
	passed       = restrict.Passed
	refused      = restrict.Refused
	skipped      = restrict.Skipped
)

// Explain answers a question by the code that decides about live messages. It
// counts nothing against rates, and changes nothing.
func (g *Gate) Explain(q Question) Answer {
	if q.Now.IsZero() {
		q.Now = time.Now()
	}
	if q.Message == nil {
		q.Message = &gatehouse.Message{}
	}
	v := newView(g.snapshot.Load(), q.Account, q.Endpoint, nil)
	x := explanation{view: v, question: &q}
	if q.From != "" {
		x.egress()
	} else {
		x.ingress()
	}
	return x.answer
}

type explanation struct {
	view     *view
	question *Question
	answer   Answer
}

// step notes what was looked at, and the refusal if it is the first.
func (x *explanation) step(kind, name string, err error) bool {
	s := rule.Step{Rule: name, Kind: kind, Outcome: passed}
	if err != nil {
		s.Outcome, s.Reason = refused, err.Error()
	}
	x.answer.Steps = append(x.answer.Steps, s)
	x.decide(err)
	return err == nil
}

func (x *explanation) decide(err error) {
	if err == nil || x.answer.Reason != "" {
		return
	}
	x.answer.Kind, x.answer.Reason = gatehouse.KindOf(err).String(), err.Error()
	if e, ok := err.(*gatehouse.Error); ok { //nolint:errorlint // only the outermost names the rule
		x.answer.Rule = e.Rule
	}
}

// party looks at the account and the endpoint; it reports whether there is
// something to hold rules against.
func (x *explanation) party(need gatehouse.Rights) bool {
	q := x.question
	if !x.step(stepAccount, string(q.Account), x.view.accountStands(q.Account)) && x.view.account == nil {
		return false
	}
	return x.step(stepEndpoint, string(q.Endpoint), x.view.partyStands(q.Account, q.Endpoint, need)) || x.view.endpoint != nil
}

func (x *explanation) ingress() {
	q, v := x.question, x.view
	if !x.party(gatehouse.RightSend) {
		return
	}
	m, now := q.Message, q.Now
	if q.Connection != (restrict.Connection{}) {
		x.connection()
	}
	x.answer.Steps = append(x.answer.Steps, v.restrict.Explain(q.Connection, m, now)...)
	steps, _ := v.route.ExplainIngress(m, now)
	x.answer.Steps = append(x.answer.Steps, steps...)
	channels, err := v.ingress(nil, q.Endpoint, m, now, nil)
	x.decide(err)
	if x.answer.Reason == "" {
		x.answer.Allowed, x.answer.Channels = true, channels
	}
}

// connection looks at how the sender would come. If the question names no
// protocol, then only at the rest.
func (x *explanation) connection() {
	c, e := &x.question.Connection, x.view.endpoint
	protocol, named := c.Protocol, c.Protocol != ""
	if !named {
		c.AnyProtocol = true
		if may := e.Spec().Protocols; len(may) > 0 {
			protocol = may[0]
		}
	}
	err := e.Allows(protocol, !c.TLS)
	switch {
	case named || err != nil:
		x.step(stepProtocol, c.Protocol, err)
	default:
		x.answer.Steps = append(x.answer.Steps, rule.Step{Kind: stepProtocol, Outcome: skipped, Reason: "no protocol was named"})
	}
	x.decide(x.view.restrict.Connect(*c, x.question.Now))
}

func (x *explanation) egress() {
	q, v := x.question, x.view
	if !x.party(0) {
		return
	}
	if v.account.Channel(q.From) == nil {
		x.step("channel", string(q.From), gatehouse.Errorf(gatehouse.NotFound, "account %q has no channel %q", q.Account, q.From))
		return
	}
	steps, _ := v.route.ExplainEgress(q.From, q.Message, q.Now)
	x.answer.Steps = append(x.answer.Steps, steps...)
	x.decide(v.route.Egress(q.From, q.Message, q.Now))
	x.answer.Allowed = x.answer.Reason == ""
}
