package mqtt_test

import (
	"encoding/hex"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/mqtt"
)

const (
	v3 = mqtt.Version311
	v5 = mqtt.Version5
)

// What the standard forbids in a single packet is refused with the code that it
// names. The statements are numbered as in MQTT 5.0, with "3:" as in 3.1.1.
func TestStrict(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		statement, packet string
		version           mqtt.Version
		want              mqtt.Code
	}{
		{"2.1.2: type 0", "00 00", v5, mqtt.MalformedPacket},
		{"2.1.3-1: flags of SUBSCRIBE", "80 06 0001 00 0001", v5, mqtt.MalformedPacket},
		{"2.1.3-1: flags of PINGREQ", "c1 00", v3, mqtt.MalformedPacket},
		{"2.1.3-1: flags of PUBREL", "60 02 0001", v3, mqtt.MalformedPacket},
		{"1.5.5: five bytes of length", "30 80 80 80 80 01", v5, mqtt.MalformedPacket},
		{"1.5.5-1: length not in its shortest form", "c0 80 00", v5, mqtt.MalformedPacket},
		{"3.1.2-1: protocol name", "10 0d 0004 4d515458 05 02 003c 00 0000", v5, mqtt.UnsupportedProtocolVersion},
		{"3.1.2-2: protocol version", "10 0c 0004 4d515454 06 02 003c 0000", v5, mqtt.UnsupportedProtocolVersion},
		{"MQTT 3.1", "10 0e 0006 4d5149736470 03 02 003c 0000", v3, mqtt.UnsupportedProtocolVersion},
		{"3.1.2-3: reserved flag", "10 0d 0004 4d515454 05 03 003c 00 0000", v5, mqtt.MalformedPacket},
		{"3.1.2-11: QoS without a will", "10 0d 0004 4d515454 05 0a 003c 00 0000", v5, mqtt.MalformedPacket},
		{"3.1.2-13: retain without a will", "10 0d 0004 4d515454 05 22 003c 00 0000", v5, mqtt.MalformedPacket},
		{"3.1.2-12: will of QoS 3", "10 14 0004 4d515454 05 1e 003c 00 0000 00 0001 61 0001 62", v5, mqtt.MalformedPacket},
		{"3: 3.1.2-22: password without user name", "10 0f 0004 4d515454 04 42 003c 0000 0001 61", v3, mqtt.MalformedPacket},
		{"4.7.1-1: wildcard in the topic of a will", "10 14 0004 4d515454 05 06 003c 00 0000 00 0001 23 0001 62", v5, mqtt.TopicNameInvalid},
		{"2.2.2.2: property of another packet", "10 10 0004 4d515454 05 02 003c 03 230001 0000", v5, mqtt.MalformedPacket},
		{"2.2.2.2: unknown property", "10 0f 0004 4d515454 05 02 003c 02 7f01 0000", v5, mqtt.MalformedPacket},
		{"3.1.2.11.3: receive maximum 0", "10 10 0004 4d515454 05 02 003c 03 210000 0000", v5, mqtt.ProtocolError},
		{"3.1.2.11.4: maximum packet size 0", "10 12 0004 4d515454 05 02 003c 05 2700000000 0000", v5, mqtt.ProtocolError},
		{"3.1.2.11.7: request problem information 2", "10 0f 0004 4d515454 05 02 003c 02 1702 0000", v5, mqtt.ProtocolError},
		{"property twice", "10 11 0004 4d515454 05 02 003c 04 17001701 0000", v5, mqtt.ProtocolError},
		{"3.1.2.11.10: data without a method", "10 11 0004 4d515454 05 02 003c 04 16000161 0000", v5, mqtt.ProtocolError},
		{"bytes behind the payload", "10 0e 0004 4d515454 05 02 003c 00 0000 00", v5, mqtt.MalformedPacket},
		{"cut short", "10 0b 0004 4d515454 05 02 003c 00", v5, mqtt.MalformedPacket},
		{"3.2.2-1: reserved flags of CONNACK", "20 03 02 00 00", v5, mqtt.MalformedPacket},
		{"3.2.2-6: a session for a client that is refused", "20 03 01 87 00", v5, mqtt.ProtocolError},
		{"3: 3.2.2-4: a session for a client that is refused", "20 02 01 05", v3, mqtt.ProtocolError},
		{"3.3.1-4: QoS 3", "36 06 0001 61 0001 00", v5, mqtt.MalformedPacket},
		{"3.3.1-2: DUP at QoS 0", "38 04 0001 61 00", v5, mqtt.MalformedPacket},
		{"3.3.2-2: wildcard in the topic", "30 04 0001 2b 00", v5, mqtt.TopicNameInvalid},
		{"1.5.4-1: topic is not UTF-8", "30 04 0001 ff 00", v5, mqtt.MalformedPacket},
		{"1.5.4-1: topic has a surrogate", "30 06 0003 eda080 00", v5, mqtt.MalformedPacket},
		{"1.5.4-2: topic has U+0000", "30 04 0001 00 00", v5, mqtt.MalformedPacket},
		{"2.2.1-3: packet identifier 0", "32 06 0001 61 0000 00", v5, mqtt.ProtocolError},
		{"3.3.2-8: topic alias 0", "30 07 0001 61 03 230000", v5, mqtt.TopicAliasInvalid},
		{"3.3.2.1: neither topic nor alias", "30 03 0000 00", v5, mqtt.ProtocolError},
		{"3: 4.7.3-1: no topic", "30 02 0000", v3, mqtt.TopicNameInvalid},
		{"3.3.2-14: wildcard in the response topic", "30 08 0001 61 04 08000123", v5, mqtt.ProtocolError},
		{"3.3.2.3.2: payload format 2", "30 06 0001 61 02 0102", v5, mqtt.ProtocolError},
		{"3.3.2.3.8: subscription identifier 0", "30 06 0001 61 02 0b00", v5, mqtt.ProtocolError},
		{"user property cut short", "30 09 0001 61 05 260005 6161", v5, mqtt.MalformedPacket},
		{"3.4.2.1: code of PUBACK", "40 03 0001 01", v5, mqtt.ProtocolError},
		{"3.6.2.1: code of PUBREL", "62 03 0001 80", v5, mqtt.ProtocolError},
		{"PUBACK of 3.1.1 has no code", "40 03 0001 00", v3, mqtt.MalformedPacket},
		{"PUBACK without an identifier", "40 01 00", v5, mqtt.MalformedPacket},
		{"3.8.3-2: no filter", "82 03 0001 00", v5, mqtt.ProtocolError},
		{"3.8.3-5: reserved options", "82 07 0001 00 0001 61 40", v5, mqtt.MalformedPacket},
		{"3: 3.8.3-4: reserved options", "82 06 0001 0001 61 04", v3, mqtt.MalformedPacket},
		{"3.8.3.1: QoS 3", "82 07 0001 00 0001 61 03", v5, mqtt.ProtocolError},
		{"3: 3.8.3-4: QoS 3", "82 06 0001 0001 61 03", v3, mqtt.MalformedPacket},
		{"3.8.3-4: no local on a shared subscription", "82 10 0001 00 000a 2473686172652f672f61 04", v5, mqtt.ProtocolError},
		{"3.8.3.1: retain handling 3", "82 07 0001 00 0001 61 30", v5, mqtt.ProtocolError},
		{"3.8.2.1.2: two subscription identifiers", "82 0b 0001 04 0b010b02 0001 61 00", v5, mqtt.ProtocolError},
		{"3.10.3-2: no filter", "a2 03 0001 00", v5, mqtt.ProtocolError},
		{"3.12.1: PINGREQ with a body", "c0 01 00", v5, mqtt.MalformedPacket},
		{"3.14.2.1: code of DISCONNECT", "e0 01 86", v5, mqtt.ProtocolError},
		{"3: DISCONNECT with a body", "e0 01 00", v3, mqtt.MalformedPacket},
		{"3.15.2-1: code of AUTH", "f0 02 80 00", v5, mqtt.ProtocolError},
		{"3: AUTH", "f0 00", v3, mqtt.MalformedPacket},
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(c.packet, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		p, err := decode(b, c.version)
		if e, ok := errors.AsType[*mqtt.Error](err); !ok || e.Code != c.want {
			t.Errorf("%s: %s is read as %+v, %v; want %v", c.statement, c.packet, p, err, c.want)
		}
	}
}

