package amqp1

import (
	"strings"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp"
	"github.com/gatehouse/gatehouse/amqp/message"
	"github.com/gatehouse/gatehouse/amqp/wire"
	"github.com/gatehouse/gatehouse/gate"
)

// formatBatch is the message format of a batch: a message whose data sections
// are each a message.
const formatBatch = 0x80013700

// maxUnderWay is how many bytes of messages may be under way on a link before
// its connection is read no further.
const maxUnderWay = 16 << 20

// An incoming is a link on which a client sends messages: to a publisher or a
// channel.
type incoming struct {
	*connection
	at    address
	claim *claim
	link  *amqp.Incoming
	work  worker[*amqp.Delivery]

	room     sync.Cond // something was finished
	roomLock sync.Mutex
	bytes    int // under way
}

// attachSender attaches a link on which messages come.
func (c *connection) attachSender(a *amqp.Attach, at *address, cl *claim) error {
	if a.Request.Properties.Get("com.microsoft:transfer-destination-address").Type() != wire.TypeNull {
		return amqp.Err(amqp.NotImplemented, "sending via another entity is not supported; send to the final address")
	}
	if at.kind == nodeChannel && at.partition != "" {
		return amqp.Err(amqp.NotAllowed, "the partition of a message follows from its partition key; send to "+at.base())
	}
	in := &incoming{connection: c, at: *at, claim: cl}
	in.room.L = &in.roomLock
	in.work.do = in.take
	link, err := a.AcceptIncoming(amqp.IncomingOptions{
		Receiver: in, Window: c.options.Window, MaxMessageSize: uint64(c.options.MaxBody),
	})
	if err != nil {
		return nil // the client is gone: there is nobody to tell
	}
	in.link = link
	c.mu.Lock()
	if c.senders == nil {
		c.senders = make(map[*incoming]struct{})
	}
	c.senders[in] = struct{}{}
	c.mu.Unlock()
	if c.join(cl, in) != nil {
		in.revoke(cl.session.Err())
	}
	return nil
}

// Message implements amqp.Receiver.
func (in *incoming) Message(d *amqp.Delivery) {
	in.begin(1)
	in.roomLock.Lock()
	for in.bytes > maxUnderWay {
		in.room.Wait()
	}
	in.bytes += len(d.Message)
	in.roomLock.Unlock()
	in.work.add(in.connection, d)
}

// Closed implements amqp.Receiver.
func (in *incoming) Closed(error) {
	in.mu.Lock()
	delete(in.senders, in)
	in.mu.Unlock()
	in.part(in.claim, in)
}

// parting is how long a link stays whose sender was revoked.
const parting = 200 * time.Millisecond

// revoke detaches the link. A sender that was revoked has a moment, in which
// what it sends is rejected: Azure's SDK for JavaScript hears only by that of
// what crosses a detach, or is under way then, and otherwise waits for it until
// its time is up.
func (in *incoming) revoke(err error) {
	if gatehouse.KindOf(err) != gatehouse.Revoked {
		in.link.Detach(in.failed(err))
		return
	}
	time.AfterFunc(parting, func() { in.link.Detach(in.failed(err)) })
}

// take hands messages to the gate.
func (in *incoming) take(list []*amqp.Delivery) {
	for _, d := range list {
		if d.Format == formatBatch {
			in.takeBatch(d)
		} else {
			in.takeOne(d)
		}
	}
}

func (in *incoming) takeOne(d *amqp.Delivery) {
	t := in.passages.Get().(*passage)
	t.link, t.delivery = in, d
	err := t.decode(d.Message, &t.message)
	if err == nil {
		in.address(&t.message)
		err = in.claim.session.Submit(in.ctx, t.done, &t.message)
	}
	if err != nil {
		t.done(gate.Receipt{}, err)
	}
}

// A passage is a message on its way from a link to the gate. It serves one
// after the other: nothing of it is kept once the message was answered.
type passage struct {
	decoder
	message  gatehouse.Message
	link     *incoming
	delivery *amqp.Delivery
	done     func(gate.Receipt, error) // answered, as a value
}

func newPassage() any {
	t := new(passage)
	t.done = t.answered
	return t
}

// maxKept is the longest memory that a passage keeps, in bytes or elements.
const maxKept = 4 << 10

func (t *passage) answered(_ gate.Receipt, err error) {
	in, d, attributes, to := t.link, t.delivery, t.message.Attributes, t.message.To
	t.link, t.delivery, t.message = nil, nil, gatehouse.Message{}
	clear(attributes)
	clear(to)
	if cap(attributes)+cap(to)+cap(t.scratch) <= maxKept {
		t.message.Attributes, t.message.To = attributes[:0], to[:0]
		t.sections = message.Message{}
		in.passages.Put(t)
	}
	in.answer(d, err)
}

// takeBatch hands over the messages of a batch, which is one delivery with one
// outcome.
func (in *incoming) takeBatch(d *amqp.Delivery) {
	all, err := in.unpack(d.Message)
	if err != nil || len(all) == 0 {
		in.answer(d, err)
		return
	}
	left, refusal := len(all), error(nil)
	err = in.claim.session.SubmitAll(in.ctx, func(_ gate.Receipt, err error) {
		if refusal == nil {
			refusal = err
		}
		if left--; left == 0 { // the gate calls one at a time
			in.answer(d, refusal)
		}
	}, all...)
	if err != nil {
		in.answer(d, err)
	}
}

// unpack returns the messages of a batch. The partition key of the envelope is
// that of every message without one.
func (in *incoming) unpack(raw []byte) ([]*gatehouse.Message, error) {
	envelope, err := message.Parse(raw)
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "the batch is malformed: %w", err)
	}
	if envelope.BodyKind() != message.BodyData {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "the batch has no data sections, in which its messages would be")
	}
	if n := envelope.Bodies(); n > in.options.MaxBatch {
		return nil, gatehouse.Errorf(gatehouse.TooLarge, "the batch has %d messages; at most %d are allowed", n, in.options.MaxBatch)
	}
	key := toText(envelope.Annotations().Get(annotationKey))
	list := make([]gatehouse.Message, envelope.Bodies())
	all := make([]*gatehouse.Message, 0, len(list))
	var dec decoder
	for data := range envelope.Data() {
		m := &list[len(all)]
		if err := dec.decode(data, m); err != nil {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "message %d of the batch: %w", len(all)+1, err)
		}
		if key != "" {
			m.Key = key
		}
		in.address(m)
		all = append(all, m)
	}
	return all, nil
}

// address completes what the link says of a message. A publisher's own name as
// the partition key is what a message has without one.
func (in *incoming) address(m *gatehouse.Message) {
	if in.at.kind == nodePublisher && strings.EqualFold(m.Key, string(in.at.endpoint)) {
		m.Key = ""
	}
}

// answer tells the client what has become of a delivery, of which nothing may
// be used any more. If nobody waits for that, a refusal detaches the link, not
// to be silent.
func (in *incoming) answer(d *amqp.Delivery, err error) {
	size := len(d.Message)
	switch {
	case err == nil:
		d.Accept()
	case d.Settled:
		d.Accept()
		in.link.Detach(in.failed(err))
	default:
		d.Reject(in.failed(err))
	}
	d.Free()
	in.roomLock.Lock()
	in.bytes -= size
	in.roomLock.Unlock()
	in.room.Broadcast()
	in.finish(1)
}
