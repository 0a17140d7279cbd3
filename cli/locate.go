package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/directory"

	"go.yaml.in/yaml/v3"
)

// inFile names file and line before each of the problems that the gateway has
// found with a file, or with one definition alone. Other errors stay as they
// are.
func inFile(err error, name string, text []byte) error {
	problems, ok := errors.AsType[directory.Problems](err)
	if !ok {
		return err
	}
	var root yaml.Node
	if yaml.Unmarshal(text, &root) != nil || len(root.Content) == 0 {
		return err
	}
	at := func(p directory.Problem) int { return lineOf(root.Content[0], p) }
	slices.SortStableFunc(problems, func(a, b directory.Problem) int { return at(a) - at(b) })
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = fmt.Sprintf("%s:%d: %s", name, at(p), p)
	}
	return gatehouse.Wrap(gatehouse.KindOf(err), err, strings.Join(lines, "\n"))
}

// lineOf returns the line that a problem is at, as near as can be found.
func lineOf(root *yaml.Node, p directory.Problem) int {
	at := root
	if section := child(root, plurals[p.Kind]); section != nil {
		at = section
		for _, item := range section.Content {
			if name := child(item, "name"); name == nil || gatehouse.Fold(name.Value) != gatehouse.Fold(p.Name) {
				continue
			}
			at = item
			if p.Field != "name" { // that there are two of a name is told of the last
				break
			}
		}
	}
	for key := range strings.SplitSeq(p.Field, ".") {
		next := child(at, key)
		if next == nil {
			break
		}
		at = next
	}
	return at.Line
}

// child returns the value of a key, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
