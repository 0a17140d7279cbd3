package mqttadapter

import (
	"fmt"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/mqtt"
)

// maxTake is how many messages are taken from an inbox at a time: few, so that
// connections of one endpoint have their turns.
const maxTake = 32

// A feed is what a connection receives: its inbox, or the dead letters.
type feed struct {
	dead bool
	on   bool     // there is a subscription
	qos  byte     // the highest of them
	form form     // of topics
	ids  []uint32 // of the subscriptions that have one

	busy    bool           // messages are waited for, or being taken
	waiting *inbox.Waiting // nil: not, or not any more
	came    uint32         // how often messages came; it may wrap
	paused  bool           // the client asked for a pause
	pausing *time.Timer
	give    func([]*inbox.Delivery, error)
}

// feedOf returns the feed of the inbox or of the dead letters.
func (c *connection) feedOf(dead bool) *feed {
	if dead {
		return &c.feeds[1]
	}
	return &c.feeds[0]
}

// free returns how many messages the client may be sent; c.mu is held.
func (c *connection) free() int {
	if c.out.bytes() > maxOut {
		return 0
	}
	return c.limits.deliveries - c.unsettled - c.out.unwritten()
}

// arm has messages taken for a feed as soon as there are any, if the client may
// be sent some. c.mu is not held.
func (c *connection) arm(f *feed) {
	if n := c.mayTake(f); n > 0 {
		c.await(f, n)
	}
}

// takeUp is arm for a client that begins to receive: what is there is sent at
// once, with what it is answered.
func (c *connection) takeUp(f *feed) {
	n := c.mayTake(f)
	if n == 0 {
		return
	}
	got, err := c.session.Receive(c.ctx, f.dead, inbox.ReceiveOptions{Max: n, NoWait: true})
	if err == nil && len(got) == 0 {
		c.await(f, n)
		return
	}
	c.took(f, got, err)
	c.working.Done()
	if err == nil {
		c.arm(f)
	}
}

// mayTake notes that messages are waited for, or being taken, and returns how many
// may be; 0 if none, or if that is so already.
func (c *connection) mayTake(f *feed) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(c.free(), maxTake)
	if n <= 0 && c.out.bytes() > maxOut {
		c.out.awaited = true
	}
	if !f.on || f.busy || f.paused || n <= 0 || c.cause != nil || c.ended {
		return 0
	}
	f.busy = true
	c.working.Add(1) // until they are sent, or the waiting is cancelled
	return n
}

// await has messages taken when they come.
func (c *connection) await(f *feed, n int) {
	c.mu.Lock()
	came := f.came
	if f.give == nil {
		f.give = func(got []*inbox.Delivery, err error) { c.come(f, got, err) }
	}
	c.mu.Unlock()
	w, err := c.session.ReceiveLater(c.ctx, f.dead, inbox.ReceiveOptions{Max: n}, f.give)
	if err != nil {
		c.took(f, nil, err)
		c.working.Done()
		return
	}
	c.mu.Lock()
	if f.came == came { // otherwise w is over, and another may wait by now
		f.waiting = w
	}
	over := !f.on || f.paused || c.cause != nil || c.ended
	c.mu.Unlock()
	if over {
		c.disarm(f)
		c.arm(f) // it may be wanted again by now
	}
}

// disarm ends the waiting of a feed.
func (c *connection) disarm(f *feed) {
	c.mu.Lock()
	w := f.waiting
	f.waiting = nil
	c.mu.Unlock()
	if w == nil || !w.Cancel() {
		return // what came is dealt with
	}
	c.mu.Lock()
	f.busy = false
	c.mu.Unlock()
	c.working.Done()
}

// come takes messages that have come.
func (c *connection) come(f *feed, got []*inbox.Delivery, err error) {
	defer c.working.Done()
	c.mu.Lock()
	f.waiting = nil
	f.came++
	c.mu.Unlock()
	c.took(f, got, err)
	if err == nil {
		c.arm(f)
	}
}

