package signalr

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"github.com/gatehouse/gatehouse/signalr/wire"
)

// output is what waits to be sent. Its fields are under Conn.mu.
type output struct {
	control []byte // records that have no numbers; they go first
	records []byte // whole records; with stateful reconnect those not acknowledged
	flying  int    // how many bytes are being written
	last    []byte // ends the connection

	// With stateful reconnect:
	first uint64 // the number of the first of records, less one
	sizes []int  // of each of records
	next  int    // which of them is the next to be written
	sent  int    // how many bytes of records are before it

	below  int    // do is called when no more is waiting
	waiter func() // Conn.Flushed
}

// waiting returns how many bytes wait to be sent or acknowledged. It holds mu.
func (c *Conn) waiting() int {
	if c.stateful {
		return len(c.out.records)
	}
	return len(c.out.records) + c.out.flying
}

// unsent returns how many bytes are not being written yet.
func (o *output) unsent() int { return len(o.records) - o.sent }

// empty reports whether there is nothing to write.
func (o *output) empty() bool { return len(o.control)+o.unsent()+len(o.last) == 0 }

// takeWaiter returns what is to be called now, if anything.
func (o *output) takeWaiter(waiting int, over bool) func() {
	if o.waiter == nil || waiting > o.below && !over {
		return nil
	}
	do := o.waiter
	o.waiter = nil
	return do
}

// free drops everything.
func (o *output) free() {
	giveBuffer(o.records)
	*o = output{below: o.below, waiter: o.waiter}
}

// maxPooled is the largest buffer that is kept for others.
const maxPooled = 64 << 10

// buffers are those that no connection needs at the moment.
var buffers = sync.Pool{New: func() any { return new([]byte) }} //nolint:gochecknoglobals // a cache

// takeBuffer returns an empty buffer.
func takeBuffer() []byte {
	b, _ := buffers.Get().(*[]byte)
	return (*b)[:0]
}

// giveBuffer takes a buffer back that nobody uses any more.
func giveBuffer(b []byte) {
	if cap(b) > 0 && cap(b) <= maxPooled {
		buffers.Put(&b)
	}
}

// clean returns text as it can be put into a record.
func clean(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// Send calls a method of the client without awaiting an answer. The values are
// encoded before it returns. It fails with ErrFull or ErrClosed.
func (c *Conn) Send(target string, arguments ...wire.Value) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.send(&wire.Record{Type: wire.Invocation, Target: clean(target), Arguments: arguments})
}

// send takes a record of the hub to be sent. It holds mu.
func (c *Conn) send(r *wire.Record) error {
	if c.protocol == nil || c.stage == ended {
		return ErrClosed
	}
	if c.waiting() >= c.server.options.SendBuffer {
		return ErrFull
	}
	return c.push(r)
}

// push appends a record. It holds mu.
func (c *Conn) push(r *wire.Record) error {
	o := &c.out
	if o.records == nil {
		o.records = takeBuffer()
	}
	before := len(o.records)
	var err error
	if o.records, err = c.protocol.Append(o.records, r); err != nil {
		return err
	}
	c.pushed(before)
	return nil
}

// pushed is called when records were appended, one if the connection is
// stateful. It holds mu.
func (c *Conn) pushed(before int) {
	if c.stateful {
		c.out.sizes = append(c.out.sizes, len(c.out.records)-before)
	}
	c.flush()
}

// pushControl appends a record without number. It holds mu.
func (c *Conn) pushControl(r *wire.Record) {
	c.out.control, _ = c.protocol.Append(c.out.control, r) // it has no values that could fail
	c.flush()
}

// flush sees to it that what waits is sent. It holds mu.
func (c *Conn) flush() {
	if c.stage == greeting || c.stage != ended && len(c.out.control) == 0 && (c.held() || c.out.unsent() == 0) {
		return
	}
	switch {
	case c.socket != nil && !c.socket.writing:
		c.socket.writing = true
		go c.socket.write()
	case c.wake != nil:
		c.signal()
	}
}

// signal wakes the request that sends. It holds mu.
func (c *Conn) signal() {
	if c.wake == nil {
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// takeSize is how much of the records of a stateful connection is copied to be
// written at once.
const takeSize = 64 << 10

// take returns what is to be written next, as whole records, in a buffer that
// must be given back. It holds mu.
func (c *Conn) take() (chunk []byte) {
	o := &c.out
	switch {
	case c.held() && c.stage != ended:
		chunk, o.control = o.control, nil
	case c.stateful:
		chunk = o.copy()
	case len(o.control)+len(o.last) == 0:
		chunk, o.records = o.records, nil
	default:
		chunk = append(append(append(takeBuffer(), o.control...), o.records...), o.last...)
		giveBuffer(o.records)
		o.control, o.records, o.last = nil, nil, nil
	}
	if len(chunk) > 0 {
		c.clock.sent = now()
	}
	o.flying = len(chunk)
	return chunk
}

// copy returns a copy of what is to be written next of a stateful connection.
func (o *output) copy() (chunk []byte) {
	if o.empty() {
		return nil
	}
	chunk = append(takeBuffer(), o.control...)
	start := o.sent
	for o.next < len(o.sizes) && o.sent-start < takeSize {
		o.sent += o.sizes[o.next]
		o.next++
	}
	chunk = append(chunk, o.records[start:o.sent]...)
	o.control = nil
	if o.unsent() == 0 {
		chunk, o.last = append(chunk, o.last...), nil
	}
	return chunk
}

// written notes that what was taken has been written, and returns what is to be
// called then, or nil. It holds mu.
func (c *Conn) written() func() {
	c.out.flying = 0
	c.changed.Broadcast()
	return c.out.takeWaiter(c.waiting(), c.stage == ended)
}

// wrote is written for who does not hold mu, and makes the call.
func (c *Conn) wrote() {
	c.mu.Lock()
	do := c.written()
	c.mu.Unlock()
	if do != nil {
		do()
	}
}

// Buffered returns how many bytes wait to be sent, or with stateful reconnect
// to be acknowledged.
func (c *Conn) Buffered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting()
}

// Flushed calls do once, from another goroutine, when no more than below bytes
// are Buffered (at once if that is so now), or the connection has ended. Do must
// not block. A later call replaces one that still waits.
func (c *Conn) Flushed(below int, do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.below, c.out.waiter = below, do
	if do := c.out.takeWaiter(c.waiting(), c.stage == ended); do != nil {
		go do()
	}
}

// Wait returns when no more than half of Options.SendBuffer is Buffered. It
// fails with ErrClosed when the connection ends, or with the error of ctx. It
// uses Flushed, and so replaces what waits there.
func (c *Conn) Wait(ctx context.Context) error {
	room := make(chan struct{})
	c.Flushed(c.server.options.SendBuffer/2, func() { close(room) })
	select {
	case <-room:
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.ctx.Err() != nil {
		return ErrClosed
	}
	return nil
}

// callID returns the id of a call. It cannot be taken for a stream of the
// client, which has numbers.
func callID(n uint64) string { return "s" + strconv.FormatUint(n, 10) }
