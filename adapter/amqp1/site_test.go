package amqp1

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/auth/secret"
	"github.com/gatehouse/gatehouse/sas"

	azure "github.com/Azure/go-amqp"
)

// A site is an adapter at work in a world of its own.
type site struct {
	t       testing.TB
	world   *adaptertest.World
	address string
	ctx     context.Context
}

func newSite(t testing.TB, o Options) *site {
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
