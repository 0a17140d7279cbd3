package mqttadapter

import (
	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/mqtt"
)

// An ack is an answer to a PUBLISH that is to leave in its turn.
type ack struct {
	id      uint16
	qos     byte
	done    bool
	own     bool               // the adapter answers by itself: the gate knows nothing of it
	life    life               // of the row that is stored with the message; zero: none is
	shard   engine.Shard       // of that, once done
	size    int                // of the message
	message *gatehouse.Message // until it is done
	err     error              // why it was refused, once done
	code    mqtt.Code          // instead of what err stands for; 0: none
}

// acks are the answers that are due, in the order of the messages. The gate
// tells of messages in the order they were submitted in; what the adapter
// refuses by itself is done when it comes. Thus the first is always one that
// the gate is still to tell of.
type acks struct {
	queue []ack
	head  int
	bytes int // of messages under way
	taken int // of the client's window, beside what its session holds
}

// takes reports whether the message takes a place of the client's window. At
// QoS 2 the packet id, which the session holds, does.
func (e *ack) takes() bool { return e.qos == 1 || e.qos == 2 && e.own }

// maxAcks is how long a queue may be to be used again.
const maxAcks = 256

func (a *acks) len() int { return len(a.queue) - a.head }

func (a *acks) push(e ack) {
	if a.head > 0 && len(a.queue) == cap(a.queue) {
		n := copy(a.queue, a.queue[a.head:])
		clear(a.queue[n:])
		a.queue, a.head = a.queue[:n], 0
	}
	a.queue = append(a.queue, e)
	a.bytes += e.size
	if e.takes() {
		a.taken++
	}
}

// pop takes the first out if it is done.
func (a *acks) pop() (e ack, ok bool) {
	if a.head == len(a.queue) || !a.queue[a.head].done {
		return ack{}, false
	}
	e = a.queue[a.head]
	a.queue[a.head] = ack{}
	a.head++
	if a.head == len(a.queue) {
		a.head = 0
		a.queue = a.queue[:0]
		if cap(a.queue) > maxAcks {
			a.queue = nil
		}
	}
	a.bytes -= e.size
	if e.takes() {
		a.taken--
	}
	return e, true
}

// idle gives memory back; nothing is due.
func (a *acks) idle() {
	if a.len() == 0 {
		a.queue, a.head = nil, 0
	}
}

// refuse answers a message in its turn that was not submitted: with what err
// stands for, or with code if that is not 0. No error means that it is stored.
func (c *connection) refuse(id uint16, qos byte, code mqtt.Code, err error) {
	if err != nil {
		c.serving.refused(c.protocol, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acks.push(ack{id: id, qos: qos, done: true, own: true, err: err, code: code})
	c.answer()
}

// answer writes the answers that are due; c.mu is held.
func (c *connection) answer() {
	for {
		e, ok := c.acks.pop()
		if !ok {
			break
		}
		c.acknowledge(&e)
	}
	c.kick()
	c.room.Broadcast()
}
