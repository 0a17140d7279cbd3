package amqp1

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"

	azure "github.com/Azure/go-amqp"
)

// TestMemoryIsUsedAgain sends many messages at a time, of different sizes, some
// with properties and annotations and some that are refused: what is used again
// of one never shows in another.
func TestMemoryIsUsedAgain(t *testing.T) {
	t.Parallel()
	const senders, each = 16, 40
	s := newSite(t, Options{})
	conn := s.connect()
	var wait sync.WaitGroup
	for i := range senders {
		sender := s.sender(conn, publisher)
		wait.Go(func() {
			for j := range each {
				m := numbered(i*each + j)
				if err := sender.Send(s.ctx, m, nil); err != nil {
					t.Errorf("message %v: %v", m.Properties.MessageID, err)
				}
				m = numbered(i*each + j)
				m.ApplicationProperties[eventPrefix+"type"] = adaptertest.DeniedType
				if err := sender.Send(s.ctx, m, nil); err == nil {
					t.Errorf("message %v: sent, though it may not be", m.Properties.MessageID)
				}
			}
		})
	}
	receiver := s.receiver(conn, inboxOf, second())
	seen := make(map[string]bool)
	for range senders * each {
		m := s.receive(receiver)
		s.must(receiver.AcceptMessage(s.ctx, m))
		id := m.Properties.MessageID.(string)
		var n int
		if _, err := fmt.Sscan(id, &n); err != nil || seen[id] {
			t.Fatalf("message %q came, or came again", id)
		}
		seen[id] = true
		want := numbered(n)
		if !bytes.Equal(m.GetData(), want.GetData()) {
			t.Errorf("message %s has another body", id)
		}
		if len(m.ApplicationProperties) != len(want.ApplicationProperties) || m.ApplicationProperties["n"] != want.ApplicationProperties["n"] {
			t.Errorf("message %s has properties %v", id, m.ApplicationProperties)
		}
		if m.Annotations["x-note"] != want.Annotations["x-note"] {
			t.Errorf("message %s has annotations %v", id, m.Annotations)
		}
	}
	wait.Wait()
}

// numbered returns the n-th message.
func numbered(n int) *azure.Message {
	m := azure.NewMessage(bytes.Repeat(fmt.Appendf(nil, "%d,", n), 1+n*n%700))
	to := gatehouse.EndpointPrefix + adaptertest.Receiver
	m.Properties = &azure.MessageProperties{To: &to, MessageID: fmt.Sprint(n)}
	m.ApplicationProperties = map[string]any{}
	if n%3 == 0 {
		m.ApplicationProperties["n"] = int64(n)
	}
	if n%4 == 0 {
		m.Annotations = azure.Annotations{"x-note": fmt.Sprint("note ", n)}
	}
	return m
}
