package message

import (
	"time"

	"github.com/gatehouse/gatehouse/amqp/wire"
)

// Properties are the immutable properties of a message (part 3.2.4). Ids keep
// their type: a string, an ulong, a UUID or a binary. Empty texts and zero
// times are not sent.
type Properties struct {
	MessageID          wire.Value
	UserID             []byte
	To                 string
	Subject            string
	ReplyTo            string
	CorrelationID      wire.Value
	ContentType        string
	ContentEncoding    string
	AbsoluteExpiryTime time.Time
	CreationTime       time.Time
	GroupID            string
	GroupSequence      uint32
	HasGroupSequence   bool
	ReplyToGroupID     string
}

// Properties returns the properties section; none gives the zero Properties.
// Its ids and UserID alias the message.
func (m *Message) Properties() (Properties, error) {
	f := fields{items: m.value(codeProperties).Items()}
	p := Properties{
		MessageID:          f.any(),
		UserID:             f.binary("user-id"),
		To:                 f.text("to"),
		Subject:            f.text("subject"),
		ReplyTo:            f.text("reply-to"),
		CorrelationID:      f.any(),
		ContentType:        f.text("content-type"),
		ContentEncoding:    f.text("content-encoding"),
		AbsoluteExpiryTime: f.time("absolute-expiry-time"),
		CreationTime:       f.time("creation-time"),
		GroupID:            f.text("group-id"),
	}
	n, ok := f.number("group-sequence")
	p.GroupSequence, p.HasGroupSequence = uint32(n), ok
	p.ReplyToGroupID = f.text("reply-to-group-id")
	return p, f.err
}

// MessageID returns the message id alone: absent or null if there is none.
func (m *Message) MessageID() wire.Value {
	items := m.value(codeProperties).Items()
	id, _ := items.Next()
	return id
}

func (f *fields) binary(name string) []byte {
	b, _ := f.bytes(name).Bytes()
	return b
}

// bytes returns the next field, absent if it has no bytes.
func (f *fields) bytes(name string) wire.Value {
	v := f.any()
	if _, ok := v.Bytes(); !ok && !v.IsAbsent() {
		f.fail(name, v)
		return wire.Value{}
	}
	return v
}

// AppendProperties appends a properties section, up to its last field that has
// a value.
func AppendProperties(dst []byte, p *Properties) []byte {
	l := startProperties(dst)
	l.value(p.MessageID)
	l.binary(p.UserID)
	l.text(p.To)
	l.text(p.Subject)
	l.text(p.ReplyTo)
	l.value(p.CorrelationID)
	l.symbol(p.ContentType)
	l.symbol(p.ContentEncoding)
	l.time(p.AbsoluteExpiryTime)
	l.time(p.CreationTime)
	l.text(p.GroupID)
	if p.HasGroupSequence {
		l.set(wire.AppendUint(l.dst, p.GroupSequence))
	} else {
		l.null()
	}
	l.text(p.ReplyToGroupID)
	return l.finish()
}

// list appends the fields of a list and remembers the last one that is not null.
type list struct {
	dst   []byte
	at    int
	count int
	used  int // fields up to the last one that has a value
	size  int // length of dst after that one
}

func startProperties(dst []byte) list {
	dst = wire.AppendDescriptor(dst, codeProperties)
	return list{dst: wire.StartList(dst), at: len(dst)}
}

// finish ends the list after the last field that has a value.
func (l *list) finish() []byte {
	end := l.size
	if l.used == 0 {
		end = len(l.dst)
	}
	return wire.EndList(l.dst[:end], l.at, l.used)
}

// set takes dst, which now has one more field.
func (l *list) set(dst []byte) {
	l.count++
	l.dst, l.used, l.size = dst, l.count, len(dst)
}

func (l *list) null() {
	l.count++
	l.dst = wire.AppendNull(l.dst)
}

func (l *list) value(v wire.Value) {
	if v.IsNull() {
		l.null()
		return
	}
	l.set(wire.AppendValue(l.dst, v))
}

func (l *list) binary(b []byte) {
	if b == nil {
		l.null()
		return
	}
	l.set(wire.AppendBinary(l.dst, b))
}

func (l *list) text(s string) {
	if s == "" {
		l.null()
		return
	}
	l.set(wire.AppendString(l.dst, s))
}

func (l *list) symbol(s string) {
	if s == "" {
		l.null()
		return
	}
	l.set(wire.AppendSymbol(l.dst, s))
}

func (l *list) time(t time.Time) {
	if t.IsZero() {
		l.null()
		return
	}
	l.set(wire.AppendTimestamp(l.dst, t))
}
