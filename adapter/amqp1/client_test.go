package amqp1

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/sas"

	azure "github.com/Azure/go-amqp"
)

// A client is a client of the adapter over go-amqp. It proves itself by tokens,
// as the SDKs do, or by SASL PLAIN.
type client struct {
	adaptertest.Login
	tls   *tls.Config
	plain bool

	mu       sync.Mutex
	conns    []*azure.Conn
	sender   *azure.Sender
	receiver *azure.Receiver
	manager  *rpc
}

// dialer returns the Dial of a harness.
func dialer(config *tls.Config, plain bool) func(adaptertest.Login) adaptertest.Client {
	return func(l adaptertest.Login) adaptertest.Client { return &client{Login: l, tls: config, plain: plain} }
}

// dial connects.
func (c *client) dial(ctx context.Context, key string) (*azure.Conn, error) {
	o := &azure.ConnOptions{SASLType: azure.SASLTypeAnonymous()}
	if c.plain {
		o.SASLType = azure.SASLTypePlain(string(c.Account)+"/"+string(c.Endpoint), key)
	}
	url := "amqp://" + c.Address
	if c.tls != nil {
		url, o.TLSConfig = "amqps://"+c.Address, c.tls
	}
	conn, err := azure.Dial(ctx, url, o)
	if err != nil {
		return nil, kindOf(err)
	}
	c.conns = append(c.conns, conn)
	return conn, nil
}

// session connects and proves itself for an address.
func (c *client) session(ctx context.Context, address, policy, key string) (*azure.Session, error) {
	conn, err := c.dial(ctx, key)
	if err != nil {
		return nil, err
	}
	if !c.plain {
		audience := "amqp://" + c.Address + "/" + address
		if err := putToken(ctx, conn, audience, sas.Sign(audience, policy, key, time.Now().Add(time.Hour))); err != nil {
			return nil, err
		}
	}
	return conn.NewSession(ctx, nil)
}

// An rpc is the two links of a node that answers requests.
type rpc struct {
	sender   *azure.Sender
	receiver *azure.Receiver
	reply    string
	n        int
}

func newRPC(ctx context.Context, s *azure.Session, node string) (*rpc, error) {
	r := &rpc{reply: "reply-" + node}
	var err error
	if r.sender, err = s.NewSender(ctx, node, nil); err != nil {
		return nil, err
	}
	r.receiver, err = s.NewReceiver(ctx, node, &azure.ReceiverOptions{
		TargetAddress: r.reply, Credit: 10, RequestedSenderSettleMode: azure.SenderSettleModeSettled.Ptr(),
	})
	return r, err
}

// call makes a request and returns the answer.
func (r *rpc) call(ctx context.Context, properties map[string]any, body any) (*azure.Message, error) {
	r.n++
	id := fmt.Sprint("request-", r.n)
	err := r.sender.Send(ctx, &azure.Message{
		Properties: &azure.MessageProperties{MessageID: id, ReplyTo: &r.reply}, ApplicationProperties: properties, Value: body,
	}, nil)
	if err != nil {
		return nil, kindOf(err)
	}
	m, err := r.receiver.Receive(ctx, nil)
	if err != nil {
		return nil, kindOf(err)
	}
	if m.Properties.CorrelationID != id {
		return nil, fmt.Errorf("answer to %v, not %v", m.Properties.CorrelationID, id)
	}
	return m, nil
}

// statusOf returns the error in an answer, whose status must be an int under
// both names (traps 6, 7).
func statusOf(m *azure.Message) error {
	code, ok := m.ApplicationProperties["status-code"].(int32)
	if !ok || m.ApplicationProperties["statusCode"] != code {
		return fmt.Errorf("status is %v", m.ApplicationProperties)
	}
	if code/100 == 2 {
		return nil
	}
	text := fmt.Sprint(m.ApplicationProperties["status-description"])
	condition := fmt.Sprint(m.ApplicationProperties["error-condition"])
	switch {
	case condition == conditionRevoked:
		return gatehouse.Errorf(gatehouse.Revoked, "%s", text)
	case strings.HasPrefix(text, "ExpiredToken"):
		return gatehouse.Errorf(gatehouse.Expired, "%s", text)
	case condition == conditionAuth:
		return gatehouse.Errorf(gatehouse.Unauthenticated, "%s", text)
	case code == 410:
		return gatehouse.Errorf(gatehouse.LockLost, "%s", text)
	}
	return fmt.Errorf("status %d, %s: %s", code, condition, text)
}

func putToken(ctx context.Context, conn *azure.Conn, audience, token string) error {
	s, err := conn.NewSession(ctx, nil)
	if err != nil {
		return err
	}
	defer s.Close(ctx) //nolint:errcheck // the claim counts
	r, err := newRPC(ctx, s, "$cbs")
	if err != nil {
		return kindOf(err)
	}
	m, err := r.call(ctx, map[string]any{"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": audience}, token)
	if err != nil {
		return err
	}
	return statusOf(m)
}

