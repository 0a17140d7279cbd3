package mqttadapter

import (
	"slices"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/mqtt"
)

// maxSubscriptions is how many subscriptions a session may have: there are not
// many different ones.
const maxSubscriptions = 32

// maxFilters is how many topic filters a packet may have.
const maxFilters = 256

// subscribe makes subscriptions, and answers.
func (c *connection) subscribe(p *mqtt.Subscribe) *cause {
	c.waitToAnswer()
	if len(p.Filters) > maxFilters {
		return &cause{code: mqtt.ProtocolError, text: "too many topic filters in one packet"}
	}
	codes := make([]mqtt.Code, len(p.Filters))
	id := uint32(0)
	if ids := p.Properties.SubscriptionIDs; len(ids) > 0 {
		id = ids[0]
	}
	var first error
	for i := range p.Filters {
		f := &p.Filters[i]
		if f.NoLocal && strings.HasPrefix(f.Topic, sharePrefix) {
			return &cause{code: mqtt.ProtocolError, text: "a shared subscription cannot have No Local"}
		}
		code, err := c.subscribeTo(f, id)
		codes[i] = code
		if err != nil {
			c.serving.refused(c.protocol, err)
			if first == nil {
				first = err
			}
		}
	}
	if why := c.remember(); why != nil {
		return why
	}
	c.sendSubAck(p.PacketID, codes, first)
	for i := range c.feeds {
		c.takeUp(&c.feeds[i])
	}
	return nil
}

// subscribeTo makes a subscription and returns the reason code.
func (c *connection) subscribeTo(f *mqtt.Filter, id uint32) (mqtt.Code, error) {
	form, err := parseFilter(f.Topic, c.self)
	if err == nil && !c.session.Identity().Rights.Has(gatehouse.RightListen) {
		err = gatehouse.Errorf(gatehouse.Forbidden, "the credentials let this client send, but not receive; add a key or token that has the right to listen")
	}
	if err != nil {
		return answers[gatehouse.KindOf(err)].suback, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.state.subscriptions
	s := subscription{filter: f.Topic, form: form, qos: f.QoS, id: id}
	at := slices.IndexFunc(list, func(o subscription) bool { return o.filter == f.Topic })
	switch {
	case at >= 0:
		list[at] = s
	case len(list) >= maxSubscriptions:
		return mqtt.QuotaExceeded, gatehouse.Errorf(gatehouse.QuotaExceeded, "the session has %d subscriptions, which is as many as it may have", len(list))
	default:
		c.state.subscriptions = append(list, s)
	}
	c.state.exact = c.state.exact || f.QoS == 2
	c.refeed()
	return mqtt.Code(f.QoS), nil
}

// unsubscribe ends subscriptions, and answers. What is on its way is still
// delivered.
func (c *connection) unsubscribe(p *mqtt.Unsubscribe) *cause {
	c.waitToAnswer()
	if len(p.Filters) > maxFilters {
		return &cause{code: mqtt.ProtocolError, text: "too many topic filters in one packet"}
	}
	codes := make([]mqtt.Code, len(p.Filters))
	c.mu.Lock()
	for i, filter := range p.Filters {
		before := len(c.state.subscriptions)
		c.state.subscriptions = slices.DeleteFunc(c.state.subscriptions, func(s subscription) bool { return s.filter == filter })
		if len(c.state.subscriptions) == before {
			codes[i] = mqtt.NoSubscriptionExisted
		}
	}
	c.refeed()
	c.mu.Unlock()
	if why := c.remember(); why != nil {
		return why
	}
	for i := range c.feeds {
		if f := &c.feeds[i]; !c.isOn(f) {
			c.disarm(f)
		}
	}
	c.sendUnsubAck(p.PacketID, codes)
	return nil
}

// remember stores the session, if it is to last, with the subscriptions that it
// has now.
func (c *connection) remember() *cause {
	if c.keep <= 0 {
		return nil
	}
	c.mu.Lock()
	rows := c.options.Sessions.toKeep(c.state, c.keep, time.Time{})
	c.mu.Unlock()
	if err := c.options.Sessions.write(rows); err != nil {
		return c.endOf(err)
	}
	return nil
}

func (c *connection) isOn(f *feed) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return f.on
}

// refeed sets what the connection receives by its subscriptions: of the inbox,
// which may have several, each message once, at the highest QoS of them, with
// the topic of the first and the identifiers of all (5.0 section 3.3.4); c.mu is
// held.
func (c *connection) refeed() {
	for i := range c.feeds {
		f := &c.feeds[i]
		f.on, f.qos, f.ids = false, 0, nil // ids may be in use
		for _, s := range c.state.subscriptions {
			if (s.form == formDead) != f.dead {
				continue
			}
			if !f.on {
				f.on, f.form = true, s.form
			}
			f.qos = max(f.qos, s.qos)
			if s.id != 0 {
				f.ids = append(f.ids, s.id)
			}
		}
	}
}
