package frame

import "github.com/gatehouse/gatehouse/amqp/wire"

// Flow tells the state of a session and, with a handle, of a link (part 2.7.4).
type Flow struct {
	NextIncomingID Optional // not set only before the peer's begin was seen
	IncomingWindow uint32
	NextOutgoingID uint32
	OutgoingWindow uint32
	Handle         Optional
	DeliveryCount  Optional
	LinkCredit     Optional
	Available      Optional
	Drain          bool
	Echo           bool
	Properties     wire.Value // a map
}

// Decode sets w from the fields of a flow.
func (w *Flow) Decode(items wire.Items) error {
	f := fields{items: items}
	*w = Flow{
		NextIncomingID: f.optional("next-incoming-id"),
		IncomingWindow: f.required("incoming-window"),
		NextOutgoingID: f.required("next-outgoing-id"),
		OutgoingWindow: f.required("outgoing-window"),
		Handle:         f.optional("handle"),
		DeliveryCount:  f.optional("delivery-count"),
		LinkCredit:     f.optional("link-credit"),
		Available:      f.optional("available"),
		Drain:          f.bool("drain"),
		Echo:           f.bool("echo"),
		Properties:     f.typed("properties", wire.TypeMap),
	}
	return f.err
}

// Append appends the flow.
func (w *Flow) Append(dst []byte) []byte {
	dst, at := start(dst, CodeFlow)
	dst = appendOptional(dst, w.NextIncomingID)
	dst = wire.AppendUint(dst, w.IncomingWindow)
	dst = wire.AppendUint(dst, w.NextOutgoingID)
	dst = wire.AppendUint(dst, w.OutgoingWindow)
	if !w.Handle.Set && !w.Echo {
		return wire.EndList(dst, at, 4)
	}
	dst = appendOptional(dst, w.Handle)
	dst = appendOptional(dst, w.DeliveryCount)
	dst = appendOptional(dst, w.LinkCredit)
	dst = appendOptional(dst, w.Available)
	dst = wire.AppendBool(dst, w.Drain)
	return wire.EndList(wire.AppendBool(dst, w.Echo), at, 10)
}
