package config

import (
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

func TestParseSize(t *testing.T) {
	t.Parallel()
	tests := map[string]Size{
		"0":                   0,
		"1000":                1000,
		"007":                 7,
		"1B":                  1,
		"1 b":                 1,
		"64KB":                64_000,
		"64kb":                64_000,
		"64KiB":               65_536,
		"64 kib":              65_536,
		"1.5MiB":              1_572_864,
		"1.5 MB":              1_500_000,
		"1.50MB":              1_500_000,
		"1.0":                 1,
		"0.25KiB":             256,
		"10GiB":               10 << 30,
		"10GB":                10_000_000_000,
		"2TiB":                2 << 40,
		"3TB":                 3_000_000_000_000,
		"1PiB":                1 << 50,
		"1PB":                 1e15,
		"7EiB":                7 << 60,
		"9EB":                 9e18,
		"0.0009765625KiB":     1,
		"9223372036854775807": math.MaxInt64,
		"7.999999999EB":       7_999_999_999_000_000_000,
	}
	for text, want := range tests {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
}

func TestWrongSizes(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"":                      "not a size such as",
		" ":                     "not a size such as",
		"1 ":                    "not a size such as",
		" 1":                    "not a size such as",
		"-1":                    "not a size such as",
		"+1":                    "not a size such as",
		"GiB":                   "not a size such as",
		"10G":                   "the unit is none of",
		"10Gi":                  "the unit is none of",
		"10  GiB":               "the unit is none of",
		"10GiB ":                "the unit is none of",
		"1e3":                   "the unit is none of",
		"0x10":                  "the unit is none of",
		"1_000":                 "the unit is none of",
		"1,5MiB":                "the unit is none of",
		"10 bytes":              "the unit is none of",
		".":                     "a digit is missing",
		".5MiB":                 "a digit is missing",
		"1.":                    "a digit is missing",
		"1.MiB":                 "a digit is missing",
		"1.2.3":                 "two points",
		"1.5":                   "whole number of bytes",
		"1.1KiB":                "whole number of bytes",
		"0.0001KB":              "whole number of bytes",
		"1.00000000000000001KB": "whole number of bytes",
		"1.000000000000000000000000000000000001KB": "whole number of bytes",
		"9223372036854775808":                      "greater than the greatest",
		"99999999999999999999999":                  "greater than the greatest",
		"8EiB":                                     "greater than the greatest",
		"16EiB":                                    "greater than the greatest",
		"17EiB":                                    "greater than the greatest",
		"9.3EB":                                    "greater than the greatest",
	}
	for text, want := range tests {
		s := Size(42)
		err := s.UnmarshalText([]byte(text))
		if gatehouse.KindOf(err) != gatehouse.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want one that says %q", text, err, want)
		}
		if s != 42 {
			t.Errorf("%q: the size has become %d", text, s)
		}
	}
	if err := (*Size)(new(Size)).UnmarshalText([]byte(strings.Repeat("9", 10_000))); len(err.Error()) > 300 {
		t.Errorf("the error is %d bytes long", len(err.Error()))
	}
}

func TestSizeString(t *testing.T) {
	t.Parallel()
	for s, want := range map[Size]string{
		0: "0", 1: "1", 999: "999", 1000: "1KB", 1001: "1001", 1024: "1KiB", 64_000: "64KB", 65_536: "64KiB", 1_572_864: "1536KiB",
		1_500_000: "1500KB", 10 << 30: "10GiB", 1e15: "1PB", math.MaxInt64: "9223372036854775807", -1024: "-1024",
	} {
		if got := s.String(); got != want {
			t.Errorf("%d: got %s, want %s", int64(s), got, want)
		}
	}
}

// A holder has a value of each type, as files and the API do.
type holder struct {
	Size     Size     `json:"size,omitempty" yaml:"size,omitempty"`
	Duration Duration `json:"duration,omitempty" yaml:"duration,omitempty"`
}

func TestValuesInJSON(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]holder{
		`{}`:                                   {},
		`{"size":null,"duration":null}`:        {},
		`{"size":0,"duration":0}`:              {},
		`{"size":1000,"duration":"7d"}`:        {1000, Duration(7 * day)},
		`{"size":"10GiB","duration":"1h30m"}`:  {10 << 30, Duration(90 * 60e9)},
		`{"size":"\u0031KB","duration":"10s"}`: {1000, 10e9},
	} {
		var got holder
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		`{"size":1.5}`:        "whole number",
		`{"size":1e3}`:        "unit is none of",
		`{"size":-1}`:         "not a size",
		`{"size":true}`:       "a size is a number of bytes",
		`{"size":["1"]}`:      "a size is a number of bytes",
		`{"size":{}}`:         "a size is a number of bytes",
		`{"duration":90}`:     "a unit is missing",
		`{"duration":-1}`:     "negative",
		`{"duration":"-1s"}`:  "negative",
		`{"duration":true}`:   "a duration is a text",
		`{"duration":["1s"]}`: "a duration is a text",
	} {
		var got holder
		err := json.Unmarshal([]byte(text), &got)
		if gatehouse.KindOf(err) != gatehouse.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want one that says %q", text, err, want)
		}
	}
	if got, err := json.Marshal(holder{}); err != nil || string(got) != `{}` {
		t.Errorf("nothing is written as %s, %v", got, err)
	}
	if got, err := json.Marshal(holder{10 << 30, Duration(week)}); err != nil || string(got) != `{"size":"10GiB","duration":"7d"}` {
		t.Errorf("written as %s, %v", got, err)
	}
}

