package config

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"

	"go.yaml.in/yaml/v3"
)

// A Duration is a length of time, never negative. It is written as Go writes
// them, "90s", "1h30m", "250ms", with d for days of 24 hours and w for weeks
// of 7 days besides: "7d", "1w2d", "1d12h". Only 0 needs no unit.
type Duration time.Duration

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// ParseDuration reads a duration as text. The error is of kind Invalid and
// says what is wrong with it.
func ParseDuration(text string) (Duration, error) {
	switch {
	case text == "0":
		return 0, nil
	case text == "":
		return 0, durationError(text, `it is not a duration such as "90s", "24h" or "7d"`)
	case text[0] == '-':
		return 0, durationError(text, "it is negative")
	}
	var sum time.Duration
	for rest := text; rest != ""; {
		number, name, tail := splitPart(rest)
		if number == "" {
			return 0, durationError(text, `it is not a duration such as "90s", "24h" or "7d"`)
		}
		d, why := partOf(number, name)
		if why != "" {
			return 0, durationError(text, why)
		}
		if d > math.MaxInt64-sum {
			return 0, durationError(text, tooLong)
		}
		sum += d
		rest = tail
	}
	return Duration(sum), nil
}

const tooLong = "it is longer than the longest duration, some 292 years"

func durationError(text, why string) error {
	return gatehouse.Errorf(gatehouse.Invalid, "duration %.60q: %s", text, why)
}

// splitPart splits off the first number and its unit.
func splitPart(text string) (number, name, tail string) {
	isNumber := func(r rune) bool { return r == '.' || '0' <= r && r <= '9' }
	end := strings.IndexFunc(text, func(r rune) bool { return !isNumber(r) })
	if end < 0 {
		return text, "", ""
	}
	number, name = text[:end], text[end:]
	if next := strings.IndexFunc(name, isNumber); next >= 0 {
		name, tail = name[:next], name[next:]
	}
	return number, name, tail
}

// partOf returns the length of one number with its unit, or why there is none.
func partOf(number, name string) (d time.Duration, why string) {
	scale := time.Duration(1)
	switch name {
	case "":
		return 0, `a unit is missing: ns, us, ms, s, m, h, d or w`
	case "d":
		scale, name = 24, "h"
	case "w":
		scale, name = 7*24, "h"
	case "ns", "us", "µs", "μs", "ms", "s", "m", "h":
	default:
		return 0, "unit " + strconv.Quote(name) + " is none of ns, us, ms, s, m, h, d and w"
	}
	d, err := time.ParseDuration(number + name)
	switch {
	case err != nil && strings.Trim(number, "0123456789") == "":
		return 0, tooLong
	case err != nil:
		return 0, strconv.Quote(number) + " is not a number, or too great"
	case d > math.MaxInt64/scale:
		return 0, tooLong
	}
	return d * scale, ""
}

// String returns d without units that are zero: whole days as "7d", all else
// as Go writes it, "36h", "1m30s". ParseDuration reads it back.
func (d Duration) String() string {
	if d > 0 && time.Duration(d)%day == 0 {
		return strconv.FormatInt(int64(d)/int64(day), 10) + "d"
	}
	text := time.Duration(d).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// MarshalText returns String. It makes d a string in JSON and YAML.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is ParseDuration. d keeps its value if text is wrong.
func (d *Duration) UnmarshalText(text []byte) error {
	n, err := ParseDuration(string(text))
	if err == nil {
		*d = n
	}
	return err
}

// UnmarshalJSON takes a string, or the number 0; null changes nothing.
func (d *Duration) UnmarshalJSON(data []byte) error {
	text, ok, err := scalarJSON(data, "a duration is a text such as \"24h\"")
	if err != nil || !ok {
		return err
	}
	return d.UnmarshalText([]byte(text))
}

// UnmarshalYAML takes a text, or the number 0.
func (d *Duration) UnmarshalYAML(node *yaml.Node) error {
	text, err := scalarYAML(node, "a duration is a text such as 24h")
	if err != nil {
		return err
	}
	return atLine(node, d.UnmarshalText([]byte(text)))
}
