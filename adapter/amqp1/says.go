package amqp1

import (
	"bytes"
	"math"
	"slices"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp/message"
	"github.com/gatehouse/gatehouse/amqp/wire"
	"github.com/gatehouse/gatehouse/cloudevents"
)

// A reading is what a bare message says, in place: what readBare would make of
// it, without making anything.
type reading struct {
	message.Fields

	id, source, kind, subject, contentType, schema wire.Value
	group, correlation, replyTo, key, trace        wire.Value
	time                                           time.Time
}

// says reports whether a bare message says what m does. If so, r has the fields
// of its properties.
func (r *reading) says(s *message.Message, verbatim bool, m *gatehouse.Message) bool {
	*r = reading{}
	if s.Fields(&r.Fields) != nil {
		return false
	}
	r.id, r.subject, r.contentType = r.MessageID, r.Subject, r.ContentType
	r.group, r.correlation, r.replyTo = r.GroupID, r.CorrelationID, r.ReplyTo
	r.time, _ = r.CreationTime.Time()
	same, ok := r.properties(s.ApplicationProperties().Items(), m.Attributes)
	if !ok {
		return saysInFull(s, verbatim, m)
	}
	return same && r.envelope(m) && isTo(r.To, m.To) && (verbatim || sameBody(s, m))
}

// properties reads application properties, and reports whether those that are
// attributes are the same. It is not ok if there is something among them that
// it does not know how to read.
func (r *reading) properties(items wire.Items, attributes []gatehouse.Attribute) (same, ok bool) {
	same, attributes = true, skipNative(attributes)
	for items.Len() > 0 {
		key, _ := items.Next()
		value, _ := items.Next()
		name, isText := key.Text()
		short, isEvent := eventName(name)
		switch {
		case !isText || isEvent && !r.event(short, value):
			return false, false
		case isEvent || string(name) == NativeAttribute:
		case len(attributes) == 0:
			same = false
		default:
			same = same && string(name) == attributes[0].Name && isValue(value, attributes[0].Value)
			attributes = skipNative(attributes[1:])
		}
	}
	return same && len(attributes) == 0, true
}

// skipNative returns the attributes from the first on that is not
// NativeAttribute.
func skipNative(a []gatehouse.Attribute) []gatehouse.Attribute {
	for len(a) > 0 && a[0].Name == NativeAttribute {
		a = a[1:]
	}
	return a
}

// event reads a CloudEvents attribute: see readEvent. It reports false for one
// that it does not know.
func (r *reading) event(name []byte, v wire.Value) bool {
	if v.IsNull() {
		return true
	}
	if t, ok := v.Time(); ok && string(name) == "time" {
		r.time = t
		return 0 <= t.Year() && t.Year() <= 9999
	}
	text, ok := v.Text()
	if !ok {
		return false
	}
	switch string(name) {
	case "specversion":
		return string(text) == cloudevents.SpecVersion
	case "type":
		if r.kind = v; string(text) == cloudevents.DefaultType {
			r.kind = wire.Value{}
		}
		return true
	}
	field := r.field(name)
	if field != nil {
		*field = v
	}
	return field != nil
}

// field returns where the text of a CloudEvents attribute goes, nil for one
// that it does not know.
func (r *reading) field(name []byte) *wire.Value {
	switch string(name) {
	case "id":
		return &r.id
	case "source":
		return &r.source
	case "datacontenttype":
		return &r.contentType
	case "dataschema":
		return &r.schema
	case "subject":
		return &r.subject
	case "partitionkey":
		return &r.key
	case "group":
		return &r.group
	case "correlationid":
		return &r.correlation
	case "replyto":
		return &r.replyTo
	case "traceparent":
		return &r.trace
	}
	return nil
}

// envelope compares what there is of the envelope, but for To and attributes.
func (r *reading) envelope(m *gatehouse.Message) bool {
	return isTextOrNone(r.id, m.ID) && isTextOrNone(r.source, m.Source) && isTextOrNone(r.key, m.Key) &&
		isText(r.kind, m.Type) && isText(r.subject, m.Subject) && isText(r.contentType, m.ContentType) &&
		isText(r.schema, m.Schema) && isText(r.group, m.Group) && isText(r.correlation, m.CorrelationID) &&
		isText(r.replyTo, m.ReplyTo) && isText(r.trace, m.TraceParent) && r.time.Equal(m.Time)
}

