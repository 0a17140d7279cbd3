package cloudevents

import (
	"bytes"
	"encoding/base64"

	"github.com/gatehouse/gatehouse"
)

// Decode reads a message from one JSON object, as structured mode has it. The
// message's body may alias data. Errors are of kind Invalid and name the
// member.
func Decode(data []byte) (*gatehouse.Message, error) {
	if err := check(data); err != nil {
		return nil, err
	}
	return decodeEvent(trim(data))
}

// DecodeBatch reads a JSON array of messages, at most limit of them. The
// bodies may alias data. Errors are of kind Invalid, or TooLarge for too many,
// and name the event by its number in the batch, counted from 1.
func DecodeBatch(data []byte, limit int) ([]*gatehouse.Message, error) {
	if err := check(data); err != nil {
		return nil, err
	}
	data = trim(data)
	if data[0] != '[' {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "a CloudEvents batch is a JSON array of events; the body is none")
	}
	var batch []*gatehouse.Message
	err := elements(data, func(i int, v []byte) error {
		if i == limit {
			return gatehouse.Errorf(gatehouse.TooLarge, "the batch has more than %d events; send it in parts", limit)
		}
		m, err := decodeEvent(v)
		if err != nil {
			return gatehouse.Errorf(gatehouse.Invalid, "event %d of the batch: %v", i+1, err)
		}
		batch = append(batch, m)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return batch, nil
}

// maxMembers bounds the members of an event, because each name is compared
// with those before it.
const maxMembers = 512

// An event collects the members of an object until all are known.
type event struct {
	m      *gatehouse.Message
	data   []byte // raw JSON value
	base64 []byte // raw JSON string
	names  [][]byte
}

func decodeEvent(v []byte) (*gatehouse.Message, error) {
	if v[0] != '{' {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "a CloudEvent is a JSON object; this is none")
	}
	e := event{m: new(gatehouse.Message), names: make([][]byte, 0, 24)}
	if err := members(v, e.member); err != nil {
		return nil, err
	}
	if err := e.body(); err != nil {
		return nil, err
	}
	return e.m, nil
}

func (e *event) member(quoted, value []byte) error {
	name := unquote(quoted)
	if len(e.names) == maxMembers {
		return gatehouse.Errorf(gatehouse.Invalid, "the CloudEvent has more than %d members", maxMembers)
	}
	for _, other := range e.names {
		if bytes.Equal(name, other) {
			return gatehouse.Errorf(gatehouse.Invalid, "the CloudEvent has the member %.64q twice", name)
		}
	}
	e.names = append(e.names, name)
	if value[0] == 'n' { // null is the same as absent
		return nil
	}
	switch string(name) {
	case "data":
		e.data = value
		return nil
	case "data_base64":
		if value[0] != '"' {
			return gatehouse.Errorf(gatehouse.Invalid, "the CloudEvent's data_base64 is not a string")
		}
		e.base64 = value
		return nil
	}
	return e.attribute(name, value)
}

func (e *event) attribute(name, value []byte) error {
	var buf [64]byte
	if low, ok := lower(buf[:0], string(name)); !ok || string(low) != string(name) {
		return gatehouse.Errorf(gatehouse.Invalid, "CloudEvents attribute name %.64q is not allowed; use lower-case letters and digits, at most %d", name, len(buf))
	}
	switch {
	case string(name) == "to" && value[0] == '[':
		return elements(value, func(_ int, v []byte) error {
			if v[0] != '"' {
				return gatehouse.Errorf(gatehouse.Invalid, "CloudEvents attribute \"to\" has an element that is not a string")
			}
			e.m.To = append(e.m.To, string(unquote(v)))
			return nil
		})
	case value[0] == '[' || value[0] == '{':
		return gatehouse.Errorf(gatehouse.Invalid, "CloudEvents attribute %q is an object or array; an attribute is a string, a number or a boolean", name)
	case value[0] == '"':
		return set(e.m, name, string(unquote(value)))
	case string(name) == "ttl":
		return set(e.m, name, string(value))
	case string(name) == "id" || string(name) == "subject" || string(name) == "partitionkey" || string(name) == "group" || string(name) == "correlationid":
		// Numbers are common here and their text is unambiguous.
		return set(e.m, name, string(value))
	case !isReserved(name):
		e.m.Attributes = append(e.m.Attributes, gatehouse.Attribute{Name: string(name), Value: scalar(value)})
		return nil
	case isDelivery(name):
		return nil
	}
	return gatehouse.Errorf(gatehouse.Invalid, "CloudEvents attribute %q is %.32s, not a string", name, value)
}

// body sets the message's body from data or data_base64.
func (e *event) body() error {
	switch {
	case e.data != nil && e.base64 != nil:
		return gatehouse.Errorf(gatehouse.Invalid, "the CloudEvent has both data and data_base64; send one")
	case e.base64 != nil:
		body, err := base64.StdEncoding.AppendDecode(nil, unquote(e.base64))
		if err != nil {
			return gatehouse.Errorf(gatehouse.Invalid, "the CloudEvent's data_base64 is not base64")
		}
		e.m.Body = body
	case e.data != nil:
		if e.m.ContentType == "" {
			e.m.ContentType = "application/json"
		}
		e.m.Body = e.data
		if e.data[0] == '"' && !IsJSON(e.m.ContentType) {
			e.m.Body = unquote(e.data)
		}
	}
	return nil
}
