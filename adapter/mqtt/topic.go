package mqttadapter

import (
	"strings"

	"github.com/gatehouse/gatehouse"
)

// Topics that mean something; any other is kept as the subject of its message.
const (
	topicInbox  = "inbox"
	topicDead   = "inbox/$deadletterqueue"
	topicDevice = "devices/" // of Azure IoT Hub
	eventsPart  = "/messages/events"
	boundPart   = "/messages/devicebound/"
	sharePrefix = "$share/"
)

// A destination is what a topic says about the messages that are published to
// it. Messages share its slices.
type destination struct {
	to         []string
	subject    string
	bag        string // properties in the topic, as Azure IoT Hub has them
	hasBag     bool
	fromDevice bool // by the topic of Azure IoT Hub
}

// parseTopic reads the topic of a message that an endpoint publishes. Errors
// are Invalid, or Forbidden for the topic of another device.
func parseTopic(topic string, self gatehouse.EndpointName) (destination, error) {
	switch {
	case strings.HasPrefix(topic, "$"):
		return destination{}, gatehouse.Errorf(gatehouse.Invalid, "topic %.64q is not served here; publish to channels/CHANNEL, or to any topic that does not begin with $", topic)
	case topic == topicInbox, strings.HasPrefix(topic, topicInbox+"/"):
		return destination{}, gatehouse.Errorf(gatehouse.Invalid, "nothing can be published to an inbox; publish to endpoints/ENDPOINT or channels/CHANNEL")
	case strings.HasPrefix(topic, gatehouse.ChannelPrefix):
		return parseAddress(topic, gatehouse.ChannelPrefix)
	case strings.HasPrefix(topic, gatehouse.EndpointPrefix):
		return parseAddress(topic, gatehouse.EndpointPrefix)
	case strings.HasPrefix(topic, topicDevice):
		return parseDevice(topic, self)
	}
	return destination{subject: topic}, nil
}

// parseAddress reads channels/NAME or endpoints/NAME, which a subject may
// follow.
func parseAddress(topic, prefix string) (destination, error) {
	name, subject, _ := strings.Cut(topic[len(prefix):], "/")
	if err := gatehouse.CheckName(name); err != nil {
		return destination{}, gatehouse.Errorf(gatehouse.Invalid, "topic %.64q: %v", topic, err)
	}
	return destination{to: []string{topic[:len(prefix)+len(name)]}, subject: subject}, nil
}

// parseDevice reads devices/DEVICE/messages/events/PROPERTIES. What else begins
// with devices/ is a topic like any other.
func parseDevice(topic string, self gatehouse.EndpointName) (destination, error) {
	device, rest, _ := strings.Cut(topic[len(topicDevice):], "/")
	bag, ok := strings.CutPrefix("/"+rest, eventsPart)
	if !ok || bag != "" && bag[0] != '/' {
		return destination{subject: topic}, nil
	}
	if !strings.EqualFold(device, string(self)) {
		return destination{}, gatehouse.Errorf(gatehouse.Forbidden, "topic %.64q is of another device; this connection is that of %s", topic, self)
	}
	return destination{bag: strings.TrimPrefix(bag, "/"), hasBag: true, fromDevice: true}, nil
}

// A form is how the topics of deliveries look.
type form uint8

const (
	formInbox  form = iota // inbox
	formTree               // inbox/SUBJECT
	formDead               // inbox/$deadletterqueue
	formDevice             // devices/DEVICE/messages/devicebound/PROPERTIES
)

// A subscription is one topic filter of a session.
type subscription struct {
	filter string // as the client gave it
	form   form
	qos    byte
	id     uint32 // subscription identifier; 0: none
}

// maxFilter is how long a topic filter may be: sessions keep them.
const maxFilter = 512

// parseFilter reads a topic filter. Errors are Invalid, or Forbidden for the
// inbox of another endpoint.
func parseFilter(filter string, self gatehouse.EndpointName) (form, error) {
	if len(filter) > maxFilter {
		return 0, gatehouse.Errorf(gatehouse.Invalid, "the topic filter is %d bytes long; at most %d are allowed", len(filter), maxFilter)
	}
	rest := filter
	if strings.HasPrefix(filter, sharePrefix) {
		// All who receive from an inbox share it.
		_, rest, _ = strings.Cut(filter[len(sharePrefix):], "/")
	}
	switch rest {
	case topicInbox:
		return formInbox, nil
	case topicInbox + "/#", "#":
		return formTree, nil
	case topicDead:
		return formDead, nil
	}
	if strings.HasPrefix(rest, topicDevice) {
		device, tail, _ := strings.Cut(rest[len(topicDevice):], "/")
		switch {
		case "/"+tail != boundPart+"#":
		case strings.EqualFold(device, string(self)):
			return formDevice, nil
		default:
			return 0, gatehouse.Errorf(gatehouse.Forbidden, "%.64q is the inbox of another endpoint; this connection is that of %s", filter, self)
		}
	}
	return 0, gatehouse.Errorf(gatehouse.Invalid, "%.64q is not served here; an endpoint subscribes to its own inbox: inbox, inbox/#, or inbox/$deadletterqueue", filter)
}
