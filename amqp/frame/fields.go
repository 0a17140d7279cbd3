package frame

import (
	"fmt"
	"math"

	"github.com/gatehouse/gatehouse/amqp/wire"
)

// An Optional is a number that need not be there.
type Optional struct {
	Value uint32
	Set   bool
}

// Some returns a number that is there.
func Some(n uint32) Optional { return Optional{n, true} }

// Or returns the number, or n if it is not there.
func (o Optional) Or(n uint32) uint32 {
	if o.Set {
		return o.Value
	}
	return n
}

// A FieldError says which field of a frame is missing or of a wrong type.
type FieldError struct{ Field, Problem string }

// Error says what is wrong with the field.
func (e *FieldError) Error() string { return "amqp: field " + e.Field + " " + e.Problem }

// fields reads the elements of a list as the fields of a composite type (part
// 1.4). Fields past the end are absent; the first error sticks.
type fields struct {
	items wire.Items
	err   error
}

func (f *fields) fail(name, format string, args ...any) {
	if f.err == nil {
		f.err = &FieldError{Field: name, Problem: fmt.Sprintf(format, args...)}
	}
}

// any returns the next field whatever it is; null counts as absent.
func (f *fields) any() wire.Value {
	v, _ := f.items.Next()
	if v.IsNull() {
		return wire.Value{}
	}
	return v
}

// typed returns the next field, which must be absent or of type t.
func (f *fields) typed(name string, t wire.Type) wire.Value {
	v := f.any()
	if !v.IsAbsent() && v.Type() != t {
		f.fail(name, "is a %v, not a %v", v.Type(), t)
		return wire.Value{}
	}
	return v
}

func (f *fields) optional(name string) Optional {
	v := f.any()
	if v.IsAbsent() {
		return Optional{}
	}
	n, ok := v.Uint32()
	if !ok {
		f.fail(name, "is not an unsigned integer of 32 bits")
	}
	return Optional{n, ok}
}

func (f *fields) uint32(name string, otherwise uint32) uint32 {
	return f.optional(name).Or(otherwise)
}

func (f *fields) required(name string) uint32 {
	o := f.optional(name)
	if !o.Set {
		f.fail(name, "is missing")
	}
	return o.Value
}

func (f *fields) uint16(name string, otherwise uint16) uint16 {
	n := f.uint32(name, uint32(otherwise))
	if n > math.MaxUint16 {
		f.fail(name, "is not an unsigned integer of 16 bits")
	}
	return uint16(n)
}

func (f *fields) uint8(name string, otherwise uint8) uint8 {
	n := f.uint32(name, uint32(otherwise))
	if n > math.MaxUint8 {
		f.fail(name, "is not an unsigned integer of 8 bits")
	}
	return uint8(n)
}

func (f *fields) uint64(name string) uint64 {
	v := f.any()
	if v.IsAbsent() {
		return 0
	}
	n, ok := v.Uint64()
	if !ok {
		f.fail(name, "is not an unsigned integer")
	}
	return n
}

func (f *fields) bool(name string) bool {
	v := f.any()
	if v.IsAbsent() {
		return false
	}
	b, ok := v.Bool()
	if !ok {
		f.fail(name, "is not a boolean")
	}
	return b
}

// role reads a field of type role (part 2.8.1), which must be there.
func (f *fields) role() Role {
	v := f.any()
	b, ok := v.Bool()
	if !ok {
		f.fail("role", "is missing or not a boolean")
	}
	return Role(b)
}

// text reads a string or symbol.
func (f *fields) text(name string) string {
	v := f.any()
	if v.IsAbsent() {
		return ""
	}
	s, ok := v.Str()
	if !ok {
		f.fail(name, "is neither a string nor a symbol")
	}
	return s
}

func (f *fields) binary(name string) []byte {
	v := f.typed(name, wire.TypeBinary)
	b, _ := v.Bytes()
	return b
}

// appendText appends a string, or null for none.
func appendText(dst []byte, s string) []byte {
	if s == "" {
		return wire.AppendNull(dst)
	}
	return wire.AppendString(dst, s)
}

// appendSymbol appends a symbol, or null for none.
func appendSymbol(dst []byte, s string) []byte {
	if s == "" {
		return wire.AppendNull(dst)
	}
	return wire.AppendSymbol(dst, s)
}

func appendOptional(dst []byte, o Optional) []byte {
	if !o.Set {
		return wire.AppendNull(dst)
	}
	return wire.AppendUint(dst, o.Value)
}

// appendMap appends a map, an empty one for none.
func appendMap(dst []byte, v wire.Value) []byte {
	if v.IsNull() {
		return wire.EndMap(wire.StartMap(dst), len(dst), 0)
	}
	return wire.AppendValue(dst, v)
}

// start begins a composite type: its descriptor and its list. The position of
// the list is what end needs.
func start(dst []byte, code uint64) (out []byte, at int) {
	dst = wire.AppendDescriptor(dst, code)
	return wire.StartList(dst), len(dst)
}
