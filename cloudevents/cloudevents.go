// Package cloudevents translates between gatehouse.Message and CloudEvents
// 1.0: the context attributes as names and texts (binary mode, for any
// protocol with headers), the JSON format, and the JSON batch format. It knows
// no protocol; the percent-encoding that HTTP demands of header values is here
// because it is part of the CloudEvents rules, without a need of net/http.
//
// # Mapping
//
// Fields of the envelope are context attributes: id, source, type, subject,
// time, dataschema (Schema) and datacontenttype (ContentType); beyond the
// standard ones they are extensions: to (addresses joined by commas),
// partitionkey (Key), group, correlationid, replyto, ttl (seconds), notbefore
// and traceparent. The message's attributes are extensions of their own name.
//
// Decoding is lenient where a gateway can be: id, source, type and specversion
// may be missing, for the gate chooses an id and always sets the source. A
// specversion other than 1.0 is refused. Messages without a type are shown as
// type DefaultType, which stands for no type in the other direction too.
//
// # What CloudEvents cannot carry
//
// An extension's name has lower-case letters and digits only: the case of an
// attribute's name is lost. Its value is text, an integer of 32 bits or a
// boolean in JSON, and always text in binary mode: other numbers, timestamps
// (RFC 3339), binary (base64) and UUIDs arrive as their text. An attribute
// whose name CloudEvents cannot express at all ("device-id", "Größe", "id"),
// or whose value is null, a list or a map, travels in one more extension,
// gatehouseattributes: a text holding a JSON object, with the exact types.
// The attribute NativeAMQP does not travel at all.
// White space around a JSON body is not kept by the JSON format, nor are bytes
// of a text that are not UTF-8.
package cloudevents

import (
	"encoding/base64"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
)

// Media types of the JSON formats.
const (
	ContentType      = "application/cloudevents+json"
	BatchContentType = "application/cloudevents-batch+json"
)

// SpecVersion is the version of CloudEvents spoken here.
const SpecVersion = "1.0"

// DefaultType is shown as the type of a message that has none, because
// CloudEvents demands one. As input it means no type.
const DefaultType = "gatehouse.message"

// AttributesExtension is the extension that carries the attributes CloudEvents
// has no place for.
const AttributesExtension = "gatehouseattributes"

// NativeAMQP is the reserved attribute in which messages that came by AMQP keep
// what only AMQP can express.
const NativeAMQP = "$amqp"

// Set gives m the context attribute called name from its canonical text, as
// binary mode has it. The name is compared without case. A name that is not
// one of the envelope's becomes an attribute of type string, in lower case.
// What a gateway itself says about a delivery (locktoken, deliverycount and so
// on) is skipped, so that a received event can be sent on as it is.
//
// Errors are of kind Invalid and name the attribute.
func Set(m *gatehouse.Message, name, value string) error {
	var buf [64]byte
	low, ok := lower(buf[:0], name)
	if !ok {
		return gatehouse.Errorf(gatehouse.Invalid, "CloudEvents attribute name %.64q is not allowed; use lower-case letters and digits, at most %d", name, len(buf))
	}
	return set(m, low, value)
}

// set is Set for a name that is known to be legal, in lower case.
func set(m *gatehouse.Message, name []byte, value string) (err error) {
	switch string(name) { // does not allocate
	case "specversion":
		return checkVersion(value)
	case "id":
		m.ID = value
	case "source":
		m.Source = value
	case "type":
		if m.Type = value; value == DefaultType {
			m.Type = ""
		}
	case "datacontenttype":
		m.ContentType = value
	case "dataschema":
		m.Schema = value
	case "subject":
		m.Subject = value
	case "time":
		m.Time, err = parseTime("time", value)
	case "to":
		m.To = splitAddresses(value)
	case "partitionkey":
		m.Key = value
	case "group":
		m.Group = value
	case "correlationid":
		m.CorrelationID = value
	case "replyto":
		m.ReplyTo = value
	case "ttl":
		m.TTL, err = parseSeconds(value)
	case "notbefore":
		m.NotBefore, err = parseTime("notbefore", value)
	case "traceparent":
		m.TraceParent = value
	case AttributesExtension:
		m.Attributes, err = decodeTyped(m.Attributes, value)
	case "data":
		return gatehouse.Errorf(gatehouse.Invalid, "%q is not an attribute of a CloudEvent", string(name))
	default:
		if !isDelivery(name) {
			m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: string(name), Value: gatehouse.String(value)})
		}
	}
	return err
}

// lower appends name in lower case, or reports that it is not a legal name.
// Names longer than the room in dst are refused.
func lower(dst []byte, name string) ([]byte, bool) {
	if name == "" || len(name) > cap(dst) {
		return nil, false
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		default:
			return nil, false
		}
		dst = append(dst, c)
	}
	return dst, true
}

// isReserved reports whether an attribute of this name would be taken for
// something else.
func isReserved(name []byte) bool {
	switch string(name) {
	case "specversion", "id", "source", "type", "datacontenttype", "dataschema", "subject", "time", "data",
		"to", "partitionkey", "group", "correlationid", "replyto", "ttl", "notbefore", "traceparent", AttributesExtension:
		return true
	}
	return isDelivery(name)
}

func isDelivery(name []byte) bool {
	switch string(name) {
	case "locktoken", "lockeduntil", "deliverycount", "sequencenumber", "enqueuedtime",
		"deadletterreason", "deadletterdetail", "deadletterfrom", "deadlettertime":
		return true
	}
	return false
}

func checkVersion(v string) error {
	if v != SpecVersion {
		return gatehouse.Errorf(gatehouse.Invalid, "CloudEvents specversion %.32q is not supported; use %q", v, SpecVersion)
	}
	return nil
}

