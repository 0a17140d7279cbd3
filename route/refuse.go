package route

import (
	"fmt"

	"github.com/gatehouse/gatehouse"
)

// refuseIngress refuses a message that names no channel.
func (p Plan) refuseIngress(m *gatehouse.Message, v verdict) error {
	what := fmt.Sprintf("endpoint %q send %s to any channel", p.endpoint.Name, kindOf(m))
	return forbid(what, v, "add an ingress route that does, or send another type")
}

// refuseNamed refuses a message that names a channel.
func (p Plan) refuseNamed(m *gatehouse.Message, channel gatehouse.ChannelName, v verdict) error {
	if v.by == nil {
		return p.refuseUnknown(m, string(channel))
	}
	what := fmt.Sprintf("endpoint %q send %s to channel %q", p.endpoint.Name, kindOf(m), channel)
	return forbid(what, v, "add an ingress route that does, or send to another channel")
}

// refuseUnknown refuses a message that names a channel about which no
// authorization says anything. Whether there is such a channel is none of the
// sender's business.
func (p Plan) refuseUnknown(m *gatehouse.Message, channel string) error {
	return gatehouse.Errorf(gatehouse.Forbidden, "channel %q does not exist, or no route authorization lets endpoint %q send %s to it; add an ingress route that does, or send to another channel", channel, p.endpoint.Name, kindOf(m))
}

// refuseEgress refuses a message on its way out.
func (p Plan) refuseEgress(m *gatehouse.Message, from gatehouse.ChannelName, v verdict) error {
	what := fmt.Sprintf("endpoint %q receive %s from channel %q", p.endpoint.Name, kindOf(m), from)
	return forbid(what, v, "add an egress route that does")
}

// forbid says that nothing lets what happen, or what keeps it from happening.
func forbid(what string, v verdict, remedy string) error {
	switch {
	case v.by == nil:
		return gatehouse.Errorf(gatehouse.Forbidden, "no route authorization lets %s; %s", what, remedy)
	case v.by.deny:
		e := gatehouse.Errorf(gatehouse.Forbidden, "route authorization %q does not let %s%s", v.by.name, what, because(v))
		e.Rule = v.by.name
		return e
	}
	return gatehouse.Errorf(gatehouse.Forbidden, "no route authorization lets %s; the condition of %q %s", what, v.by.name, unmet(v))
}

func because(v verdict) string {
	switch {
	case v.err != nil:
		return fmt.Sprintf(": it denies what its condition cannot judge (%v); mend the message or the condition", v.err)
	case v.by.when != nil:
		return ": it denies what its condition is true of; send something else or have it changed"
	}
	return ": it denies that; have it changed or disabled if that is wrong"
}

func unmet(v verdict) string {
	if v.err != nil {
		return fmt.Sprintf("cannot be evaluated on this message (%v)", v.err)
	}
	return "is not true of this message"
}

// kindOf describes a message by its type, which is from outside.
func kindOf(m *gatehouse.Message) string {
	if m.Type == "" {
		return "messages without a type"
	}
	return fmt.Sprintf("type %.100q", m.Type)
}
