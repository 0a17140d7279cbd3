package mqtt

import "fmt"

// A Version is a protocol level (section 3.1.2.2).
type Version byte

// The versions that are known.
const (
	Version311 Version = 4
	Version5   Version = 5
)

// A Code is a reason code of MQTT 5 (section 2.4). Codes from 0x80 on are
// failures.
type Code byte

// The reason codes.
const (
	Success                     Code = 0x00 // also: normal disconnection, granted QoS 0
	GrantedQoS1                 Code = 0x01
	GrantedQoS2                 Code = 0x02
	DisconnectWithWill          Code = 0x04
	NoMatchingSubscribers       Code = 0x10
	NoSubscriptionExisted       Code = 0x11
	ContinueAuthentication      Code = 0x18
	Reauthenticate              Code = 0x19
	UnspecifiedError            Code = 0x80
	MalformedPacket             Code = 0x81
	ProtocolError               Code = 0x82
	ImplementationSpecificError Code = 0x83
	UnsupportedProtocolVersion  Code = 0x84
	ClientIdentifierNotValid    Code = 0x85
	BadUserNameOrPassword       Code = 0x86
	NotAuthorized               Code = 0x87
	ServerUnavailable           Code = 0x88
	ServerBusy                  Code = 0x89
	Banned                      Code = 0x8a
	ServerShuttingDown          Code = 0x8b
	BadAuthenticationMethod     Code = 0x8c
	KeepAliveTimeout            Code = 0x8d
	SessionTakenOver            Code = 0x8e
	TopicFilterInvalid          Code = 0x8f
	TopicNameInvalid            Code = 0x90
	PacketIdentifierInUse       Code = 0x91
	PacketIdentifierNotFound    Code = 0x92
	ReceiveMaximumExceeded      Code = 0x93
	TopicAliasInvalid           Code = 0x94
	PacketTooLarge              Code = 0x95
	MessageRateTooHigh          Code = 0x96
	QuotaExceeded               Code = 0x97
	AdministrativeAction        Code = 0x98
	PayloadFormatInvalid        Code = 0x99
	RetainNotSupported          Code = 0x9a
	QoSNotSupported             Code = 0x9b
	UseAnotherServer            Code = 0x9c
	ServerMoved                 Code = 0x9d
	SharedNotSupported          Code = 0x9e
	ConnectionRateExceeded      Code = 0x9f
	MaximumConnectTime          Code = 0xa0
	SubscriptionIDsNotSupported Code = 0xa1
	WildcardNotSupported        Code = 0xa2
)

// String returns the standard's name of the code.
func (c Code) String() string {
	switch c {
	case Success:
		return "success"
	case GrantedQoS1:
		return "granted QoS 1"
	case GrantedQoS2:
		return "granted QoS 2"
	case DisconnectWithWill:
		return "disconnect with will message"
	case NoMatchingSubscribers:
		return "no matching subscribers"
	case NoSubscriptionExisted:
		return "no subscription existed"
	case ContinueAuthentication:
		return "continue authentication"
	case Reauthenticate:
		return "re-authenticate"
	case UnspecifiedError:
		return "unspecified error"
	case MalformedPacket:
		return "malformed packet"
	case ProtocolError:
		return "protocol error"
	case ImplementationSpecificError:
		return "implementation specific error"
	case UnsupportedProtocolVersion:
		return "unsupported protocol version"
	case ClientIdentifierNotValid:
		return "client identifier not valid"
	case BadUserNameOrPassword:
		return "bad user name or password"
	case NotAuthorized:
		return "not authorized"
	case ServerUnavailable:
		return "server unavailable"
	case ServerBusy:
		return "server busy"
	case Banned:
		return "banned"
	case ServerShuttingDown:
		return "server shutting down"
	case BadAuthenticationMethod:
		return "bad authentication method"
	case KeepAliveTimeout:
		return "keep alive timeout"
	case SessionTakenOver:
		return "session taken over"
	case TopicFilterInvalid:
		return "topic filter invalid"
	case TopicNameInvalid:
		return "topic name invalid"
	case PacketIdentifierInUse:
		return "packet identifier in use"
	case PacketIdentifierNotFound:
		return "packet identifier not found"
	case ReceiveMaximumExceeded:
		return "receive maximum exceeded"
	case TopicAliasInvalid:
		return "topic alias invalid"
	case PacketTooLarge:
		return "packet too large"
	case MessageRateTooHigh:
		return "message rate too high"
	case QuotaExceeded:
		return "quota exceeded"
	case AdministrativeAction:
		return "administrative action"
	case PayloadFormatInvalid:
		return "payload format invalid"
	case RetainNotSupported:
		return "retain not supported"
	case QoSNotSupported:
		return "QoS not supported"
	case UseAnotherServer:
		return "use another server"
	case ServerMoved:
		return "server moved"
	case SharedNotSupported:
		return "shared subscriptions not supported"
	case ConnectionRateExceeded:
		return "connection rate exceeded"
	case MaximumConnectTime:
		return "maximum connect time"
	case SubscriptionIDsNotSupported:
		return "subscription identifiers not supported"
	case WildcardNotSupported:
		return "wildcard subscriptions not supported"
	}
	return fmt.Sprintf("reason code %#02x", byte(c))
}

// An Error says what is wrong with a packet.
type Error struct {
	Code   Code // to answer with, in MQTT 5
	Detail string
}

// Error returns the code's name and the detail.
func (e *Error) Error() string { return "mqtt: " + e.Code.String() + ": " + e.Detail }

func malformed(format string, args ...any) error {
	return &Error{MalformedPacket, fmt.Sprintf(format, args...)}
}

func protocolError(format string, args ...any) error {
	return &Error{ProtocolError, fmt.Sprintf(format, args...)}
}
