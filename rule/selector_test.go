package rule

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

func TestGlobs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		glob     string
		yes, not []string
	}{
		{"a", []string{"a"}, []string{"", "A", "aa", "b"}},
		{"*", []string{"", "a", "\xff", "å"}, nil},
		{"**", []string{"", "a"}, nil},
		{"a*", []string{"a", "ab", "a*"}, []string{"", "ba", "A"}},
		{"a**", []string{"a", "ab"}, []string{"ba"}},
		{"*a", []string{"a", "ba", "aaa"}, []string{"", "ab"}},
		{"*a*", []string{"a", "bab"}, []string{"", "b"}},
		{"a*b", []string{"ab", "axb", "abab"}, []string{"a", "b", "aba", "xab"}},
		{"aa*aa", []string{"aaaa", "aaxaa"}, []string{"aa", "aaa"}},
		{"a*b*c", []string{"abc", "axbxc", "abcbc"}, []string{"acb", "ac", "abcd"}},
		{"?", []string{"a", "å", "\xff", "?", "*"}, []string{"", "ab", "\xff\xff"}},
		{"??", []string{"ab", "åå", "a\xff"}, []string{"a", "abc", "å"}},
		{"a?", []string{"ab", "aå"}, []string{"a", "abc"}},
		{"?*", []string{"a", "ab"}, []string{""}},
		{"*?", []string{"a", "ab"}, []string{""}},
		{"*?*", []string{"a", "ab"}, []string{""}},
		{"?*?", []string{"ab", "axb", "åå"}, []string{"", "a", "å"}},
		{"*.?", []string{".x", "a.b.c"}, []string{".", "a.bc"}},
		{"a*?b", []string{"axb", "axxb", "abb"}, []string{"ab"}},
		{"*a?c*", []string{"abc", "xaacx", "aabbaxc"}, []string{"ac", "aabbc"}},
		{"text/*", []string{"text/", "text/plain"}, []string{"text", "application/json"}},
		{"com.*.reading", []string{"com.x.reading", "com..reading"}, []string{"com.reading"}},
		{"å*", []string{"å", "åx"}, []string{"\xc3", "a"}},
	}
	for _, tt := range tests {
		g, err := CompileGlobs([]string{tt.glob})
		if err != nil {
			t.Errorf("%q: %v", tt.glob, err)
			continue
		}
		for _, text := range tt.yes {
			if !g.Match(text) {
				t.Errorf("%q does not match %q", tt.glob, text)
			}
		}
		for _, text := range tt.not {
			if g.Match(text) {
				t.Errorf("%q matches %q", tt.glob, text)
			}
		}
	}
}

func TestWrongGlobs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		globs []string
		want  string
	}{
		{nil, "list of globs is empty"},
		{[]string{"a", ""}, "a glob is empty"},
		{[]string{strings.Repeat("a", MaxGlob+1)}, "at most 512"},
		{[]string{"a\xff*"}, "UTF-8"},
	}
	for _, tt := range tests {
		_, err := CompileGlobs(tt.globs)
		if gatehouse.KindOf(err) != gatehouse.Invalid || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40q: %v, want one that says %q", tt.globs, err, tt.want)
		}
	}
}

// reference matches one glob the plain way, character by character.
func reference(glob, text string) bool {
	if glob == "" {
		return text == ""
	}
	g, gsize := utf8.DecodeRuneInString(glob)
	if g == '*' {
		for {
			if reference(glob[gsize:], text) {
				return true
			}
			if text == "" {
				return false
			}
			_, size := utf8.DecodeRuneInString(text)
			text = text[size:]
		}
	}
	if text == "" {
		return false
	}
	_, size := utf8.DecodeRuneInString(text)
	if g != '?' && text[:size] != glob[:gsize] {
		return false
	}
	return reference(glob[gsize:], text[size:])
}

// The reference is exponential: both are kept short.
const maxReference = 12

func checkGlobs(t interface{ Fatalf(string, ...any) }, globs []string, text string) {
	g, err := CompileGlobs(globs)
	if err != nil {
		t.Fatalf("%q: %v", globs, err)
	}
	want := false
	for _, glob := range globs {
		want = want || reference(glob, text)
	}
	if got := g.Match(text); got != want {
		t.Fatalf("%q on %q: got %t, want %t", globs, text, got, want)
	}
}

