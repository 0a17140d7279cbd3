package rule

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"

	"pgregory.net/rapid"
)

func mustLabels(t testing.TB, m map[string]string) Labels {
	t.Helper()
	l, err := MakeLabels(m)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLabels(t *testing.T) {
	t.Parallel()
	m := map[string]string{"site": "oslo", "kind": "pump", "a.b/c-d_e": "", "Site": "Å, (\"quoted\")"}
	l := mustLabels(t, m)
	if got := l.Map(); !maps.Equal(got, m) {
		t.Errorf("got %v, want %v", got, m)
	}
	for key, want := range m {
		if got, ok := l.Get(key); !ok || got != want {
			t.Errorf("label %q is %q, %t, want %q", key, got, ok, want)
		}
	}
	for _, key := range []string{"", "a", "sit", "sites", "SITE", "zzz"} {
		if got, ok := l.Get(key); ok {
			t.Errorf("label %q is %q, and should not be there", key, got)
		}
	}
	none := mustLabels(t, nil)
	if _, ok := none.Get("site"); ok || none != nil || none.Map() != nil {
		t.Error("no labels are not nil")
	}
}

func TestWrongLabels(t *testing.T) {
	t.Parallel()
	many := make(map[string]string)
	for i := range MaxLabels + 1 {
		many[fmt.Sprintf("k%d", i)] = ""
	}
	tests := []struct {
		labels map[string]string
		want   string
	}{
		{many, "at most 64"},
		{map[string]string{"": "x"}, "empty"},
		{map[string]string{".a": "x"}, "start with"},
		{map[string]string{"-a": "x"}, "start with"},
		{map[string]string{"a b": "x"}, `"a b"`},
		{map[string]string{"å": "x"}, "letters, digits"},
		{map[string]string{"a=b": "x"}, "letters, digits"},
		{map[string]string{strings.Repeat("a", 129): "x"}, "longer than 128"},
		{map[string]string{"site": strings.Repeat("a", 257)}, `label "site"`},
		{map[string]string{"site": "a\nb"}, "control"},
		{map[string]string{"site": "a\xff"}, "UTF-8"},
	}
	for _, tt := range tests {
		_, err := MakeLabels(tt.labels)
		if gatehouse.KindOf(err) != gatehouse.Invalid || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60q: %v, want one that says %q", tt.labels, err, tt.want)
		}
	}
	most := map[string]string{strings.Repeat("a", 128): strings.Repeat("a", 256)}
	if got := mustLabels(t, most).Map(); !maps.Equal(got, most) {
		t.Error("the longest label is not kept")
	}
}

func TestLabelExpressions(t *testing.T) {
	t.Parallel()
	l := mustLabels(t, map[string]string{"site": "oslo", "kind": "pump", "in": "x", "empty": "", "odd": `a "b", c\d (=!)`})
	tests := map[string]bool{
		"":                                  true,
		"site=oslo":                         true,
		" site == oslo ":                    true,
		"site=Oslo":                         false,
		"Site=oslo":                         false,
		"site=oslo,kind=pump":               true,
		"site=oslo , kind=valve":            false,
		"kind!=test":                        true,
		"kind != pump":                      false,
		"none!=x":                           true,
		"none=x":                            false,
		"site":                              true,
		"!site":                             false,
		"none":                              false,
		"! none":                            true,
		"empty":                             true,
		`empty=""`:                          true,
		`empty!=""`:                         false,
		`none=""`:                           false,
		`site=""`:                           false,
		"site in (bergen,oslo)":             true,
		"site in(bergen , oslo )":           true,
		"site in (bergen)":                  false,
		"none in (bergen)":                  false,
		"site notin (bergen,oslo)":          false,
		"site notin (bergen)":               true,
		"none notin (bergen)":               true,
		"in":                                true,
		"in in (x)":                         true,
		"in=x,site in (oslo),!non":          true,
		`odd="a \"b\", c\\d (=!)"`:          true,
		`odd in ("x","a \"b\", c\\d (=!)")`: true,
		"\tsite\n=\r oslo\n":                true,
		"inside":                            false,
		"site in (oslo,oslo)":               true,
	}
	for text, want := range tests {
		m, err := CompileLabels(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := m.Match(l); got != want {
			t.Errorf("%q: got %t, want %t", text, got, want)
		}
	}
}

func TestWrongLabelExpressions(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		" ":                       "position 2: a label key is missing at the end",
		",":                       `position 1: a label key is missing before ","`,
		"site=oslo,":              "position 11: a label key is missing at the end",
		"site=oslo,,kind":         "position 11: a label key is missing",
		"=oslo":                   "position 1: a label key is missing",
		"!":                       "position 2: a label key is missing",
		"!!a":                     "position 2: a label key is missing",
		"å=1":                     "position 1: a label key is missing",
		"-a":                      "position 1: label key",
		"site=":                   "position 6: a value is missing",
		"site=,kind":              "position 6: a value is missing",
		"site=oslo bergen":        `position 11: a comma is missing before "bergen"`,
		"site=oslo kind=pump":     "position 11: a comma is missing",
		"site=a=b":                `position 7: a value with '=' in it`,
		"site=Å!":                 `position 7: a value with '!' in it`,
		"site=oslo)":              "position 10: a comma is missing",
		"site===oslo":             "position 7: a value is missing",
		"!site=oslo":              "position 6: a comma is missing",
		"site!oslo":               "position 5: a comma is missing",
		"site in":                 "position 8: the values must stand in parentheses",
		"site in oslo":            "position 9: the values must stand in parentheses",
		"site in ()":              "position 10: a value is missing",
		"site in (a,)":            "position 12: a value is missing",
		"site in (a":              "position 11: a closing parenthesis is missing",
		"site in (a b)":           "position 12: a closing parenthesis is missing",
		"site IN (a)":             "position 6: a comma is missing",
		`site="oslo`:              "position 6: the closing quote is missing",
		`site="a\b"`:              "position 8: a backslash must stand before",
		`site="a\`:                "position 8: a backslash must stand before",
		`site="a"b`:               "position 9: a comma is missing",
		"site=\"a\nb\"":           "position 6: value",
		"site=a\x00b":             "position 6: value",
		"site=\xff":               "position 6: value",
		"site>1":                  "position 5: a comma is missing",
		strings.Repeat("a,", 1e4): "at most 16384",
		strings.Repeat("a", 129):  "position 1: label key",
	}
	for text, want := range tests {
		_, err := CompileLabels(text)
		if gatehouse.KindOf(err) != gatehouse.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want one that says %q", text, err, want)
		}
	}
}

// A want is a requirement as the property tests draw it, with what it means
// written out plainly.
type want struct {
	key, op string
	values  []string
}

func (w want) holds(labels map[string]string) bool {
	value, there := labels[w.key]
	listed := false
	for _, v := range w.values {
		listed = listed || v == value
	}
	switch w.op {
	case "there":
		return there
	case "not there":
		return !there
	case "=", "==", "in":
		return there && listed
	}
	return !there || !listed // != and notin
}

func (w want) write(t *rapid.T) string {
	space := rapid.SampledFrom([]string{"", "", " ", "\t "})
	quote := func(v string) string {
		if v != "" && !strings.ContainsAny(v, blank+special) && rapid.Bool().Draw(t, "plain") {
			return v
		}
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`
	}
	s := space.Draw(t, "space") + w.key
	switch w.op {
	case "there":
	case "not there":
		s = "!" + s
	case "in", "notin":
		quoted := make([]string, len(w.values))
		for i, v := range w.values {
			quoted[i] = space.Draw(t, "space") + quote(v) + space.Draw(t, "space")
		}
		s += " " + w.op + space.Draw(t, "space") + "(" + strings.Join(quoted, ",") + ")"
	default:
		s += space.Draw(t, "space") + w.op + space.Draw(t, "space") + quote(w.values[0])
	}
	return s + space.Draw(t, "space")
}

