package httpapi

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/cloudevents"
)

// Custom properties travel as headers the way Azure writes them: strings in
// double quotes, numbers, booleans and null bare. Inside the quotes the rules
// are those of JSON, and all that is not ASCII is escaped, so that any text
// fits into a header.

// formatProperty returns v as a header's value. Lists and maps come as the
// JSON text of cloudevents.AttributesExtension; timestamps, binary (base64)
// and UUIDs as strings.
func formatProperty(v gatehouse.Value) string {
	switch v.Type() {
	case gatehouse.TypeInt64, gatehouse.TypeUint64, gatehouse.TypeBool:
		return v.Text()
	case gatehouse.TypeNull:
		return "null"
	case gatehouse.TypeFloat64:
		text := v.Text()
		if strings.ContainsAny(text, "NI") { // NaN and infinities are no numbers here
			return `"` + text + `"`
		}
		if !strings.ContainsAny(text, ".e") {
			text += ".0" // stays a float on the way back
		}
		return text
	case gatehouse.TypeList, gatehouse.TypeMap:
		return string(asciiOnly(cloudevents.Text(v)))
	}
	return string(appendQuoted(nil, cloudevents.Text(v)))
}

// parseProperty is the inverse of formatProperty, as far as the text tells the
// type: what is neither quoted nor a number, a boolean or null is a string.
func parseProperty(s string) gatehouse.Value {
	switch {
	case s == "":
		return gatehouse.String(s)
	case s[0] == '"':
		if text, ok := unquoteJSON(s); ok {
			return gatehouse.String(text)
		}
	case s == "true" || s == "false":
		return gatehouse.Bool(s == "true")
	case s == "null":
		return gatehouse.Value{}
	case s[0] == '-' || '0' <= s[0] && s[0] <= '9':
		if v, ok := parseNumber(s); ok {
			return v
		}
	}
	return gatehouse.String(strings.ToValidUTF8(s, "\uFFFD"))
}

// unquoteJSON reads a JSON string that is the whole of s.
func unquoteJSON(s string) (text string, ok bool) {
	if len(s) >= 2 && s[len(s)-1] == '"' && strings.IndexByte(s, '\\') < 0 && strings.Count(s, `"`) == 2 && utf8.ValidString(s) {
		return s[1 : len(s)-1], true
	}
	err := json.Unmarshal([]byte(s), &text)
	return text, err == nil
}

// parseNumber reads a JSON number: "007" and "1.2.3" are none. An integer that
// no integer type holds is left a string, for no digit to be lost.
func parseNumber(s string) (gatehouse.Value, bool) {
	if !json.Valid([]byte(s)) {
		return gatehouse.Value{}, false
	}
	if !strings.ContainsAny(s, ".eE") {
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			return gatehouse.Int64(i), true
		}
		u, err := strconv.ParseUint(s, 10, 64)
		return gatehouse.Uint64(u), err == nil
	}
	f, err := strconv.ParseFloat(s, 64)
	return gatehouse.Float64(f), err == nil
}

const lowerHex = "0123456789abcdef"

// appendQuoted appends s as a JSON string of ASCII characters only. Bytes that
// are not UTF-8 become U+FFFD.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
			i++
		case c >= ' ' && c < 0x7f:
			dst = append(dst, c)
			i++
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			dst = appendEscaped(dst, r)
			i += n
		}
	}
	return append(dst, '"')
}

func appendEscaped(dst []byte, r rune) []byte {
	if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
		return appendEscaped(appendEscaped(dst, high), low)
	}
	return append(dst, '\\', 'u', lowerHex[r>>12&15], lowerHex[r>>8&15], lowerHex[r>>4&15], lowerHex[r&15])
}

// asciiOnly escapes what is not ASCII in JSON text. It can only be inside
// strings.
func asciiOnly(text string) []byte {
	dst := make([]byte, 0, len(text))
	for _, r := range text {
		if r < 0x7f {
			dst = append(dst, byte(r))
		} else {
			dst = appendEscaped(dst, r)
		}
	}
	return dst
}