// took deals with messages that were taken, or ends the connection.
func (c *connection) took(f *feed, got []*inbox.Delivery, err error) {
	if err == nil {
		c.deliver(f, got)
	}
	c.mu.Lock()
	f.busy = false
	c.mu.Unlock()
	if err != nil {
		c.end(c.endOf(err))
	}
}

// deliver sends messages to the client.
func (c *connection) deliver(f *feed, got []*inbox.Delivery) {
	now := time.Now()
	c.mu.Lock()
	if c.cause != nil || !f.on || f.paused {
		c.mu.Unlock()
		c.giveBack(f.dead, got)
		return
	}
	as := *f // it may change meanwhile
	list := make([]outgoing, len(got))
	for i, d := range got {
		list[i] = c.track(&as, d, now)
	}
	c.mu.Unlock()

	buf := getBuffer()
	w := deliveries.Get().(*mqtt.Publish)
	var done, tooLarge []inbox.Settlement
	for i, d := range got {
		before := len(*buf)
		*buf = c.appendDelivery(*buf, w, &as, d, &list[i], now)
		switch size := len(*buf) - before; {
		case c.limits.packet > 0 && size > c.limits.packet:
			*buf = (*buf)[:before]
			c.forget(list[i].id)
			tooLarge = append(tooLarge, inbox.Settlement{
				Lock: d.Lock, Outcome: inbox.DeadLetter, Reason: reasonTooLarge,
				Description: fmt.Sprintf("by MQTT the message is a packet of %d bytes; its receiver takes at most %d", size, c.limits.packet),
			})
		case list[i].id == 0:
			done = append(done, inbox.Settlement{Lock: d.Lock, Outcome: inbox.Complete})
		}
	}
	*w = mqtt.Publish{Topic: w.Topic[:0], Properties: mqtt.Properties{User: w.Properties.User[:0]}}
	deliveries.Put(w)
	if len(tooLarge) > 0 {
		c.settle(f.dead, tooLarge)
	}
	c.mu.Lock()
	if c.cause != nil { // nothing follows the goodbye; what is tracked goes back with the rest
		c.mu.Unlock()
		putBuffer(buf)
		c.giveBackLocks(f.dead, false, locksOf(done))
		return
	}
	defer c.mu.Unlock()
	if len(done) > 0 {
		if c.out.once == nil {
			c.out.once = new(atMostOnce)
		}
		list := &c.out.once.waiting[index(f.dead)]
		*list = append(*list, done...)
	}
	if c.out.buf == nil {
		c.out.buf = buf
	} else {
		*c.out.buf = append(*c.out.buf, *buf...)
		putBuffer(buf)
	}
	c.kick()
}

// reasonTooLarge is why a message is dead that its receiver cannot take.
const reasonTooLarge = "PacketTooLarge"

// deliveries are used again: a delivery may have many properties.
var deliveries = sync.Pool{New: func() any { return new(mqtt.Publish) }}

// track notes a delivery; c.mu is held.
func (c *connection) track(f *feed, d *inbox.Delivery, now time.Time) outgoing {
	o := outgoing{dead: f.dead, lock: d.Lock, sequence: d.Sequence, since: now.UnixNano(), until: d.LockedUntil.UnixNano()}
	if f.qos == 0 {
		return o // it is completed when it is written
	}
	id, again := c.state.again(f.dead, d.Sequence)
	if again {
		o.again = true
	} else {
		id = c.nextID()
	}
	o.id, o.qos = id, f.qos
	c.sent = append(c.sent, o)
	c.unsettled++
	c.watchLocks(d.LockedUntil.Sub(now))
	return o
}

// nextID returns a packet id that is not in use; c.mu is held.
func (c *connection) nextID() uint16 {
	for {
		c.state.lastID++
		id := c.state.lastID
		if id != 0 && c.find(id) == nil && !c.state.reserved(id) {
			return id
		}
	}
}

