package mqttadapter

import (
	"errors"
	"strconv"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/mqtt"
)

// version returns that of the connection.
func (c *connection) version() mqtt.Version {
	if c.v5 {
		return mqtt.Version5
	}
	return mqtt.Version311
}

// A packet can be written.
type packet interface {
	Append(dst []byte, v mqtt.Version) []byte
}

// put has a packet written once the reader waits, with the other answers to what
// it has read; c.mu is held.
func (c *connection) put(p packet) {
	buf := c.buffer()
	*buf = p.Append(*buf, c.version())
}

// reason sets what the client is told of err, if it wants to be told.
func (c *connection) reason(p *mqtt.Properties, err error) {
	if err == nil || c.quiet || !c.v5 {
		return
	}
	c.explain(p, c.describe(err), err)
}

func (c *connection) explain(p *mqtt.Properties, text string, err error) {
	p.ReasonString = fit(text[:min(len(text), maxReason)])
	if err == nil {
		return
	}
	e := ruleOf(err)
	addUser(p, propertyKind, e.Kind.String())
	if e.Rule != "" {
		addUser(p, propertyRule, e.Rule)
	}
	if e.RetryAfter > 0 {
		addUser(p, propertyRetryAfter, strconv.FormatInt(e.RetryAfter.Milliseconds(), 10))
	}
}

// maxReason is how many bytes of a reason a client is told.
const maxReason = 1024

// within drops the reasons from an answer that is larger than the client takes.
func (c *connection) within(p *mqtt.Properties, size func() int) {
	if c.limits.packet > 0 && (p.ReasonString != "" || len(p.User) > 0) && size() > c.limits.packet {
		p.ReasonString, p.User = "", nil
	}
}

// acknowledge writes the answer to a message; c.mu is held.
func (c *connection) acknowledge(e *ack) {
	if e.qos == 2 && !e.own {
		if e.err == nil {
			c.state.held[e.id] = hold{stored: true, life: e.life, shard: e.shard}
		} else {
			delete(c.state.held, e.id)
			c.unstore(e)
		}
	}
	switch {
	case e.err != nil && e.qos == 0:
		if answers[gatehouse.KindOf(e.err)].lasting {
			c.refuseAndEnd(e.err)
		}
		return
	case e.err != nil && !c.v5:
		c.refuseAndEnd(e.err)
		return
	case e.qos == 0:
		return
	}
	a := mqtt.Ack{Type: mqtt.TypePubAck, PacketID: e.id, Code: e.code}
	if e.qos == 2 {
		a.Type = mqtt.TypePubRec
	}
	if e.err != nil {
		if a.Code == mqtt.Success {
			a.Code = answers[gatehouse.KindOf(e.err)].publish
		}
		c.reason(&a.Properties, e.err)
		c.within(&a.Properties, func() int { return len(a.Append(nil, c.version())) })
	}
	buf := c.buffer()
	*buf = a.Append(*buf, c.version())
}

// unstore removes the row of a message that may or may not be stored: the client
// is told that it is not, and free to use its packet id again; c.mu is held.
func (c *connection) unstore(e *ack) {
	if e.life == 0 || !errors.Is(e.err, gatehouse.Unavailable) {
		return
	}
	shard, row := e.shard, c.state.rowOf(e.id)
	c.working.Add(1)
	go func() { // a write may have to wait for those whose outcome is told here
		defer c.working.Done()
		c.options.Sessions.tidy(rows{shard: {{Key: row}}})
	}()
}

// refuseAndEnd ends the connection because of a message that was refused, which
// nothing else could tell the client; c.mu is held.
func (c *connection) refuseAndEnd(err error) {
	why := &cause{code: answers[gatehouse.KindOf(err)].end, text: c.describe(err), err: err, tidy: true}
	c.working.Add(1)
	go func() { // end takes mu
		defer c.working.Done()
		c.end(why)
	}()
}

// sendRelease writes PUBREL; c.mu is held.
func (c *connection) sendRelease(id uint16, code mqtt.Code) {
	c.put(&mqtt.Ack{Type: mqtt.TypePubRel, PacketID: id, Code: code})
}

// sendComplete writes PUBCOMP; c.mu is held.
func (c *connection) sendComplete(id uint16, code mqtt.Code) {
	c.put(&mqtt.Ack{Type: mqtt.TypePubComp, PacketID: id, Code: code})
}

func (c *connection) sendSubAck(id uint16, codes []mqtt.Code, err error) {
	p := &mqtt.SubAck{PacketID: id, Codes: codes}
	if !c.v5 {
		for i, code := range codes {
			if code >= mqtt.UnspecifiedError {
				codes[i] = mqtt.UnspecifiedError // the only failure that there is
			}
		}
	}
	c.reason(&p.Properties, err)
	c.within(&p.Properties, func() int { return len(p.Append(nil, c.version())) })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(p)
}

func (c *connection) sendUnsubAck(id uint16, codes []mqtt.Code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(&mqtt.UnsubAck{PacketID: id, Codes: codes})
}

// waitToAnswer waits until the client has read enough of what it was answered.
func (c *connection) waitToAnswer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.cause == nil && c.out.bytes() > maxOut {
		c.kick()
		c.room.Wait()
	}
}

// pong answers PINGREQ.
func (c *connection) pong() *cause {
	c.waitToAnswer()
	c.mu.Lock()
	defer c.mu.Unlock()
	buf := c.buffer()
	*buf = (&mqtt.Ping{Type: mqtt.TypePingResp}).Append(*buf)
	return nil
}

func (c *connection) sendAuth() {
	var p mqtt.Auth
	p.Properties.AuthMethod = c.method
	c.mu.Lock()
	defer c.mu.Unlock()
	buf := c.buffer()
	*buf = p.Append(*buf)
}

// sendRefusal writes the CONNACK for a client that is not let in.
func (c *connection) sendRefusal(r *refusal) {
	p := &mqtt.ConnAck{Code: r.code}
	if c.v5 {
		c.reason(&p.Properties, r.err)
		c.within(&p.Properties, func() int { return len(p.Append(nil, c.version())) })
	} else if p.Code = mqtt.Code(r.old); r.old == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(p)
}

// sayGoodbye writes DISCONNECT; c.mu is held.
func (c *connection) sayGoodbye() {
	if !c.v5 {
		return // a server of 3.1.1 has no such packet
	}
	p := &mqtt.Disconnect{Code: c.cause.code}
	if !c.quiet || c.cause.err == nil {
		c.explain(&p.Properties, c.cause.text, c.cause.err)
	}
	c.within(&p.Properties, func() int { return len(p.Append(nil, c.version())) })
	buf := c.buffer()
	*buf = p.Append(*buf, c.version())
}

// appendDelivery appends the PUBLISH of a delivery, for which it uses p.
func (c *connection) appendDelivery(dst []byte, p *mqtt.Publish, f *feed, d *inbox.Delivery, o *outgoing, now time.Time) []byte {
	*p = mqtt.Publish{
		QoS: o.qos, PacketID: o.id, Dup: o.again, Topic: c.appendTopic(p.Topic[:0], f.form, d.Message), Payload: d.Message.Body,
		Properties: mqtt.Properties{User: p.Properties.User[:0]},
	}
	if c.v5 {
		c.describe5(&p.Properties, d, now)
		p.Properties.SubscriptionIDs = f.ids
	}
	return p.Append(dst, c.version())
}
