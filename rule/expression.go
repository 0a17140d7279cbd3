package rule

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse"
)

// MaxExpression is the greatest length of a label expression in bytes.
const MaxExpression = 16 << 10

// A LabelMatcher is a compiled label expression.
type LabelMatcher struct {
	all []requirement // all must hold
}

// A requirement is one part of an expression. Without values it asks whether
// the key is there, with them whether its value is among them; not inverts it.
type requirement struct {
	key    string
	values []string // sorted; nil: any
	not    bool
}

// CompileLabels compiles a label expression: requirements with commas between
// them, all of which must hold. The empty text holds for all labels.
//
//	site=oslo, site==oslo     the label is there and has this value
//	kind!=test                it has another value, or is not there
//	site in (oslo,bergen)     it is there and has one of these values
//	site notin (oslo,bergen)  it has none of these values, or is not there
//	spare                     it is there, whatever its value
//	!spare                    it is not there
//
// Spaces around the parts do not count. A value that is empty, or has spaces
// or any of ,()="!\ in it, is written in double quotes, in which \" and \\
// stand for " and \. The error is of kind Invalid and tells the position,
// counted in characters from 1.
func CompileLabels(expression string) (*LabelMatcher, error) {
	m := &LabelMatcher{}
	if expression == "" {
		return m, nil
	}
	if len(expression) > MaxExpression {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "the label expression is %d bytes long; at most %d are allowed", len(expression), MaxExpression)
	}
	p := parser{text: expression}
	for {
		r, err := p.requirement()
		if err != nil {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "label expression %.200q: %w", expression, err)
		}
		m.all = append(m.all, r)
		if p.at == len(p.text) {
			return m, nil
		}
		if !p.take(",") {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "label expression %.200q: %w", expression, p.wrong("a comma is missing before %.20q", p.text[p.at:]))
		}
	}
}

// Match reports whether all requirements hold for l.
func (m *LabelMatcher) Match(l Labels) bool {
	for i := range m.all {
		if !m.all[i].holds(l) {
			return false
		}
	}
	return true
}

func (r *requirement) holds(l Labels) bool {
	value, ok := l.Get(r.key)
	if ok && r.values != nil {
		_, ok = slices.BinarySearch(r.values, value)
	}
	return ok != r.not
}

// A parser reads a label expression.
type parser struct {
	text string
	at   int // the next byte
}

func (p *parser) wrong(format string, args ...any) error {
	return fmt.Errorf("position %d: %s", utf8.RuneCountInString(p.text[:p.at])+1, fmt.Sprintf(format, args...))
}

func (p *parser) space() {
	for p.at < len(p.text) && strings.IndexByte(blank, p.text[p.at]) >= 0 {
		p.at++
	}
}

// take takes token, and the spaces behind it, if it comes next.
func (p *parser) take(token string) bool {
	if !strings.HasPrefix(p.text[p.at:], token) {
		return false
	}
	p.at += len(token)
	p.space()
	return true
}

// requirement reads one requirement and the spaces around it.
func (p *parser) requirement() (r requirement, err error) {
	p.space()
	if p.take("!") {
		r.not = true
		r.key, err = p.key()
		return r, err
	}
	if r.key, err = p.key(); err != nil {
		return r, err
	}
	switch {
	case p.take("!="):
		r.not = true
		return r, p.single(&r)
	case p.take("=="), p.take("="):
		return r, p.single(&r)
	case p.word("notin"):
		r.not = true
		return r, p.list(&r)
	case p.word("in"):
		return r, p.list(&r)
	}
	return r, nil
}

// key reads a label key.
func (p *parser) key() (string, error) {
	start := p.at
	for p.at < len(p.text) && isKeyByte(p.text[p.at]) {
		p.at++
	}
	key, end := p.text[start:p.at], p.at
	p.at = start
	switch {
	case key == "" && start == len(p.text):
		return "", p.wrong("a label key is missing at the end")
	case key == "":
		return "", p.wrong("a label key is missing before %.20q", p.text[start:])
	}
	if why := checkKey(key); why != "" {
		return "", p.wrong("label key %.140q: %s", key, why)
	}
	p.at = end
	p.space()
	return key, nil
}

// word takes a word that is an operator.
func (p *parser) word(word string) bool {
	rest := p.text[p.at:]
	if !strings.HasPrefix(rest, word) || len(rest) > len(word) && isKeyByte(rest[len(word)]) {
		return false
	}
	return p.take(word)
}

func (p *parser) single(r *requirement) error {
	v, err := p.value()
	r.values = []string{v}
	return err
}

func (p *parser) list(r *requirement) error {
	if !p.take("(") {
		return p.wrong("the values must stand in parentheses, as in site in (oslo,bergen)")
	}
	for {
		v, err := p.value()
		if err != nil {
			return err
		}
		r.values = append(r.values, v)
		switch {
		case p.take(","):
		case p.take(")"):
			slices.Sort(r.values)
			r.values = slices.Compact(r.values)
			return nil
		default:
			return p.wrong("a closing parenthesis is missing")
		}
	}
}

// What a value has only within quotes.
const (
	blank   = " \t\r\n"
	special = `,()="!\`
)

// value reads a value and the spaces behind it.
func (p *parser) value() (string, error) {
	start := p.at
	if p.at < len(p.text) && p.text[p.at] == '"' {
		return p.quoted()
	}
	rest := p.text[start:]
	if end := strings.IndexAny(rest, blank+special); end >= 0 {
		rest = rest[:end]
	}
	if rest == "" {
		return "", p.wrong(`a value is missing; write "" for the empty one, and other marks than letters, digits and . _ / - in double quotes`)
	}
	if why := checkValue(rest); why != "" {
		return "", p.wrong("value %.60q: %s", rest, why)
	}
	p.at += len(rest)
	if p.at < len(p.text) && strings.IndexByte(`("=!\`, p.text[p.at]) >= 0 {
		return "", p.wrong("a value with %q in it must stand in double quotes", p.text[p.at])
	}
	p.space()
	return rest, nil
}

func (p *parser) quoted() (string, error) {
	start := p.at
	var b strings.Builder
	for i := start + 1; i < len(p.text); i++ {
		c := p.text[i]
		if c == '"' {
			if why := checkValue(b.String()); why != "" {
				return "", p.wrong("value %.60q: %s", b.String(), why)
			}
			p.at = i + 1
			p.space()
			return b.String(), nil
		}
		if c == '\\' {
			if i++; i == len(p.text) || p.text[i] != '"' && p.text[i] != '\\' {
				p.at = i - 1
				return "", p.wrong(`a backslash must stand before " or \`)
			}
			c = p.text[i]
		}
		b.WriteByte(c)
	}
	return "", p.wrong("the closing quote is missing")
}
