package mqttadapter

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
	"github.com/gatehouse/gatehouse/mqtt"

	"github.com/eclipse/paho.golang/packets"
)

// A series is one gateway after the other on what the former has stored.
type series struct {
	*testing.T
	engine *memory.Engine
}

func newSeries(t *testing.T) *series { return &series{t, memory.New(memory.Options{})} }

// life runs a gateway. If it is to crash, nothing is stored any more from then on
// that test returns, whatever its end would store.
func (r *series) life(name string, crash bool, test func(*site)) {
	r.Helper()
	next := r.engine
	ok := r.Run(name, func(t *testing.T) {
		s := newSiteOn(t, Options{}, func() engine.Engine { return r.engine })
		test(s)
		if crash {
			next = r.engine.Crash(func(n int) int { return n })
		}
	})
	if !ok {
		r.FailNow()
	}
	if r.engine = next; !crash {
		r.engine = r.engine.Reopen()
	}
}

// everyEnd runs a test with gateways that are stopped, and that crash.
func everyEnd(t *testing.T, test func(*series, bool)) {
	for name, crash := range map[string]bool{"stop": false, "crash": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newSeries(t), crash)
		})
	}
}

// A session that lasts is there after a restart, with its subscriptions.
func TestSessionAfterRestart(t *testing.T) {
	t.Parallel()
	everyEnd(t, func(r *series, crash bool) {
		r.life("first", crash, func(s *site) {
			p := s.subscribed(1, lasting("one"))
			s.subscribe(p, 1, topicDead)
			s.must(p.send(&packets.Unsubscribe{Topics: []string{topicDead}, PacketID: 9, Properties: &packets.Properties{}}))
			_, err := await[*packets.Unsuback](s.ctx, p)
			s.must(err)
		})
		r.life("second", crash, func(s *site) {
			p, ack := s.join(adaptertest.Receiver, lasting("one"))
			if !ack.SessionPresent {
				s.Fatal("the session is not there")
			}
			sender, _ := s.join(adaptertest.Sender, nil)
			s.publish(sender, 1, "a")
			s.puback(p, s.expect(p, "a"))
			s.must(p.ping(s.ctx))
			p.close()
		})
		r.life("third", crash, func(s *site) {
			if _, ack := s.join(adaptertest.Receiver, lasting("other")); ack.SessionPresent {
				s.Error("another client has the session")
			}
			if _, ack := s.join(adaptertest.Sender, lasting("one")); ack.SessionPresent {
				s.Error("another endpoint has the session")
			}
			p, ack := s.join(adaptertest.Receiver, func(c *packets.Connect) { c.ClientID = "one" }) // a clean start
			if ack.SessionPresent {
				s.Error("there is a session after a clean start")
			}
			s.must(p.ping(s.ctx))
		})
		r.life("fourth", crash, func(s *site) {
			if _, ack := s.join(adaptertest.Receiver, lasting("one")); ack.SessionPresent {
				s.Error("the session is there that a clean start had ended")
			}
		})
		r.life("fifth", crash, func(s *site) {
			p, ack := s.join(adaptertest.Receiver, lasting("one"))
			if !ack.SessionPresent {
				s.Error("the session is not there that began before the restart")
			}
			zero := uint32(0)
			s.must(p.send(&packets.Disconnect{Properties: &packets.Properties{SessionExpiryInterval: &zero}}))
			s.ended(p)
			s.claimable("one")
		})
		r.life("sixth", crash, func(s *site) {
			if _, ack := s.join(adaptertest.Receiver, lasting("one")); ack.SessionPresent {
				s.Error("the session is there that its client had ended")
			}
		})
	})
}

// claimable waits until a client's session has been left.
func (s *site) claimable(client string) {
	s.Helper()
	p, ack := s.join(adaptertest.Receiver, func(c *packets.Connect) { c.ClientID, c.CleanStart = client, false })
	if ack.SessionPresent {
		s.Error("the session is there")
	}
	s.must(p.send(&packets.Disconnect{Properties: &packets.Properties{}}))
	s.ended(p)
}

// At QoS 2 a message is stored once, and the next one under its packet id, too,
// whenever the gateway is started anew.
func TestExactlyOnceOverRestarts(t *testing.T) {
	t.Parallel()
	everyEnd(t, func(r *series, crash bool) {
		message := func(body string, again bool, key string) *packets.Publish {
			p := &packets.Publish{Topic: "endpoints/" + adaptertest.Receiver, QoS: 2, PacketID: 7, Payload: []byte(body), Duplicate: again, Properties: &packets.Properties{}}
			p.Properties.User = []packets.User{{Key: "partitionkey", Value: key}}
			return p
		}
		rec := func(s *site, p *peer, m *packets.Publish) {
			s.Helper()
			s.must(p.send(m))
			a, err := await[*packets.Pubrec](s.ctx, p)
			s.must(err)
			if a.PacketID != 7 || a.ReasonCode != 0 {
				s.Errorf("PUBREC %+v", a)
			}
		}
		const keys = 6 // in several shards
		for i := range keys {
			key := fmt.Sprint("key-", i)
			r.life(fmt.Sprint("stored", i), crash, func(s *site) {
				p, _ := s.join(adaptertest.Sender, lasting("twice"))
				rec(s, p, message("a", false, key))
			})
			r.life(fmt.Sprint("again", i), crash, func(s *site) {
				p, ack := s.join(adaptertest.Sender, lasting("twice"))
				if !ack.SessionPresent {
					s.Fatal("the session is not there")
				}
				rec(s, p, message("a", true, key))
				if code := s.release(p, 7); code != mqtt.Success {
					s.Errorf("PUBCOMP %v", code)
				}
			})
			r.life(fmt.Sprint("released", i), crash, func(s *site) {
				p, _ := s.join(adaptertest.Sender, lasting("twice"))
				if code := s.release(p, 7); code != mqtt.PacketIdentifierNotFound {
					s.Errorf("PUBCOMP of a released id: %v", code)
				}
				rec(s, p, message("b", true, key)) // which was lost on its way before
				if code := s.release(p, 7); code != mqtt.Success {
					s.Errorf("PUBCOMP %v", code)
				}
			})
		}
		r.life("end", crash, func(s *site) {
			got := make(map[string]int)
			for range 2 * keys {
				got[string(s.take(adaptertest.Receiver).Message.Body)]++
			}
			if got["a"] != keys || got["b"] != keys {
				s.Errorf("received %v", got)
			}
			s.nothing()
		})
	})
}

