package azuretest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
)

// schedule schedules messages with these ids and returns their numbers.
func (s *site) schedule(sender *azservicebus.Sender, at time.Time, ids ...string) []int64 {
	s.t.Helper()
	all := make([]*azservicebus.Message, len(ids))
	for i, id := range ids {
		all[i] = message(id, "")
	}
	numbers, err := sender.ScheduleMessages(s.ctx, all, at, nil)
	s.must(err)
	if len(numbers) != len(ids) || numbers[0] <= 0 || len(slices.Compact(slices.Sorted(slices.Values(numbers)))) != len(ids) {
		s.t.Fatalf("sequence numbers %v", numbers)
	}
	return numbers
}

// Scheduled messages come when it is time, in whatever way the time was given.
func TestSchedule(t *testing.T) {
	s := newSite(t)
	sender, r := s.sender(), s.receiver(nil)
	at := time.Now().Add(5 * time.Second)
	m := message("by annotation", "")
	m.ScheduledEnqueueTime = &at
	s.must(sender.SendMessage(s.ctx, m, nil))
	numbers := s.schedule(sender, at, "by operation", "second")
	s.must(sender.SendMessage(s.ctx, message("now", ""), nil))
	if m := s.take(r); m.MessageID != "now" {
		t.Errorf("%s came first", m.MessageID)
	}
	seen := map[string]bool{}
	for range 3 {
		m := s.take(r)
		seen[m.MessageID] = true
		if m.ScheduledEnqueueTime == nil || !m.ScheduledEnqueueTime.Equal(at.Truncate(time.Millisecond)) || time.Now().Before(at.Truncate(time.Millisecond)) {
			t.Errorf("%s is for %v and came at %v", m.MessageID, m.ScheduledEnqueueTime, time.Now())
		}
	}
	if len(seen) != 3 {
		t.Errorf("%v", seen)
	}
	// What has come cannot be cancelled. That is said at once.
	s.busFails("cancel", sender.CancelScheduledMessages(s.ctx, numbers, nil), azservicebus.CodeNotFound)
	denied := message("denied", "")
	denied.ApplicationProperties = map[string]any{"cloudEvents:type": adaptertest.DeniedType}
	_, err := sender.ScheduleMessages(s.ctx, []*azservicebus.Message{denied}, at, nil)
	s.busFails("schedule without a route", err, azservicebus.CodeUnauthorizedAccess)
}

// What its sender cancels does not come; nobody else can cancel it.
func TestCancelScheduled(t *testing.T) {
	s := newSite(t)
	sender, r := s.sender(), s.receiver(nil)
	far := s.schedule(sender, time.Now().Add(time.Hour), "far0", "far1")
	other, err := s.bus("send", adaptertest.SendKey(adaptertest.Receiver)).NewSender(adaptertest.Account+"/publishers/"+adaptertest.Receiver, nil)
	s.must(err)
	trusted, err := s.bus(adaptertest.Policy, adaptertest.PolicyKey()).NewSender(hub, nil)
	s.must(err)
	s.busFails("by another endpoint", other.CancelScheduledMessages(s.ctx, far[:1], nil), azservicebus.CodeNotFound)
	s.busFails("by trusted code", trusted.CancelScheduledMessages(s.ctx, far[:1], nil), azservicebus.CodeNotFound)
	s.must(sender.CancelScheduledMessages(s.ctx, far[1:], nil))
	s.busFails("again", sender.CancelScheduledMessages(s.ctx, far[1:], nil), azservicebus.CodeNotFound)
	s.busFails("one of them again", sender.CancelScheduledMessages(s.ctx, far, nil), azservicebus.CodeNotFound)
	s.must(sender.CancelScheduledMessages(s.ctx, far[:1], nil)) // that has not cancelled the other
	s.busFails("no number", sender.CancelScheduledMessages(s.ctx, []int64{-1}, nil), azservicebus.CodeNotFound)
	s.busFails("nothing", sender.CancelScheduledMessages(s.ctx, nil, nil), azservicebus.CodeNotFound)
	// Trusted code schedules as well, and cancels what is its own.
	mine := s.schedule(trusted, time.Now().Add(time.Hour), "t0")
	s.busFails("of trusted code", sender.CancelScheduledMessages(s.ctx, mine, nil), azservicebus.CodeNotFound)
	s.must(trusted.CancelScheduledMessages(s.ctx, mine, nil))

	// Of four that are due soon, those that were cancelled do not come. Should
	// they be due before they are cancelled, it is tried again with more time.
	for delay := time.Second; ; delay *= 2 {
		numbers := s.schedule(sender, time.Now().Add(delay), "m0", "m1", "m2", "m3")
		cancelled := sender.CancelScheduledMessages(s.ctx, numbers[1:3], nil) == nil
		want := []string{"m0", "m3"}
		if !cancelled {
			want = []string{"m0", "m1", "m2", "m3"}
		}
		var ids []string
		for _, m := range s.receive(r, len(want)) {
			ids = append(ids, m.MessageID)
			s.must(r.CompleteMessage(s.ctx, m, nil))
		}
		if slices.Sort(ids); !slices.Equal(ids, want) {
			t.Errorf("%q came, not %q", ids, want)
		}
		if cancelled {
			break
		}
	}
	s.empty(r)
}

