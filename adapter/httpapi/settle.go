package httpapi

import (
	"encoding/json"
	"net/http"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/inbox"
)

// settle completes (DELETE), abandons (PUT) or renews (POST) a locked message.
func (c *call) settle() error {
	switch c.r.Method {
	case http.MethodDelete:
		return c.settled(c.one(inbox.Settlement{Outcome: inbox.Complete}))
	case http.MethodPut:
		return c.settled(c.one(inbox.Settlement{Outcome: inbox.Abandon}))
	}
	until, err := c.renewLock()
	if err != nil {
		return err
	}
	o := object{[]byte{'{'}}
	o.text("LockToken", c.target.lock.String())
	o.date("LockedUntilUtc", until)
	c.w.Header()["BrokerProperties"] = []string{string(append(o.dst, '}'))}
	return c.settled(nil)
}

// deferMessage sets a locked message aside.
func (c *call) deferMessage() error { return c.settled(c.one(inbox.Settlement{Outcome: inbox.Defer})) }

// settled answers 200 if all went well.
func (c *call) settled(err error) error {
	if err == nil {
		c.w.WriteHeader(http.StatusOK)
	}
	return err
}

// maxReason bounds the body that says why a message is dead.
const maxReason = 16 << 10

// deadLetter moves a locked message to the dead letters of its inbox.
func (c *call) deadLetter() error {
	body, err := c.readBody(maxReason)
	if err != nil {
		return err
	}
	var why struct{ Reason, Description string }
	if len(body) > 0 {
		if err := json.Unmarshal(body, &why); err != nil {
			return gatehouse.Errorf(gatehouse.Invalid, "the body is not {\"reason\": …, \"description\": …}: %v; it may also be empty", explain(err))
		}
	}
	return c.settled(c.one(inbox.Settlement{Outcome: inbox.DeadLetter, Reason: why.Reason, Description: why.Description}))
}
