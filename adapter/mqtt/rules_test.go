package mqttadapter

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/mqtt"
	"github.com/gatehouse/gatehouse/sas"

	"github.com/eclipse/paho.golang/packets"
)

// Every kind of error has an answer.
func TestAnswersAreTotal(t *testing.T) {
	t.Parallel()
	publish := []mqtt.Code{
		mqtt.UnspecifiedError, mqtt.ImplementationSpecificError, mqtt.NotAuthorized, mqtt.TopicNameInvalid, mqtt.QuotaExceeded, mqtt.PayloadFormatInvalid,
	}
	subscribe := []mqtt.Code{
		mqtt.UnspecifiedError, mqtt.ImplementationSpecificError, mqtt.NotAuthorized, mqtt.TopicFilterInvalid, mqtt.QuotaExceeded,
	}
	for _, kind := range gatehouse.Kinds() {
		a, ok := answers[kind]
		if !ok {
			t.Errorf("%v has no answer", kind)
		}
		if a.connect < mqtt.UnspecifiedError || a.end < mqtt.UnspecifiedError || a.old < 1 || a.old > 5 {
			t.Errorf("%v: %+v", kind, a)
		}
		if !contains(publish, a.publish) || !contains(subscribe, a.suback) {
			t.Errorf("%v: %v in PUBACK or %v in SUBACK is not of the standard", kind, a.publish, a.suback)
		}
	}
	if len(answers) != len(gatehouse.Kinds()) {
		t.Error("there are answers for kinds that there are not")
	}
}

func contains(all []mqtt.Code, c mqtt.Code) bool { return bytes.IndexByte(bytesOf(all), byte(c)) >= 0 }

func bytesOf(codes []mqtt.Code) []byte {
	b := make([]byte, len(codes))
	for i, c := range codes {
		b[i] = byte(c)
	}
	return b
}

// Send and listen rights apply separately.
func TestRights(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	only := func(key string) func(*packets.Connect) {
		return func(c *packets.Connect) { c.Password = []byte(key) }
	}
	sender, _ := s.join(adaptertest.Sender, only(adaptertest.SendKey(adaptertest.Sender)))
	if code := s.publish(sender, 1, "a"); code != mqtt.Success {
		t.Errorf("PUBACK %v", code)
	}
	if codes, err := sender.subscribe(s.ctx, 1, topicInbox); err != nil || mqtt.Code(codes[0]) != mqtt.NotAuthorized {
		t.Errorf("SUBACK %v, %v", codes, err)
	}
	receiver, _ := s.join(adaptertest.Receiver, only(adaptertest.ListenKey(adaptertest.Receiver)))
	for qos := byte(1); qos <= 2; qos++ {
		if code := s.publish(receiver, qos, "b"); code != mqtt.NotAuthorized {
			t.Errorf("QoS %d: %v", qos, code)
		}
	}
	s.subscribe(receiver, 1, topicInbox)
	s.puback(receiver, s.expect(receiver, "a"))
	s.must(receiver.ping(s.ctx))
	s.publish(receiver, 0, "b") // refused, which only the end of the connection can tell
	if code := s.ended(receiver); code != mqtt.NotAuthorized {
		t.Errorf("DISCONNECT %v", code)
	}
	will := func(c *packets.Connect) {
		only(adaptertest.ListenKey(adaptertest.Receiver))(c)
		c.WillFlag, c.WillTopic, c.WillProperties = true, "gone", &packets.Properties{}
	}
	if code := s.notLetIn(adaptertest.Receiver, will); code != mqtt.NotAuthorized {
		t.Errorf("a will without the right to send: %v", code)
	}
}

// notLetIn connects in vain and returns the code of CONNACK.
func (s *site) notLetIn(e gatehouse.EndpointName, change func(*packets.Connect)) mqtt.Code {
	s.Helper()
	p := s.raw()
	c := connectOf(s.login(e))
	c.Properties = &packets.Properties{}
	change(c)
	_, err := p.connect(s.ctx, c)
	if err == nil {
		s.Fatal("let in")
	}
	code := codeOf(err)
	p.err = nil
	s.ended(p)
	return code
}