func TestGlobProperty(t *testing.T) {
	t.Parallel()
	glob := rapid.StringOfN(rapid.SampledFrom([]rune("aab**??å€")), 1, 9, -1)
	text := rapid.Custom(func(t *rapid.T) string {
		var b strings.Builder
		for range rapid.IntRange(0, maxReference).Draw(t, "length") {
			b.WriteString(rapid.SampledFrom([]string{"a", "a", "b", "å", "€", "\xc3", "\xa5", "\xe2", "\x82", "*", "?"}).Draw(t, "piece"))
		}
		return b.String()
	})
	rapid.Check(t, func(t *rapid.T) {
		checkGlobs(t, rapid.SliceOfN(glob, 1, 6).Draw(t, "globs"), text.Draw(t, "text"))
	})
}

func FuzzGlobs(f *testing.F) {
	f.Add("a*b?c", "axbxc")
	f.Add("*å?", "xåå")
	f.Add("??*", "\xff\xfe")
	f.Fuzz(func(t *testing.T, glob, text string) {
		if glob == "" || len(glob) > maxReference || len(text) > maxReference || !utf8.ValidString(glob) {
			return
		}
		checkGlobs(t, []string{glob}, text)
	})
}

// What would take backtracking matchers for ever.
func TestGlobsDoNotBacktrack(t *testing.T) {
	t.Parallel()
	g, err := CompileGlobs([]string{strings.Repeat("a*", 200) + "b", strings.Repeat("?*a", 100) + "b"})
	if err != nil {
		t.Fatal(err)
	}
	if g.Match(strings.Repeat("a", 1<<16)) {
		t.Error("it matches")
	}
}

func TestManyPrefixes(t *testing.T) {
	t.Parallel()
	var globs []string
	for i := range 1000 {
		globs = append(globs, fmt.Sprintf("p%d-*", i))
	}
	globs = append(globs, "p1*", "p", "p22*")
	g, err := CompileGlobs(globs)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"p": true, "p1": true, "p1-": true, "p199": true, "p2": false, "p2-": true, "p2-x": true, "p22": true, "p225x": true,
		"p999-x": true, "p999": false, "p9999-": false, "o": false, "q": false, "": false,
	} {
		if g.Match(text) != want {
			t.Errorf("%q: got %t, want %t", text, !want, want)
		}
	}
}

func TestSelectors(t *testing.T) {
	t.Parallel()
	oslo := map[string]string{"site": "oslo"}
	tests := []struct {
		selector Selector
		name     string
		labels   map[string]string
		want     bool
	}{
		{Selector{}, "pump-7", nil, true},
		{Selector{Names: []string{}}, "pump-7", nil, true},
		{Selector{Names: []string{"pump-*"}}, "pump-7", nil, true},
		{Selector{Names: []string{"pump-*"}}, "PUMP-7", nil, true},
		{Selector{Names: []string{"Pump-*"}}, "pump-7", nil, true},
		{Selector{Names: []string{"*-7"}}, "PUMP-7", nil, true},
		{Selector{Names: []string{"p??p-?"}}, "PuMP-7", nil, true},
		{Selector{Names: []string{"Pump-7"}}, "pUMP-7", nil, true},
		{Selector{Names: []string{"pump-7"}}, "pump-77", nil, false},
		{Selector{Names: []string{"valve", "pump-7"}}, "Pump-7", nil, true},
		{Selector{Names: []string{"valve"}}, "Pump-7", nil, false},
		{Selector{Names: []string{"*"}}, "pump-7", nil, true},
		{Selector{Names: []string{"*"}}, strings.Repeat("A", 200), nil, true},
		{Selector{Names: []string{"a*a"}}, strings.Repeat("A", 200), nil, true},
		{Selector{Names: []string{"a*a"}}, strings.Repeat("A", 128), nil, true},
		{Selector{Names: []string{"a*b"}}, strings.Repeat("A", 128), nil, false},
		{Selector{Names: []string{"*"}}, "Å", nil, true},
		{Selector{Labels: "site=oslo"}, "pump-7", oslo, true},
		{Selector{Labels: "site=oslo"}, "pump-7", nil, false},
		{Selector{Labels: "site!=oslo"}, "pump-7", nil, true},
		{Selector{Names: []string{"pump-*"}, Labels: "site=oslo"}, "PUMP-7", oslo, true},
		{Selector{Names: []string{"pump-*"}, Labels: "site=oslo"}, "PUMP-7", nil, false},
		{Selector{Names: []string{"pump-*"}, Labels: "site=oslo"}, "valve", oslo, false},
	}
	for _, tt := range tests {
		m, err := tt.selector.Compile()
		if err != nil {
			t.Errorf("%+v: %v", tt.selector, err)
			continue
		}
		if got := m.Match(tt.name, mustLabels(t, tt.labels)); got != tt.want {
			t.Errorf("%+v on %q %v: got %t, want %t", tt.selector, tt.name, tt.labels, got, tt.want)
		}
	}
}

