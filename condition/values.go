package condition

import (
	"fmt"
	"reflect"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/rule"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// value returns an attribute's value as an expression sees it: a UUID as its
// text, binary as bytes, all else as what it is.
func value(v gatehouse.Value) ref.Val {
	switch v.Type() {
	case gatehouse.TypeString:
		return types.String(v.Str())
	case gatehouse.TypeInt64:
		return types.Int(v.Int64())
	case gatehouse.TypeUint64:
		return types.Uint(v.Uint64())
	case gatehouse.TypeFloat64:
		return types.Double(v.Float64())
	case gatehouse.TypeBool:
		return types.Bool(v.Bool())
	case gatehouse.TypeTimestamp:
		return types.Timestamp{Time: v.Time()}
	case gatehouse.TypeBinary:
		return types.Bytes(v.Str())
	case gatehouse.TypeUUID:
		return types.String(v.UUIDString())
	case gatehouse.TypeList:
		list := make([]ref.Val, len(v.List()))
		for i, e := range v.List() {
			list[i] = value(e)
		}
		return types.NewRefValList(types.DefaultTypeAdapter, list)
	case gatehouse.TypeMap:
		return &dict{attributes: v.Map()}
	}
	return types.NullValue
}

// A dict is a CEL map over attributes or over labels, without being one: it
// searches them in order, so the first of a name counts.
type dict struct {
	attributes []gatehouse.Attribute
	labels     rule.Labels
}

func (d *dict) len() int { return len(d.attributes) + len(d.labels) }

// FindStringKey returns the value of that name. The evaluator looks for this
// method before it tries Find.
func (d *dict) FindStringKey(name string) (any, bool) {
	v, ok := d.find(name)
	return v, ok
}

func (d *dict) find(name string) (ref.Val, bool) {
	for i := range d.attributes {
		if d.attributes[i].Name == name {
			return value(d.attributes[i].Value), true
		}
	}
	for i := range d.labels {
		if d.labels[i].Key == name {
			return types.String(d.labels[i].Value), true
		}
	}
	return nil, false
}

// Find returns the value of that name.
func (d *dict) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return nil, false
	}
	return d.find(string(name))
}

// Get returns the value of that name or an error.
func (d *dict) Get(key ref.Val) ref.Val {
	if v, ok := d.Find(key); ok {
		return v
	}
	return types.NewErr("no such key: %v", key)
}

// Contains reports whether there is a value of that name.
func (d *dict) Contains(key ref.Val) ref.Val {
	_, ok := d.Find(key)
	return types.Bool(ok)
}

// Size returns how many different names there are.
func (d *dict) Size() ref.Val { return types.Int(len(d.names())) }

// Iterator returns an iterator over the names.
func (d *dict) Iterator() traits.Iterator {
	return types.NewStringList(types.DefaultTypeAdapter, d.names()).Iterator()
}

func (d *dict) names() []string {
	names := make([]string, 0, d.len())
	seen := make(map[string]bool, d.len())
	for i := range d.attributes {
		if name := d.attributes[i].Name; !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	for i := range d.labels {
		names = append(names, d.labels[i].Key)
	}
	return names
}

// Equal reports whether other is a map of the same names and values.
func (d *dict) Equal(other ref.Val) ref.Val {
	o, ok := other.(traits.Mapper)
	if !ok || o.Size() != d.Size() {
		return types.False
	}
	for _, name := range d.names() {
		mine, _ := d.find(name)
		theirs, ok := o.Find(types.String(name))
		if !ok || types.Equal(mine, theirs) != types.True {
			return types.False
		}
	}
	return types.True
}

// Type returns CEL's map type.
func (d *dict) Type() ref.Type { return types.MapType }

// Value returns the dict itself.
func (d *dict) Value() any { return d }

// ConvertToNative fails: maps stay within the expression.
func (d *dict) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a map cannot be converted to %v", t)
}

// ConvertToType converts to nothing but the map and its type.
func (d *dict) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.MapType:
		return d
	case types.TypeType:
		return types.MapType
	}
	return types.NewErr("a map cannot be converted to %s", t.TypeName())
}
