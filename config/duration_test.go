package config

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"

	"pgregory.net/rapid"
)

func TestParseDuration(t *testing.T) {
	t.Parallel()
	tests := map[string]time.Duration{
		"0":                     0,
		"0s":                    0,
		"0d":                    0,
		"90s":                   90 * time.Second,
		"24h":                   day,
		"1h30m":                 90 * time.Minute,
		"250ms":                 250 * time.Millisecond,
		"5us":                   5 * time.Microsecond,
		"5µs":                   5 * time.Microsecond,
		"5μs":                   5 * time.Microsecond,
		"7ns":                   7,
		"7d":                    week,
		"1w":                    week,
		"1w2d":                  week + 2*day,
		"1d12h":                 day + 12*time.Hour,
		"1.5d":                  36 * time.Hour,
		".5d":                   12 * time.Hour,
		"0.5w":                  84 * time.Hour,
		"1.5h":                  90 * time.Minute,
		"30m1h":                 90 * time.Minute,
		"15250w":                15250 * week,
		"106751d":               106751 * day,
		"2562047h47m16.854s":    2562047*time.Hour + 47*time.Minute + 16854*time.Millisecond,
		"9223372036854775807ns": math.MaxInt64,
	}
	for text, want := range tests {
		if got, err := ParseDuration(text); err != nil || time.Duration(got) != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestWrongDurations(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"":                         "not a duration such as",
		" 1s":                      "not a duration such as",
		"d":                        "not a duration such as",
		"+1s":                      "not a duration such as",
		"forever":                  "not a duration such as",
		"-1s":                      "negative",
		"-0":                       "negative",
		"90":                       "a unit is missing",
		"1h30":                     "a unit is missing",
		"1.5":                      "a unit is missing",
		"1s ":                      `unit "s " is none of`,
		"1 s":                      `unit " s" is none of`,
		"1h 30m":                   `unit "h " is none of`,
		"1D":                       `unit "D" is none of`,
		"1y":                       `unit "y" is none of`,
		"1M":                       `unit "M" is none of`,
		"1day":                     `unit "day" is none of`,
		"1h-30m":                   `unit "h-" is none of`,
		".s":                       "is not a number",
		"1.2.3s":                   "is not a number",
		"9223372036854775808ns":    "longer than the longest",
		"106752d":                  "longer than the longest",
		"15251w":                   "longer than the longest",
		"106751d24h":               "longer than the longest",
		"99999999999999999999d":    "longer than the longest",
		"9999999h":                 "longer than the longest",
		"9223372036854775807ns1ns": "longer than the longest",
	}
	for text, want := range tests {
		d := Duration(42)
		err := d.UnmarshalText([]byte(text))
		if gatehouse.KindOf(err) != gatehouse.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want one that says %q", text, err, want)
		}
		if d != 42 {
			t.Errorf("%q: the duration has become %v", text, d)
		}
	}
}

func TestDurationString(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", 1: "1ns", 90 * time.Second: "1m30s", time.Minute: "1m", time.Hour: "1h", 36 * time.Hour: "36h", day: "1d", week: "7d",
		day + time.Second: "24h0m1s", 90 * time.Minute: "1h30m", 10 * time.Second: "10s", 100 * time.Hour: "100h", 10 * time.Minute: "10m",
		time.Hour + 10*time.Second: "1h0m10s", 1500 * time.Millisecond: "1.5s",
	} {
		if got := Duration(d).String(); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

// Without days and weeks, durations are read as Go reads them.
func TestParseDurationProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`([0-9]{1,7}(\.[0-9]{1,9})?(ns|us|ms|s|m|h)){1,4}`).Draw(t, "text")
		want, bad := time.ParseDuration(text)
		got, err := ParseDuration(text)
		if (bad == nil) != (err == nil) || err == nil && time.Duration(got) != want {
			t.Fatalf("%s: got %v, %v, want %v, %v", text, got, err, want, bad)
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, text := range []string{"1w2d3h4m5s", "0", "1.5d", "9223372036854775807ns", "-1s", "x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDuration(text)
		if err != nil {
			return
		}
		if again, err := ParseDuration(d.String()); d < 0 || err != nil || again != d {
			t.Fatalf("%q is %d, written %s, read %d, %v", text, int64(d), d, again, err)
		}
	})
}