func TestWrongSelectors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		selector Selector
		want     string
	}{
		{Selector{Names: []string{"a", ""}}, "names: \"\": it is empty"},
		{Selector{Names: []string{"a b"}}, "names: \"a b\": names have"},
		{Selector{Names: []string{"å*"}}, "names have"},
		{Selector{Names: []string{"a/*"}}, "names have"},
		{Selector{Names: []string{"-a"}}, "names start with"},
		{Selector{Names: []string{strings.Repeat("a", 129)}}, "128"},
		{Selector{Names: make([]string, MaxNames+1)}, "at most 4096"},
		{Selector{Labels: "site="}, "labels: label expression \"site=\": position 6"},
		{Selector{Labels: " "}, "labels: "},
	}
	for _, tt := range tests {
		_, err := tt.selector.Compile()
		if gatehouse.KindOf(err) != gatehouse.Invalid || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60v: %v, want one that says %q", tt.selector, err, tt.want)
		}
	}
}

func TestIsZero(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		selector Selector
		want     bool
	}{
		{Selector{}, true}, {Selector{Names: []string{}}, true}, {Selector{Names: []string{"*"}}, false}, {Selector{Labels: "a"}, false},
	} {
		if got := tt.selector.IsZero(); got != tt.want {
			t.Errorf("%+v: got %t, want %t", tt.selector, got, tt.want)
		}
	}
}

func TestSelectorForms(t *testing.T) {
	t.Parallel()
	type holder struct {
		Endpoints Selector `json:"endpoints,omitzero" yaml:"endpoints,omitempty"`
	}
	full := holder{Selector{Names: []string{"pump-*"}, Labels: "site=oslo"}}
	for _, tt := range []struct {
		v          holder
		json, yaml string
	}{
		{holder{}, "{}", "{}\n"},
		{full, `{"endpoints":{"names":["pump-*"],"labels":"site=oslo"}}`, "endpoints:\n    names:\n        - pump-*\n    labels: site=oslo\n"},
	} {
		if got, err := json.Marshal(tt.v); err != nil || string(got) != tt.json {
			t.Errorf("JSON %s, %v, want %s", got, err, tt.json)
		}
		if got, err := yaml.Marshal(tt.v); err != nil || string(got) != tt.yaml {
			t.Errorf("YAML %s, %v, want %s", got, err, tt.yaml)
		}
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	labels := mustLabels(t, map[string]string{"site": "oslo", "kind": "pump"})
	m, err := Selector{
		Names:  []string{"exact", "prefix-*", "*-suffix", "a*b?c*d", strings.Repeat("x", 100)},
		Labels: `site in (bergen,oslo),kind!=test,!spare,site`,
	}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"exact", "EXACT", "Prefix-" + strings.Repeat("A", 121), "any-Suffix", "AxxBxCxD", strings.Repeat("X", 100)} {
		if !m.Match(name, labels) {
			t.Errorf("%q does not match", name)
		}
		if n := testing.AllocsPerRun(100, func() { m.Match(name, labels) }); n != 0 {
			t.Errorf("a match of %q allocates %.0f times", name, n)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	labels, err := MakeLabels(map[string]string{"site": "oslo", "kind": "pump", "floor": "3"})
	if err != nil {
		b.Fatal(err)
	}
	for name, s := range map[string]Selector{
		"exact":   {Names: []string{"valve-1", "pump-7"}},
		"prefix":  {Names: []string{"valve-*", "pump-*"}},
		"general": {Names: []string{"p*p-?"}},
		"labels":  {Labels: "site=oslo,kind!=test"},
	} {
		b.Run(name, func(b *testing.B) {
			m, err := s.Compile()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if !m.Match("Pump-7", labels) {
					b.Fatal("it does not match")
				}
			}
		})
	}
}