func splitAddresses(s string) []string {
	var to []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			to = append(to, part)
		}
	}
	return to
}

func parseTime(name, s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, gatehouse.Errorf(gatehouse.Invalid, "CloudEvents attribute %q is %.64q, not a time like 2030-01-31T12:00:00Z (RFC 3339)", name, s)
	}
	return t.UTC(), nil
}

// maxSeconds is the longest ttl a time.Duration can hold.
const maxSeconds = int64(math.MaxInt64 / time.Second)

// parseSeconds reads a whole number of seconds, or one with a fraction.
func parseSeconds(s string) (time.Duration, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n < 0 || whole[0] == '+' || whole[0] == '-' {
		return 0, gatehouse.Errorf(gatehouse.Invalid, "CloudEvents attribute \"ttl\" is %.64q, not a number of seconds", s)
	}
	if n >= maxSeconds { // longer than anybody keeps anything
		return time.Duration(math.MaxInt64), nil
	}
	d := time.Duration(n) * time.Second
	for unit := time.Second / 10; fraction != ""; unit, fraction = unit/10, fraction[1:] {
		c := fraction[0]
		if c < '0' || c > '9' {
			return 0, gatehouse.Errorf(gatehouse.Invalid, "CloudEvents attribute \"ttl\" is %.64q, not a number of seconds", s)
		}
		d += time.Duration(c-'0') * unit
	}
	return d, nil
}

// appendSeconds is the inverse of parseSeconds.
func appendSeconds(dst []byte, d time.Duration) []byte {
	dst = strconv.AppendInt(dst, int64(d/time.Second), 10)
	fraction := d % time.Second
	if fraction == 0 {
		return dst
	}
	dst = append(dst, '.')
	for unit := time.Second / 10; fraction > 0; unit /= 10 {
		dst = append(dst, byte('0'+fraction/unit))
		fraction %= unit
	}
	return dst
}

// Context returns the context attributes that m's envelope has, as name and
// canonical text, in a fixed order: specversion, id, source and type always,
// the others if they are set. It leaves out datacontenttype, which a protocol
// carries as its own content type, and m's attributes: see Extensions.
func Context(m *gatehouse.Message) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		typ := m.Type
		if typ == "" {
			typ = DefaultType
		}
		if !yield("specversion", SpecVersion) || !yield("id", m.ID) || !yield("source", m.Source) || !yield("type", typ) {
			return
		}
		texts := [...]struct{ name, value string }{
			{"subject", m.Subject},
			{"dataschema", m.Schema},
			{"partitionkey", m.Key},
			{"group", m.Group},
			{"correlationid", m.CorrelationID},
			{"replyto", m.ReplyTo},
			{"traceparent", m.TraceParent},
		}
		for _, t := range texts {
			if t.value != "" && !yield(t.name, t.value) {
				return
			}
		}
		if !m.Time.IsZero() && !yield("time", m.Time.UTC().Format(time.RFC3339Nano)) {
			return
		}
		if len(m.To) > 0 && !yield("to", strings.Join(m.To, ",")) {
			return
		}
		if m.TTL > 0 && !yield("ttl", string(appendSeconds(nil, m.TTL))) {
			return
		}
		if !m.NotBefore.IsZero() {
			yield("notbefore", m.NotBefore.UTC().Format(time.RFC3339Nano))
		}
	}
}

// Extensions returns m's attributes as CloudEvents extensions: lower-case name
// and canonical text, and last, if needed, AttributesExtension for those that
// have no such form.
func Extensions(m *gatehouse.Message) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if len(m.Attributes) == 0 {
			return
		}
		rest := make([]gatehouse.Attribute, 0, len(m.Attributes))
		for i := range m.Attributes {
			name, ok := extensionName(m.Attributes, i)
			if isNative(m.Attributes[i].Name) {
				continue
			}
			if !ok {
				rest = append(rest, m.Attributes[i])
				continue
			}
			if !yield(name, Text(m.Attributes[i].Value)) {
				return
			}
		}
		if len(rest) > 0 {
			yield(AttributesExtension, string(appendTypedMap(nil, rest)))
		}
	}
}

// isNative reports whether an attribute is one that a protocol keeps for itself.
func isNative(name string) bool { return name == NativeAMQP }

// extensionName returns the name under which attribute i is an extension; ok
// is false if it cannot be one.
func extensionName(all []gatehouse.Attribute, i int) (name string, ok bool) {
	a := &all[i]
	switch a.Value.Type() {
	case gatehouse.TypeNull, gatehouse.TypeList, gatehouse.TypeMap:
		return "", false
	}
	var buf [64]byte
	low, ok := lower(buf[:0], a.Name)
	if !ok || isReserved(low) {
		return "", false
	}
	for j := range i { // stays behind the earlier attribute of its name
		if len(all[j].Name) == len(low) && strings.EqualFold(all[j].Name, a.Name) {
			return "", false
		}
	}
	if string(low) == a.Name {
		return a.Name, true
	}
	return string(low), true
}

// Text returns the canonical CloudEvents text of a scalar value: binary in
// base64, timestamps as RFC 3339. For null, lists and maps it is JSON, as in
// AttributesExtension.
func Text(v gatehouse.Value) string {
	switch v.Type() {
	case gatehouse.TypeBinary:
		return base64.StdEncoding.EncodeToString([]byte(v.Str()))
	case gatehouse.TypeNull, gatehouse.TypeList, gatehouse.TypeMap:
		return string(appendTyped(nil, v))
	}
	return v.Text()
}