// isTo reports whether addresses of a to property are those wanted.
func isTo(v wire.Value, want []string) bool {
	to, _ := v.Text()
	if len(want) == 0 {
		return len(to) == 0 || len(addresses(nil, string(to))) == 0
	}
	for i, a := range want {
		if i > 0 {
			if len(to) == 0 || to[0] != ',' {
				return false
			}
			to = to[1:]
		}
		if _, _, ok := gatehouse.SplitAddress(a); !ok || len(to) < len(a) || string(to[:len(a)]) != a {
			return false
		}
		to = to[len(a):]
	}
	return len(to) == 0
}

// isText reports whether toText of v is s.
func isText(v wire.Value, s string) bool {
	if v.IsNull() {
		return s == ""
	}
	if b, ok := v.Text(); ok {
		return string(b) == s
	}
	return toText(v) == s
}

func isTextOrNone(v wire.Value, s string) bool { return v.IsNull() || isText(v, s) || isText(v, "") }

// isValue reports whether toValue of v is a.
func isValue(v wire.Value, a gatehouse.Value) bool {
	switch v.Type() {
	case wire.TypeBool:
		b, _ := v.Bool()
		return a.Type() == gatehouse.TypeBool && a.Bool() == b
	case wire.TypeUbyte, wire.TypeUshort, wire.TypeUint, wire.TypeUlong:
		n, _ := v.Uint64()
		return a.Type() == gatehouse.TypeUint64 && a.Uint64() == n
	case wire.TypeByte, wire.TypeShort, wire.TypeInt, wire.TypeLong:
		n, _ := v.Int64()
		return a.Type() == gatehouse.TypeInt64 && a.Int64() == n
	case wire.TypeFloat, wire.TypeDouble:
		f, _ := v.Float64()
		return a.Type() == gatehouse.TypeFloat64 && math.Float64bits(a.Float64()) == math.Float64bits(f)
	case wire.TypeTimestamp:
		n, _ := v.Millis()
		return a.Type() == gatehouse.TypeTimestamp && a.Int64() == n
	case wire.TypeUUID:
		u, _ := v.UUID()
		return a.Type() == gatehouse.TypeUUID && a.Str() == string(u[:])
	case wire.TypeString, wire.TypeSymbol:
		b, _ := v.Text()
		return a.Type() == gatehouse.TypeString && a.Str() == string(b)
	case wire.TypeBinary:
		b, _ := v.Bytes()
		return a.Type() == gatehouse.TypeBinary && a.Str() == string(b)
	}
	return equal(toValue(v), a)
}

// sameBody reports whether m has the body that readBody makes of s.
func sameBody(s *message.Message, m *gatehouse.Message) bool {
	var o gatehouse.Message
	readBody(s, &o)
	return bytes.Equal(o.Body, m.Body)
}

// saysInFull is says for any bare message: it makes an envelope of it.
func saysInFull(s *message.Message, verbatim bool, m *gatehouse.Message) bool {
	var o gatehouse.Message
	var to [1]string
	o.To = to[:0]
	if readBare(s, &o) != nil {
		return false
	}
	switch {
	case o.ID != "" && o.ID != m.ID,
		o.Source != "" && o.Source != m.Source,
		o.Key != "" && o.Key != m.Key,
		o.TTL != 0 && o.TTL != m.TTL,
		!o.NotBefore.IsZero() && !o.NotBefore.Equal(m.NotBefore):
		return false
	case o.Type != m.Type, o.Subject != m.Subject, o.ContentType != m.ContentType, o.Schema != m.Schema,
		o.Group != m.Group, o.CorrelationID != m.CorrelationID, o.ReplyTo != m.ReplyTo, o.TraceParent != m.TraceParent,
		!o.Time.Equal(m.Time), !slices.Equal(o.To, m.To):
		return false
	case !verbatim && !bytes.Equal(o.Body, m.Body):
		return false
	}
	return sameAttributes(o.Attributes, m.Attributes)
}

// sameAttributes compares attributes, but for NativeAttribute.
func sameAttributes(a, b []gatehouse.Attribute) bool {
	i := 0
	for j := range b {
		if b[j].Name == NativeAttribute {
			continue
		}
		if i == len(a) || a[i].Name != b[j].Name || !equal(a[i].Value, b[j].Value) {
			return false
		}
		i++
	}
	return i == len(a)
}
