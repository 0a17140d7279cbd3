package amqp1

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"

	azure "github.com/Azure/go-amqp"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	conn := s.connect()
	for _, address := range []string{
		publisher, "/" + publisher, "amqps://any.host:5671/" + publisher /* trap 24 */, strings.ToUpper(publisher), publisher + "/Partitions/3", hub,
	} {
		sender := s.sender(conn, address)
		s.must(sender.Send(s.ctx, toReceiver("x"), nil))
		if n := sender.MaxMessageSize(); n != 1<<20 { // trap 4
			t.Errorf("%s: at most %d bytes", address, n)
		}
	}
	for address, want := range map[string]azure.ErrCond{
		inboxOf:                                     azure.ErrCondNotAllowed,
		adaptertest.Account:                         azure.ErrCondNotAllowed,
		adaptertest.Account + "/Partitions/0":       azure.ErrCondNotAllowed,
		hub + "/Partitions/0":                       azure.ErrCondNotAllowed,
		hub + "/ConsumerGroups/g/Partitions/0":      azure.ErrCondNotAllowed,
		adaptertest.Account + "/publishers/another": azure.ErrCondUnauthorizedAccess,
		"another/publishers/pump-7":                 azure.ErrCondUnauthorizedAccess,
		adaptertest.Account + "/queues/q":           azure.ErrCondNotFound,
		"ä":                                         azure.ErrCondNotFound,
	} {
		_, err := s.session(conn).NewSender(s.ctx, address, nil) // trap 11: the reason must arrive
		var told *azure.Error
		if !errors.As(err, &told) || told.Condition != want {
			t.Errorf("sending to %s: %v", address, err)
		}
	}
	for address, want := range map[string]azure.ErrCond{
		publisher:                               azure.ErrCondNotAllowed,
		hub:                                     azure.ErrCondNotAllowed,
		hub + "/ConsumerGroups/g/Partitions/99": conditionRange,
		adaptertest.Account + "/inboxes/pump-7": azure.ErrCondUnauthorizedAccess,
	} {
		_, err := s.session(conn).NewReceiver(s.ctx, address, nil)
		var told *azure.Error
		if !errors.As(err, &told) || told.Condition != want {
			t.Errorf("receiving from %s: %v", address, err)
		}
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	conn := s.connect()
	sender := s.sender(conn, publisher)
	batch := func(types ...string) *azure.Message {
		m := &azure.Message{Format: formatBatch}
		for i, typ := range types {
			one := toReceiver(fmt.Sprint("b", i))
			one.ApplicationProperties = map[string]any{"cloudEvents:type": typ, "small": int8(i)}
			raw, err := one.MarshalBinary()
			s.must(err)
			m.Data = append(m.Data, raw)
		}
		m.Annotations = azure.Annotations{annotationKey: "k"}
		return m
	}
	if err := kindOf(sender.Send(s.ctx, batch("good", adaptertest.DeniedType), nil)); !errors.Is(err, gatehouse.Forbidden) {
		t.Errorf("with a message that may not pass: %v", err)
	}
	if err := kindOf(sender.Send(s.ctx, &azure.Message{Format: formatBatch, Value: "x"}, nil)); !errors.Is(err, gatehouse.Invalid) {
		t.Errorf("without data: %v", err)
	}
	s.must(sender.Send(s.ctx, batch("good", "good"), nil))
	r := s.receiver(conn, inboxOf, &azure.ReceiverOptions{Credit: 10})
	for i := range 2 {
		m := s.receive(r)
		if string(m.GetData()) != fmt.Sprint("b", i) || m.ApplicationProperties["small"] != int8(i) || m.Annotations[annotationKey] != "k" {
			t.Errorf("message %d is %s with %v and %v", i, m.GetData(), m.ApplicationProperties, m.Annotations)
		}
		s.must(r.AcceptMessage(s.ctx, m))
	}
}

// A sender that waits for no outcome loses its link if a message is refused.
func TestSettledOnSend(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	conn := s.connect()
	sender, err := s.session(conn).NewSender(s.ctx, publisher, &azure.SenderOptions{SettlementMode: azure.SenderSettleModeSettled.Ptr()})
	s.must(err)
	s.must(sender.Send(s.ctx, toReceiver("x"), nil))
	r := s.receiver(conn, inboxOf, nil)
	if m := s.receive(r); string(m.GetData()) != "x" {
		t.Errorf("received %s", m.GetData())
	}
	denied := toReceiver("y")
	denied.ApplicationProperties = map[string]any{"cloudEvents:type": adaptertest.DeniedType}
	for err == nil {
		err = sender.Send(s.ctx, denied, nil)
	}
	if !errors.Is(kindOf(err), gatehouse.Forbidden) {
		t.Errorf("%v", err)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	for _, k := range gatehouse.Kinds() {
		if a := answers[k]; a.link == "" || a.attach == "" || a.status == 0 || a.reply == "" {
			t.Errorf("%v has no answer", k)
		}
	}
	if len(answers) != len(gatehouse.Kinds()) {
		t.Errorf("%d answers to %d kinds", len(answers), len(gatehouse.Kinds()))
	}
}
