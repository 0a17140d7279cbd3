package rule

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse"
)

// MaxGlob is the greatest length of a glob in bytes.
const MaxGlob = 512

// Globs is a compiled list of globs. A text matches it if it matches one of
// them. In a glob '*' stands for any run of characters, the empty one too, '?'
// for exactly one character, and every other character for itself; case
// counts. Matching takes time linear in the length of the text.
type Globs struct {
	any      bool                // "*" is among them
	exact    map[string]struct{} // without * and ?
	prefixes []string            // "prefix*", sorted, none of them a prefix of another
	suffixes []string            // "*suffix"
	general  []glob
}

// CompileGlobs compiles globs. The list must not be empty, nor an entry. The
// error is of kind Invalid.
func CompileGlobs(globs []string) (*Globs, error) {
	if len(globs) == 0 {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "the list of globs is empty; write \"*\" for everything")
	}
	g := &Globs{}
	for _, text := range globs {
		switch {
		case text == "":
			return nil, gatehouse.Errorf(gatehouse.Invalid, "a glob is empty; write \"*\" for everything")
		case !utf8.ValidString(text):
			return nil, gatehouse.Errorf(gatehouse.Invalid, "glob %.40q is not valid UTF-8", text)
		case len(text) > MaxGlob:
			return nil, gatehouse.Errorf(gatehouse.Invalid, "glob %.40q… is %d bytes long; at most %d are allowed", text, len(text), MaxGlob)
		}
		g.add(text)
	}
	g.prefixes = shortest(g.prefixes)
	return g, nil
}

// shortest sorts prefixes and drops those that start with another of them.
func shortest(prefixes []string) []string {
	slices.Sort(prefixes)
	kept := prefixes[:0]
	for _, p := range prefixes {
		if len(kept) == 0 || !strings.HasPrefix(p, kept[len(kept)-1]) {
			kept = append(kept, p)
		}
	}
	return kept
}

func (g *Globs) add(text string) {
	head := strings.TrimRight(text, "*")
	tail := strings.TrimLeft(text, "*")
	switch {
	case head == "":
		g.any = true
	case !strings.ContainsAny(text, "*?"):
		if g.exact == nil {
			g.exact = make(map[string]struct{})
		}
		g.exact[text] = struct{}{}
	case !strings.ContainsAny(head, "*?"):
		g.prefixes = append(g.prefixes, head)
	case !strings.ContainsAny(tail, "*?"):
		g.suffixes = append(g.suffixes, tail)
	default:
		g.general = append(g.general, compileGlob(text))
	}
}

// Match reports whether text matches one of the globs.
func (g *Globs) Match(text string) bool {
	if g.any {
		return true
	}
	if _, ok := g.exact[text]; ok {
		return true
	}
	if g.hasPrefix(text) {
		return true
	}
	for _, s := range g.suffixes {
		if strings.HasSuffix(text, s) {
			return true
		}
	}
	for i := range g.general {
		if g.general[i].match(text) {
			return true
		}
	}
	return false
}

// hasPrefix reports whether text starts with one of the prefixes. That can only
// be the last that does not sort behind it: what sorts between a prefix and
// text starts with that prefix as well.
func (g *Globs) hasPrefix(text string) bool {
	low, high := 0, len(g.prefixes)
	for low < high {
		mid := int(uint(low+high) / 2)
		if g.prefixes[mid] <= text {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low > 0 && strings.HasPrefix(text, g.prefixes[low-1])
}

// A glob is one compiled glob: the segments between its asterisks.
type glob struct {
	first  segment   // at the start of the text
	middle []segment // in this order, anywhere between
	last   segment   // at the end
	exact  bool      // no asterisk: first is the whole
}

// A segment is a piece of a glob without asterisks.
type segment struct {
	text     string
	question bool // it has question marks
}

func compileGlob(text string) glob {
	var all []segment
	for part := range strings.SplitSeq(text, "*") {
		all = append(all, segment{part, strings.Contains(part, "?")})
	}
	g := glob{first: all[0], exact: len(all) == 1}
	if g.exact {
		return g
	}
	g.last = all[len(all)-1]
	for _, s := range all[1 : len(all)-1] {
		if s.text != "" {
			g.middle = append(g.middle, s)
		}
	}
	return g
}

func (g *glob) match(text string) bool {
	n, ok := g.first.prefix(text)
	if !ok || g.exact {
		return ok && n == len(text)
	}
	text = text[n:]
	for i := range g.middle {
		_, end := g.middle[i].index(text)
		if end < 0 {
			return false
		}
		text = text[end:]
	}
	return g.last.suffix(text)
}

// prefix reports whether text starts with s, and the length of what does.
func (s *segment) prefix(text string) (n int, ok bool) {
	if !s.question {
		return len(s.text), strings.HasPrefix(text, s.text)
	}
	for i := range len(s.text) {
		if n == len(text) {
			return 0, false
		}
		if s.text[i] == '?' {
			_, size := utf8.DecodeRuneInString(text[n:])
			n += size
			continue
		}
		if s.text[i] != text[n] {
			return 0, false
		}
		n++
	}
	return n, true
}

// index returns where the first s in text starts and ends; end is -1 if there
// is none.
func (s *segment) index(text string) (start, end int) {
	if !s.question {
		start = strings.Index(text, s.text)
		if start < 0 {
			return 0, -1
		}
		return start, start + len(s.text)
	}
	for start <= len(text) {
		if n, ok := s.prefix(text[start:]); ok {
			return start, start + n
		}
		if start == len(text) {
			break
		}
		_, size := utf8.DecodeRuneInString(text[start:])
		start += size
	}
	return 0, -1
}

// suffix reports whether text ends with s.
func (s *segment) suffix(text string) bool {
	if !s.question {
		return strings.HasSuffix(text, s.text)
	}
	// As many characters from the end as s has.
	start := len(text)
	for range utf8.RuneCountInString(s.text) {
		if start == 0 {
			return false
		}
		_, size := utf8.DecodeLastRuneInString(text[:start])
		start -= size
	}
	n, ok := s.prefix(text[start:])
	return ok && start+n == len(text)
}
