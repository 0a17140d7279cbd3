package cloudevents

import (
	"errors"
	"testing"

	"github.com/gatehouse/gatehouse"
)

func TestHeader(t *testing.T) {
	t.Parallel()
	// The first is the example of the HTTP binding, section 3.1.3.2.
	for plain, encoded := range map[string]string{
		"Euro € 😀": "Euro%20%E2%82%AC%20%F0%9F%98%80",
		`a"b%c`:    "a%22b%25c",
		"plain-1":  "plain-1",
		"\r\nX: y": "%0D%0AX:%20y",
		"":         "",
		"\x7f~!":   "%7F~!",
	} {
		if got := EncodeHeader(plain); got != encoded {
			t.Errorf("EncodeHeader(%q) = %q, want %q", plain, got, encoded)
		}
		if got, err := DecodeHeader(encoded); err != nil || got != plain {
			t.Errorf("DecodeHeader(%q) = %q, %v, want %q", encoded, got, err, plain)
		}
	}
}

func TestDecodeHeaderOfOthers(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`"quoted \"x\" \\ %41"`: `quoted "x" \ A`,
		"%41%42":                "AB",
		"100%":                  "100%",
		"%zz":                   "%zz",
		"%2541":                 "%41", // decoded once
		"raw é":                 "raw é",
		`"`:                     `"`,
	} {
		if got, err := DecodeHeader(in); err != nil || got != want {
			t.Errorf("DecodeHeader(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"%C0%A0", "\xff", "%80"} {
		if got, err := DecodeHeader(in); !errors.Is(err, gatehouse.Invalid) {
			t.Errorf("DecodeHeader(%q) = %q, %v, want Invalid", in, got, err)
		}
	}
}