// A sender that asks $management sees what it has scheduled.
func TestPeekScheduled(t *testing.T) {
	s := newSite(t)
	numbers := s.schedule(s.sender(), time.Now().Add(time.Hour), "m0", "m1", "m2")
	peek := func(from int64) *amqp.Message {
		t.Helper()
		return s.ask(publisher, "send", adaptertest.SendKey(adaptertest.Sender), "com.microsoft:peek-message", map[string]any{"from-sequence-number": from, "message-count": int32(2)})
	}
	answer := peek(numbers[1])
	list, _ := answer.Value.(map[string]any)["messages"].([]any)
	if len(list) != 2 {
		t.Fatalf("%v", answer.Value)
	}
	var m amqp.Message
	s.must(m.UnmarshalBinary(list[0].(map[string]any)["message"].([]byte)))
	if m.Properties.MessageID != "m1" || m.Annotations["x-opt-sequence-number"] != numbers[1] || m.Annotations["x-opt-message-state"] != int32(2) || m.Annotations["x-opt-scheduled-enqueue-time"] == nil {
		t.Errorf("%+v, %v", m.Properties, m.Annotations)
	}
	if code := peek(numbers[2] + 1).ApplicationProperties["statusCode"]; code != int32(204) {
		t.Errorf("status %v", code)
	}
}

// ask makes a request to the $management of an entity, by SASL PLAIN.
func (s *site) ask(entity, policy, key, operation string, body map[string]any) *amqp.Message {
	s.t.Helper()
	conn, err := amqp.Dial(s.ctx, "amqp://"+s.address, &amqp.ConnOptions{SASLType: amqp.SASLTypePlain(policy, key)})
	s.must(err)
	defer conn.Close() //nolint:errcheck // the answer has come
	session, err := conn.NewSession(s.ctx, nil)
	s.must(err)
	node, reply := entity+"/$management", "reply"
	sender, err := session.NewSender(s.ctx, node, nil)
	s.must(err)
	answers, err := session.NewReceiver(s.ctx, node, &amqp.ReceiverOptions{TargetAddress: reply})
	s.must(err)
	s.must(sender.Send(s.ctx, &amqp.Message{
		Properties: &amqp.MessageProperties{MessageID: "1", ReplyTo: &reply}, ApplicationProperties: map[string]any{"operation": operation}, Value: body,
	}, nil))
	answer, err := answers.Receive(s.ctx, nil)
	s.must(err)
	return answer
}

// What $management refuses and no retry can cure, is not tried again. Either
// right is enough to be heard there (trap 8).
func TestRefusedByManagement(t *testing.T) {
	s := newSite(t)
	sender := s.sender()
	at := time.Now().Add(time.Hour)
	wrong, large := message("wrong", ""), message("large", "")
	wrong.ApplicationProperties = map[string]any{"cloudEvents:to": "nowhere"}
	large.Body = make([]byte, adaptertest.MaxSize+1)
	schedule := func(m *azservicebus.Message, at time.Time) error {
		_, err := sender.ScheduleMessages(s.ctx, []*azservicebus.Message{m}, at, nil)
		return err
	}
	s.busFails("an address that is none", schedule(wrong, at), azservicebus.CodeNotFound)
	s.busFails("too far ahead", schedule(message("late", ""), at.AddDate(20, 0, 0)), azservicebus.CodeNotFound)
	s.busFails("too large for a restriction", schedule(large, at), azservicebus.CodeNotFound)
	s.busFails("too many numbers", sender.CancelScheduledMessages(s.ctx, make([]int64, 2000), nil), azservicebus.CodeNotFound)
	r := s.receiver(nil)
	_, err := r.ReceiveDeferredMessages(s.ctx, []int64{4711}, nil)
	s.busFails("a number that is nobody's", err, azservicebus.CodeNotFound)
	_, err = s.consumer(adaptertest.PolicyKey()).GetPartitionProperties(s.ctx, "17", nil)
	failsWith(s, "a partition that is not", err, func(err error) bool { return strings.Contains(err.Error(), "404") })
	for _, c := range []struct{ entity, policy, key, operation string }{
		{publisher, "send", adaptertest.SendKey(adaptertest.Sender), "com.microsoft:renew-lock"},
		{publisher, "send", adaptertest.SendKey(adaptertest.Sender), "com.microsoft:batch-delete-messages"},
		{inboxOf, "listen", adaptertest.ListenKey(adaptertest.Receiver), "com.microsoft:schedule-message"},
		{inboxOf, "listen", adaptertest.ListenKey(adaptertest.Receiver), "com.microsoft:add-rule"},
		{inboxOf, "listen", adaptertest.ListenKey(adaptertest.Receiver), "com.microsoft:update-disposition"},
		{inboxOf, "listen", adaptertest.ListenKey(adaptertest.Receiver), "com.microsoft:renew-session-lock"},
	} {
		final := []any{int32(401), int32(404), int32(410)}
		if code := s.ask(c.entity, c.policy, c.key, c.operation, map[string]any{}).ApplicationProperties["status-code"]; !slices.Contains(final, code) {
			t.Errorf("%s of %s: status %v", c.operation, c.entity, code)
		}
	}
}
