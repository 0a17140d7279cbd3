package mqttadapter

import (
	"encoding/base64"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/cloudevents"
	"github.com/gatehouse/gatehouse/mqtt"
)

// Attributes that keep what only MQTT can express.
const (
	attributeCorrelation = "mqttcorrelationdata" // correlation data that is no text
	attributeFormat      = "mqttpayloadformat"   // 1: the sender says that the payload is UTF-8
	attributeRetain      = "mqttretain"          // a client of 3.1.1 asked for the message to be retained
)

// A lastTopic is the topic that the client used last, and what it means: most
// use the same one again and again.
type lastTopic struct {
	name string
	destination
}

// destination returns what a topic means.
func (c *connection) destination(topic []byte) (destination, error) {
	last := &c.in.topic
	if string(topic) == last.name && last.name != "" {
		return last.destination, nil
	}
	name := string(topic)
	d, err := parseTopic(name, c.self)
	if err == nil {
		*last = lastTopic{name, d}
	}
	return d, err
}

// message makes the message of a PUBLISH, or of a will.
func (c *connection) message(d *destination, p *mqtt.Properties, payload []byte) (*gatehouse.Message, error) {
	m := messages.Get().(*gatehouse.Message)
	m.Subject, m.Body = d.subject, append(m.Body, payload...)
	if len(d.to) > 0 {
		m.To = d.to[:1:1]
	}
	if d.hasBag {
		if err := readBag(m, d.bag); err != nil {
			return nil, err
		}
	}
	if p != nil {
		if err := c.properties(m, p); err != nil {
			return nil, err
		}
	}
	switch {
	case mediaType(m.ContentType) == cloudevents.ContentType:
		return c.structured(m, d)
	case strings.HasPrefix(mediaType(m.ContentType), "application/cloudevents"):
		return nil, gatehouse.Errorf(gatehouse.Invalid, "CloudEvents format %.64q is not supported; use %s", m.ContentType, cloudevents.ContentType)
	}
	return m, nil
}

// structured reads a CloudEvent in structured mode. What the topic says counts
// where the event says nothing.
func (c *connection) structured(outer *gatehouse.Message, d *destination) (*gatehouse.Message, error) {
	m, err := cloudevents.Decode(outer.Body)
	if err != nil {
		return nil, err
	}
	if len(m.To) == 0 {
		m.To = outer.To
	} else if len(d.to) > 0 && strings.HasPrefix(d.to[0], gatehouse.ChannelPrefix) {
		m.To = append(d.to[:1:1], m.To...)
	}
	if m.Subject == "" {
		m.Subject = d.subject
	}
	if m.CorrelationID == "" {
		m.CorrelationID = outer.CorrelationID
	}
	if m.ReplyTo == "" {
		m.ReplyTo = outer.ReplyTo
	}
	if m.TTL == 0 {
		m.TTL = outer.TTL
	}
	return m, nil
}

// properties sets what the properties of MQTT 5 say about a message.
func (c *connection) properties(m *gatehouse.Message, p *mqtt.Properties) error {
	event := false
	for i := range p.User {
		if p.User[i].Name == "specversion" {
			event = true
			break
		}
	}
	to := m.To
	for i := range p.User {
		if err := setUser(m, p.User[i].Name, p.User[i].Value, event); err != nil {
			return err
		}
	}
	if len(to) > 0 && len(m.To) > 0 && m.To[0] != to[0] {
		m.To = append(to[:1:1], m.To...) // what the topic says, and what the property does
	}
	if p.ContentType != "" {
		m.ContentType = p.ContentType
	}
	if p.ResponseTopic != "" {
		m.ReplyTo = c.replyTo(p.ResponseTopic)
	}
	if len(p.CorrelationData) > 0 {
		setCorrelation(m, p.CorrelationData)
	}
	if p.HasMessageExpiry { // 0: at once
		m.TTL = max(time.Duration(p.MessageExpiry)*time.Second, time.Millisecond)
	}
	if p.PayloadFormat == 1 {
		if !utf8.Valid(m.Body) {
			return gatehouse.Errorf(gatehouse.Invalid, "the payload format indicator says that the payload is UTF-8, and it is not")
		}
		m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: attributeFormat, Value: gatehouse.Int64(1)})
	}
	return nil
}

// setUser sets what a user property says: a context attribute of a CloudEvent
// in binary mode, or a field of the envelope by the same name, or else an
// attribute of its own name. Without specversion, what cannot be a field's
// value stays an attribute.
func setUser(m *gatehouse.Message, name, value string, event bool) error {
	if !isField(name) {
		m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: name, Value: gatehouse.String(value)})
		return nil
	}
	err := cloudevents.Set(m, name, value)
	if err != nil && !event {
		m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: name, Value: gatehouse.String(value)})
		return nil
	}
	return err
}

// isField reports whether a user property is one that CloudEvents or the
// gateway give a meaning. Others keep their name as it is.
func isField(name string) bool {
	switch name {
	case "specversion", "id", "source", "type", "datacontenttype", "dataschema", "subject", "time", "data",
		"to", "partitionkey", "group", "correlationid", "replyto", "ttl", "notbefore", "traceparent", cloudevents.AttributesExtension,
		"locktoken", "lockeduntil", propertyCount, "sequencenumber", "enqueuedtime",
		propertyReason, propertyDetail, propertyFrom, propertyDeadTime:
		return true
	}
	return false
}

// User properties that tell about a delivery; sent on, they mean nothing.
const (
	propertyCount    = "deliverycount"
	propertyReason   = "deadletterreason"
	propertyDetail   = "deadletterdetail"
	propertyFrom     = "deadletterfrom"
	propertyDeadTime = "deadlettertime"
)

// replyTo returns a response topic as an address: the sender's inbox if it is
// one.
func (c *connection) replyTo(topic string) string {
	if topic == topicInbox || strings.HasPrefix(topic, topicInbox+"/") {
		return gatehouse.EndpointPrefix + string(c.self)
	}
	return topic
}

// setCorrelation keeps correlation data: as text, or in base64 and, to be exact,
// in an attribute.
func setCorrelation(m *gatehouse.Message, data []byte) {
	if isText(data) {
		m.CorrelationID = string(data)
		return
	}
	m.CorrelationID = base64.StdEncoding.EncodeToString(data)
	m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: attributeCorrelation, Value: gatehouse.Binary(data)})
}

// isText reports whether b is text that any protocol can carry.
func isText(b []byte) bool {
	for _, r := range string(b) {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return false
		}
	}
	return true
}

// mediaType returns a content type without its parameters, in lower case.
func mediaType(contentType string) string {
	t, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// seconds returns d as a number of seconds, at least one.
func seconds(d time.Duration) uint32 {
	s := (d + time.Second - 1) / time.Second
	return uint32(min(max(s, 1), math.MaxUint32))
}