func TestNotLetIn(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	for name, one := range map[string]struct {
		change func(*packets.Connect)
		code   mqtt.Code
	}{
		"a wrong key":       {func(c *packets.Connect) { c.Password = []byte("wrong") }, mqtt.BadUserNameOrPassword},
		"no password":       {func(c *packets.Connect) { c.Password, c.PasswordFlag = nil, false }, mqtt.BadUserNameOrPassword},
		"no user":           {func(c *packets.Connect) { c.Username, c.UsernameFlag = "", false }, mqtt.BadUserNameOrPassword},
		"no endpoint":       {func(c *packets.Connect) { c.Username = "Acme" }, mqtt.BadUserNameOrPassword},
		"trusted code":      {func(c *packets.Connect) { c.Username = "Acme/$policies/backend" }, mqtt.BadUserNameOrPassword},
		"another endpoint":  {func(c *packets.Connect) { c.Username = "Acme/nobody" }, mqtt.BadUserNameOrPassword},
		"a long client id":  {func(c *packets.Connect) { c.ClientID = strings.Repeat("x", 257) }, mqtt.ClientIdentifierNotValid},
		"an unknown method": {func(c *packets.Connect) { c.Properties.AuthMethod = "SCRAM-SHA-1" }, mqtt.BadAuthenticationMethod},
		"a will to be retained": {func(c *packets.Connect) {
			c.WillFlag, c.WillRetain, c.WillTopic, c.WillProperties = true, true, "x", &packets.Properties{}
		}, mqtt.RetainNotSupported},
		"a will to an inbox": {func(c *packets.Connect) {
			c.WillFlag, c.WillTopic, c.WillProperties = true, "inbox", &packets.Properties{}
		}, mqtt.TopicNameInvalid},
	} {
		if code := s.notLetIn(adaptertest.Sender, one.change); code != one.code {
			t.Errorf("%s: %v", name, code)
		}
	}
	s.must(s.world.Directory.Revoke(s.ctx, adaptertest.Account, adaptertest.Sender, directory.Revoked{Send: true, Listen: true}))
	if code := s.notLetIn(adaptertest.Sender, func(*packets.Connect) {}); code != mqtt.Banned {
		t.Errorf("revoked: %v", code)
	}
}

// A refusal leaves out its reason if the client could not take it.
func TestSmallRefusal(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	for _, size := range []uint32{16, 1 << 10} {
		p := s.raw()
		c := connectOf(s.login(adaptertest.Sender))
		c.Password = []byte("wrong")
		c.Properties = &packets.Properties{MaximumPacketSize: &size}
		_, err := p.connect(s.ctx, c)
		why, ok := errors.AsType[*toldError](err)
		if !ok || (why.text == "") != (size == 16) {
			t.Errorf("with at most %d bytes: %v", size, err)
		}
	}
}

// An empty client identifier is replaced; what the gateway offers is told.
func TestOffer(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{SessionTime: time.Hour, KeepAlive: time.Minute})
	_, ack := s.join(adaptertest.Sender, func(c *packets.Connect) {
		c.ClientID, c.KeepAlive = "", 0
		c.Properties.SessionExpiryInterval = new(uint32)
		*c.Properties.SessionExpiryInterval = 1 << 31
		c.Properties.RequestResponseInfo = new(byte)
		*c.Properties.RequestResponseInfo = 1
	})
	p := ack.Properties
	if p.AssignedClientID == "" || p.ServerKeepAlive == nil || *p.ServerKeepAlive != 60 || *p.SessionExpiryInterval != 3600 ||
		*p.ReceiveMaximum != DefaultWindow || *p.TopicAliasMaximum != maxAliases || *p.RetainAvailable != 0 || p.ResponseInfo != "endpoints/"+adaptertest.Sender {
		t.Errorf("CONNACK %s", p)
	}
}

// Revocation and expiry end connections at once, with a reason.
func TestRevoked(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	p := s.subscribed(1, nil)
	s.world.Revoke(adaptertest.Receiver)
	if code := s.ended(p); code != mqtt.AdministrativeAction {
		t.Errorf("revoked: %v", code)
	}
	token := sas.Sign(adaptertest.Account+"/publishers/"+adaptertest.Sender, "send", adaptertest.SendKey(adaptertest.Sender), time.Now().Add(2*time.Second))
	p, _ = s.join(adaptertest.Sender, func(c *packets.Connect) { c.Password = []byte(token) })
	if code := s.ended(p); code != mqtt.NotAuthorized || !strings.Contains(p.err.Error(), "expired") {
		t.Errorf("expired: %v", p.err)
	}
}

