package config

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// An origin knows where the values of a configuration come from.
type origin struct {
	file   string
	env    func(string) (string, bool)
	places map[string]string // where a path was set: "FILE:LINE" or a variable
	known  map[string]bool   // the environment variables that were looked for
}

func newOrigin(file string, env func(string) (string, bool)) *origin {
	return &origin{file: file, env: env, places: make(map[string]string), known: make(map[string]bool)}
}

func (o *origin) name() string {
	if o.file == "" {
		return "configuration"
	}
	return o.file
}

// place names a node's place in the file.
func (o *origin) place(n *yaml.Node) string {
	if n.Line == 0 {
		return o.name()
	}
	return o.name() + ":" + strconv.Itoa(n.Line)
}

// A decoder fills in values from YAML nodes and the environment. It goes on
// after a fault, so that all of them are told at once.
type decoder struct {
	*origin
	variable string // the environment variable being read, instead of the file
	faults   []string
}

func (d *decoder) fault(text string) { d.faults = append(d.faults, text) }

// at names where n is.
func (d *decoder) at(n *yaml.Node) string {
	if d.variable != "" {
		return "environment variable " + d.variable
	}
	return d.place(n)
}

func valueOf(pointer any) reflect.Value { return reflect.ValueOf(pointer).Elem() }