func TestLabelExpressionProperty(t *testing.T) {
	t.Parallel()
	key := rapid.SampledFrom([]string{"a", "b", "in", "notin", "A", "a.b/c-d_e", "0"})
	value := rapid.OneOf(rapid.SampledFrom([]string{"", "x", "y", "in", "x y", `"`, `\`, "a,b", "(x)", "å"}), rapid.StringMatching(`[ -~]{0,6}`))
	op := rapid.SampledFrom([]string{"there", "not there", "=", "==", "!=", "in", "notin"})
	rapid.Check(t, func(t *rapid.T) {
		labels := rapid.MapOf(key, value).Draw(t, "labels")
		l, err := MakeLabels(labels)
		if err != nil {
			t.Fatal(err)
		}
		all, parts := true, []string{}
		for range rapid.IntRange(1, 4).Draw(t, "requirements") {
			w := want{key.Draw(t, "key"), op.Draw(t, "op"), rapid.SliceOfN(value, 1, 3).Draw(t, "values")}
			if w.op != "in" && w.op != "notin" {
				w.values = w.values[:1]
			}
			all = all && w.holds(labels)
			parts = append(parts, w.write(t))
		}
		text := strings.Join(parts, ",")
		m, err := CompileLabels(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got := m.Match(l); got != all {
			t.Fatalf("%q on %v: got %t, want %t", text, labels, got, all)
		}
	})
}

func FuzzCompileLabels(f *testing.F) {
	for _, text := range []string{"site=oslo,kind!=test", `a in ("x",y),!b`, "a notin (x)", `a="\\\""`, "in in (in)"} {
		f.Add(text, "site", "oslo")
	}
	f.Fuzz(func(t *testing.T, text, key, value string) {
		m, err := CompileLabels(text)
		if err != nil {
			if gatehouse.KindOf(err) != gatehouse.Invalid {
				t.Fatalf("%q: kind %v", text, gatehouse.KindOf(err))
			}
			return
		}
		// Spaces at the ends and an expression twice over change nothing.
		twice := m
		if text != "" {
			if twice, err = CompileLabels(" " + text + "\n," + text); err != nil && len(text) < MaxExpression/3 {
				t.Fatalf("%q: %v", text, err)
			}
		}
		l, err := MakeLabels(map[string]string{key: value, "site": "oslo", "a": "x"})
		if err == nil && twice != nil && m.Match(l) != twice.Match(l) {
			t.Fatalf("%q and %q differ on %v", text, text+","+text, l)
		}
	})
}

func TestStepsInJSONAreStable(t *testing.T) {
	t.Parallel()
	typ := reflect.TypeFor[Step]()
	want := []string{"rule", "kind", "outcome", "reason,omitempty"}
	for i := range typ.NumField() {
		if got := typ.Field(i).Tag.Get("json"); got != want[i] {
			t.Errorf("field %s is %q in JSON, want %q", typ.Field(i).Name, got, want[i])
		}
	}
}
