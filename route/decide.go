package route

import (
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/condition"
)

// A decision is what one message needs while its conditions are asked. Each
// condition that does not depend on the channel is asked once.
type decision struct {
	vars    condition.Vars
	failed  func(rule string, err error)
	turn    uint64   // which message it is
	answers []answer // by slot
}

// An answer is what a condition said about the message of a turn.
type answer struct {
	turn uint64
	is   bool
	err  error
}

// decision returns what is needed to ask the conditions of l; nil if there are
// none. It is to be handed back to done.
func (p Plan) decision(l *lane, m *gatehouse.Message, now time.Time) *decision {
	if !l.asks {
		return nil
	}
	d := p.table.decisions.Get().(*decision)
	d.turn++
	d.failed = p.table.failed
	d.vars.Message, d.vars.Endpoint, d.vars.Now = m, p.endpoint, now
	return d
}

func (p Plan) done(d *decision) {
	if d == nil {
		return
	}
	d.vars = condition.Vars{} // so that nothing holds the message
	p.table.decisions.Put(d)
}

// ask evaluates the condition of c for a channel.
func (d *decision) ask(c *compiled, channel gatehouse.ChannelName) (bool, error) {
	a := &d.answers[c.slot]
	if a.turn == d.turn && !c.when.UsesChannel() {
		return a.is, a.err
	}
	d.vars.Channel = channel
	a.turn = d.turn
	a.is, a.err = c.when.Eval(&d.vars)
	if a.err != nil && d.failed != nil {
		d.failed(c.name, a.err)
	}
	return a.is, a.err
}

// A verdict is what the authorizations say about a message and one channel. If
// it is not allowed, by is the one that denies it or the first of those that
// would have allowed it if their condition were true, and err says that its
// condition could not be evaluated.
type verdict struct {
	allowed bool
	by      *compiled // nil: there is none
	err     error
}

// decide asks the authorizations of a cell. D may be nil if none of the lane
// has a condition.
func (c *cell) decide(d *decision) verdict {
	if c.deny != nil {
		return verdict{by: c.deny}
	}
	for _, r := range c.denies {
		if is, err := d.ask(r, c.channel); is || err != nil {
			return verdict{by: r, err: err}
		}
	}
	if c.allow {
		return verdict{allowed: true}
	}
	var miss verdict
	for _, r := range c.allows {
		is, err := d.ask(r, c.channel)
		if is {
			return verdict{allowed: true}
		}
		if miss.by == nil {
			miss = verdict{by: r, err: err}
		}
	}
	return miss
}
