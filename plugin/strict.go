package plugin

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse/gatehouse"
)

// checkFields walks valid JSON along the type it is meant for, and reports the
// first field that the type does not have or that is given twice.
func checkFields(raw json.RawMessage, config any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	return walk(d, reflect.TypeOf(config), "")
}

// walk passes over one value, which is meant for t.
func walk(d *json.Decoder, t reflect.Type, path string) error {
	for t != nil && t.Kind() == reflect.Pointer && !decodesItself(t) {
		t = t.Elem()
	}
	if t == nil || decodesItself(t) {
		var any json.RawMessage
		return d.Decode(&any)
	}
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'):
		return walkObject(d, t, path)
	case json.Delim('['):
		return walkArray(d, t, path)
	}
	return nil
}

func walkArray(d *json.Decoder, t reflect.Type, path string) error {
	var element reflect.Type
	if k := t.Kind(); k == reflect.Slice || k == reflect.Array {
		element = t.Elem()
	}
	for i := 0; d.More(); i++ {
		if err := walk(d, element, path+"["+strconv.Itoa(i)+"]"); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

func walkObject(d *json.Decoder, t reflect.Type, path string) error {
	fields := fieldsOf(t)
	seen := make(map[string]bool)
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		at := strings.TrimPrefix(path+"."+name, ".")
		if seen[name] {
			return gatehouse.Errorf(gatehouse.Invalid, "field %q is given twice", at)
		}
		seen[name] = true
		field, known := memberType(t, fields, name)
		if !known {
			return gatehouse.Errorf(gatehouse.Invalid, "unknown field %q; %s", at, hint(name, fieldNames(fields)))
		}
		if err := walk(d, field, at); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// memberType returns what the member called name of an object meant for t is
// itself meant for; nil if that cannot be told.
func memberType(t reflect.Type, fields map[string]reflect.Type, name string) (member reflect.Type, known bool) {
	switch t.Kind() {
	case reflect.Struct:
		member, known = fields[name]
		return member, known
	case reflect.Map:
		return t.Elem(), true
	}
	return nil, true
}

// decodesItself reports whether values of t read JSON their own way.
func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return t.Kind() == reflect.Interface ||
		p.Implements(reflect.TypeFor[json.Unmarshaler]()) ||
		p.Implements(reflect.TypeFor[interface{ UnmarshalText([]byte) error }]())
}

// fieldsOf returns the JSON fields of a struct, with those of the structs it
// embeds.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	if t.Kind() != reflect.Struct {
		return nil
	}
	fields := make(map[string]reflect.Type)
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-", !f.IsExported(), f.Anonymous && name == "":
			continue
		case name == "":
			name = f.Name
		}
		if _, shadowed := fields[name]; !shadowed || len(f.Index) == 1 {
			fields[name] = f.Type
		}
	}
	return fields
}

func fieldNames(fields map[string]reflect.Type) []string {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// wanted describes the JSON that t is read from.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, not negative,"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	}
	return "something else"
}

// hint says which known name was probably meant, or which there are.
func hint(name string, known []string) string {
	best, distance := "", len(name)/2+2
	for _, k := range known {
		if d := editDistance(gatehouse.Fold(name), gatehouse.Fold(k)); d < distance {
			best, distance = k, d
		}
	}
	switch {
	case best != "":
		return "did you mean " + strconv.Quote(best) + "?"
	case len(known) == 0:
		return "there are none"
	}
	return "there are " + strings.Join(known, ", ")
}

// editDistance counts the letters to insert, remove or replace to make b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
