package mqtt

import "encoding/binary"

// Properties are those of MQTT 5 (section 2.2.2.2). Zero stands for a property
// that is absent, and is not sent; for those whose zero means something a field
// beside says that they are there.
type Properties struct {
	PayloadFormat    byte   // 1: the payload is UTF-8
	MessageExpiry    uint32 // seconds
	HasMessageExpiry bool   // MessageExpiry may be 0
	ContentType      string
	ResponseTopic    string
	CorrelationData  []byte
	SubscriptionIDs  []uint32 // of the subscriptions that a PUBLISH is for; at most one in SUBSCRIBE

	SessionExpiry        uint32 // seconds; 0xffffffff: never
	HasSessionExpiry     bool
	AssignedClientID     string
	ServerKeepAlive      uint16 // seconds
	HasServerKeepAlive   bool
	AuthMethod           string
	AuthData             []byte
	NoProblemInformation bool   // in CONNECT: request problem information is 0
	RequestResponse      bool   // in CONNECT: request response information is 1
	WillDelay            uint32 // seconds
	ResponseInformation  string
	ServerReference      string
	ReasonString         string
	ReceiveMaximum       uint16
	TopicAliasMaximum    uint16
	TopicAlias           uint16
	MaximumQoS           byte
	HasMaximumQoS        bool // MaximumQoS is 0 or 1
	RetainUnavailable    bool
	MaximumPacketSize    uint32
	NoWildcards          bool // wildcard subscriptions are not available
	NoSubscriptionIDs    bool
	NoShared             bool
	User                 []UserProperty
}

// A UserProperty is a pair of strings. Names may repeat.
type UserProperty struct{ Name, Value string }

// The identifiers of properties (section 2.2.2.2).
const (
	idPayloadFormat       = 0x01
	idMessageExpiry       = 0x02
	idContentType         = 0x03
	idResponseTopic       = 0x08
	idCorrelationData     = 0x09
	idSubscriptionID      = 0x0b
	idSessionExpiry       = 0x11
	idAssignedClientID    = 0x12
	idServerKeepAlive     = 0x13
	idAuthMethod          = 0x15
	idAuthData            = 0x16
	idProblemInformation  = 0x17
	idWillDelay           = 0x18
	idResponseWanted      = 0x19
	idResponseInformation = 0x1a
	idServerReference     = 0x1c
	idReasonString        = 0x1f
	idReceiveMaximum      = 0x21
	idTopicAliasMaximum   = 0x22
	idTopicAlias          = 0x23
	idMaximumQoS          = 0x24
	idRetainAvailable     = 0x25
	idUser                = 0x26
	idMaximumPacketSize   = 0x27
	idWildcards           = 0x28
	idSubscriptionIDs     = 0x29
	idShared              = 0x2a
	idEnd                 = 0x2b
)

// inWill stands for the properties of a will, beside the types of packets.
const inWill Type = 0

// allowed says in which packets a property may be, as a bit for each type.
var allowed = [idEnd]uint16{ //nolint:gochecknoglobals // a table of the standard
	idPayloadFormat:       in(TypePublish, inWill),
	idMessageExpiry:       in(TypePublish, inWill),
	idContentType:         in(TypePublish, inWill),
	idResponseTopic:       in(TypePublish, inWill),
	idCorrelationData:     in(TypePublish, inWill),
	idSubscriptionID:      in(TypePublish, TypeSubscribe),
	idSessionExpiry:       in(TypeConnect, TypeConnAck, TypeDisconnect),
	idAssignedClientID:    in(TypeConnAck),
	idServerKeepAlive:     in(TypeConnAck),
	idAuthMethod:          in(TypeConnect, TypeConnAck, TypeAuth),
	idAuthData:            in(TypeConnect, TypeConnAck, TypeAuth),
	idProblemInformation:  in(TypeConnect),
	idWillDelay:           in(inWill),
	idResponseWanted:      in(TypeConnect),
	idResponseInformation: in(TypeConnAck),
	idServerReference:     in(TypeConnAck, TypeDisconnect),
	idReasonString:        in(TypeConnAck, TypePubAck, TypePubRec, TypePubRel, TypePubComp, TypeSubAck, TypeUnsubAck, TypeDisconnect, TypeAuth),
	idReceiveMaximum:      in(TypeConnect, TypeConnAck),
	idTopicAliasMaximum:   in(TypeConnect, TypeConnAck),
	idTopicAlias:          in(TypePublish),
	idMaximumQoS:          in(TypeConnAck),
	idRetainAvailable:     in(TypeConnAck),
	idUser:                in(TypeConnect, TypeConnAck, TypePublish, inWill, TypePubAck, TypePubRec, TypePubRel, TypePubComp, TypeSubscribe, TypeSubAck, TypeUnsubscribe, TypeUnsubAck, TypeDisconnect, TypeAuth),
	idMaximumPacketSize:   in(TypeConnect, TypeConnAck),
	idWildcards:           in(TypeConnAck),
	idSubscriptionIDs:     in(TypeConnAck),
	idShared:              in(TypeConnAck),
}

