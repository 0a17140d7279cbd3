// Package plugin is how a plug-in presents itself: a Kind is a named
// constructor with typed configuration, and a Set is the kinds to choose from.
// A plug-in exports one Kind, and the application lists it; there is no
// registry and nothing happens on import.
//
//	// Config of the echo handler.
//	type Config struct {
//		Prefix string `json:"prefix"` // put before the subject; default "re: "
//	}
//
//	func defaults() Config { return Config{Prefix: "re: "} }
//
//	var Kind = plugin.Define("echo", defaults, func(c Config, d handler.Deps) (handler.Handler, error) {
//		return &echo{c, d.Logger}, nil
//	})
//
// Configuration is JSON, decoded strictly over the defaults: an unknown field
// is an error that names it and the nearest known one, as is a field given
// twice or of the wrong type.
package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/gatehouse/gatehouse"
)

// A Validator is a configuration that has more to say than its types do. Its
// error is shown to who wrote the configuration.
type Validator interface{ Validate() error }

// A Kind is one way to make a T, which is given D and a configuration. Make
// one with Define.
type Kind[D, T any] struct {
	Name     string
	defaults func() any
	check    func(config json.RawMessage) error
	build    func(config json.RawMessage, deps D) (T, error)
}

// Define returns a kind whose constructor is build and whose configuration is
// a C, a struct with json tags. defaults returns the values of the fields that
// a configuration does not give; it is a function so that no two
// configurations share a slice or map. If C, or *C, is a Validator it is asked
// before build.
func Define[C, D, T any](name string, defaults func() C, build func(config C, deps D) (T, error)) Kind[D, T] {
	decode := func(raw json.RawMessage) (C, error) {
		c := defaults()
		if err := Decode(raw, &c); err != nil {
			return c, inKind(name, err)
		}
		if v, ok := any(&c).(Validator); ok {
			if err := v.Validate(); err != nil {
				return c, inKind(name, err)
			}
		}
		return c, nil
	}
	return Kind[D, T]{
		Name:     name,
		defaults: func() any { return defaults() },
		check: func(raw json.RawMessage) error {
			_, err := decode(raw)
			return err
		},
		build: func(raw json.RawMessage, deps D) (t T, err error) {
			c, err := decode(raw)
			if err != nil {
				return t, err
			}
			return build(c, deps)
		},
	}
}

// inKind says which kind of plug-in a configuration was for.
func inKind(name string, err error) error {
	e := gatehouse.Error{Kind: gatehouse.Invalid, Text: name + ": " + err.Error(), Cause: err}
	if inner, ok := errors.AsType[*gatehouse.Error](err); ok {
		e.Rule = inner.Rule
	}
	return &e
}

// Defaults returns a configuration that gives every field its default, as JSON
// indented for people.
func (k Kind[D, T]) Defaults() (json.RawMessage, error) {
	return json.MarshalIndent(k.defaults(), "", "  ")
}

// Check reports what is wrong with a configuration, as an error of kind
// Invalid, without making anything. An empty one is all defaults.
func (k Kind[D, T]) Check(config json.RawMessage) error { return k.check(config) }

// Make checks a configuration and makes a T of it. Errors of the configuration
// are of kind Invalid; others are the constructor's.
func (k Kind[D, T]) Make(config json.RawMessage, deps D) (T, error) { return k.build(config, deps) }

// A Set is the kinds there are to choose from, in the order they are shown.
// Their names are compared without case.
type Set[D, T any] []Kind[D, T]

// Find returns the kind of a name, or NotFound with the nearest name there is.
func (s Set[D, T]) Find(name string) (Kind[D, T], error) {
	names := make([]string, len(s))
	for i := range s {
		if gatehouse.Fold(s[i].Name) == gatehouse.Fold(name) {
			return s[i], nil
		}
		names[i] = s[i].Name
	}
	return Kind[D, T]{}, gatehouse.Errorf(gatehouse.NotFound, "there is no kind %s; %s", strconv.Quote(name), hint(name, names))
}

// Check reports what is wrong with a configuration for the kind called name:
// NotFound if there is none, Invalid otherwise.
func (s Set[D, T]) Check(name string, config json.RawMessage) error {
	k, err := s.Find(name)
	if err != nil {
		return err
	}
	return k.Check(config)
}

// Make makes a T of the kind called name.
func (s Set[D, T]) Make(name string, config json.RawMessage, deps D) (t T, err error) {
	k, err := s.Find(name)
	if err != nil {
		return t, err
	}
	return k.Make(config, deps)
}

// Decode decodes JSON strictly into config, a pointer to a struct, over the
// values it has. Empty and null leave it as it is. The error, of kind Invalid,
// names the field at fault.
func Decode(raw json.RawMessage, config any) error {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	if !json.Valid(raw) {
		return gatehouse.Errorf(gatehouse.Invalid, "the configuration is not valid JSON: %v", json.Unmarshal(raw, new(any)))
	}
	if err := checkFields(raw, config); err != nil {
		return err
	}
	err := json.Unmarshal(raw, config)
	if bad, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return gatehouse.Errorf(gatehouse.Invalid, "%s is a JSON %s; %s is wanted", fieldName(bad.Field), bad.Value, wanted(bad.Type))
	}
	if err != nil {
		return gatehouse.Errorf(gatehouse.Invalid, "the configuration cannot be used: %w", err)
	}
	return nil
}

func fieldName(path string) string {
	if path == "" {
		return "the configuration"
	}
	return "field " + strconv.Quote(strings.TrimPrefix(path, "."))
}
