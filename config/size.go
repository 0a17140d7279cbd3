package config

import (
	"encoding/json"
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/gatehouse/gatehouse"

	"go.yaml.in/yaml/v3"
)

// A Size is a number of bytes, never negative. It is written as a number or as
// text: "1000", "64KB", "1.5MiB", "10 GiB". KB, MB, GB, TB, PB and EB are
// powers of 1000, KiB, MiB, GiB, TiB, PiB and EiB powers of 1024, B is bytes;
// case does not count. A fraction must come to whole bytes.
type Size int64

// A unit is a name for so many bytes.
type unit struct {
	name  string
	bytes uint64
}

// units returns the units, the greatest first. They all fit an int64.
func units() [13]unit {
	return [...]unit{
		{"EiB", 1 << 60},
		{"EB", 1e18},
		{"PiB", 1 << 50},
		{"PB", 1e15},
		{"TiB", 1 << 40},
		{"TB", 1e12},
		{"GiB", 1 << 30},
		{"GB", 1e9},
		{"MiB", 1 << 20},
		{"MB", 1e6},
		{"KiB", 1 << 10},
		{"KB", 1e3},
		{"B", 1},
	}
}

// ParseSize reads a size as text. The error is of kind Invalid and says what
// is wrong with it.
func ParseSize(text string) (Size, error) {
	number, name := splitNumber(text)
	if number == "" {
		return 0, sizeError(text, `it is not a size such as "64KiB", "10GiB" or "1000"`)
	}
	scale, ok := scaleOf(name)
	if !ok {
		return 0, sizeError(text, `the unit is none of B, KB, MB, GB, TB (powers of 1000) and KiB, MiB, GiB, TiB (powers of 1024)`)
	}
	whole, fraction, hasFraction := strings.Cut(number, ".")
	switch {
	case strings.Contains(fraction, "."):
		return 0, sizeError(text, "it has two points")
	case whole == "" || hasFraction && fraction == "":
		return 0, sizeError(text, "a digit is missing beside the point")
	}
	n, err := strconv.ParseUint(whole, 10, 64)
	if err != nil {
		return 0, sizeError(text, "it is greater than the greatest size, 8EiB less one byte")
	}
	part, ok := fractionOf(fraction, scale)
	if !ok {
		return 0, sizeError(text, "it is not a whole number of bytes")
	}
	high, low := bits.Mul64(n, scale)
	sum, carry := bits.Add64(low, part, 0)
	if high != 0 || carry != 0 || sum > math.MaxInt64 {
		return 0, sizeError(text, "it is greater than the greatest size, 8EiB less one byte")
	}
	return Size(sum), nil
}

func sizeError(text, why string) error {
	return gatehouse.Errorf(gatehouse.Invalid, "size %.60q: %s", text, why)
}

// splitNumber splits text into its leading digits and points and the unit,
// which one space may stand before.
func splitNumber(text string) (number, name string) {
	end := strings.IndexFunc(text, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end < 0 {
		return text, ""
	}
	name = strings.TrimPrefix(text[end:], " ")
	if name == "" { // a number and a space
		return "", ""
	}
	return text[:end], name
}

func scaleOf(name string) (uint64, bool) {
	if name == "" {
		return 1, true
	}
	for _, u := range units() {
		if strings.EqualFold(u.name, name) {
			return u.bytes, true
		}
	}
	return 0, false
}

// fractionOf returns 0.digits of scale, if that is whole.
func fractionOf(digits string, scale uint64) (uint64, bool) {
	digits = strings.TrimRight(digits, "0")
	if digits == "" {
		return 0, true
	}
	// More do not fit the arithmetic, nor a sane file.
	if len(digits) > 19 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0, false
	}
	power := uint64(1)
	for range len(digits) {
		power *= 10
	}
	high, low := bits.Mul64(n, scale)
	if high >= power { // cannot be: n < power
		return 0, false
	}
	part, rest := bits.Div64(high, low, power)
	return part, rest == 0
}

// String returns s in the greatest unit that it is a whole number of, and
// bytes without one: "10GiB", "64KB", "1001". ParseSize reads it back.
func (s Size) String() string {
	if s > 0 {
		for _, u := range units() {
			if u.bytes > 1 && uint64(s)%u.bytes == 0 {
				return strconv.FormatUint(uint64(s)/u.bytes, 10) + u.name
			}
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText returns String. It makes s a string in JSON.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is ParseSize. s keeps its value if text is wrong.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := ParseSize(string(text))
	if err == nil {
		*s = n
	}
	return err
}

// UnmarshalJSON takes a string or a number; null changes nothing.
func (s *Size) UnmarshalJSON(data []byte) error {
	text, ok, err := scalarJSON(data, "a size is a number of bytes or a text such as \"10GiB\"")
	if err != nil || !ok {
		return err
	}
	return s.UnmarshalText([]byte(text))
}

// MarshalYAML returns a number if s needs no unit, else a text.
func (s Size) MarshalYAML() (any, error) {
	text := s.String()
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	return text, nil
}

// UnmarshalYAML takes a text or a number.
func (s *Size) UnmarshalYAML(node *yaml.Node) error {
	text, err := scalarYAML(node, "a size is a number of bytes or a text such as 10GiB")
	if err != nil {
		return err
	}
	return atLine(node, s.UnmarshalText([]byte(text)))
}

// scalarJSON returns the text of a JSON string or number; ok is false for
// null. what says what was expected instead of anything else.
func scalarJSON(data []byte, what string) (text string, ok bool, err error) {
	if len(data) == 0 {
		return "", false, gatehouse.Errorf(gatehouse.Invalid, "%s", what)
	}
	switch c := data[0]; {
	case c == 'n':
		return "", false, nil
	case c == '"':
		if err := json.Unmarshal(data, &text); err != nil {
			return "", false, err
		}
		return text, true, nil
	case c == '-' || '0' <= c && c <= '9':
		return string(data), true, nil
	}
	return "", false, gatehouse.Errorf(gatehouse.Invalid, "%s, and not %.20s", what, data)
}

// scalarYAML returns the text of a YAML string or number.
func scalarYAML(node *yaml.Node, what string) (string, error) {
	if node.Kind == yaml.ScalarNode {
		switch node.ShortTag() {
		case "!!str", "!!int", "!!float":
			return node.Value, nil
		}
	}
	return "", atLine(node, gatehouse.Errorf(gatehouse.Invalid, "%s", what))
}

// atLine puts the line before err, in the form in which a YAML decoder
// gathers errors and goes on.
func atLine(node *yaml.Node, err error) error {
	if err == nil {
		return nil
	}
	return &yaml.TypeError{Errors: []string{"line " + strconv.Itoa(node.Line) + ": " + err.Error()}}
}
