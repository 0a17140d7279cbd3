package restrict

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"

	"go.yaml.in/yaml/v3"
)

func schemaOf(t testing.TB, text string) any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var schema any
	if err := decoder.Decode(&schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestSchemas(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		schema  string
		yes, no []string
	}{
		"true":  {`true`, []string{`1`, `{}`, ` null `}, []string{``, `x`, `{} {}`, `{}x`, `{"a":1,}`}},
		"false": {`false`, nil, []string{`1`, `{}`, `null`}},
		"empty": {`{}`, []string{`1`, `[]`, `"x"`}, []string{``, ` `}},
		"object": {
			`{"type":"object","required":["n"],"properties":{"n":{"type":"integer","minimum":1}},"additionalProperties":false}`,
			[]string{`{"n":1}`, `{"n":1.0}`, `{"n":1e2}`},
			[]string{`{}`, `{"n":0}`, `{"n":1.5}`, `{"n":"1"}`, `{"n":1,"m":1}`, `[]`, `null`},
		},
		// What 2020-12 has and draft 7 has not, and the other way round.
		"2020-12 by default": {
			`{"prefixItems":[{"type":"string"}],"items":false}`,
			[]string{`["a"]`, `[]`},
			[]string{`["a",1]`, `[1]`},
		},
		"2020-12 by name": {
			`{"$schema":"https://json-schema.org/draft/2020-12/schema","dependentRequired":{"a":["b"]}}`,
			[]string{`{"a":1,"b":1}`, `{}`},
			[]string{`{"a":1}`},
		},
		"draft 7": {
			`{"$schema":"http://json-schema.org/draft-07/schema#","items":[{"type":"string"}],"additionalItems":false}`,
			[]string{`["a"]`},
			[]string{`["a",1]`, `[1]`},
		},
		"draft 4": {
			`{"$schema":"http://json-schema.org/draft-04/schema#","minimum":1,"exclusiveMinimum":true}`,
			[]string{`2`},
			[]string{`1`},
		},
		"references within": {
			`{"$defs":{"tree":{"type":"object","properties":{"left":{"$ref":"#/$defs/tree"}},"additionalProperties":false}},"$ref":"#/$defs/tree"}`,
			[]string{`{}`, `{"left":{"left":{}}}`},
			[]string{`{"left":1}`, `{"right":{}}`},
		},
		"its own id": {
			`{"$id":"https://example.com/reading.json","$ref":"#/$defs/n","$defs":{"n":{"type":"number"}}}`,
			[]string{`1`},
			[]string{`"1"`},
		},
		"reference to itself": {`{"$ref":"#"}`, nil, []string{`1`, `{}`}},
		"patterns":            {`{"type":"string","pattern":"^(a+)+$","maxLength":5}`, []string{`"aaa"`}, []string{`"aab"`, `"aaaaaa"`}},
		"exact numbers":       {`{"multipleOf":0.1,"maximum":9007199254740993}`, []string{`0.3`, `9007199254740993`}, []string{`0.35`, `9007199254740994`}},
		"unique":              {`{"uniqueItems":true}`, []string{`[1,2]`}, []string{`[1,1.0]`}},
	}
	for name, tt := range tests {
		p := plan(t, Restriction{Name: "s", Schema: schemaOf(t, tt.schema)})
		for _, body := range tt.yes {
			expect(t, name+": "+body, p.Message(nil, &gatehouse.Message{Body: []byte(body)}, noon), 0, "")
		}
		for _, body := range tt.no {
			expect(t, name+": "+body, p.Message(nil, &gatehouse.Message{Body: []byte(body)}, noon), gatehouse.Restricted, "s")
		}
	}
}

// A schema holds whatever the content type says.
func TestSchemasDoNotAskForTheType(t *testing.T) {
	t.Parallel()
	p := plan(t, Restriction{Schema: schemaOf(t, `{"type":"object"}`)})
	for _, contentType := range []string{"", "text/plain", "application/octet-stream", "application/json"} {
		expect(t, contentType, p.Message(nil, &gatehouse.Message{ContentType: contentType, Body: []byte("1")}, noon), gatehouse.Restricted, "r1")
		expect(t, contentType, p.Message(nil, &gatehouse.Message{ContentType: contentType, Body: []byte("{}")}, noon), 0, "")
	}
}

