package directory

import (
	"fmt"
	"strings"

	"github.com/gatehouse/gatehouse"
)

// A Problem is one thing that is wrong with a definition.
type Problem struct {
	Ref
	Field string `json:"field,omitempty"`
	Text  string `json:"text"` // what is wrong and what to do
	index int    // of the change
}

// String returns the definition, the field and what is wrong.
func (p Problem) String() string {
	if p.Field == "" {
		return fmt.Sprintf("%s: %s", p.Ref, p.Text)
	}
	return fmt.Sprintf("%s: %s: %s", p.Ref, p.Field, p.Text)
}

// Problems is the cause of an Invalid error of a change: all that is wrong
// with it, as far as it was looked at.
type Problems []Problem

// maxProblems is how many problems are looked for.
const maxProblems = 50

// Error returns a line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

func (p Problems) full() bool { return len(p) >= maxProblems }

// err returns what a changing call returns for p.
func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	text := p.Error()
	if p.full() {
		text += "\nand perhaps more"
	}
	return gatehouse.Wrap(gatehouse.Invalid, p, text)
}

// faults collects what is wrong with one definition.
type faults struct {
	ref   Ref
	index int
	found Problems
}

func (f *faults) add(field, format string, args ...any) {
	f.found = append(f.found, Problem{f.ref, field, fmt.Sprintf(format, args...), f.index})
}

// addError adds an error of another package that begins with the field, and
// may say before which definition it is about.
func (f *faults) addError(err error) {
	if err == nil {
		return
	}
	text := err.Error()
	if before, rest, ok := strings.Cut(text, fmt.Sprintf("%q: ", f.ref.Name)); ok && !strings.Contains(before, ": ") {
		text = rest
	}
	field, rest, ok := strings.Cut(text, ": ")
	if !ok || strings.ContainsAny(field, " \"") {
		field, rest = "", text
	}
	f.add(field, "%s", rest)
}

func (f *faults) name(s string) {
	if err := gatehouse.CheckName(s); err != nil {
		f.add("name", "%s", err)
	}
}

// maxDescription is how long a description may be, in bytes.
const maxDescription = 1024

func (f *faults) description(s string) {
	switch {
	case len(s) > maxDescription:
		f.add("description", "it is %d bytes long; at most %d are allowed", len(s), maxDescription)
	case strings.ToValidUTF8(s, "") != s:
		f.add("description", "it is not valid UTF-8")
	}
}