// find returns the delivery with a packet id, or nil; c.mu is held. Clients
// acknowledge in order, mostly.
func (c *connection) find(id uint16) *outgoing {
	for i := c.sentHead; i < len(c.sent); i++ {
		if o := &c.sent[i]; o.id == id && !o.gone {
			return o
		}
	}
	return nil
}

// forget ends the tracking of a delivery.
func (c *connection) forget(id uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.find(id); id != 0 && o != nil {
		c.drop(o)
	}
}

// drop frees the place of a delivery; c.mu is held.
func (c *connection) drop(o *outgoing) {
	o.gone = true
	c.unsettled--
	for c.sentHead < len(c.sent) && c.sent[c.sentHead].gone {
		c.sentHead++
	}
	if c.sentHead == len(c.sent) {
		c.sent, c.sentHead = c.sent[:0], 0
		if cap(c.sent) > maxTake {
			c.sent = nil
		}
	} else if c.sentHead >= maxTake && c.sentHead*2 >= len(c.sent) {
		n := copy(c.sent, c.sent[c.sentHead:])
		c.sent, c.sentHead = c.sent[:n], 0
	}
}

// giveBack returns messages that the client was not sent.
func (c *connection) giveBack(dead bool, list []*inbox.Delivery) {
	locks := make([]inbox.LockToken, len(list))
	for i, d := range list {
		locks[i] = d.Lock
	}
	c.giveBackLocks(dead, false, locks)
}

func locksOf(list []inbox.Settlement) []inbox.LockToken {
	locks := make([]inbox.LockToken, len(list))
	for i := range list {
		locks[i] = list[i].Lock
	}
	return locks
}

func (c *connection) giveBackLocks(dead, failed bool, locks []inbox.LockToken) {
	if err := c.session.GiveBack(c.ctx, dead, failed, locks...); err != nil {
		c.settled(err)
	}
}

// watchLocks has locks renewed; c.mu is held. length is that of a lock.
func (c *connection) watchLocks(length time.Duration) {
	if c.renewal == nil {
		c.lockTime = max(length, time.Second)
		c.working.Add(1)
		c.renewal = time.AfterFunc(c.lockTime/3, c.renew)
	}
}

// renew renews the locks of messages that the client holds, as long as it may
// hold them.
func (c *connection) renew() {
	defer c.working.Done()
	now := time.Now()
	var due []outgoing
	c.mu.Lock()
	c.renewal = nil
	if c.cause != nil || c.ended {
		c.mu.Unlock()
		return
	}
	for _, o := range c.sent[c.sentHead:] {
		held := now.UnixNano() - o.since
		if !o.gone && held < int64(c.options.HoldTime) && o.until-now.UnixNano() < int64(c.lockTime)*2/3 {
			due = append(due, o)
		}
	}
	if c.unsettled > 0 {
		c.watchLocks(c.lockTime)
	}
	c.mu.Unlock()
	for _, o := range due {
		until, err := c.session.Renew(c.ctx, o.dead, o.lock)
		if err != nil {
			continue // it comes again
		}
		c.mu.Lock()
		if o := c.find(o.id); o != nil {
			o.until = until.UnixNano()
		}
		c.mu.Unlock()
	}
}

// pauseTime is how long nothing is sent to a client that says it has too much.
const pauseTime = time.Second

// pause sends nothing for a while.
func (c *connection) pause(f *feed) {
	c.mu.Lock()
	if f.paused || c.ended {
		c.mu.Unlock()
		return
	}
	f.paused = true
	c.working.Add(1)
	f.pausing = time.AfterFunc(pauseTime, func() {
		defer c.working.Done()
		c.mu.Lock()
		f.paused = false
		c.mu.Unlock()
		c.arm(f)
	})
	c.mu.Unlock()
	c.disarm(f)
}
