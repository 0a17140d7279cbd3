package azuretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
	"github.com/google/go-cmp/cmp"
)

// Every field of a message arrives, and its properties in their types.
func TestMessage(t *testing.T) {
	s := newSite(t)
	at := time.UnixMilli(1900000000123).UTC()
	properties := map[string]any{
		"string": "Ålesund", "empty": "", "bool": true, "null": nil, "time": at, "float32": float32(1.5), "float64": -2.25,
		"int8": int8(-8), "int16": int16(-16), "int32": int32(-32), "int64": int64(-64),
		"uint8": uint8(8), "uint16": uint16(16), "uint32": uint32(32), "uint64": uint64(1<<64 - 1),
		"binary": []byte{0, 1, 255}, "uuid": amqp.UUID{1, 2, 3},
	}
	m := message("id-1", "body")
	m.Subject, m.CorrelationID, m.ReplyTo, m.ReplyToSessionID = new("Grüße/7"), new("c-1"), new("endpoints/pump-7"), new("r-1")
	m.ContentType, m.SessionID, m.PartitionKey, m.TimeToLive = new("application/json"), new("g"), new("g"), new(90*time.Second)
	m.ApplicationProperties = properties
	s.must(s.sender().SendMessage(s.ctx, m, nil))

	r := s.receiver(nil)
	got := s.take(r)
	if diff := cmp.Diff(properties, got.ApplicationProperties); diff != "" {
		t.Errorf("properties: -sent +received:\n%s", diff)
	}
	for _, f := range []struct {
		name      string
		got, want *string
	}{
		{"message id", &got.MessageID, m.MessageID},
		{"to", got.To, m.To},
		{"subject", got.Subject, m.Subject},
		{"correlation id", got.CorrelationID, m.CorrelationID},
		{"reply to", got.ReplyTo, m.ReplyTo},
		{"session to reply to", got.ReplyToSessionID, m.ReplyToSessionID},
		{"content type", got.ContentType, m.ContentType},
		{"session", got.SessionID, m.SessionID},
		{"partition key", got.PartitionKey, m.PartitionKey},
	} {
		if f.got == nil || *f.got != *f.want {
			t.Errorf("%s: %v, want %s", f.name, f.got, *f.want)
		}
	}
	if string(got.Body) != "body" || got.State != azservicebus.MessageStateActive || got.DeliveryCount != 1 || *got.SequenceNumber <= 0 {
		t.Errorf("%+v", got)
	}
	if *got.TimeToLive != 90*time.Second || !got.ExpiresAt.Equal(got.EnqueuedTime.Add(90*time.Second)) {
		t.Errorf("lives %v until %v, since %v", got.TimeToLive, got.ExpiresAt, got.EnqueuedTime)
	}
	if !got.LockedUntil.After(*got.EnqueuedTime) || got.LockToken == [16]byte{} {
		t.Errorf("locked until %v by %v", got.LockedUntil, got.LockToken)
	}
	s.empty(r)
}

// A message with the least there can be has no time to live. It gets an id,
// without which the SDK for JavaScript could not settle it.
func TestLeastMessage(t *testing.T) {
	s := newSite(t)
	s.must(s.sender().SendMessage(s.ctx, &azservicebus.Message{To: new(receiver)}, nil))
	got := s.take(s.receiver(nil))
	id, _ := got.RawAMQPMessage.MessageAnnotations["x-gatehouse-id"].(string)
	if got.MessageID != id || id == "" || len(got.Body) != 0 || got.ExpiresAt.Before(time.Now().Add(24*time.Hour)) {
		t.Errorf("%+v", got)
	}
}

// Bodies that are not one section of bytes, and sections that the SDK's own
// messages do not have, arrive as they were sent.
func TestAnnotatedMessage(t *testing.T) {
	s := newSite(t)
	sender, r := s.sender(), s.receiver(nil)
	for name, body := range map[string]azservicebus.AMQPAnnotatedMessageBody{
		"value":         {Value: "text"},
		"map":           {Value: map[string]any{"a": int32(1), "b": []any{"x", true}}},
		"sequence":      {Sequence: [][]any{{"a", int64(1)}, {"b"}}},
		"data sections": {Data: [][]byte{[]byte("one"), []byte("two")}},
	} {
		s.must(sender.SendAMQPAnnotatedMessage(s.ctx, &azservicebus.AMQPAnnotatedMessage{
			Body:               body,
			Header:             &azservicebus.AMQPAnnotatedMessageHeader{Durable: true, Priority: 7},
			MessageAnnotations: map[any]any{"x-opt-mine": int64(9)},
			Footer:             map[any]any{"foot": "er"},
			Properties:         &azservicebus.AMQPAnnotatedMessageProperties{MessageID: name, To: new(receiver), UserID: []byte("me"), GroupSequence: new(uint32(3))},
		}, nil))
		got := s.take(r).RawAMQPMessage
		if diff := cmp.Diff(body, got.Body); diff != "" {
			t.Errorf("%s: -sent +received:\n%s", name, diff)
		}
		if !got.Header.Durable || got.Header.Priority != 7 || got.MessageAnnotations["x-opt-mine"] != int64(9) || got.Footer["foot"] != "er" ||
			string(got.Properties.UserID) != "me" || got.Properties.GroupSequence == nil || *got.Properties.GroupSequence != 3 {
			t.Errorf("%s: header %+v, annotations %v, footer %v, properties %+v", name, got.Header, got.MessageAnnotations, got.Footer, got.Properties)
		}
	}
}