// What looks odd but is allowed is read.
func TestLenient(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what, packet string
		version      mqtt.Version
	}{
		{"password without user name", "10 10 0004 4d515454 05 42 003c 00 0000 0001 61", v5},
		{"no clean session, no identifier", "10 0c 0004 4d515454 04 00 0000 0000", v3},
		{"code without properties", "40 03 0001 10", v5},
		{"identifier alone", "40 02 0001", v5},
		{"topic alias alone", "30 06 0000 03 230001", v5},
		{"user property twice", "30 12 0001 61 0e 260001610001 62 260001610001 62", v5},
		{"empty payload", "30 04 0001 61 00", v5},
		{"DISCONNECT without a body", "e0 00", v5},
		{"AUTH without a body", "f0 00", v5},
		{"retain available", "20 05 00 00 02 2501", v5},
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(c.packet, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode(b, c.version); err != nil {
			t.Errorf("%s: %s: %v", c.what, c.packet, err)
		}
	}
}

// A header that is not whole asks for more.
func TestParts(t *testing.T) {
	t.Parallel()
	for _, b := range [][]byte{nil, {0x30}, {0x30, 0x80}, {0x30, 0x80, 0x80, 0x80}} {
		if _, n, err := mqtt.ParseHeader(b); n != 0 || err != nil {
			t.Errorf("% x: %d, %v", b, n, err)
		}
	}
	h, n, err := mqtt.ParseHeader([]byte{0x3d, 0xff, 0xff, 0xff, 0x7f})
	if n != 5 || err != nil || h.Length != mqtt.MaxLength || h.Type != mqtt.TypePublish || h.Flags != 0xd {
		t.Errorf("%+v, %d, %v", h, n, err)
	}
}

