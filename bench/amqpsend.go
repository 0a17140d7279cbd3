package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/amqp/message"
)

// formatBatch is the message format of a batch of messages.
const formatBatch = 0x80013700

// An amqpSender sends transfers that differ in delivery id and tag only.
type amqpSender struct {
	*amqpConn
	frame   []byte // encoded
	id, tag int    // where they are in it, as big-endian integers of 4 bytes
	out     []byte

	credit, window uint64 // what the server permits, as the number of the first message it does not
}

func dialSender(ctx context.Context, g *remote, endpoint, buffer int) (*amqpConn, error) {
	c, err := dialAMQP(ctx, g, endpoint, g.Send, buffer)
	if err != nil {
		return nil, err
	}
	err = c.attach(&frame.Attach{
		Role: frame.RoleSender, SenderMode: frame.SenderUnsettled, InitialDeliveryCount: frame.Some(0),
		Source: frame.Source{Present: true}, Target: frame.Target{Present: true, Address: account + "/publishers/" + endpointName(endpoint)},
	})
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func dialAMQPPublisher(ctx context.Context, g *remote, endpoint int, o sending) (publisher, error) {
	s := &amqpSender{}
	if err := s.prepare(o); err != nil {
		return nil, err
	}
	var err error
	s.amqpConn, err = dialSender(ctx, g, endpoint, loadBuffer)
	return s, err
}

// prepare encodes the transfer, with a delivery id that takes 4 bytes, and the
// same as the tag.
func (s *amqpSender) prepare(o sending) error {
	mark := binary.BigEndian.AppendUint32(nil, math.MaxUint32-0x01020304)
	t := frame.Transfer{DeliveryID: frame.Some(binary.BigEndian.Uint32(mark)), DeliveryTag: mark, MessageFormat: frame.Some(0)}
	one := amqpMessage(o)
	payload := one
	if o.batch > 0 {
		t.MessageFormat = frame.Some(formatBatch)
		payload = nil
		for range o.batch {
			payload = message.AppendData(payload, one)
		}
	}
	s.frame = frame.Start(nil, frame.TypeAMQP, 0)
	s.frame = t.Append(s.frame)
	s.id = bytes.Index(s.frame, mark)
	s.tag = s.id + 4 + bytes.Index(s.frame[s.id+4:], mark)
	s.frame = frame.Finish(append(s.frame, payload...), 0)
	if len(s.frame) > maxFrame {
		return gatehouse.Errorf(gatehouse.Invalid, "a message or batch of %d bytes does not fit into a frame of %d; choose a smaller body", len(payload), maxFrame)
	}
	return nil
}

func amqpMessage(o sending) []byte {
	var dst []byte
	if o.to != "" {
		dst = message.AppendProperties(dst, &message.Properties{To: gatehouse.EndpointPrefix + o.to})
	}
	return message.AppendData(dst, bytes.Repeat([]byte{'x'}, o.body))
}

// write implements publisher.
func (s *amqpSender) write(first uint64, n int) error {
	s.out = s.out[:0]
	for i := range n {
		at := len(s.out)
		s.out = append(s.out, s.frame...)
		id := uint32(first) + uint32(i)
		binary.BigEndian.PutUint32(s.out[at+s.id:], id)
		binary.BigEndian.PutUint32(s.out[at+s.tag:], id)
	}
	_, err := s.Write(s.out)
	return err
}

// read implements publisher. The server permits as many messages as there are
// frames in its window and credit on the link.
func (s *amqpSender) read(w *window) error {
	for {
		code, items, _, err := s.next()
		if err != nil {
			return ended(err)
		}
		switch code {
		case frame.CodeDisposition:
			var d frame.Disposition
			if err := d.Decode(items); err != nil {
				return err
			}
			if d.State.Kind != frame.Accepted {
				return gatehouse.Errorf(gatehouse.Internal, "a message was not accepted but %v: %w", d.State.Kind, d.State.Error)
			}
			w.acknowledge(uint64(d.First), int(d.Last-d.First)+1)
		case frame.CodeFlow:
			var f frame.Flow
			if err := f.Decode(items); err != nil {
				return err
			}
			if f.Handle.Set {
				s.credit = uint64(f.DeliveryCount.Value) + uint64(f.LinkCredit.Value)
			}
			s.window = uint64(f.NextIncomingID.Value) + uint64(f.IncomingWindow)
			w.permit(min(s.credit, s.window))
		default:
			return unexpected(code, items)
		}
	}
}