// A session with a subscription at QoS 2 ends with the gateway: its client may
// hold packet ids under which the next one would deliver something else.
func TestQoS2SubscriptionAfterRestart(t *testing.T) {
	t.Parallel()
	r := newSeries(t)
	r.life("first", true, func(s *site) {
		p := s.subscribed(1, lasting("one"))
		s.must(p.send(&packets.Publish{Topic: "channels/" + adaptertest.Channel, QoS: 2, PacketID: 7, Payload: []byte("a"), Properties: &packets.Properties{}}))
		_, err := await[*packets.Pubrec](s.ctx, p)
		s.must(err)
		s.subscribe(p, 2, topicInbox)
	})
	r.life("second", true, func(s *site) {
		p, ack := s.join(adaptertest.Receiver, lasting("one"))
		if ack.SessionPresent {
			s.Error("the session is there")
		}
		s.subscribe(p, 2, topicInbox)
		s.subscribe(p, 1, topicInbox)
	})
	r.life("third", true, func(s *site) {
		p, ack := s.join(adaptertest.Receiver, lasting("one"))
		if ack.SessionPresent {
			s.Error("the session is there that has had such a subscription")
		}
		s.subscribe(p, 1, topicInbox)
	})
	r.life("fourth", true, func(s *site) {
		p, ack := s.join(adaptertest.Receiver, lasting("one"))
		if !ack.SessionPresent {
			s.Error("the session is not there")
		}
		if code := s.release(p, 7); code != mqtt.PacketIdentifierNotFound {
			s.Errorf("PUBCOMP %v for a packet id of the former session", code)
		}
	})
	for i := range r.engine.Shards() {
		s := 0
		_ = r.engine.State(engine.Shard(i)).Scan(rowSpace, func(key string, _ []byte) bool {
			if _, id, ok := parseRow(key); !ok || id != 0 {
				t.Errorf("row %q is left", key)
			}
			s++
			return true
		})
		if s > 1 {
			t.Errorf("%d rows", s)
		}
	}
}

// The time of a session runs out over a restart, and it is gone with its
// endpoint.
func TestSessionEndsOverRestarts(t *testing.T) {
	t.Parallel()
	r := newSeries(t)
	r.life("first", false, func(s *site) {
		s.join(adaptertest.Receiver, lasting("short"))
		s.join(adaptertest.Sender, lasting("former"))
	})
	r.life("second", false, func(s *site) {
		s.world.Recreate(adaptertest.Sender)
		ran := session{life: 1}
		for i := range r.engine.Shards() {
			shard := engine.Shard(i)
			s.must(r.engine.State(shard).Scan(rowSpace, func(key string, _ []byte) bool {
				if k, _, _ := parseRow(key); k.client == "short" {
					out := engine.Row{Key: key, Value: ran.value(time.Minute, time.Now().Add(-time.Hour))}
					s.must(s.world.Gate.Commit.Do(s.ctx, shard, &engine.Op{State: []engine.Row{out}}))
				}
				return true
			}))
		}
	})
	r.life("third", false, func(s *site) {
		if _, ack := s.join(adaptertest.Receiver, lasting("short")); ack.SessionPresent {
			s.Error("the session is there that has run out")
		}
		if _, ack := s.join(adaptertest.Sender, lasting("former")); ack.SessionPresent {
			s.Error("the session of a former endpoint is there")
		}
	})
}

// If nothing can be stored, a client whose session is to last is not let in, and
// one that has a session does not lose it.
func TestSessionThatCannotBeStored(t *testing.T) {
	t.Parallel()
	r := newSeries(t)
	r.life("one", true, func(s *site) {
		p := s.subscribed(1, lasting("one"))
		p.close()
		r.engine.Fail(fmt.Errorf("the disk is full"))
		for _, client := range []string{"one", "new"} {
			p := s.raw()
			c := connectOf(s.login(adaptertest.Receiver))
			c.Properties = &packets.Properties{}
			lasting(client)(c)
			if ack, err := p.connect(s.ctx, c); err == nil {
				s.Errorf("%s was let in: %+v", client, ack)
			}
		}
		if _, ack := s.join(adaptertest.Receiver, nil); ack.SessionPresent {
			s.Error("a session is there")
		}
		r.engine.Fail(nil)
		if _, ack := s.join(adaptertest.Receiver, lasting("one")); !ack.SessionPresent {
			s.Error("the session was lost")
		}
	})
}
