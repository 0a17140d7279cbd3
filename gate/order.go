package gate

import (
	"sync"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
)

// An order hands out receipts of one session in the order its messages came,
// though shards commit each at its own pace.
type order struct {
	mu         sync.Mutex
	head, tail *passage
	draining   bool // some goroutine is calling done functions
}

func (o *order) enter(p *passage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.tail == nil {
		o.head = p
	} else {
		o.tail.next = p
	}
	o.tail = p
}

// ready marks p decided and hands out what is at the head. One goroutine does
// so at a time; others leave their receipt to it.
func (o *order) ready(p *passage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p.ready = true
	if o.draining {
		return
	}
	o.draining = true
	for h := o.head; h != nil && h.ready; h = o.head {
		o.head = h.next
		if o.head == nil {
			o.tail = nil
		}
		o.mu.Unlock()
		h.done(h.receipt, h.err)
		h.release()
		o.mu.Lock()
	}
	o.draining = false
}

// stored is the Done of every passage's Append.
func stored(a *channel.Append, err error) {
	p := a.Passenger.(*passage)
	p.receipt.Duplicate, p.receipt.Sequence = a.Duplicate, a.Sequence
	p.receipt.Position = gatehouse.Position{Partition: uint16(a.Shard), Offset: a.Offset}
	p.finish(err)
}

// finish ends the passage with its outcome.
func (p *passage) finish(err error) {
	p.err = err
	events := &p.session.gate.Events
	switch {
	case err != nil:
		if events.Refused != nil {
			events.Refused(p.session.attempt.Protocol, gatehouse.KindOf(err))
		}
	case events.Accepted != nil:
		events.Accepted(p.session.attempt.Protocol, 1, len(p.Message.Body))
	}
	p.session.order.ready(p)
}
