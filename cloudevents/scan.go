package cloudevents

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse"
)

// The functions here walk JSON text that json.Valid has accepted. Walking it
// keeps the order of members and the bytes of values, and sees duplicate
// names, none of which decoding into a map does.

// check reports whether data is JSON in UTF-8.
func check(data []byte) error {
	if !utf8.Valid(data) {
		return gatehouse.Errorf(gatehouse.Invalid, "the JSON text is not UTF-8")
	}
	if json.Valid(data) {
		return nil
	}
	var whole json.RawMessage
	err := json.Unmarshal(data, &whole)            // for where and why
	if syntax, ok := err.(*json.SyntaxError); ok { //nolint:errorlint // returned as it is
		return gatehouse.Errorf(gatehouse.Invalid, "the JSON text is malformed at byte %d: %v", syntax.Offset, err)
	}
	return gatehouse.Errorf(gatehouse.Invalid, "the JSON text is malformed")
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

func trim(data []byte) []byte {
	for len(data) > 0 && isSpace(data[0]) {
		data = data[1:]
	}
	for len(data) > 0 && isSpace(data[len(data)-1]) {
		data = data[:len(data)-1]
	}
	return data
}

// value splits valid JSON text after its first value; both parts are trimmed.
func value(data []byte) (v, rest []byte) {
	data = trim(data)
	end := 0
	switch data[0] {
	case '"':
		end = stringEnd(data)
	case '{', '[':
		end = nestedEnd(data)
	default:
		for end < len(data) && !isSpace(data[end]) && data[end] != ',' && data[end] != '}' && data[end] != ']' && data[end] != ':' {
			end++
		}
	}
	return data[:end], trim(data[end:])
}

// stringEnd returns where the string that data starts with ends.
func stringEnd(data []byte) int {
	for i := 1; ; i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// nestedEnd returns where the object or array that data starts with ends.
func nestedEnd(data []byte) int {
	depth := 0
	for i := 0; ; i++ {
		switch data[i] {
		case '"':
			i += stringEnd(data[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
}

// members calls visit with each member of the object v, in order. name is
// still quoted.
func members(v []byte, visit func(name, value []byte) error) error {
	rest := trim(v[1 : len(v)-1])
	for len(rest) > 0 {
		var name, val []byte
		name, rest = value(rest)
		val, rest = value(rest[1:]) // behind the colon
		if err := visit(name, val); err != nil {
			return err
		}
		if len(rest) > 0 {
			rest = trim(rest[1:]) // behind the comma
		}
	}
	return nil
}

// elements calls visit with each element of the array v, in order.
func elements(v []byte, visit func(i int, value []byte) error) error {
	rest := trim(v[1 : len(v)-1])
	for i := 0; len(rest) > 0; i++ {
		var val []byte
		val, rest = value(rest)
		if err := visit(i, val); err != nil {
			return err
		}
		if len(rest) > 0 {
			rest = trim(rest[1:])
		}
	}
	return nil
}

// unquote returns the text of a JSON string. Without escapes it aliases v.
func unquote(v []byte) []byte {
	inner := v[1 : len(v)-1]
	for _, c := range inner {
		if c == '\\' {
			var s string
			if json.Unmarshal(v, &s) != nil { // cannot be: v is valid
				return nil
			}
			return []byte(s)
		}
	}
	return inner
}

// appendString appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[start:i]...), "\uFFFD"...)
				start = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = appendEscape(dst, c)
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', upperHex[c>>4], upperHex[c&15])
}
