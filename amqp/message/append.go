package message

import "github.com/gatehouse/gatehouse/amqp/wire"

// AppendDeliveryAnnotations appends a section with the given map, whose keys
// are symbols.
func AppendDeliveryAnnotations(dst []byte, annotations wire.Value) []byte {
	return wire.AppendValue(wire.AppendDescriptor(dst, codeDeliveryAnnotations), annotations)
}

// AppendAnnotations appends a section of message annotations with the given
// map, whose keys are symbols.
func AppendAnnotations(dst []byte, annotations wire.Value) []byte {
	return wire.AppendValue(wire.AppendDescriptor(dst, codeMessageAnnotations), annotations)
}

// AppendApplicationProperties appends a section with the given map, whose keys
// are strings and whose values are neither lists, maps nor arrays.
func AppendApplicationProperties(dst []byte, properties wire.Value) []byte {
	return wire.AppendValue(wire.AppendDescriptor(dst, codeApplicationProperties), properties)
}

// StartAnnotations begins a section of message annotations whose map is
// appended entry by entry: the caller appends keys and values in turn and ends
// the map with wire.EndMap(dst, at, entries).
func StartAnnotations(dst []byte) (out []byte, at int) {
	return startMap(dst, codeMessageAnnotations)
}

// StartApplicationProperties is StartAnnotations for application properties.
func StartApplicationProperties(dst []byte) (out []byte, at int) {
	return startMap(dst, codeApplicationProperties)
}

func startMap(dst []byte, code uint64) (out []byte, at int) {
	dst = wire.AppendDescriptor(dst, code)
	return wire.StartMap(dst), len(dst)
}

// AppendData appends a data section.
func AppendData(dst, data []byte) []byte {
	return append(AppendDataHeader(dst, len(data)), data...)
}

// AppendDataHeader appends what goes before the n bytes of a data section.
func AppendDataHeader(dst []byte, n int) []byte {
	return wire.AppendBinaryHeader(wire.AppendDescriptor(dst, codeData), n)
}

// AppendSequence appends a sequence section with the given list.
func AppendSequence(dst []byte, list wire.Value) []byte {
	return wire.AppendValue(wire.AppendDescriptor(dst, codeSequence), list)
}

// AppendBody appends a body that is a single value.
func AppendBody(dst []byte, value wire.Value) []byte {
	return wire.AppendValue(wire.AppendDescriptor(dst, codeValue), value)
}

// AppendFooter appends a footer section with the given map.
func AppendFooter(dst []byte, footer wire.Value) []byte {
	return wire.AppendValue(wire.AppendDescriptor(dst, codeFooter), footer)
}