// A token is renewed in place.
func TestReauthentication(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	token := func(d time.Duration) []byte {
		return []byte(sas.Sign(adaptertest.Account+"/publishers/"+adaptertest.Sender, "send", adaptertest.SendKey(adaptertest.Sender), time.Now().Add(d)))
	}
	p, ack := s.join(adaptertest.Sender, func(c *packets.Connect) {
		c.Password, c.PasswordFlag = nil, false
		c.Properties.AuthMethod, c.Properties.AuthData = methodSAS, token(time.Hour)
	})
	if ack.Properties.AuthMethod != methodSAS {
		t.Errorf("CONNACK with method %q", ack.Properties.AuthMethod)
	}
	s.must(p.send(&packets.Auth{ReasonCode: byte(mqtt.Reauthenticate), Properties: &packets.Properties{AuthMethod: methodSAS, AuthData: token(2 * time.Hour)}}))
	a, err := await[*packets.Auth](s.ctx, p)
	s.must(err)
	if a.ReasonCode != 0 || a.Properties.AuthMethod != methodSAS {
		t.Errorf("AUTH %+v", a)
	}
	if code := s.publish(p, 1, "a"); code != mqtt.Success {
		t.Error(code)
	}
	s.must(p.send(&packets.Auth{ReasonCode: byte(mqtt.Reauthenticate), Properties: &packets.Properties{AuthMethod: methodSAS, AuthData: []byte("wrong")}}))
	if code := s.ended(p); code != mqtt.NotAuthorized {
		t.Errorf("a wrong token: %v", code)
	}
	p, _ = s.join(adaptertest.Sender, nil)
	s.must(p.send(&packets.Auth{ReasonCode: byte(mqtt.Reauthenticate), Properties: &packets.Properties{AuthMethod: methodSAS}}))
	if code := s.ended(p); code != mqtt.ProtocolError {
		t.Errorf("AUTH without a method in CONNECT: %v", code)
	}
}

// A will is sent unless its client says goodbye or is back in time.
func TestWill(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	will := func(body string, delay uint32) func(*packets.Connect) {
		return func(c *packets.Connect) {
			if delay > 0 {
				lasting("mortal")(c)
			}
			c.WillFlag, c.WillTopic, c.WillMessage = true, "endpoints/"+adaptertest.Receiver+"/gone", []byte(body)
			c.WillProperties = &packets.Properties{WillDelayInterval: &delay}
		}
	}
	p, _ := s.join(adaptertest.Sender, will("lost", 0))
	p.close()
	if m := s.take(adaptertest.Receiver).Message; string(m.Body) != "lost" || m.Subject != "gone" {
		t.Errorf("%+v", m)
	}
	p, _ = s.join(adaptertest.Sender, will("said goodbye", 0))
	s.must(p.send(&packets.Disconnect{Properties: &packets.Properties{}}))
	s.ended(p)
	p, _ = s.join(adaptertest.Sender, will("was back", 600))
	p.close()
	p, ack := s.join(adaptertest.Sender, will("asked for it", 600))
	if !ack.SessionPresent {
		t.Error("no session")
	}
	s.must(p.send(&packets.Disconnect{ReasonCode: byte(mqtt.DisconnectWithWill), Properties: &packets.Properties{}}))
	s.ended(p)
	s.join(adaptertest.Sender, func(c *packets.Connect) { c.ClientID = "mortal" }) // ends the session, and so the delay
	if m := s.take(adaptertest.Receiver).Message; string(m.Body) != "asked for it" {
		t.Errorf("%s", m.Body)
	}
	p, _ = s.join(adaptertest.Sender, will("late", 1))
	p.close()
	if m := s.take(adaptertest.Receiver).Message; string(m.Body) != "late" {
		t.Errorf("%s", m.Body)
	}
	s.nothing()
}

