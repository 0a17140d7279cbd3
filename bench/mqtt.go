package bench

import (
	"bufio"
	"context"
	"io"
	"math"
	"net"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/mqtt"
)

// mqtt measures MQTT 5 without TLS, at QoS 1.
func (r *run) mqtt(ctx context.Context) error {
	p := &protocol{
		name: "mqtt", adapter: "mqtt", publisher: dialMQTTPublisher, receiver: dialMQTTReceiver,
		idle: []idleClient{{"that may send", mqttIdleSender}, {"subscribed to its inbox", mqttIdleReceiver}},
		loads: []load{
			{name: "16x64", conns: 16, flight: 64},
			{name: "1x256", conns: 1, flight: 256},
			{name: "paced", conns: 16, flight: pacedWindow, paced: true},
		},
	}
	if err := r.overWire(ctx, p); err != nil {
		return err
	}
	return r.fanOut(ctx, p)
}

// An mqttConn is a connection that the server has accepted.
type mqttConn struct {
	net.Conn
	in      *bufio.Reader
	body    []byte
	out     []byte
	maximum uint16 // receive maximum of the server
}

var errMQTT = gatehouse.Errorf(gatehouse.Internal, "the server did not answer as it should")

// dialMQTT connects as an endpoint. A small buffer is for connections that have
// little to read.
func dialMQTT(ctx context.Context, g *remote, endpoint int, key string, buffer int) (*mqttConn, error) {
	nc, err := dialFrom(ctx, endpoint, g.addresses["mqtt"])
	if err != nil {
		return nil, err
	}
	c := &mqttConn{Conn: nc, in: bufio.NewReaderSize(nc, buffer)}
	_ = c.SetDeadline(time.Now().Add(dialTime)) // a socket has deadlines
	if err := c.connect(mqttConnect(endpoint, key).Append(nil)); err != nil {
		_ = nc.Close()
		return nil, err
	}
	return c, nil
}

func mqttConnect(endpoint int, key string) *mqtt.Connect {
	return &mqtt.Connect{Version: mqtt.Version5, CleanStart: true, KeepAlive: 600, UserName: account + "/" + endpointName(endpoint), Password: []byte(key)}
}

// perAddress is how many connections to a server an address has ports for, with
// some to spare: the system takes long to find the last free ones.
const perAddress = 10_000

// dialFrom dials from an address of the loopback network that depends on i. The
// port is chosen when it connects: one that is chosen when it binds must not be
// that of any other connection, of one to another gateway that is over too.
func dialFrom(ctx context.Context, i int, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTime}
	if i >= perAddress {
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+i/perAddress))}
		d.Control = portLater
	}
	return d.DialContext(ctx, "tcp", address)
}

// connect writes a CONNECT, and maybe more behind it, and reads CONNACK.
func (c *mqttConn) connect(packets []byte) error {
	var answer mqtt.ConnAck
	err := c.ask(packets, mqtt.TypeConnAck, func(_ mqtt.Header, body []byte) error { return answer.Decode(body, mqtt.Version5) })
	if err != nil {
		return err
	}
	if answer.Code != mqtt.Success {
		return gatehouse.Errorf(gatehouse.Unauthenticated, "the server refuses: %v %s", answer.Code, answer.Properties.ReasonString)
	}
	if c.maximum = answer.Properties.ReceiveMaximum; c.maximum == 0 {
		c.maximum = math.MaxUint16
	}
	return nil
}

// ask writes packets, if any, and decodes the next one that comes, which is to
// be of a type.
func (c *mqttConn) ask(packets []byte, want mqtt.Type, decode func(mqtt.Header, []byte) error) error {
	if len(packets) > 0 {
		if _, err := c.Write(packets); err != nil {
			return err
		}
	}
	h, body, err := c.next()
	switch {
	case err != nil:
		return err
	case h.Type != want:
		return c.unexpected(h, body)
	}
	return decode(h, body)
}

// appendSubscribe appends the packet that subscribes to the inbox.
func appendSubscribe(dst []byte) []byte {
	s := mqtt.Subscribe{PacketID: 1, Filters: []mqtt.Filter{{Topic: "inbox", QoS: 1}}}
	return s.Append(dst, mqtt.Version5)
}

// subscribe writes packets, if any, and reads the answer to appendSubscribe's.
func (c *mqttConn) subscribe(packets []byte) error {
	var answer mqtt.SubAck
	err := c.ask(packets, mqtt.TypeSubAck, func(_ mqtt.Header, body []byte) error { return answer.Decode(body, mqtt.Version5) })
	if err == nil && answer.Codes[0] != mqtt.GrantedQoS1 {
		err = gatehouse.Errorf(gatehouse.Internal, "the subscription is refused: %v", answer.Codes[0])
	}
	return err
}

// next reads the next packet. Its body is valid until the next call.
func (c *mqttConn) next() (h mqtt.Header, body []byte, err error) {
	n := 0
	for size := 2; ; size++ {
		b, err := c.in.Peek(size)
		if err != nil {
			return h, nil, err
		}
		if h, n, err = mqtt.ParseHeader(b); err != nil {
			return h, nil, err
		}
		if n > 0 {
			break
		}
	}
	_, _ = c.in.Discard(n) // they are there
	if h.Length > maxFrame+maxFrame {
		return h, nil, errMQTT
	}
	if cap(c.body) < h.Length {
		c.body = make([]byte, h.Length)
	}
	body = c.body[:h.Length]
	_, err = io.ReadFull(c.in, body)
	return h, body, err
}

