package cloudevents

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
)

// The text of AttributesExtension is a JSON object of name and value. Strings,
// booleans, null and arrays are what they look like, numbers are int64. Other
// types are an object with one member that names the type:
//
//	{"$uint64":"7"} {"$float64":"1.5"} {"$timestamp":"2030-01-31T12:00:00.000Z"}
//	{"$binary":"AQI="} {"$uuid":"…"} {"$map":{…}}

// maxTypedDepth bounds how deep lists and maps may nest.
const maxTypedDepth = 32

func appendTypedMap(dst []byte, attributes []gatehouse.Attribute) []byte {
	dst = append(dst, '{')
	for i := range attributes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, attributes[i].Name), ':')
		dst = appendTyped(dst, attributes[i].Value)
	}
	return append(dst, '}')
}

func appendTyped(dst []byte, v gatehouse.Value) []byte {
	switch v.Type() {
	case gatehouse.TypeNull:
		return append(dst, "null"...)
	case gatehouse.TypeString:
		return appendString(dst, v.Str())
	case gatehouse.TypeInt64:
		return strconv.AppendInt(dst, v.Int64(), 10)
	case gatehouse.TypeBool:
		return strconv.AppendBool(dst, v.Bool())
	case gatehouse.TypeList:
		dst = append(dst, '[')
		for i, e := range v.List() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendTyped(dst, e)
		}
		return append(dst, ']')
	case gatehouse.TypeMap:
		return append(appendTypedMap(append(dst, `{"$map":`...), v.Map()), '}')
	case gatehouse.TypeUint64:
		dst = append(dst, `{"$uint64":`...)
	case gatehouse.TypeFloat64:
		dst = append(dst, `{"$float64":`...)
	case gatehouse.TypeTimestamp:
		dst = append(dst, `{"$timestamp":`...)
	case gatehouse.TypeBinary:
		dst = append(dst, `{"$binary":`...)
	case gatehouse.TypeUUID:
		dst = append(dst, `{"$uuid":`...)
	}
	return append(appendString(dst, Text(v)), '}')
}

// decodeTyped appends the attributes in an AttributesExtension.
func decodeTyped(dst []gatehouse.Attribute, text string) ([]gatehouse.Attribute, error) {
	data := trim([]byte(text))
	if check(data) != nil || data[0] != '{' {
		return dst, gatehouse.Errorf(gatehouse.Invalid, "CloudEvents attribute %q does not hold a JSON object", AttributesExtension)
	}
	return typedMap(dst, data, 0)
}

func typedMap(dst []gatehouse.Attribute, v []byte, depth int) ([]gatehouse.Attribute, error) {
	err := members(v, func(name, value []byte) error {
		decoded, err := typedValue(value, depth+1)
		if err != nil {
			return err
		}
		dst = append(dst, gatehouse.Attribute{Name: string(unquote(name)), Value: decoded})
		return nil
	})
	return dst, err
}

func typedValue(v []byte, depth int) (gatehouse.Value, error) {
	if depth > maxTypedDepth {
		return gatehouse.Value{}, gatehouse.Errorf(gatehouse.Invalid, "CloudEvents attribute %q nests more than %d deep", AttributesExtension, maxTypedDepth)
	}
	switch v[0] {
	case '[':
		var list []gatehouse.Value
		err := elements(v, func(_ int, e []byte) error {
			decoded, err := typedValue(e, depth+1)
			list = append(list, decoded)
			return err
		})
		return gatehouse.List(list...), err
	case '{':
		return tagged(v, depth)
	}
	return scalar(v), nil
}

// scalar returns the value of a JSON string, number, boolean or null. A number
// is an int64, a uint64 if it is too large for that, or else a float64.
func scalar(v []byte) gatehouse.Value {
	switch v[0] {
	case '"':
		return gatehouse.String(string(unquote(v)))
	case 't', 'f':
		return gatehouse.Bool(v[0] == 't')
	case 'n':
		return gatehouse.Value{}
	}
	text := string(v)
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return gatehouse.Int64(i)
	}
	if u, err := strconv.ParseUint(text, 10, 64); err == nil {
		return gatehouse.Uint64(u)
	}
	f, _ := strconv.ParseFloat(text, 64) // out of range gives infinity, as near as can be
	return gatehouse.Float64(f)
}

// tagged returns the value of an object that names its type.
func tagged(v []byte, depth int) (out gatehouse.Value, err error) {
	n := 0
	err = members(v, func(name, value []byte) error {
		if n++; n > 1 {
			return errTag(name)
		}
		tag := string(unquote(name))
		if tag == "$map" && value[0] == '{' {
			entries, err := typedMap(nil, value, depth)
			out = gatehouse.Map(entries...)
			return err
		}
		if value[0] != '"' {
			return errTag(name)
		}
		var ok bool
		if out, ok = parseTagged(tag, string(unquote(value))); !ok {
			return errTag(name)
		}
		return nil
	})
	if err == nil && n == 0 {
		err = errTag([]byte("{}"))
	}
	return out, err
}

func errTag(name []byte) error {
	return gatehouse.Errorf(gatehouse.Invalid, "CloudEvents attribute %q: %.64s is not one of $uint64, $float64, $timestamp, $binary, $uuid and $map with a fitting value", AttributesExtension, name)
}

func parseTagged(tag, text string) (gatehouse.Value, bool) {
	var err error
	var out gatehouse.Value
	switch tag {
	case "$uint64":
		var u uint64
		u, err = strconv.ParseUint(text, 10, 64)
		out = gatehouse.Uint64(u)
	case "$float64":
		var f float64
		f, err = strconv.ParseFloat(text, 64)
		out = gatehouse.Float64(f)
	case "$timestamp":
		var t time.Time
		t, err = time.Parse(time.RFC3339Nano, text)
		out = gatehouse.Timestamp(t)
	case "$binary":
		var b []byte
		b, err = base64.StdEncoding.DecodeString(text)
		out = gatehouse.Binary(b)
	case "$uuid":
		var u [16]byte
		if u, err = parseUUID(text); err == nil {
			out = gatehouse.UUID(u)
		}
	default:
		return out, false
	}
	return out, err == nil
}

func parseUUID(s string) (u [16]byte, err error) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return u, hex.InvalidByteError('-')
	}
	_, err = hex.Decode(u[:], []byte(strings.ReplaceAll(s, "-", "")))
	return u, err
}
