package mqttadapter

import (
	"context"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse/inbox"
)

// Bounds of what waits to be written.
const (
	maxOut     = 256 << 10        // bytes above which a connection is not read, and no deliveries are taken
	maxPooled  = 64 << 10         // of a buffer that is kept for others
	writeTime  = 30 * time.Second // for what is written at once
	farewell   = 2 * time.Second  // for what is written last
	expelTime  = time.Second / 2  // the same for a client whose session was ended
	lingerTime = time.Second      // for the client to close after it
)

// buffers are those of connections that have something to write or to read.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

func getBuffer() *[]byte { return buffers.Get().(*[]byte) }

func putBuffer(b *[]byte) {
	if cap(*b) <= maxPooled {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

// An output is what is to be written to a client. A goroutine exists while
// there is something. mu of the connection guards it.
type output struct {
	buf     *[]byte // nil: nothing
	once    *atMostOnce
	writing bool
	broken  bool // nothing more can be written
	awaited bool // a feed takes no messages until there is less
}

// An atMostOnce is the deliveries at QoS 0, which are completed when they are
// written: of the inbox, and of the dead letters.
type atMostOnce struct {
	waiting [2][]inbox.Settlement // in output.buf
	unsure  [2][]inbox.Settlement // being written now
}

// bytes returns how much waits.
func (o *output) bytes() int {
	if o.buf == nil {
		return 0
	}
	return len(*o.buf)
}

// unwritten returns how many deliveries at QoS 0 are not completed yet.
func (o *output) unwritten() int {
	if o.once == nil {
		return 0
	}
	return len(o.once.waiting[0]) + len(o.once.waiting[1]) + len(o.once.unsure[0]) + len(o.once.unsure[1])
}

// buffer returns where to append what is to be written; c.mu is held, and kick
// must follow, which the reader does when it has no more packets at hand.
func (c *connection) buffer() *[]byte {
	if c.out.buf == nil {
		c.out.buf = getBuffer()
	}
	return c.out.buf
}

// kick has written what was appended; c.mu is held.
func (c *connection) kick() {
	if c.out.writing || c.out.broken || c.out.bytes() == 0 {
		return
	}
	c.out.writing = true
	c.working.Add(1)
	go c.write()
}

// write writes until nothing is left.
func (c *connection) write() {
	defer c.working.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.out.buf != nil && !c.out.broken {
		buf := c.out.buf
		c.out.buf = nil
		once := c.out.once
		if once != nil {
			once.unsure, once.waiting = once.waiting, [2][]inbox.Settlement{}
		}
		c.hasten()
		c.mu.Unlock()
		_, err := c.nc.Write(*buf)
		putBuffer(buf)
		if err == nil && once != nil {
			c.written(once)
		}
		c.mu.Lock()
		if err != nil {
			c.out.broken = true
			c.breakOff(err)
		}
		c.room.Broadcast()
		c.goOn()
	}
	c.out.writing = false
	c.room.Broadcast()
}

// hasten sets how long what is being written may take; c.mu is held.
func (c *connection) hasten() {
	limit := writeTime
	switch {
	case c.greeted && c.session.Err() != nil:
		limit = expelTime
	case c.cause != nil:
		limit = farewell
	}
	_ = c.nc.SetWriteDeadline(time.Now().Add(limit)) // the write tells
}

// goOn has messages taken again if that has waited for room in what is to be
// written; c.mu is held, but not meanwhile.
func (c *connection) goOn() {
	if !c.out.awaited || c.out.bytes() > maxOut {
		return
	}
	c.out.awaited = false
	c.mu.Unlock()
	for i := range c.feeds {
		c.arm(&c.feeds[i])
	}
	c.mu.Lock()
}

// written completes the deliveries at QoS 0 that were written.
func (c *connection) written(once *atMostOnce) {
	c.mu.Lock()
	lists := once.unsure
	once.unsure = [2][]inbox.Settlement{}
	c.mu.Unlock()
	for i, list := range lists {
		if len(list) > 0 {
			c.settle(i == 1, list)
			c.arm(&c.feeds[i])
		}
	}
}

// settle decides about deliveries. What cannot be stored stays locked and comes
// again.
func (c *connection) settle(dead bool, list []inbox.Settlement) {
	err := c.session.SettleAsync(context.WithoutCancel(c.ctx), dead, list, c.settled)
	if err != nil {
		c.settled(err)
	}
}

// settled is told of the outcome of settlements.
func (c *connection) settled(err error) {
	if err != nil {
		c.options.Logger.Debug("a delivery could not be settled; it comes again", "remote", c.remote, "error", err)
	}
}
