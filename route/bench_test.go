package route

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/rule"
)

// benchTable is that of an account with a hundred authorizations, five of
// which concern the endpoint.
func benchTable(b *testing.B, when string) Plan {
	b.Helper()
	var rules []Authorization
	for i := range 96 {
		rules = append(rules, Authorization{
			Name: fmt.Sprintf("other-%d", i), Direction: Ingress, Types: []string{fmt.Sprintf("type-%d", i)},
			Endpoints: rule.Selector{Names: []string{fmt.Sprintf("other-%d-*", i)}},
		})
	}
	rules = append(rules,
		Authorization{Name: "telemetry", Direction: Ingress, Endpoints: rule.Selector{Names: []string{"pump-*"}}, Channels: rule.Selector{Names: []string{"telemetry"}}, Types: []string{"reading.*"}, When: when},
		Authorization{Name: "alarms", Direction: Ingress, Endpoints: rule.Selector{Names: []string{"pump-*"}}, Channels: rule.Selector{Names: []string{"alarms"}}, Types: []string{"alarm"}},
		Authorization{Name: "no-tests", Direction: Ingress, Channels: rule.Selector{Names: []string{"telemetry", "alarms"}}, Types: []string{"test", "reading.test"}, Effect: Deny},
		Authorization{Name: "commands", Direction: Egress, Channels: rule.Selector{Names: []string{"telemetry"}}, Types: []string{"reading.*"}, When: when},
	)
	t, err := Compile(rules, []gatehouse.ChannelName{"telemetry", "alarms", "orders"})
	if err != nil {
		b.Fatal(err)
	}
	return t.Plan(rule.Endpoint{Name: "pump-7"})
}

func BenchmarkDecision(b *testing.B) {
	m := &gatehouse.Message{
		ID: "1", Type: "reading.level", Body: make([]byte, 256),
		Attributes: []gatehouse.Attribute{{Name: "unit", Value: gatehouse.String("bar")}, {Name: "region", Value: gatehouse.String("eu")}},
	}
	named := *m
	named.To = []string{"channels/telemetry"}
	now := time.Now()
	for name, when := range map[string]string{
		"plain":     "",
		"condition": `msg.type == "reading.level" && msg.size < 65536 && msg.attributes["region"] in ["eu", "us"]`,
	} {
		p := benchTable(b, when)
		b.Run(name+"/ingress", func(b *testing.B) { benchIngress(b, p, m, now) })
		b.Run(name+"/named", func(b *testing.B) { benchIngress(b, p, &named, now) })
		b.Run(name+"/egress", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Egress("telemetry", m, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchIngress(b *testing.B, p Plan, m *gatehouse.Message, now time.Time) {
	b.ReportAllocs()
	var space [1]gatehouse.ChannelName
	for b.Loop() {
		to, err := p.Ingress(space[:0], m, now)
		if err != nil || len(to) != 1 {
			b.Fatal(to, err)
		}
	}
}
