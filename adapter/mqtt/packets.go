package mqttadapter

import (
	"context"
	"errors"

	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/mqtt"
)

// read reads packets and deals with them, until nothing comes for a while, when
// it returns true, or the connection is to end and has a cause.
func (c *connection) read() (idle bool) {
	if c.session == nil {
		c.in.limit = maxFirst
	}
	for {
		h, body, err := c.next(c.catchUp)
		if errors.Is(err, errIdle) {
			return true
		}
		if c.over.Load() {
			break
		}
		why := c.readFailed(err)
		if err == nil {
			why = c.packet(h, body)
		}
		if why != nil {
			c.end(why)
			break
		}
	}
	if c.session != nil {
		c.catchUp()
	}
	return false
}

// catchUp does what was put off while packets came one after the other: answers
// are written, what the client has decided about is settled, and more is taken
// for it.
func (c *connection) catchUp() {
	c.mu.Lock()
	c.kick()
	c.mu.Unlock()
	c.decided()
}

// packet deals with a packet. It returns why the connection is to end, or nil.
func (c *connection) packet(h mqtt.Header, body []byte) *cause {
	if c.session == nil {
		return c.first(h, body)
	}
	var err error
	switch h.Type {
	case mqtt.TypePublish:
		p := &c.in.publish
		if err = p.Decode(h, body, c.version()); err == nil {
			return c.publish(p)
		}
	case mqtt.TypePubAck, mqtt.TypePubRec, mqtt.TypePubRel, mqtt.TypePubComp:
		p := &c.in.ack
		if err = p.Decode(h, body, c.version()); err == nil {
			c.ack(p)
			return nil
		}
	case mqtt.TypeSubscribe:
		p := new(mqtt.Subscribe)
		if err = p.Decode(body, c.version()); err == nil {
			return c.subscribe(p)
		}
	case mqtt.TypeUnsubscribe:
		p := new(mqtt.Unsubscribe)
		if err = p.Decode(body, c.version()); err == nil {
			return c.unsubscribe(p)
		}
	case mqtt.TypePingReq:
		p := new(mqtt.Ping)
		if err = p.Decode(h, body); err == nil {
			return c.pong()
		}
	case mqtt.TypeDisconnect:
		p := new(mqtt.Disconnect)
		if err = p.Decode(body, c.version()); err == nil {
			return c.goodbye(p)
		}
	case mqtt.TypeAuth:
		p := new(mqtt.Auth)
		if err = p.Decode(body, c.version()); err == nil {
			return c.renewProof(p)
		}
	default:
		return &cause{code: mqtt.ProtocolError, text: "a client does not send " + h.Type.String() + " there"}
	}
	return c.readFailed(err)
}

// first deals with the first packet, which is to be CONNECT.
func (c *connection) first(h mqtt.Header, body []byte) *cause {
	var p mqtt.Connect
	if h.Type != mqtt.TypeConnect {
		return &cause{text: "the first packet is not CONNECT", silent: true}
	}
	if err := p.Decode(body); err != nil {
		c.refuseConnect(&p, err)
		return &cause{text: err.Error()}
	}
	if err := c.connect(&p); err != nil {
		c.options.Logger.Debug("a client was not let in", "remote", c.remote, "user", p.UserName, "error", err)
		return &cause{text: err.Error()}
	}
	return nil
}

// ack deals with PUBACK, PUBREC, PUBREL and PUBCOMP.
func (c *connection) ack(a *mqtt.Ack) {
	switch a.Type {
	case mqtt.TypePubRel:
		c.waitToAnswer()
		c.pubrel(a.PacketID)
	case mqtt.TypePubRec:
		c.waitToAnswer()
		c.pubrec(a)
	default:
		c.puback(a)
	}
}

// decided settles what the client has decided about, and has more messages taken
// for it.
func (c *connection) decided() {
	r := c.in.reading
	if r == nil {
		return
	}
	for i := range r.settling {
		if list := r.settling[i]; len(list) > 0 {
			r.settling[i] = nil
			c.settle(i == 1, list)
			c.arm(&c.feeds[i])
		}
	}
}

// maxSettling is how many deliveries are settled at a time.
const maxSettling = 256

// decide notes what the client has decided about a delivery.
func (c *connection) decide(o *outgoing, s inbox.Settlement) {
	s.Lock = o.lock
	i := index(o.dead)
	list := &c.in.settling[i]
	*list = append(*list, s)
	if len(*list) >= maxSettling {
		c.decided()
	}
}

