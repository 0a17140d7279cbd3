package mqttadapter

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/cloudevents"
	"github.com/gatehouse/gatehouse/mqtt"

	"github.com/eclipse/paho.golang/packets"
)

// A peer is a client of MQTT 5 that does what a test says, packet by packet. It
// has the packets of Eclipse Paho and none of its manners.
type peer struct {
	nc      net.Conn
	in      chan *packets.ControlPacket // closed at the end of the connection
	aside   []*packets.Publish          // deliveries that came while something else was waited for
	pending sync.WaitGroup
	id      uint16
	err     error // why the connection has ended
}

// errEnded says that the gateway closed the connection without a word.
var errEnded = errors.New("the connection has ended")

func dialPeer(address string, secure *tls.Config) (*peer, error) {
	nc, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	if secure != nil {
		nc = tls.Client(nc, secure)
	}
	return newPeer(nc), nil
}

func newPeer(nc net.Conn) *peer {
	p := &peer{nc: nc, in: make(chan *packets.ControlPacket, 4096)}
	p.pending.Go(func() {
		defer close(p.in)
		for {
			one, err := packets.ReadPacket(nc)
			if err != nil {
				return
			}
			p.in <- one
		}
	})
	return p
}

func (p *peer) close() {
	_ = p.nc.Close()
	p.pending.Wait()
}

func (p *peer) send(content packets.Packet) error {
	one := packets.NewControlPacket(typeOf(content))
	one.Content = content
	if one.Type == packets.AUTH {
		one.Flags = 0 // Paho's constructor is wrong about it; its client does not use it
	}
	if pub, ok := content.(*packets.Publish); ok {
		one.Flags = pub.QoS << 1
		if pub.Duplicate {
			one.Flags |= 8
		}
		if pub.Retain {
			one.Flags |= 1
		}
	}
	_, err := one.WriteTo(p.nc)
	return err
}

func typeOf(content packets.Packet) byte {
	switch content.(type) {
	case *packets.Connect:
		return packets.CONNECT
	case *packets.Publish:
		return packets.PUBLISH
	case *packets.Puback:
		return packets.PUBACK
	case *packets.Pubrec:
		return packets.PUBREC
	case *packets.Pubrel:
		return packets.PUBREL
	case *packets.Pubcomp:
		return packets.PUBCOMP
	case *packets.Subscribe:
		return packets.SUBSCRIBE
	case *packets.Unsubscribe:
		return packets.UNSUBSCRIBE
	case *packets.Pingreq:
		return packets.PINGREQ
	case *packets.Auth:
		return packets.AUTH
	}
	return packets.DISCONNECT
}