// A gateway that stops says so, and sends the wills of its clients.
func TestStopped(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	p, _ := s.join(adaptertest.Sender, func(c *packets.Connect) {
		c.WillFlag, c.WillTopic, c.WillMessage, c.WillProperties = true, "endpoints/"+adaptertest.Receiver, []byte("stopped"), &packets.Properties{}
	})
	patient := func(name string) func(*packets.Connect) {
		return func(c *packets.Connect) {
			lasting(name)(c)
			delay := uint32(600)
			c.WillFlag, c.WillTopic, c.WillMessage, c.WillProperties = true, "endpoints/"+adaptertest.Receiver, []byte("stopped"), &packets.Properties{WillDelayInterval: &delay}
		}
	}
	s.join(adaptertest.Sender, patient("connected"))
	gone, _ := s.join(adaptertest.Sender, patient("gone"))
	s.must(gone.send(&packets.Disconnect{ReasonCode: byte(mqtt.DisconnectWithWill), Properties: &packets.Properties{}}))
	s.ended(gone)
	s.stop()
	if code := s.ended(p); code != mqtt.ServerShuttingDown {
		t.Error(code)
	}
	for range 3 {
		if m := s.take(adaptertest.Receiver).Message; string(m.Body) != "stopped" {
			t.Errorf("%s", m.Body)
		}
	}
}

// What is refused is told why.
func TestRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	p, _ := s.join(adaptertest.Sender, nil)
	format := byte(1)
	for name, one := range map[string]struct {
		publish packets.Publish
		code    mqtt.Code
	}{
		"a topic of the gateway":       {packets.Publish{Topic: "$SYS/x"}, mqtt.TopicNameInvalid},
		"an inbox":                     {packets.Publish{Topic: "inbox/x"}, mqtt.TopicNameInvalid},
		"a channel without a name":     {packets.Publish{Topic: "channels/"}, mqtt.TopicNameInvalid},
		"a channel that is not":        {packets.Publish{Topic: "channels/nowhere"}, mqtt.NotAuthorized},
		"another device":               {packets.Publish{Topic: "devices/other/messages/events/"}, mqtt.NotAuthorized},
		"a malformed bag":              {packets.Publish{Topic: "devices/pump-7/messages/events/%zz"}, mqtt.PayloadFormatInvalid},
		"no text":                      {packets.Publish{Topic: "x", Payload: []byte{255}, Properties: &packets.Properties{PayloadFormat: &format}}, mqtt.PayloadFormatInvalid},
		"no CloudEvent":                {packets.Publish{Topic: "x", Payload: []byte("{"), Properties: &packets.Properties{ContentType: "application/cloudevents+json"}}, mqtt.PayloadFormatInvalid},
		"a batch":                      {packets.Publish{Topic: "x", Payload: []byte("[]"), Properties: &packets.Properties{ContentType: "application/cloudevents-batch+json"}}, mqtt.PayloadFormatInvalid},
		"a wrong time of a CloudEvent": {packets.Publish{Topic: "x", Properties: &packets.Properties{User: []packets.User{{Key: "specversion", Value: "1.0"}, {Key: "time", Value: "noon"}}}}, mqtt.PayloadFormatInvalid},
		"a type without a route":       {packets.Publish{Topic: "x", Properties: &packets.Properties{User: []packets.User{{Key: "type", Value: adaptertest.DeniedType}}}}, mqtt.NotAuthorized},
	} {
		for qos := byte(1); qos <= 2; qos++ {
			m := one.publish
			m.QoS, m.PacketID = qos, p.nextID()
			if m.Properties == nil {
				m.Properties = &packets.Properties{}
			}
			s.must(p.send(&m))
			if code := s.settled(p, qos); code != one.code {
				t.Errorf("%s at QoS %d: %v", name, qos, code)
			}
		}
	}
	m := &packets.Publish{Topic: "x", QoS: 1, PacketID: p.nextID(), Retain: true, Properties: &packets.Properties{}}
	s.must(p.send(m))
	if code := s.ended(p); code != mqtt.RetainNotSupported {
		t.Errorf("retained: %v", code)
	}
}

// Filters are refused one by one.
func TestFilters(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	p, _ := s.join(adaptertest.Receiver, nil)
	codes, err := p.subscribe(s.ctx, 1, "inbox", "inbox/#", "#", "$share/g/inbox/#", "devices/panel/messages/devicebound/#", "inbox/$deadletterqueue",
		"devices/other/messages/devicebound/#", "+", "a/#b", "$SYS/#", "telemetry/#", "inbox/x/#", "$share/inbox")
	s.must(err)
	want := []byte{1, 1, 1, 1, 1, 1, byte(mqtt.NotAuthorized)}
	for len(want) < len(codes) {
		want = append(want, byte(mqtt.TopicFilterInvalid))
	}
	if !bytes.Equal(codes, want) {
		t.Errorf("SUBACK %x", codes)
	}
	s.must(p.send(&packets.Unsubscribe{PacketID: p.nextID(), Topics: []string{"inbox", "never", "inbox/#", "#", "$share/g/inbox/#", "devices/panel/messages/devicebound/#"}, Properties: &packets.Properties{}}))
	un, err := await[*packets.Unsuback](s.ctx, p)
	s.must(err)
	if !bytes.Equal(un.Reasons, []byte{0, byte(mqtt.NoSubscriptionExisted), 0, 0, 0, 0}) {
		t.Errorf("UNSUBACK %x", un.Reasons)
	}
	s.give(&gatehouse.Message{Body: []byte("a")})
	s.must(p.ping(s.ctx))
	if d := s.take(adaptertest.Receiver); string(d.Message.Body) != "a" || len(p.aside) > 0 {
		t.Error("received without a subscription")
	}
}

