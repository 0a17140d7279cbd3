package condition

import (
	"fmt"
	"reflect"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"
)

// Limits of what the parser and the checker accept.
const (
	maxNesting = 100  // of brackets and operators
	maxNodes   = 4096 // of the expression, macros expanded
	maxRegex   = 1000 // instructions of a compiled pattern
	maxErrors  = 8    // after which the parser gives up
)

// environment is what all expressions are compiled in. It is immutable.
type environment struct {
	cel                        *cel.Env
	message, endpoint, channel *objectType
}

// theEnvironment takes milliseconds to build and never changes.
var theEnvironment = sync.OnceValues(newEnvironment)

func newEnvironment() (*environment, error) {
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	e := &environment{
		message:  newObjectType("gatehouse.Message", messageFields()),
		endpoint: newObjectType("gatehouse.Endpoint", endpointFields()),
		channel:  newObjectType("gatehouse.Channel", channelFields()),
	}
	objects := map[string]*objectType{}
	for _, o := range []*objectType{e.message, e.endpoint, e.channel} {
		objects[o.typ.TypeName()] = o
	}
	e.cel, err = cel.NewEnv(
		cel.CustomTypeAdapter(registry),
		cel.CustomTypeProvider(&provider{registry, objects}),
		cel.Variable("msg", e.message.typ),
		cel.Variable("endpoint", e.endpoint.typ),
		cel.Variable("channel", e.channel.typ),
		cel.Variable("now", cel.TimestampType),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.ParserRecursionLimit(maxNesting),
		cel.ParserExpressionSizeLimit(MaxText),
		cel.ParserErrorRecoveryLimit(maxErrors),
		cel.ExpressionNodeLimit(maxNodes),
		cel.RegexProgramSizeLimit(maxRegex),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals()),
		ext.Strings(),
	)
	return e, err
}

// provider adds the object types to those that CEL has.
type provider struct {
	types.Provider
	objects map[string]*objectType
}

// FindStructType finds the type of that name.
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if o := p.objects[name]; o != nil {
		return types.NewTypeTypeWithParam(o.typ), true
	}
	return p.Provider.FindStructType(name)
}

// FindStructFieldNames returns the fields of the type of that name.
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	if o := p.objects[name]; o != nil {
		return o.names, true
	}
	return p.Provider.FindStructFieldNames(name)
}

// FindStructFieldType returns a field of the type of that name.
func (p *provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if o := p.objects[name]; o != nil {
		f, ok := o.fields[field]
		return f, ok
	}
	return p.Provider.FindStructFieldType(name, field)
}

// An objectType is the type of a variable with fields.
type objectType struct {
	typ    *types.Type
	names  []string // in the order of the documentation
	fields map[string]*types.FieldType
}

// A field is one field of an objectType. Is reports whether it is there, for
// has(); get returns its value, which may be an error.
type field struct {
	name string
	typ  *types.Type
	is   func(*Vars) bool
	get  func(*Vars) ref.Val
}

func newObjectType(name string, fields []field) *objectType {
	o := &objectType{
		typ:    types.NewObjectType(name, traits.IndexerType, traits.FieldTesterType),
		fields: make(map[string]*types.FieldType, len(fields)),
	}
	for _, f := range fields {
		o.names = append(o.names, f.name)
		o.fields[f.name] = f.fieldType()
	}
	return o
}

func (f field) fieldType() *types.FieldType {
	return &types.FieldType{
		Type:  f.typ,
		IsSet: func(target any) bool { return f.is(target.(*object).vars) },
		GetFrom: func(target any) (any, error) {
			v := f.get(target.(*object).vars)
			if e, ok := v.(*types.Err); ok {
				return nil, e
			}
			return v, nil
		},
	}
}

// An object is a variable with fields: a view of Vars.
type object struct {
	of   *objectType
	vars *Vars
}

// Type returns the object's type.
func (o *object) Type() ref.Type { return o.of.typ }

// Value returns the object itself, which is what fields are read from.
func (o *object) Value() any { return o }

// Equal reports whether other is the same object; there is one of each type.
func (o *object) Equal(other ref.Val) ref.Val {
	b, ok := other.(*object)
	return types.Bool(ok && b.of == o.of)
}

// Get returns a field by its name, where its type was not known in advance.
func (o *object) Get(index ref.Val) ref.Val {
	f, err := o.field(index)
	if err != nil {
		return err
	}
	v, failed := f.GetFrom(o)
	if failed != nil {
		return types.WrapErr(failed)
	}
	return v.(ref.Val)
}

// IsSet reports whether a field is there.
func (o *object) IsSet(index ref.Val) ref.Val {
	f, err := o.field(index)
	if err != nil {
		return err
	}
	return types.Bool(f.IsSet(o))
}

func (o *object) field(index ref.Val) (*types.FieldType, ref.Val) {
	name, ok := index.(types.String)
	if f := o.of.fields[string(name)]; ok && f != nil {
		return f, nil
	}
	return nil, types.NewErr("no such field: %v", index)
}

// ConvertToNative fails: objects stay within the expression.
func (o *object) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("%s cannot be converted to %v", o.of.typ, t)
}

// ConvertToType converts to nothing but the type itself.
func (o *object) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return o.of.typ
	}
	return types.NewErr("%s cannot be converted to %s", o.of.typ, t.TypeName())
}
