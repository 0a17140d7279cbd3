package amqp1

import (
	"testing"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/auth/secret"
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
		{"tokens", adaptertest.Harness{Adapter: New(Options{}), Protocol: ProtocolPlain, Dial: dialer(nil, false)}},
		{"tokens over TLS", adaptertest.Harness{Adapter: New(secure), Protocol: ProtocolTLS, Dial: dialer(trusting, false)}},
		{"SASL PLAIN", adaptertest.Harness{Adapter: New(Options{}), Protocol: ProtocolPlain, Dial: dialer(nil, true)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.harness.Engine, c.harness.Auth, c.harness.Keeps = newEngine, secret.New, sortAttributes
			adaptertest.Run(t, c.harness)
		})
	}
}
