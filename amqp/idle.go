package amqp

import (
	"time"

	"github.com/gatehouse/gatehouse/amqp/frame"
)

// never is further away than any timer of a connection.
const never = time.Hour

// tick looks after all times of the connection (part 2.4.5) and sets the timer
// for when it has to look again.
func (c *Conn) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		return
	}
	now := time.Since(c.start)
	if c.closeSent {
		c.tickClosing(now)
		return
	}
	if !c.openSent {
		c.failLocked(ErrHandshake)
		return
	}
	next := min(c.watchPeer(now), c.showLife(now))
	if !c.closeSent {
		c.timer.Reset(max(next, time.Millisecond))
	}
}

// tickClosing gives the peer up that does not answer our close.
func (c *Conn) tickClosing(now time.Duration) {
	if left := c.closeUntil - now; left > 0 {
		c.timer.Reset(left)
		return
	}
	c.failLocked(ErrClosedPeer)
}

// watchPeer closes a connection whose peer has been silent for too long, and
// tells when to look again.
func (c *Conn) watchPeer(now time.Duration) time.Duration {
	idle := c.server.config.IdleTimeout
	if idle < 0 {
		return never
	}
	left := time.Duration(c.lastRead.Load()) + 2*idle - now
	if left > 0 {
		return left
	}
	c.closeLocked(Err(ResourceLimitExceeded, "nothing was received for twice the idle timeout of "+idle.String()))
	c.corked = false
	c.kick()
	return never
}

// showLife sends an empty frame if nothing was sent for half the peer's idle
// timeout, and tells when to look again.
func (c *Conn) showLife(now time.Duration) time.Duration {
	if c.remote == nil || c.remote.IdleTimeout == 0 || c.closeSent {
		return never
	}
	every := time.Duration(c.remote.IdleTimeout) * time.Millisecond / 2
	left := time.Duration(c.lastWrite.Load()) + every - now
	if left > 0 {
		return left
	}
	if !c.writing {
		c.borrow()
		c.out = frame.AppendEmpty(c.out)
		c.kick()
	}
	return every
}
