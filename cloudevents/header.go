package cloudevents

import (
	"strings"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse"
)

const upperHex = "0123456789ABCDEF"

// EncodeHeader returns s as the value of an HTTP header, by section 3.1.3.2 of
// the CloudEvents HTTP binding: spaces, double quotes, percent signs and all
// that is not printable ASCII are percent-encoded as UTF-8. Most values come
// back as they are, without allocation.
func EncodeHeader(s string) string {
	n := 0
	for i := range len(s) {
		if mustEncode(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	dst := make([]byte, 0, len(s)+2*n)
	for i := range len(s) {
		if c := s[i]; mustEncode(c) {
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return string(dst)
}

func mustEncode(c byte) bool { return c <= ' ' || c == '"' || c == '%' || c >= 0x7f }

// DecodeHeader is the inverse of EncodeHeader. As the binding demands, it also
// takes double-quoted values with backslash escapes and values encoded more
// than needed, decodes once, and refuses (Invalid) what is not UTF-8 then. A
// percent sign that starts no encoded byte stands for itself.
func DecodeHeader(s string) (string, error) {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = unescape(s[1 : len(s)-1])
	}
	if strings.IndexByte(s, '%') >= 0 {
		s = percentDecode(s)
	}
	if !utf8.ValidString(s) {
		return "", gatehouse.Errorf(gatehouse.Invalid, "a CloudEvents header's value is not UTF-8 once its percent-encoding is decoded")
	}
	return s, nil
}

// unescape removes the backslashes of a quoted string.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	dst := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		dst = append(dst, s[i])
	}
	return string(dst)
}

func percentDecode(s string) string {
	dst := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi < 16 && lo < 16 {
				dst = append(dst, hi<<4|lo)
				i += 2
				continue
			}
		}
		dst = append(dst, s[i])
	}
	return string(dst)
}

// unhex returns the value of a hexadecimal digit, or 16.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}
