package rule

import (
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/gatehouse/gatehouse"
)

// MaxNames is how many names a selector may have.
const MaxNames = 4096

// A Selector selects endpoints or channels by name, by label, or by both, in
// which case both must match. The zero Selector selects all.
type Selector struct {
	// Names are names or globs of names, "pump-*", compared without case.
	Names []string `json:"names,omitempty" yaml:"names,omitempty"`
	// Labels is a label expression, "site=oslo,kind!=test": see CompileLabels.
	Labels string `json:"labels,omitempty" yaml:"labels,omitempty"`
}

// IsZero reports whether s selects all because it says nothing.
func (s Selector) IsZero() bool { return len(s.Names) == 0 && s.Labels == "" }

// Compile compiles s. The error is of kind Invalid and names the field.
func (s Selector) Compile() (*Matcher, error) {
	m := &Matcher{}
	if len(s.Names) > MaxNames {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "names: there are %d; at most %d are allowed", len(s.Names), MaxNames)
	}
	if len(s.Names) > 0 {
		folded := make([]string, len(s.Names))
		for i, name := range s.Names {
			if why := checkNameGlob(name); why != "" {
				return nil, gatehouse.Errorf(gatehouse.Invalid, "names: %.140q: %s", name, why)
			}
			folded[i] = gatehouse.Fold(name)
		}
		var err error
		if m.names, err = CompileGlobs(folded); err != nil {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "names: %w", err)
		}
	}
	if s.Labels != "" {
		var err error
		if m.labels, err = CompileLabels(s.Labels); err != nil {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "labels: %w", err)
		}
	}
	return m, nil
}

// checkNameGlob says what is wrong with a glob of names, and nothing if some
// name could match it.
func checkNameGlob(glob string) string {
	switch {
	case glob == "":
		return "it is empty"
	case len(glob) > gatehouse.MaxName:
		return "it is longer than a name may be, 128 characters"
	case strings.IndexByte("._-", glob[0]) >= 0:
		return "names start with a letter or digit"
	}
	for i := range len(glob) {
		c := glob[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("._-*?", c) >= 0:
		default:
			return "names have letters, digits and . _ - only, and globs of them * and ? besides"
		}
	}
	return ""
}

// A Matcher is a compiled Selector.
type Matcher struct {
	names  *Globs        // folded; nil: all
	labels *LabelMatcher // nil: all
}

// Match reports whether the selector selects what has this name and these
// labels. The name is compared without case.
func (m *Matcher) Match(name string, labels Labels) bool {
	if m.names != nil && !m.names.matchFolded(name) {
		return false
	}
	return m.labels == nil || m.labels.Match(labels)
}

// matchFolded is Match of the folded name. It does not allocate for what can
// be a name.
func (g *Globs) matchFolded(name string) bool {
	folded := true
	for i := range len(name) {
		if c := name[i]; 'A' <= c && c <= 'Z' || c >= utf8.RuneSelf {
			folded = false
			break
		}
	}
	if folded {
		return g.Match(name)
	}
	if len(name) > gatehouse.MaxName {
		return g.Match(gatehouse.Fold(name))
	}
	var buffer [gatehouse.MaxName]byte
	for i := range len(name) {
		c := name[i]
		if c >= utf8.RuneSelf {
			return g.Match(gatehouse.Fold(name))
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buffer[i] = c
	}
	// Match keeps no part of its text, so that the buffer stays on the stack,
	// which converting it to a string would not.
	return g.Match(unsafe.String(&buffer[0], len(name)))
}
