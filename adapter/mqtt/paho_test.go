package mqttadapter

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	old "github.com/eclipse/paho.mqtt.golang"
)

// A mailbox is where a client puts what it receives.
type mailbox chan *paho.Publish

// paho5 connects Eclipse Paho for MQTT 5.
func paho5(t *testing.T, w way, e gatehouse.EndpointName, change func(*autopaho.ClientConfig)) (*autopaho.ConnectionManager, mailbox) {
	t.Helper()
	u, err := url.Parse(w.url("mqtt", "mqtts", "ws", "wss"))
	if err != nil {
		t.Fatal(err)
	}
	box := make(mailbox, 100)
	l := w.site.login(e)
	c := autopaho.ClientConfig{
		ServerUrls: []*url.URL{u}, TlsCfg: w.trust, KeepAlive: 30, CleanStartOnInitialConnection: true,
		ConnectUsername: string(l.Account) + "/" + string(l.Endpoint), ConnectPassword: []byte(l.SendKey + "," + l.ListenKey),
		ReconnectBackoff: func(int) time.Duration { return 10 * time.Millisecond },
		ClientConfig: paho.ClientConfig{ClientID: "paho", OnPublishReceived: []func(paho.PublishReceived) (bool, error){
			func(r paho.PublishReceived) (bool, error) { box <- r.Packet; return true, nil },
		}},
	}
	if change != nil {
		change(&c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cm, err := autopaho.NewConnection(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); <-cm.Done() })
	if err := cm.AwaitConnection(w.site.ctx); err != nil {
		t.Fatal(err)
	}
	return cm, box
}

func (b mailbox) next(s *site) *paho.Publish {
	s.Helper()
	select {
	case m := <-b:
		return m
	case <-s.ctx.Done():
		s.Fatal("no message came")
		return nil
	}
}

func TestPaho5(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, w way) {
		s := w.site
		sender, _ := paho5(t, w, adaptertest.Sender, nil)
		receiver, box := paho5(t, w, adaptertest.Receiver, nil)
		_, err := receiver.Subscribe(s.ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "inbox/#", QoS: 2}}})
		s.must(err)
		expiry := uint32(3600)
		format := byte(1)
		for qos := byte(0); qos <= 2; qos++ {
			body := fmt.Sprint("at QoS ", qos)
			r, err := sender.Publish(s.ctx, &paho.Publish{
				Topic: "endpoints/" + adaptertest.Receiver + "/level", QoS: qos, Payload: []byte(body),
				Properties: &paho.PublishProperties{
					ContentType: "text/plain", CorrelationData: []byte{0, 1, 255}, ResponseTopic: "inbox", MessageExpiry: &expiry, PayloadFormat: &format,
					User: paho.UserProperties{{Key: "Site-Name", Value: "Ålesund"}, {Key: "type", Value: "reading"}},
				},
			})
			s.must(err)
			if qos > 0 && r.ReasonCode != 0 {
				t.Errorf("%+v", r)
			}
			m := box.next(s)
			p := m.Properties
			if string(m.Payload) != body || m.Topic != "inbox/level" || p.ContentType != "text/plain" || string(p.CorrelationData) != "\x00\x01\xff" ||
				p.ResponseTopic != "endpoints/"+adaptertest.Sender || p.MessageExpiry == nil || *p.MessageExpiry < 3500 || *p.MessageExpiry > 3600 || p.PayloadFormat == nil {
				t.Errorf("received %s %+v", m, p)
			}
			for name, want := range map[string]string{
				"Site-Name": "Ålesund", "type": "reading", "source": "/Acme/endpoints/pump-7", "specversion": "1.0", "ttl": "3600", "subject": "level",
			} {
				if got := p.User.Get(name); got != want {
					t.Errorf("%s is %q instead of %q", name, got, want)
				}
			}
		}
		_, err = sender.Publish(s.ctx, &paho.Publish{
			Topic: "x", QoS: 1, Properties: &paho.PublishProperties{User: paho.UserProperties{{Key: "type", Value: adaptertest.DeniedType}}},
		})
		if err == nil {
			t.Error("what no rule allows was not refused")
		}
		reply(t, w, sender, box)
	})
}

// reply has the receiver's message answered by the response topic it shows.
func reply(t *testing.T, w way, sender *autopaho.ConnectionManager, box mailbox) {
	t.Helper()
	s := w.site
	s.give(&gatehouse.Message{ReplyTo: "endpoints/" + adaptertest.Receiver, CorrelationID: "c-1", Body: []byte("?")})
	asked := box.next(s)
	_, err := sender.Publish(s.ctx, &paho.Publish{
		Topic: asked.Properties.ResponseTopic, QoS: 1, Payload: []byte("!"), Properties: &paho.PublishProperties{CorrelationData: asked.Properties.CorrelationData},
	})
	s.must(err)
	if m := box.next(s); string(m.Payload) != "!" || string(m.Properties.CorrelationData) != "c-1" {
		t.Errorf("%s", m)
	}
}

