package amqp1

import (
	"bufio"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/amqp/message"
	"github.com/gatehouse/gatehouse/amqp/wire"
)

// A rawClient is a client that writes and reads frames, with one session and
// one link. It can stop anywhere, and does next to nothing itself.
type rawClient struct {
	net.Conn
	in   *bufio.Reader
	head [frame.HeaderSize]byte
	body []byte
	out  []byte
	id   uint32 // of the next delivery
}

func (s *site) raw() (*rawClient, error) {
	nc, err := net.Dial("tcp", s.address)
	if err != nil {
		return nil, err
	}
	return &rawClient{Conn: nc, in: bufio.NewReaderSize(nc, 16<<10)}, nil
}

func rawFrame(dst []byte, kind uint8, body func([]byte) []byte) []byte {
	at := len(dst)
	return frame.Finish(body(frame.Start(dst, kind, 0)), at)
}

// hello is what a client says until it has a session.
func hello(user, key string) []byte {
	sasl, amqp := frame.ProtocolHeader(frame.ProtoSASL), frame.ProtocolHeader(frame.ProtoAMQP)
	init := frame.Init{Mechanism: mechanismPlain, Response: []byte("\x00" + user + "\x00" + key)}
	open := frame.Open{ContainerID: "raw", MaxFrameSize: 64 << 10}
	begin := frame.Begin{IncomingWindow: 1 << 30, OutgoingWindow: 1 << 30}
	out := rawFrame(sasl[:], frame.TypeSASL, init.Append)
	out = rawFrame(append(out, amqp[:]...), frame.TypeAMQP, open.Append)
	return rawFrame(out, frame.TypeAMQP, begin.Append)
}

var errFrame = errors.New("an unexpected frame came")

// next reads the next performative.
func (c *rawClient) next() (code uint64, items wire.Items, err error) {
	for {
		if _, err := io.ReadFull(c.in, c.head[:]); err != nil {
			return 0, items, err
		}
		if string(c.head[:4]) == "AMQP" {
			continue
		}
		h, err := frame.ParseHeader(c.head[:])
		if err != nil {
			return 0, items, err
		}
		n := int(h.Size) - frame.HeaderSize
		if cap(c.body) < n {
			c.body = make([]byte, n)
		}
		if _, err := io.ReadFull(c.in, c.body[:n]); err != nil {
			return 0, items, err
		}
		if n > 0 {
			code, items, _, err := frame.Parse(c.body[:n])
			return code, items, err
		}
	}
}

// until reads up to a frame of this kind. The end of anything is an error.
func (c *rawClient) until(want uint64) error {
	for {
		code, _, err := c.next()
		switch {
		case err != nil:
			return err
		case code == want:
			return nil
		case code >= frame.CodeDetach && code <= frame.CodeClose:
			return errFrame
		}
	}
}

// attach says hello as an endpoint and attaches its link.
func (c *rawClient) attach(user, key string, a *frame.Attach) error {
	a.Name = "raw"
	if _, err := c.Write(rawFrame(hello(user, key), frame.TypeAMQP, a.Append)); err != nil {
		return err
	}
	return c.until(frame.CodeAttach)
}

func (c *rawClient) attachSender() error {
	return c.attach(adaptertest.Account+"/"+adaptertest.Sender, adaptertest.SendKey(adaptertest.Sender), &frame.Attach{
		Role: frame.RoleSender, InitialDeliveryCount: frame.Some(0),
		Source: frame.Source{Present: true}, Target: frame.Target{Present: true, Address: publisher},
	})
}

const receiverUser = adaptertest.Account + "/" + adaptertest.Receiver

func receiverAttach() *frame.Attach {
	return &frame.Attach{
		Role: frame.RoleReceiver, ReceiverMode: frame.ReceiverSecond,
		Source: frame.Source{Present: true, Address: inboxOf}, Target: frame.Target{Present: true},
	}
}

func (c *rawClient) attachReceiver() error {
	return c.attach(receiverUser, adaptertest.ListenKey(adaptertest.Receiver), receiverAttach())
}

// grant gives credit for n messages, the first ones of the link.
func (c *rawClient) grant(n uint32) error {
	f := frame.Flow{
		NextIncomingID: frame.Some(0), IncomingWindow: 1 << 30, OutgoingWindow: 1 << 30,
		Handle: frame.Some(0), DeliveryCount: frame.Some(0), LinkCredit: frame.Some(n),
	}
	_, err := c.Write(rawFrame(nil, frame.TypeAMQP, f.Append))
	return err
}

// appendTransfer appends a message, or with more its first part.
func appendTransfer(dst []byte, id, format uint32, more bool, payload []byte) []byte {
	tag := [4]byte{byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}
	t := frame.Transfer{DeliveryID: frame.Some(id), DeliveryTag: tag[:], MessageFormat: frame.Some(format), More: more}
	return rawFrame(dst, frame.TypeAMQP, func(dst []byte) []byte { return append(t.Append(dst), payload...) })
}

// publish sends n messages with at most 256 unacknowledged: less than the
// credit that the adapter keeps up.
func (c *rawClient) publish(n int, format uint32, payload []byte) error {
	const flight, step = 256, 64
	for sent, acked := 0, 0; acked < n; {
		if room := min(flight-(sent-acked), n-sent); room >= min(step, n-sent) && room > 0 {
			c.out = c.out[:0]
			for range room {
				c.out = appendTransfer(c.out, c.id, format, false, payload)
				c.id++
				sent++
			}
			if _, err := c.Write(c.out); err != nil {
				return err
			}
		}
		accepted, err := c.accepted(frame.RoleReceiver)
		if err != nil {
			return err
		}
		acked += accepted
	}
	return nil
}

// accepted reads a frame, and returns how many deliveries it says are accepted.
func (c *rawClient) accepted(role frame.Role) (int, error) {
	code, items, err := c.next()
	if err != nil {
		return 0, err
	}
	if code != frame.CodeDisposition {
		return 0, nil
	}
	var d frame.Disposition
	if err := d.Decode(items); err != nil {
		return 0, err
	}
	if d.Role != role || !d.Settled || d.State.Kind != frame.Accepted {
		return 0, errFrame
	}
	return int(d.Last-d.First) + 1, nil
}

// complete takes n messages and completes them. One whose lock it loses, on a
// slow machine, comes again.
func (c *rawClient) complete(n int) error {
	taken, told := uint32(0), uint32(0)
	for done := 0; done < n; {
		code, items, err := c.next()
		if err != nil {
			return err
		}
		switch code {
		case frame.CodeTransfer:
			taken++
		case frame.CodeDisposition:
			var d frame.Disposition
			if err := d.Decode(items); err != nil {
				return err
			}
			switch {
			case d.State.Kind == frame.Accepted:
				done += int(d.Last-d.First) + 1
			case d.State.Error == nil || d.State.Error.Condition != conditionLockLost:
				return errFrame
			}
		}
		if c.in.Buffered() > 0 || taken == told {
			continue
		}
		d := frame.Disposition{Role: frame.RoleReceiver, First: told, Last: taken - 1, State: frame.State{Kind: frame.Accepted}}
		told = taken
		c.out = rawFrame(c.out[:0], frame.TypeAMQP, d.Append)
		if _, err := c.Write(c.out); err != nil {
			return err
		}
	}
	return nil
}

// payloadTo returns a message of 256 bytes to the receiver.
func payloadTo(address string) []byte {
	var dst []byte
	if address != "" {
		dst = message.AppendProperties(dst, &message.Properties{To: address})
	}
	return message.AppendData(dst, make([]byte, 256))
}

// must ends a benchmark or a test with an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
