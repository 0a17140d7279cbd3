package condition

import (
	"time"

	"github.com/gatehouse/gatehouse"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// activation resolves the variables of an expression from Vars.
type activation Vars

// ResolveName returns the value of a variable.
func (a *activation) ResolveName(name string) (any, bool) {
	v := (*Vars)(a)
	m := &v.memo
	switch name {
	case "msg":
		m.msg = object{m.env.message, v}
		return &m.msg, true
	case "endpoint":
		m.endpoint = object{m.env.endpoint, v}
		return &m.endpoint, true
	case "channel":
		m.channel = object{m.env.channel, v}
		return &m.channel, true
	case "now":
		return types.Timestamp{Time: v.Now}, true
	}
	return nil, false
}

// Parent returns nil: there is nothing beyond Vars.
func (a *activation) Parent() interpreter.Activation { return nil }

// memo is what Vars keep between evaluations: values that the evaluator holds
// by reference, so that they need not be allocated for each.
type memo struct {
	env                    *environment
	msg, endpoint, channel object
	attributes, labels     dict
	json                   body
}

// messageFields are the fields of msg.
func messageFields() []field {
	return []field{
		text("id", func(m *gatehouse.Message) string { return m.ID }),
		text("type", func(m *gatehouse.Message) string { return m.Type }),
		text("subject", func(m *gatehouse.Message) string { return m.Subject }),
		text("source", func(m *gatehouse.Message) string { return m.Source }),
		text("contentType", func(m *gatehouse.Message) string { return m.ContentType }),
		text("schema", func(m *gatehouse.Message) string { return m.Schema }),
		{
			"to", cel.ListType(cel.StringType),
			func(v *Vars) bool { return len(v.Message.To) > 0 },
			func(v *Vars) ref.Val { return types.NewStringList(types.DefaultTypeAdapter, v.Message.To) },
		},
		text("key", func(m *gatehouse.Message) string { return m.Key }),
		text("group", func(m *gatehouse.Message) string { return m.Group }),
		text("correlationId", func(m *gatehouse.Message) string { return m.CorrelationID }),
		text("replyTo", func(m *gatehouse.Message) string { return m.ReplyTo }),
		moment("time", func(m *gatehouse.Message) time.Time { return m.Time }),
		moment("enqueued", func(m *gatehouse.Message) time.Time { return m.Enqueued }),
		{
			"ttl", cel.DurationType,
			func(v *Vars) bool { return v.Message.TTL != 0 },
			func(v *Vars) ref.Val { return types.Duration{Duration: v.Message.TTL} },
		},
		moment("notBefore", func(m *gatehouse.Message) time.Time { return m.NotBefore }),
		number("hops", func(m *gatehouse.Message) int { return int(m.Hops) }),
		{
			"attributes", cel.MapType(cel.StringType, cel.DynType),
			func(v *Vars) bool { return len(v.Message.Attributes) > 0 },
			func(v *Vars) ref.Val {
				v.memo.attributes = dict{attributes: v.Message.Attributes}
				return &v.memo.attributes
			},
		},
		{
			"body", cel.BytesType,
			func(v *Vars) bool { return len(v.Message.Body) > 0 },
			func(v *Vars) ref.Val { return types.Bytes(v.Message.Body) },
		},
		number("size", func(m *gatehouse.Message) int { return len(m.Body) }),
		{
			"json", cel.DynType,
			func(v *Vars) bool { return v.memo.json.of(v.Message).err == nil },
			func(v *Vars) ref.Val { return v.memo.json.of(v.Message).val() },
		},
	}
}

// endpointFields are the fields of endpoint.
func endpointFields() []field {
	return []field{
		{
			"name", cel.StringType,
			func(v *Vars) bool { return v.Endpoint.Name != "" },
			func(v *Vars) ref.Val { return types.String(v.Endpoint.Name) },
		},
		{
			"labels", cel.MapType(cel.StringType, cel.StringType),
			func(v *Vars) bool { return len(v.Endpoint.Labels) > 0 },
			func(v *Vars) ref.Val {
				v.memo.labels = dict{labels: v.Endpoint.Labels}
				return &v.memo.labels
			},
		},
	}
}

// channelFields are the fields of channel.
func channelFields() []field {
	return []field{{
		"name", cel.StringType,
		func(v *Vars) bool { return v.Channel != "" },
		func(v *Vars) ref.Val { return types.String(v.Channel) },
	}}
}

func text(name string, of func(*gatehouse.Message) string) field {
	return field{
		name, cel.StringType,
		func(v *Vars) bool { return of(v.Message) != "" },
		func(v *Vars) ref.Val { return types.String(of(v.Message)) },
	}
}

func moment(name string, of func(*gatehouse.Message) time.Time) field {
	return field{
		name, cel.TimestampType,
		func(v *Vars) bool { return !of(v.Message).IsZero() },
		func(v *Vars) ref.Val { return types.Timestamp{Time: of(v.Message)} },
	}
}

func number(name string, of func(*gatehouse.Message) int) field {
	return field{
		name, cel.IntType,
		func(v *Vars) bool { return of(v.Message) != 0 },
		func(v *Vars) ref.Val { return types.Int(of(v.Message)) },
	}
}
