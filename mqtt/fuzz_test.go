package mqtt_test

import (
	"testing"

	"github.com/gatehouse/gatehouse/mqtt"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// FuzzDecode reads anything. What can be read is written in a way that is read
// the same.
func FuzzDecode(f *testing.F) {
	for _, p := range []any{
		&mqtt.Connect{Version: v5, ClientID: "c", UserName: "u", HasUserName: true, Password: []byte("p"), HasPassword: true, Will: &mqtt.Will{Topic: "w", Payload: []byte("x")}},
		&mqtt.ConnAck{Properties: mqtt.Properties{AssignedClientID: "c", ReceiveMaximum: 10}},
		&mqtt.Publish{QoS: 1, PacketID: 1, Topic: []byte("a"), Payload: []byte("hello"), Properties: mqtt.Properties{ContentType: "text/plain", User: []mqtt.UserProperty{{Name: "a", Value: "b"}}}},
		&mqtt.Ack{Type: mqtt.TypePubAck, PacketID: 1, Code: mqtt.QuotaExceeded, Properties: mqtt.Properties{ReasonString: "full"}},
		&mqtt.Subscribe{PacketID: 1, Filters: []mqtt.Filter{{Topic: "inbox/#", QoS: 1}}},
		&mqtt.SubAck{PacketID: 1, Codes: []mqtt.Code{1}},
		&mqtt.Unsubscribe{PacketID: 1, Filters: []string{"inbox"}},
		&mqtt.UnsubAck{PacketID: 1, Codes: []mqtt.Code{0}},
		&mqtt.Ping{Type: mqtt.TypePingReq},
		&mqtt.Disconnect{Code: mqtt.ServerMoved, Properties: mqtt.Properties{ServerReference: "b"}},
		&mqtt.Auth{Code: mqtt.Reauthenticate, Properties: mqtt.Properties{AuthMethod: "SAS", AuthData: []byte("t")}},
	} {
		f.Add(encode(f, p, v5), true)
		f.Add(encode(f, p, v3), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, five bool) {
		v := v3
		if five {
			v = v5
		}
		p, err := decode(b, v)
		if err != nil {
			return
		}
		if c, ok := p.(*mqtt.Connect); ok {
			v = c.Version
		}
		again, err := decode(encode(t, p, v), v)
		if err != nil {
			t.Fatalf("% x is read as %+v, which is written as % x: %v", b, p, encode(t, p, v), err)
		}
		if diff := cmp.Diff(p, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("% x: %s", b, diff)
		}
	})
}
