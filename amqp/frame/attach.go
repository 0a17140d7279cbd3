package frame

import "github.com/gatehouse/gatehouse/amqp/wire"

// A Role is which end of a link a peer is (part 2.8.1).
type Role bool

// The two ends of a link.
const (
	RoleSender   Role = false
	RoleReceiver Role = true
)

// Settlement modes of the sender (part 2.8.2) and the receiver (part 2.8.3).
const (
	SenderUnsettled uint8 = 0
	SenderSettled   uint8 = 1
	SenderMixed     uint8 = 2 // the default

	ReceiverFirst  uint8 = 0 // the default
	ReceiverSecond uint8 = 1
)

// Attach ties a link to a session (part 2.7.3).
type Attach struct {
	Name                 string
	Handle               uint32
	Role                 Role
	SenderMode           uint8
	ReceiverMode         uint8
	Source               Source
	Target               Target
	Unsettled            wire.Value // a map
	IncompleteUnsettled  bool
	InitialDeliveryCount Optional // must be set by a sender
	MaxMessageSize       uint64   // bytes; 0 is no limit
	OfferedCapabilities  wire.Value
	DesiredCapabilities  wire.Value
	Properties           wire.Value // a map
}

// Decode sets a from the fields of an attach.
func (a *Attach) Decode(items wire.Items) error {
	f := fields{items: items}
	nameField := f.any()
	name, ok := nameField.Str()
	if !ok {
		f.fail("name", "is missing or not a string")
	}
	*a = Attach{
		Name:                 name,
		Handle:               f.required("handle"),
		Role:                 f.role(),
		SenderMode:           f.uint8("snd-settle-mode", SenderMixed),
		ReceiverMode:         f.uint8("rcv-settle-mode", ReceiverFirst),
		Source:               f.source(),
		Target:               f.target(),
		Unsettled:            f.typed("unsettled", wire.TypeMap),
		IncompleteUnsettled:  f.bool("incomplete-unsettled"),
		InitialDeliveryCount: f.optional("initial-delivery-count"),
		MaxMessageSize:       f.uint64("max-message-size"),
		OfferedCapabilities:  f.any(),
		DesiredCapabilities:  f.any(),
		Properties:           f.typed("properties", wire.TypeMap),
	}
	if a.SenderMode > SenderMixed {
		f.fail("snd-settle-mode", "is %d, and must be 0, 1 or 2", a.SenderMode)
	}
	if a.ReceiverMode > ReceiverSecond {
		f.fail("rcv-settle-mode", "is %d, and must be 0 or 1", a.ReceiverMode)
	}
	return f.err
}

// Append appends the attach with all its fields.
func (a *Attach) Append(dst []byte) []byte {
	dst, at := start(dst, CodeAttach)
	dst = wire.AppendString(dst, a.Name)
	dst = wire.AppendUint(dst, a.Handle)
	dst = wire.AppendBool(dst, bool(a.Role))
	dst = wire.AppendUbyte(dst, a.SenderMode)
	dst = wire.AppendUbyte(dst, a.ReceiverMode)
	dst = a.Source.append(dst)
	dst = a.Target.append(dst)
	dst = wire.AppendValue(dst, a.Unsettled)
	dst = wire.AppendBool(dst, a.IncompleteUnsettled)
	dst = appendOptional(dst, a.InitialDeliveryCount)
	if a.MaxMessageSize == 0 {
		dst = wire.AppendNull(dst)
	} else {
		dst = wire.AppendUlong(dst, a.MaxMessageSize)
	}
	dst = wire.AppendValue(dst, a.OfferedCapabilities)
	dst = wire.AppendValue(dst, a.DesiredCapabilities)
	return wire.EndList(appendMap(dst, a.Properties), at, 14)
}
