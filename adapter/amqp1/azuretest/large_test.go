package azuretest

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/adapter/amqp1"
	"github.com/gatehouse/gatehouse/directory"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// Where the gateway takes more than a mebibyte at a time, both SDKs send and
// receive it, in every way that there is.
func TestLargeMessages(t *testing.T) {
	t.Parallel()
	const limit, size = 16 << 20, 12 << 20
	o := amqp1.Options{}
	o.MaxBody = limit
	s := newSiteWith(t, o)
	s.unrestricted()
	body := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	large := message("large", "")
	large.Body = body
	sender, r := s.sender(), s.receiver(nil)
	same := func(what string, got []byte) {
		t.Helper()
		if !bytes.Equal(got, body) {
			t.Errorf("%s: %d bytes came", what, len(got))
		}
	}

	s.must(sender.SendMessage(s.ctx, large, nil))
	got := s.receive(r, 1)[0]
	same("received", got.Body)
	peeked, err := r.PeekMessages(s.ctx, 1, nil)
	s.must(err)
	same("peeked", peeked[0].Body)
	s.must(r.DeferMessage(s.ctx, got, nil))
	deferred, err := r.ReceiveDeferredMessages(s.ctx, []int64{*got.SequenceNumber}, nil)
	s.must(err)
	same("deferred", deferred[0].Body)
	s.must(r.DeadLetterMessage(s.ctx, deferred[0], nil))
	same("dead", s.take(s.deadLetters()).Body)

	_, err = sender.ScheduleMessages(s.ctx, []*azservicebus.Message{large}, time.Now().Add(time.Second), nil)
	s.must(err)
	same("scheduled", s.take(r).Body)

	producer := s.publisher()
	batch, err := producer.NewEventDataBatch(s.ctx, nil)
	s.must(err)
	s.must(batch.AddEventData(&azeventhubs.EventData{Body: body, Properties: map[string]any{"cloudEvents:to": receiver}}, nil))
	if err := batch.AddEventData(&azeventhubs.EventData{Body: body}, nil); !errors.Is(err, azeventhubs.ErrEventDataTooLarge) {
		t.Errorf("a batch of more than the limit: %v", err)
	}
	s.must(producer.SendEventDataBatch(s.ctx, batch, nil))
	same("event to an inbox", s.take(r).Body)
	c := s.consumer(adaptertest.PolicyKey())
	for _, e := range s.read(s.reader(c, s.filled(c).PartitionID, earliest()), 3) {
		same("event", e.Body)
	}

	large.Body = make([]byte, limit)
	if err := sender.SendMessage(s.ctx, large, nil); !errors.Is(err, azservicebus.ErrMessageTooLarge) {
		t.Errorf("more than the limit: %v", err)
	}
	_, err = sender.ScheduleMessages(s.ctx, []*azservicebus.Message{large, large}, time.Now().Add(time.Second), nil)
	if err == nil || s.ctx.Err() != nil {
		t.Errorf("more than the limit, scheduled: %v", err)
	}
	s.must(sender.SendMessage(s.ctx, message("small", ""), nil))
	if m := s.take(r); m.MessageID != "small" {
		t.Errorf("%s came", m.MessageID)
	}
}

// A full inbox is no sender's business: its messages are accepted, and the
// inbox does with them what it is told to.
func TestFullInbox(t *testing.T) {
	for full, want := range map[string]struct{ left, dead []string }{
		"refuse":     {[]string{"m0", "m1"}, nil},
		"dropOldest": {[]string{"m2", "m3"}, nil},
		"deadLetter": {[]string{"m0", "m1"}, []string{"m2", "m3"}},
	} {
		t.Run(full, func(t *testing.T) {
			s := newSite(t)
			s.change(&directory.EndpointSpec{Name: adaptertest.Receiver, AllowPlaintext: true, Inbox: &directory.InboxSpec{MaxMessages: new(2), OnFull: full}})
			s.send(4)
			// What is sent to another behind them has passed the same handler.
			last := message("last", "")
			last.To = new(gatehouse.EndpointPrefix + adaptertest.Sender)
			s.must(s.sender().SendMessage(s.ctx, last, nil))
			r, err := s.bus("listen", adaptertest.ListenKey(adaptertest.Sender)).NewReceiverForQueue(adaptertest.Account+"/inboxes/"+adaptertest.Sender, nil)
			s.must(err)
			s.take(r)
			// The puts into one inbox may be a moment behind those into another.
			holds := func(what string, r *azservicebus.Receiver, want []string) {
				for {
					all, err := r.PeekMessages(s.ctx, 10, &azservicebus.PeekMessagesOptions{FromSequenceNumber: new(int64(0))})
					if err != nil {
						t.Fatalf("the %s never had %v: %v", what, want, err)
					}
					ids := make([]string, len(all))
					for i, m := range all {
						ids[i] = m.MessageID
					}
					if slices.Equal(ids, want) {
						return
					}
				}
			}
			holds("inbox", s.receiver(nil), want.left)
			holds("dead letters", s.deadLetters(), want.dead)
		})
	}
}
