package signalr

import (
	"bytes"
	"errors"

	"github.com/gatehouse/gatehouse/signalr/wire"
)

// maxHandshake is the largest handshake taken, in bytes.
const maxHandshake = 1 << 10

// takes reports whether what comes from a socket (nil: in POSTs) is of
// interest. It holds mu.
func (c *Conn) takes(from *socket) bool { return c.stage != ended && c.socket == from }

// feed takes bytes of the client, in any portions. It reports whether more is
// of interest. The bytes must not change while it runs, and are not kept.
func (c *Conn) feed(from *socket, chunk []byte) bool {
	c.input.Lock()
	defer c.input.Unlock()
	c.mu.Lock()
	going, protocol := c.takes(from), c.protocol
	c.mu.Unlock()
	if !going {
		return false
	}
	data := chunk
	if len(c.partial) > 0 {
		fresh := len(c.partial)
		c.partial = append(c.partial, chunk...)
		data = c.partial
		if protocol != nil && !protocol.Binary() && len(data) <= c.server.options.MaxRecord &&
			bytes.IndexByte(data[fresh:], wire.Separator) < 0 {
			return true // still not whole; do not look through all of it again
		}
	}
	rest, going := c.records(from, data)
	if !going {
		c.dropPartial()
		return false
	}
	c.keep(rest, len(rest) < len(data) || len(data) == len(chunk))
	return true
}

// records takes the whole records of data and returns the rest.
func (c *Conn) records(from *socket, data []byte) (rest []byte, going bool) {
	for len(data) > 0 {
		record, size, err := c.next(data)
		if err != nil {
			c.fail(err)
			return nil, false
		}
		if size == 0 {
			break
		}
		if !c.record(from, record) {
			return nil, false
		}
		data = data[size:]
	}
	return data, true
}

// next returns the first whole record of data.
func (c *Conn) next(data []byte) (record []byte, size int, err error) {
	c.mu.Lock()
	protocol := c.protocol
	c.clock.received = now()
	c.mu.Unlock()
	if protocol == nil {
		return wire.NextHandshake(data, maxHandshake)
	}
	return protocol.Next(data, c.server.options.MaxRecord)
}

// keep keeps the begin of a record until the rest comes. Fresh: the record
// began just now.
func (c *Conn) keep(rest []byte, fresh bool) {
	if len(rest) == 0 {
		c.dropPartial()
		return
	}
	kept := c.partial
	if kept == nil {
		kept = takeBuffer()
	}
	c.partial = append(kept[:0], rest...) // rest may be the end of kept
	if !fresh {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock.begun = now()
	c.wakeAt(c.clock.begun.Add(c.server.options.ClientTimeout))
}

// dropPartial forgets the begin of a record. It holds input.
func (c *Conn) dropPartial() {
	if c.partial == nil {
		return
	}
	giveBuffer(c.partial)
	c.partial = nil
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock.begun = instant{}
}

// fail ends the connection because of what the client sent, and says so.
func (c *Conn) fail(err error) {
	c.server.options.Logger.Debug("a client broke the protocol", "connection", c.id, "error", err)
	text := "malformed record"
	if errors.Is(err, wire.ErrTooLarge) {
		text = "a record is too large"
	}
	c.end(err, &wire.Record{Type: wire.Close, Error: text})
}

// record takes one record. It reports whether more is of interest.
func (c *Conn) record(from *socket, record []byte) bool {
	c.mu.Lock()
	protocol := c.protocol
	if c.held() {
		c.unhold()
	}
	c.mu.Unlock()
	if protocol == nil {
		return c.shake(record)
	}
	record = bytes.Clone(record)
	r, err := protocol.Decode(record)
	if err != nil {
		c.fail(err)
		return false
	}
	if !c.counts(r.Type) {
		return true
	}
	going := true
	switch r.Type {
	case wire.Invocation, wire.StreamInvocation:
		going = c.invoke(from, &r, len(record))
	case wire.Completion:
		c.completed(&r)
	case wire.Ping:
		c.pinged()
	case wire.Close:
		c.closedBy(&r)
		return false
	case wire.Ack:
		c.acknowledged(r.Number)
	case wire.Sequence:
		going = c.resumed(r.Number)
	}
	if going {
		c.processed(r.Type)
	}
	return going
}

// closedBy ends the connection because the client says so.
func (c *Conn) closedBy(r *wire.Record) {
	if r.Error != "" {
		c.end(&ClientError{Text: r.Error}, nil)
		return
	}
	c.end(nil, nil)
}

// shake takes the handshake and asks the hub whether the connection is welcome.
func (c *Conn) shake(record []byte) bool {
	h, err := wire.DecodeHandshake(record)
	if err != nil {
		c.end(err, &wire.Record{Type: wire.Close, Error: clean(err.Error())})
		return false
	}
	c.mu.Lock()
	if c.stage != shaking {
		c.mu.Unlock()
		return false
	}
	c.stage, c.protocol, c.clock.deadline = greeting, h.Protocol, instant{}
	c.stateful = c.mayResume && h.Version == 2 && c.transport == WebSockets
	c.mu.Unlock()
	if err := c.server.hub.Connected(c); err != nil {
		text := "the connection is refused"
		var told *CloseError
		if errors.As(err, &told) && told.Text != "" {
			text = told.Text
		}
		c.end(err, &wire.Record{Type: wire.Close, Error: clean(text)})
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stage == ended {
		return false
	}
	c.stage = connected
	if c.stateful {
		c.clock.hold = now().Add(holdFor)
	}
	c.out.control = append(wire.AppendHandshake(nil, ""), c.out.control...)
	c.clock.received, c.clock.sent, c.clock.deadline = now(), now(), instant{}
	if c.transport == LongPolling && c.poll == nil {
		c.clock.deadline = now().Add(c.server.options.PollGap)
	}
	c.reschedule()
	c.flush()
	return true
}
