package web

import (
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/signalr"
	"github.com/gatehouse/gatehouse/signalr/wire"
)

// Invoke implements signalr.Hub: the methods of the hub.
func (v *hubs) Invoke(conn *signalr.Conn, i *signalr.Invocation) {
	c := conn.Owner().(*hubClient)
	if err := c.invoke(i); err != nil {
		c.fail(i, err)
	}
}

// fail answers a call with an error: its kind first, which is stable.
func (c *hubClient) fail(i *signalr.Invocation, err error) {
	p := c.tell(err)
	i.Fail(p.Kind + ": " + p.Detail)
}

// invoke carries a call out, which is answered then or later, unless it fails.
func (c *hubClient) invoke(i *signalr.Invocation) error {
	switch strings.ToLower(i.Target) {
	case "send":
		return c.submit(i)
	case "complete":
		return c.decide(i, inbox.Complete)
	case "abandon":
		return c.decide(i, inbox.Abandon)
	case "deadletter":
		return c.decide(i, inbox.DeadLetter)
	case "renew":
		return c.prolong(i)
	case "token":
		return c.prove(i)
	}
	return gatehouse.Errorf(gatehouse.NotFound, "the hub has no method %.64q; it has Send, Complete, Abandon, DeadLetter, Renew and Token", i.Target)
}

// submit sends a message: Send(message) returns its receipt.
func (c *hubClient) submit(i *signalr.Invocation) error {
	if len(i.Arguments) != 1 {
		return gatehouse.Errorf(gatehouse.Invalid, "Send takes one argument, a message; a CloudEvent as an object")
	}
	text, err := i.Arguments[0].AppendJSON(nil)
	if err != nil {
		return gatehouse.Errorf(gatehouse.Invalid, "the message is no CloudEvent: %v", err)
	}
	m, err := decodeMessage(text, c.options.MaxBody)
	if err != nil {
		return err
	}
	return c.send(m, func(r gate.Receipt, err error) {
		if err != nil {
			c.fail(i, err)
		} else {
			i.Complete(wire.JSON(encodeReceipt(r)))
		}
	})
}

// texts returns the arguments of a call, which are texts: at least least, and as
// many as there are names. Those that are absent or null are empty.
func texts(i *signalr.Invocation, least int, names ...string) ([]string, error) {
	all := make([]string, len(names))
	if len(i.Arguments) < least || len(i.Arguments) > len(names) {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "%s takes %s", i.Target, strings.Join(names, ", "))
	}
	for n, v := range i.Arguments {
		if n >= least && (v.Kind() == wire.Null || v.Kind() == wire.None) {
			continue
		}
		text, err := v.Str()
		if err != nil {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "%s takes %s: %s is not a string", i.Target, strings.Join(names, ", "), names[n])
		}
		all[n] = text
	}
	return all, nil
}

// decide settles a delivery: Complete(lockToken), Abandon(lockToken),
// DeadLetter(lockToken, reason, description).
func (c *hubClient) decide(i *signalr.Invocation, outcome inbox.Outcome) error {
	names := []string{"lockToken"}
	if outcome == inbox.DeadLetter {
		names = append(names, "reason", "description")
	}
	given, err := texts(i, 1, names...)
	if err != nil {
		return err
	}
	t := inbox.Settlement{Outcome: outcome}
	if t.Lock, err = inbox.ParseLockToken(given[0]); err != nil {
		return err
	}
	if outcome == inbox.DeadLetter {
		t.Reason, t.Description = given[1], given[2]
	}
	return c.settle(t, func(err error) {
		if err != nil {
			c.fail(i, err)
		} else {
			i.Complete(wire.Value{})
		}
	})
}

// prolong renews a lock: Renew(lockToken) returns until when it holds.
func (c *hubClient) prolong(i *signalr.Invocation) error {
	given, err := texts(i, 1, "lockToken")
	if err != nil {
		return err
	}
	lock, err := inbox.ParseLockToken(given[0])
	if err != nil {
		return err
	}
	until, err := c.renew(lock)
	if err == nil {
		i.Complete(timeValue(until))
	}
	return err
}

// prove takes a fresh token: Token(accessToken) returns until when it is good.
func (c *hubClient) prove(i *signalr.Invocation) error {
	given, err := texts(i, 1, "accessToken")
	if err != nil {
		return err
	}
	until, err := c.reauthenticate(c.ctx, auth.FromToken(given[0]))
	if err == nil {
		i.Complete(timeValue(until))
	}
	return err
}

// timeValue returns a time as clients get it: a text, or null for the zero time.
func timeValue(t time.Time) wire.Value {
	if t.IsZero() {
		return wire.Value{}
	}
	return wire.Text(t.UTC().Format(time.RFC3339Nano))
}
