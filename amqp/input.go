package amqp

import (
	"io"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse/amqp/frame"
)

// smallBuffer is the room every connection has for reading. Most frames of a
// quiet connection fit; for more, it borrows a buffer from the server.
const smallBuffer = 256

// An input is what was read from the peer and not yet handled. It belongs to
// the Serve goroutine.
type input struct {
	small    [smallBuffer]byte
	borrowed *[]byte
	pool     *sync.Pool // borrowed's
	r, w     int
}

func (in *input) buffer() []byte {
	if in.borrowed != nil {
		return *in.borrowed
	}
	return in.small[:]
}

// release gives the buffer back if nothing is left in it.
func (in *input) release() {
	if in.r < in.w {
		return
	}
	in.r, in.w = 0, 0
	if in.borrowed != nil {
		in.pool.Put(in.borrowed)
		in.borrowed, in.pool = nil, nil
	}
}

// grow moves what is unread into a larger buffer.
func (in *input) grow(pool *sync.Pool) {
	larger := pool.Get().(*[]byte)
	n := copy(*larger, in.buffer()[in.r:in.w])
	if in.borrowed != nil {
		in.pool.Put(in.borrowed)
	}
	in.borrowed, in.pool, in.r, in.w = larger, pool, 0, n
}

// need returns the next n bytes without taking them, reading as necessary.
// They are valid until the next call.
func (c *Conn) need(n int) ([]byte, error) {
	in := &c.in
	for in.w-in.r < n {
		if err := c.fill(n); err != nil {
			return nil, err
		}
	}
	return in.buffer()[in.r : in.r+n], nil
}

// fill reads once. Before it waits for the peer, what is to be written is sent
// on its way.
func (c *Conn) fill(n int) error {
	in := &c.in
	c.uncork()
	c.waitOutput()
	in.release()
	if in.w == len(in.buffer()) || n > len(in.buffer())-in.r {
		c.makeRoom(n)
	}
	got, err := c.nc.Read(in.buffer()[in.w:])
	c.cork()
	if got > 0 {
		in.w += got
		c.lastRead.Store(int64(time.Since(c.start)))
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// makeRoom makes room for n bytes from the read position on, by moving what is
// unread to the front, or into a larger buffer. A small buffer that is full
// means that more is waiting.
func (c *Conn) makeRoom(n int) {
	in := &c.in
	buf := in.buffer()
	full := in.borrowed == nil && in.w == len(buf)
	if n <= len(buf) && !full {
		in.w = copy(buf, buf[in.r:in.w])
		in.r = 0
		return
	}
	if c.opened {
		in.grow(&c.server.large)
		return
	}
	in.grow(&c.server.first)
}

// next reads a frame of at most limit bytes. The body is valid until the next
// call.
func (c *Conn) next(limit uint32) (frame.Header, []byte, error) {
	head, err := c.need(frame.HeaderSize)
	if err != nil {
		return frame.Header{}, nil, err
	}
	h, err := frame.ParseHeader(head)
	if err != nil {
		return h, nil, Err(FramingError, "the frame header is malformed")
	}
	if h.Size > limit {
		return h, nil, Err(FramingError, "the frame is larger than this connection allows")
	}
	all, err := c.need(int(h.Size))
	if err != nil {
		return h, nil, err
	}
	c.in.r += int(h.Size)
	return h, all[h.Offset:], nil
}
