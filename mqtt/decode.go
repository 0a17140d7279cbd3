package mqtt

import (
	"slices"
	"strings"
)

// Decode reads the body of a CONNECT. The version is in the packet; for one
// that is not known the error has code UnsupportedProtocolVersion, and Version
// is what the client asked for.
func (p *Connect) Decode(body []byte) error {
	in := input{b: body}
	*p = Connect{}
	name := in.text("protocol name")
	if in.err == nil && string(name) != "MQTT" && string(name) != "MQIsdp" {
		return &Error{UnsupportedProtocolVersion, "the protocol name is not MQTT"} // 3.1.2-1
	}
	p.Version = Version(in.byte("protocol version"))
	if in.err == nil && (string(name) != "MQTT" || p.Version != Version311 && p.Version != Version5) {
		return &Error{UnsupportedProtocolVersion, "only MQTT 3.1.1 and 5.0 are spoken here"} // 3.1.2-2
	}
	flags := in.byte("connect flags")
	p.KeepAlive = in.uint16("keep alive")
	if in.err == nil {
		in.err = checkConnectFlags(flags, p.Version)
	}
	p.CleanStart, p.HasUserName, p.HasPassword = flags&flagCleanStart != 0, flags&flagUserName != 0, flags&flagPassword != 0
	if p.Version == Version5 {
		p.Properties.decode(&in, TypeConnect)
	}
	p.ClientID = string(in.text("client identifier"))
	if flags&flagWill != 0 {
		p.Will = &Will{QoS: flags >> 3 & 3, Retain: flags&flagWillRetain != 0}
		p.Will.decode(&in, p.Version)
	}
	if p.HasUserName {
		p.UserName = string(in.text("user name"))
	}
	if p.HasPassword {
		p.Password = in.binary("password")
	}
	return in.end(TypeConnect)
}

// The connect flags (section 3.1.2.3).
const (
	flagCleanStart = 0x02
	flagWill       = 0x04
	flagWillQoS    = 0x18
	flagWillRetain = 0x20
	flagPassword   = 0x40
	flagUserName   = 0x80
)

func checkConnectFlags(flags byte, v Version) error {
	switch {
	case flags&1 != 0:
		return malformed("the reserved connect flag is set") // 3.1.2-3
	case flags&flagWill == 0 && flags&(flagWillQoS|flagWillRetain) != 0:
		return malformed("there is no will, but it has a QoS or is retained") // 3.1.2-11, 3.1.2-13
	case flags&flagWillQoS == flagWillQoS:
		return malformed("the QoS of the will is 3") // 3.1.2-12
	case v == Version311 && flags&flagUserName == 0 && flags&flagPassword != 0:
		return malformed("there is a password without a user name") // 3.1.1: 3.1.2-22
	}
	return nil
}

func (w *Will) decode(in *input, v Version) {
	if v == Version5 {
		w.Properties.decode(in, inWill)
	}
	topic := in.text("topic of the will")
	if in.err == nil && (len(topic) == 0 || !validTopic(topic)) {
		in.fail(&Error{TopicNameInvalid, "the topic of the will is empty or has wildcards"})
	}
	w.Topic = string(topic)
	w.Payload = in.binary("payload of the will")
}

// Decode reads the body of a CONNACK.
func (p *ConnAck) Decode(body []byte, v Version) error {
	in := input{b: body}
	*p = ConnAck{}
	flags := in.byte("acknowledge flags")
	if flags > 1 {
		in.fail(malformed("the reserved acknowledge flags are set")) // 3.2.2-1
	}
	p.SessionPresent = flags == 1
	p.Code = Code(in.byte("reason code"))
	if v == Version5 {
		p.Properties.decode(&in, TypeConnAck)
	}
	if in.err == nil && p.SessionPresent && p.Code != Success {
		return protocolError("the client is refused, and yet a session is present") // 3.2.2-6; 3.1.1: 3.2.2-4
	}
	return in.end(TypeConnAck)
}

