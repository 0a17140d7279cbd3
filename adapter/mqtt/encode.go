package mqttadapter

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/cloudevents"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/mqtt"
)

// appendTopic appends the topic of a delivery.
func (c *connection) appendTopic(dst []byte, f form, m *gatehouse.Message) []byte {
	switch f {
	case formTree:
		if t := topicInbox + "/" + m.Subject; m.Subject != "" && mqtt.ValidTopic(t) {
			return append(dst, t...)
		}
	case formDead:
		return append(dst, topicDead...)
	case formDevice:
		dst = append(append(append(dst, topicDevice...), c.self...), boundPart...)
		if bag := appendBag(dst, m); len(bag) <= mqtt.MaxText {
			return bag
		}
		return dst
	}
	return append(dst, topicInbox...)
}

// describe5 sets the properties of MQTT 5 that describe a delivery: in full as
// a CloudEvent in binary mode.
func (c *connection) describe5(p *mqtt.Properties, d *inbox.Delivery, now time.Time) {
	m := d.Message
	p.ContentType = fit(m.ContentType)
	if !d.Expires.IsZero() {
		p.MessageExpiry = seconds(d.Expires.Sub(now))
	}
	if v, ok := m.Attribute(attributeCorrelation); ok && v.Type() == gatehouse.TypeBinary {
		p.CorrelationData = []byte(v.Str())
	} else if m.CorrelationID != "" {
		p.CorrelationData = []byte(m.CorrelationID)
	}
	replied := mqtt.ValidTopic(m.ReplyTo)
	if replied {
		p.ResponseTopic = m.ReplyTo
	}
	if isUTF8(m) {
		p.PayloadFormat = 1
	}
	for name, value := range cloudevents.Context(m) {
		if name == "correlationid" && len(m.CorrelationID) <= mqtt.MaxText || name == "replyto" && replied {
			continue // MQTT has a property for it
		}
		addUser(p, name, value)
	}
	addAttributes(p, m)
	if d.Count > 1 {
		addUser(p, propertyCount, strconv.FormatUint(uint64(d.Count), 10))
	}
	if dead := m.Dead; dead != nil {
		addUser(p, propertyReason, dead.Reason)
		addUser(p, propertyDetail, dead.Description)
		addUser(p, propertyFrom, dead.From)
	}
}

// addAttributes adds attributes under their own names. Those that have no text,
// and those whose name means something else, are in one more property.
func addAttributes(p *mqtt.Properties, m *gatehouse.Message) {
	var rest []gatehouse.Attribute
	for i := range m.Attributes {
		a := &m.Attributes[i]
		switch a.Value.Type() {
		case gatehouse.TypeNull, gatehouse.TypeList, gatehouse.TypeMap:
			rest = append(rest, *a)
			continue
		}
		switch {
		case a.Name == cloudevents.NativeAMQP, a.Name == attributeCorrelation, a.Name == attributeFormat:
		case isField(a.Name), len(a.Name) > mqtt.MaxText:
			rest = append(rest, *a)
		default:
			addUser(p, a.Name, cloudevents.Text(a.Value))
		}
	}
	if len(rest) == 0 {
		return
	}
	for name, value := range cloudevents.Extensions(&gatehouse.Message{Attributes: rest}) {
		addUser(p, name, value)
	}
}

// addUser adds a user property. A value that MQTT cannot carry is cut short.
func addUser(p *mqtt.Properties, name, value string) {
	p.User = append(p.User, mqtt.UserProperty{Name: fit(name), Value: fit(value)})
}

// fit returns s as a string of MQTT: UTF-8 without the character 0, of at most
// mqtt.MaxText bytes.
func fit(s string) string {
	if len(s) > mqtt.MaxText {
		s = s[:mqtt.MaxText]
	}
	if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
		if len(s) > mqtt.MaxText {
			return fit(s)
		}
	}
	return s
}

// isUTF8 reports whether a message's body is known to be text: its sender said
// so, or its content type does.
func isUTF8(m *gatehouse.Message) bool {
	if v, ok := m.Attribute(attributeFormat); ok && v.Int64() == 1 {
		return utf8.Valid(m.Body)
	}
	t := m.ContentType
	if t == "" {
		return false
	}
	media := mediaType(t)
	text := media == "application/json" || strings.HasSuffix(media, "+json") || media == "text/plain" && strings.Contains(strings.ToLower(t), "utf-8")
	return text && utf8.Valid(m.Body)
}