// kindOf returns an error of the kind that the gateway has told, or err.
func kindOf(err error) error {
	var told *azure.Error
	var link *azure.LinkError
	var conn *azure.ConnError
	switch {
	case errors.As(err, &link) && link.RemoteErr != nil:
		told = link.RemoteErr
	case errors.As(err, &conn) && conn.RemoteErr != nil:
		told = conn.RemoteErr
	case !errors.As(err, &told):
		if err != nil && strings.Contains(err.Error(), "SASL PLAIN auth failed") {
			return gatehouse.Errorf(gatehouse.Unauthenticated, "%v", err)
		}
		return err
	}
	name, _ := told.Info[infoKind].(string)
	for _, k := range gatehouse.Kinds() {
		if k.String() == name {
			return gatehouse.Errorf(k, "%s: %s", told.Condition, told.Description)
		}
	}
	return err
}

// Send implements adaptertest.Client.
func (c *client) Send(ctx context.Context, m *gatehouse.Message) error {
	c.mu.Lock()
	if c.sender == nil {
		address := string(c.Account) + "/publishers/" + string(c.Endpoint)
		s, err := c.session(ctx, address, "send", c.SendKey)
		if err == nil {
			c.sender, err = s.NewSender(ctx, address, nil)
		}
		if err != nil {
			c.mu.Unlock()
			return kindOf(err)
		}
	}
	sender := c.sender
	c.mu.Unlock()
	return kindOf(sender.Send(ctx, toAzure(m), nil))
}

func (c *client) inbox() string {
	address := string(c.Account) + "/inboxes/" + string(c.Endpoint)
	if c.Dead {
		address += "/$DeadLetterQueue"
	}
	return address
}

// Receive implements adaptertest.Client.
func (c *client) Receive(ctx context.Context) (*adaptertest.Received, error) {
	c.mu.Lock()
	if c.receiver == nil {
		s, err := c.session(ctx, c.inbox(), "listen", c.ListenKey)
		if err == nil {
			c.receiver, err = s.NewReceiver(ctx, c.inbox(), &azure.ReceiverOptions{SettlementMode: azure.ReceiverSettleModeSecond.Ptr()})
		}
		if err == nil {
			c.manager, err = newRPC(ctx, s, c.inbox()+"/$management")
		}
		if err != nil {
			c.mu.Unlock()
			return nil, kindOf(err)
		}
	}
	receiver := c.receiver
	c.mu.Unlock()
	m, err := receiver.Receive(ctx, nil)
	if err != nil {
		if ctx.Err() != nil {
			return nil, nil
		}
		return nil, kindOf(err)
	}
	return &adaptertest.Received{Message: fromAzure(m), Count: m.Header.DeliveryCount + 1, Handle: &held{message: m}}, nil
}

// A held message is one that was received.
type held struct {
	message *azure.Message
	settled bool
}

// settle settles a message on its link, or again by its lock.
func (c *client) settle(ctx context.Context, r *adaptertest.Received, status string, f func(*azure.Message) error) error {
	h := r.Handle.(*held)
	if !h.settled {
		err := kindOf(f(h.message))
		h.settled = err == nil
		return err
	}
	var lock inbox.LockToken
	copy(lock[:], h.message.DeliveryTag)
	m, err := c.manager.call(ctx, map[string]any{"operation": operationSettle}, map[string]any{
		"disposition-status": status, "lock-tokens": []azure.UUID{azure.UUID(tagOf(lock))},
	})
	if err != nil {
		return err
	}
	return statusOf(m)
}

// Complete implements adaptertest.Client.
func (c *client) Complete(ctx context.Context, r *adaptertest.Received) error {
	return c.settle(ctx, r, "completed", func(m *azure.Message) error { return c.receiver.AcceptMessage(ctx, m) })
}

// Abandon implements adaptertest.Client.
func (c *client) Abandon(ctx context.Context, r *adaptertest.Received) error {
	return c.settle(ctx, r, "abandoned", func(m *azure.Message) error {
		return c.receiver.ModifyMessage(ctx, m, &azure.ModifyMessageOptions{})
	})
}

// DeadLetter implements adaptertest.Client.
func (c *client) DeadLetter(ctx context.Context, r *adaptertest.Received, reason, description string) error {
	return c.settle(ctx, r, "suspended", func(m *azure.Message) error {
		return c.receiver.RejectMessage(ctx, m, &azure.Error{Condition: conditionDeadLetter, Info: map[string]any{
			propertyReason: reason, propertyDescription: description,
		}})
	})
}

// Close implements adaptertest.Client.
func (c *client) Close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}