// Decode reads the body of a PUBLISH. Topic, Payload and CorrelationData alias
// it, and are valid as long as body is not overwritten; Properties.User is
// overwritten by the next Decode into p. It allocates for strings among the
// properties, and nothing for a packet without them.
func (p *Publish) Decode(h Header, body []byte, v Version) error {
	in := input{b: body}
	p.Dup, p.QoS, p.Retain = h.Flags&8 != 0, h.Flags>>1&3, h.Flags&1 != 0
	p.PacketID = 0
	switch {
	case p.QoS == 3:
		return malformed("the QoS is 3") // 3.3.1-4
	case p.QoS == 0 && p.Dup:
		return malformed("DUP is set at QoS 0") // 3.3.1-2
	}
	p.Topic = in.text("topic")
	if in.err == nil && !validTopic(p.Topic) {
		return &Error{TopicNameInvalid, "the topic has wildcards"} // 3.3.2-2
	}
	if p.QoS > 0 {
		p.PacketID = in.packetID()
	}
	p.Properties.reset()
	if v == Version5 {
		p.Properties.decode(&in, TypePublish)
	}
	if in.err == nil && len(p.Topic) == 0 && p.Properties.TopicAlias == 0 {
		if v == Version5 {
			return protocolError("there is neither a topic nor a topic alias") // 3.3.2-8
		}
		return &Error{TopicNameInvalid, "the topic is empty"} // 4.7.3-1
	}
	p.Payload = in.b
	return in.err
}

// reset empties p, keeping memory.
func (p *Properties) reset() { *p = Properties{User: p.User[:0]} }

// Decode reads the body of a PUBACK, PUBREC, PUBREL or PUBCOMP, as h says.
func (p *Ack) Decode(h Header, body []byte, v Version) error {
	in := input{b: body}
	p.Type, p.Code = h.Type, Success
	p.PacketID = in.packetID()
	p.Properties.reset()
	if v == Version5 && len(in.b) > 0 {
		p.Code = Code(in.byte("reason code"))
		if in.err == nil && !ackCode(h.Type, p.Code) {
			return protocolError("%s has reason code %#02x", h.Type, byte(p.Code))
		}
		if len(in.b) > 0 {
			p.Properties.decode(&in, h.Type)
		}
	}
	return in.end(h.Type)
}

// ackCode reports whether an acknowledgement may have a code (sections 3.4.2.1,
// 3.5.2.1, 3.6.2.1 and 3.7.2.1).
func ackCode(t Type, c Code) bool {
	if t == TypePubRel || t == TypePubComp {
		return c == Success || c == PacketIdentifierNotFound
	}
	switch c {
	case Success, NoMatchingSubscribers, UnspecifiedError, ImplementationSpecificError, NotAuthorized,
		TopicNameInvalid, PacketIdentifierInUse, QuotaExceeded, PayloadFormatInvalid:
		return true
	}
	return false
}

// Decode reads the body of a SUBSCRIBE. Whether a filter is well-formed is left
// to the caller (ValidFilter): the answer may be a code of its own.
func (p *Subscribe) Decode(body []byte, v Version) error {
	in := input{b: body}
	*p = Subscribe{PacketID: in.packetID()}
	if v == Version5 {
		p.Properties.decode(&in, TypeSubscribe)
	}
	for in.err == nil && len(in.b) > 0 {
		f := Filter{Topic: string(in.text("topic filter"))}
		f.decodeOptions(&in, v)
		p.Filters = append(p.Filters, f)
	}
	if in.err == nil && len(p.Filters) == 0 {
		return protocolError("SUBSCRIBE has no topic filter") // 3.8.3-2
	}
	return in.err
}

// decodeOptions reads the options of a subscription (section 3.8.3.1).
func (f *Filter) decodeOptions(in *input, v Version) {
	o := in.byte("subscription options")
	f.QoS = o & 3
	if v == Version5 {
		f.NoLocal, f.RetainAsPublished, f.RetainHandling = o&4 != 0, o&8 != 0, o>>4&3
	}
	switch {
	case in.err != nil:
	case v == Version5 && o&0xc0 != 0, v == Version311 && (o&0xfc != 0 || f.QoS == 3):
		in.fail(malformed("the subscription options are %#02x", o)) // 3.8.3-5; 3.1.1: 3.8.3-4
	case f.QoS == 3:
		in.fail(protocolError("the QoS of a subscription is 3"))
	case f.RetainHandling == 3:
		in.fail(protocolError("the retain handling is 3"))
	case f.NoLocal && strings.HasPrefix(f.Topic, sharePrefix):
		in.fail(protocolError("no local is set for a shared subscription")) // 3.8.3-4
	}
}

