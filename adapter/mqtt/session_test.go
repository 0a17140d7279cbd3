package mqttadapter

import (
	"context"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/mqtt"

	"github.com/eclipse/paho.golang/packets"
)

// What a lost connection had not acknowledged comes again at once: to the same
// session with its packet id and DUP, and counted.
func TestResume(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	p := s.subscribed(1, lasting("one"))
	sender, _ := s.join(adaptertest.Sender, nil)
	for _, body := range []string{"a", "b", "c"} {
		s.publish(sender, 1, body)
	}
	s.puback(p, s.expect(p, "a"))
	b, c := s.expect(p, "b"), s.expect(p, "c")
	s.must(p.ping(s.ctx))
	p.close()

	p, ack := s.join(adaptertest.Receiver, lasting("one"))
	if !ack.SessionPresent {
		t.Fatal("the session is not there")
	}
	for _, before := range []*packets.Publish{b, c} {
		d := s.expect(p, string(before.Payload))
		if !d.Duplicate || d.PacketID != before.PacketID {
			t.Errorf("%s came again as %d, DUP %v; it was %d", d.Payload, d.PacketID, d.Duplicate, before.PacketID)
		}
		if got := user(d, propertyCount); got != "2" {
			t.Errorf("%s: delivery count %q", d.Payload, got)
		}
		s.puback(p, d)
	}
	s.must(p.ping(s.ctx))
	s.publish(sender, 1, "d")
	if d := s.expect(p, "d"); d.Duplicate || user(d, propertyCount) != "" {
		t.Errorf("a new message came as %+v", d)
	}
	s.must(p.send(&packets.Disconnect{Properties: &packets.Properties{}}))
	s.ended(p)

	// With a clean start there is no session, and what waits comes as new:
	// whoever said goodbye has not failed.
	p, ack = s.join(adaptertest.Receiver, func(c *packets.Connect) { c.ClientID = "one" })
	if ack.SessionPresent {
		t.Error("there is a session after a clean start")
	}
	s.subscribe(p, 1, topicInbox)
	if d := s.expect(p, "d"); d.Duplicate || user(d, propertyCount) != "" {
		t.Errorf("in a new session the message came as %+v", d)
	}
}

// user returns a user property of a delivery.
func user(d *packets.Publish, name string) string {
	for _, u := range d.Properties.User {
		if u.Key == name {
			return u.Value
		}
	}
	return ""
}

// What was not acknowledged is available to others as soon as the connection is
// lost.
func TestOthersGetIt(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	lost := s.subscribed(1, lasting("one"))
	sender, _ := s.join(adaptertest.Sender, nil)
	s.publish(sender, 1, "a")
	s.expect(lost, "a")
	other := s.subscribed(1, nil)
	lost.close()
	d := s.expect(other, "a")
	if d.Duplicate {
		t.Error("DUP in a session that has not seen it")
	}
	s.puback(other, d)
	s.must(other.ping(s.ctx))
	p, _ := s.join(adaptertest.Receiver, lasting("one"))
	s.publish(sender, 1, "b")
	first, second := p, other
	got := make(chan string, 2)
	for _, one := range []*peer{first, second} {
		go func() {
			if d, err := one.delivery(s.ctx); err == nil {
				got <- string(d.Payload)
			}
		}()
	}
	if body := <-got; body != "b" {
		t.Errorf("received %s", body)
	}
}

// Connections of one endpoint have their turns.
func TestFair(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	one, two := s.subscribed(1, nil), s.subscribed(1, nil)
	sender, _ := s.join(adaptertest.Sender, nil)
	counts := map[*peer]int{}
	come := make(chan *peer)
	for _, p := range []*peer{one, two} {
		go func() {
			for {
				d, err := p.delivery(s.ctx)
				if err != nil || p.send(&packets.Puback{PacketID: d.PacketID, Properties: &packets.Properties{}}) != nil {
					return
				}
				select {
				case come <- p:
				case <-s.ctx.Done():
					return
				}
			}
		}()
	}
	const n = 40
	for range n {
		s.publish(sender, 1, "x")
		counts[<-come]++
	}
	if counts[one] < n/4 || counts[two] < n/4 {
		t.Errorf("%d and %d of %d", counts[one], counts[two], n)
	}
}

