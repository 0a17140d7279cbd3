package mqtt

// Connect is the first packet of a client (section 3.1).
type Connect struct {
	Version    Version
	CleanStart bool   // clean session in 3.1.1
	KeepAlive  uint16 // seconds; 0: none
	ClientID   string
	Will       *Will // nil: none
	// UserName and Password are empty if they are absent; HasUserName and
	// HasPassword tell that from empty ones.
	UserName    string
	HasUserName bool
	Password    []byte
	HasPassword bool
	Properties  Properties
}

// A Will is the message that the server sends for a client that is lost
// (section 3.1.2.5).
type Will struct {
	Topic      string
	Payload    []byte
	QoS        byte
	Retain     bool
	Properties Properties
}

// ConnAck answers Connect (section 3.2). Code is a return code in 3.1.1, where
// 0 is success as well.
type ConnAck struct {
	SessionPresent bool
	Code           Code
	Properties     Properties
}

// Publish carries a message (section 3.3).
type Publish struct {
	Dup        bool
	QoS        byte
	Retain     bool
	Topic      []byte
	PacketID   uint16 // 0 at QoS 0
	Properties Properties
	Payload    []byte
}

// Ack is PUBACK, PUBREC, PUBREL or PUBCOMP, by its Type (sections 3.4 to 3.7).
type Ack struct {
	Type       Type
	PacketID   uint16
	Code       Code // in 3.1.1 always Success
	Properties Properties
}

// Subscribe asks for messages (section 3.8).
type Subscribe struct {
	PacketID   uint16
	Properties Properties
	Filters    []Filter
}

// A Filter is a topic filter with the options of its subscription (section
// 3.8.3.1). 3.1.1 has no others than QoS.
type Filter struct {
	Topic             string
	QoS               byte
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    byte
}

// SubAck answers Subscribe with a code for each filter (section 3.9). In 3.1.1
// these are 0, 1, 2 and 0x80.
type SubAck struct {
	PacketID   uint16
	Properties Properties
	Codes      []Code
}

// Unsubscribe takes subscriptions back (section 3.10).
type Unsubscribe struct {
	PacketID   uint16
	Properties Properties
	Filters    []string
}

// UnsubAck answers Unsubscribe (section 3.11). 3.1.1 has no codes.
type UnsubAck struct {
	PacketID   uint16
	Properties Properties
	Codes      []Code
}

// Ping is PINGREQ or PINGRESP, by its Type (sections 3.12 and 3.13).
type Ping struct{ Type Type }

// Disconnect is the last packet (section 3.14). In 3.1.1 only clients send it,
// and without a code.
type Disconnect struct {
	Code       Code
	Properties Properties
}

// Auth is a step of authentication, of MQTT 5 only (section 3.15).
type Auth struct {
	Code       Code
	Properties Properties
}
