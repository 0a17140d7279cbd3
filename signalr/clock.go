package signalr

import (
	"errors"
	"time"

	"github.com/gatehouse/gatehouse/signalr/wire"
)

// An instant is a point in time.
type instant = time.Time

func now() instant { return time.Now() }

// clock has what happens by time. One timer serves a connection; it is moved
// only when something is due earlier than planned. Under Conn.mu.
type clock struct {
	timer    *time.Timer
	next     instant // when it fires
	deadline instant // the end of the connection unless it gets further; zero: none
	sent     instant // the last record we sent
	received instant // the last record that came
	begun    instant // a record came in part; zero: none
	ack      instant // an acknowledgement is due; zero: none
	hold     instant // until then records that count wait (see Conn.held); zero: they do not
	pings    bool    // the client pings: from now on it must not be silent
	paused   bool    // we do not read: the client cannot be blamed for silence
}

// Errors that Hub.Closed gets.
var (
	// ErrTimeout means that the client was silent for too long, did not come
	// (back), or did not finish what it began.
	ErrTimeout = errors.New("signalr: the client has gone silent")

	// ErrBroken means that the transport broke.
	ErrBroken = errors.New("signalr: the connection broke")
)

// wakeAt sees to it that tick runs by then. It holds mu.
func (c *Conn) wakeAt(at instant) {
	k := &c.clock
	if k.timer == nil || !k.next.IsZero() && !at.Before(k.next) {
		return
	}
	k.next = at
	k.timer.Reset(time.Until(at))
}

// reschedule plans the timer anew. It holds mu.
func (c *Conn) reschedule() {
	c.clock.next = instant{}
	if at := c.due(); !at.IsZero() {
		c.wakeAt(at)
	}
}

// earlier returns the earlier of two instants; zero is never.
func earlier(a, b instant) instant {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// attached reports whether the client can be pinged. It holds mu.
func (c *Conn) attached() bool {
	return c.stage == connected && (c.transport == ServerSentEvents || c.socket != nil)
}

// due returns when something is to be done; zero: never. It holds mu.
func (c *Conn) due() (at instant) {
	k, o := &c.clock, &c.server.options
	at = k.deadline
	if c.stage == ended {
		return at
	}
	if !k.begun.IsZero() && !k.paused {
		at = earlier(at, k.begun.Add(o.ClientTimeout))
	}
	if !c.attached() {
		return at
	}
	at = earlier(at, k.sent.Add(o.KeepAlive))
	if k.pings && !k.paused {
		at = earlier(at, k.received.Add(o.ClientTimeout))
	}
	return earlier(earlier(at, k.ack), k.hold)
}

// pinged notes that the client pings. It holds input.
func (c *Conn) pinged() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.clock.pings {
		c.clock.pings = true
		c.wakeAt(c.clock.received.Add(c.server.options.ClientTimeout))
	}
}

// tick does what is due.
func (c *Conn) tick() {
	c.mu.Lock()
	t, k, o := now(), &c.clock, &c.server.options
	passed := func(at instant) bool { return !at.IsZero() && !t.Before(at) }
	switch {
	case passed(k.deadline):
		c.mu.Unlock()
		c.late()
		return
	case c.stage == ended:
	case !k.paused && !k.begun.IsZero() && passed(k.begun.Add(o.ClientTimeout)),
		!k.paused && k.pings && c.attached() && passed(k.received.Add(o.ClientTimeout)):
		c.silent()
		return
	case c.attached() && passed(k.sent.Add(o.KeepAlive)):
		k.sent = t
		c.pushControl(&wire.Record{Type: wire.Ping})
	}
	if passed(k.ack) && c.stage == connected {
		k.ack = instant{}
		go c.acknowledgeLate()
	}
	if passed(k.hold) {
		c.unhold()
	}
	c.reschedule()
	c.mu.Unlock()
}

// acknowledgeLate acknowledges what came a while ago.
func (c *Conn) acknowledgeLate() {
	c.input.Lock()
	defer c.input.Unlock()
	c.acknowledge()
}

// silent gives up a client that has gone silent; one with stateful reconnect
// may come back. It is called with mu held, and frees it.
func (c *Conn) silent() {
	if s := c.socket; s != nil && c.stateful && c.stage == connected {
		c.clock.begun, c.clock.received = instant{}, now()
		c.reschedule()
		c.mu.Unlock()
		s.abort()
		return
	}
	c.mu.Unlock()
	c.end(ErrTimeout, &wire.Record{Type: wire.Close, Error: "the client was silent for too long", Reconnect: true})
}

// late ends what did not get further in time, for good if it ended before.
func (c *Conn) late() {
	c.end(ErrTimeout, &wire.Record{Type: wire.Close, Error: "the client did not come in time"})
	c.mu.Lock()
	defer c.mu.Unlock()
	if !now().Before(c.clock.deadline) { // it ended before: the client did not fetch that
		c.clock.deadline = instant{}
		if c.transport == LongPolling {
			c.release()
		}
	}
	c.reschedule()
}
