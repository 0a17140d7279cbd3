package mqtt_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/gatehouse/gatehouse/mqtt"

	paho5 "github.com/eclipse/paho.golang/packets"
	paho3 "github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// throughPaho has Eclipse's library read a packet and write it again.
func throughPaho(t *rapid.T, b []byte, v mqtt.Version) []byte {
	var out bytes.Buffer
	if v == mqtt.Version311 {
		p, err := paho3.ReadPacket(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("paho cannot read % x: %v", b, err)
		}
		if err := p.Write(&out); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	p, err := paho5.ReadPacket(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("paho cannot read % x: %v", b, err)
	}
	if _, err := p.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Every packet that we write is read by us as it was, and read and written by
// Eclipse's libraries without a difference.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, v := range []mqtt.Version{v3, v5} {
		rapid.Check(t, func(r *rapid.T) {
			p := anyPacket(r, v)
			b := encode(t, p, v)
			got, err := decode(b, v)
			if err != nil {
				r.Fatalf("%+v is written as % x: %v", p, b, err)
			}
			if diff := cmp.Diff(p, got, cmpopts.EquateEmpty()); diff != "" {
				r.Fatalf("% x: %s", b, diff)
			}
			if quirk(p, v) {
				return
			}
			theirs := throughPaho(r, b, v)
			got, err = decode(theirs, v)
			if err != nil {
				r.Fatalf("% x is written by paho as % x: %v", b, theirs, err)
			}
			if diff := cmp.Diff(p, got, cmpopts.EquateEmpty()); diff != "" {
				r.Fatalf("through paho: %s", diff)
			}
		})
	}
}

// quirk reports whether Eclipse's library is known not to keep a packet.
func quirk(packet any, v mqtt.Version) bool {
	switch p := packet.(type) {
	case *mqtt.Connect:
		// The user name and the password are written only if they are not empty,
		// and of the properties of a will only the delay and those of the user.
		if w := p.Will; w != nil && (w.Properties.HasMessageExpiry || w.Properties.ResponseTopic != "") {
			return true
		}
		return p.HasUserName && p.UserName == "" || p.HasPassword && len(p.Password) == 0
	case *mqtt.Disconnect: // one without a code, which stands for 0, is not read
		return v == v5 && len(p.Append(nil, v)) == 2
	}
	return false
}

func anyPacket(r *rapid.T, v mqtt.Version) any {
	id := rapid.Uint16Min(1).Draw(r, "id")
	kind := rapid.SampledFrom([]mqtt.Type{
		mqtt.TypeConnect, mqtt.TypeConnAck, mqtt.TypePublish, mqtt.TypePubAck, mqtt.TypePubRec, mqtt.TypePubRel, mqtt.TypePubComp,
		mqtt.TypeSubscribe, mqtt.TypeSubAck, mqtt.TypeUnsubscribe, mqtt.TypeUnsubAck, mqtt.TypePingReq, mqtt.TypePingResp, mqtt.TypeDisconnect, mqtt.TypeAuth,
	}).Draw(r, "type")
	if v == v3 && kind == mqtt.TypeAuth {
		kind = mqtt.TypePingReq
	}
	var props mqtt.Properties
	if v == v5 {
		props = anyProperties(r, kind)
	}
	code := func(codes ...mqtt.Code) mqtt.Code {
		if v == v3 {
			return 0
		}
		return rapid.SampledFrom(codes).Draw(r, "code")
	}
	switch kind {
	case mqtt.TypeConnect:
		return anyConnect(r, v, props)
	case mqtt.TypeConnAck:
		p := &mqtt.ConnAck{Code: code(0, 0x80, 0x9f), Properties: props}
		p.SessionPresent = p.Code == mqtt.Success && rapid.Bool().Draw(r, "present")
		return p
	case mqtt.TypePublish:
		p := &mqtt.Publish{QoS: rapid.ByteMax(2).Draw(r, "qos"), Retain: rapid.Bool().Draw(r, "retain"), Topic: []byte(anyTopic(r)), Properties: props, Payload: anyBytes(r)}
		if p.QoS > 0 {
			p.PacketID, p.Dup = id, rapid.Bool().Draw(r, "dup")
		}
		return p
	case mqtt.TypePubAck, mqtt.TypePubRec:
		return &mqtt.Ack{Type: kind, PacketID: id, Code: code(0, 0x10, 0x80, 0x87, 0x97), Properties: props}
	case mqtt.TypePubRel, mqtt.TypePubComp:
		return &mqtt.Ack{Type: kind, PacketID: id, Code: code(0, 0x92), Properties: props}
	case mqtt.TypeSubscribe:
		return &mqtt.Subscribe{PacketID: id, Properties: props, Filters: anyFilters(r, v)}
	case mqtt.TypeSubAck:
		return &mqtt.SubAck{PacketID: id, Properties: props, Codes: rapid.SliceOfN(rapid.SampledFrom([]mqtt.Code{0, 1, 2, 0x80}), 1, 4).Draw(r, "codes")}
	case mqtt.TypeUnsubscribe:
		return &mqtt.Unsubscribe{PacketID: id, Properties: props, Filters: rapid.SliceOfN(rapid.Custom(anyTopic), 1, 4).Draw(r, "filters")}
	case mqtt.TypeUnsubAck:
		p := &mqtt.UnsubAck{PacketID: id, Properties: props}
		if v == v5 {
			p.Codes = rapid.SliceOfN(rapid.SampledFrom([]mqtt.Code{0, 0x11, 0x80}), 1, 4).Draw(r, "codes")
		}
		return p
	case mqtt.TypeDisconnect:
		return &mqtt.Disconnect{Code: code(0, 4, 0x81, 0x98), Properties: props}
	case mqtt.TypeAuth:
		return &mqtt.Auth{Code: code(0x18, 0x19), Properties: props}
	}
	return &mqtt.Ping{Type: kind}
}

