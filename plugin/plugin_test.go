package plugin

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"

	"github.com/google/go-cmp/cmp"
)

type base struct {
	URL string `json:"url"`
}

type retry struct {
	Max  int           `json:"max"`
	Wait time.Duration `json:"wait"`
}

// words reads itself from a string.
type words []string

func (w *words) UnmarshalText(b []byte) error {
	*w = strings.Fields(string(b))
	return nil
}

type config struct {
	base
	To      bool             `json:"to"`
	Types   []string         `json:"types,omitempty"`
	Retry   *retry           `json:"retry"`
	Steps   []retry          `json:"steps"`
	Headers map[string]retry `json:"headers"`
	Words   words            `json:"words"`
	Any     any              `json:"any"`
	Ratio   float64          `json:"ratio"`
	Plain   uint8
	Secret  string `json:"-"`
	hidden  int
}

func (c *config) Validate() error {
	if c.Retry != nil && c.Retry.Max > 10 {
		return gatehouse.Errorf(gatehouse.Invalid, "retry.max is %d; at most 10 are allowed", c.Retry.Max)
	}
	return nil
}

func defaults() config {
	return config{To: true, Types: []string{"a", "b"}, Retry: &retry{Max: 3, Wait: time.Second}, hidden: 1}
}

var echo = Define("Echo", defaults, func(c config, deps string) (string, error) {
	if c.URL == "bad:" {
		return "", gatehouse.Errorf(gatehouse.Unavailable, "no way there")
	}
	out, err := json.Marshal(c)
	return deps + " " + string(out), err
})