func TestWrongSchemas(t *testing.T) {
	t.Parallel()
	nested := `{"not":` + strings.Repeat(`{"not":`, 300) + `{}` + strings.Repeat(`}`, 301)
	tests := map[string]string{
		`{"type":"objekt"}`:                                 "/type",
		`{"type":1}`:                                        "/type",
		`{"minimum":"1"}`:                                   "/minimum",
		`{"required":"n"}`:                                  "/required",
		`{"pattern":"("}`:                                   "pattern",
		`{"$ref":"other.json"}`:                             "documents outside the schema are not loaded",
		`{"$ref":"https://example.com/s.json"}`:             "documents outside the schema are not loaded",
		`{"$ref":"file:///etc/passwd"}`:                     "documents outside the schema are not loaded",
		`{"$ref":"/etc/passwd"}`:                            "documents outside the schema are not loaded",
		`{"$ref":"#/$defs/none"}`:                           "",
		`{"$schema":"https://example.com/my-schema"}`:       "documents outside the schema are not loaded",
		`{"$schema":"file:///etc/passwd"}`:                  "documents outside the schema are not loaded",
		`{"$id":"https://example.com/a","$ref":"b"}`:        "documents outside the schema are not loaded",
		`{"enum":["` + strings.Repeat("x", 300<<10) + `"]}`: "at most 262144",
		nested:              "nested more than 256",
		`{"maximum":1e999}`: "exponent beyond 400",
		`{"minimum":` + strings.Repeat("9", 500) + `}`: "more than 400 digits",
		`[]`:  "not an object",
		`"x"`: "not an object",
		`1`:   "not an object",
	}
	for text, want := range tests {
		_, err := Compile([]Restriction{{Name: "s", Schema: schemaOf(t, text)}})
		if gatehouse.KindOf(err) != gatehouse.Invalid || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `restriction "s": schema: `) {
			t.Errorf("%.80s: %v, want one that says %q", text, err, want)
			continue
		}
		if len(err.Error()) > maxReason+100 || strings.ContainsAny(err.Error(), "\n\t") || strings.Contains(err.Error(), schemaRoot) {
			t.Errorf("%.80s: %q is not one short line in plain words", text, err)
		}
	}
	for name, schema := range map[string]any{
		"raw null": json.RawMessage("null"), "raw number": json.RawMessage("5"), "raw rubbish": json.RawMessage("{"), "raw nothing": json.RawMessage{},
		"nil raw": json.RawMessage(nil), "bad keys": map[string]any{"const": map[any]any{1: 2}}, "a channel": map[string]any{"const": make(chan int)},
	} {
		if _, err := Compile([]Restriction{{Name: "s", Schema: schema}}); gatehouse.KindOf(err) != gatehouse.Invalid {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
	p := plan(t, Restriction{Schema: json.RawMessage(`{"type":"object"}`)})
	expect(t, "a raw schema", p.Message(nil, &gatehouse.Message{Body: []byte("1")}, noon), gatehouse.Restricted, "r1")
}

func TestSchemaFromYAML(t *testing.T) {
	t.Parallel()
	var r Restriction
	text := "name: s\nschema:\n  type: object\n  properties:\n    n: {type: integer, maximum: 9007199254740993, enum: [1, 2]}\n    on: {const: true}\n"
	if err := yaml.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	p := plan(t, r)
	expect(t, "good", p.Message(nil, &gatehouse.Message{Body: []byte(`{"n":2,"on":true}`)}, noon), 0, "")
	expect(t, "bad", p.Message(nil, &gatehouse.Message{Body: []byte(`{"n":3}`)}, noon), gatehouse.Restricted, "s")
}

// What would cost the validator too much does not reach it.
func TestHostileBodies(t *testing.T) {
	t.Parallel()
	p := plan(t, Restriction{Schema: schemaOf(t, `{"type":["array","number","object","string"],"multipleOf":0.01,"uniqueItems":true,"items":{"multipleOf":3}}`)})
	deep := func(n int, open, inner, end string) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
	}
	tests := map[string]struct{ body, want string }{
		"a great exponent":          {`1e999999999`, "exponent beyond 400"},
		"a small exponent":          {`1e-999999999`, "exponent beyond 400"},
		"an exponent with a plus":   {`1E+401`, "exponent beyond 400"},
		"an exponent of no int":     {`1e99999999999999999999`, "exponent beyond 400"},
		"one within":                {`[1,{"a":1e999999999}]`, "exponent beyond 400"},
		"many digits":               {strings.Repeat("9", 1e6), "more than 400 digits"},
		"many decimal places":       {"0." + strings.Repeat("9", 1e6), "more than 400 digits"},
		"deep lists":                {deep(1e6, "[", "", "]"), "nested more than 256"},
		"deep objects":              {deep(1e5, `{"a":`, "1", "}"), "nested more than 256"},
		"just too deep":             {deep(257, "[", "", "]"), "nested more than 256"},
		"deep and never closed":     {strings.Repeat("[", 1e6), "nested more than 256"},
		"many values":               {"[" + strings.Repeat("0,", 1<<17) + "0]", "more than 131072 values"},
		"many lists":                {"[" + strings.Repeat("[],", 1<<17) + "0]", "more than 131072 values"},
		"not UTF-8":                 {"\"\xff\"", "not valid UTF-8"},
		"a string never closed":     {`"[[[[`, "not valid JSON"},
		"two documents":             {`1 2`, "not valid JSON"},
		"a bad escape":              {`"\x"`, "not valid JSON"},
		"a comment":                 {`/* */ 1`, "not valid JSON"},
		"control characters":        {"\"a\nb\"", "not valid JSON"},
		"brackets the wrong way":    {`]]]][[[[`, "not valid JSON"},
		"wrong at a very long name": {`{"` + strings.Repeat("x", 1e6) + `":[1]}`, ""},
	}
	for name, tt := range tests {
		err := p.Message(nil, &gatehouse.Message{Body: []byte(tt.body)}, noon)
		if tt.want == "" && err == nil {
			continue
		}
		expect(t, name, err, gatehouse.Restricted, "r1")
		if err != nil && (!strings.Contains(err.Error(), tt.want) || len(err.Error()) > maxReason+200 || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %.1000q, want one short line that says %q", name, err.Error(), tt.want)
		}
	}
	for name, body := range map[string]string{
		"as deep as allowed":      deep(255, "[", "3", "]"),
		"as great as allowed":     `3e400`,
		"brackets in a string":    `"` + strings.Repeat("[", 1e4) + strings.Repeat(",", 1<<18) + `"`,
		"escapes in a string":     `"\"[\\"`,
		"brackets behind escapes": `"\\\"` + strings.Repeat("[", 300) + `"`,
		"escaped quote, then it":  `["\\\"",` + `3]`,
		"many digits, but fewer":  "3" + strings.Repeat("0", 399),
	} {
		wide := plan(t, Restriction{Schema: true})
		expect(t, name, wide.Message(nil, &gatehouse.Message{Body: []byte(body)}, noon), 0, "")
	}
}

