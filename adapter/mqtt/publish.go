package mqttadapter

import (
	"sync"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/mqtt"
)

// maxUnderWay is how many bytes of messages may be under way before a
// connection is read no further.
const maxUnderWay = 16 << 20

// publish takes a message in. It waits only while too much is under way, never
// for a commit.
func (c *connection) publish(p *mqtt.Publish) *cause {
	if len(p.Properties.SubscriptionIDs) > 0 { // 3.3.4-6
		return &cause{code: mqtt.ProtocolError, text: "a message from a client has no subscription identifier"}
	}
	if why := c.alias(p); why != nil {
		return why
	}
	if p.Retain && c.v5 {
		return &cause{code: mqtt.RetainNotSupported, text: "messages are not retained here: a gateway keeps none by topic", tidy: true}
	}
	if why := c.window(p); why != nil {
		return why
	}
	if p.QoS == 2 {
		if repeated, why := c.repeated(p); repeated || why != nil {
			return why
		}
	}
	m, code, err := c.incoming(p)
	if err != nil {
		c.unhold(p)
		c.refuse(p.PacketID, p.QoS, code, err)
		return nil
	}
	a := ack{id: p.PacketID, qos: p.QoS, size: len(m.Body), message: m}
	if p.QoS == 2 {
		a.life = c.state.life
	}
	c.mu.Lock()
	c.acks.push(a)
	c.mu.Unlock()
	if a.life != 0 {
		err = c.session.SubmitBeside(c.ctx, c.stored, m, c.state.holdRow(p.PacketID))
	} else {
		err = c.session.Submit(c.ctx, c.stored, m)
	}
	if err != nil {
		c.serving.refused(c.protocol, err)
		c.mu.Lock()
		last := &c.acks.queue[len(c.acks.queue)-1]
		last.done, last.err = true, err
		c.answer()
		c.mu.Unlock()
	}
	return nil
}

// incoming makes the message of a PUBLISH. An error comes with the reason code
// that says more than its kind, or 0.
func (c *connection) incoming(p *mqtt.Publish) (*gatehouse.Message, mqtt.Code, error) {
	d, err := c.destination(p.Topic)
	switch {
	case err != nil && gatehouse.KindOf(err) == gatehouse.Invalid:
		return nil, mqtt.TopicNameInvalid, err
	case err != nil:
		return nil, 0, err
	case int64(len(p.Payload)) > c.options.MaxBody:
		return nil, 0, gatehouse.Errorf(gatehouse.TooLarge, "the message is %d bytes long; at most %d are allowed", len(p.Payload), c.options.MaxBody)
	}
	var properties *mqtt.Properties
	if c.v5 {
		properties = &p.Properties
	}
	m, err := c.message(&d, properties, p.Payload)
	if err != nil {
		return nil, 0, err
	}
	if p.Retain {
		markRetained(m)
	}
	return m, 0, nil
}

// alias resolves the topic alias of a PUBLISH (5.0 section 3.3.2.3.4).
func (c *connection) alias(p *mqtt.Publish) *cause {
	a := int(p.Properties.TopicAlias)
	if !c.v5 || a == 0 {
		return nil
	}
	if a > maxAliases {
		return &cause{code: mqtt.TopicAliasInvalid, text: "the topic alias is greater than the topic alias maximum"}
	}
	if c.aliases == nil {
		c.aliases = make([][]byte, maxAliases+1)
	}
	if len(p.Topic) > 0 {
		c.aliases[a] = append(c.aliases[a][:0], p.Topic...)
	} else if p.Topic = c.aliases[a]; p.Topic == nil {
		return &cause{code: mqtt.ProtocolError, text: "the topic alias was given no topic"}
	}
	return nil
}

// maxAliases is how many topic aliases a client may have.
const maxAliases = 16

// markRetained notes that the sender of 3.1.1 asked for the message to be
// retained. It is stored as any other.
func markRetained(m *gatehouse.Message) {
	m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: attributeRetain, Value: gatehouse.Bool(true)})
}

// window waits until there is room for another message. A client of MQTT 5 that
// sends more than it may is at fault.
func (c *connection) window(p *mqtt.Publish) *cause {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, again := c.state.held[p.PacketID]
	counts := p.QoS == 1 || p.QoS == 2 && !again
	over := func() bool { return counts && c.acks.taken+len(c.state.held) >= c.options.Window }
	if over() && c.v5 {
		return &cause{code: mqtt.ReceiveMaximumExceeded, text: "more messages are unacknowledged than the receive maximum allows"}
	}
	if counts && len(c.state.held) >= c.options.Window {
		return &cause{code: mqtt.ReceiveMaximumExceeded, text: "too many messages at QoS 2 were not released"}
	}
	for c.cause == nil && (over() || c.acks.bytes > maxUnderWay || c.acks.len() > 2*c.options.Window || c.out.bytes() > maxOut) {
		c.kick()
		c.room.Wait()
	}
	return nil
}

// repeated deals with a message at QoS 2 whose packet id is in use: it was
// stored, and is not again. Otherwise the id is noted.
func (c *connection) repeated(p *mqtt.Publish) (bool, *cause) {
	c.mu.Lock()
	h, held := c.state.held[p.PacketID]
	if !held {
		if c.state.held == nil {
			c.state.held = make(map[uint16]hold)
		}
		c.state.held[p.PacketID] = hold{}
	}
	c.mu.Unlock()
	switch {
	case !held:
		return false, nil
	case h.stored:
		c.refuse(p.PacketID, p.QoS, 0, nil)
	case p.Dup || !c.v5: // the answer that is due is the answer to this one too
	default:
		c.refuse(p.PacketID, p.QoS, mqtt.PacketIdentifierInUse, errIDInUse)
	}
	return true, nil
}

var errIDInUse = gatehouse.Errorf(gatehouse.Conflict, "the packet identifier is in use")

// unhold forgets the packet id of a message that is not stored.
func (c *connection) unhold(p *mqtt.Publish) {
	if p.QoS == 2 {
		c.mu.Lock()
		delete(c.state.held, p.PacketID)
		c.mu.Unlock()
	}
}

// take is told of every message that was submitted, in order.
func (c *connection) take(r gate.Receipt, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := &c.acks.queue[c.acks.head]
	recycle(first.message)
	first.done, first.err, first.message = true, err, nil
	first.shard = engine.Shard(r.Position.Partition)
	c.answer()
}

// messages are used again once they are answered.
var messages = sync.Pool{New: func() any { return new(gatehouse.Message) }}

// Bounds of what a message keeps for the next.
const (
	maxKeptBody       = 4 << 10
	maxKeptAttributes = 32
)

// recycle keeps the memory of a message for another one.
func recycle(m *gatehouse.Message) {
	body, attributes := m.Body[:0], m.Attributes[:0]
	if cap(body) > maxKeptBody {
		body = nil
	}
	if cap(attributes) > maxKeptAttributes {
		attributes = nil
	}
	clear(attributes[:cap(attributes)])
	*m = gatehouse.Message{Body: body, Attributes: attributes}
	messages.Put(m)
}
