package httpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"

	"github.com/gatehouse/gatehouse"
)

// azureBatch is the content type of a batch as Azure's REST API has it: a JSON
// array of elements.
const azureBatch = "application/vnd.microsoft.servicebus.json"

// An element is one message of such a batch.
type element struct {
	Body             json.RawMessage
	IsBodyBase64     bool
	BrokerProperties brokerProperties
	UserProperties   properties
	ContentType      string // not Azure's; a batch says it nowhere else
}

// properties are the members of UserProperties, in order.
type properties []gatehouse.Attribute

// UnmarshalJSON reads an object of strings, numbers, booleans and nulls.
func (p *properties) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	open, err := d.Token()
	if err != nil || open == nil {
		return err // null: none
	}
	if open != json.Delim('{') {
		return gatehouse.Errorf(gatehouse.Invalid, "UserProperties is not an object")
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		value, err := d.Token()
		if err != nil {
			return err
		}
		v, err := property(value)
		if err != nil {
			return gatehouse.Errorf(gatehouse.Invalid, "user property %.64q %v", name, err)
		}
		*p = append(*p, gatehouse.Attribute{Name: name.(string), Value: v})
	}
	return nil
}

func property(t json.Token) (gatehouse.Value, error) {
	switch t := t.(type) {
	case string:
		return gatehouse.String(t), nil
	case bool:
		return gatehouse.Bool(t), nil
	case nil:
		return gatehouse.Value{}, nil
	case json.Number:
		if v, ok := parseNumber(t.String()); ok {
			return v, nil
		}
		return gatehouse.String(t.String()), nil
	}
	return gatehouse.Value{}, gatehouse.Errorf(gatehouse.Invalid, "is an object or an array; a property is a string, a number, a boolean or null")
}

// decodeBatch reads an Azure batch of at most limit messages. Errors name the
// message by its number, counted from 1.
func decodeBatch(data []byte, limit int) ([]*gatehouse.Message, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	open, err := d.Token()
	if err != nil || open != json.Delim('[') {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "a batch is a JSON array of messages; the body is none")
	}
	var batch []*gatehouse.Message
	for d.More() {
		n := len(batch) + 1
		if n > limit {
			return nil, errBatchSize(limit)
		}
		var e element
		if err := d.Decode(&e); err != nil {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "message %d of the batch: %v", n, explain(err))
		}
		m, err := e.message()
		if err != nil {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "message %d of the batch: %v", n, err)
		}
		batch = append(batch, m)
	}
	if _, err := d.Token(); err != nil {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "the batch ends before its array does")
	}
	if _, err := d.Token(); err != io.EOF { //nolint:errorlint // Token returns it bare
		return nil, gatehouse.Errorf(gatehouse.Invalid, "something follows the batch's array")
	}
	return batch, nil
}

// explain says what is wrong in terms of the JSON, not of Go's types.
func explain(err error) error {
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case !ok:
		return err
	case wrong.Field == "":
		return gatehouse.Errorf(gatehouse.Invalid, "it is a JSON %s, not an object", wrong.Value)
	}
	return gatehouse.Errorf(gatehouse.Invalid, "%s cannot be a JSON %s", wrong.Field, wrong.Value)
}

func errBatchSize(limit int) error {
	return gatehouse.Errorf(gatehouse.TooLarge, "the batch has more than %d messages; send it in parts", limit)
}

func (e *element) message() (*gatehouse.Message, error) {
	m := &gatehouse.Message{ContentType: e.ContentType, Attributes: e.UserProperties}
	if err := e.BrokerProperties.apply(m); err != nil {
		return nil, err
	}
	switch {
	case len(e.Body) == 0 || e.Body[0] == 'n':
	case e.Body[0] == '"':
		var text string
		if err := json.Unmarshal(e.Body, &text); err != nil {
			return nil, err
		}
		m.Body = []byte(text)
	case e.IsBodyBase64:
		return nil, gatehouse.Errorf(gatehouse.Invalid, "IsBodyBase64 is set, but the Body is not a string")
	default: // JSON put where its text should be: the meaning is plain
		m.Body = e.Body
		if m.ContentType == "" {
			m.ContentType = "application/json"
		}
	}
	if e.IsBodyBase64 {
		body, err := base64.StdEncoding.DecodeString(string(m.Body))
		if err != nil {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "IsBodyBase64 is set, but the Body is not base64")
		}
		m.Body = body
	}
	return m, nil
}
