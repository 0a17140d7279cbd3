package directory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/gatehouse/gatehouse"

	"go.yaml.in/yaml/v3"
)

// A File describes an account declaratively. A section that is nil says
// nothing; one that is empty says that there is nothing of the kind.
type File struct {
	Account      gatehouse.AccountName `json:"account" yaml:"account"`
	Channels     []ChannelSpec         `json:"channels,omitempty" yaml:"channels,omitempty"`
	Endpoints    []EndpointSpec        `json:"endpoints,omitempty" yaml:"endpoints,omitempty"`
	Routes       []RouteSpec           `json:"routes,omitempty" yaml:"routes,omitempty"`
	Restrictions []RestrictionSpec     `json:"restrictions,omitempty" yaml:"restrictions,omitempty"`
	Handlers     []HandlerSpec         `json:"handlers,omitempty" yaml:"handlers,omitempty"`
	Policies     []PolicySpec          `json:"policies,omitempty" yaml:"policies,omitempty"`
}

// A section is the definitions of one kind in a file.
type section struct {
	kind  Kind
	given bool // the file has it, even if it is empty
	specs []Spec
}

func (f *File) sections() []section {
	return []section{
		sectionOf(KindChannel, f.Channels),
		sectionOf(KindEndpoint, f.Endpoints),
		sectionOf(KindRoute, f.Routes),
		sectionOf(KindRestriction, f.Restrictions),
		sectionOf(KindHandler, f.Handlers),
		sectionOf(KindPolicy, f.Policies),
	}
}

func sectionOf[T any, P interface {
	*T
	Spec
}](k Kind, list []T,
) section {
	s := section{kind: k, given: list != nil, specs: make([]Spec, len(list))}
	for i := range list {
		s.specs[i] = P(&list[i])
	}
	return s
}

// ParseFile reads a declarative file, YAML or JSON. name is what errors call
// it. env looks up variables for ${NAME} in keys; nil leaves them alone. The
// error is of kind Invalid, with a line for each fault as far as it was read.
func ParseFile(data []byte, name string, env func(string) (string, bool)) (*File, error) {
	var root yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&root); err != nil && !errors.Is(err, io.EOF) {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "%s", yamlText(name, err))
	}
	if len(root.Content) == 0 {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "%s: it is empty; it must name an account", name)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "%s: it has more than one document; write one file for each account", name)
	}
	c := fileCheck{name: name}
	c.keys(root.Content[0], reflect.TypeFor[File](), "")
	if len(c.found) > 0 {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "%s", strings.Join(c.found, "\n"))
	}
	f := new(File)
	if err := root.Decode(f); err != nil {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "%s", yamlText(name, err))
	}
	if err := gatehouse.CheckName(string(f.Account)); err != nil {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "%s: account: %w", name, err)
	}
	if env == nil {
		return f, nil
	}
	return f, f.expand(name, env)
}

// yamlText says what the YAML library found wrong with the file called name,
// each thing on a line that begins with the place of it.
func yamlText(name string, err error) string {
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "yaml: "), "unmarshal errors:\n")
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		where := name
		line = strings.TrimSpace(line)
		if number, rest, ok := strings.Cut(strings.TrimPrefix(line, "line "), ": "); ok && strings.HasPrefix(line, "line ") {
			where, line = name+":"+number, rest
		}
		lines = append(lines, where+": "+plainly(line))
	}
	return strings.Join(lines, "\n")
}

// plainly says without a Go type that a value is of the wrong kind.
func plainly(line string) string {
	rest, mismatch := strings.CutPrefix(line, "cannot unmarshal !!")
	found, wanted, ok := strings.Cut(rest, " into ")
	if !mismatch || !ok {
		return line
	}
	kind, value, _ := strings.Cut(found, " ")
	names := map[string]string{"seq": "a list", "map": "a map", "str": "text", "int": "the number", "float": "the number", "bool": ""}
	if name, ok := names[kind]; ok {
		kind = name
	}
	found = strings.TrimSpace(kind + " " + value)
	switch {
	case strings.HasPrefix(wanted, "[]"):
		wanted = "a list"
	case strings.Contains(wanted, "."), strings.HasPrefix(wanted, "map"):
		wanted = "a map"
	case wanted == "bool":
		wanted = "true or false"
	case wanted == "string":
		wanted = "text"
	case strings.HasPrefix(wanted, "int"), strings.HasPrefix(wanted, "uint"):
		wanted = "a whole number"
	case strings.HasPrefix(wanted, "float"):
		wanted = "a number"
	}
	return found + " stands where " + wanted + " is needed"
}

// fileCheck looks for keys that nothing is called by.
type fileCheck struct {
	name  string
	found []string
}

