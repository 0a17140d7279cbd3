package mqttadapter

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/mqtt"

	"github.com/eclipse/paho.golang/packets"
)

// closes waits until the gateway has closed a connection, and returns what it
// said before.
func (s *site) closes(nc net.Conn) []byte {
	s.Helper()
	s.must(nc.SetReadDeadline(time.Now().Add(30 * time.Second)))
	said, err := io.ReadAll(nc)
	if isTimeout(err) {
		s.Fatal("the connection was not closed")
	}
	return said
}

func (s *site) dial() net.Conn {
	s.Helper()
	nc, err := net.Dial("tcp", s.address)
	s.must(err)
	s.Cleanup(func() { _ = nc.Close() })
	return nc
}

// Who does not prove in time who it is goes, however slowly it speaks.
func TestSlowloris(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{ConnectTime: 300 * time.Millisecond})
	connect := (&mqtt.Connect{Version: mqtt.Version5, ClientID: "slow"}).Append(nil)
	nc := s.dial()
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		<-tick.C
		if _, err := nc.Write(connect[i%len(connect):][:1]); err != nil || i == len(connect)-2 {
			break
		}
	}
	if said := s.closes(nc); len(said) > 0 {
		t.Errorf("it was told %x", said)
	}
	if said := s.closes(s.dial()); len(said) > 0 {
		t.Errorf("who said nothing was told %x", said)
	}
}

// A client that is silent for one and a half times its keep-alive is gone.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	began := time.Now()
	p, _ := s.join(adaptertest.Sender, func(c *packets.Connect) { c.KeepAlive = 1 })
	if code := s.ended(p); code != mqtt.KeepAliveTimeout || time.Since(began) < 1500*time.Millisecond {
		t.Errorf("%v after %v", code, time.Since(began))
	}
}

// What is no MQTT, before CONNECT and after it.
func TestMalformed(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	connect := connectOf(s.login(adaptertest.Sender))
	good := (&mqtt.Connect{Version: mqtt.Version5, CleanStart: true, ClientID: "x", UserName: connect.Username, Password: connect.Password}).Append(nil)
	for name, one := range map[string]struct {
		bytes []byte
		said  []byte // how the answer begins
	}{
		"HTTP":                         {[]byte("GET / HTTP/1.1\r\n\r\n"), nil},
		"another first packet":         {[]byte{0xc0, 0}, nil},
		"a CONNECT that is too large":  {[]byte{0x10, 0xff, 0xff, 0xff, 0x7f}, nil},
		"a length of five bytes":       {[]byte{0x10, 0x80, 0x80, 0x80, 0x80, 1}, nil},
		"MQTT 3.1":                     {append([]byte{0x10, 14, 0, 6}, "MQIsdp\x03\x02\x00\x3c\x00\x00"...), []byte{0x20, 2, 0, 1}},
		"a version that is to come":    {append([]byte{0x10, 12, 0, 4}, "MQTT\x06\x02\x00\x3c\x00\x00"...), []byte{0x20}},
		"MQTT 5 with a broken will":    {append([]byte{0x10, 13, 0, 4}, "MQTT\x05\x1e\x00\x3c\x00\x00\x00"...), []byte{0x20}},
		"a second CONNECT":             {bytes.Repeat(good, 2), []byte{0x20}},
		"a packet of a server":         {append(bytes.Clone(good), 0x20, 2, 0, 0), []byte{0x20}},
		"a topic that is not UTF-8":    {append(bytes.Clone(good), 0x30, 5, 0, 2, 0xff, 0xfe, 0), []byte{0x20}},
		"a topic with a wildcard":      {append(bytes.Clone(good), 0x30, 4, 0, 1, '#', 0), []byte{0x20}},
		"SUBSCRIBE without a filter":   {append(bytes.Clone(good), 0x82, 3, 0, 1, 0), []byte{0x20}},
		"a filter that is not UTF-8":   {append(bytes.Clone(good), 0x82, 7, 0, 1, 0, 0, 1, 0xff, 0), []byte{0x20}},
		"a packet that is too large":   {append(bytes.Clone(good), 0x30, 0xff, 0xff, 0xff, 0x7f), []byte{0x20}},
		"QoS 3":                        {append(bytes.Clone(good), 0x36, 6, 0, 1, 'x', 0, 1, 0), []byte{0x20}},
		"a property twice":             {append(bytes.Clone(good), 0x30, 8, 0, 1, 'x', 4, 1, 0, 1, 0), []byte{0x20}},
		"a subscription identifier":    {append(bytes.Clone(good), 0x30, 6, 0, 1, 'x', 2, 0x0b, 1), []byte{0x20}},
		"packet identifier 0":          {append(bytes.Clone(good), 0x32, 6, 0, 1, 'x', 0, 0, 0), []byte{0x20}},
		"an acknowledgement of no one": {append(bytes.Clone(good), 0x40, 2, 0, 0), []byte{0x20}},
	} {
		nc := s.dial()
		_, err := nc.Write(one.bytes)
		s.must(err)
		said := s.closes(nc)
		if !bytes.HasPrefix(said, one.said) || one.said == nil && len(said) > 0 {
			t.Errorf("%s: it was told %x", name, said)
		}
		if n := len(good); len(one.bytes) > n && bytes.HasPrefix(one.bytes, good) && !bytes.Contains(said, []byte{0xe0}) {
			t.Errorf("%s: no DISCONNECT in %x", name, said)
		}
	}
}