// unexpected says what the server has to say instead of what it should.
func (c *mqttConn) unexpected(h mqtt.Header, body []byte) error {
	var d mqtt.Disconnect
	if h.Type != mqtt.TypeDisconnect || d.Decode(body, mqtt.Version5) != nil {
		return gatehouse.Errorf(gatehouse.Internal, "the server sent an unexpected %v", h.Type)
	}
	return gatehouse.Errorf(gatehouse.Internal, "the server ends the connection: %v %s", d.Code, d.Properties.ReasonString)
}

// packetID is the packet identifier of a message.
func packetID(number uint64) uint16 { return uint16(1 + number%math.MaxUint16) }

// An mqttSender sends packets that differ in their identifier only.
type mqttSender struct {
	*mqttConn
	packet []byte
	id     int // where it is in the packet
}

func dialMQTTPublisher(ctx context.Context, g *remote, endpoint int, o sending) (publisher, error) {
	topic := "channels/" + channel
	if o.to != "" {
		topic = gatehouse.EndpointPrefix + o.to
	}
	p := mqtt.Publish{QoS: 1, PacketID: 1, Topic: []byte(topic), Payload: make([]byte, o.body)}
	packet := p.Append(nil, mqtt.Version5)
	_, n, err := mqtt.ParseHeader(packet)
	if err != nil {
		return nil, err
	}
	c, err := dialMQTT(ctx, g, endpoint, g.Send, loadBuffer)
	if err != nil {
		return nil, err
	}
	return &mqttSender{c, packet, n + 2 + len(topic)}, c.SetDeadline(time.Time{})
}

// write implements publisher.
func (s *mqttSender) write(first uint64, n int) error {
	s.out = s.out[:0]
	for i := range n {
		at := len(s.out) + s.id
		s.out = append(s.out, s.packet...)
		id := packetID(first + uint64(i))
		s.out[at], s.out[at+1] = byte(id>>8), byte(id)
	}
	_, err := s.Write(s.out)
	return err
}

// read implements publisher. Messages are acknowledged in order; what one read
// has brought is told at once.
func (s *mqttSender) read(w *window) error {
	w.permit(uint64(s.maximum))
	var done uint64
	n := 0
	var ack mqtt.Ack
	for {
		h, body, err := s.next()
		switch {
		case err != nil:
			return ended(err)
		case h.Type != mqtt.TypePubAck:
			return s.unexpected(h, body)
		}
		if err := ack.Decode(h, body, mqtt.Version5); err != nil {
			return err
		}
		if ack.Code != mqtt.Success || ack.PacketID != packetID(done+uint64(n)) {
			return gatehouse.Errorf(gatehouse.Internal, "message %d is answered by PUBACK %d: %v %s", done+uint64(n), ack.PacketID, ack.Code, ack.Properties.ReasonString)
		}
		if n++; s.in.Buffered() == 0 {
			w.acknowledge(done, n)
			done += uint64(n)
			w.permit(done + uint64(s.maximum))
			n = 0
		}
	}
}

// An mqttReceiver is subscribed to its inbox and acknowledges what comes.
// MQTT does not confirm that: a message counts once its PUBACK is written.
type mqttReceiver struct{ *mqttConn }

func dialMQTTInbox(ctx context.Context, g *remote, endpoint, buffer int) (*mqttReceiver, error) {
	c, err := dialMQTT(ctx, g, endpoint, g.Listen, buffer)
	if err != nil {
		return nil, err
	}
	if err = c.subscribe(appendSubscribe(nil)); err == nil {
		err = c.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return &mqttReceiver{c}, nil
}

func dialMQTTReceiver(ctx context.Context, g *remote, endpoint int) (receiver, error) {
	return dialMQTTInbox(ctx, g, endpoint, loadBuffer)
}

// read implements receiver.
func (r *mqttReceiver) read(taken func(n int)) error {
	n := 0
	for {
		if err := r.take(); err != nil {
			return ended(err)
		}
		if n++; r.in.Buffered() > 0 {
			continue
		}
		if _, err := r.Write(r.out); err != nil {
			return ended(err)
		}
		taken(n)
		n, r.out = 0, r.out[:0]
	}
}

// take takes the next delivery and appends its acknowledgement to out.
func (r *mqttReceiver) take() error {
	h, body, err := r.next()
	if err != nil {
		return err
	}
	if h.Type != mqtt.TypePublish || h.Flags>>1&3 != 1 || len(body) < 2 {
		return r.unexpected(h, body)
	}
	at := 2 + int(body[0])<<8 + int(body[1])
	if len(body) < at+2 {
		return errMQTT
	}
	r.out = append(r.out, byte(mqtt.TypePubAck)<<4, 2, body[at], body[at+1])
	return nil
}

func mqttIdleSender(ctx context.Context, g *remote, endpoint int) (io.Closer, error) {
	return dialMQTT(ctx, g, endpoint, g.Send, idleBuffer)
}

func mqttIdleReceiver(ctx context.Context, g *remote, endpoint int) (io.Closer, error) {
	return dialMQTTInbox(ctx, g, endpoint, idleBuffer)
}
