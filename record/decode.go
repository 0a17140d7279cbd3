package record

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/gatehouse/gatehouse"
)

// Decode returns the message that data is the record of. It takes ownership of
// data: the body is part of it. The strings of the message share one copy of
// the rest, so they keep each other alive. Times are in UTC.
//
// What is not a record gives an error of kind Internal that says where it is
// damaged, or that a newer version of Gatehouse wrote it. Memory is at most
// proportional to the length of data.
func Decode(data []byte) (*gatehouse.Message, error) {
	if len(data) == 0 {
		return nil, gatehouse.Errorf(gatehouse.Internal, "the record is empty")
	}
	if data[0] != version {
		return nil, wrongVersion(data[0])
	}
	d := decoder{data: data, at: 1, end: len(data), budget: len(data)}
	has := d.uvarint()
	if has >= unknown {
		d.fail("fields are present that version 1 does not have")
	}
	body := d.body(has)
	m := new(gatehouse.Message)
	d.text = string(data[:d.end])
	d.message(m, uint32(has))
	if d.err == "" && d.at != d.end {
		d.fail("there is more than the fields")
	}
	if d.err != "" {
		return nil, gatehouse.Errorf(gatehouse.Internal, "the record is damaged at byte %d of %d: %s", d.at, len(data), d.err)
	}
	m.Body = body
	return m, nil
}

func wrongVersion(v byte) error {
	if v > version {
		return gatehouse.Errorf(gatehouse.Internal, "the record is of format version %d, and this version of Gatehouse reads up to %d: run the version that wrote it, or a newer one", v, version)
	}
	return gatehouse.Errorf(gatehouse.Internal, "the record is damaged: format version %d does not exist", v)
}

// A decoder reads the header of a record. After an error it reads zeros, and
// loops end because it is at its end.
type decoder struct {
	data   []byte
	text   string // a copy of data[:end], for strings to share
	at     int    // the next byte
	end    int    // of the header
	budget int    // elements that may still come: each has a byte of its own
	err    string // the first; empty: none
}

// fail keeps the first error, at d.at, where it stays.
func (d *decoder) fail(why string) {
	if d.err == "" {
		d.err = why
		d.end = d.at
	}
}

// body finds the body at the end of data.
func (d *decoder) body(has uint64) []byte {
	if has&hasBody == 0 {
		return nil
	}
	n := d.uvarint()
	if n == 0 || n > uint64(d.end-d.at) {
		d.fail("the length of the body is wrong")
		return nil
	}
	d.end -= int(n)
	return d.data[d.end:len(d.data):len(d.data)]
}

func (d *decoder) message(m *gatehouse.Message, has uint32) {
	m.ID = d.present(has & hasID)
	m.Type = d.present(has & hasType)
	m.Subject = d.present(has & hasSubject)
	m.Time = d.time(has & hasTime)
	m.ContentType = d.present(has & hasContentType)
	m.Schema = d.present(has & hasSchema)
	m.Source = d.present(has & hasSource)
	if has&hasTo != 0 {
		m.To = d.to()
	}
	m.Key = d.present(has & hasKey)
	m.Group = d.present(has & hasGroup)
	m.CorrelationID = d.present(has & hasCorrelationID)
	m.ReplyTo = d.present(has & hasReplyTo)
	if has&hasTTL != 0 {
		if m.TTL = time.Duration(d.varint()); m.TTL == 0 {
			d.fail("a field that is present is empty")
		}
	}
	m.NotBefore = d.time(has & hasNotBefore)
	m.TraceParent = d.present(has & hasTraceParent)
	if has&hasAttributes != 0 {
		if m.Attributes = d.attributes(0); m.Attributes == nil {
			d.fail("a field that is present is empty")
		}
	}
	if has&hasHops != 0 {
		if m.Hops = d.byte(); m.Hops == 0 {
			d.fail("a field that is present is empty")
		}
	}
	m.Enqueued = d.time(has & hasEnqueued)
	m.Channel = gatehouse.ChannelName(d.present(has & hasChannel))
	if has&hasDead != 0 {
		m.Dead = d.dead()
	}
}

func (d *decoder) byte() byte {
	if d.at >= d.end {
		d.fail("it ends too soon")
		return 0
	}
	b := d.data[d.at]
	d.at++
	return b
}

