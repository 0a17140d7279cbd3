package signalr

import (
	"fmt"
	"time"

	"github.com/gatehouse/gatehouse/signalr/wire"
)

// Stateful reconnect: both sides number the records that count (those of
// invocations and streams) from 1, keep what they sent until the other side
// acknowledges it, and after a broken socket say where they go on, on a new one.

// ackAfter is how long an acknowledgement may wait for more to acknowledge.
const ackAfter = time.Second

// ackRecords is how many records may come before they are acknowledged at once.
const ackRecords = 64

// tooMuch is by how much what the client does not acknowledge may exceed
// Options.SendBuffer before it is given up. An honest client stops calling when
// it gets no acknowledgements itself, which happens at once that.
const tooMuch = 4

// holdFor is how long records that count may wait for the client's first record
// after the handshake.
const holdFor = time.Second

// held reports whether records that count have to wait. The client for
// JavaScript (10.0.11) begins to count a moment after it has read the answer to
// its handshake, so that what comes along with that is taken twice after a
// broken socket. Its first record shows that it counts. It holds mu.
func (c *Conn) held() bool { return !c.clock.hold.IsZero() }

// unhold lets records go that count. It holds mu.
func (c *Conn) unhold() {
	c.clock.hold = instant{}
	c.flush()
}

// counter numbers what comes in. It is under Conn.input.
type counter struct {
	next     uint64 // the number of the next record, less one
	latest   uint64 // of the last record taken
	acked    uint64 // of the last record acknowledged
	sequence bool   // a new socket: nothing counts until the client says where it goes on
}

// counts reports whether a record is to be taken: not if it was already, nor
// on a new socket before the client has said where it goes on. It holds input.
func (c *Conn) counts(t wire.Type) bool {
	in := &c.incoming
	switch {
	case !c.stateful:
		return t != wire.Ack && t != wire.Sequence
	case t == wire.Close:
		return true
	case in.sequence:
		return t == wire.Sequence
	case !t.Counted():
		return t != wire.Sequence
	}
	in.next++
	if in.next <= in.latest {
		c.wantAck()
		in.acked = min(in.acked, in.next-1)
		return false
	}
	return true
}

// processed notes that a record was taken. It holds input.
func (c *Conn) processed(t wire.Type) {
	in := &c.incoming
	if !c.stateful || !t.Counted() {
		return
	}
	in.latest = in.next
	if in.latest-in.acked >= ackRecords {
		c.acknowledge()
		return
	}
	c.wantAck()
}

// wantAck sees to it that the client gets an acknowledgement soon. It holds input.
func (c *Conn) wantAck() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clock.ack.IsZero() {
		c.clock.ack = now().Add(ackAfter)
		c.wakeAt(c.clock.ack)
	}
}

// acknowledge tells the client what came, unless it owes us much itself: then
// later. It holds input.
func (c *Conn) acknowledge() {
	in := &c.incoming
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stage != connected || in.sequence || c.socket == nil {
		return
	}
	if c.waiting() >= c.server.options.SendBuffer {
		c.clock.ack = now().Add(ackAfter)
		c.wakeAt(c.clock.ack)
		return
	}
	c.clock.ack = instant{}
	if in.acked != in.latest {
		in.acked = in.latest
		c.pushControl(&wire.Record{Type: wire.Ack, Number: in.latest})
	}
}

// acknowledged drops what the client has got. It holds input.
func (c *Conn) acknowledged(number uint64) {
	c.mu.Lock()
	o := &c.out
	done, size := 0, 0
	for done < o.next && o.first+uint64(done) < number {
		size += o.sizes[done]
		done++
	}
	o.first += uint64(done) //nolint:gosec // not negative
	o.sizes = append(o.sizes[:0], o.sizes[done:]...)
	o.records = append(o.records[:0], o.records[size:]...)
	o.sent -= size
	o.next -= done
	if len(o.sizes) == 0 {
		giveBuffer(o.records)
		o.records, o.sizes = nil, nil
	}
	do := o.takeWaiter(c.waiting(), false)
	c.mu.Unlock()
	if do != nil {
		go do()
	}
}

// resumed goes on where the client says it does, on a new socket. It holds
// input.
func (c *Conn) resumed(number uint64) bool {
	in := &c.incoming
	if number == 0 || number > in.latest+1 {
		c.fail(fmt.Errorf("%w: the client goes on at %d, but only %d records came", wire.ErrRecord, number, in.latest))
		return false
	}
	in.sequence = false
	in.next = number - 1
	in.acked = min(in.acked, in.next)
	c.wantAck()
	return true
}

// replay begins a new socket: it says where we go on, and sends again what was
// not acknowledged. It holds mu.
func (c *Conn) replay() {
	c.out.control = nil
	c.out.next, c.out.sent, c.out.flying = 0, 0, 0
	c.pushControl(&wire.Record{Type: wire.Sequence, Number: c.out.first + 1})
}

// checkUnacknowledged gives up a client that calls and calls and does not
// acknowledge the answers. It holds mu.
func (c *Conn) checkUnacknowledged() {
	if !c.stateful || c.waiting() < tooMuch*c.server.options.SendBuffer {
		return
	}
	go c.end(ErrFull, &wire.Record{Type: wire.Close, Error: "acknowledgements are missing", Reconnect: true})
}
