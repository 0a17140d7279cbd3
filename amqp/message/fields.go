package message

import "github.com/gatehouse/gatehouse/amqp/wire"

// Fields are the fields of a properties section as they came, each absent if it
// is null. What they are is said at Properties, which takes them apart.
type Fields struct {
	MessageID          wire.Value
	UserID             wire.Value
	To                 wire.Value
	Subject            wire.Value
	ReplyTo            wire.Value
	CorrelationID      wire.Value
	ContentType        wire.Value
	ContentEncoding    wire.Value
	AbsoluteExpiryTime wire.Value
	CreationTime       wire.Value
	GroupID            wire.Value
	GroupSequence      wire.Value
	ReplyToGroupID     wire.Value
}

// Fields sets out to the fields of the properties section, which alias the
// message. It fails where Properties does.
func (m *Message) Fields(out *Fields) error {
	f := fields{items: m.value(codeProperties).Items()}
	text := func(name string) wire.Value { return f.typed(name, wire.TypeString, wire.TypeSymbol) }
	out.MessageID = f.any()
	out.UserID = f.bytes("user-id")
	out.To = text("to")
	out.Subject = text("subject")
	out.ReplyTo = text("reply-to")
	out.CorrelationID = f.any()
	out.ContentType = text("content-type")
	out.ContentEncoding = text("content-encoding")
	out.AbsoluteExpiryTime = f.typed("absolute-expiry-time", wire.TypeTimestamp, wire.TypeTimestamp)
	out.CreationTime = f.typed("creation-time", wire.TypeTimestamp, wire.TypeTimestamp)
	out.GroupID = text("group-id")
	out.GroupSequence = f.any()
	if _, ok := out.GroupSequence.Uint32(); !ok && !out.GroupSequence.IsAbsent() {
		f.fail("group-sequence", out.GroupSequence)
	}
	out.ReplyToGroupID = text("reply-to-group-id")
	return f.err
}

// AppendFields appends a properties section as AppendProperties does, of fields
// that are of the types they should be.
func AppendFields(dst []byte, f *Fields) []byte {
	l := startProperties(dst)
	l.value(f.MessageID)
	if b, ok := f.UserID.Bytes(); ok {
		l.binary(b)
	} else {
		l.null()
	}
	l.textOf(f.To)
	l.textOf(f.Subject)
	l.textOf(f.ReplyTo)
	l.value(f.CorrelationID)
	l.symbolOf(f.ContentType)
	l.symbolOf(f.ContentEncoding)
	l.timeOf(f.AbsoluteExpiryTime)
	l.timeOf(f.CreationTime)
	l.textOf(f.GroupID)
	if n, ok := f.GroupSequence.Uint32(); ok {
		l.set(wire.AppendUint(l.dst, n))
	} else {
		l.null()
	}
	l.textOf(f.ReplyToGroupID)
	return l.finish()
}

func (l *list) textOf(v wire.Value) {
	if b, _ := v.Text(); len(b) == 0 {
		l.null()
		return
	}
	l.set(wire.AppendStringOf(l.dst, v))
}

func (l *list) symbolOf(v wire.Value) {
	if b, _ := v.Text(); len(b) == 0 {
		l.null()
		return
	}
	l.set(wire.AppendSymbolOf(l.dst, v))
}

func (l *list) timeOf(v wire.Value) {
	t, _ := v.Time()
	l.time(t)
}
