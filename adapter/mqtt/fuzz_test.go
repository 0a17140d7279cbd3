package mqttadapter

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/mqtt"
)

// FuzzConnection feeds bytes to a connection, after a CONNECT that lets it in
// or without one. Whatever comes, the connection ends and leaves nothing.
func FuzzConnection(f *testing.F) {
	s := newSite(f, Options{ConnectTime: 5 * time.Second})
	a := New(Options{ConnectTime: 5 * time.Second})
	l := s.login(adaptertest.Receiver)
	connect := func(v mqtt.Version) []byte {
		return (&mqtt.Connect{
			Version: v, CleanStart: true, ClientID: "fuzz", UserName: adaptertest.Account + "/" + adaptertest.Receiver, Password: []byte(l.SendKey + "," + l.ListenKey),
			Will: &mqtt.Will{Topic: "gone"},
		}).Append(nil)
	}
	publish := func(v mqtt.Version, qos byte, topic string) []byte {
		p := mqtt.Publish{QoS: qos, PacketID: 7, Topic: []byte(topic), Payload: []byte("x")}
		if qos == 0 {
			p.PacketID = 0
		}
		if v == mqtt.Version5 {
			p.Properties = mqtt.Properties{TopicAlias: 1, ContentType: "application/cloudevents+json", User: []mqtt.UserProperty{{Name: "time", Value: "x"}}}
		}
		return p.Append(nil, v)
	}
	for _, v := range []mqtt.Version{mqtt.Version311, mqtt.Version5} {
		five := v == mqtt.Version5
		for qos := range byte(3) {
			for _, topic := range []string{"a", "channels/telemetry/x", "endpoints/Panel", "devices/panel/messages/events/a=b", "inbox"} {
				f.Add(byte(v), publish(v, qos, topic))
			}
		}
		f.Add(byte(v), (&mqtt.Subscribe{PacketID: 1, Filters: []mqtt.Filter{{Topic: "inbox/#", QoS: 2}, {Topic: "$share/a/#"}}}).Append(nil, v))
		f.Add(byte(v), (&mqtt.Unsubscribe{PacketID: 1, Filters: []string{"inbox/#"}}).Append(nil, v))
		for _, t := range []mqtt.Type{mqtt.TypePubAck, mqtt.TypePubRec, mqtt.TypePubRel, mqtt.TypePubComp} {
			f.Add(byte(v), (&mqtt.Ack{Type: t, PacketID: 1}).Append(nil, v))
		}
		f.Add(byte(v), (&mqtt.Disconnect{}).Append(nil, v))
		f.Add(byte(0), connect(v))
		if five {
			f.Add(byte(v), (&mqtt.Auth{Code: mqtt.Reauthenticate}).Append(nil))
		}
	}
	f.Fuzz(func(t *testing.T, version byte, sent []byte) {
		client, server := net.Pipe()
		running := newServing(a, s.world.Gate)
		if !running.conns.Admit() {
			t.Fatal("not admitted")
		}
		go running.serve(server)
		go func() {
			if version == byte(mqtt.Version311) || version == byte(mqtt.Version5) {
				_, _ = client.Write(connect(mqtt.Version(version)))
			}
			_, _ = client.Write(sent)
			_ = client.Close()
		}()
		_, _ = io.Copy(io.Discard, client)
		ended, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		go func() {
			running.stop()
			cancel()
		}()
		<-ended.Done()
		if ended.Err() == context.DeadlineExceeded {
			t.Fatal("the connection does not end")
		}
		if n := len(running.conns.Stop()) + running.conns.Len(); n > 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}
