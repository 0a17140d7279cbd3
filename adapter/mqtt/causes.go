package mqttadapter

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/mqtt"
)

// A cause is why a connection ends.
type cause struct {
	code mqtt.Code // of the DISCONNECT that the client is sent, in MQTT 5
	text string    // for the client
	err  error     // of the gate, if it is one
	// silent: there is nobody to tell: the client is gone, or has said itself
	// that it goes.
	silent bool
	// noWill: the client said that it goes, and has no will.
	noWill bool
	// tidy: what the client holds does not count as delivered in vain.
	tidy bool
}

// end has the connection end: the client is told why, after what is under way
// was answered. Only the first cause counts.
func (c *connection) end(why *cause) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil || c.ended {
		return
	}
	c.cause = why
	c.over.Store(true)
	c.room.Broadcast()
	if why.silent {
		c.closed = true
		return
	}
	c.working.Add(1)
	go c.close()
}

// breakOff notes that the client cannot be reached any more, and closes its
// connection; c.mu is held.
func (c *connection) breakOff(err error) {
	if c.cause == nil {
		c.cause = &cause{text: err.Error(), silent: true}
		c.closed = true
		c.over.Store(true)
	}
	c.out.broken = true
	c.rouse()
	_ = c.nc.Close() // it is broken
	c.room.Broadcast()
}

// cutOff closes the connection without more ado.
func (c *connection) cutOff() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nc != nil {
		c.breakOff(context.Canceled)
	}
}

// close says goodbye and closes the connection.
func (c *connection) close() {
	defer c.working.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.greeted && c.session.Err() != nil {
		c.hasten()
	}
	for c.acks.len() > 0 && !c.out.broken {
		c.room.Wait()
	}
	if c.greeted {
		c.sayGoodbye()
	}
	c.hasten()
	c.kick()
	for c.out.writing {
		c.room.Wait()
	}
	// Closing while there is something unread could take back what was
	// written: the reader, which is woken, throws it away for a while.
	half, ok := c.nc.(interface{ CloseWrite() error })
	toRead := ok && !c.out.broken && half.CloseWrite() == nil
	if toRead && !c.web { // whose reader ends with the closing handshake
		_ = c.nc.SetReadDeadline(time.Now())
	}
	c.rouse()
	if !toRead {
		_ = c.nc.Close() // it is over
	}
	c.closed = true
	c.room.Broadcast()
}

// linger throws away what comes until the client has closed the connection, too,
// for a while.
func (c *connection) linger() {
	if c.cause.silent || c.nc.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	r := getReading()
	defer putReading(r)
	for {
		if _, err := c.nc.Read(r.buf[:cap(r.buf)]); err != nil {
			return
		}
	}
}

// readFailed is why the connection ends when a packet could not be read; nil
// without an error.
func (c *connection) readFailed(err error) *cause {
	if e, ok := errors.AsType[*mqtt.Error](err); ok {
		return &cause{code: e.Code, text: e.Detail}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return &cause{text: "the client closed the connection", silent: true}
	case isTimeout(err) && c.session != nil:
		return &cause{code: mqtt.KeepAliveTimeout, text: "nothing was heard of the client within one and a half times its keep-alive"}
	}
	return &cause{text: err.Error(), silent: true}
}

// takeOver ends the connection for another one of the same client.
func (c *connection) takeOver() {
	c.end(&cause{code: mqtt.SessionTakenOver, text: "another connection of the same client has taken over"})
}

// stop ends the connection once what is under way is answered.
func (c *connection) stop() {
	c.end(&cause{code: mqtt.ServerShuttingDown, text: "the gateway is shutting down; connect again", tidy: true})
}

// expelled ends the connection because its session has ended.
func (c *connection) expelled() { c.end(c.endOf(c.session.Err())) }

// endOf is why a connection ends that the gate does not let go on.
func (c *connection) endOf(err error) *cause {
	return &cause{code: answers[gatehouse.KindOf(err)].end, text: c.describe(err), err: err, tidy: true}
}

// leave ends what a connection was for, once it is no longer read: goodbye was
// said by then, or cannot be. What the client holds goes back to the inbox at
// once.
func (c *connection) leave() {
	c.mu.Lock()
	if c.cause.silent {
		_ = c.nc.Close() // who writes has an end
	}
	for c.acks.len() > 0 || !c.closed {
		c.room.Wait() // the disk is never waited for in vain
	}
	c.ended = true
	putReading(c.in.reading)
	c.in.reading = nil
	for _, t := range [...]*time.Timer{c.renewal, c.feeds[0].pausing, c.feeds[1].pausing} {
		if t != nil && t.Stop() {
			c.working.Done()
		}
	}
	c.mu.Unlock()
	if c.session == nil {
		c.working.Wait()
		return
	}
	c.unwatch()
	for i := range c.feeds {
		c.disarm(&c.feeds[i])
	}
	c.working.Wait()
	c.part()
}

// part gives the client's messages back, and its session.
func (c *connection) part() {
	why := c.cause
	failed := !why.tidy
	var back [2][]inbox.LockToken
	c.state.released = nil
	for _, o := range c.sent[c.sentHead:] {
		switch {
		case o.gone:
			continue
		case o.received && c.keep > 0:
			c.state.released = append(c.state.released, o)
			continue // until the client comes back, or its lock ends
		}
		back[index(o.dead)] = append(back[index(o.dead)], o.lock)
		if c.keep > 0 {
			c.state.unacked = append(c.state.unacked, unacked{sequence: o.sequence, dead: o.dead, id: o.id})
		}
	}
	for i := range back {
		if once := c.out.once; once != nil {
			for _, s := range slices.Concat(once.unsure[i], once.waiting[i]) {
				back[i] = append(back[i], s.Lock)
			}
		}
		c.giveBackLocks(i == 1, failed, back[i])
	}
	w := c.will
	if w != nil && why.noWill {
		w.drop()
		w = nil
	}
	if len(c.state.unacked) > maxUnacked {
		c.keep = 0
	}
	c.options.Sessions.leave(c.state, c.keep, w)
	if w == nil {
		c.session.Close()
	}
}

// maxUnacked is how many deliveries a session remembers that its client may
// have seen; beyond it the session ends with its connection.
const maxUnacked = 4096

// index is the place of the inbox, or of the dead letters, in a pair.
func index(dead bool) int {
	if dead {
		return 1
	}
	return 0
}
