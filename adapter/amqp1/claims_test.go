package amqp1

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"

	azure "github.com/Azure/go-amqp"
)

func TestReplies(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	conn := s.dial(nil)
	audience, token := s.token(publisher, "send", adaptertest.SendKey(adaptertest.Sender), time.Hour)
	request := func(id any, replyTo string) *azure.Message {
		return &azure.Message{
			Properties:            &azure.MessageProperties{MessageID: id, ReplyTo: &replyTo},
			ApplicationProperties: map[string]any{"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": audience},
			Value:                 token,
		}
	}
	// The answer goes to the link whose name is the address to reply to (trap 9),
	// waits for its credit (trap 10), and keeps the type of the id (trap 22).
	first, second := s.session(conn), s.session(conn)
	sender, err := first.NewSender(s.ctx, "$cbs", nil)
	s.must(err)
	named, err := first.NewReceiver(s.ctx, "$cbs", &azure.ReceiverOptions{Name: "cbs-1", Credit: -1})
	s.must(err)
	_, err = first.NewReceiver(s.ctx, "$cbs", &azure.ReceiverOptions{Name: "cbs-2"})
	s.must(err)
	s.must(sender.Send(s.ctx, request(azure.UUID{1, 2}, "cbs-1"), nil))
	s.must(named.IssueCredit(1))
	m := s.receive(named)
	if err := statusOf(m); err != nil || m.Properties.CorrelationID != (azure.UUID{1, 2}) {
		t.Errorf("%v, %v", m.Properties.CorrelationID, err)
	}
	// Without a match it goes to the only one of the session.
	alone, err := second.NewSender(s.ctx, "$cbs", nil)
	s.must(err)
	only, err := second.NewReceiver(s.ctx, "$cbs", nil)
	s.must(err)
	s.must(alone.Send(s.ctx, request(uint64(7), "nobody"), nil))
	if m := s.receive(only); statusOf(m) != nil || m.Properties.CorrelationID != uint64(7) {
		t.Errorf("%v", m.Properties.CorrelationID)
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	key := adaptertest.SendKey(adaptertest.Sender)
	for name, c := range map[string]struct {
		address, policy, key string
		until                time.Duration
		want                 error
	}{
		"right":             {publisher, "send", key, time.Hour, nil},
		"wrong key":         {publisher, "send", "wrong", time.Hour, gatehouse.Unauthenticated},
		"wrong policy":      {publisher, "listen", key, time.Hour, gatehouse.Unauthenticated},
		"expired":           {publisher, "send", key, -time.Hour, gatehouse.Expired},
		"unknown policy":    {publisher, "none", key, time.Hour, gatehouse.Unauthenticated},
		"unknown endpoint":  {adaptertest.Account + "/publishers/nobody", "send", key, time.Hour, gatehouse.Unauthenticated},
		"policy of account": {hub, adaptertest.Policy, adaptertest.PolicyKey(), time.Hour, nil},
		"whole account":     {adaptertest.Account, adaptertest.Policy, adaptertest.PolicyKey(), time.Hour, nil},
		"less":              {publisher + "/$management", "send", key, time.Hour, nil},
	} {
		audience, token := s.token(c.address, c.policy, c.key, c.until)
		if err := putToken(s.ctx, s.dial(nil), audience, token); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A token for less does not do for all.
	conn := s.dial(nil)
	less, narrow := s.token(publisher+"/$management", "send", key, time.Hour)
	s.must(putToken(s.ctx, conn, less, narrow))
	if _, err := s.session(conn).NewSender(s.ctx, publisher, nil); !errors.Is(kindOf(err), gatehouse.Unauthenticated) {
		t.Errorf("with a token for $management: %v", err)
	}
	// A token for the account covers its channels.
	conn = s.dial(nil)
	audience, token := s.token(adaptertest.Account, adaptertest.Policy, adaptertest.PolicyKey(), time.Hour)
	s.must(putToken(s.ctx, conn, audience, token))
	s.must(s.sender(conn, hub).Send(s.ctx, toReceiver("x"), nil))
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	key := adaptertest.SendKey(adaptertest.Sender)
	conn := s.dial(nil)
	audience, short := s.token(publisher, "send", key, 2*time.Second)
	s.must(putToken(s.ctx, conn, audience, short))
	sender := s.sender(conn, publisher)

	renewed := s.dial(nil)
	s.must(putToken(s.ctx, renewed, audience, short))
	lasting := s.sender(renewed, publisher)
	_, long := s.token(publisher, "send", key, time.Hour)
	s.must(putToken(s.ctx, renewed, audience, long))

	var err error
	for err == nil { // until the link is detached
		err = sender.Send(s.ctx, toReceiver("x"), nil)
	}
	var link *azure.LinkError
	var told *azure.Error
	switch {
	case errors.As(err, &link):
		told = link.RemoteErr
	default:
		errors.As(err, &told)
	}
	if told == nil || told.Condition != azure.ErrCondUnauthorizedAccess || !strings.HasPrefix(told.Description, "ExpiredToken:") {
		t.Errorf("once expired: %v", err)
	}
	s.must(lasting.Send(s.ctx, toReceiver("x"), nil))
}

func TestRevokedPublisher(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	conn := s.dial(nil)
	audience, token := s.token(publisher, "send", adaptertest.SendKey(adaptertest.Sender), time.Hour)
	s.must(putToken(s.ctx, conn, audience, token))
	sender := s.sender(conn, publisher)
	s.must(sender.Send(s.ctx, toReceiver("x"), nil))
	s.world.Revoke(adaptertest.Sender)
	var err error
	for err == nil {
		err = sender.Send(s.ctx, toReceiver("y"), nil)
	}
	if !strings.Contains(err.Error(), conditionRevoked) {
		t.Errorf("on the live link: %v", err)
	}
	if err := putToken(s.ctx, conn, audience, token); !errors.Is(err, gatehouse.Revoked) { // trap 28
		t.Errorf("putting a token: %v", err)
	}
	if _, err := s.session(conn).NewSender(s.ctx, publisher, nil); err == nil || !strings.Contains(err.Error(), string(azure.ErrCondUnauthorizedAccess)) {
		t.Errorf("attaching: %v", err)
	}
}

func TestHubs(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	manager, err := newRPC(s.ctx, s.session(s.dial(nil)), "$management")
	s.must(err)
	_, token := s.token(hub, adaptertest.Policy, adaptertest.PolicyKey(), time.Hour)

	read := func(properties map[string]any) *azure.Message {
		properties["operation"] = "READ"
		m, err := manager.call(s.ctx, properties, []byte("[]"))
		s.must(err)
		return m
	}
	m := read(map[string]any{"type": typeHub, "name": hub})
	if err := statusOf(m); !errors.Is(err, gatehouse.Unauthenticated) {
		t.Errorf("without a token: %v", err)
	}
	m = read(map[string]any{"type": typeHub, "name": hub, "security_token": token})
	s.must(statusOf(m))
	all := m.Value.(map[string]any)
	if ids, ok := all["partition_ids"].([]string); !ok || len(ids) != s.world.Gate.Channels.Partitions() || all["georeplication_factor"] != int32(1) { // traps 17, 18
		t.Errorf("%v", all)
	}
	m = read(map[string]any{"type": typePartition, "name": hub, "partition": "0"})
	s.must(statusOf(m))
	all = m.Value.(map[string]any)
	if all["is_partition_empty"] != true || all["last_enqueued_sequence_number"] != int64(-1) || all["last_enqueued_offset"] != "-1" {
		t.Errorf("%v", all)
	}
	if m = read(map[string]any{"type": typePartition, "name": hub, "partition": "77"}); statusOf(m) == nil {
		t.Error("a partition that there is not")
	}
}

// A client that proves nothing is not kept.
func TestSilence(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{AuthTime: 100 * time.Millisecond})
	conn, err := azure.Dial(s.ctx, "amqp://"+s.address, nil)
	if err != nil {
		return // it was too slow already
	}
	select {
	case <-conn.Done():
	case <-s.ctx.Done():
		t.Error("still connected")
	}
}