// A client that loses its connection goes on where it was.
func TestPahoReconnects(t *testing.T) {
	t.Parallel()
	w := way{site: newSite(t, Options{})}
	s := w.site
	w.url = func(schemes ...string) string { return schemes[0] + "://" + s.address }
	up := make(chan bool, 10)
	manager, box := paho5(t, w, adaptertest.Receiver, func(c *autopaho.ClientConfig) {
		c.SessionExpiryInterval, c.CleanStartOnInitialConnection, c.ClientID = 600, false, "back"
		c.OnConnectionUp = func(_ *autopaho.ConnectionManager, a *paho.Connack) { up <- a.SessionPresent }
	})
	if <-up {
		t.Error("a session before there was one")
	}
	_, err := manager.Subscribe(s.ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "inbox", QoS: 1}}})
	s.must(err)
	s.give(&gatehouse.Message{Body: []byte("a")})
	box.next(s)
	for _, g := range s.world.Gate.Sessions(adaptertest.Account) {
		g.End("to see whether it comes back")
	}
	if !<-up {
		t.Error("the session was not resumed")
	}
	s.give(&gatehouse.Message{Body: []byte("b")})
	for m := box.next(s); string(m.Payload) != "b"; m = box.next(s) {
	}
}

// paho3 connects Eclipse Paho for MQTT 3.1.1.
func paho3(t *testing.T, w way, e gatehouse.EndpointName, change func(*old.ClientOptions)) (old.Client, chan old.Message) {
	t.Helper()
	l := w.site.login(e)
	box := make(chan old.Message, 100)
	o := old.NewClientOptions().AddBroker(w.url("tcp", "ssl", "ws", "wss")).SetClientID("paho").SetProtocolVersion(4).SetTLSConfig(w.trust).
		SetUsername(string(l.Account) + "/" + string(l.Endpoint)).SetPassword(l.SendKey + "," + l.ListenKey).SetAutoReconnect(false).
		SetDefaultPublishHandler(func(_ old.Client, m old.Message) { box <- m })
	if change != nil {
		change(o)
	}
	c := old.NewClient(o)
	if err := wait(w.site, c.Connect()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Disconnect(0) })
	return c, box
}

func wait(s *site, token old.Token) error {
	select {
	case <-token.Done():
		return token.Error()
	case <-s.ctx.Done():
		return errors.New("it took too long")
	}
}

func TestPaho3(t *testing.T) {
	t.Parallel()
	everyWay(t, func(t *testing.T, w way) {
		s := w.site
		lost := make(chan error, 1)
		sender, _ := paho3(t, w, adaptertest.Sender, func(o *old.ClientOptions) {
			o.SetConnectionLostHandler(func(_ old.Client, err error) { lost <- err })
		})
		receiver, box := paho3(t, w, adaptertest.Receiver, nil)
		next := func() old.Message {
			t.Helper()
			select {
			case m := <-box:
				return m
			case <-s.ctx.Done():
				t.Fatal("no message came")
				return nil
			}
		}
		s.must(wait(s, receiver.Subscribe("inbox/#", 2, nil)))
		for qos := byte(0); qos <= 2; qos++ {
			body := fmt.Sprint("at QoS ", qos)
			s.must(wait(s, sender.Publish("endpoints/"+adaptertest.Receiver+"/level", qos, qos == 1, body)))
			if m := next(); string(m.Payload()) != body || m.Topic() != "inbox/level" || m.Retained() || m.Qos() != 2 {
				t.Errorf("received %s on %s at %d", m.Payload(), m.Topic(), m.Qos())
			}
		}
		// Many at once are acknowledged, and come in order.
		var all sync.WaitGroup
		for i := range 50 {
			token := sender.Publish("endpoints/"+adaptertest.Receiver, 1, false, fmt.Sprint(i))
			all.Go(func() {
				if err := wait(s, token); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for i := range 50 {
			if m := next(); string(m.Payload()) != fmt.Sprint(i) {
				t.Fatalf("message %d is %s", i, m.Payload())
			}
		}
		token := sender.Subscribe("telemetry/#", 1, nil)
		s.must(wait(s, token))
		if got := token.(*old.SubscribeToken).Result()["telemetry/#"]; got != 0x80 {
			t.Errorf("a foreign topic: SUBACK 0x%02x", got)
		}
		// A refused message ends the connection without an acknowledgement.
		refused := sender.Publish("devices/other/messages/events/", 1, false, "x")
		select {
		case <-lost:
		case <-s.ctx.Done():
			t.Error("the connection was not ended")
		}
		if err := wait(s, refused); err == nil {
			t.Error("a refused message was acknowledged")
		}
	})
}

// Device code for Azure IoT Hub: its user name, its topics.
func TestIoTHub(t *testing.T) {
	t.Parallel()
	w := way{site: newSite(t, Options{})}
	s := w.site
	w.url = func(schemes ...string) string { return schemes[0] + "://" + s.address }
	const device = adaptertest.Sender
	client, box := paho3(t, w, device, func(o *old.ClientOptions) {
		o.SetClientID(device).SetUsername(adaptertest.Account + ".gateway.example.com/" + device + "/?api-version=2021-04-12")
	})
	s.must(wait(s, client.Subscribe("devices/"+device+"/messages/devicebound/#", 1, nil)))
	bag := "$.ct=application%2Fjson&$.ce=utf-8&$.mid=m-1&$.cid=c-1&$.to=endpoints%2F" + device + "&level=21%25&flag"
	s.must(wait(s, client.Publish("devices/"+device+"/messages/events/"+bag, 1, false, `{"t":1}`)))
	select {
	case m := <-box:
		want := "devices/" + device + "/messages/devicebound/%24.mid=m-1&%24.cid=c-1&%24.ct=application%2Fjson&%24.ce=utf-8&level=21%25&flag"
		if m.Topic() != want || string(m.Payload()) != `{"t":1}` {
			t.Errorf("received %s on %s", m.Payload(), m.Topic())
		}
	case <-s.ctx.Done():
		t.Fatal("no message came")
	}
}