func TestValuesInYAML(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]holder{
		"{}":                                  {},
		"size: null\nduration: ~":             {},
		"size: 0\nduration: 0":                {},
		"size: 1000\nduration: 7d":            {1000, Duration(7 * day)},
		"size: \"1000\"\nduration: '90s'":     {1000, 90e9},
		"size: 10GiB\nduration: 1w2d12h":      {10 << 30, Duration(week + 2*day + day/2)},
		"size: &s 1.5 MiB\nduration: 1.5h":    {1_572_864, Duration(90 * 60e9)},
		"{size: !!str 64KB, duration: 250ms}": {64_000, 250e6},
	} {
		var got holder
		if err := yaml.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string][]string{
		"a: 1\nsize: 10G":        {"line 2: ", "unit is none of"},
		"size: true":             {"line 1: ", "a size is a number"},
		"size: [1]":              {"line 1: ", "a size is a number"},
		"size:\n  a: 1":          {"line 2: ", "a size is a number"},
		"size: 0x10":             {"line 1: ", "unit is none of"},
		"size: 2026-01-01":       {"line 1: ", "a size is a number"},
		"duration: 90":           {"line 1: ", "a unit is missing"},
		"duration: yes":          {"line 1: ", "not a duration"},
		"size: x\nduration: 1.5": {"line 1: ", "line 2: ", "a unit is missing"},
	} {
		var got holder
		err := yaml.Unmarshal([]byte(text), &got)
		for _, part := range want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want one that says %q", text, err, part)
			}
		}
	}
	for _, tt := range []struct {
		v    holder
		want string
	}{
		{holder{}, "{}\n"},
		{holder{10 << 30, Duration(week)}, "size: 10GiB\nduration: 7d\n"},
		{holder{1001, 90e9}, "size: 1001\nduration: 1m30s\n"},
	} {
		if got, err := yaml.Marshal(tt.v); err != nil || string(got) != tt.want {
			t.Errorf("%+v is written as %q, %v, want %q", tt.v, got, err, tt.want)
		}
	}
}

// What is written is read back the same, in every format.
func TestValuesRoundTrip(t *testing.T) {
	t.Parallel()
	scale := rapid.SampledFrom([]int64{1, 1000, 1024, 1e6, 1 << 20, 1e9, 1 << 30, 3600e9, 24 * 3600e9, 7 * 24 * 3600e9})
	number := rapid.Custom(func(t *rapid.T) int64 {
		by := scale.Draw(t, "scale")
		return rapid.Int64Range(0, math.MaxInt64/by).Draw(t, "number") * by
	})
	rapid.Check(t, func(t *rapid.T) {
		want := holder{Size(number.Draw(t, "size")), Duration(number.Draw(t, "duration"))}
		var fromJSON, fromYAML holder
		data, err := json.Marshal(want)
		if err == nil {
			err = json.Unmarshal(data, &fromJSON)
		}
		if err != nil || fromJSON != want {
			t.Fatalf("JSON %s: got %+v, %v, want %+v", data, fromJSON, err, want)
		}
		if data, err = yaml.Marshal(want); err == nil {
			err = yaml.Unmarshal(data, &fromYAML)
		}
		if err != nil || fromYAML != want {
			t.Fatalf("YAML %s: got %+v, %v, want %+v", data, fromYAML, err, want)
		}
	})
}

// Sizes agree with exact fractions.
func TestParseSizeProperty(t *testing.T) {
	t.Parallel()
	names := []string{""}
	scales := map[string]uint64{"": 1}
	for _, u := range units() {
		names = append(names, u.name)
		scales[u.name] = u.bytes
	}
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.StringMatching(`[0-9]{1,20}(\.[0-9]{1,19})?`).Draw(t, "number")
		name := rapid.SampledFrom(names).Draw(t, "unit")
		want, ok := new(big.Rat).SetString(number)
		if !ok {
			t.Fatalf("%q is not a fraction", number)
		}
		want.Mul(want, new(big.Rat).SetInt(new(big.Int).SetUint64(scales[name])))
		valid := want.IsInt() && want.Num().IsInt64()
		got, err := ParseSize(number + name)
		if valid != (err == nil) || valid && int64(got) != want.Num().Int64() {
			t.Fatalf("%s%s: got %d, %v, want %s", number, name, got, err, want)
		}
	})
}

func FuzzParseSize(f *testing.F) {
	for _, text := range []string{"10GiB", "1.5 MiB", "0", "9223372036854775807", "1.5", "x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSize(text)
		if err != nil {
			return
		}
		if again, err := ParseSize(s.String()); s < 0 || err != nil || again != s {
			t.Fatalf("%q is %d, written %s, read %d, %v", text, int64(s), s, again, err)
		}
	})
}
