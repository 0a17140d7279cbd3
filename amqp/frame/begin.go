package frame

import (
	"math"

	"github.com/gatehouse/gatehouse/amqp/wire"
)

// Begin starts a session (part 2.7.2).
type Begin struct {
	RemoteChannel       Optional // the channel of the begin this one answers
	NextOutgoingID      uint32
	IncomingWindow      uint32 // transfer frames
	OutgoingWindow      uint32 // transfer frames
	HandleMax           uint32 // the highest link handle
	OfferedCapabilities wire.Value
	DesiredCapabilities wire.Value
	Properties          wire.Value // a map
}

// Decode sets b from the fields of a begin.
func (b *Begin) Decode(items wire.Items) error {
	f := fields{items: items}
	*b = Begin{
		RemoteChannel:       f.optional("remote-channel"),
		NextOutgoingID:      f.required("next-outgoing-id"),
		IncomingWindow:      f.required("incoming-window"),
		OutgoingWindow:      f.required("outgoing-window"),
		HandleMax:           f.uint32("handle-max", math.MaxUint32),
		OfferedCapabilities: f.any(),
		DesiredCapabilities: f.any(),
		Properties:          f.typed("properties", wire.TypeMap),
	}
	return f.err
}

// Append appends the begin with all its fields.
func (b *Begin) Append(dst []byte) []byte {
	dst, at := start(dst, CodeBegin)
	if b.RemoteChannel.Set {
		dst = wire.AppendUshort(dst, uint16(b.RemoteChannel.Value))
	} else {
		dst = wire.AppendNull(dst)
	}
	dst = wire.AppendUint(dst, b.NextOutgoingID)
	dst = wire.AppendUint(dst, b.IncomingWindow)
	dst = wire.AppendUint(dst, b.OutgoingWindow)
	dst = wire.AppendUint(dst, b.HandleMax)
	dst = wire.AppendValue(dst, b.OfferedCapabilities)
	dst = wire.AppendValue(dst, b.DesiredCapabilities)
	return wire.EndList(appendMap(dst, b.Properties), at, 8)
}
