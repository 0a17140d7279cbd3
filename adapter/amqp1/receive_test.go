package amqp1

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/amqp/wire"
	"github.com/gatehouse/gatehouse/inbox"

	azure "github.com/Azure/go-amqp"
)

func TestDrain(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	conn := s.connect()
	r := s.receiver(conn, inboxOf, &azure.ReceiverOptions{Credit: -1})
	s.must(r.IssueCredit(10))
	s.must(r.DrainCredit(s.ctx, nil)) // trap 14: must be answered
	s.must(s.sender(conn, publisher).Send(s.ctx, toReceiver("x"), nil))
	s.must(r.IssueCredit(1))
	m := s.receive(r)
	s.must(r.AcceptMessage(s.ctx, m))
	s.must(r.IssueCredit(5))
	s.must(r.DrainCredit(s.ctx, nil))
	if m := r.Prefetched(); m != nil {
		t.Errorf("prefetched %s", m.GetData())
	}
}

// Locks outlive their link, and are settled by their token (trap 14b).
func TestLocksOutliveLinks(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	conn := s.connect()
	s.must(s.sender(conn, publisher).Send(s.ctx, toReceiver("x"), nil))
	r := s.receiver(conn, inboxOf, second())
	m := s.receive(r)
	s.must(r.Close(s.ctx))
	if len(m.DeliveryTag) != 16 {
		t.Fatalf("tag of %d bytes", len(m.DeliveryTag))
	}
	session := s.session(conn)
	manager, err := newRPC(s.ctx, session, inboxOf+"/$management")
	s.must(err)
	var tag inbox.LockToken
	copy(tag[:], m.DeliveryTag)
	tokens := []azure.UUID{azure.UUID(tagOf(tag))}
	answer, err := manager.call(s.ctx, map[string]any{"operation": operationRenew}, map[string]any{"lock-tokens": tokens})
	s.must(err)
	s.must(statusOf(answer))
	if until, ok := answer.Value.(map[string]any)["expirations"].([]time.Time); !ok || len(until) != 1 || until[0].Before(time.Now()) { // trap 17
		t.Errorf("renewed: %v", answer.Value)
	}
	settle := func() error {
		answer, err := manager.call(s.ctx, map[string]any{"operation": operationSettle}, map[string]any{
			"disposition-status": "completed", "lock-tokens": tokens,
		})
		s.must(err)
		return statusOf(answer)
	}
	s.must(settle())
	if err := settle(); !errors.Is(err, gatehouse.LockLost) {
		t.Errorf("settled twice: %v", err)
	}
}

func TestReceiveAndDelete(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	conn := s.connect()
	sender := s.sender(conn, publisher)
	for i := range 20 {
		s.must(sender.Send(s.ctx, toReceiver(fmt.Sprint(i)), nil))
	}
	r := s.receiver(conn, inboxOf, &azure.ReceiverOptions{Credit: 4, RequestedSenderSettleMode: azure.SenderSettleModeSettled.Ptr()})
	for i := range 20 { // nothing is settled: credit comes with what is sent settled
		m := s.receive(r)
		if string(m.GetData()) != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, m.GetData())
		}
		if _, locked := m.Annotations[annotationLocked]; locked {
			t.Error("a lock where there is none")
		}
	}
	manager, err := newRPC(s.ctx, s.session(conn), inboxOf+"/$management")
	s.must(err)
	for range 1000 {
		answer, err := manager.call(s.ctx, map[string]any{"operation": operationPeek}, map[string]any{"from-sequence-number": int64(1), "message-count": int32(1)})
		s.must(err)
		if answer.ApplicationProperties["statusCode"] == int32(204) { // trap 7: none is not an error
			return
		}
	}
	t.Error("messages that were received and deleted are still there")
}

// Consumers of a channel settle nothing (trap 3), and find annotations of the
// types they need (trap 19).
func TestConsume(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	conn := s.connect()
	sender := s.sender(conn, publisher)
	const n = 400
	var sending sync.WaitGroup
	for i := range n {
		sending.Go(func() {
			if err := sender.Send(s.ctx, toReceiver(fmt.Sprint(i)), nil); err != nil {
				t.Error(err)
			}
		})
	}
	sending.Wait()
	partition := s.world.Gate.Channels.Shard(adaptertest.Account, gatehouse.Fold(gatehouse.EndpointName(adaptertest.Sender)))
	address := fmt.Sprintf("%s/ConsumerGroups/$Default/Partitions/%d", hub, partition)
	selector := func(text string) *azure.ReceiverOptions {
		return &azure.ReceiverOptions{Credit: 50, Filters: []azure.LinkFilter{azure.NewSelectorFilter(text)}}
	}
	r := s.receiver(conn, address, selector("amqp.annotation.x-opt-offset > '-1'"))
	var last *azure.Message
	for range n {
		last = s.receive(r)
	}
	sequence, ok := last.Annotations[annotationSequence].(int64)
	offset, ok2 := last.Annotations[annotationOffset].(string)
	at, ok3 := last.Annotations[annotationEnqueued].(time.Time)
	if !ok || !ok2 || !ok3 || last.Annotations[annotationPublisher] != adaptertest.Sender || last.Annotations[annotationKey] != adaptertest.Sender {
		t.Errorf("annotations %v", last.Annotations)
	}
	for text, want := range map[string]string{
		fmt.Sprintf("amqp.annotation.x-opt-sequence-number >= '%d'", sequence):        string(last.GetData()),
		fmt.Sprintf("amqp.annotation.x-opt-offset >= '%s'", offset):                   string(last.GetData()),
		fmt.Sprintf("amqp.annotation.x-opt-offset > '%s'", offset):                    "new",
		"amqp.annotation.x-opt-offset > '@latest'":                                    "new",
		"amqp.annotation.x-opt-offset > '999999999'":                                  "new",
		fmt.Sprintf("amqp.annotation.x-opt-enqueued-time > '%d'", at.UnixMilli()+1e6): "",
	} {
		o := selector(text)
		if want == "" {
			o.Credit = -1
		}
		r := s.receiver(conn, address, o)
		if want != string(last.GetData()) {
			s.must(sender.Send(s.ctx, toReceiver("new"), nil))
		}
		if want == "" {
			s.must(r.IssueCredit(5))
			s.must(r.DrainCredit(s.ctx, nil))
			if m := r.Prefetched(); m != nil {
				t.Errorf("%s: %s", text, m.GetData())
			}
			continue
		}
		if m := s.receive(r); string(m.GetData()) != want && string(m.GetData()) != "new" {
			t.Errorf("%s: %s, not %s", text, m.GetData(), want)
		}
	}
	_, err := s.session(conn).NewReceiver(s.ctx, address, selector("colour = 'red'"))
	if err == nil || !strings.Contains(err.Error(), string(azure.ErrCondInvalidField)) {
		t.Errorf("a selector that is none: %v", err)
	}
}

