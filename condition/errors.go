package condition

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse"

	"cel.dev/cel-go/common"
)

// Limits of what errors show, in bytes and characters.
const (
	maxReason = 300
	maxLine   = 100
)

// explain says what is wrong with an expression that does not compile: the
// first of the issues, which the others often only follow from.
func (e *environment) explain(text string, issues []*common.Error) error {
	first := issues[0]
	for _, issue := range issues[1:] {
		if before(issue.Location, first.Location) {
			first = issue
		}
	}
	at := first.Location
	if strings.HasPrefix(first.Message, "undefined field ") {
		at = common.NewLocation(at.Line(), at.Column()+1) // behind the dot
	}
	return faultAt(text, at, e.inWords(first.Message))
}

func before(a, b common.Location) bool {
	return a.Line() < b.Line() || a.Line() == b.Line() && a.Column() < b.Column()
}

// inWords puts the compiler's message into the reader's terms.
func (e *environment) inWords(message string) string {
	message = strings.ReplaceAll(message, " (in container '')", "")
	message, _, _ = strings.Cut(message, " expecting {")
	message = operator.ReplaceAllStringFunc(message, func(name string) string {
		return "'" + strings.Trim(name, "'_@") + "'"
	})
	switch {
	case strings.Contains(message, "did you mean"):
	case message == "invalid matches argument":
		message = "the pattern of matches is not a valid regular expression, or too large a one"
	case strings.HasPrefix(message, "undeclared reference to "):
		message += "; there are msg, endpoint, channel and now, and text is written in quotes"
	case strings.HasPrefix(message, "undefined field "):
		message += "; msg has " + strings.Join(e.message.names, ", ") + "; endpoint has name, labels; channel has name"
	}
	return message
}

// operator is the compiler's name of an operator: '_==_', '@in', '_[_]', '!_'.
var operator = regexp.MustCompile(`'[_@!-][^'a-z]*_?'|'@in'`)

// faultAt returns an error of kind Invalid that says what is wrong with text
// in which line and column, and shows the place.
func faultAt(text string, at common.Location, what string) error {
	if at.Line() < 1 || at.Column() < 0 {
		at = common.NewLocation(1, 0)
	}
	what = strings.Join(strings.Fields(strings.ToValidUTF8(what, "�")), " ")
	return gatehouse.Errorf(gatehouse.Invalid, "%d:%d: %s%s", at.Line(), at.Column()+1, what, pointer(text, at))
}

// pointer shows the line at fault and points at the column.
func pointer(text string, at common.Location) string {
	lines := strings.Split(text, "\n")
	if at.Line() > len(lines) {
		return ""
	}
	line := []rune(strings.ToValidUTF8(strings.TrimSuffix(lines[at.Line()-1], "\r"), "�"))
	for i, r := range line {
		if r == '\t' {
			line[i] = ' '
		}
	}
	column := min(at.Column(), len(line))
	from := max(0, column-maxLine/2)
	to := min(len(line), from+maxLine)
	return fmt.Sprintf("\n  %s\n  %s^", string(line[from:to]), strings.Repeat(" ", column-from))
}

// shorten bounds a text for an error and keeps it on one line.
func shorten(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "�")), " ")
	if len(s) <= maxReason {
		return s
	}
	cut := maxReason
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