func anyConnect(r *rapid.T, v mqtt.Version, props mqtt.Properties) *mqtt.Connect {
	p := &mqtt.Connect{Version: v, CleanStart: rapid.Bool().Draw(r, "clean"), KeepAlive: rapid.Uint16().Draw(r, "keep alive"), ClientID: anyText(r), Properties: props}
	if p.HasUserName = rapid.Bool().Draw(r, "user"); p.HasUserName {
		p.UserName = anyText(r)
	}
	if p.HasPassword = (v == v5 || p.HasUserName) && rapid.Bool().Draw(r, "password"); p.HasPassword {
		p.Password = anyBytes(r)
	}
	if rapid.Bool().Draw(r, "will") {
		p.Will = &mqtt.Will{Topic: anyTopic(r), Payload: anyBytes(r), QoS: rapid.ByteMax(2).Draw(r, "will qos"), Retain: rapid.Bool().Draw(r, "will retain")}
		if v == v5 {
			p.Will.Properties = anyProperties(r, 0)
		}
	}
	return p
}

func anyFilters(r *rapid.T, v mqtt.Version) []mqtt.Filter {
	return rapid.SliceOfN(rapid.Custom(func(r *rapid.T) mqtt.Filter {
		f := mqtt.Filter{Topic: anyTopic(r), QoS: rapid.ByteMax(2).Draw(r, "qos")}
		if v == v5 {
			f.NoLocal, f.RetainAsPublished = rapid.Bool().Draw(r, "local"), rapid.Bool().Draw(r, "rap")
			f.RetainHandling = rapid.ByteMax(2).Draw(r, "handling")
		}
		return f
	}), 1, 4).Draw(r, "filters")
}

func anyText(r *rapid.T) string {
	return rapid.StringOfN(rapid.RuneFrom([]rune("ab/ü€😀 ")), 0, 12, -1).Draw(r, "text")
}
func anyTopic(r *rapid.T) string { return "t/" + anyText(r) }
func anyBytes(r *rapid.T) []byte { return rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(r, "bytes") }

// anyProperties returns properties that a packet may have; 0 is a will.
func anyProperties(r *rapid.T, t mqtt.Type) (p mqtt.Properties) {
	some := func(what string) bool { return rapid.Bool().Draw(r, what) }
	among := func(types ...mqtt.Type) bool { return slices.Contains(types, t) && some("property") }
	if among(mqtt.TypePublish, 0) {
		p.PayloadFormat, p.ContentType = rapid.ByteMax(1).Draw(r, "format"), anyText(r)
		p.MessageExpiry, p.HasMessageExpiry = rapid.Uint32().Draw(r, "expiry"), true
		p.ResponseTopic, p.CorrelationData = anyTopic(r), anyBytes(r)
	}
	if among(0) {
		p.WillDelay = rapid.Uint32().Draw(r, "delay")
	}
	if among(mqtt.TypePublish) {
		p.TopicAlias = rapid.Uint16().Draw(r, "alias")
	}
	if among(mqtt.TypeSubscribe) {
		p.SubscriptionIDs = []uint32{rapid.Uint32Range(1, mqtt.MaxLength).Draw(r, "subscription")}
	}
	if among(mqtt.TypeConnect, mqtt.TypeConnAck) {
		p.ReceiveMaximum, p.TopicAliasMaximum = rapid.Uint16Min(1).Draw(r, "maximum"), rapid.Uint16Min(1).Draw(r, "aliases")
		p.MaximumPacketSize = rapid.Uint32Min(1).Draw(r, "size")
	}
	if among(mqtt.TypeConnect, mqtt.TypeConnAck, mqtt.TypeDisconnect) {
		p.SessionExpiry, p.HasSessionExpiry = rapid.Uint32().Draw(r, "session"), true
	}
	if among(mqtt.TypeConnect) {
		p.NoProblemInformation, p.RequestResponse = some("problem"), some("response")
	}
	if among(mqtt.TypeConnAck) {
		p.AssignedClientID, p.ResponseInformation, p.ServerReference = anyText(r), anyText(r), anyText(r)
		p.ServerKeepAlive, p.HasServerKeepAlive = rapid.Uint16().Draw(r, "keep"), true
		p.MaximumQoS, p.HasMaximumQoS = rapid.ByteMax(1).Draw(r, "maximum qos"), true
		p.RetainUnavailable, p.NoWildcards, p.NoSubscriptionIDs, p.NoShared = some("retain"), some("wildcards"), some("ids"), some("shared")
	}
	if among(mqtt.TypeConnect, mqtt.TypeConnAck, mqtt.TypeAuth) {
		p.AuthMethod, p.AuthData = "m"+anyText(r), anyBytes(r)
	}
	if among(mqtt.TypeConnAck, mqtt.TypePubAck, mqtt.TypePubRec, mqtt.TypePubRel, mqtt.TypePubComp, mqtt.TypeSubAck, mqtt.TypeUnsubAck, mqtt.TypeDisconnect, mqtt.TypeAuth) {
		p.ReasonString = anyText(r)
	}
	if t != mqtt.TypePingReq && t != mqtt.TypePingResp && some("user") {
		p.User = rapid.SliceOfN(rapid.Custom(func(r *rapid.T) mqtt.UserProperty { return mqtt.UserProperty{Name: anyText(r), Value: anyText(r)} }), 0, 3).Draw(r, "user properties")
	}
	return p
}