func TestEpochs(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	conn := s.connect()
	address := hub + "/ConsumerGroups/g/Partitions/0"
	attach := func(epoch any) (*azure.Receiver, error) {
		o := &azure.ReceiverOptions{}
		if epoch != nil {
			o.Properties = map[string]any{propertyEpoch: epoch}
		}
		return s.session(conn).NewReceiver(s.ctx, address, o)
	}
	plain, err := attach(nil)
	s.must(err)
	low, err := attach(int64(1))
	s.must(err)
	stolen := func(r *azure.Receiver, who string) {
		t.Helper()
		if _, err := r.Receive(s.ctx, nil); err == nil || !strings.Contains(err.Error(), string(azure.ErrCondStolen)) {
			t.Errorf("%s: %v", who, err)
		}
	}
	stolen(plain, "the one without an epoch")
	high, err := attach(int64(2))
	s.must(err)
	stolen(low, "that of the lower epoch")
	for _, epoch := range []any{nil, int64(1)} {
		r, err := attach(epoch)
		s.must(err) // the SDKs do not understand a refusal: it is attached, and then detached
		stolen(r, fmt.Sprintf("epoch %v beside a higher one", epoch))
	}
	s.must(high.Close(s.ctx))
}

func TestSessionFilters(t *testing.T) {
	t.Parallel()
	described := func(v wire.Value) wire.Value { return wire.Describe(wire.Ulong(filterSessionCode), v) }
	for _, c := range []struct {
		value wire.Value
		want  wantedGroup
		reply wire.Value
	}{
		{wire.String("g"), wantedGroup{"g", false}, wire.String("g")},
		{described(wire.String("g")), wantedGroup{"g", true}, described(wire.String("g"))},
		{wire.Null(), wantedGroup{"", false}, wire.String("g")},
		{described(wire.Null()), wantedGroup{"", true}, described(wire.String("g"))},
	} { // trap 13
		got, ok := sessionFilter(wire.Map(wire.Symbol("other"), wire.Int(1), wire.Symbol(filterSession), c.value))
		if !ok || got != c.want || !got.reply("g").Get(filterSession).Equal(c.reply) {
			t.Errorf("%+v of %v", got, c.value)
		}
	}
	if _, ok := sessionFilter(wire.Map(wire.Symbol("other"), wire.Int(1))); ok {
		t.Error("another filter is none")
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	conn := s.connect()
	grouped := toReceiver("x")
	group := "g"
	grouped.Properties.GroupID = &group
	s.must(s.sender(conn, publisher).Send(s.ctx, grouped, nil))
	accept := func(group any, timeout uint32) (*azure.Receiver, error) {
		return s.session(conn).NewReceiver(s.ctx, inboxOf, &azure.ReceiverOptions{
			SettlementMode: azure.ReceiverSettleModeSecond.Ptr(), Properties: map[string]any{propertyTimeout: timeout},
			Filters: []azure.LinkFilter{azure.NewLinkFilter(filterSession, filterSessionCode, group)},
		})
	}
	r, err := accept(nil, 20000)
	s.must(err)
	if r.LinkSourceFilterValue(filterSession) != "g" {
		t.Errorf("filter %v", r.LinkSourceFilterValue(filterSession))
	}
	until, ok := r.Properties()[propertyLockedUntil].(int64)
	if !ok || until < ticks(time.Now()) {
		t.Errorf("properties %v", r.Properties())
	}
	for group, want := range map[any]azure.ErrCond{"g": conditionSessionLocked, nil: conditionTimeout} {
		_, err := accept(group, 50)
		var told *azure.Error
		if !errors.As(err, &told) || told.Condition != want {
			t.Errorf("group %v: %v", group, err)
		}
	}
	m := s.receive(r)
	s.must(r.AcceptMessage(s.ctx, m))
	s.must(r.Close(s.ctx))
	again, err := accept("g", 20000) // the group was given back
	for errors.As(err, new(*azure.LinkError)) {
		again, err = accept("g", 20000)
	}
	s.must(err)
	s.must(again.Close(s.ctx))
}

func TestTagsAreGUIDs(t *testing.T) {
	t.Parallel()
	lock := inbox.LockToken{0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	want := [16]byte{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	if tag := tagOf(lock); tag != want {
		t.Errorf("%x", tag)
	}
}
