package mqttadapter

import (
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/mqtt"

	"github.com/eclipse/paho.golang/packets"
)

// BenchmarkIdleConnections reports the memory of connections that have
// subscribed and wait: heap and stacks of the process, of which the clients in
// it are taken off by measuring them alone.
func BenchmarkIdleConnections(b *testing.B) {
	const n = 2000
	s := newSite(b, Options{})
	for b.Loop() {
		before := inUse()
		var clients []net.Conn
		for range n {
			clients = append(clients, s.quiet())
		}
		<-time.After(2 * idleTime) // buffers are given back
		all := inUse() - before
		b.ReportMetric(float64(all)/n, "bytes/connection")
		for _, nc := range clients {
			_ = nc.Close()
		}
	}
}

// inUse returns the bytes that are in use, once what is not was given back.
func inUse() int64 {
	var m runtime.MemStats
	for range 4 { // stacks shrink by half each time
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// quiet connects and subscribes without a goroutine of its own.
func (s *site) quiet() net.Conn {
	s.Helper()
	nc := s.dial()
	l := s.login(adaptertest.Receiver)
	hello := (&mqtt.Connect{Version: mqtt.Version5, CleanStart: true, KeepAlive: 60, UserName: adaptertest.Account + "/" + adaptertest.Receiver, Password: []byte(l.ListenKey)}).Append(nil)
	hello = (&mqtt.Subscribe{PacketID: 1, Filters: []mqtt.Filter{{Topic: "inbox", QoS: 1}}}).Append(hello, mqtt.Version5)
	_, err := nc.Write(hello)
	s.must(err)
	for range 2 {
		_, err := packets.ReadPacket(nc)
		s.must(err)
	}
	return nc
}

// BenchmarkPublish reports what a message at QoS 1 costs, with 64 under way on
// one connection.
func BenchmarkPublish(b *testing.B) {
	s := newSite(b, Options{})
	nc := s.dial()
	l := s.login(adaptertest.Sender)
	_, err := nc.Write((&mqtt.Connect{Version: mqtt.Version311, CleanStart: true, ClientID: "x", UserName: adaptertest.Account + "/" + adaptertest.Sender, Password: []byte(l.SendKey)}).Append(nil))
	s.must(err)
	hello := make([]byte, 4)
	_, err = nc.Read(hello)
	s.must(err)
	var room sync.WaitGroup
	window := make(chan struct{}, 64)
	room.Go(func() {
		buf := make([]byte, 4096)
		for left, part := b.N, 0; left > 0; {
			n, err := nc.Read(buf)
			if err != nil {
				b.Error(err)
				return
			}
			part += n
			for ; part >= 4; part -= 4 {
				<-window
				left--
			}
		}
	})
	p := mqtt.Publish{QoS: 1, Topic: []byte("channels/telemetry"), Payload: make([]byte, 256)}
	var out []byte
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		p.PacketID = uint16(i%60000) + 1
		out = p.Append(out, mqtt.Version311)
		select {
		case window <- struct{}{}:
		default:
			_, err := nc.Write(out)
			s.must(err)
			out = out[:0]
			window <- struct{}{}
		}
	}
	_, err = nc.Write(out)
	s.must(err)
	room.Wait()
}

// BenchmarkDecode reports what making the message of a PUBLISH costs.
func BenchmarkDecode(b *testing.B) {
	c := &connection{self: "pump-7"}
	c.v5, c.in.reading = true, new(reading)
	raw := (&mqtt.Publish{QoS: 1, PacketID: 1, Topic: []byte("channels/telemetry"), Payload: make([]byte, 256)}).Append(nil, mqtt.Version5)
	h, n, err := mqtt.ParseHeader(raw)
	if err != nil {
		b.Fatal(err)
	}
	c.serving = &serving{Adapter: New(Options{})}
	var p mqtt.Publish
	var m *gatehouse.Message
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Decode(h, raw[n:], mqtt.Version5); err != nil {
			b.Fatal(err)
		}
		if m, _, err = c.incoming(&p); err != nil {
			b.Fatal(err)
		}
	}
	_ = m
}