// next returns the next packet.
func (p *peer) next(ctx context.Context) (packets.Packet, error) {
	select {
	case one, ok := <-p.in:
		if !ok {
			if p.err == nil {
				p.err = errEnded
			}
			return nil, p.err
		}
		if d, ok := one.Content.(*packets.Disconnect); ok {
			p.err = told(d.ReasonCode, d.Properties)
			return nil, p.err
		}
		return one.Content, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// await returns the next packet of type T, and sets deliveries aside.
func await[T packets.Packet](ctx context.Context, p *peer) (T, error) {
	var none T
	for {
		one, err := p.next(ctx)
		if err != nil {
			return none, err
		}
		if t, ok := one.(T); ok {
			return t, nil
		}
		if d, ok := one.(*packets.Publish); ok {
			p.aside = append(p.aside, d)
		}
	}
}

// delivery returns the next delivery.
func (p *peer) delivery(ctx context.Context) (*packets.Publish, error) {
	if len(p.aside) > 0 {
		d := p.aside[0]
		p.aside = p.aside[1:]
		return d, nil
	}
	return await[*packets.Publish](ctx, p)
}

func (p *peer) nextID() uint16 {
	p.id++
	return p.id
}

func (p *peer) connect(ctx context.Context, c *packets.Connect) (*packets.Connack, error) {
	c.ProtocolName, c.ProtocolVersion = "MQTT", 5
	if c.Properties == nil {
		c.Properties = &packets.Properties{}
	}
	if err := p.send(c); err != nil {
		return nil, err
	}
	ack, err := await[*packets.Connack](ctx, p)
	if err == nil && ack.ReasonCode != 0 {
		err = told(ack.ReasonCode, ack.Properties)
	}
	return ack, err
}

func (p *peer) subscribe(ctx context.Context, qos byte, filters ...string) ([]byte, error) {
	s := &packets.Subscribe{PacketID: p.nextID(), Properties: &packets.Properties{}}
	for _, f := range filters {
		s.Subscriptions = append(s.Subscriptions, packets.SubOptions{Topic: f, QoS: qos})
	}
	if err := p.send(s); err != nil {
		return nil, err
	}
	ack, err := await[*packets.Suback](ctx, p)
	if err != nil {
		return nil, err
	}
	return ack.Reasons, nil
}

func (p *peer) ping(ctx context.Context) error {
	if err := p.send(&packets.Pingreq{}); err != nil {
		return err
	}
	_, err := await[*packets.Pingresp](ctx, p)
	return err
}

// A toldError is what the gateway said.
type toldError struct {
	code byte
	kind gatehouse.Kind
	text string
}

func (e *toldError) Error() string { return fmt.Sprintf("0x%02x %v: %s", e.code, e.kind, e.text) }

func (e *toldError) Is(target error) bool {
	k, ok := target.(gatehouse.Kind)
	return ok && k == e.kind
}

func told(code byte, p *packets.Properties) error {
	e := &toldError{code: code, text: p.ReasonString}
	for _, u := range p.User {
		for _, k := range gatehouse.Kinds() {
			if u.Key == propertyKind && u.Value == k.String() {
				e.kind = k
			}
		}
	}
	return e
}

// codeOf returns the reason code of an error that was told.
func codeOf(err error) mqtt.Code {
	if e, ok := errors.AsType[*toldError](err); ok {
		return mqtt.Code(e.code)
	}
	return 0
}

// login returns the CONNECT of an endpoint with the keys of a login.
func connectOf(l adaptertest.Login) *packets.Connect {
	c := &packets.Connect{CleanStart: true, KeepAlive: 60, ClientID: fmt.Sprintf("%s-%p", l.Endpoint, new(int))}
	c.UsernameFlag, c.PasswordFlag = true, true
	c.Username, c.Password = string(l.Account)+"/"+string(l.Endpoint), []byte(l.SendKey+","+l.ListenKey)
	return c
}

// A suiteClient is the client of the suite. It connects when it is needed.
type suiteClient struct {
	login      adaptertest.Login
	secure     *tls.Config
	dial       func(address string) (net.Conn, error) // nil: TCP or TLS
	peer       *peer
	subscribed bool
}

func (c *suiteClient) ready(ctx context.Context) error {
	if c.peer != nil {
		return c.peer.err
	}
	var err error
	if c.dial != nil {
		nc, failed := c.dial(c.login.Address)
		if failed != nil {
			return failed
		}
		c.peer = newPeer(nc)
	} else if c.peer, err = dialPeer(c.login.Address, c.secure); err != nil {
		return err
	}
	if _, err = c.peer.connect(ctx, connectOf(c.login)); err != nil {
		c.peer.err = err
	}
	return err
}

// Send implements adaptertest.Client: a CloudEvent in binary mode.
func (c *suiteClient) Send(ctx context.Context, m *gatehouse.Message) error {
	if err := c.ready(ctx); err != nil {
		return err
	}
	topic := m.Subject
	if topic == "" {
		topic = "readings"
	}
	p := &packets.Publish{Topic: topic, QoS: 1, PacketID: c.peer.nextID(), Payload: m.Body, Properties: &packets.Properties{ContentType: m.ContentType}}
	for name, value := range cloudevents.Context(m) {
		p.Properties.User = append(p.Properties.User, packets.User{Key: name, Value: value})
	}
	for name, value := range cloudevents.Extensions(m) {
		p.Properties.User = append(p.Properties.User, packets.User{Key: name, Value: value})
	}
	if err := c.peer.send(p); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	ack, err := await[*packets.Puback](ctx, c.peer)
	if err != nil {
		return err
	}
	if ack.PacketID != p.PacketID {
		return fmt.Errorf("PUBACK for %d instead of %d", ack.PacketID, p.PacketID)
	}
	if ack.ReasonCode >= byte(mqtt.UnspecifiedError) {
		return told(ack.ReasonCode, ack.Properties)
	}
	return nil
}

// Receive implements adaptertest.Client.
func (c *suiteClient) Receive(ctx context.Context) (*adaptertest.Received, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	if !c.subscribed {
		filter := topicInbox
		if c.login.Dead {
			filter = topicDead
		}
		codes, err := c.peer.subscribe(ctx, 2, filter)
		if err != nil {
			return nil, err
		}
		if codes[0] != 2 {
			return nil, fmt.Errorf("SUBACK 0x%02x", codes[0])
		}
		c.subscribed = true
	}
	d, err := c.peer.delivery(ctx)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			return nil, nil
		}
		return nil, err
	}
	r := &adaptertest.Received{Message: &gatehouse.Message{Body: d.Payload}, Handle: d.PacketID}
	return r, read(d, r)
}

