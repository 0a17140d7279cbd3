package httpapi

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/inbox"
)

// replyToSession is the attribute that keeps the one broker property an
// envelope has no field for.
const replyToSession = "ReplyToSessionId"

// brokerProperties is the JSON of the BrokerProperties header and of a batch's
// elements, as senders write it. Unknown members are passed over, among them
// those a receiver gets, so that received properties can be sent again.
type brokerProperties struct {
	MessageID          loose `json:"MessageId"`
	CorrelationID      loose `json:"CorrelationId"`
	Label              loose
	PartitionKey       loose
	SessionID          loose `json:"SessionId"`
	ReplyTo            loose
	ReplyToSessionID   loose `json:"ReplyToSessionId"`
	To                 loose
	TimeToLive         loose // seconds
	TimeToLiveTimeSpan loose // [d.]hh:mm:ss[.fffffff]
	ScheduledEnqueue   loose `json:"ScheduledEnqueueTimeUtc"`
}

// loose is a text that may come as a JSON string, number or null.
type loose string

// UnmarshalJSON takes a string, a number or null.
func (l *loose) UnmarshalJSON(data []byte) error {
	switch data[0] {
	case '"':
		var s string
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
		*l = loose(s)
	case 'n':
		*l = ""
	case '{', '[', 't', 'f':
		return gatehouse.Errorf(gatehouse.Invalid, "%.32s is neither a string nor a number", data)
	default:
		*l = loose(data)
	}
	return nil
}

// parseBroker sets what a BrokerProperties header says about m.
func parseBroker(m *gatehouse.Message, text string) error {
	var p brokerProperties
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return gatehouse.Errorf(gatehouse.Invalid, "the BrokerProperties are not the JSON object they should be: %v", explain(err))
	}
	return p.apply(m)
}

func (p *brokerProperties) apply(m *gatehouse.Message) (err error) {
	setText(&m.ID, p.MessageID)
	setText(&m.CorrelationID, p.CorrelationID)
	setText(&m.Subject, p.Label)
	setText(&m.Key, p.PartitionKey)
	setText(&m.Group, p.SessionID)
	setText(&m.ReplyTo, p.ReplyTo)
	if p.SessionID != "" && p.PartitionKey != "" && p.SessionID != p.PartitionKey {
		return gatehouse.Errorf(gatehouse.Invalid, "BrokerProperties has a SessionId and a PartitionKey that differ; give one, or the same")
	}
	for to := range strings.SplitSeq(string(p.To), ",") {
		if to = strings.TrimSpace(to); to != "" {
			m.To = append(m.To, to)
		}
	}
	if p.ReplyToSessionID != "" {
		m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: replyToSession, Value: gatehouse.String(string(p.ReplyToSessionID))})
	}
	switch {
	case p.TimeToLive != "":
		m.TTL, err = parseSeconds(string(p.TimeToLive))
	case p.TimeToLiveTimeSpan != "":
		m.TTL, err = parseTimeSpan(string(p.TimeToLiveTimeSpan))
	}
	if err == nil && p.ScheduledEnqueue != "" {
		m.NotBefore, err = parseDate(string(p.ScheduledEnqueue))
	}
	return err
}

func setText(dst *string, from loose) {
	if from != "" {
		*dst = string(from)
	}
}

func parseSeconds(s string) (time.Duration, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0) {
		return parseTimeSpan(s)
	}
	if f >= math.MaxInt64/float64(time.Second) {
		return math.MaxInt64, nil
	}
	return time.Duration(math.Round(f * float64(time.Second))), nil
}

// parseTimeSpan reads a duration as .NET writes it: [d.]hh:mm:ss[.fffffff].
func parseTimeSpan(s string) (time.Duration, error) {
	bad := gatehouse.Errorf(gatehouse.Invalid, "the time to live is %.32q; give seconds as a number, or a text like \"1.12:30:00\"", s)
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return 0, bad
	}
	days := "0"
	if d, hours, ok := strings.Cut(parts[0], "."); ok {
		days, parts[0] = d, hours
	}
	whole, fraction, _ := strings.Cut(parts[2], ".")
	total := time.Duration(0)
	for _, f := range []struct {
		text string
		unit time.Duration
		most uint64
	}{{days, 24 * time.Hour, 100000}, {parts[0], time.Hour, 23}, {parts[1], time.Minute, 59}, {whole, time.Second, 59}} {
		n, err := strconv.ParseUint(f.text, 10, 32)
		if err != nil || n > f.most {
			return 0, bad
		}
		total += time.Duration(n) * f.unit
	}
	if fraction != "" {
		n, err := strconv.ParseUint(fraction, 10, 32)
		if err != nil || len(fraction) > 7 {
			return 0, bad
		}
		for range 9 - len(fraction) {
			n *= 10
		}
		total += time.Duration(n)
	}
	return total, nil
}

// parseDate reads a time as RFC 1123 or RFC 3339 writes it.
func parseDate(s string) (time.Time, error) {
	for _, layout := range [...]string{http.TimeFormat, time.RFC3339Nano, time.RFC1123Z} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, gatehouse.Errorf(gatehouse.Invalid, "ScheduledEnqueueTimeUtc is %.64q, not a time like \"Thu, 31 Jan 2030 12:00:00 GMT\"", s)
}

// appendBroker appends the JSON of the BrokerProperties header that describes d.
func appendBroker(dst []byte, d *inbox.Delivery) []byte {
	m := d.Message
	o := object{append(dst, '{')}
	o.text("MessageId", m.ID)
	o.text("CorrelationId", m.CorrelationID)
	o.text("Label", m.Subject)
	o.text("PartitionKey", m.Key)
	o.text("SessionId", m.Group)
	o.text("ReplyTo", m.ReplyTo)
	if v, ok := m.Attribute(replyToSession); ok && v.Type() == gatehouse.TypeString {
		o.text(replyToSession, v.Str())
	}
	o.text("To", strings.Join(m.To, ","))
	if m.TTL > 0 {
		o.name("TimeToLive")
		o.dst = strconv.AppendFloat(o.dst, m.TTL.Seconds(), 'f', -1, 64)
	}
	o.date("ScheduledEnqueueTimeUtc", m.NotBefore)
	o.number("DeliveryCount", uint64(d.Count))
	o.number("EnqueuedSequenceNumber", uint64(d.Sequence))
	o.date("EnqueuedTimeUtc", d.Enqueued)
	if !d.Lock.IsZero() {
		o.text("LockToken", d.Lock.String())
		o.date("LockedUntilUtc", d.LockedUntil)
	}
	o.number("SequenceNumber", uint64(d.Sequence))
	o.text("State", d.State.String())
	if m.Dead != nil {
		o.text("DeadLetterSource", m.Dead.From)
	}
	return append(o.dst, '}')
}

// An object is JSON being written; what is empty is left out.
type object struct{ dst []byte }

func (o *object) name(name string) {
	if o.dst[len(o.dst)-1] != '{' {
		o.dst = append(o.dst, ',')
	}
	o.dst = append(append(append(o.dst, '"'), name...), '"', ':')
}

func (o *object) text(name, value string) {
	if value != "" {
		o.name(name)
		o.dst = appendQuoted(o.dst, value)
	}
}

func (o *object) number(name string, n uint64) {
	if n != 0 {
		o.name(name)
		o.dst = strconv.AppendUint(o.dst, n, 10)
	}
}

func (o *object) date(name string, t time.Time) {
	if !t.IsZero() {
		o.name(name)
		o.dst = append(t.UTC().AppendFormat(append(o.dst, '"'), http.TimeFormat), '"')
	}
}