// Decode reads the body of a SUBACK.
func (p *SubAck) Decode(body []byte, v Version) error {
	in := input{b: body}
	*p = SubAck{PacketID: in.packetID()}
	if v == Version5 {
		p.Properties.decode(&in, TypeSubAck)
	}
	p.Codes = in.codes()
	if in.err == nil && len(p.Codes) == 0 {
		return protocolError("SUBACK has no reason code")
	}
	return in.err
}

func (in *input) codes() []Code {
	codes := make([]Code, len(in.b))
	for i, c := range in.b {
		codes[i] = Code(c)
	}
	in.b = nil
	return codes
}

// Decode reads the body of an UNSUBSCRIBE.
func (p *Unsubscribe) Decode(body []byte, v Version) error {
	in := input{b: body}
	*p = Unsubscribe{PacketID: in.packetID()}
	if v == Version5 {
		p.Properties.decode(&in, TypeUnsubscribe)
	}
	for in.err == nil && len(in.b) > 0 {
		p.Filters = append(p.Filters, string(in.text("topic filter")))
	}
	if in.err == nil && len(p.Filters) == 0 {
		return protocolError("UNSUBSCRIBE has no topic filter") // 3.10.3-2
	}
	return in.err
}

// Decode reads the body of an UNSUBACK.
func (p *UnsubAck) Decode(body []byte, v Version) error {
	in := input{b: body}
	*p = UnsubAck{PacketID: in.packetID()}
	if v == Version5 {
		p.Properties.decode(&in, TypeUnsubAck)
		p.Codes = in.codes()
	}
	return in.end(TypeUnsubAck)
}

// Decode reads the body of a PINGREQ or PINGRESP, which is empty.
func (p *Ping) Decode(h Header, body []byte) error {
	p.Type = h.Type
	in := input{b: body}
	return in.end(h.Type)
}

// Decode reads the body of a DISCONNECT.
func (p *Disconnect) Decode(body []byte, v Version) error {
	in := input{b: body}
	*p = Disconnect{}
	if v == Version5 && len(in.b) > 0 {
		p.Code = Code(in.byte("reason code"))
		if in.err == nil && !disconnectCode(p.Code) {
			return protocolError("DISCONNECT has reason code %#02x", byte(p.Code))
		}
		if len(in.b) > 0 {
			p.Properties.decode(&in, TypeDisconnect)
		}
	}
	return in.end(TypeDisconnect)
}

// disconnectCode reports whether DISCONNECT may have a code (section 3.14.2.1).
func disconnectCode(c Code) bool {
	switch c {
	case Success, DisconnectWithWill:
		return true
	case UnsupportedProtocolVersion, ClientIdentifierNotValid, BadUserNameOrPassword, ServerUnavailable, Banned, BadAuthenticationMethod, PacketIdentifierInUse, PacketIdentifierNotFound:
		return false
	}
	return c >= UnspecifiedError && c <= WildcardNotSupported
}

// Decode reads the body of an AUTH.
func (p *Auth) Decode(body []byte, v Version) error {
	if v != Version5 {
		return malformed("AUTH is of MQTT 5 only")
	}
	in := input{b: body}
	*p = Auth{}
	if len(in.b) > 0 {
		p.Code = Code(in.byte("reason code"))
		if in.err == nil && !slices.Contains([]Code{Success, ContinueAuthentication, Reauthenticate}, p.Code) {
			return protocolError("AUTH has reason code %#02x", byte(p.Code)) // 3.15.2-1
		}
		p.Properties.decode(&in, TypeAuth)
	}
	return in.end(TypeAuth)
}