// read reads a delivery as CloudEvents over MQTT 5 has it.
func read(d *packets.Publish, r *adaptertest.Received) error {
	m, p := r.Message, d.Properties
	m.ContentType, m.CorrelationID, m.ReplyTo = p.ContentType, string(p.CorrelationData), p.ResponseTopic
	for _, u := range p.User {
		switch u.Key {
		case propertyCount:
			if _, err := fmt.Sscan(u.Value, &r.Count); err != nil {
				return err
			}
		case propertyReason:
			m.Dead = &gatehouse.DeadLetter{Reason: u.Value}
		case propertyDetail:
			m.Dead.Description = u.Value
		default:
			if err := cloudevents.Set(m, u.Key, u.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

// Complete implements adaptertest.Client.
func (c *suiteClient) Complete(ctx context.Context, r *adaptertest.Received) error {
	id := r.Handle.(uint16)
	if err := c.peer.send(&packets.Pubrec{PacketID: id, Properties: &packets.Properties{}}); err != nil {
		return err
	}
	rel, err := await[*packets.Pubrel](ctx, c.peer)
	if err != nil {
		return err
	}
	if rel.ReasonCode == byte(mqtt.PacketIdentifierNotFound) {
		return gatehouse.LockLost
	}
	if err := c.peer.send(&packets.Pubcomp{PacketID: id, Properties: &packets.Properties{}}); err != nil {
		return err
	}
	return c.peer.ping(ctx)
}

// Abandon implements adaptertest.Client.
func (c *suiteClient) Abandon(ctx context.Context, r *adaptertest.Received) error {
	return c.reject(ctx, &packets.Pubrec{PacketID: r.Handle.(uint16), ReasonCode: byte(mqtt.ImplementationSpecificError), Properties: &packets.Properties{}})
}

// DeadLetter implements adaptertest.Client.
func (c *suiteClient) DeadLetter(ctx context.Context, r *adaptertest.Received, reason, description string) error {
	return c.reject(ctx, &packets.Pubrec{PacketID: r.Handle.(uint16), ReasonCode: byte(mqtt.PayloadFormatInvalid), Properties: &packets.Properties{
		ReasonString: description, User: []packets.User{{Key: propertyReason, Value: reason}},
	}})
}

func (c *suiteClient) reject(ctx context.Context, p *packets.Pubrec) error {
	if err := c.peer.send(p); err != nil {
		return err
	}
	return c.peer.ping(ctx)
}

// Close implements adaptertest.Client.
func (c *suiteClient) Close() {
	if c.peer != nil {
		c.peer.close()
	}
}

// dialer returns the Dial of a harness.
func dialer(secure *tls.Config) func(adaptertest.Login) adaptertest.Client {
	return func(l adaptertest.Login) adaptertest.Client { return &suiteClient{login: l, secure: secure} }
}