func in(types ...Type) (bits uint16) {
	for _, t := range types {
		bits |= 1 << t
	}
	return bits
}

// decode reads the properties of a packet (section 2.2.2).
func (p *Properties) decode(from *input, t Type) {
	*p = Properties{User: p.User[:0], SubscriptionIDs: p.SubscriptionIDs[:0]}
	props := input{b: from.take(from.varint("length of the properties"), "properties"), err: from.err}
	var seen uint64
	for len(props.b) > 0 && props.err == nil {
		id := props.varint("identifier of a property")
		if props.err != nil {
			break
		}
		if id >= idEnd || allowed[id]&(1<<t) == 0 {
			props.fail(malformed("property %#02x is not allowed there", id)) // 2.2.2.2
			break
		}
		repeats := id == idUser || id == idSubscriptionID && t == TypePublish
		if seen&(1<<id) != 0 && !repeats {
			props.fail(protocolError("property %#02x is there twice", id)) // 2.2.2.2
			break
		}
		seen |= 1 << id
		p.set(id, &props)
	}
	if props.err == nil && seen&(1<<idAuthData) != 0 && seen&(1<<idAuthMethod) == 0 {
		props.fail(protocolError("there is authentication data without a method")) // 3.1.2.11.10
	}
	if props.err != nil {
		from.fail(props.err)
	}
}

// set reads one property.
func (p *Properties) set(id int, in *input) {
	switch id {
	case idPayloadFormat:
		p.PayloadFormat = in.byte("payload format indicator")
		if p.PayloadFormat > 1 {
			in.fail(protocolError("the payload format indicator is %d; it is 0 or 1", p.PayloadFormat))
		}
	case idMessageExpiry:
		p.MessageExpiry, p.HasMessageExpiry = in.uint32("message expiry interval"), true
	case idContentType:
		p.ContentType = string(in.text("content type"))
	case idResponseTopic:
		topic := in.text("response topic")
		if !validTopic(topic) || len(topic) == 0 && in.err == nil {
			in.fail(protocolError("the response topic is empty or has wildcards")) // 3.3.2-14
		}
		p.ResponseTopic = string(topic)
	case idCorrelationData:
		p.CorrelationData = in.binary("correlation data")
	case idSubscriptionID:
		n := uint32(in.varint("subscription identifier"))
		if n == 0 && in.err == nil {
			in.fail(protocolError("the subscription identifier is 0")) // 3.8.2.1.2
		}
		p.SubscriptionIDs = append(p.SubscriptionIDs, n)
	case idSessionExpiry:
		p.SessionExpiry, p.HasSessionExpiry = in.uint32("session expiry interval"), true
	case idAssignedClientID:
		p.AssignedClientID = string(in.text("assigned client identifier"))
	case idServerKeepAlive:
		p.ServerKeepAlive, p.HasServerKeepAlive = in.uint16("server keep alive"), true
	case idAuthMethod:
		p.AuthMethod = string(in.text("authentication method"))
	case idAuthData:
		p.AuthData = in.binary("authentication data")
	case idProblemInformation:
		p.NoProblemInformation = !in.flag("request problem information")
	case idWillDelay:
		p.WillDelay = in.uint32("will delay interval")
	case idResponseWanted:
		p.RequestResponse = in.flag("request response information")
	default:
		p.setMore(id, in)
	}
}

func (p *Properties) setMore(id int, in *input) {
	switch id {
	case idResponseInformation:
		p.ResponseInformation = string(in.text("response information"))
	case idServerReference:
		p.ServerReference = string(in.text("server reference"))
	case idReasonString:
		p.ReasonString = string(in.text("reason string"))
	case idReceiveMaximum:
		p.ReceiveMaximum = in.positive16("receive maximum")
	case idTopicAliasMaximum:
		p.TopicAliasMaximum = in.uint16("topic alias maximum")
	case idTopicAlias:
		p.TopicAlias = in.uint16("topic alias")
		if p.TopicAlias == 0 && in.err == nil {
			in.fail(&Error{TopicAliasInvalid, "the topic alias is 0"}) // 3.3.2-8
		}
	case idMaximumQoS:
		p.HasMaximumQoS = true
		if in.flag("maximum QoS") {
			p.MaximumQoS = 1
		}
	case idRetainAvailable:
		p.RetainUnavailable = !in.flag("retain available")
	case idUser:
		name := in.text("name of a user property")
		value := in.text("value of a user property")
		p.User = append(p.User, UserProperty{string(name), string(value)})
	case idMaximumPacketSize:
		p.MaximumPacketSize = in.uint32("maximum packet size")
		if p.MaximumPacketSize == 0 && in.err == nil {
			in.fail(protocolError("the maximum packet size is 0"))
		}
	case idWildcards:
		p.NoWildcards = !in.flag("wildcard subscription available")
	case idSubscriptionIDs:
		p.NoSubscriptionIDs = !in.flag("subscription identifiers available")
	case idShared:
		p.NoShared = !in.flag("shared subscription available")
	}
}

