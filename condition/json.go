package condition

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Limits of the bodies that msg.json parses. A body beyond them is not JSON to
// an expression.
const (
	maxJSON  = 4 << 20 // bytes
	maxDepth = 256     // lists and objects within each other
)

// body is the parsed body of a message.
type body struct {
	message *gatehouse.Message // whose body it is; nil: not parsed
	doc     any
	err     error
}

// of returns b, which is the body of m afterwards.
func (b *body) of(m *gatehouse.Message) *body {
	if b.message != m {
		b.message = m
		b.doc, b.err = parseJSON(m.Body)
	}
	return b
}

func (b *body) val() ref.Val {
	if b.err != nil {
		return types.WrapErr(b.err)
	}
	return types.DefaultTypeAdapter.NativeToValue(b.doc)
}

func parseJSON(text []byte) (any, error) {
	switch {
	case len(text) == 0:
		return nil, errors.New("msg.json: the body is empty")
	case len(text) > maxJSON:
		return nil, fmt.Errorf("msg.json: the body is longer than %d bytes", maxJSON)
	case !utf8.Valid(text):
		return nil, errors.New("msg.json: the body is not valid UTF-8")
	case deeper(text, maxDepth):
		return nil, fmt.Errorf("msg.json: the body is nested more than %d deep", maxDepth)
	}
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("msg.json: the body is not JSON: %w", err)
	}
	return doc, nil
}

// deeper reports whether lists and objects of a JSON text are nested more than
// limit deep. Of what is not JSON it may say anything.
func deeper(text []byte, limit int) bool {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case quoted:
		case c == '[', c == '{':
			if depth++; depth > limit {
				return true
			}
		case c == ']', c == '}':
			depth--
		}
	}
	return false
}
