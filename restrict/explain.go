package restrict

import (
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/rule"
)

// StepKind is the Kind of every step that Explain returns.
const StepKind = "restriction"

// The outcomes of a restriction in an explanation.
const (
	Passed  = "passed"  // it was asked and has no objection
	Refused = "refused" // it objects; Reason is the error's text
	Skipped = "skipped" // it was not asked; Reason says why
)

// Explain says what each restriction of the account makes of a connection and
// a message, in their order. The zero Connection and the nil message are not
// asked about. Rates are not counted: it takes nothing from them, and says
// only whether the message could ever pass. Unlike Connect and Message it goes
// on behind the first refusal. A web page that comes to an endpoint whose
// origins no restriction states gets a last step of its own.
func (p *Plan) Explain(c Connection, m *gatehouse.Message, now time.Time) []rule.Step {
	steps := p.explain(c, m, now)
	if err := p.checkStated(c.Origin); err != nil {
		steps = append(steps, rule.Step{Rule: RuleOrigins, Kind: StepKind, Outcome: Refused, Reason: err.Error()})
	}
	return steps
}

func (p *Plan) explain(c Connection, m *gatehouse.Message, now time.Time) []rule.Step {
	if p == nil {
		return nil
	}
	concerned := make(map[*compiled]bool, len(p.matched))
	for _, r := range p.matched {
		concerned[r] = true
	}
	steps := make([]rule.Step, 0, len(p.table.all))
	for _, r := range p.table.all {
		step := rule.Step{Rule: r.name, Kind: StepKind, Outcome: Skipped}
		switch {
		case r.disabled:
			step.Reason = "it is disabled"
		case !concerned[r]:
			step.Reason = "its selector does not match the endpoint"
		default:
			step.Outcome, step.Reason = r.explain(c, m, now)
		}
		steps = append(steps, step)
	}
	return steps
}

// explain asks one restriction everything, and returns its first refusal or
// what it has looked at.
func (c *compiled) explain(conn Connection, m *gatehouse.Message, now time.Time) (outcome, reason string) {
	var asked []string
	if conn != (Connection{}) {
		if err := c.checkConnection(&conn); err != nil {
			return Refused, err.Error()
		}
		asked = c.connectionConditions(asked, &conn)
	}
	if c.hours != nil {
		if err := c.checkHours(now); err != nil {
			return Refused, err.Error()
		}
		asked = append(asked, "hours")
	}
	if m != nil {
		var err error
		if asked, err = c.explainMessage(asked, m); err != nil {
			return Refused, err.Error()
		}
	}
	if len(asked) == 0 {
		return Skipped, "it has no condition on this"
	}
	return Passed, "it allows it: " + strings.Join(asked, ", ")
}

func (c *compiled) connectionConditions(asked []string, conn *Connection) []string {
	for _, condition := range []struct {
		is   bool
		name string
	}{{c.tls, "TLS"}, {c.protocols != nil && !conn.AnyProtocol, "protocol"}, {c.networks != nil, "network"}, {c.origins != nil, "origin"}, {c.protocols != nil && conn.AnyProtocol, "protocol (none was named)"}} {
		if condition.is {
			asked = append(asked, condition.name)
		}
	}
	return asked
}

func (c *compiled) explainMessage(asked []string, m *gatehouse.Message) ([]string, error) {
	size := Size(m)
	if c.maxSize > 0 {
		if err := c.checkSize(size); err != nil {
			return nil, err
		}
		asked = append(asked, fmt.Sprintf("size %d of %d", size, c.maxSize))
	}
	if c.types != nil {
		if err := c.checkType(m.ContentType); err != nil {
			return nil, err
		}
		asked = append(asked, "content type")
	}
	if c.rate != nil {
		if err := c.rate.checkSize(size); err != nil {
			return nil, err
		}
		asked = append(asked, "rate (not counted here)")
	}
	if c.schema != nil {
		if err := c.checkSchema(m.Body); err != nil {
			return nil, err
		}
		asked = append(asked, "schema")
	}
	return asked, nil
}
