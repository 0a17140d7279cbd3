package mqtt

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// MaxText is the greatest length of a string or of binary data, in bytes.
const MaxText = 65535

// validText reports whether b is a string of MQTT: UTF-8 without surrogates and
// without the character 0 (section 1.5.4).
func validText(b []byte) bool { return utf8.Valid(b) && bytes.IndexByte(b, 0) < 0 }

// validTopic reports whether t, which is valid text, is a topic name: not empty,
// without wildcards (section 4.7). In MQTT 5 it may be empty, if an alias stands
// for it.
func validTopic(t []byte) bool { return bytes.IndexByte(t, '+') < 0 && bytes.IndexByte(t, '#') < 0 }

// ValidTopic reports whether s can be the topic of a PUBLISH (section 4.7).
func ValidTopic(s string) bool {
	return s != "" && len(s) <= MaxText && utf8.ValidString(s) && !strings.ContainsAny(s, "+#\x00")
}

// sharePrefix begins the filter of a shared subscription (section 4.8.2).
const sharePrefix = "$share/"

// ValidFilter reports whether s, which is valid text, is a topic filter
// (section 4.7.1).
func ValidFilter(s string) bool {
	if s == "" || len(s) > MaxText {
		return false
	}
	if rest, ok := strings.CutPrefix(s, sharePrefix); ok {
		group, filter, ok := strings.Cut(rest, "/")
		return ok && group != "" && !strings.ContainsAny(group, "+#") && filter != "" && validLevels(filter)
	}
	return validLevels(s)
}

// validLevels reports whether wildcards fill a level each, "#" the last.
func validLevels(s string) bool {
	for {
		level, rest, more := strings.Cut(s, "/")
		if len(level) > 1 && strings.ContainsAny(level, "+#") || level == "#" && more {
			return false
		}
		if !more {
			return true
		}
		s = rest
	}
}
