package web

import (
	"encoding/json"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/cloudevents"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/inbox"
)

// A command is what a client says: one JSON object a text.
type command struct {
	Op string `json:"op"`
	// ID is repeated in the answer; without one, nothing is answered but what
	// was refused.
	ID json.RawMessage `json:"id"`

	Message     json.RawMessage `json:"message"`     // of send
	Credit      int             `json:"credit"`      // of credit
	LockToken   string          `json:"lockToken"`   // of complete, abandon, deadLetter and renew
	Reason      string          `json:"reason"`      // of deadLetter
	Description string          `json:"description"` // of deadLetter
	Token       string          `json:"token"`       // of token
}

const maxID = 128 // bytes of a command's id

// command does what a client says. An error ends the connection.
func (c *socket) command(text []byte) error {
	var cmd command
	if err := json.Unmarshal(text, &cmd); err != nil {
		return gatehouse.Errorf(gatehouse.Invalid, "a text is no command in JSON: %v", err)
	}
	if len(cmd.ID) > maxID {
		return gatehouse.Errorf(gatehouse.Invalid, "the id of a command is longer than %d bytes", maxID)
	}
	// What costs nothing to refuse is refused as what had to be decided.
	if err := c.do(&cmd, len(text)); err != nil {
		c.refused(cmd.ID, err)
	}
	return nil
}

func (c *socket) do(cmd *command, size int) error {
	switch cmd.Op {
	case "send":
		return c.submit(cmd, size)
	case "credit":
		if cmd.Credit < 0 || cmd.Credit > maxWindow {
			return gatehouse.Errorf(gatehouse.Invalid, "credit is %d; it is a number from 0 to %d", cmd.Credit, maxWindow)
		}
		if err := c.receive(cmd.Credit); err != nil {
			return err
		}
		c.done(cmd.ID, nil)
		return nil
	case "complete", "abandon", "deadLetter":
		return c.decide(cmd)
	case "renew":
		return c.prolong(cmd)
	case "token":
		until, err := c.reauthenticate(c.ctx, auth.FromToken(cmd.Token))
		if err == nil {
			c.done(cmd.ID, timeMember("expires", until))
		}
		return err
	case "ping":
		c.answer("pong", cmd.ID, nil)
		return nil
	}
	return gatehouse.Errorf(gatehouse.Invalid, "op is %.32q; it is one of send, credit, complete, abandon, deadLetter, renew, token and ping", cmd.Op)
}

// submit sends a message.
func (c *socket) submit(cmd *command, size int) error {
	m, err := decodeMessage(cmd.Message, c.options.MaxBody)
	if err != nil {
		return err
	}
	c.sending.take(size)
	err = c.send(m, func(r gate.Receipt, err error) {
		c.sending.give(size)
		if err != nil {
			c.refused(cmd.ID, err)
		} else if cmd.ID != nil {
			c.answer("accepted", cmd.ID, append([]byte(`,"receipt":`), encodeReceipt(r)...))
		}
	})
	if err != nil {
		c.sending.give(size)
	}
	return err
}

// decodeMessage reads a CloudEvent whose body is no longer than maxBody.
func decodeMessage(text []byte, maxBody int64) (*gatehouse.Message, error) {
	if len(text) == 0 {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "there is no message; it is a CloudEvent in JSON")
	}
	m, err := cloudevents.Decode(text)
	if err != nil {
		return nil, err
	}
	if int64(len(m.Body)) > maxBody {
		return nil, gatehouse.Errorf(gatehouse.TooLarge, "the body has %d bytes; at most %d are allowed", len(m.Body), maxBody)
	}
	return m, nil
}

// decide settles a delivery.
func (c *socket) decide(cmd *command) error {
	lock, err := inbox.ParseLockToken(cmd.LockToken)
	if err != nil {
		return err
	}
	t := inbox.Settlement{Lock: lock, Reason: cmd.Reason, Description: cmd.Description}
	switch cmd.Op {
	case "abandon":
		t.Outcome = inbox.Abandon
	case "deadLetter":
		t.Outcome = inbox.DeadLetter
	}
	return c.settle(t, func(err error) {
		if err != nil {
			c.refused(cmd.ID, err)
		} else {
			c.done(cmd.ID, nil)
		}
	})
}

// prolong renews a lock.
func (c *socket) prolong(cmd *command) error {
	lock, err := inbox.ParseLockToken(cmd.LockToken)
	if err != nil {
		return err
	}
	until, err := c.renew(lock)
	if err == nil {
		c.done(cmd.ID, timeMember("lockedUntil", until))
	}
	return err
}

// timeMember returns a member of an answer; none for the zero time.
func timeMember(name string, t time.Time) []byte {
	if t.IsZero() {
		return nil
	}
	return []byte(`,"` + name + `":"` + t.UTC().Format(time.RFC3339Nano) + `"`)
}

// hello tells the client what it may do.
func (c *socket) hello() {
	id := c.gate.Identity()
	text, _ := json.Marshal(struct { // texts and booleans: cannot fail
		Op         string                 `json:"op"`
		Connection string                 `json:"connection"`
		Account    gatehouse.AccountName  `json:"account"`
		Endpoint   gatehouse.EndpointName `json:"endpoint"`
		Send       bool                   `json:"send"`
		Receive    bool                   `json:"receive"`
		Expires    *time.Time             `json:"expires,omitempty"`
	}{"hello", c.id, id.Account, id.Endpoint, id.Rights.Has(gatehouse.RightSend), id.Rights.Has(gatehouse.RightListen), expiry(id)})
	c.out.put(text)
}

// expiry returns when a proof ends, or nil.
func expiry(id gatehouse.Identity) *time.Time {
	if id.Expires.IsZero() {
		return nil
	}
	at := id.Expires.UTC()
	return &at
}

// done answers a command that was carried out, if the client wants to know.
func (c *socket) done(id json.RawMessage, members []byte) {
	if id != nil {
		c.answer("done", id, members)
	}
}

func (c *socket) answer(op string, id json.RawMessage, members []byte) {
	text := append([]byte(`{"op":"`), op...)
	text = append(text, '"')
	if id != nil {
		text = append(append(text, `,"id":`...), id...)
	}
	c.out.put(append(append(text, members...), '}'))
}

// refused answers a command that was not carried out.
func (c *socket) refused(id json.RawMessage, err error) {
	p := c.tell(err)
	text, _ := json.Marshal(refusal{Op: "refused", ID: id, Kind: p.Kind, Reason: p.Detail, Rule: p.Rule, RetryAfter: p.RetryAfter})
	c.out.put(text)
}

// A refusal tells a client what was not done, and why.
type refusal struct {
	Op         string          `json:"op"`
	ID         json.RawMessage `json:"id,omitempty"`
	Kind       string          `json:"kind"`
	Reason     string          `json:"reason"`
	Rule       string          `json:"rule,omitempty"`
	RetryAfter float64         `json:"retryAfter,omitempty"` // seconds
}
