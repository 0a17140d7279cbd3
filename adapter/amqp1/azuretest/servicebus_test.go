package azuretest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// busOptions lets a client try again at once, and for as long as the test
// lasts, where the SDK thinks that this can help.
func busOptions() *azservicebus.ClientOptions {
	return &azservicebus.ClientOptions{RetryOptions: azservicebus.RetryOptions{
		MaxRetries: 1 << 20, RetryDelay: time.Millisecond, MaxRetryDelay: 20 * time.Millisecond,
	}}
}

// bus returns a client for Service Bus.
func (s *site) bus(policy, key string) *azservicebus.Client {
	s.t.Helper()
	c, err := azservicebus.NewClientFromConnectionString(s.connectionString(policy, key, ""), busOptions())
	s.must(err)
	s.closing(c)
	return c
}

// outside returns a client with the key of the sender's publisher.
func (s *site) outside() *azservicebus.Client {
	s.t.Helper()
	return s.bus("send", adaptertest.SendKey(adaptertest.Sender))
}

// inside returns a client with the key of the receiver's inbox.
func (s *site) inside() *azservicebus.Client {
	s.t.Helper()
	return s.bus("listen", adaptertest.ListenKey(adaptertest.Receiver))
}

// sender returns a sender for the publisher.
func (s *site) sender() *azservicebus.Sender {
	s.t.Helper()
	sender, err := s.outside().NewSender(publisher, nil)
	s.must(err)
	return sender
}

// receiver returns a receiver of the inbox.
func (s *site) receiver(o *azservicebus.ReceiverOptions) *azservicebus.Receiver {
	s.t.Helper()
	r, err := s.inside().NewReceiverForQueue(inboxOf, o)
	s.must(err)
	return r
}

func (s *site) deadLetters() *azservicebus.Receiver {
	s.t.Helper()
	return s.receiver(&azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter})
}

// message returns one that goes to the receiver.
func message(id, body string) *azservicebus.Message {
	return &azservicebus.Message{MessageID: &id, To: new(receiver), Body: []byte(body)}
}

// send sends n messages, m0 to m(n-1), in a batch.
func (s *site) send(n int) {
	s.t.Helper()
	sender := s.sender()
	batch, err := sender.NewMessageBatch(s.ctx, nil)
	s.must(err)
	for i := range n {
		s.must(batch.AddMessage(message(fmt.Sprint("m", i), fmt.Sprint(i)), nil))
	}
	s.must(sender.SendMessageBatch(s.ctx, batch, nil))
	s.must(sender.Close(s.ctx))
}

// receive receives exactly n messages, and returns them in the order of the
// inbox: what comes between two calls of the SDK, it gives back, and has later.
func (s *site) receive(r interface {
	ReceiveMessages(context.Context, int, *azservicebus.ReceiveMessagesOptions) ([]*azservicebus.ReceivedMessage, error)
}, n int,
) []*azservicebus.ReceivedMessage {
	s.t.Helper()
	var got []*azservicebus.ReceivedMessage
	for len(got) < n {
		more, err := r.ReceiveMessages(s.ctx, n-len(got), nil)
		if err != nil {
			s.t.Fatalf("%d of %d messages came: %v", len(got), n, err)
		}
		got = append(got, more...)
	}
	slices.SortFunc(got, func(a, b *azservicebus.ReceivedMessage) int { return cmp.Compare(*a.SequenceNumber, *b.SequenceNumber) })
	return got
}

// take receives one message and completes it.
func (s *site) take(r *azservicebus.Receiver) *azservicebus.ReceivedMessage {
	s.t.Helper()
	m := s.receive(r, 1)[0]
	s.must(r.CompleteMessage(s.ctx, m, nil))
	return m
}

// empty checks that an inbox has no message at all.
func (s *site) empty(r *azservicebus.Receiver) {
	s.t.Helper()
	left, err := r.PeekMessages(s.ctx, 10, &azservicebus.PeekMessagesOptions{FromSequenceNumber: new(int64(0))})
	s.must(err)
	for _, m := range left {
		s.t.Errorf("left: %s (state %d, deliveries %d)", m.MessageID, m.State, m.DeliveryCount)
	}
}

// busFails checks that an operation failed with a code.
func (s *site) busFails(what string, err error, code azservicebus.Code) {
	s.t.Helper()
	failsWith(s, what, err, func(e *azservicebus.Error) bool { return e.Code == code })
}
