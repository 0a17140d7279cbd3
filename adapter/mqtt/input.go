package mqttadapter

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/mqtt"
)

// Bounds of what is read.
const (
	maxFirst = 64 << 10               // bytes of the CONNECT packet, with its will
	idleTime = time.Second            // after which a connection that says nothing is idle
	partTime = time.Minute            // for a packet to come whole, at least
	glance   = 100 * time.Millisecond // for what has come already
	readSize = 16 << 10               // of a buffer for reading
)

// An input is what a client has sent and was not dealt with. An idle connection
// has no buffer.
type input struct {
	*reading // nil: nothing was read
	from     int
	limit    int       // of a packet
	last     time.Time // when something came
	begun    time.Time // when the packet that is not whole yet began; zero: there is none
}

// A reading is what a connection needs that is being read.
type reading struct {
	buf     []byte // from input.from on, what was not dealt with
	publish mqtt.Publish
	ack     mqtt.Ack
	topic   lastTopic
	// settling is what the client has decided: of the inbox, and of the dead
	// letters.
	settling [2][]inbox.Settlement
}

// next returns the header and the body of the next packet, which are lent until
// the next call, or errIdle. quiet is called before it waits for the client.
func (c *connection) next(quiet func()) (mqtt.Header, []byte, error) {
	in := &c.in
	if in.reading == nil {
		in.reading = getReading()
	}
	for {
		h, body, err := in.packet()
		if body != nil || err != nil {
			return h, body, err
		}
		quiet()
		if err := c.fill(); err != nil {
			return mqtt.Header{}, nil, err
		}
	}
}

// packet returns the next packet if it is whole; body is nil if it is not.
func (in *input) packet() (h mqtt.Header, body []byte, err error) {
	b := in.buf[in.from:]
	h, n, err := mqtt.ParseHeader(b)
	if err != nil || n == 0 {
		return h, nil, err
	}
	total := n + h.Length
	if total > in.limit {
		return h, nil, &mqtt.Error{Code: mqtt.PacketTooLarge, Detail: fmt.Sprintf("the packet is %d bytes long; at most %d are allowed", total, in.limit)}
	}
	if total > len(b) {
		return h, nil, nil
	}
	in.from += total
	in.begun = time.Time{}
	return h, b[n:total:total], nil
}

// fill reads more behind what is in the buffer. A connection that says nothing
// for a while gives its buffer back, and is idle.
func (c *connection) fill() error {
	in := &c.in
	now := time.Now()
	until := c.until(now)
	in.makeRoom()
	mayRest := c.mayRest()
	if len(in.buf) == 0 && cap(in.buf) > readSize && !mayRest {
		in.buf = make([]byte, 0, readSize) // the large one would not be given back
	}
	resting := mayRest && len(in.buf) == 0 && until.Sub(now) > max(c.idleTime, glance)
	if resting {
		until = now.Add(c.idleTime)
	}
	n, err := c.readInto(in.buf[len(in.buf):cap(in.buf)], until)
	in.buf = in.buf[:len(in.buf)+n]
	if resting && errors.Is(err, os.ErrDeadlineExceeded) {
		c.relax()
		return errIdle
	}
	return err
}

// errIdle says that nothing has come for a while.
var errIdle = errors.New("nothing comes")

// makeRoom has room behind what is in the buffer. A buffer grows with what has
// come, not with what was announced.
func (in *input) makeRoom() {
	rest := copy(in.buf[:cap(in.buf)], in.buf[in.from:])
	in.buf, in.from = in.buf[:rest], 0
	if rest == cap(in.buf) {
		larger := make([]byte, rest, min(2*rest, max(in.limit, rest+1)))
		copy(larger, in.buf)
		in.buf = larger
	}
}

// relax gives back what an idle connection does not need.
func (c *connection) relax() {
	putReading(c.in.reading)
	c.in.reading = nil
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acks.idle()
	if c.unsettled == 0 {
		c.sent, c.sentHead = nil, 0
	}
}

// readInto reads what there is into b, which it waits for until then.
func (c *connection) readInto(b []byte, until time.Time) (int, error) {
	if err := c.listenUntil(until); err != nil {
		return 0, err
	}
	n, err := c.nc.Read(b)
	if n > 0 {
		now := time.Now()
		c.in.last = now
		if c.in.begun.IsZero() {
			c.in.begun = now
		}
		return n, nil // an error comes again
	}
	return 0, err
}

// listenUntil has reading, and waiting for that, end at a time.
func (c *connection) listenUntil(t time.Time) error {
	if err := c.nc.SetReadDeadline(t); err != nil {
		return err
	}
	if c.over.Load() {
		return errOver // whoever ends the connection may have set the deadline before
	}
	return nil
}

// until returns when the client must have sent something: the rest of a packet,
// or another one.
func (c *connection) until(now time.Time) time.Time {
	in := &c.in
	switch {
	case c.session == nil:
		return c.deadline
	case in.reading != nil && len(in.buf) > in.from && !in.begun.IsZero():
		return in.begun.Add(max(c.keepAlive, partTime))
	case in.last.IsZero():
		return now.Add(c.keepAlive)
	}
	// While the gateway was busy it did not listen.
	end, soon := in.last.Add(c.keepAlive), now.Add(glance)
	if end.Before(soon) {
		return soon
	}
	return end
}

// errOver says that the connection is to be read no more.
var errOver = errors.New("the connection is ending")

// readings are used again.
var readings = sync.Pool{New: func() any { return &reading{buf: make([]byte, 0, readSize)} }}

func getReading() *reading { return readings.Get().(*reading) }

func putReading(r *reading) {
	if r == nil || cap(r.buf) != readSize {
		return // a large one is rarely needed
	}
	r.buf, r.topic = r.buf[:0], lastTopic{}
	if cap(r.publish.Properties.User) > maxKeptProperties {
		r.publish.Properties.User = nil
	}
	readings.Put(r)
}

// maxKeptProperties is how many properties memory is kept for.
const maxKeptProperties = 64

// isTimeout reports whether the client was silent for too long.
func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}
