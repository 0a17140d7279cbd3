package azuretest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/sas"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
)

// trySend sends one message with a new sender.
func (s *site) trySend(c *azservicebus.Client, address string) error {
	s.t.Helper()
	sender, err := c.NewSender(address, nil)
	s.must(err)
	return sender.SendMessage(s.ctx, message("m", ""), nil)
}

// tryReceive receives with a new receiver.
func (s *site) tryReceive(c *azservicebus.Client, address string) error {
	s.t.Helper()
	r, err := c.NewReceiverForQueue(address, nil)
	s.must(err)
	_, err = r.ReceiveMessages(s.ctx, 1, nil)
	return err
}

// A wrong proof is not tried again, by either SDK.
func TestWrongKeys(t *testing.T) {
	s := newSite(t)
	send, listen := adaptertest.SendKey(adaptertest.Sender), adaptertest.ListenKey(adaptertest.Receiver)
	for _, c := range []struct{ name, policy, key string }{
		{"wrong key", "send", "wrong"}, {"key of the inbox", "send", listen}, {"policy of the inbox", "listen", send}, {"no such policy", "nobody", send},
	} {
		s.busFails(c.name, s.trySend(s.bus(c.policy, c.key), publisher), azservicebus.CodeUnauthorizedAccess)
		producer := s.producer(c.policy, c.key, publisher)
		_, err := producer.NewEventDataBatch(s.ctx, nil)
		s.hubFails(c.name, err, azeventhubs.ErrorCodeUnauthorizedAccess)
	}
	for _, c := range []struct{ name, policy, key string }{
		{"wrong key", "listen", "wrong"},
		{"key of the publisher", "listen", send},
		{"policy of the publisher", "send", listen},
		{"key of another endpoint", "listen", adaptertest.ListenKey(adaptertest.Sender)},
	} {
		s.busFails(c.name, s.tryReceive(s.bus(c.policy, c.key), inboxOf), azservicebus.CodeUnauthorizedAccess)
	}
	consumer := s.consumer("wrong")
	_, err := consumer.GetEventHubProperties(s.ctx, nil)
	failsWith(s, "properties with a wrong key", err, func(err error) bool { return strings.Contains(err.Error(), "401") })
}

// A revoked endpoint is cut off while it is connected, and told so at once.
func TestRevoked(t *testing.T) {
	s := newSite(t)
	client := s.bus("send", adaptertest.SendKey(adaptertest.Receiver))
	own := adaptertest.Account + "/publishers/" + adaptertest.Receiver
	sender, err := client.NewSender(own, nil)
	s.must(err)
	s.must(sender.SendMessage(s.ctx, message("m", ""), nil))
	producer := s.producer("send", adaptertest.SendKey(adaptertest.Receiver), own)
	s.must(s.produce(producer, nil, "event"))
	r := s.receiver(nil)
	s.take(r)
	waited := make(chan error, 1)
	go func() {
		_, err := r.ReceiveMessages(s.ctx, 1, nil)
		waited <- err
	}()
	s.world.Revoke(adaptertest.Receiver)
	failsWith(s, "waiting", <-waited, func(e *amqp.Error) bool { return e.Condition == "com.microsoft:entity-disabled" })
	s.busFails("sending", sender.SendMessage(s.ctx, message("m", ""), nil), azservicebus.CodeUnauthorizedAccess)
	s.hubFails("producing", s.produce(producer, nil, "event"), azeventhubs.ErrorCodeUnauthorizedAccess)
	s.busFails("connecting", s.tryReceive(s.inside(), inboxOf), azservicebus.CodeUnauthorizedAccess)
	// Restored, the same clients go on.
	s.must(s.world.Directory.Restore(s.ctx, adaptertest.Account, adaptertest.Receiver, directory.Revoked{Send: true, Listen: true}))
	s.must(sender.SendMessage(s.ctx, message("again", ""), nil))
	s.must(s.produce(producer, nil, "event"))
	if m := s.take(r); m.MessageID != "again" {
		t.Errorf("%+v", m)
	}
}

