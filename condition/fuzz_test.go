package condition

import (
	"testing"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse"

	"pgregory.net/rapid"
)

// FuzzCompile compiles whatever it is given and evaluates what compiles: no
// text may cause a panic, nor an error that is not one of the text's.
func FuzzCompile(f *testing.F) {
	for _, text := range []string{
		`msg.type == "order" && msg.size < 65536 && msg.attributes["region"] in ["eu", "us"]`,
		`msg.json.items.exists(i, i.sku == "b" && i.count > 5) ? has(msg.json.n) : now - msg.time < duration("5m")`,
		`dyn(msg).id == endpoint.labels.site || channel.name.matches("^a+$")`, `msg.to.map(t, t.split("/"))[0][1] == "x"`,
		`msg.attributes == {"a": [1, 2u, 3.0, b"x", null]}`, `type(msg) == type(dyn(1))`, `{1: msg}[1].size > 1`, "msg.\n\ttipe == 'é'", "1 +", "'\\", "\xff", `has(msg.x)`, `msg.id[0] == 1`,
	} {
		f.Add(text, `{"n":1}`)
	}
	f.Fuzz(func(t *testing.T, text, body string) {
		m := full()
		m.Body = []byte(body)
		c, err := Compile(text)
		if err != nil {
			if gatehouse.KindOf(err) != gatehouse.Invalid || !utf8.ValidString(err.Error()) {
				t.Fatalf("got %v error %q", gatehouse.KindOf(err), err)
			}
		} else if _, err := c.Eval(vars(m)); err != nil && !utf8.ValidString(err.Error()) {
			t.Fatalf("got %q", err)
		}
		if a, err := CompileAddresses(text); err == nil {
			_, _ = a.Eval(vars(m))
		}
	})
}

// FuzzJSON holds the parser of bodies against what conditions may expect.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{`{"a":[1,{"b":null}]}`, `"\"["`, `[[[[`, `1e400`, ``, `"\ud800"`, `{"a":1,"a":2}`} {
		f.Add([]byte(text))
	}
	c, err := Compile(`msg.json == msg.json && (type(msg.json) != list || size(msg.json) >= 0)`)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m := &gatehouse.Message{Body: text}
		_, parseErr := parseJSON(text)
		is, err := c.Eval(&Vars{Message: m})
		if (parseErr == nil) != (err == nil) || err == nil && !is {
			t.Fatalf("parsing: %v; condition: %v, %v", parseErr, is, err)
		}
	})
}

// TestDepth holds deeper against a count of brackets outside strings.
func TestDepth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var text []byte
		depth, deepest := 0, 0
		for _, token := range rapid.SliceOf(rapid.SampledFrom([]string{"[", "]", "{", "}", `"["`, `"\"{"`, `"\\"`, "1"})).Draw(t, "tokens") {
			switch token {
			case "[", "{":
				depth++
			case "]", "}":
				depth--
			}
			deepest = max(deepest, depth)
			text = append(text, token...)
		}
		limit := rapid.IntRange(0, 5).Draw(t, "limit")
		if deeper(text, limit) != (deepest > limit) {
			t.Fatalf("%s is %d deep; deeper than %d: %v", text, deepest, limit, deeper(text, limit))
		}
	})
}
