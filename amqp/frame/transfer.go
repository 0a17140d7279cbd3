package frame

import "github.com/gatehouse/gatehouse/amqp/wire"

// Transfer carries a message, or part of one, which follows it in the frame
// (part 2.7.5).
type Transfer struct {
	Handle        uint32
	DeliveryID    Optional
	DeliveryTag   []byte // at most 32 bytes
	MessageFormat Optional
	Settled       bool
	More          bool
	ReceiverMode  Optional
	State         wire.Value
	Resume        bool
	Aborted       bool
	Batchable     bool
}

// MaxTag is how many bytes a delivery tag may have (part 2.8.7).
const MaxTag = 32

// Decode sets t from the fields of a transfer.
func (t *Transfer) Decode(items wire.Items) error {
	f := fields{items: items}
	*t = Transfer{
		Handle:        f.required("handle"),
		DeliveryID:    f.optional("delivery-id"),
		DeliveryTag:   f.binary("delivery-tag"),
		MessageFormat: f.optional("message-format"),
		Settled:       f.bool("settled"),
		More:          f.bool("more"),
		ReceiverMode:  f.optional("rcv-settle-mode"),
		State:         f.any(),
		Resume:        f.bool("resume"),
		Aborted:       f.bool("aborted"),
		Batchable:     f.bool("batchable"),
	}
	if len(t.DeliveryTag) > MaxTag {
		f.fail("delivery-tag", "has %d bytes, and may have 32", len(t.DeliveryTag))
	}
	return f.err
}

// Append appends the transfer up to the payload. A later frame of a delivery
// has neither DeliveryID nor what goes with it.
func (t *Transfer) Append(dst []byte) []byte {
	dst, at := start(dst, CodeTransfer)
	dst = wire.AppendUint(dst, t.Handle)
	dst = appendOptional(dst, t.DeliveryID)
	if t.DeliveryTag == nil {
		dst = wire.AppendNull(dst)
	} else {
		dst = wire.AppendBinary(dst, t.DeliveryTag)
	}
	dst = appendOptional(dst, t.MessageFormat)
	dst = wire.AppendBool(dst, t.Settled)
	dst = wire.AppendBool(dst, t.More)
	if !t.Aborted && !t.Batchable && !t.Resume && t.State.IsNull() && !t.ReceiverMode.Set {
		return wire.EndList(dst, at, 6)
	}
	if t.ReceiverMode.Set {
		dst = wire.AppendUbyte(dst, uint8(t.ReceiverMode.Value))
	} else {
		dst = wire.AppendNull(dst)
	}
	dst = wire.AppendValue(dst, t.State)
	dst = wire.AppendBool(dst, t.Resume)
	dst = wire.AppendBool(dst, t.Aborted)
	return wire.EndList(wire.AppendBool(dst, t.Batchable), at, 11)
}
