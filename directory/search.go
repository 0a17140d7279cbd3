package directory

import (
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/rule"
)

// MaxSearch is how many endpoints a Search finds at most, and by default.
const MaxSearch = 1000

// A Search says which endpoints are wanted. What is not given does not limit.
type Search struct {
	Prefix   string // of the name
	Glob     string // the whole name: "pump-*"
	Labels   string // selector: "site=oslo,kind!=test"
	Disabled *bool
	Revoked  *bool  // either side
	After    string // names that come after this one
	Limit    int    // default and most: MaxSearch
}

// filter is a Search in the form it is asked in.
type filter struct {
	Search
	prefix string // of the folded name; covers that of the glob
	glob   *rule.Globs
	labels *rule.LabelMatcher
}

func (s Search) compile() (*filter, error) {
	f := &filter{Search: s, prefix: strings.ToLower(s.Prefix)}
	var err error
	if s.Glob != "" {
		folded := strings.ToLower(s.Glob)
		if f.glob, err = rule.CompileGlobs([]string{folded}); err != nil {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "glob: %w", err)
		}
		if literal, _, _ := strings.Cut(strings.ReplaceAll(folded, "?", "*"), "*"); f.prefix == "" {
			f.prefix = literal
		}
	}
	if s.Labels != "" {
		if f.labels, err = rule.CompileLabels(s.Labels); err != nil {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "labels: %w", err)
		}
	}
	if f.Limit <= 0 || f.Limit > MaxSearch {
		f.Limit = MaxSearch
	}
	return f, nil
}

func (f *filter) match(e *Endpoint) bool {
	switch {
	case f.glob != nil && !f.glob.Match(e.key):
		return false
	case f.labels != nil && !f.labels.Match(e.labels):
		return false
	case f.Disabled != nil && *f.Disabled != e.Disabled():
		return false
	case f.Revoked != nil && *f.Revoked != (e.Revoked() != Revoked{}):
		return false
	}
	return true
}

// Search returns the endpoints that s asks for, in order of name, and whether
// there are more behind the last of them. Prefixes and the beginnings of globs
// limit what is looked at; the rest looks at every endpoint up to the limit.
func (a *Account) Search(s Search) (found []*Endpoint, more bool, err error) {
	f, err := s.compile()
	if err != nil {
		return nil, false, err
	}
	after := strings.ToLower(s.After)
	for e := range a.endpoints.From(max(after, f.prefix)) {
		if !strings.HasPrefix(e.key, f.prefix) {
			break
		}
		if e.key == after || !f.match(e) {
			continue
		}
		if len(found) == f.Limit {
			return found, true, nil
		}
		found = append(found, e)
	}
	return found, false, nil
}