func TestDecode(t *testing.T) {
	t.Parallel()
	with := func(change func(*config)) config {
		c := defaults()
		change(&c)
		return c
	}
	for _, tt := range []struct {
		raw  string
		want config
	}{
		{``, defaults()},
		{` null `, defaults()},
		{`{}`, defaults()},
		{`{"to":false}`, with(func(c *config) { c.To = false })},
		{`{"url":"x","Plain":7}`, with(func(c *config) { c.URL, c.Plain = "x", 7 })},
		{`{"types":["c"]}`, with(func(c *config) { c.Types = []string{"c"} })},
		{`{"retry":{"max":5}}`, with(func(c *config) { c.Retry.Max = 5 })},
		{`{"retry":null}`, with(func(c *config) { c.Retry = nil })},
		{`{"steps":[{"max":1},{"wait":2}]}`, with(func(c *config) { c.Steps = []retry{{Max: 1}, {Wait: 2}} })},
		{`{"headers":{"x":{"max":1}}}`, with(func(c *config) { c.Headers = map[string]retry{"x": {Max: 1}} })},
		{`{"words":"a b"}`, with(func(c *config) { c.Words = words{"a", "b"} })},
		{`{"any":{"what":["ever",{"it":"is"}]}}`, with(func(c *config) {
			c.Any = map[string]any{"what": []any{"ever", map[string]any{"it": "is"}}}
		})},
	} {
		got := defaults()
		if err := Decode(json.RawMessage(tt.raw), &got); err != nil {
			t.Errorf("%s: %v", tt.raw, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(config{}, base{})); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.raw, diff)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ raw, text string }{
		{`{"too":true}`, `unknown field "too"; did you mean "to"?`},
		{`{"TO":true}`, `unknown field "TO"; did you mean "to"?`},
		{`{"Secret":"x"}`, `unknown field "Secret"`},
		{`{"somewhere else":1}`, `unknown field "somewhere else"; there are Plain, any, headers, `},
		{`{"hidden":1}`, `unknown field "hidden"`},
		{`{"retry":{"maximum":1}}`, `unknown field "retry.maximum"; did you mean "max"?`},
		{`{"retry":{"backoff":1}}`, `unknown field "retry.backoff"; there are max, wait`},
		{`{"retry":{"mx":1}}`, `unknown field "retry.mx"; did you mean "max"?`},
		{`{"steps":[{},{"wiat":1}]}`, `unknown field "steps[1].wiat"; did you mean "wait"?`},
		{`{"headers":{"x":{"maxx":1}}}`, `unknown field "headers.x.maxx"; did you mean "max"?`},
		{`{"to":true,"to":false}`, `field "to" is given twice`},
		{`{"to":"yes"}`, `field "to" is a JSON string; true or false is wanted`},
		{`{"url":1}`, `is a JSON number; a string is wanted`},
		{`{"types":{}}`, `field "types" is a JSON object; a list is wanted`},
		{`{"Plain":-1}`, `a whole number, not negative, is wanted`},
		{`{"retry":{"max":1.5}}`, `field "retry.max" is a JSON number 1.5; a whole number is wanted`},
		{`[]`, `the configuration is a JSON array; an object is wanted`},
		{`{"to":true`, `not valid JSON`},
		{`{} {}`, `not valid JSON`},
	} {
		c := defaults()
		err := Decode(json.RawMessage(tt.raw), &c)
		if !errors.Is(err, gatehouse.Invalid) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: error %v; want Invalid with %q", tt.raw, err, tt.text)
		}
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	other := Define("webhook", func() struct{} { return struct{}{} }, func(struct{}, string) (string, error) { return "hook", nil })
	set := Set[string, string]{echo, other}

	got, err := set.Make("eCHO", json.RawMessage(`{"url":"u"}`), "deps")
	if err != nil || !strings.HasPrefix(got, `deps {`) || !strings.Contains(got, `"url":"u"`) || !strings.Contains(got, `"to":true`) {
		t.Errorf("Make: %q, %v", got, err)
	}
	if got, err := set.Make("webhook", nil, "deps"); got != "hook" || err != nil {
		t.Errorf("Make: %q, %v", got, err)
	}
	for _, tt := range []struct {
		name, raw string
		kind      error
		text      string
	}{
		{"echo", `{"to":false}`, nil, ""},
		{"ecko", ``, gatehouse.NotFound, `there is no kind "ecko"; did you mean "Echo"?`},
		{"satellite", ``, gatehouse.NotFound, `there are Echo, webhook`},
		{"echo", `{"tu":false}`, gatehouse.Invalid, `Echo: unknown field "tu"`},
		{"echo", `{"retry":{"max":11}}`, gatehouse.Invalid, `Echo: retry.max is 11; at most 10 are allowed`},
	} {
		err := set.Check(tt.name, json.RawMessage(tt.raw))
		if !errors.Is(err, tt.kind) || tt.kind != nil && !strings.Contains(err.Error(), tt.text) {
			t.Errorf("Check(%q, %s): %v; want %v with %q", tt.name, tt.raw, err, tt.kind, tt.text)
		}
		_, err = set.Make(tt.name, json.RawMessage(tt.raw), "")
		if !errors.Is(err, tt.kind) {
			t.Errorf("Make(%q, %s): %v; want %v", tt.name, tt.raw, err, tt.kind)
		}
	}
	if _, err := set.Make("echo", json.RawMessage(`{"url":"bad:"}`), ""); !errors.Is(err, gatehouse.Unavailable) {
		t.Errorf("Make: %v; want the constructor's own error", err)
	}
}

func TestDefaultsAreNotShared(t *testing.T) {
	t.Parallel()
	if _, err := echo.Make(json.RawMessage(`{"types":["changed"],"retry":{"max":9}}`), ""); err != nil {
		t.Fatal(err)
	}
	got, err := echo.Defaults()
	if err != nil || strings.Contains(string(got), "changed") || !strings.Contains(string(got), `"max": 3`) {
		t.Errorf("Defaults: %s, %v", got, err)
	}
	var c config
	if err := Decode(got, &c); err != nil {
		t.Errorf("the defaults are not a configuration: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"retry":{"max":5},"steps":[{"max":1}],"any":{}}`))
	f.Add([]byte(`{"to":true,"to":false}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c := defaults()
		err := Decode(raw, &c)
		if err != nil && !errors.Is(err, gatehouse.Invalid) {
			t.Errorf("%q: %v is not Invalid", raw, err)
		}
		var plain config
		if err == nil && len(raw) > 0 && json.Valid(raw) && json.Unmarshal(raw, &plain) != nil {
			t.Errorf("%q: accepted, though it cannot be decoded", raw)
		}
	})
}
