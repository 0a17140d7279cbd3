package amqp

import (
	"runtime"
	"slices"
	"time"

	"github.com/gatehouse/gatehouse/amqp/frame"
)

// keepBuffer is the largest write buffer that is used again.
const keepBuffer = 512 << 10

// An output is the two buffers of a connection that writes: one fills while the
// other is written.
type output struct{ out, spare []byte }

// cork keeps output together while the frames of one read are handled.
func (c *Conn) cork() {
	c.mu.Lock()
	c.corked = true
	c.mu.Unlock()
}

func (c *Conn) uncork() {
	c.mu.Lock()
	c.corked = false
	c.kick()
	c.mu.Unlock()
}

// kick sees to it that what is to be written will be. The lock is held.
func (c *Conn) kick() {
	if c.writing || c.corked || c.quiet || !c.pending() {
		return
	}
	c.writing = true
	c.writer.Add(1)
	go c.write()
}

// pending reports whether there may be something to write or a Sender to call.
func (c *Conn) pending() bool { return len(c.out) > 0 || len(c.dirty) > 0 || len(c.ready) > 0 }

// write writes until nothing is left, and ends. At most one runs at a time.
func (c *Conn) write() {
	defer c.writer.Done()
	for c.writeSome() {
		runtime.Gosched() // let more come together
	}
}

// writeSome writes what has come together, once. It reports whether to go on.
func (c *Conn) writeSome() bool {
	c.mu.Lock()
	c.collect()
	ready := c.takeReady()
	buf := c.out
	if len(buf) == 0 && len(ready) == 0 {
		c.writing = false
		c.giveBack()
		c.mu.Unlock()
		return false
	}
	c.out, c.spare = c.spare, nil
	c.inFlight = len(buf)
	c.mu.Unlock()

	for _, o := range ready {
		o.sender.Ready(o)
	}
	err := c.writeOut(buf)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight = 0
	if cap(buf) <= keepBuffer {
		c.spare = buf[:0]
	}
	c.drained.Broadcast()
	if err != nil {
		c.failLocked(err)
		c.writing = false
		return false
	}
	return true
}

func (c *Conn) writeOut(buf []byte) error {
	if len(buf) == 0 {
		return nil
	}
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.server.config.WriteTimeout)); err != nil {
		return err
	}
	_, err := c.nc.Write(buf)
	c.lastWrite.Store(int64(time.Since(c.start)))
	return err
}

// borrow gets the connection buffers to write into, if it has none. The lock
// is held.
func (c *Conn) borrow() {
	if c.lease == nil {
		c.lease = c.server.outputs.Get().(*output)
		c.out, c.spare = c.lease.out, c.lease.spare
	}
}

// giveBack gives the write buffers back once there is nothing to write. The
// lock is held.
func (c *Conn) giveBack() {
	if c.lease == nil {
		return
	}
	c.lease.out, c.lease.spare = c.out[:0], c.spare[:0]
	c.server.outputs.Put(c.lease)
	c.lease, c.out, c.spare = nil, nil, nil
}

// failLocked gives the connection up: err is what Serve returns if nothing
// better is known.
func (c *Conn) failLocked(err error) {
	if c.failed == nil {
		c.failed = err
	}
	c.out = c.out[:0]
	c.quiet = true
	c.drained.Broadcast()
	_ = c.nc.Close()
}

// collect turns what sessions have to say into frames. The lock is held.
func (c *Conn) collect() {
	if c.closeSent {
		c.dirty = nil
		return
	}
	dirty := c.dirty
	c.dirty = c.dirtySpare[:0]
	for _, s := range dirty {
		s.dirty = false
		if !s.ended && s.collect() {
			c.touch(s)
		}
	}
	clear(dirty)
	c.dirtySpare = dirty[:0]
	if c.backlog() <= c.server.config.OutputLimit/2 {
		c.ready = append(c.ready, c.starved...)
		c.starved = nil
	}
}

// backlog is how many bytes wait to be written. The lock is held.
func (c *Conn) backlog() int { return len(c.out) + c.inFlight + c.queued }

// touch marks a session as one that has something to say. The lock is held.
func (c *Conn) touch(s *Session) {
	if s.dirty || s.ended {
		return
	}
	s.dirty = true
	c.dirty = append(c.dirty, s)
}

// takeReady returns the links whose Senders are to be called. The lock is held.
func (c *Conn) takeReady() []*Outgoing {
	ready := c.ready
	c.ready = nil
	for _, o := range ready {
		o.waiting = false
	}
	return slices.DeleteFunc(ready, func(o *Outgoing) bool { return o.state != linkAttached })
}

// waitOutput waits until the peer has taken enough of what was written for
// more of what it sends to be read.
func (c *Conn) waitOutput() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.failed == nil && len(c.out)+c.inFlight > c.server.config.OutputLimit {
		c.corked = false
		c.kick()
		c.drained.Wait()
	}
}

// open begins a frame in the output; done ends it. The lock is held.
func (c *Conn) open(channel uint16) int {
	c.borrow()
	at := len(c.out)
	c.out = frame.Start(c.out, frame.TypeAMQP, channel)
	return at
}

func (c *Conn) done(at int) { c.out = frame.Finish(c.out, at) }
