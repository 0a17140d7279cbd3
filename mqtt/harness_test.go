package mqtt_test

import (
	"errors"
	"testing"

	"github.com/gatehouse/gatehouse/mqtt"
)

// decode reads one packet of any kind, which must be all of b.
func decode(b []byte, v mqtt.Version) (any, error) {
	h, n, err := mqtt.ParseHeader(b)
	switch {
	case err != nil:
		return nil, err
	case n == 0 || len(b)-n != h.Length:
		return nil, errLength
	}
	body := b[n:]
	switch h.Type {
	case mqtt.TypeConnect:
		p := new(mqtt.Connect)
		return p, p.Decode(body)
	case mqtt.TypeConnAck:
		p := new(mqtt.ConnAck)
		return p, p.Decode(body, v)
	case mqtt.TypePublish:
		p := new(mqtt.Publish)
		return p, p.Decode(h, body, v)
	case mqtt.TypePubAck, mqtt.TypePubRec, mqtt.TypePubRel, mqtt.TypePubComp:
		p := new(mqtt.Ack)
		return p, p.Decode(h, body, v)
	case mqtt.TypeSubscribe:
		p := new(mqtt.Subscribe)
		return p, p.Decode(body, v)
	case mqtt.TypeSubAck:
		p := new(mqtt.SubAck)
		return p, p.Decode(body, v)
	case mqtt.TypeUnsubscribe:
		p := new(mqtt.Unsubscribe)
		return p, p.Decode(body, v)
	case mqtt.TypeUnsubAck:
		p := new(mqtt.UnsubAck)
		return p, p.Decode(body, v)
	case mqtt.TypeDisconnect:
		p := new(mqtt.Disconnect)
		return p, p.Decode(body, v)
	case mqtt.TypeAuth:
		p := new(mqtt.Auth)
		return p, p.Decode(body, v)
	}
	p := new(mqtt.Ping)
	return p, p.Decode(h, body)
}

var errLength = errors.New("the packet is not whole")

// encode is the reverse of decode.
func encode(t testing.TB, packet any, v mqtt.Version) []byte {
	t.Helper()
	switch p := packet.(type) {
	case *mqtt.Connect:
		return p.Append(nil)
	case *mqtt.ConnAck:
		return p.Append(nil, v)
	case *mqtt.Publish:
		return p.Append(nil, v)
	case *mqtt.Ack:
		return p.Append(nil, v)
	case *mqtt.Subscribe:
		return p.Append(nil, v)
	case *mqtt.SubAck:
		return p.Append(nil, v)
	case *mqtt.Unsubscribe:
		return p.Append(nil, v)
	case *mqtt.UnsubAck:
		return p.Append(nil, v)
	case *mqtt.Ping:
		return p.Append(nil)
	case *mqtt.Disconnect:
		return p.Append(nil, v)
	case *mqtt.Auth:
		return p.Append(nil)
	}
	t.Fatalf("no packet: %T", packet)
	return nil
}
