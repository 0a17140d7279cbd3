package bench

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/amqp/wire"
)

// amqp measures AMQP 1.0 without TLS: frames that were encoded beforehand, to
// the public port.
func (r *run) amqp(ctx context.Context) error {
	return r.overWire(ctx, &protocol{
		name: "amqp", adapter: "amqp", publisher: dialAMQPPublisher, receiver: dialAMQPReceiver,
		idle: []idleClient{{"with a link to send", amqpIdleSender}, {"with a link that waits for messages", amqpIdleReceiver}},
	})
}

// dialTime is how long a client waits for a connection and its answers.
const dialTime = 20 * time.Second

// maxFrame is the largest frame the clients take and send.
const maxFrame = 64 << 10

// An amqpConn is a connection with one session, on channel 0, and one link, of
// handle 0.
type amqpConn struct {
	net.Conn
	in   *bufio.Reader
	head [frame.HeaderSize]byte
	body []byte
}

// dialAMQP connects as an endpoint, by SASL PLAIN, and begins a session. A
// small buffer is for connections that have little to read.
func dialAMQP(ctx context.Context, g *remote, endpoint int, key string, buffer int) (*amqpConn, error) {
	d := net.Dialer{Timeout: dialTime}
	nc, err := d.DialContext(ctx, "tcp", g.addresses["amqp"])
	if err != nil {
		return nil, err
	}
	c := &amqpConn{Conn: nc, in: bufio.NewReaderSize(nc, buffer)}
	_ = c.SetDeadline(time.Now().Add(dialTime)) // a socket has deadlines
	if err := c.handshake(account+"/"+endpointName(endpoint), key); err != nil {
		_ = nc.Close()
		return nil, err
	}
	return c, nil
}

func (c *amqpConn) handshake(user, key string) error {
	sasl, amqp := frame.ProtocolHeader(frame.ProtoSASL), frame.ProtocolHeader(frame.ProtoAMQP)
	init := frame.Init{Mechanism: "PLAIN", Response: []byte("\x00" + user + "\x00" + key)}
	open := frame.Open{ContainerID: "bench", MaxFrameSize: maxFrame, ChannelMax: 0}
	begin := frame.Begin{IncomingWindow: 1<<31 - 1, OutgoingWindow: 1<<31 - 1, HandleMax: 0}
	out := appendFrame(sasl[:], frame.TypeSASL, init.Append)
	out = append(out, amqp[:]...)
	out = appendFrame(out, frame.TypeAMQP, open.Append)
	out = appendFrame(out, frame.TypeAMQP, begin.Append)
	if _, err := c.Write(out); err != nil {
		return err
	}
	if err := c.protocol(sasl); err != nil {
		return err
	}
	if err := c.outcome(); err != nil {
		return err
	}
	if err := c.protocol(amqp); err != nil {
		return err
	}
	return c.expect(frame.CodeOpen, frame.CodeBegin)
}

func appendFrame(dst []byte, kind uint8, body func([]byte) []byte) []byte {
	at := len(dst)
	return frame.Finish(body(frame.Start(dst, kind, 0)), at)
}

// protocol reads a protocol header.
func (c *amqpConn) protocol(want [frame.HeaderSize]byte) error {
	if _, err := io.ReadFull(c.in, c.head[:]); err != nil {
		return err
	}
	if c.head != want {
		return gatehouse.Errorf(gatehouse.Internal, "the server wants another protocol: %q", c.head)
	}
	return nil
}

// outcome reads the end of the SASL exchange.
func (c *amqpConn) outcome() error {
	for {
		code, items, _, err := c.next()
		if err != nil {
			return err
		}
		if code != frame.CodeOutcome {
			continue
		}
		first, _ := items.Next()
		if result, ok := first.Uint64(); !ok || result != uint64(frame.SASLOK) {
			return gatehouse.Errorf(gatehouse.Unauthenticated, "the server refuses the key")
		}
		return nil
	}
}

// expect reads frames of these kinds, in this order.
func (c *amqpConn) expect(codes ...uint64) error {
	for _, want := range codes {
		code, items, _, err := c.next()
		if err != nil {
			return err
		}
		if code != want {
			return unexpected(code, items)
		}
	}
	return nil
}

// next reads the next performative. What it returns is valid until the next
// call.
func (c *amqpConn) next() (code uint64, items wire.Items, payload []byte, err error) {
	for {
		if _, err := io.ReadFull(c.in, c.head[:]); err != nil {
			return 0, items, nil, err
		}
		h, err := frame.ParseHeader(c.head[:])
		if err != nil || h.Size > maxFrame {
			return 0, items, nil, gatehouse.Errorf(gatehouse.Internal, "the server sent a frame that is malformed or too large")
		}
		n := int(h.Size) - frame.HeaderSize
		if cap(c.body) < n {
			c.body = make([]byte, n)
		}
		if _, err := io.ReadFull(c.in, c.body[:n]); err != nil {
			return 0, items, nil, err
		}
		if body := c.body[h.Offset-frame.HeaderSize : n]; len(body) > 0 {
			return frame.Parse(body)
		}
	}
}

// unexpected says what the server has to say instead of what it should.
func unexpected(code uint64, items wire.Items) error {
	var e *frame.Error
	var err error
	switch code {
	case frame.CodeDetach:
		var d frame.Detach
		err = d.Decode(items)
		e = d.Error
	case frame.CodeEnd, frame.CodeClose:
		e, err = frame.DecodeEnd(items)
	}
	if e == nil {
		return gatehouse.Errorf(gatehouse.Internal, "the server sent an unexpected frame, of code %#x (%w)", code, err)
	}
	return gatehouse.Errorf(gatehouse.Internal, "the server refuses: %w", e)
}

// attach attaches the link.
func (c *amqpConn) attach(a *frame.Attach) error {
	a.Name = "bench"
	if _, err := c.Write(appendFrame(nil, frame.TypeAMQP, a.Append)); err != nil {
		return err
	}
	if err := c.expect(frame.CodeAttach); err != nil {
		return err
	}
	return c.SetDeadline(time.Time{})
}

// ended returns err, unless it is that we have closed the connection.
func ended(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// loadBuffer and idleBuffer are how much a connection reads at a time.
const (
	loadBuffer = 64 << 10
	idleBuffer = 512
)

func amqpIdleSender(ctx context.Context, g *remote, endpoint int) (io.Closer, error) {
	return dialSender(ctx, g, endpoint, idleBuffer)
}

func amqpIdleReceiver(ctx context.Context, g *remote, endpoint int) (io.Closer, error) {
	c, err := dialReceiver(ctx, g, endpoint, idleBuffer)
	if err != nil {
		return nil, err
	}
	if err = c.grant(1, true); err == nil {
		err = c.expect(frame.CodeFlow)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}
