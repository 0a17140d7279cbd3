package frame

import (
	"math"

	"github.com/gatehouse/gatehouse/amqp/wire"
)

// Open describes a connection's peer to the other (part 2.7.1).
type Open struct {
	ContainerID         string
	Hostname            string
	MaxFrameSize        uint32 // bytes
	ChannelMax          uint16 // the highest channel number
	IdleTimeout         uint32 // milliseconds; 0 is none
	OutgoingLocales     wire.Value
	IncomingLocales     wire.Value
	OfferedCapabilities wire.Value
	DesiredCapabilities wire.Value
	Properties          wire.Value // a map
}

// Decode sets o from the fields of an open.
func (o *Open) Decode(items wire.Items) error {
	f := fields{items: items}
	id := f.any()
	name, ok := id.Str()
	if !ok {
		f.fail("container-id", "is missing or not a string")
	}
	*o = Open{
		ContainerID:         name,
		Hostname:            f.text("hostname"),
		MaxFrameSize:        f.uint32("max-frame-size", math.MaxUint32),
		ChannelMax:          f.uint16("channel-max", math.MaxUint16),
		IdleTimeout:         f.uint32("idle-time-out", 0),
		OutgoingLocales:     f.any(),
		IncomingLocales:     f.any(),
		OfferedCapabilities: f.any(),
		DesiredCapabilities: f.any(),
		Properties:          f.typed("properties", wire.TypeMap),
	}
	if f.err == nil && o.MaxFrameSize < MinMaxFrameSize {
		f.fail("max-frame-size", "is %d, and must be at least 512", o.MaxFrameSize)
	}
	return f.err
}

// Append appends the open with all its fields.
func (o *Open) Append(dst []byte) []byte {
	dst, at := start(dst, CodeOpen)
	dst = wire.AppendString(dst, o.ContainerID)
	dst = appendText(dst, o.Hostname)
	dst = wire.AppendUint(dst, o.MaxFrameSize)
	dst = wire.AppendUshort(dst, o.ChannelMax)
	dst = appendOptional(dst, Optional{o.IdleTimeout, o.IdleTimeout > 0})
	dst = wire.AppendValue(dst, o.OutgoingLocales)
	dst = wire.AppendValue(dst, o.IncomingLocales)
	dst = wire.AppendValue(dst, o.OfferedCapabilities)
	dst = wire.AppendValue(dst, o.DesiredCapabilities)
	return wire.EndList(appendMap(dst, o.Properties), at, 10)
}