// flag takes a byte that is 0 or 1.
func (in *input) flag(what string) bool {
	b := in.byte(what)
	if b > 1 {
		in.fail(protocolError("%s is %d; it is 0 or 1", what, b))
	}
	return b == 1
}

func (in *input) positive16(what string) uint16 {
	n := in.uint16(what)
	if n == 0 && in.err == nil {
		in.fail(protocolError("the %s is 0", what))
	}
	return n
}

// append appends the properties with their length. Those of one kind of packet
// only are written if they are set: a program does not set others.
func (p *Properties) append(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, 0) // the length, for nearly all
	dst = p.appendMessage(dst)
	dst = p.appendConnection(dst)
	dst = p.appendOffer(dst)
	for i := range p.User {
		dst = appendText(appendText(append(dst, idUser), p.User[i].Name), p.User[i].Value)
	}
	return fillIn(dst, at)
}

// appendMessage appends those of messages.
func (p *Properties) appendMessage(dst []byte) []byte {
	if p.PayloadFormat != 0 {
		dst = append(dst, idPayloadFormat, p.PayloadFormat)
	}
	if p.MessageExpiry != 0 || p.HasMessageExpiry {
		dst = appendUint32(dst, idMessageExpiry, p.MessageExpiry)
	}
	dst = appendString(dst, idContentType, p.ContentType)
	dst = appendString(dst, idResponseTopic, p.ResponseTopic)
	if p.CorrelationData != nil {
		dst = appendText(append(dst, idCorrelationData), p.CorrelationData)
	}
	for _, n := range p.SubscriptionIDs {
		dst = appendVarint(append(dst, idSubscriptionID), int(n))
	}
	if p.WillDelay != 0 {
		dst = appendUint32(dst, idWillDelay, p.WillDelay)
	}
	return appendUint16(dst, idTopicAlias, p.TopicAlias, false)
}

// appendConnection appends those about the connection.
func (p *Properties) appendConnection(dst []byte) []byte {
	if p.SessionExpiry != 0 || p.HasSessionExpiry {
		dst = appendUint32(dst, idSessionExpiry, p.SessionExpiry)
	}
	dst = appendString(dst, idAssignedClientID, p.AssignedClientID)
	dst = appendUint16(dst, idServerKeepAlive, p.ServerKeepAlive, p.HasServerKeepAlive)
	dst = appendString(dst, idAuthMethod, p.AuthMethod)
	if p.AuthData != nil {
		dst = appendText(append(dst, idAuthData), p.AuthData)
	}
	if p.NoProblemInformation {
		dst = append(dst, idProblemInformation, 0)
	}
	if p.RequestResponse {
		dst = append(dst, idResponseWanted, 1)
	}
	dst = appendString(dst, idResponseInformation, p.ResponseInformation)
	dst = appendString(dst, idServerReference, p.ServerReference)
	return appendString(dst, idReasonString, p.ReasonString)
}

// appendOffer appends those that say what the sender can do.
func (p *Properties) appendOffer(dst []byte) []byte {
	dst = appendUint16(dst, idReceiveMaximum, p.ReceiveMaximum, false)
	dst = appendUint16(dst, idTopicAliasMaximum, p.TopicAliasMaximum, false)
	if p.HasMaximumQoS {
		dst = append(dst, idMaximumQoS, p.MaximumQoS)
	}
	if p.RetainUnavailable {
		dst = append(dst, idRetainAvailable, 0)
	}
	if p.MaximumPacketSize != 0 {
		dst = appendUint32(dst, idMaximumPacketSize, p.MaximumPacketSize)
	}
	if p.NoWildcards {
		dst = append(dst, idWildcards, 0)
	}
	if p.NoSubscriptionIDs {
		dst = append(dst, idSubscriptionIDs, 0)
	}
	if p.NoShared {
		dst = append(dst, idShared, 0)
	}
	return dst
}

func appendString(dst []byte, id byte, s string) []byte {
	if s == "" {
		return dst
	}
	return appendText(append(dst, id), s)
}

func appendUint16(dst []byte, id byte, n uint16, always bool) []byte {
	if n == 0 && !always {
		return dst
	}
	return binary.BigEndian.AppendUint16(append(dst, id), n)
}

func appendUint32(dst []byte, id byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, id), n)
}
