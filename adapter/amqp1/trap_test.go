package amqp1

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/amqp/wire"
	"github.com/gatehouse/gatehouse/auth/secret"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/sas"

	azure "github.com/Azure/go-amqp"
)

// A site is an adapter at work in a world of its own.
type site struct {
	t       *testing.T
	world   *adaptertest.World
	address string
	ctx     context.Context
}

func newSite(t *testing.T, o Options) *site {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, world: adaptertest.NewWorld(t, newEngine, secret.New), address: ln.Addr().String()}
	serving, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- New(o).Serve(serving, ln, s.world.Gate) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	var cancel context.CancelFunc
	s.ctx, cancel = context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return s
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// dial connects, by default without SASL, as one of the SDKs does.
func (s *site) dial(o *azure.ConnOptions) *azure.Conn {
	s.t.Helper()
	conn, err := azure.Dial(s.ctx, "amqp://"+s.address, o)
	s.must(err)
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (s *site) session(conn *azure.Conn) *azure.Session {
	s.t.Helper()
	session, err := conn.NewSession(s.ctx, nil)
	s.must(err)
	return session
}

// token makes a token for an address, and the audience it is for.
func (s *site) token(address, policy, key string, until time.Duration) (audience, token string) {
	audience = "sb://" + s.address + "/" + address
	return audience, sas.Sign(audience, policy, key, time.Now().Add(until))
}

const (
	publisher = adaptertest.Account + "/publishers/" + adaptertest.Sender
	inboxOf   = adaptertest.Account + "/inboxes/" + adaptertest.Receiver
	hub       = adaptertest.Account + "/channels/" + adaptertest.Channel
)

// connect connects and proves itself for the publisher, the inbox and the hub.
func (s *site) connect() *azure.Conn {
	s.t.Helper()
	conn := s.dial(nil)
	for _, p := range [][3]string{
		{publisher, "send", adaptertest.SendKey(adaptertest.Sender)},
		{inboxOf, "listen", adaptertest.ListenKey(adaptertest.Receiver)},
		{hub, adaptertest.Policy, adaptertest.PolicyKey()},
	} {
		audience, token := s.token(p[0], p[1], p[2], time.Hour)
		s.must(putToken(s.ctx, conn, audience, token))
	}
	return conn
}

func (s *site) sender(conn *azure.Conn, address string) *azure.Sender {
	s.t.Helper()
	sender, err := s.session(conn).NewSender(s.ctx, address, nil)
	s.must(err)
	return sender
}

func (s *site) receiver(conn *azure.Conn, address string, o *azure.ReceiverOptions) *azure.Receiver {
	s.t.Helper()
	receiver, err := s.session(conn).NewReceiver(s.ctx, address, o)
	s.must(err)
	return receiver
}

func (s *site) receive(r *azure.Receiver) *azure.Message {
	s.t.Helper()
	m, err := r.Receive(s.ctx, nil)
	s.must(err)
	return m
}

// toReceiver returns a message for the receiver.
func toReceiver(body string) *azure.Message {
	m := azure.NewMessage([]byte(body))
	to := gatehouse.EndpointPrefix + adaptertest.Receiver
	m.Properties = &azure.MessageProperties{To: &to, MessageID: body}
	return m
}

func second() *azure.ReceiverOptions {
	return &azure.ReceiverOptions{SettlementMode: azure.ReceiverSettleModeSecond.Ptr()}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	conn := s.connect()
	for _, address := range []string{
		publisher, "/" + publisher, "amqps://any.host:5671/" + publisher, strings.ToUpper(publisher), publisher + "/Partitions/3", hub,
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
		if _, err := attach(epoch); err == nil || !strings.Contains(err.Error(), string(azure.ErrCondStolen)) {
			t.Errorf("epoch %v beside a higher one: %v", epoch, err)
		}
	}
	s.must(high.Close(s.ctx))
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

func TestTagsAreGUIDs(t *testing.T) {
	t.Parallel()
	lock := inbox.LockToken{0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	want := [16]byte{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	if tag := tagOf(lock); tag != want {
		t.Errorf("%x", tag)
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