func (d *decoder) uvarint() uint64 {
	if d.at < d.end && d.data[d.at] < 0x80 {
		d.at++
		return uint64(d.data[d.at-1])
	}
	u, n := binary.Uvarint(d.data[d.at:d.end])
	if n <= 0 || d.data[d.at+n-1] == 0 {
		d.fail("a number is wrong")
		return 0
	}
	d.at += n
	return u
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// take takes n bytes and returns where they start.
func (d *decoder) take(n uint64) (start int, ok bool) {
	if n > uint64(d.end-d.at) {
		d.fail("a length goes beyond the end")
		return 0, false
	}
	start = d.at
	d.at += int(n)
	return start, true
}

func (d *decoder) string() string {
	start, ok := d.take(d.uvarint())
	if !ok {
		return ""
	}
	return d.text[start:d.at]
}

func (d *decoder) present(is uint32) string {
	if is == 0 {
		return ""
	}
	s := d.string()
	if s == "" {
		d.fail("a field that is present is empty")
	}
	return s
}

func (d *decoder) time(is uint32) time.Time {
	if is == 0 {
		return time.Time{}
	}
	seconds, nanoseconds := d.varint(), d.uvarint()
	if nanoseconds >= 1e9 {
		d.fail("a time has too many nanoseconds")
		return time.Time{}
	}
	t := time.Unix(seconds, int64(nanoseconds)).UTC()
	if t.IsZero() {
		d.fail("a field that is present is empty")
	}
	return t
}

// count reads how many elements follow. Lists within each other cannot claim
// more, all together, than data has bytes.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(d.end-d.at) || n > uint64(d.budget) {
		d.fail("a count goes beyond the end")
		return 0
	}
	d.budget -= int(n)
	return int(n)
}

func (d *decoder) to() []string {
	n := d.count()
	if n == 0 {
		d.fail("a field that is present is empty")
		return nil
	}
	all := make([]string, n)
	for i := range all {
		all[i] = d.string()
	}
	return all
}

func (d *decoder) dead() *gatehouse.DeadLetter {
	l := &gatehouse.DeadLetter{Reason: d.string(), Description: d.string(), From: d.string(), To: d.string(), Labels: d.string()}
	switch d.byte() {
	case 0:
	case 1:
		l.Time = d.time(1)
	default:
		d.fail("a dead letter's time is neither there nor not")
	}
	return l
}

func (d *decoder) attributes(depth int) []gatehouse.Attribute {
	n := d.count()
	if n == 0 {
		return nil
	}
	all := make([]gatehouse.Attribute, n)
	for i := range all {
		all[i].Name = d.string()
		all[i].Value = d.value(depth)
		if d.err != "" {
			return nil
		}
	}
	return all
}

// value reads a value that lies within depth lists and maps.
func (d *decoder) value(depth int) gatehouse.Value {
	switch typ := gatehouse.ValueType(d.byte()); typ {
	case gatehouse.TypeNull:
	case gatehouse.TypeString:
		return gatehouse.String(d.string())
	case gatehouse.TypeInt64:
		return gatehouse.Int64(d.varint())
	case gatehouse.TypeUint64:
		return gatehouse.Uint64(d.uvarint())
	case gatehouse.TypeFloat64:
		if start, ok := d.take(8); ok {
			return gatehouse.Float64(math.Float64frombits(binary.LittleEndian.Uint64(d.data[start:])))
		}
	case gatehouse.TypeBool:
		b := d.byte()
		if b > 1 {
			d.fail("a boolean is neither true nor false")
		}
		return gatehouse.Bool(b == 1)
	case gatehouse.TypeTimestamp:
		return gatehouse.Timestamp(time.UnixMilli(d.varint()))
	case gatehouse.TypeBinary:
		if start, ok := d.take(d.uvarint()); ok {
			return gatehouse.Binary(d.data[start:d.at])
		}
	case gatehouse.TypeUUID:
		if start, ok := d.take(16); ok {
			return gatehouse.UUID([16]byte(d.data[start:d.at]))
		}
	case gatehouse.TypeList, gatehouse.TypeMap:
		return d.nested(typ, depth+1)
	default:
		d.fail("a value is of no known type")
	}
	return gatehouse.Value{}
}

func (d *decoder) nested(typ gatehouse.ValueType, depth int) gatehouse.Value {
	if depth > MaxDepth {
		d.fail("lists and maps nest too deep")
		return gatehouse.Value{}
	}
	if typ == gatehouse.TypeMap {
		return gatehouse.Map(d.attributes(depth)...)
	}
	n := d.count()
	if n == 0 {
		return gatehouse.List()
	}
	all := make([]gatehouse.Value, n)
	for i := range all {
		all[i] = d.value(depth)
		if d.err != "" {
			return gatehouse.Value{}
		}
	}
	return gatehouse.List(all...)
}