// A second connection of a client takes over; the same client identifier of
// another endpoint is another client.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	old := s.subscribed(1, lasting("same"))
	other, _ := s.join(adaptertest.Sender, lasting("same"))
	if s.publish(other, 1, "a") != mqtt.Success {
		t.Fatal("not sent")
	}
	s.expect(old, "a")
	p, ack := s.join(adaptertest.Receiver, lasting("same"))
	if !ack.SessionPresent {
		t.Error("the session was not taken over")
	}
	if code := s.ended(old); code != mqtt.SessionTakenOver {
		t.Errorf("the old connection was told %v", code)
	}
	if d := s.expect(p, "a"); !d.Duplicate {
		t.Error("no DUP")
	}
	s.must(other.ping(s.ctx))
}

// At QoS 2 a packet id that is repeated is stored once, over connections too.
func TestExactlyOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	p, _ := s.join(adaptertest.Sender, lasting("twice"))
	message := &packets.Publish{Topic: "endpoints/" + adaptertest.Receiver, QoS: 2, PacketID: 7, Payload: []byte("a"), Properties: &packets.Properties{}}
	rec := func(p *peer) {
		t.Helper()
		s.must(p.send(message))
		a, err := await[*packets.Pubrec](s.ctx, p)
		s.must(err)
		if a.PacketID != 7 || a.ReasonCode != 0 {
			t.Errorf("PUBREC %+v", a)
		}
	}
	rec(p)
	message.Duplicate = true
	rec(p)
	p.close()
	p, ack := s.join(adaptertest.Sender, lasting("twice"))
	if !ack.SessionPresent {
		t.Fatal("the session is not there")
	}
	rec(p)
	if code := s.release(p, 7); code != mqtt.Success {
		t.Errorf("PUBCOMP %v", code)
	}
	if code := s.release(p, 7); code != mqtt.PacketIdentifierNotFound {
		t.Errorf("PUBCOMP of an unknown id: %v", code)
	}
	message.Duplicate, message.Payload = false, []byte("b")
	rec(p) // the id is free for another message
	for _, want := range []string{"a", "b"} {
		if d := s.take(adaptertest.Receiver); string(d.Message.Body) != want {
			t.Errorf("received %s", d.Message.Body)
		}
	}
	s.nothing()
}

// An endpoint that was deleted and created again does not find the sessions of
// the former one: a packet id that was held there would keep a message out.
func TestSessionOfFormerEndpoint(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	p, _ := s.join(adaptertest.Sender, lasting("one"))
	hold := func(body string) {
		t.Helper()
		s.must(p.send(&packets.Publish{Topic: "endpoints/" + adaptertest.Receiver, QoS: 2, PacketID: 7, Payload: []byte(body), Properties: &packets.Properties{}}))
		_, err := await[*packets.Pubrec](s.ctx, p)
		s.must(err)
	}
	hold("a")
	s.world.Recreate(adaptertest.Sender)
	s.ended(p)
	p, ack := s.join(adaptertest.Sender, lasting("one"))
	if ack.SessionPresent {
		t.Error("the session of the former endpoint is there")
	}
	hold("b")
	for _, want := range []string{"a", "b"} {
		if d := s.take(adaptertest.Receiver); string(d.Message.Body) != want {
			t.Errorf("received %s", d.Message.Body)
		}
	}
}

// A delivery at QoS 2 is completed by PUBCOMP; PUBREL is repeated when the
// session is resumed.
func TestReleaseAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	p := s.subscribed(2, lasting("two"))
	sender, _ := s.join(adaptertest.Sender, nil)
	s.publish(sender, 2, "a")
	d := s.expect(p, "a")
	if d.QoS != 2 {
		t.Errorf("QoS %d", d.QoS)
	}
	s.must(p.send(&packets.Pubrec{PacketID: d.PacketID, Properties: &packets.Properties{}}))
	_, err := await[*packets.Pubrel](s.ctx, p)
	s.must(err)
	p.close()
	p, _ = s.join(adaptertest.Receiver, lasting("two"))
	rel, err := await[*packets.Pubrel](s.ctx, p)
	s.must(err)
	if rel.PacketID != d.PacketID {
		t.Errorf("PUBREL %d instead of %d", rel.PacketID, d.PacketID)
	}
	s.must(p.send(&packets.Pubcomp{PacketID: d.PacketID, Properties: &packets.Properties{}}))
	s.must(p.ping(s.ctx))
	s.publish(sender, 1, "b")
	s.expect(p, "b")
}