// puback deals with the acknowledgement of a delivery: PUBACK, PUBCOMP, and a
// PUBREC that refuses it. One for what is not known is of a former connection.
func (c *connection) puback(a *mqtt.Ack) {
	c.mu.Lock()
	o := c.find(a.PacketID)
	if o == nil {
		c.mu.Unlock()
		return
	}
	was := *o
	c.drop(o)
	c.mu.Unlock()
	if a.Code < mqtt.UnspecifiedError {
		c.decide(&was, inbox.Settlement{Outcome: inbox.Complete})
		return
	}
	c.decide(&was, rejection(a))
	if a.Code == mqtt.QuotaExceeded {
		c.pause(c.feedOf(was.dead))
	}
}

// pubrec deals with the first half of the acknowledgement at QoS 2.
func (c *connection) pubrec(a *mqtt.Ack) {
	if a.Code >= mqtt.UnspecifiedError {
		c.puback(a)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	code := mqtt.PacketIdentifierNotFound
	if o := c.find(a.PacketID); o != nil {
		o.received, code = true, mqtt.Success
	}
	c.sendRelease(a.PacketID, code)
}

// pubrel deals with the end of a message at QoS 2 that the client has sent. It
// is answered when it is durable that the packet id is free: otherwise the next
// message under it could be taken for this one.
func (c *connection) pubrel(id uint16) {
	c.mu.Lock()
	h := c.state.held[id]
	switch {
	case !h.stored:
		c.sendComplete(id, mqtt.PacketIdentifierNotFound)
	case h.releasing: // its answer is due
	case h.life == 0:
		delete(c.state.held, id)
		c.sendComplete(id, mqtt.Success)
	default:
		on := h
		on.releasing = true
		c.state.held[id] = on
	}
	c.mu.Unlock()
	if h.stored && !h.releasing && h.life != 0 {
		c.working.Add(1)
		c.options.Sessions.release(h.shard, c.state.rowOf(id), func(err error) { c.released(id, err) })
	}
}

// released is told that it is durable that a packet id is free, or why not: then
// it is not.
func (c *connection) released(id uint16, err error) {
	defer c.working.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		h := c.state.held[id]
		h.releasing = false
		c.state.held[id] = h
		c.refuseAndEnd(err)
		return
	}
	delete(c.state.held, id)
	c.room.Broadcast()
	if !c.closed {
		c.sendComplete(id, mqtt.Success)
		c.kick()
	}
}

// rejection is what a reason code of a client means for the delivery: quota
// exceeded gives it back, implementation specific error counts as a failed
// delivery, any other makes it a dead letter.
func rejection(a *mqtt.Ack) inbox.Settlement {
	switch a.Code {
	case mqtt.QuotaExceeded:
		return inbox.Settlement{Outcome: inbox.Release}
	case mqtt.ImplementationSpecificError:
		return inbox.Settlement{Outcome: inbox.Abandon}
	}
	s := inbox.Settlement{Outcome: inbox.DeadLetter, Reason: a.Code.String(), Description: a.Properties.ReasonString}
	for _, u := range a.Properties.User {
		if u.Name == propertyReason {
			s.Reason = u.Value
		}
	}
	return s
}

// goodbye deals with the client's DISCONNECT.
func (c *connection) goodbye(d *mqtt.Disconnect) *cause {
	if p := &d.Properties; p.HasSessionExpiry {
		if c.keep == 0 && p.SessionExpiry > 0 {
			return &cause{code: mqtt.ProtocolError, text: "the session was to end with the connection, and cannot be made to last when the client goes"}
		}
		c.keep = c.atMost(p.SessionExpiry)
	}
	return &cause{silent: true, noWill: d.Code == mqtt.Success, tidy: true, text: "the client has left"}
}

// renewProof deals with AUTH: a new proof for the same rights.
func (c *connection) renewProof(a *mqtt.Auth) *cause {
	c.waitToAnswer()
	p := &a.Properties
	if c.method == "" || a.Code != mqtt.Reauthenticate || p.AuthMethod != c.method {
		return &cause{code: mqtt.ProtocolError, text: "AUTH is for clients that named method " + methodSAS + " when they connected, to authenticate again with it"}
	}
	shown := []auth.Credentials{auth.Password{User: c.user, Password: string(p.AuthData)}}
	if c.shown != nil {
		shown = append(shown, *c.shown)
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.options.ConnectTime)
	defer cancel()
	if err := c.session.Reauthenticate(ctx, shown...); err != nil {
		return c.endOf(err)
	}
	c.sendAuth()
	return nil
}
