package amqp1

import (
	"sort"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"

	azure "github.com/Azure/go-amqp"
)

// toAzure returns a message as a client of CloudEvents sends it.
func toAzure(m *gatehouse.Message) *azure.Message {
	out := azure.NewMessage(m.Body)
	out.Header = &azure.MessageHeader{TTL: m.TTL}
	out.Properties = &azure.MessageProperties{}
	p := out.Properties
	if m.ID != "" {
		p.MessageID = m.ID
	}
	if m.CorrelationID != "" {
		p.CorrelationID = m.CorrelationID
	}
	text := func(field **string, s string) {
		if s != "" {
			*field = &s
		}
	}
	text(&p.To, strings.Join(m.To, ","))
	text(&p.Subject, m.Subject)
	text(&p.ReplyTo, m.ReplyTo)
	text(&p.ContentType, m.ContentType)
	text(&p.GroupID, m.Group)
	if m.Key != "" {
		out.Annotations = azure.Annotations{annotationKey: m.Key}
	}
	out.ApplicationProperties = map[string]any{}
	for name, value := range map[string]string{"type": m.Type, "dataschema": m.Schema, "traceparent": m.TraceParent} {
		if value != "" {
			out.ApplicationProperties[eventPrefix+name] = value
		}
	}
	if !m.Time.IsZero() {
		out.ApplicationProperties[eventPrefix+"time"] = m.Time
	}
	for _, a := range m.Attributes {
		out.ApplicationProperties[a.Name] = toAny(a.Value)
	}
	return out
}

func toAny(v gatehouse.Value) any {
	switch v.Type() {
	case gatehouse.TypeString:
		return v.Str()
	case gatehouse.TypeInt64:
		return v.Int64()
	case gatehouse.TypeUint64:
		return v.Uint64()
	case gatehouse.TypeFloat64:
		return v.Float64()
	case gatehouse.TypeBool:
		return v.Bool()
	case gatehouse.TypeTimestamp:
		return v.Time()
	case gatehouse.TypeBinary:
		return []byte(v.Str())
	case gatehouse.TypeUUID:
		return azure.UUID([]byte(v.Str()))
	case gatehouse.TypeList:
		list := []any{}
		for _, e := range v.List() {
			list = append(list, toAny(e))
		}
		return list
	case gatehouse.TypeMap:
		all := map[string]any{}
		for _, a := range v.Map() {
			all[a.Name] = toAny(a.Value)
		}
		return all
	}
	return nil
}

// fromAzure returns what a client of CloudEvents makes of a message.
func fromAzure(in *azure.Message) *gatehouse.Message {
	m := &gatehouse.Message{Body: in.GetData(), TTL: in.Header.TTL}
	if m.TTL == 4294967295*time.Millisecond {
		m.TTL = 0
	}
	p := in.Properties
	m.ID, _ = p.MessageID.(string)
	m.CorrelationID, _ = p.CorrelationID.(string)
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	if p.To != nil {
		m.To = strings.Split(*p.To, ",")
	}
	m.Subject, m.ReplyTo, m.ContentType, m.Group = text(p.Subject), text(p.ReplyTo), text(p.ContentType), text(p.GroupID)
	m.Key, _ = in.Annotations[annotationKey].(string)
	m.Source, _ = in.Annotations[annotationSource].(string)
	for name, value := range in.ApplicationProperties {
		switch name {
		case eventPrefix + "type":
			m.Type, _ = value.(string)
		case eventPrefix + "dataschema":
			m.Schema, _ = value.(string)
		case eventPrefix + "traceparent":
			m.TraceParent, _ = value.(string)
		case eventPrefix + "time":
			m.Time, _ = value.(time.Time)
			m.Time = m.Time.UTC()
		case propertyReason, propertyDescription:
			if m.Dead == nil {
				m.Dead = new(gatehouse.DeadLetter)
			}
			m.Dead.Reason, _ = in.ApplicationProperties[propertyReason].(string)
			m.Dead.Description, _ = in.ApplicationProperties[propertyDescription].(string)
		default:
			if !strings.HasPrefix(name, eventPrefix) {
				m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: name, Value: fromAny(value)})
			}
		}
	}
	sortAttributes(m)
	return m
}

func sortAttributes(m *gatehouse.Message) *gatehouse.Message {
	sort.Slice(m.Attributes, func(i, j int) bool { return m.Attributes[i].Name < m.Attributes[j].Name })
	return m
}

func fromAny(v any) gatehouse.Value {
	switch v := v.(type) {
	case string:
		return gatehouse.String(v)
	case int64:
		return gatehouse.Int64(v)
	case uint64:
		return gatehouse.Uint64(v)
	case float64:
		return gatehouse.Float64(v)
	case bool:
		return gatehouse.Bool(v)
	case time.Time:
		return gatehouse.Timestamp(v)
	case []byte:
		return gatehouse.Binary(v)
	case azure.UUID:
		return gatehouse.UUID(v)
	case []any:
		list := []gatehouse.Value{}
		for _, e := range v {
			list = append(list, fromAny(e))
		}
		return gatehouse.List(list...)
	case map[string]any:
		all := []gatehouse.Attribute{}
		for k, e := range v {
			all = append(all, gatehouse.Attribute{Name: k, Value: fromAny(e)})
		}
		return gatehouse.Map(all...)
	}
	return gatehouse.Value{}
}
