package httpapi

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/auth/secret"
	"github.com/gatehouse/gatehouse/cloudevents"
)

// keepsText says what arrives of a message whose attributes travel as texts of
// CloudEvents: their types are lost, unless JSON has them.
func keepsText(json bool) func(*gatehouse.Message) *gatehouse.Message {
	return func(m *gatehouse.Message) *gatehouse.Message {
		var plain, rest []gatehouse.Attribute
		for _, a := range m.Attributes {
			switch t := a.Value.Type(); t {
			case gatehouse.TypeNull, gatehouse.TypeList, gatehouse.TypeMap:
				rest = append(rest, a)
				continue
			case gatehouse.TypeBool, gatehouse.TypeInt64:
				if json {
					break
				}
				fallthrough
			default:
				a.Value = gatehouse.String(cloudevents.Text(a.Value))
			}
			a.Name = strings.ToLower(a.Name)
			plain = append(plain, a)
		}
		m.Attributes = append(plain, rest...)
		return m
	}
}

// sorted is keepsText for headers, which have no order but that of names; the
// extension of the rest, gatehouseattributes, is among them.
func sorted(m *gatehouse.Message) *gatehouse.Message {
	m = keepsText(false)(m)
	order := func(a gatehouse.Attribute) string {
		switch a.Value.Type() {
		case gatehouse.TypeNull, gatehouse.TypeList, gatehouse.TypeMap:
			return cloudevents.AttributesExtension
		}
		return a.Name
	}
	slices.SortStableFunc(m.Attributes, func(a, b gatehouse.Attribute) int { return strings.Compare(order(a), order(b)) })
	return m
}

func TestAdapter(t *testing.T) {
	server, trusting := adaptertest.TLS(t)
	plain, secure := Options{H2C: true}, Options{}
	secure.TLS = server
	for _, c := range []struct {
		name    string
		harness adaptertest.Harness
	}{
		{"headers over HTTP 1.1", adaptertest.Harness{
			Adapter: New(secure), Protocol: ProtocolTLS, Dial: dialer(trusting, 1, binaryShape), Keeps: sorted,
		}},
		{"structured over HTTP 2", adaptertest.Harness{
			Adapter: New(secure), Protocol: ProtocolTLS, Dial: dialer(trusting, 2, structuredShape), Keeps: keepsText(true),
		}},
		{"batch over plain HTTP 1.1", adaptertest.Harness{
			Adapter: New(plain), Protocol: ProtocolPlain, Dial: dialer(nil, 1, batchShape), Keeps: keepsText(true),
		}},
		{"headers over plain HTTP 2", adaptertest.Harness{
			Adapter: New(plain), Protocol: ProtocolPlain, Dial: dialer(nil, 2, binaryShape), Keeps: sorted,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.harness.Engine, c.harness.Auth = newEngine, secret.New
			adaptertest.Run(t, c.harness)
		})
	}
}
