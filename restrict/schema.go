package restrict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Limits of schemas and of the bodies held against them.
const (
	maxSchema   = 256 << 10 // bytes
	maxDepth    = 256       // lists and objects within each other
	maxValues   = 1 << 17   // in a document: each may cost the validator some 1,000 bytes
	maxDigits   = 400       // characters of a number
	maxExponent = 400       // of a number, either sign: more than a float64 has
	maxReason   = 300       // bytes of an error's reason
)

// schemaURL is where a schema is said to be. It has a path, so that a relative
// reference leads to another document, which is not loaded, and not back here.
const (
	schemaRoot = "schema:///"
	schemaURL  = schemaRoot + "restriction"
)

// noLoader keeps schemas from reaching for other documents, on disk or in the
// network. The drafts' own meta-schemas are built in and do not come here.
type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("documents outside the schema are not loaded; put what is needed under $defs")
}

func compileSchema(schema any) (*jsonschema.Schema, error) {
	if schema == nil {
		return nil, nil
	}
	switch schema.(type) {
	case map[string]any, bool, json.RawMessage:
	default:
		return nil, fmt.Errorf("it is not an object")
	}
	text, err := json.Marshal(schema) // whichever format it was read from
	if err != nil {
		return nil, fmt.Errorf("it cannot be written as JSON: %w", err)
	}
	if len(text) > maxSchema {
		return nil, fmt.Errorf("it is %d bytes long; at most %d are allowed", len(text), maxSchema)
	}
	doc, err := decodeJSON(text)
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	if err := c.AddResource(schemaURL, doc); err != nil {
		return nil, schemaError(err)
	}
	s, err := c.Compile(schemaURL)
	if err != nil {
		return nil, schemaError(err)
	}
	return s, nil
}

// schemaError says in one bounded line why a schema does not compile.
func schemaError(err error) error {
	if e, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		if v, ok := errors.AsType[*jsonschema.ValidationError](e.Err); ok {
			return errors.New(reason(v))
		}
	}
	text := strings.NewReplacer(schemaURL, "", schemaRoot, "").Replace(err.Error())
	return errors.New(shorten(text))
}

func (c *compiled) checkSchema(body []byte) error {
	doc, err := decodeJSON(body)
	if err != nil {
		return c.refuse("a body that is not JSON within its limits", shorten(err.Error()))
	}
	if err := validate(c.schema, doc); err != nil {
		return c.refuse("a body that does not follow its schema", "mend it: "+err.Error())
	}
	return nil
}

// validate holds doc against s. The validator is not ours and the document is
// a stranger's: should one ever make the other panic, the message is refused
// and the process lives.
func validate(s *jsonschema.Schema, doc any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("the validator failed on it")
		}
	}()
	err = s.Validate(doc)
	if v, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		return errors.New(reason(v))
	}
	return err
}

var english = message.NewPrinter(language.English)

// reason says where and why a document was refused: the first cause that has
// none of its own, since those above it only say that something is wrong.
func reason(v *jsonschema.ValidationError) string {
	for len(v.Causes) > 0 {
		v = v.Causes[0]
	}
	at := "the document"
	if len(v.InstanceLocation) > 0 {
		at = "/" + strings.Join(v.InstanceLocation, "/")
	}
	return shorten(fmt.Sprintf("at %.100s: %s", at, v.ErrorKind.LocalizedString(english)))
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

// decodeJSON decodes one JSON document. It refuses what the validator must not
// see: it computes with exact fractions, in which 1e999999 is a number of a
// million digits, and it notes everything that is wrong, not only the first.
func decodeJSON(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("it is not valid UTF-8")
	}
	if err := checkShape(text); err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("it is not valid JSON: %w", err)
	}
	return doc, checkNumbers(doc)
}

// checkShape bounds the depth of a document and how many values it has, before
// memory is spent on them. It leaves it to the decoder whether it is JSON.
func checkShape(text []byte) error {
	depth, values, quoted := 0, 1, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		if quoted {
			if c == '\\' {
				i++
			}
			quoted = c != '"'
			continue
		}
		switch c {
		case '"':
			quoted = true
		case ',':
			values++
		case '[', '{':
			values++
			if depth++; depth > maxDepth {
				return fmt.Errorf("it is nested more than %d deep", maxDepth)
			}
		case ']', '}':
			depth--
		}
	}
	if values > maxValues {
		return fmt.Errorf("it has more than %d values", maxValues)
	}
	return nil
}

func checkNumbers(v any) error {
	switch v := v.(type) {
	case json.Number:
		return checkNumber(string(v))
	case []any:
		for _, e := range v {
			if err := checkNumbers(e); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, e := range v {
			if err := checkNumbers(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkNumber(n string) error {
	if len(n) > maxDigits {
		return fmt.Errorf("a number has more than %d digits", maxDigits)
	}
	if i := strings.IndexAny(n, "eE"); i >= 0 {
		if e, err := strconv.Atoi(n[i+1:]); err != nil || e > maxExponent || e < -maxExponent {
			return fmt.Errorf("a number has an exponent beyond %d", maxExponent)
		}
	}
	return nil
}
