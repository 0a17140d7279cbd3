package cloudevents

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse"
)

// A Delivery is what a receiver is told about a message beside the message
// itself. The zero value of a field leaves it out.
type Delivery struct {
	LockToken     string // canonical text of a UUID
	LockedUntil   time.Time
	DeliveryCount uint32 // 1 for the first delivery
	Sequence      uint64 // the message's number in the inbox
	Enqueued      time.Time
}

// A Spelling says how the members of a Delivery are named.
type Spelling uint8

const (
	// Lower spells locktoken, lockeduntil, deliverycount, sequencenumber,
	// enqueuedtime, deadletterreason …: legal names of CloudEvents extensions,
	// which a strict client library accepts.
	Lower Spelling = iota
	// Camel spells lockToken, lockedUntil, deliveryCount, sequence,
	// enqueuedTime, deadLetterReason …, as SignalR and WebSocket clients get
	// them.
	Camel
)

// Append appends m as one JSON object: the structured mode's body, or an
// element of a batch.
func Append(dst []byte, m *gatehouse.Message) []byte {
	return append(appendEvent(dst, m), '}')
}

// AppendDelivery is Append with the members of d and, for a dead letter, why it
// is one (see Spelling).
func AppendDelivery(dst []byte, m *gatehouse.Message, d *Delivery, s Spelling) []byte {
	dst = appendEvent(dst, m)
	name := func(lower, camel string) {
		if s == Camel {
			lower = camel
		}
		dst = append(append(append(dst, `,"`...), lower...), `":`...)
	}
	if d.LockToken != "" {
		name("locktoken", "lockToken")
		dst = appendString(dst, d.LockToken)
	}
	if !d.LockedUntil.IsZero() {
		name("lockeduntil", "lockedUntil")
		dst = appendTime(dst, d.LockedUntil)
	}
	if d.DeliveryCount != 0 {
		name("deliverycount", "deliveryCount")
		dst = appendInteger(dst, uint64(d.DeliveryCount))
	}
	if d.Sequence != 0 {
		name("sequencenumber", "sequence")
		dst = appendInteger(dst, d.Sequence)
	}
	if !d.Enqueued.IsZero() {
		name("enqueuedtime", "enqueuedTime")
		dst = appendTime(dst, d.Enqueued)
	}
	if m.Dead != nil {
		name("deadletterreason", "deadLetterReason")
		dst = appendString(dst, m.Dead.Reason)
		name("deadletterdetail", "deadLetterDetail")
		dst = appendString(dst, m.Dead.Description)
		name("deadletterfrom", "deadLetterFrom")
		dst = appendString(dst, m.Dead.From)
		name("deadlettertime", "deadLetterTime")
		dst = appendTime(dst, m.Dead.Time)
	}
	return append(dst, '}')
}

// AppendBatch appends messages as a JSON array.
func AppendBatch(dst []byte, messages ...*gatehouse.Message) []byte {
	dst = append(dst, '[')
	for i, m := range messages {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = Append(dst, m)
	}
	return append(dst, ']')
}

// appendEvent appends m's object without its closing brace.
func appendEvent(dst []byte, m *gatehouse.Message) []byte {
	dst = append(dst, '{')
	for name, value := range Context(m) {
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), name...), `":`...)
		if name == "ttl" {
			dst = appendTTL(dst, m.TTL)
		} else {
			dst = appendString(dst, value)
		}
	}
	if m.ContentType != "" {
		dst = appendString(append(dst, `,"datacontenttype":`...), m.ContentType)
	}
	return appendData(appendExtensions(dst, m.Attributes), m)
}

func appendExtensions(dst []byte, attributes []gatehouse.Attribute) []byte {
	var rest []gatehouse.Attribute
	for i := range attributes {
		if isNative(attributes[i].Name) {
			continue
		}
		name, ok := extensionName(attributes, i)
		if !ok {
			rest = append(rest, attributes[i])
			continue
		}
		dst = append(append(append(dst, `,"`...), name...), `":`...)
		dst = appendExtension(dst, attributes[i].Value)
	}
	if len(rest) > 0 {
		dst = append(dst, `,"`+AttributesExtension+`":`...)
		dst = appendString(dst, string(appendTypedMap(nil, rest)))
	}
	return dst
}

func appendExtension(dst []byte, v gatehouse.Value) []byte {
	switch v.Type() {
	case gatehouse.TypeBool:
		return strconv.AppendBool(dst, v.Bool())
	case gatehouse.TypeInt64:
		if i := v.Int64(); i >= math.MinInt32 && i < 0 {
			return strconv.AppendInt(dst, i, 10)
		} else if i >= 0 {
			return appendInteger(dst, uint64(i))
		}
	case gatehouse.TypeUint64:
		return appendInteger(dst, v.Uint64())
	}
	return appendString(dst, Text(v))
}

// appendInteger appends n as a number if CloudEvents has an integer for it,
// which is of 32 bits, and else as a text.
func appendInteger(dst []byte, n uint64) []byte {
	if n <= math.MaxInt32 {
		return strconv.AppendUint(dst, n, 10)
	}
	return append(strconv.AppendUint(append(dst, '"'), n, 10), '"')
}

func appendTTL(dst []byte, ttl time.Duration) []byte {
	if ttl%time.Second == 0 {
		return appendInteger(dst, uint64(ttl/time.Second))
	}
	return append(appendSeconds(append(dst, '"'), ttl), '"')
}

func appendTime(dst []byte, t time.Time) []byte {
	return append(t.UTC().AppendFormat(append(dst, '"'), time.RFC3339Nano), '"')
}

// appendData appends the body: a JSON one as it is, text as a string, and
// anything else in base64.
func appendData(dst []byte, m *gatehouse.Message) []byte {
	if len(m.Body) == 0 {
		return dst
	}
	if utf8.Valid(m.Body) {
		switch {
		case IsJSON(m.ContentType):
			// A bare null would be read as no data.
			if body := trim(m.Body); string(body) != "null" && json.Valid(body) {
				return append(append(dst, `,"data":`...), body...)
			}
		case isText(m.ContentType):
			return appendString(append(dst, `,"data":`...), string(m.Body))
		}
	}
	dst = append(dst, `,"data_base64":"`...)
	return append(base64.StdEncoding.AppendEncode(dst, m.Body), '"')
}

// IsJSON reports whether a content type declares JSON: application/json,
// anything/json or anything+json.
func IsJSON(contentType string) bool {
	t := mediaType(contentType)
	return hasSuffixFold(t, "/json") || hasSuffixFold(t, "+json")
}

// isText reports whether a content type declares text that is not JSON, of a
// character set that UTF-8 includes.
func isText(contentType string) bool {
	if i := indexFold(contentType, "charset="); i >= 0 {
		set := strings.Trim(mediaType(contentType[i+len("charset="):]), `"`)
		if !strings.EqualFold(set, "utf-8") && !strings.EqualFold(set, "us-ascii") {
			return false
		}
	}
	t := mediaType(contentType)
	return len(t) > 5 && strings.EqualFold(t[:5], "text/") || hasSuffixFold(t, "+xml") || hasSuffixFold(t, "/xml")
}

// mediaType cuts the parameters off.
func mediaType(s string) string {
	t, _, _ := strings.Cut(s, ";")
	return strings.TrimSpace(t)
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) > len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

func indexFold(s, part string) int {
	for i := 0; i+len(part) <= len(s); i++ {
		if strings.EqualFold(s[i:i+len(part)], part) {
			return i
		}
	}
	return -1
}