// What a client says in its acknowledgement decides about the message.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	p := s.subscribed(1, nil)
	sender, _ := s.join(adaptertest.Sender, nil)
	answer := func(d *packets.Publish, code mqtt.Code) {
		t.Helper()
		s.must(p.send(&packets.Puback{PacketID: d.PacketID, ReasonCode: byte(code), Properties: &packets.Properties{ReasonString: "why"}}))
	}
	s.publish(sender, 1, "again")
	answer(s.expect(p, "again"), mqtt.ImplementationSpecificError)
	d := s.expect(p, "again")
	if user(d, propertyCount) != "2" {
		t.Errorf("delivery count %q", user(d, propertyCount))
	}
	s.puback(p, d)
	began := time.Now()
	s.publish(sender, 1, "later")
	answer(s.expect(p, "later"), mqtt.QuotaExceeded)
	d = s.expect(p, "later")
	if user(d, propertyCount) != "" || time.Since(began) < pauseTime {
		t.Errorf("it came after %v, delivery count %q", time.Since(began), user(d, propertyCount))
	}
	answer(d, mqtt.NotAuthorized)
	s.subscribe(p, 1, topicDead)
	d = s.expect(p, "later")
	if d.Topic != topicDead || user(d, propertyReason) != "not authorized" || user(d, propertyDetail) != "why" {
		t.Errorf("dead letter %+v %+v", d, d.Properties.User)
	}
	s.puback(p, d)
	s.must(p.ping(s.ctx))
}

// At QoS 0 a delivery is completed when it is written.
func TestDeliveredAtMostOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{Deliveries: 4})
	p := s.subscribed(0, nil)
	sender, _ := s.join(adaptertest.Sender, nil)
	for range 20 {
		s.publish(sender, 0, "a")
		if d := s.expect(p, "a"); d.QoS != 0 || d.PacketID != 0 {
			t.Errorf("%+v", d)
		}
	}
	p.close()
	s.nothing()
}

// The client's Receive Maximum bounds what is sent to it.
func TestReceiveMaximum(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	p := s.subscribed(1, func(c *packets.Connect) {
		c.Properties.ReceiveMaximum = new(uint16)
		*c.Properties.ReceiveMaximum = 2
	})
	sender, _ := s.join(adaptertest.Sender, nil)
	for range 3 {
		s.publish(sender, 1, "a")
	}
	first := s.delivery(p)
	s.delivery(p)
	s.must(p.ping(s.ctx))
	if len(p.aside) > 0 {
		t.Error("a third message came before the first was acknowledged")
	}
	s.puback(p, first)
	s.delivery(p)
}

// The lock of a message that the client holds is renewed, as long as it may
// hold it; after that others get it.
func TestHolding(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct {
		hold   time.Duration
		others bool
	}{"long enough": {time.Hour, false}, "too long": {time.Millisecond, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, Options{HoldTime: one.hold})
			p := s.subscribed(1, nil)
			s.give(&gatehouse.Message{Body: []byte("a")})
			d := s.expect(p, "a")
			g := s.session(adaptertest.Receiver)
			defer g.Close()
			ctx, cancel := context.WithTimeout(s.ctx, 6*time.Second) // the lock lasts four
			defer cancel()
			s.must(p.send(&packets.Unsubscribe{PacketID: p.nextID(), Topics: []string{topicInbox}, Properties: &packets.Properties{}}))
			_, err := await[*packets.Unsuback](s.ctx, p)
			s.must(err)
			got, _ := g.Receive(ctx, false, inbox.ReceiveOptions{})
			if len(got) > 0 != one.others {
				t.Errorf("%d messages for others", len(got))
			}
			if one.others {
				return
			}
			s.puback(p, d)
			s.must(p.ping(s.ctx))
			p.close()
			s.nothing()
		})
	}
}
