package mqtt_test

import (
	"testing"

	"github.com/gatehouse/gatehouse/mqtt"
)

func BenchmarkDecodePublish(b *testing.B) {
	for _, v := range []mqtt.Version{v3, v5} {
		p := &mqtt.Publish{QoS: 1, PacketID: 7, Topic: []byte("channels/telemetry"), Payload: make([]byte, 256)}
		packet := p.Append(nil, v)
		b.Run("version "+string('0'+rune(v)), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(packet)))
			var p mqtt.Publish
			for b.Loop() {
				h, n, err := mqtt.ParseHeader(packet)
				if err == nil {
					err = p.Decode(h, packet[n:], v)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendPubAck(b *testing.B) {
	b.ReportAllocs()
	ack := mqtt.Ack{Type: mqtt.TypePubAck, PacketID: 7}
	var dst []byte
	for b.Loop() {
		dst = ack.Append(dst[:0], v5)
	}
}
