package rule

import (
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse"
)

// Limits of labels.
const (
	MaxLabels     = 64  // of one endpoint or channel
	MaxLabelKey   = 128 // bytes
	MaxLabelValue = 256 // bytes
)

// A Label is a key and a value that an administrator gives an endpoint.
type Label struct{ Key, Value string }

// Labels are sorted by key, each key once. They are immutable and may be
// shared; the nil Labels are none.
type Labels []Label

// MakeLabels returns m as Labels. Keys are [A-Za-z0-9][A-Za-z0-9._/-]{0,127};
// values are any text of up to 256 bytes without control characters, and may
// be empty. The error is of kind Invalid and names the label.
func MakeLabels(m map[string]string) (Labels, error) {
	if len(m) == 0 {
		return nil, nil
	}
	if len(m) > MaxLabels {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "there are %d labels; at most %d are allowed", len(m), MaxLabels)
	}
	l := make(Labels, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if why := checkKey(key); why != "" {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "label key %.140q: %s", key, why)
		}
		if why := checkValue(m[key]); why != "" {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "label %q: value %.260q: %s", key, m[key], why)
		}
		l = append(l, Label{key, m[key]})
	}
	return l, nil
}

func isKeyByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("._/-", c) >= 0
}

// checkKey says what is wrong with a label key, and nothing if it is right.
func checkKey(key string) string {
	switch {
	case key == "":
		return "it is empty"
	case len(key) > MaxLabelKey:
		return "it is longer than 128 characters"
	case strings.IndexByte("._/-", key[0]) >= 0:
		return "it must start with a letter or digit"
	}
	for i := range len(key) {
		if !isKeyByte(key[i]) {
			return "it may have letters, digits and . _ / - only"
		}
	}
	return ""
}

// checkValue says what is wrong with a label value, and nothing if it is right.
func checkValue(value string) string {
	switch {
	case len(value) > MaxLabelValue:
		return "it is longer than 256 bytes"
	case !utf8.ValidString(value):
		return "it is not valid UTF-8"
	case strings.ContainsFunc(value, unicode.IsControl):
		return "it has control characters"
	}
	return ""
}

// Get returns the value of the label called key.
func (l Labels) Get(key string) (value string, ok bool) {
	low, high := 0, len(l)
	for low < high {
		mid := int(uint(low+high) / 2)
		if l[mid].Key < key {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low < len(l) && l[low].Key == key {
		return l[low].Value, true
	}
	return "", false
}

// Map returns the labels as a new map; nil if there are none.
func (l Labels) Map() map[string]string {
	if len(l) == 0 {
		return nil
	}
	m := make(map[string]string, len(l))
	for _, label := range l {
		m[label.Key] = label.Value
	}
	return m
}
