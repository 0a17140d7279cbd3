package frame

import "github.com/gatehouse/gatehouse/amqp/wire"

const (
	codeSource      = 0x28
	codeTarget      = 0x29
	codeCoordinator = 0x30
)

// A Source is where the messages of a link come from (part 3.5.3). One that is
// not Present is null.
type Source struct {
	Present           bool
	Address           string
	Durable           uint32 // 0 none, 1 configuration, 2 unsettled state
	ExpiryPolicy      string
	Timeout           uint32 // seconds
	Dynamic           bool
	DynamicProperties wire.Value
	DistributionMode  string
	Filter            wire.Value // a map from symbol to (mostly) described values
	DefaultOutcome    wire.Value
	Outcomes          wire.Value
	Capabilities      wire.Value
}

// A Target is where the messages of a link go (part 3.5.4). One that is not
// Present is null. A Coordinator is that of transactions (part 4.5.1).
type Target struct {
	Present           bool
	Coordinator       bool
	Address           string
	Durable           uint32
	ExpiryPolicy      string
	Timeout           uint32 // seconds
	Dynamic           bool
	DynamicProperties wire.Value
	Capabilities      wire.Value
}

func (f *fields) source() Source {
	v := f.any()
	if v.IsAbsent() {
		return Source{}
	}
	code, items, err := describedList(v)
	if err != nil || code != codeSource {
		f.fail("source", "is not a source")
		return Source{}
	}
	in := fields{items: items}
	s := Source{
		Present:           true,
		Address:           in.text("address"),
		Durable:           in.uint32("durable", 0),
		ExpiryPolicy:      in.text("expiry-policy"),
		Timeout:           in.uint32("timeout", 0),
		Dynamic:           in.bool("dynamic"),
		DynamicProperties: in.typed("dynamic-node-properties", wire.TypeMap),
		DistributionMode:  in.text("distribution-mode"),
		Filter:            in.typed("filter", wire.TypeMap),
		DefaultOutcome:    in.any(),
		Outcomes:          in.any(),
		Capabilities:      in.any(),
	}
	if in.err != nil {
		f.fail("source", "has a part that is wrong: %v", in.err)
	}
	return s
}

func (s *Source) append(dst []byte) []byte {
	if !s.Present {
		return wire.AppendNull(dst)
	}
	dst, at := start(dst, codeSource)
	dst = appendText(dst, s.Address)
	dst = wire.AppendUint(dst, s.Durable)
	dst = appendSymbol(dst, s.ExpiryPolicy)
	dst = wire.AppendUint(dst, s.Timeout)
	dst = wire.AppendBool(dst, s.Dynamic)
	dst = wire.AppendValue(dst, s.DynamicProperties)
	dst = appendSymbol(dst, s.DistributionMode)
	dst = wire.AppendValue(dst, s.Filter)
	dst = wire.AppendValue(dst, s.DefaultOutcome)
	dst = wire.AppendValue(dst, s.Outcomes)
	return wire.EndList(wire.AppendValue(dst, s.Capabilities), at, 11)
}

func (f *fields) target() Target {
	v := f.any()
	if v.IsAbsent() {
		return Target{}
	}
	code, items, err := describedList(v)
	if err == nil && code == codeCoordinator {
		in := fields{items: items}
		return Target{Present: true, Coordinator: true, Capabilities: in.any()}
	}
	if err != nil || code != codeTarget {
		f.fail("target", "is neither a target nor a coordinator")
		return Target{}
	}
	in := fields{items: items}
	t := Target{
		Present:           true,
		Address:           in.text("address"),
		Durable:           in.uint32("durable", 0),
		ExpiryPolicy:      in.text("expiry-policy"),
		Timeout:           in.uint32("timeout", 0),
		Dynamic:           in.bool("dynamic"),
		DynamicProperties: in.typed("dynamic-node-properties", wire.TypeMap),
		Capabilities:      in.any(),
	}
	if in.err != nil {
		f.fail("target", "has a part that is wrong: %v", in.err)
	}
	return t
}

func (t *Target) append(dst []byte) []byte {
	if !t.Present {
		return wire.AppendNull(dst)
	}
	if t.Coordinator {
		dst, at := start(dst, codeCoordinator)
		return wire.EndList(wire.AppendValue(dst, t.Capabilities), at, 1)
	}
	dst, at := start(dst, codeTarget)
	dst = appendText(dst, t.Address)
	dst = wire.AppendUint(dst, t.Durable)
	dst = appendSymbol(dst, t.ExpiryPolicy)
	dst = wire.AppendUint(dst, t.Timeout)
	dst = wire.AppendBool(dst, t.Dynamic)
	dst = wire.AppendValue(dst, t.DynamicProperties)
	return wire.EndList(wire.AppendValue(dst, t.Capabilities), at, 7)
}
