package mqttadapter

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/auth/secret"
	"github.com/gatehouse/gatehouse/cloudevents"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
)

func newEngine() engine.Engine { return memory.New(memory.Options{}) }

func TestAdapter(t *testing.T) {
	server, trusting := adaptertest.TLS(t)
	secure := Options{}
	secure.TLS = server
	for _, c := range []struct {
		name    string
		harness adaptertest.Harness
	}{
		{"TCP", adaptertest.Harness{Adapter: New(Options{}), Protocol: ProtocolPlain, Dial: dialer(nil)}},
		{"TLS", adaptertest.Harness{Adapter: New(secure), Protocol: ProtocolTLS, Dial: dialer(trusting)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.harness.Engine, c.harness.Auth, c.harness.Keeps = newEngine, secret.New, keeps
			adaptertest.Run(t, c.harness)
		})
	}
}

// keeps is what arrives of a message that goes by user properties both ways:
// values are texts, but for those that have none, which come last.
func keeps(m *gatehouse.Message) *gatehouse.Message {
	var texts, others []gatehouse.Attribute
	for _, a := range m.Attributes {
		switch a.Value.Type() {
		case gatehouse.TypeNull, gatehouse.TypeList, gatehouse.TypeMap:
			others = append(others, a)
		default:
			texts = append(texts, gatehouse.Attribute{Name: strings.ToLower(a.Name), Value: gatehouse.String(cloudevents.Text(a.Value))})
		}
	}
	m.Attributes = slices.Concat(texts, others)
	return m
}
