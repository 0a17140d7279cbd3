package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/gatehouse/gatehouse"

	"go.yaml.in/yaml/v3"
)

// A Block is the part of a section that only a plug-in knows. It keeps where
// it stands, so that faults in it are told like all others. The zero Block is
// an empty one.
type Block struct {
	*origin
	variable string
	path     string
	entries  []*yaml.Node // key, value, key, value, …
	beside   []string     // the keys of the section that are not the plug-in's
}

// Decode fills in the options of a plug-in, a pointer to a struct whose fields
// have yaml or json tags, from the block and from environment variables. It is as
// strict as the rest: the error is of kind Invalid with a line per fault.
func (b Block) Decode(options any) error {
	if b.origin == nil {
		b.origin = newOrigin("", nil)
	}
	d := decoder{origin: b.origin, variable: b.variable}
	v := valueOf(options)
	fields, _ := fieldsOf(v)
	for i := 0; i+1 < len(b.entries); i += 2 {
		key, value := b.entries[i], b.entries[i+1]
		if f, ok := fields[key.Value]; ok {
			d.decode(value, f, join(b.path, key.Value))
			continue
		}
		known := append(slices.Collect(maps.Keys(fields)), b.beside...)
		d.fault(d.at(key) + ": " + unknownKey(key.Value, b.path, known))
	}
	if !strings.Contains(b.path, "[") {
		d.overlayFields(v, b.path)
	}
	if len(d.faults) > 0 {
		return joinFaults(d.faults)
	}
	return nil
}

// overlayFields is overlay for the fields of v, not for v as a whole.
func (d *decoder) overlayFields(v reflect.Value, path string) {
	fields, _ := fieldsOf(v)
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		d.overlay(fields[key], join(path, key))
	}
}

// Faultf returns an error of kind Invalid about the value at path, which
// begins with where the value was set: "gatehouse.yaml:7: listeners[0].adapter: …".
func (c *Config) Faultf(path, format string, args ...any) error {
	return gatehouse.Errorf(gatehouse.Invalid, "%s", c.origin.about(path, fmt.Sprintf(format, args...)))
}

// about says something about the value at path.
func (o *origin) about(path, text string) string {
	if o == nil {
		return path + ": " + text
	}
	for p := path; p != ""; p = parent(p) {
		if place, ok := o.places[p]; ok {
			return place + ": " + path + ": " + text
		}
	}
	return path + ": " + text
}

// parent returns the path of what path is in.
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}
