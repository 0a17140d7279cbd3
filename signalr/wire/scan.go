package wire

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

var (
	errShort = fmt.Errorf("%w: it ends too early", ErrValue)
	errDeep  = fmt.Errorf("%w: nested more than %d deep", ErrValue, MaxDepth)
	errUTF8  = fmt.Errorf("%w: a string is not UTF-8", ErrValue)
)

// unexpected is the error for a byte that JSON does not have there.
func unexpected(b []byte, i int) error {
	if i >= len(b) {
		return errShort
	}
	return fmt.Errorf("%w: unexpected %q at byte %d of the JSON text", ErrValue, b[i], i)
}

// space returns the index of the first byte from i on that is not white space.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// skipJSON returns the index behind the value that begins at i, white space
// before it allowed. It checks the grammar (RFC 8259), not the encoding.
func skipJSON(b []byte, i, depth int) (int, error) {
	if i = space(b, i); i >= len(b) {
		return i, errShort
	}
	switch c := b[i]; {
	case c == '{' || c == '[':
		if depth >= MaxDepth {
			return i, errDeep
		}
		return eachJSON(b, i, depth, nil)
	case c == '"':
		return skipString(b, i)
	case c == '-' || c >= '0' && c <= '9':
		return skipNumber(b, i)
	}
	for _, word := range [...]string{"null", "true", "false"} {
		if bytes.HasPrefix(b[i:], []byte(word)) {
			return i + len(word), nil
		}
	}
	return i, unexpected(b, i)
}

// eachJSON calls f, if there is one, for each member or element of the object or
// array that begins at b[i], and returns the index behind it. Key is the raw
// string of a member, quotes included.
func eachJSON(b []byte, i, depth int, f func(key, value []byte) error) (int, error) {
	object := b[i] == '{'
	closing := b[i] + 2 // of both
	i = space(b, i+1)
	if i < len(b) && b[i] == closing {
		return i + 1, nil
	}
	for {
		var key []byte
		var err error
		if object {
			if key, i, err = memberKey(b, i); err != nil {
				return i, err
			}
		}
		start := space(b, i)
		if i, err = skipJSON(b, start, depth+1); err != nil {
			return i, err
		}
		if f != nil {
			if err := f(key, b[start:i]); err != nil {
				return i, err
			}
		}
		switch i = space(b, i); {
		case i < len(b) && b[i] == closing:
			return i + 1, nil
		case i < len(b) && b[i] == ',':
			i = space(b, i+1)
		default:
			return i, unexpected(b, i)
		}
	}
}

// memberKey reads a key and the colon behind it.
func memberKey(b []byte, i int) (key []byte, next int, err error) {
	if i >= len(b) || b[i] != '"' {
		return nil, i, unexpected(b, i)
	}
	end, err := skipString(b, i)
	if err != nil {
		return nil, end, err
	}
	key = b[i:end]
	if i = space(b, end); i >= len(b) || b[i] != ':' {
		return nil, i, unexpected(b, i)
	}
	return key, i + 1, nil
}

// skipString returns the index behind the string whose quote is at b[i].
func skipString(b []byte, i int) (int, error) {
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1, nil
		case c < ' ':
			return i, unexpected(b, i)
		case c == '\\':
			i++
			if i >= len(b) {
				return i, errShort
			}
			if b[i] != 'u' {
				if bytes.IndexByte([]byte(`"\/bfnrt`), b[i]) < 0 {
					return i, unexpected(b, i)
				}
				continue
			}
			if _, ok := hex4(b, i+1); !ok {
				return i, unexpected(b, i)
			}
			i += 4
		}
	}
	return i, errShort
}

// hex4 reads four hexadecimal digits.
func hex4(b []byte, i int) (rune, bool) {
	if len(b) < i+4 {
		return 0, false
	}
	var r rune
	for _, c := range b[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// digits returns the index behind the digits at i, of which there must be one.
func digits(b []byte, i int) (int, error) {
	start := i
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	if i == start {
		return i, unexpected(b, i)
	}
	return i, nil
}

// skipNumber returns the index behind the number at i.
func skipNumber(b []byte, i int) (end int, err error) {
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if i, err = digits(b, i); err != nil {
		return i, err
	}
	if i < len(b) && b[i] == '.' {
		if i, err = digits(b, i+1); err != nil {
			return i, err
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return digits(b, i)
	}
	return i, nil
}

// unquote returns the text of a JSON string, quotes included, whose grammar has
// been checked. Half a surrogate pair becomes the replacement character, as it
// does elsewhere in Go.
func unquote(quoted []byte) (string, error) {
	inner := quoted[1 : len(quoted)-1]
	if !utf8.Valid(inner) {
		return "", errUTF8
	}
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), nil
	}
	out := make([]byte, 0, len(inner))
	for i := 0; i < len(inner); i++ {
		if inner[i] != '\\' {
			out = append(out, inner[i])
			continue
		}
		i++
		if inner[i] != 'u' {
			out = append(out, escaped(inner[i]))
			continue
		}
		r, _ := hex4(inner, i+1)
		i += 4
		if utf16.IsSurrogate(r) {
			var low rune
			if i+6 < len(inner) && inner[i+1] == '\\' && inner[i+2] == 'u' {
				low, _ = hex4(inner, i+3)
			}
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				i += 6
			}
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out), nil
}

// escaped returns what stands for a backslash and c.
func escaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// appendQuoted appends s, which must be UTF-8, as a JSON string.
func appendQuoted(to []byte, s string) []byte {
	const hex = "0123456789abcdef"
	to = append(to, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		to = append(to, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			to = append(to, '\\', c)
		case '\n':
			to = append(to, '\\', 'n')
		case '\r':
			to = append(to, '\\', 'r')
		case '\t':
			to = append(to, '\\', 't')
		default:
			to = append(to, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(to, s[from:]...), '"')
}

// wholeJSON checks that b is one JSON value in UTF-8, and cuts off white space.
func wholeJSON(b []byte) ([]byte, error) {
	start := space(b, 0)
	end, err := skipJSON(b, start, 0)
	if err != nil {
		return nil, err
	}
	if i := space(b, end); i < len(b) {
		return nil, unexpected(b, i)
	}
	if !utf8.Valid(b) {
		return nil, errUTF8
	}
	return b[start:end], nil
}

// number is what a JSON number is in MessagePack.
type number struct {
	kind   byte // i, u or f
	signed int64
	plain  uint64
	float  float64
}

// parseNumber reads a JSON number whose grammar has been checked.
func parseNumber(text []byte) (number, error) {
	if !bytes.ContainsAny(text, ".eE") {
		if n, err := strconv.ParseInt(string(text), 10, 64); err == nil && string(text) != "-0" {
			return number{kind: 'i', signed: n}, nil
		}
		if n, err := strconv.ParseUint(string(text), 10, 64); err == nil {
			return number{kind: 'u', plain: n}, nil
		}
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if errors.Is(err, strconv.ErrRange) && f != 0 {
		return number{}, fmt.Errorf("%w: the number %.20s is too large", ErrValue, text)
	}
	return number{kind: 'f', float: f}, nil
}
