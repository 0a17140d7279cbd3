package sas

import (
	"errors"
	"strings"
)

const upperHex = "0123456789ABCDEF"

// errEscape says what is wrong with a percent-encoded text.
var errEscape = errors.New(`a "%" that is not followed by two hexadecimal digits`)

// unescape decodes %XX, and "+" to a space if plus is set. It allocates only
// if there is something to decode.
func unescape(s string, plus bool) (string, error) {
	first := strings.IndexByte(s, '%')
	if p := strings.IndexByte(s, '+'); plus && p >= 0 && (first < 0 || p < first) {
		first = p
	}
	if first < 0 {
		return s, nil
	}
	b := make([]byte, first, len(s))
	copy(b, s)
	for i := first; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%':
			if i+2 >= len(s) {
				return "", errEscape
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi > 15 || lo > 15 {
				return "", errEscape
			}
			b = append(b, hi<<4|lo)
			i += 2
		case c == '+' && plus:
			b = append(b, ' ')
		default:
			b = append(b, c)
		}
	}
	return string(b), nil
}

// escape is encodeURIComponent, as the JavaScript SDKs use it.
func escape(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 16)
	for i := range len(s) {
		if c := s[i]; unreserved(c) || strings.IndexByte("!*'()", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String()
}

func unreserved(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c == '-' || c == '_' || c == '.' || c == '~'
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