// isLeaf reports whether values of t read themselves.
func isLeaf(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[yaml.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

var blockType = reflect.TypeFor[Block]()

// decode fills v, at path, from n. A value that is null leaves the default.
func (d *decoder) decode(n *yaml.Node, v reflect.Value, path string) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if path != "" {
		d.places[path] = d.at(n)
	}
	switch {
	case isLeaf(v.Type()):
		d.scalar(n, v, path)
	case v.Kind() == reflect.Struct:
		d.mapping(n, v, path)
	case v.Kind() == reflect.Slice:
		d.sequence(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

func (d *decoder) sequence(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.fault(fmt.Sprintf("%s: %s must be a list", d.at(n), path))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.decode(item, list.Index(i), path+"["+strconv.Itoa(i)+"]")
	}
	v.Set(list)
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.fault(fmt.Sprintf("%s: %s must be a section with keys of its own", d.at(n), pathName(path)))
		return
	}
	fields, rest := fieldsOf(v)
	seen := make(map[string]bool)
	var unknown []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if seen[key.Value] {
			d.fault(fmt.Sprintf("%s: key %q is there twice", d.at(key), join(path, key.Value)))
			continue
		}
		seen[key.Value] = true
		switch f, ok := fields[key.Value]; {
		case ok:
			d.decode(value, f, join(path, key.Value))
		case rest.IsValid():
			unknown = append(unknown, key, value)
		default:
			d.fault(d.at(key) + ": " + unknownKey(key.Value, path, slices.Collect(maps.Keys(fields))))
		}
	}
	if rest.IsValid() {
		rest.Set(reflect.ValueOf(Block{
			origin: d.origin, variable: d.variable, path: path, entries: unknown,
			beside: slices.Sorted(maps.Keys(fields)),
		}))
	}
}

// fieldsOf returns the fields of a struct by their keys, and the one that
// takes the keys that are not known, if there is one.
func fieldsOf(v reflect.Value) (fields map[string]reflect.Value, rest reflect.Value) {
	fields = make(map[string]reflect.Value)
	for i := range v.NumField() {
		tag, flags := tagOf(v.Type().Field(i))
		switch {
		case v.Type().Field(i).Type == blockType:
			rest = v.Field(i)
		case flags == "inline" && v.Field(i).Kind() == reflect.Struct:
			inner, _ := fieldsOf(v.Field(i))
			maps.Copy(fields, inner)
		case tag != "" && tag != "-":
			fields[tag] = v.Field(i)
		}
	}
	return fields, rest
}

// tagOf returns the key of a field, from its yaml tag or else its json tag,
// and what else the tag says.
func tagOf(f reflect.StructField) (key, flags string) {
	tag, ok := f.Tag.Lookup("yaml")
	if !ok {
		tag = f.Tag.Get("json")
	}
	key, flags, _ = strings.Cut(tag, ",")
	return key, flags
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode && !isLeaf(v.Type()) {
		d.fault(fmt.Sprintf("%s: %s must be %s", d.at(n), path, kindName(v)))
		return
	}
	expanded := *n
	if n.Kind == yaml.ScalarNode {
		text, err := d.expand(n.Value)
		if err != nil {
			d.fault(fmt.Sprintf("%s: %s: %v", d.at(n), path, err))
			return
		}
		if text != n.Value {
			// What was put in is read as if it stood there, without quotes.
			expanded.Value, expanded.Tag, expanded.Style = text, "", 0
		}
		if v.Kind() == reflect.String && !isLeaf(v.Type()) {
			v.SetString(text)
			return
		}
	}
	err := expanded.Decode(v.Addr().Interface())
	if v.CanInt() && !isLeaf(v.Type()) && expanded.ShortTag() != "!!int" {
		err = errFraction // which the library would round
	}
	if err != nil {
		d.fault(fmt.Sprintf("%s: %s: %s", d.at(n), path, scalarError(err, v, expanded.Value)))
	}
}

var errFraction = errors.New("not a whole number")

// scalarError says what is wrong with a value: in our words for plain types,
// in those of the type for others.
func scalarError(err error, v reflect.Value, text string) string {
	if !isLeaf(v.Type()) {
		return fmt.Sprintf("%q is not %s", text, kindName(v))
	}
	what := strings.TrimPrefix(err.Error(), "yaml: ")
	if i := strings.LastIndex(what, "\n"); i >= 0 {
		what = strings.TrimSpace(what[i:])
	}
	if rest, ok := strings.CutPrefix(what, "line "); ok {
		if _, after, ok := strings.Cut(rest, ": "); ok {
			what = after
		}
	}
	return what
}

func kindName(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Uint64, reflect.Uint32:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	default:
		return "a single value"
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func pathName(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

// variableName is the environment variable for a path: words in upper case,
// joined by underscores.
func variableName(path string) string {
	var b strings.Builder
	b.WriteString(Prefix)
	lower := false
	for _, c := range path {
		switch {
		case c == '.':
			b.WriteByte('_')
			lower = false
		case unicode.IsUpper(c):
			if lower {
				b.WriteByte('_')
			}
			b.WriteRune(c)
			lower = false
		default:
			b.WriteRune(unicode.ToUpper(c))
			lower = true
		}
	}
	return b.String()
}

// overlay overrides v, at path, and what is in it by environment variables.
func (d *decoder) overlay(v reflect.Value, path string) {
	if path != "" {
		if text, ok := d.lookup(variableName(path)); ok {
			d.fromVariable(variableName(path), text, v, path)
		}
	}
	if isLeaf(v.Type()) || v.Kind() != reflect.Struct {
		return
	}
	fields, rest := fieldsOf(v)
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		d.overlay(fields[key], join(path, key))
	}
	if rest.IsValid() && rest.Interface().(Block).origin == nil {
		rest.Set(reflect.ValueOf(Block{origin: d.origin, path: path, beside: slices.Sorted(maps.Keys(fields))}))
	}
}

func (d *decoder) lookup(name string) (string, bool) {
	d.known[name] = true
	if d.env == nil {
		return "", false
	}
	return d.env(name)
}

func (d *decoder) fromVariable(name, text string, v reflect.Value, path string) {
	inner := decoder{origin: d.origin, variable: name}
	node := &yaml.Node{Kind: yaml.ScalarNode, Value: text}
	if !isLeaf(v.Type()) && (v.Kind() == reflect.Struct || v.Kind() == reflect.Slice) {
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil || len(doc.Content) == 0 {
			d.fault("environment variable " + name + ": not YAML for " + path)
			return
		}
		node = doc.Content[0]
	}
	inner.decode(node, v, path)
	d.faults = append(d.faults, inner.faults...)
}