func TestReasonsSayWhere(t *testing.T) {
	t.Parallel()
	p := plan(t, Restriction{Name: "s", Schema: schemaOf(t, `{"properties":{"list":{"items":{"type":"integer"}}},"maxProperties":2}`)})
	for body, want := range map[string][]string{
		`{"list":[1,"x"]}`:             {"at /list/1", "got string, want integer"},
		`{"a":1,"b":2,"c":3}`:          {"at the document", "maxProperties"},
		`{"list":[1,2],"a\nb":"` + "1": {"not JSON"},
	} {
		err := p.Message(nil, &gatehouse.Message{Body: []byte(body)}, noon)
		expect(t, body, err, gatehouse.Restricted, "s")
		for _, part := range want {
			if !strings.Contains(fmt.Sprint(err), part) {
				t.Errorf("%s: %v does not say %q", body, err, part)
			}
		}
	}
}

// Whatever a body is, it is either refused in one line or is JSON.
func FuzzSchema(f *testing.F) {
	for _, s := range []string{`{"n":1}`, `[1,2,[3]]`, `1e400`, `"\u0000"`, `{"a":{"a":{"a":0}}}`, `[[[[`, `{"n":1.50e-3,"x":[null,true]}`} {
		f.Add([]byte(s))
	}
	p := plan(f, Restriction{Name: "s", Schema: schemaOf(f, `{
		"$defs":{"v":{"anyOf":[{"type":["number","null","boolean"],"multipleOf":0.5},{"type":"string","pattern":"^[a-z]*$"},
			{"type":"array","items":{"$ref":"#/$defs/v"},"uniqueItems":true,"contains":{"const":1}},
			{"type":"object","additionalProperties":{"$ref":"#/$defs/v"},"propertyNames":{"maxLength":3}}]}},
		"$ref":"#/$defs/v","unevaluatedProperties":false}`)})
	f.Fuzz(func(t *testing.T, body []byte) {
		err := p.Message(nil, &gatehouse.Message{Body: body}, noon)
		if err == nil {
			if !json.Valid(body) {
				t.Fatalf("%q passes and is not JSON", body)
			}
			return
		}
		if gatehouse.KindOf(err) != gatehouse.Restricted || strings.Contains(err.Error(), "\n") || len(err.Error()) > maxReason+200 || strings.Contains(err.Error(), "validator failed") {
			t.Fatalf("%q: %v", body, err)
		}
	})
}
