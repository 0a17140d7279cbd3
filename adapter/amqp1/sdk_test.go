package amqp1

import (
	"errors"
	"fmt"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// connection strings as their users write them.
func (s *site) connectionString(policy, key string) string {
	return fmt.Sprintf("Endpoint=sb://%s;SharedAccessKeyName=%s;SharedAccessKey=%s;UseDevelopmentEmulator=true", s.address, policy, key)
}

func pointer[T any](v T) *T { return &v }

// A publisher sends a batch with Azure's SDK for Event Hubs, and trusted code
// consumes it with the same.
func TestEventHubs(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	producer, err := azeventhubs.NewProducerClientFromConnectionString(s.connectionString("send", adaptertest.SendKey(adaptertest.Sender)), publisher, nil)
	s.must(err)
	defer producer.Close(s.ctx) //nolint:errcheck // the test is over
	batch, err := producer.NewEventDataBatch(s.ctx, nil)
	s.must(err)
	for i := range 3 {
		s.must(batch.AddEventData(&azeventhubs.EventData{Body: fmt.Append(nil, i), Properties: map[string]any{"n": int32(i)}}, nil))
	}
	s.must(producer.SendEventDataBatch(s.ctx, batch, nil))

	consumer, err := azeventhubs.NewConsumerClientFromConnectionString(s.connectionString(adaptertest.Policy, adaptertest.PolicyKey()), hub, azeventhubs.DefaultConsumerGroup, nil)
	s.must(err)
	defer consumer.Close(s.ctx) //nolint:errcheck // the test is over
	properties, err := consumer.GetEventHubProperties(s.ctx, nil)
	s.must(err)
	var got []*azeventhubs.ReceivedEventData
	for _, id := range properties.PartitionIDs {
		partition, err := consumer.GetPartitionProperties(s.ctx, id, nil)
		s.must(err)
		if partition.IsEmpty {
			continue
		}
		reader, err := consumer.NewPartitionClient(id, &azeventhubs.PartitionClientOptions{StartPosition: azeventhubs.StartPosition{Earliest: pointer(true)}})
		s.must(err)
		got, err = reader.ReceiveEvents(s.ctx, 3, nil)
		s.must(err)
		s.must(reader.Close(s.ctx))
	}
	if len(got) != 3 {
		t.Fatalf("%d events", len(got))
	}
	for i, e := range got {
		if string(e.Body) != fmt.Sprint(i) || e.Properties["n"] != int32(i) || *e.PartitionKey != adaptertest.Sender {
			t.Errorf("event %d: %s %v %v", i, e.Body, e.Properties, *e.PartitionKey)
		}
	}
	denied, err := producer.NewEventDataBatch(s.ctx, nil)
	s.must(err)
	s.must(denied.AddEventData(&azeventhubs.EventData{Properties: map[string]any{"cloudEvents:type": adaptertest.DeniedType}}, nil))
	if err := producer.SendEventDataBatch(s.ctx, denied, nil); !errors.Is(kindOf(err), gatehouse.Forbidden) {
		t.Errorf("without a route: %v", err)
	}
}

// A sender and a receiver with Azure's SDK for Service Bus.
func TestServiceBus(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	outside, err := azservicebus.NewClientFromConnectionString(s.connectionString("send", adaptertest.SendKey(adaptertest.Sender)), nil)
	s.must(err)
	defer outside.Close(s.ctx) //nolint:errcheck // the test is over
	sender, err := outside.NewSender(publisher, nil)
	s.must(err)
	to := gatehouse.EndpointPrefix + adaptertest.Receiver
	for i := range 4 {
		s.must(sender.SendMessage(s.ctx, &azservicebus.Message{Body: fmt.Append(nil, i), To: &to, SessionID: pointer("g"), MessageID: pointer(fmt.Sprint("m", i))}, nil))
	}
	client, err := azservicebus.NewClientFromConnectionString(s.connectionString("listen", adaptertest.ListenKey(adaptertest.Receiver)), nil)
	s.must(err)
	defer client.Close(s.ctx) //nolint:errcheck // the test is over
	receiver, err := client.NewReceiverForQueue(inboxOf, nil)
	s.must(err)
	var got []*azservicebus.ReceivedMessage
	for len(got) < 4 {
		more, err := receiver.ReceiveMessages(s.ctx, 4-len(got), nil)
		s.must(err)
		got = append(got, more...)
	}
	if m := got[0]; m.MessageID != "m0" || m.DeliveryCount != 1 || m.SequenceNumber == nil || m.LockedUntil == nil || m.ExpiresAt == nil || *m.SessionID != "g" {
		t.Errorf("%+v", m)
	}
	s.must(receiver.RenewMessageLock(s.ctx, got[0], nil))
	s.must(receiver.CompleteMessage(s.ctx, got[0], nil))
	s.must(receiver.DeferMessage(s.ctx, got[1], nil))
	s.must(receiver.AbandonMessage(s.ctx, got[2], &azservicebus.AbandonMessageOptions{PropertiesToModify: map[string]any{"tried": true}}))
	s.must(receiver.DeadLetterMessage(s.ctx, got[3], &azservicebus.DeadLetterOptions{Reason: pointer("R"), ErrorDescription: pointer("D")}))
	seen, err := receiver.PeekMessages(s.ctx, 10, nil)
	s.must(err)
	if len(seen) != 2 || seen[0].State != azservicebus.MessageStateDeferred {
		t.Errorf("%d messages peeked at", len(seen))
	}
	deferred, err := receiver.ReceiveDeferredMessages(s.ctx, []int64{*got[1].SequenceNumber}, nil)
	s.must(err)
	s.must(receiver.CompleteMessage(s.ctx, deferred[0], nil))
	s.must(receiver.Close(s.ctx))

	session, err := client.AcceptNextSessionForQueue(s.ctx, inboxOf, nil)
	s.must(err)
	if session.SessionID() != "g" {
		t.Errorf("session %q", session.SessionID())
	}
	s.must(session.SetSessionState(s.ctx, []byte("state"), nil))
	if state, err := session.GetSessionState(s.ctx, nil); err != nil || string(state) != "state" {
		t.Errorf("state %q, %v", state, err)
	}
	s.must(session.RenewSessionLock(s.ctx, nil))
	again, err := session.ReceiveMessages(s.ctx, 1, nil)
	s.must(err)
	if m := again[0]; m.MessageID != "m2" || m.ApplicationProperties["tried"] != true || m.DeliveryCount != 2 {
		t.Errorf("%+v", m)
	}
	s.must(session.CompleteMessage(s.ctx, again[0], nil))
	s.must(session.Close(s.ctx))

	dead, err := client.NewReceiverForQueue(inboxOf, &azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter})
	s.must(err)
	letters, err := dead.ReceiveMessages(s.ctx, 1, nil)
	s.must(err)
	if m := letters[0]; *m.DeadLetterReason != "R" || *m.DeadLetterErrorDescription != "D" || m.MessageID != "m3" {
		t.Errorf("%+v", m)
	}
	s.must(dead.CompleteMessage(s.ctx, letters[0], nil))
	refused, err := outside.NewSender(inboxOf, nil)
	s.must(err)
	if err := refused.SendMessage(s.ctx, &azservicebus.Message{}, nil); err == nil {
		t.Error("sent to an inbox")
	}
}