func TestTopics(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{"a": true, "/": true, "a/b c/ü": true, "$SYS/a": true, "": false, "a/#": false, "+": false, "a\x00": false, "\xff": false, strings.Repeat("a", 65536): false} {
		if got := mqtt.ValidTopic(s); got != want {
			t.Errorf("topic %.40q: %v", s, got)
		}
	}
	for s, want := range map[string]bool{
		"a": true, "#": true, "a/#": true, "+": true, "+/a/+": true, "/": true, "a//b": true, "$share/g/a/#": true, "$share/g//": true,
		"": false, "a#": false, "#/a": false, "a/#/b": false, "a+": false, "a/+b": false, "$share/g": false, "$share//a": false, "$share/+/a": false, "$share/g/": false,
	} {
		if got := mqtt.ValidFilter(s); got != want {
			t.Errorf("filter %q: %v", s, got)
		}
	}
}

// Lengths that a packet claims and does not have cost nothing. Not in parallel:
// what others allocate would count.
func TestHostileLengths(t *testing.T) {
	packets := [][]byte{
		{0x10, 0x04, 0xff, 0xff, 'M', 'Q'},
		{0x30, 0x05, 0x00, 0x01, 'a', 0xff, 0x7f},
		{0x30, 0x0a, 0x00, 0x01, 'a', 0x06, 0x26, 0xff, 0xff, 'a', 'a', 'a'},
		{0x82, 0x05, 0x00, 0x01, 0x00, 0xff, 0xff},
	}
	const rounds = 1000
	got := allocated(func() {
		for range rounds {
			for _, b := range packets {
				if _, err := decode(b, v5); err == nil {
					t.Fatalf("% x is read", b)
				}
			}
		}
	})
	if each := got / rounds / uint64(len(packets)); each > 4096 {
		t.Errorf("%d bytes are allocated for a packet of a few", each)
	}
}

// The shortest of what may repeat costs memory in proportion to the packet. Not
// in parallel, as above.
func TestHostileRepetition(t *testing.T) {
	const n = 10_000
	user := &mqtt.Publish{Topic: []byte("a"), Properties: mqtt.Properties{User: make([]mqtt.UserProperty, n)}}
	filters := &mqtt.Subscribe{PacketID: 1, Filters: make([]mqtt.Filter, n)}
	for v, b := range map[mqtt.Version][]byte{v5: user.Append(nil, v5), v3: filters.Append(nil, v3)} {
		got := allocated(func() {
			if _, err := decode(b, v); err != nil {
				t.Fatal(err)
			}
		})
		if each := got / uint64(len(b)); each > 64 {
			t.Errorf("%v: %d bytes are allocated for each byte", mqtt.Type(b[0]>>4), each)
		}
	}
}

// allocated returns how many bytes the process allocates while f runs.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// What is done for each message allocates nothing. Not in parallel, as above.
func TestAllocations(t *testing.T) {
	for _, v := range []mqtt.Version{v3, v5} {
		p := mqtt.Publish{QoS: 1, PacketID: 7, Topic: []byte("a/b"), Payload: make([]byte, 256)}
		packet := p.Append(nil, v)
		ack := mqtt.Ack{Type: mqtt.TypePubAck, PacketID: 7}
		dst := make([]byte, 0, 512)
		for what, f := range map[string]func(){
			"reading PUBLISH": func() {
				if h, n, err := mqtt.ParseHeader(packet); err != nil || p.Decode(h, packet[n:], v) != nil {
					t.Errorf("% x is not read", packet)
				}
			},
			"writing PUBLISH": func() { dst = p.Append(dst[:0], v) },
			"writing PUBACK":  func() { dst = ack.Append(dst[:0], v) },
		} {
			if n := testing.AllocsPerRun(100, f); n > 0 {
				t.Errorf("version %d: %s allocates %v times", v, what, n)
			}
		}
	}
}