// When both keys of an endpoint were changed, who had the old ones is out.
func TestRotatedKeys(t *testing.T) {
	s := newSite(t)
	sender := s.sender()
	s.must(sender.SendMessage(s.ctx, message("m", ""), nil))
	for _, which := range []directory.Which{directory.Primary, directory.Secondary} {
		_, err := s.world.Directory.Rotate(s.ctx, adaptertest.Account, adaptertest.Sender, gatehouse.PolicySend, which)
		s.must(err)
	}
	s.busFails("the old key", sender.SendMessage(s.ctx, message("m", ""), nil), azservicebus.CodeUnauthorizedAccess)
	secrets, err := s.world.Directory.Reveal(adaptertest.Account, adaptertest.Sender)
	s.must(err)
	s.must(s.trySend(s.bus("send", secrets.Send.Primary), publisher))
	s.must(s.trySend(s.bus("send", secrets.Send.Secondary), publisher))
}

// A token ends what it was good for when it expires.
func TestExpiredToken(t *testing.T) {
	s := newSite(t)
	resource := "sb://" + s.address + "/" + inboxOf
	sign := func(until time.Duration) *azservicebus.Client {
		token := sas.Sign(resource, "listen", adaptertest.ListenKey(adaptertest.Receiver), time.Now().Add(until))
		c, err := azservicebus.NewClientFromConnectionString(s.withToken(token, inboxOf), busOptions())
		s.must(err)
		s.closing(c)
		return c
	}
	s.busFails("an old token", s.tryReceive(sign(-time.Hour), inboxOf), azservicebus.CodeUnauthorizedAccess)
	s.send(1)
	r, err := sign(6*time.Second).NewReceiverForQueue(inboxOf, nil)
	s.must(err)
	s.take(r)
	_, err = r.ReceiveMessages(s.ctx, 1, nil) // until the token expires
	s.busFails("a token that expires", err, azservicebus.CodeUnauthorizedAccess)
}

// A token covers what is below its address, in any case of the letters, and
// nothing beside it (trap 2; package sas has more of it).
func TestTokens(t *testing.T) {
	s := newSite(t)
	s.send(1)
	tokenFor := func(path, policy, key string) *azservicebus.Client {
		token := sas.Sign("http://anywhere/"+path, policy, key, time.Now().Add(time.Hour))
		c, err := azservicebus.NewClientFromConnectionString(s.withToken(token, ""), busOptions())
		s.must(err)
		s.closing(c)
		return c
	}
	listen := adaptertest.ListenKey(adaptertest.Receiver)
	r, err := tokenFor("ACME/Inboxes/panel", "listen", listen).NewReceiverForQueue(inboxOf, nil)
	s.must(err)
	m := s.receive(r, 1)[0]
	s.must(r.RenewMessageLock(s.ctx, m, nil)) // a claim of its own, for $management
	s.must(r.CompleteMessage(s.ctx, m, nil))
	s.must(s.trySend(tokenFor(publisher, "send", adaptertest.SendKey(adaptertest.Sender)), publisher))
	s.busFails("an address that begins alike", s.tryReceive(tokenFor(inboxOf+"x", "listen", listen), inboxOf), azservicebus.CodeUnauthorizedAccess)
	s.busFails("another endpoint's", s.tryReceive(tokenFor(inboxOf, "listen", listen), adaptertest.Account+"/inboxes/"+adaptertest.Sender), azservicebus.CodeUnauthorizedAccess)
	s.busFails("the other side", s.trySend(tokenFor(inboxOf, "listen", listen), adaptertest.Account+"/publishers/"+adaptertest.Receiver), azservicebus.CodeUnauthorizedAccess)
}

// An endpoint that may not go without TLS, is shut out or is deleted, is told
// so at once.
func TestShutOut(t *testing.T) {
	s := newSite(t)
	s.change(&directory.EndpointSpec{Name: adaptertest.Sender})
	s.busFails("without TLS", s.trySend(s.outside(), publisher), azservicebus.CodeUnauthorizedAccess)
	s.change(&directory.EndpointSpec{Name: adaptertest.Sender, AllowPlaintext: true})
	sender := s.sender()
	s.must(sender.SendMessage(s.ctx, message("m", ""), nil))
	s.change(&directory.EndpointSpec{Name: adaptertest.Sender, AllowPlaintext: true, Disabled: new(true)})
	if err := sender.SendMessage(s.ctx, message("m", ""), nil); err == nil || s.ctx.Err() != nil {
		t.Fatalf("disabled: %v", err)
	}
	s.must(s.world.Directory.Delete(context.WithoutCancel(s.ctx), adaptertest.Account, directory.KindEndpoint, adaptertest.Sender, 0))
	s.busFails("deleted", s.trySend(s.outside(), publisher), azservicebus.CodeUnauthorizedAccess)
}