// Subscriptions shape what is delivered: topic, QoS and identifier.
func TestForms(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	for _, one := range []struct{ filter, topic string }{
		{"inbox", "inbox"},
		{"inbox/#", "inbox/a/b"},
		{"$share/g/inbox/#", "inbox/a/b"},
		{"#", "inbox/a/b"},
		{"devices/Panel/messages/devicebound/#", "devices/Panel/messages/devicebound/%24.mid=m%2F1&%24.ct=text%2Fplain&subject=a%2Fb&n%20o=a%26b"},
	} {
		p, _ := s.join(adaptertest.Receiver, nil)
		id := 77
		sub := &packets.Subscribe{PacketID: p.nextID(), Properties: &packets.Properties{SubscriptionIdentifier: &id}, Subscriptions: []packets.SubOptions{{Topic: one.filter, QoS: 1}}}
		s.must(p.send(sub))
		_, err := await[*packets.Suback](s.ctx, p)
		s.must(err)
		s.give(&gatehouse.Message{ID: "m/1", Subject: "a/b", ContentType: "text/plain", Body: []byte("x"), Attributes: []gatehouse.Attribute{{Name: "n o", Value: gatehouse.String("a&b")}}})
		d := s.delivery(p)
		if d.Topic != one.topic || d.Properties.SubscriptionIdentifier == nil || *d.Properties.SubscriptionIdentifier != id {
			t.Errorf("%s: topic %s, %s", one.filter, d.Topic, d.Properties)
		}
		s.puback(p, d)
		s.must(p.ping(s.ctx))
		p.close()
	}
}

// Topic aliases are resolved before anything else.
func TestAliases(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	p, _ := s.join(adaptertest.Sender, nil)
	send := func(alias uint16, topic, body string) {
		s.must(p.send(&packets.Publish{Topic: topic, QoS: 1, PacketID: p.nextID(), Payload: []byte(body), Properties: &packets.Properties{TopicAlias: &alias}}))
	}
	send(3, "endpoints/"+adaptertest.Receiver, "a")
	send(3, "", "b")
	for _, body := range []string{"a", "b"} {
		if code := s.settled(p, 1); code != mqtt.Success {
			t.Error(code)
		}
		if d := s.take(adaptertest.Receiver); string(d.Message.Body) != body {
			t.Errorf("%s", d.Message.Body)
		}
	}
	send(4, "", "c")
	if code := s.ended(p); code != mqtt.ProtocolError {
		t.Errorf("an alias without a topic: %v", code)
	}
	p, _ = s.join(adaptertest.Sender, nil)
	send(maxAliases+1, "x", "d")
	if code := s.ended(p); code != mqtt.TopicAliasInvalid {
		t.Errorf("an alias over the maximum: %v", code)
	}
}

// A message that its receiver cannot take is dead.
func TestTooLargeForReceiver(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	limit := uint32(1024)
	p := s.subscribed(1, func(c *packets.Connect) { c.Properties.MaximumPacketSize = &limit })
	s.give(&gatehouse.Message{Body: make([]byte, 2000)})
	s.give(&gatehouse.Message{Body: []byte("small")})
	s.puback(p, s.expect(p, "small"))
	g := s.session(adaptertest.Receiver)
	defer g.Close()
	ctx, cancel := context.WithTimeout(s.ctx, 20*time.Second)
	defer cancel()
	got, err := g.Receive(ctx, true, inbox.ReceiveOptions{})
	s.must(err)
	if got[0].Message.Dead.Reason != reasonTooLarge {
		t.Errorf("%+v", got[0].Message.Dead)
	}
}
