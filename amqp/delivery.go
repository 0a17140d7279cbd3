package amqp

import (
	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/amqp/wire"
)

// A Delivery is a message that came in on a link. It is to be finished once,
// with Accept, Reject, Release or Modify, from any goroutine and in any order;
// credit for further deliveries is granted as deliveries are finished, those
// that came settled too. Finishing again, or after the link is gone, does
// nothing.
type Delivery struct {
	Message []byte // the encoded sections
	Tag     []byte // the sender's name for the delivery
	Format  uint32 // the message format: 0 for an AMQP message
	Settled bool   // the sender wants no outcome

	in     *Incoming
	id     uint32
	done   bool
	buffer []byte // what Message and Tag are in, unless it came in several frames
}

// Link returns the link that the delivery came in on.
func (d *Delivery) Link() *Incoming { return d.in }

// Accept tells the sender that its message was taken.
func (d *Delivery) Accept() { d.settle(&State{Kind: frame.Accepted}) }

// Reject tells the sender that its message is invalid or unwanted.
func (d *Delivery) Reject(err *Error) { d.settle(&State{Kind: frame.Rejected, Error: err}) }

// Release tells the sender that its message was not looked at. Some clients
// take that for success: to refuse a message, Reject it.
func (d *Delivery) Release() { d.settle(&State{Kind: frame.Released}) }

// Modify is Release with a note: whether the attempt failed, whether to come
// back with it, and annotations to merge into the message, which may be absent.
func (d *Delivery) Modify(failed, undeliverable bool, annotations wire.Value) {
	d.settle(&State{
		Kind: frame.Modified, Failed: failed, Undeliverable: undeliverable, Annotations: annotations,
	})
}

// maxKept is the longest buffer that Free keeps.
const maxKept = 16 << 10

// Free gives a delivery that was finished, and its bytes, back to be used for
// others: nothing of it may be used any more. It need not be called.
func (d *Delivery) Free() {
	s, buffer := d.in.session.conn.server, d.buffer
	if cap(buffer) > maxKept {
		buffer = nil
	}
	*d = Delivery{buffer: buffer[:0]}
	s.deliveries.Put(d)
}

func (d *Delivery) settle(state *State) {
	c := d.in.session.conn
	c.mu.Lock()
	d.finish(state)
	c.kick()
	c.mu.Unlock()
}

// finish notes the outcome for the sender, and makes room for another delivery.
// The lock is held.
func (d *Delivery) finish(state *State) {
	if d.done {
		return
	}
	d.done = true
	in := d.in
	in.outstanding--
	if in.state != linkAttached {
		return
	}
	if !d.Settled {
		s := in.session
		s.outcomes = addDisposition(s.outcomes, d.id, !in.second, state)
		s.conn.touch(s)
	}
	in.replenish()
}
