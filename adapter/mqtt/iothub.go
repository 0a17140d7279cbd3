package mqttadapter

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/cloudevents"
)

// Azure IoT Hub puts the properties of a message into its topic: a bag of
// NAME=VALUE joined by &, both percent-encoded. Its own begin with "$.".
const (
	bagContentType     = "$.ct"
	bagContentEncoding = "$.ce"
	bagMessageID       = "$.mid"
	bagCorrelationID   = "$.cid"
	bagTo              = "$.to"
)

// contentEncoding is the attribute that $.ce is kept in.
const contentEncoding = "contentEncoding"

// maxBag is how many properties a bag may have.
const maxBag = 256

// readBag sets what a bag of properties says about a message.
func readBag(m *gatehouse.Message, bag string) error {
	if bag == "" {
		return nil
	}
	if strings.Count(bag, "&") >= maxBag {
		return gatehouse.Errorf(gatehouse.Invalid, "the topic has more than %d properties", maxBag)
	}
	for part := range strings.SplitSeq(strings.TrimPrefix(bag, "?"), "&") {
		if part == "" {
			continue
		}
		rawName, rawValue, valued := strings.Cut(part, "=")
		name, err := url.PathUnescape(rawName)
		if err != nil || name == "" {
			return gatehouse.Errorf(gatehouse.Invalid, "property %.64q in the topic is malformed; names and values are percent-encoded", part)
		}
		value, err := url.PathUnescape(rawValue)
		if err != nil {
			return gatehouse.Errorf(gatehouse.Invalid, "property %.64q in the topic is malformed; names and values are percent-encoded", part)
		}
		setProperty(m, name, value, valued)
	}
	return nil
}

func setProperty(m *gatehouse.Message, name, value string, valued bool) {
	switch name {
	case bagContentType:
		m.ContentType = value
	case bagMessageID:
		m.ID = value
	case bagCorrelationID:
		m.CorrelationID = value
	case bagTo:
		if _, _, ok := gatehouse.SplitAddress(value); ok {
			m.To = []string{value}
			return
		}
		m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: name, Value: gatehouse.String(value)})
	case bagContentEncoding:
		m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: contentEncoding, Value: gatehouse.String(value)})
	default:
		v := gatehouse.Value{} // a name alone is null
		if valued {
			v = gatehouse.String(value)
		}
		m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: name, Value: v})
	}
}

// appendBag appends the properties of a delivery, as device code written for
// Azure IoT Hub expects them in the topic.
func appendBag(dst []byte, m *gatehouse.Message) []byte {
	start := len(dst)
	add := func(name, value string, valued bool) {
		if len(dst) > start {
			dst = append(dst, '&')
		}
		dst = append(dst, escape(name)...)
		if valued {
			dst = append(append(dst, '='), escape(value)...)
		}
	}
	for _, p := range [...]struct{ name, value string }{
		{bagMessageID, m.ID}, {bagCorrelationID, m.CorrelationID}, {bagContentType, m.ContentType}, {"subject", m.Subject},
	} {
		if p.value != "" {
			add(p.name, p.value, true)
		}
	}
	for i := range m.Attributes {
		a := &m.Attributes[i]
		switch {
		case a.Name == cloudevents.NativeAMQP, a.Name == attributeCorrelation, a.Name == attributeFormat:
		case a.Name == contentEncoding:
			add(bagContentEncoding, a.Value.Text(), true)
		default:
			add(a.Name, cloudevents.Text(a.Value), a.Value.Type() != gatehouse.TypeNull)
		}
	}
	return dst
}

// escape percent-encodes s so that it can be part of a topic and of a bag.
func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// parseUser reads the user name of a CONNECT: ACCOUNT/ENDPOINT, or that of
// device code written for Azure IoT Hub, HOST/DEVICE/?api-version=…, where the
// first label of the host stands for the account. It returns the name as
// authenticators know it.
func parseUser(user string) (u auth.User, name string, err error) {
	host, rest, _ := strings.Cut(user, "/")
	if device, query, ok := strings.Cut(rest, "/"); ok && strings.HasPrefix(query, "?") {
		account, _, _ := strings.Cut(host, ".")
		user = account + "/" + device
	}
	u, ok := auth.ParseUser(user)
	if !ok || u.Endpoint == "" {
		return u, "", gatehouse.Errorf(gatehouse.Unauthenticated, "the user name %s is not ACCOUNT/ENDPOINT", strconv.Quote(user[:min(len(user), 64)]))
	}
	return u, user, nil
}