// A packet identifier that is used again before it is free.
func TestPacketIDReuse(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	p, _ := s.join(adaptertest.Sender, nil)
	for range 100 { // with DUP and without, in one go
		for _, dup := range []bool{false, false, true} {
			s.must(p.send(&packets.Publish{Topic: "endpoints/" + adaptertest.Receiver, QoS: 2, PacketID: 9, Duplicate: dup, Payload: []byte("a"), Properties: &packets.Properties{}}))
		}
		stored := 0
		s.must(p.send(&packets.Pingreq{}))
		for stored == 0 {
			rec, err := await[*packets.Pubrec](s.ctx, p)
			s.must(err)
			switch mqtt.Code(rec.ReasonCode) {
			case mqtt.Success:
				stored++
			case mqtt.PacketIdentifierInUse:
			default:
				t.Fatalf("%+v", rec)
			}
		}
		if code := s.release(p, 9); code != mqtt.Success {
			t.Fatalf("PUBCOMP %v", code)
		}
		if d := s.take(adaptertest.Receiver); string(d.Message.Body) != "a" {
			t.Fatal("nothing came")
		}
	}
	s.nothing()
}

// Floods of packets that are to be answered, by a client that does not read. The
// heap is the process's, so that nothing else may run.
func TestFloods(t *testing.T) {
	s := newSite(t, Options{})
	subscribe := (&mqtt.Subscribe{PacketID: 1, Filters: []mqtt.Filter{{Topic: "inbox", QoS: 1}, {Topic: "other/#"}}}).Append(nil, mqtt.Version5)
	ping := (&mqtt.Ping{Type: mqtt.TypePingReq}).Append(nil)
	connect := connectOf(s.login(adaptertest.Receiver))
	flood := map[string][]byte{"SUBSCRIBE": subscribe, "PINGREQ": ping}
	for _, kind := range []mqtt.Type{mqtt.TypePubRec, mqtt.TypePubRel} {
		flood[kind.String()] = (&mqtt.Ack{Type: kind, PacketID: 1}).Append(nil, mqtt.Version5)
	}
	for name, packet := range flood {
		nc := s.dial()
		_, err := nc.Write((&mqtt.Connect{Version: mqtt.Version5, CleanStart: true, ClientID: name, UserName: connect.Username, Password: connect.Password}).Append(nil))
		s.must(err)
		many := bytes.Repeat(packet, 64<<10/len(packet))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		sent := 0
		for sent < 64<<20 {
			s.must(nc.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)))
			n, err := nc.Write(many)
			sent += n
			if err != nil {
				break // the gateway reads no more
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 32<<20 {
			t.Errorf("%s: %d bytes after %d were sent", name, grown, sent)
		}
		if sent >= 64<<20 {
			t.Errorf("%s: all of %d bytes were taken", name, sent)
		}
	}
	// Nobody else is the worse for it.
	p, _ := s.join(adaptertest.Sender, nil)
	if code := s.publish(p, 1, "a"); code != mqtt.Success {
		t.Error(code)
	}
}

// Many subscriptions, many filters.
func TestManyFilters(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	p, _ := s.join(adaptertest.Receiver, nil)
	var filters []string
	for i := range maxSubscriptions + 1 {
		filters = append(filters, "$share/"+string(rune('a'+i))+"/inbox")
	}
	codes, err := p.subscribe(s.ctx, 1, filters...)
	s.must(err)
	if got := mqtt.Code(codes[maxSubscriptions]); got != mqtt.QuotaExceeded || codes[maxSubscriptions-1] != 1 {
		t.Errorf("SUBACK %x", codes)
	}
	for len(filters) <= maxFilters {
		filters = append(filters, "inbox")
	}
	if _, err := p.subscribe(s.ctx, 1, filters...); codeOf(err) != mqtt.ProtocolError {
		t.Errorf("%d filters: %v", len(filters), err)
	}
}

// A message at QoS 2 counts once against the receive maximum, and one that is
// sent again not at all.
func TestWindow(t *testing.T) {
	t.Parallel()
	c := &connection{v5: true, state: &session{}, serving: &serving{Adapter: New(Options{Window: 4})}}
	c.room.L = &c.mu
	for id := range uint16(4) {
		p := &mqtt.Publish{QoS: 2, PacketID: id + 1}
		if why := c.window(p); why != nil {
			t.Fatalf("message %d: %s", p.PacketID, why.text)
		}
		if repeated, _ := c.repeated(p); repeated {
			t.Fatalf("message %d is not the first", p.PacketID)
		}
		c.acks.push(ack{id: p.PacketID, qos: p.QoS})
	}
	if why := c.window(&mqtt.Publish{QoS: 2, PacketID: 1, Dup: true}); why != nil {
		t.Errorf("again: %s", why.text)
	}
	if why := c.window(&mqtt.Publish{QoS: 0}); why != nil {
		t.Errorf("QoS 0: %s", why.text)
	}
	for _, p := range []*mqtt.Publish{{QoS: 2, PacketID: 5}, {QoS: 1, PacketID: 5}} {
		if why := c.window(p); why == nil || why.code != mqtt.ReceiveMaximumExceeded {
			t.Errorf("one more at QoS %d: %+v", p.QoS, why)
		}
	}
}

// A client that sends more than the receive maximum allows is at fault.
func TestOverReceiveMaximum(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{Window: 4})
	p, _ := s.join(adaptertest.Sender, nil)
	for id := range uint16(5) {
		s.must(p.send(&packets.Publish{Topic: "x", QoS: 2, PacketID: id + 1, Properties: &packets.Properties{}}))
	}
	if code := s.ended(p); code != mqtt.ReceiveMaximumExceeded {
		t.Error(code)
	}
}

// Connections over the limit are closed.
func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	o := Options{}
	o.Connections = 1
	s := newSite(t, o)
	p, _ := s.join(adaptertest.Sender, nil)
	s.closes(s.dial())
	s.must(p.ping(s.ctx))
}
