package message

import (
	"fmt"
	"time"

	"github.com/gatehouse/gatehouse/amqp/wire"
)

// DefaultPriority is the priority of a message whose header gives none.
const DefaultPriority = 4

// A Header is what a message says of its delivery (part 3.2.1).
type Header struct {
	Durable       bool
	Priority      uint8
	TTL           time.Duration // to the millisecond; only if HasTTL
	HasTTL        bool
	FirstAcquirer bool
	DeliveryCount uint32 // earlier attempts that failed
}

// Header returns the header section; that of a message without one has the
// defaults of the standard.
func (m *Message) Header() (Header, error) {
	h := Header{Priority: DefaultPriority}
	items := m.value(codeHeader).Items()
	fields := fields{items: items}
	h.Durable = fields.bool("durable")
	if n, ok := fields.number("priority"); ok {
		h.Priority = uint8(min(n, 255))
	}
	if n, ok := fields.number("ttl"); ok {
		h.TTL, h.HasTTL = time.Duration(n)*time.Millisecond, true
	}
	h.FirstAcquirer = fields.bool("first-acquirer")
	if n, ok := fields.number("delivery-count"); ok {
		h.DeliveryCount = uint32(n)
	}
	return h, fields.err
}

// MaxTTL is the longest time to live a header can say: some 49 days, which
// clients take for "never".
const MaxTTL = (1<<32 - 1) * time.Millisecond

// AppendHeader appends a header section. A TTL is cut to what fits.
func AppendHeader(dst []byte, h Header) []byte {
	dst = wire.AppendDescriptor(dst, codeHeader)
	at := len(dst)
	dst = wire.AppendBool(wire.StartList(dst), h.Durable)
	dst = wire.AppendUbyte(dst, h.Priority)
	if h.HasTTL {
		dst = wire.AppendUint(dst, uint32(min(max(h.TTL, 0), MaxTTL)/time.Millisecond))
	} else {
		dst = wire.AppendNull(dst)
	}
	dst = wire.AppendBool(dst, h.FirstAcquirer)
	return wire.EndList(wire.AppendUint(dst, h.DeliveryCount), at, 5)
}

// fields reads the elements of a section that is a list; the first error sticks.
type fields struct {
	items wire.Items
	err   error
}

func (f *fields) fail(name string, v wire.Value) {
	if f.err == nil {
		f.err = fmt.Errorf("amqp: message field %s cannot be a %v", name, v.Type())
	}
}

// any returns the next field; null counts as absent.
func (f *fields) any() wire.Value {
	v, _ := f.items.Next()
	if v.IsNull() {
		return wire.Value{}
	}
	return v
}

func (f *fields) bool(name string) bool {
	v := f.any()
	b, ok := v.Bool()
	if !ok && !v.IsAbsent() {
		f.fail(name, v)
	}
	return b
}

// number returns an unsigned integer of 32 bits, and whether it is there.
func (f *fields) number(name string) (uint64, bool) {
	v := f.any()
	n, ok := v.Uint32()
	if !ok && !v.IsAbsent() {
		f.fail(name, v)
	}
	return uint64(n), ok
}

func (f *fields) text(name string) string {
	s, _ := f.typed(name, wire.TypeString, wire.TypeSymbol).Str()
	return s
}

func (f *fields) time(name string) time.Time {
	t, _ := f.typed(name, wire.TypeTimestamp, wire.TypeTimestamp).Time()
	return t
}

// typed returns the next field, absent if it is of neither type.
func (f *fields) typed(name string, a, b wire.Type) wire.Value {
	v := f.any()
	if t := v.Type(); t != a && t != b && !v.IsAbsent() {
		f.fail(name, v)
		return wire.Value{}
	}
	return v
}