// A batch is taken as a whole, in order, and has messages of their own.
func TestMessageBatch(t *testing.T) {
	s := newSite(t)
	sender, r := s.sender(), s.receiver(nil)
	const n = 500
	batch, err := sender.NewMessageBatch(s.ctx, nil)
	s.must(err)
	for i := range n {
		m := message(fmt.Sprint("m", i), fmt.Sprint(i))
		m.ApplicationProperties = map[string]any{"n": int64(i)}
		s.must(batch.AddMessage(m, nil))
	}
	s.must(sender.SendMessageBatch(s.ctx, batch, nil))
	got := s.receive(r, n)
	last := int64(0)
	for i, m := range got {
		if m.MessageID != fmt.Sprint("m", i) || string(m.Body) != fmt.Sprint(i) || m.ApplicationProperties["n"] != int64(i) || *m.SequenceNumber <= last {
			t.Fatalf("message %d: %+v", i, m)
		}
		last = *m.SequenceNumber
		s.must(r.CompleteMessage(s.ctx, m, nil))
	}
	s.empty(r)
}

// A batch of which one message may not pass is refused as a whole, and at once.
func TestBatchRefused(t *testing.T) {
	s := newSite(t)
	sender := s.sender()
	batch, err := sender.NewMessageBatch(s.ctx, nil)
	s.must(err)
	s.must(batch.AddMessage(message("good", ""), nil))
	bad := message("bad", "")
	bad.ApplicationProperties = map[string]any{"cloudEvents:type": adaptertest.DeniedType}
	s.must(batch.AddMessage(bad, nil))
	failsWith(s, "batch", sender.SendMessageBatch(s.ctx, batch, nil), func(e *amqp.Error) bool { return e.Condition == amqp.ErrCondNotAllowed })
	failsWith(s, "message", sender.SendMessage(s.ctx, bad, nil), func(e *amqp.Error) bool { return e.Condition == amqp.ErrCondNotAllowed })
	// The link goes on.
	s.must(sender.SendMessage(s.ctx, message("next", ""), nil))
	r := s.receiver(nil)
	if m := s.take(r); m.MessageID != "next" {
		t.Errorf("%s came", m.MessageID)
	}
	s.empty(r)
}

// A client knows the greatest size from the link, fills batches up to it, and
// is told when it is more.
func TestSizes(t *testing.T) {
	s := newSite(t)
	s.unrestricted()
	sender, r := s.sender(), s.receiver(nil)
	batch, err := sender.NewMessageBatch(s.ctx, nil)
	s.must(err)
	part := bytes.Repeat([]byte("0123456789abcdef"), 4<<10) // 64 KiB
	n := 0
	for ; ; n++ {
		m := message(fmt.Sprint("m", n), "")
		m.Body = part
		if err = batch.AddMessage(m, nil); err != nil {
			break
		}
	}
	if !errors.Is(err, azservicebus.ErrMessageTooLarge) || n != 15 {
		t.Fatalf("a batch took %d messages of 64 KiB, and then: %v", n, err)
	}
	s.must(sender.SendMessageBatch(s.ctx, batch, nil))
	for _, m := range s.receive(r, n) {
		if !bytes.Equal(m.Body, part) {
			t.Errorf("%s has %d bytes", m.MessageID, len(m.Body))
		}
		s.must(r.CompleteMessage(s.ctx, m, nil))
	}
	large := message("large", "")
	large.Body = bytes.Repeat([]byte("x"), 1<<20-1000)
	s.must(sender.SendMessage(s.ctx, large, nil))
	if m := s.take(r); !bytes.Equal(m.Body, large.Body) {
		t.Errorf("%d bytes", len(m.Body))
	}
	large.Body = bytes.Repeat([]byte("x"), 1<<20)
	if err := sender.SendMessage(s.ctx, large, nil); !errors.Is(err, azservicebus.ErrMessageTooLarge) {
		t.Errorf("more than the link takes: %v", err)
	}
	s.must(sender.SendMessage(s.ctx, message("small", ""), nil))
	s.take(r)
}

// What is refused by a restriction or a full inbox is not tried again.
func TestRefusedByRestriction(t *testing.T) {
	s := newSite(t)
	sender := s.sender()
	m := message("large", "")
	m.Body = make([]byte, adaptertest.MaxSize+1)
	err := sender.SendMessage(s.ctx, m, nil)
	if err == nil || s.ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	s.empty(s.receiver(nil))
}

// Nothing is sent to an inbox, to the account or to what does not exist.
func TestWrongAddresses(t *testing.T) {
	s := newSite(t)
	listener, policy := s.inside(), s.bus(adaptertest.Policy, adaptertest.PolicyKey())
	for _, c := range []struct {
		client  *azservicebus.Client
		address string
	}{
		{listener, inboxOf}, {policy, adaptertest.Account}, {policy, inboxOf}, {policy, "nowhere"}, {policy, hub + "x"}, {s.outside(), publisher + "x"},
	} {
		sender, err := c.client.NewSender(c.address, nil)
		s.must(err)
		if err := sender.SendMessage(s.ctx, message("x", ""), nil); err == nil || s.ctx.Err() != nil {
			t.Fatalf("%s: %v", c.address, err)
		}
	}
}