// keys checks the keys of n, which is to become a t.
func (c *fileCheck) keys(n *yaml.Node, t reflect.Type, path string) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case len(c.found) >= maxProblems:
	case reflect.PointerTo(t).Implements(reflect.TypeFor[yaml.Unmarshaler]()):
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for _, item := range n.Content {
			c.keys(item, t.Elem(), path)
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		fields := yamlFields(t)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			field, ok := fields[key.Value]
			if !ok && key.Tag != "!!merge" {
				c.unknown(key, fields, path)
				continue
			}
			if ok {
				c.keys(n.Content[i+1], field, strings.TrimPrefix(path+"."+key.Value, "."))
			}
		}
	}
}

func (c *fileCheck) unknown(key *yaml.Node, fields map[string]reflect.Type, path string) {
	known := make([]string, 0, len(fields))
	for name := range fields {
		known = append(known, name)
	}
	slices.Sort(known)
	where := ""
	if path != "" {
		where = " in " + path
	}
	c.found = append(c.found, fmt.Sprintf("%s:%d: unknown key %q%s; the keys are %s", c.name, key.Line, key.Value, where, strings.Join(known, ", ")))
}

// yamlFields returns the types of a struct's fields by their keys.
func yamlFields(t reflect.Type) map[string]reflect.Type {
	fields := make(map[string]reflect.Type, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case strings.Contains(options, "inline"):
			for key, inner := range yamlFields(f.Type) {
				fields[key] = inner
			}
		case name != "" && name != "-":
			fields[name] = f.Type
		}
	}
	return fields
}

// expand replaces ${NAME} in keys.
func (f *File) expand(name string, env func(string) (string, bool)) error {
	var missing []string
	expand := func(who string, keys []string) {
		for i, key := range keys {
			var unknown string
			if keys[i], unknown = expandKey(key, env); unknown != "" {
				missing = append(missing, fmt.Sprintf("%s: %s: keys: the environment variable %s is not set", name, who, unknown))
			}
		}
	}
	for i := range f.Endpoints {
		if e := &f.Endpoints[i]; e.Keys != nil {
			expand(fmt.Sprintf("endpoint %q", e.Name), e.Keys.Send)
			expand(fmt.Sprintf("endpoint %q", e.Name), e.Keys.Listen)
		}
	}
	for i := range f.Policies {
		expand(fmt.Sprintf("policy %q", f.Policies[i].Name), f.Policies[i].Keys)
	}
	if len(missing) > 0 {
		return gatehouse.Errorf(gatehouse.Invalid, "%s", strings.Join(missing, "\n"))
	}
	return nil
}

// expandKey replaces each ${NAME} in s, once: what a variable has is not
// looked at again.
func expandKey(s string, env func(string) (string, bool)) (expanded, unknown string) {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "${")
		name, after, closed := strings.Cut(rest, "}")
		if !ok || !closed {
			b.WriteString(s)
			return b.String(), ""
		}
		value, known := env(name)
		if !known {
			return "", name
		}
		b.WriteString(before)
		b.WriteString(value)
		s = after
	}
}

// Export returns a file that describes an account, without keys. Its parts
// must not be changed.
func (d *Directory) Export(a gatehouse.AccountName) (*File, error) {
	account := d.Current().Account(a)
	if account == nil {
		return nil, notFound(Ref{KindAccount, a, string(a)})
	}
	f := &File{Account: account.Name()}
	for c := range account.channels.All() {
		f.Channels = append(f.Channels, *c.spec)
	}
	for e := range account.endpoints.All() {
		f.Endpoints = append(f.Endpoints, *e.Spec())
	}
	for r := range account.routes.All() {
		f.Routes = append(f.Routes, *r.spec)
	}
	for r := range account.restrictions.All() {
		f.Restrictions = append(f.Restrictions, *r.spec)
	}
	for h := range account.handlers.All() {
		f.Handlers = append(f.Handlers, *h.spec)
	}
	for p := range account.policies.All() {
		f.Policies = append(f.Policies, *p.spec)
	}
	return f, nil
}

// fieldsOf returns the fields of a definition, as JSON, by their path.
func fieldsOf(s Spec) map[string]string {
	data, err := json.Marshal(s)
	if err != nil {
		return nil
	}
	fields := make(map[string]string)
	flatten(fields, "", data)
	return fields
}

func flatten(dst map[string]string, path string, data json.RawMessage) {
	var object map[string]json.RawMessage
	if len(data) == 0 || data[0] != '{' || json.Unmarshal(data, &object) != nil || len(object) == 0 {
		dst[path] = string(data)
		return
	}
	for key, value := range object {
		flatten(dst, strings.TrimPrefix(path+"."+key, "."), value)
	}
}
