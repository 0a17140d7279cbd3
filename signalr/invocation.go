package signalr

import (
	"github.com/gatehouse/gatehouse/signalr/wire"
)

// An Invocation is a call of a hub method by a client. It may be finished from
// any goroutine; later finishes have no effect, nor have those after the
// connection ended. Its values stay valid.
type Invocation struct {
	Target    string // the method, as the client spelled it; compare without case
	Arguments []wire.Value

	conn     *Conn
	id       string // empty: the client wants no answer
	size     int
	finished bool   // under Conn.mu
	answer   []byte // the record, if others have to go before it
}

// pipeline has the invocations of a connection that have not been answered, in
// order. Its fields are under Conn.mu.
type pipeline struct {
	open  []*Invocation // the first is not finished
	bytes int
}

// Wanted reports whether the client awaits an answer. Complete or Fail must be
// called in any case.
func (i *Invocation) Wanted() bool { return i.id != "" }

// Complete answers with a result; the zero Value answers without one. The
// value is encoded before it returns. One that has no counterpart in the
// client's protocol becomes an error.
func (i *Invocation) Complete(result wire.Value) {
	i.finish(&wire.Record{Type: wire.Completion, ID: i.id, Result: result})
}

// Fail answers with an error. The text goes to the client.
func (i *Invocation) Fail(text string) {
	i.finish(&wire.Record{Type: wire.Completion, ID: i.id, Failed: true, Error: clean(text)})
}

// finish gives the answer, and sends it as soon as those before it have been.
func (i *Invocation) finish(r *wire.Record) {
	c := i.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if i.finished || c.stage == ended {
		return
	}
	i.finished = true
	p := &c.pipeline
	if p.open[0] != i {
		if i.id != "" {
			i.answer = c.encode(r)
		}
		return
	}
	if i.id != "" {
		c.answer(r)
	}
	p.pop()
	for len(p.open) > 0 && p.open[0].finished {
		c.answerEncoded(p.open[0].answer)
		p.pop()
	}
	c.changed.Broadcast()
}

// pop takes the first invocation off.
func (p *pipeline) pop() {
	p.bytes -= p.open[0].size
	p.open[0] = nil
	p.open = p.open[1:]
	if len(p.open) == 0 {
		p.open = nil
	}
}

// unfit is what the client is told if a result cannot be encoded.
const unfit = "the result cannot be sent in this protocol"

// answer sends a completion. It holds mu.
func (c *Conn) answer(r *wire.Record) {
	if err := c.push(r); err != nil {
		c.server.options.Logger.Debug("a result could not be encoded", "connection", c.id, "error", err)
		_ = c.push(&wire.Record{Type: wire.Completion, ID: r.ID, Failed: true, Error: unfit}) // it has no values that could fail
	}
	c.checkUnacknowledged()
}

// encode returns a completion as a record. It holds mu.
func (c *Conn) encode(r *wire.Record) []byte {
	b, err := c.protocol.Append(nil, r)
	if err != nil {
		b, _ = c.protocol.Append(nil, &wire.Record{Type: wire.Completion, ID: r.ID, Failed: true, Error: unfit})
	}
	return b
}

// answerEncoded sends a completion that is a record already, if there is one.
// It holds mu.
func (c *Conn) answerEncoded(record []byte) {
	if len(record) == 0 {
		return
	}
	if c.out.records == nil {
		c.out.records = takeBuffer()
	}
	before := len(c.out.records)
	c.out.records = append(c.out.records, record...)
	c.pushed(before)
	c.checkUnacknowledged()
}

// crowded reports whether no further invocation can be taken now. It holds mu.
func (c *Conn) crowded() bool {
	o := &c.server.options
	return len(c.pipeline.open) >= o.Invocations || c.pipeline.bytes >= o.InvocationBytes || c.out.unsent()+c.out.flying >= o.SendBuffer
}

// invoke hands an invocation to the hub, when there is room for it; false: the
// connection ended, or another socket took over. It holds input.
func (c *Conn) invoke(from *socket, r *wire.Record, size int) bool {
	i := &Invocation{Target: r.Target, Arguments: r.Arguments, conn: c, id: r.ID, size: size}
	c.mu.Lock()
	for c.crowded() && c.takes(from) {
		c.clock.paused = true
		c.changed.Wait()
	}
	c.clock.paused, c.clock.received = false, now()
	if !c.takes(from) {
		c.mu.Unlock()
		return false
	}
	c.pipeline.open = append(c.pipeline.open, i)
	c.pipeline.bytes += size
	c.mu.Unlock()
	switch {
	case r.Type == wire.StreamInvocation:
		i.Fail("this hub has no streams: call " + r.Target + " without one")
	case r.Streams > 0:
		i.Fail("this hub takes no streams: call " + r.Target + " without one")
	default:
		c.server.hub.Invoke(c, i)
	}
	return true
}
