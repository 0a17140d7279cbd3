package record

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/gatehouse/gatehouse"
)

// Append appends the record of m to dst and returns the longer slice. It
// allocates nothing else, and nothing at all if dst has room. m.Position is
// not stored, nor is the difference between empty and nil.
func Append(dst []byte, m *gatehouse.Message) []byte {
	has := present(m)
	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, uint64(has))
	if has&hasBody != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(m.Body)))
	}
	dst = appendPresent(dst, m.ID)
	dst = appendPresent(dst, m.Type)
	dst = appendPresent(dst, m.Subject)
	if has&hasTime != 0 {
		dst = appendTime(dst, m.Time)
	}
	dst = appendPresent(dst, m.ContentType)
	dst = appendPresent(dst, m.Schema)
	dst = appendPresent(dst, m.Source)
	if has&hasTo != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(m.To)))
		for _, to := range m.To {
			dst = appendString(dst, to)
		}
	}
	dst = appendPresent(dst, m.Key)
	dst = appendPresent(dst, m.Group)
	dst = appendPresent(dst, m.CorrelationID)
	dst = appendPresent(dst, m.ReplyTo)
	if has&hasTTL != 0 {
		dst = binary.AppendVarint(dst, int64(m.TTL))
	}
	if has&hasNotBefore != 0 {
		dst = appendTime(dst, m.NotBefore)
	}
	dst = appendPresent(dst, m.TraceParent)
	if has&hasAttributes != 0 {
		dst = appendAttributes(dst, m.Attributes, 0)
	}
	if has&hasHops != 0 {
		dst = append(dst, m.Hops)
	}
	if has&hasEnqueued != 0 {
		dst = appendTime(dst, m.Enqueued)
	}
	dst = appendPresent(dst, string(m.Channel))
	if has&hasDead != 0 {
		dst = appendDead(dst, m.Dead)
	}
	return append(dst, m.Body...)
}

// present returns the bits of the fields m has.
func present(m *gatehouse.Message) uint32 {
	return bit(m.ID != "", hasID) |
		bit(m.Type != "", hasType) |
		bit(m.Subject != "", hasSubject) |
		bit(!m.Time.IsZero(), hasTime) |
		bit(m.ContentType != "", hasContentType) |
		bit(m.Schema != "", hasSchema) |
		bit(m.Source != "", hasSource) |
		bit(len(m.To) > 0, hasTo) |
		bit(m.Key != "", hasKey) |
		bit(m.Group != "", hasGroup) |
		bit(m.CorrelationID != "", hasCorrelationID) |
		bit(m.ReplyTo != "", hasReplyTo) |
		bit(m.TTL != 0, hasTTL) |
		bit(!m.NotBefore.IsZero(), hasNotBefore) |
		bit(m.TraceParent != "", hasTraceParent) |
		bit(len(m.Attributes) > 0, hasAttributes) |
		bit(len(m.Body) > 0, hasBody) |
		bit(m.Hops != 0, hasHops) |
		bit(!m.Enqueued.IsZero(), hasEnqueued) |
		bit(m.Channel != "", hasChannel) |
		bit(m.Dead != nil, hasDead)
}

func bit(is bool, b uint32) uint32 {
	if is {
		return b
	}
	return 0
}

// appendPresent appends a string field, which is not there if it is empty.
func appendPresent(dst []byte, s string) []byte {
	if s == "" {
		return dst
	}
	return appendString(dst, s)
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendTime(dst []byte, t time.Time) []byte {
	dst = binary.AppendVarint(dst, t.Unix())
	return binary.AppendUvarint(dst, uint64(t.Nanosecond()))
}

// appendDead appends the five texts and the time, before which a byte says
// whether there is one.
func appendDead(dst []byte, d *gatehouse.DeadLetter) []byte {
	dst = appendString(dst, d.Reason)
	dst = appendString(dst, d.Description)
	dst = appendString(dst, d.From)
	dst = appendString(dst, d.To)
	dst = appendString(dst, d.Labels)
	if d.Time.IsZero() {
		return append(dst, 0)
	}
	return appendTime(append(dst, 1), d.Time)
}

func appendAttributes(dst []byte, all []gatehouse.Attribute, depth int) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(all)))
	for i := range all {
		dst = appendString(dst, all[i].Name)
		dst = appendValue(dst, &all[i].Value, depth)
	}
	return dst
}

// appendValue appends a value that lies within depth lists and maps.
func appendValue(dst []byte, v *gatehouse.Value, depth int) []byte {
	typ := v.Type()
	if depth == MaxDepth && (typ == gatehouse.TypeList || typ == gatehouse.TypeMap) {
		typ = gatehouse.TypeNull
	}
	dst = append(dst, byte(typ))
	switch typ {
	case gatehouse.TypeString, gatehouse.TypeBinary:
		return appendString(dst, v.Str())
	case gatehouse.TypeInt64, gatehouse.TypeTimestamp:
		return binary.AppendVarint(dst, v.Int64())
	case gatehouse.TypeUint64:
		return binary.AppendUvarint(dst, v.Uint64())
	case gatehouse.TypeFloat64:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.Float64()))
	case gatehouse.TypeBool:
		if v.Bool() {
			return append(dst, 1)
		}
		return append(dst, 0)
	case gatehouse.TypeUUID:
		return append(dst, v.Str()...)
	case gatehouse.TypeList:
		list := v.List()
		dst = binary.AppendUvarint(dst, uint64(len(list)))
		for i := range list {
			dst = appendValue(dst, &list[i], depth+1)
		}
	case gatehouse.TypeMap:
		return appendAttributes(dst, v.Map(), depth+1)
	}
	return dst
}
