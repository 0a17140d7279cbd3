package signalr

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// A socket is one WebSocket of a connection; with stateful reconnect there may
// be several, one after the other. One goroutine reads; another one writes while
// there is something to write.
type socket struct {
	conn    *Conn
	ws      *websocket.Conn
	writing bool // under Conn.mu
}

// serveWebSocket takes a WebSocket as the transport.
func (c *Conn) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	if status, text := c.socketWelcome(); status != 0 {
		refuse(w, status, text)
		return
	}
	ws, err := websocket.Accept(&upgrade{w, c.server.options.WriteTimeout}, r,
		&websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled}) // admit has looked at the origin
	if err != nil {
		return // it has been answered; the connection waits for another try
	}
	ws.SetReadLimit(-1) // records are measured, not messages
	s := &socket{conn: c, ws: ws}
	if !c.attach(s) {
		go func() { _ = ws.Close(websocket.StatusPolicyViolation, "the connection is in use") }()
		return
	}
	go s.read()
}

// socketWelcome returns what refuses a WebSocket, or 0.
func (c *Conn) socketWelcome() (status int, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stage == ended:
		return http.StatusNotFound, "there is no such connection"
	case c.transport == "" || c.stateful && c.stage == connected:
		return 0, ""
	case c.transport == WebSockets:
		return http.StatusConflict, "the connection is in use"
	}
	return http.StatusBadRequest, "the connection uses another transport"
}

// attach makes s the socket of the connection: its first, or one that resumes
// it.
func (c *Conn) attach(s *socket) bool {
	c.mu.Lock()
	old, first := c.socket, c.transport == ""
	if c.stage == ended || !first && !(c.stateful && c.stage == connected) {
		c.mu.Unlock()
		return false
	}
	c.socket, c.transport = s, WebSockets
	if first {
		c.stage = shaking
		c.clock.deadline = now().Add(c.server.options.HandshakeTimeout)
		c.reschedule()
		c.mu.Unlock()
		return true
	}
	c.clock.deadline, c.clock.received = instant{}, now()
	c.replay()
	c.changed.Broadcast()
	c.reschedule()
	c.mu.Unlock()
	if old != nil {
		old.abort()
	}
	c.input.Lock()
	defer c.input.Unlock()
	c.dropPartial()
	c.incoming.sequence = true
	return true
}

// readSize is how much is read at once.
const readSize = 4 << 10

// read takes what comes until the socket is over.
func (s *socket) read() {
	var err error
	for err == nil {
		var message io.Reader
		if _, message, err = s.ws.Reader(context.Background()); err == nil {
			err = s.readMessage(message)
		}
	}
	s.conn.socketGone(s, err)
}

// readMessage takes one message. When nothing of it is of interest any more it
// is read all the same: the close frame is behind it.
func (s *socket) readMessage(message io.Reader) error {
	buffer := takeBuffer()
	if cap(buffer) < readSize {
		buffer = make([]byte, 0, readSize)
	}
	defer giveBuffer(buffer)
	for {
		n, err := message.Read(buffer[:readSize])
		if n > 0 {
			s.conn.feed(s, buffer[:n])
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// write sends what waits until there is nothing, or the socket is over. When
// the connection has ended it says goodbye and closes the socket.
func (s *socket) write() {
	c := s.conn
	for {
		c.mu.Lock()
		if c.socket != s {
			c.mu.Unlock()
			return
		}
		kind := websocket.MessageText
		if c.protocol != nil && c.protocol.Binary() {
			kind = websocket.MessageBinary
		}
		do := c.written() // what the last round took
		chunk := c.take()
		over := c.stage == ended && c.out.empty()
		idle := len(chunk) == 0 && !over
		if idle {
			s.writing = false
		}
		c.mu.Unlock()
		if do != nil {
			do()
		}
		if idle {
			return
		}
		var err error
		if len(chunk) > 0 {
			err = s.ws.Write(context.Background(), kind, chunk)
		}
		giveBuffer(chunk)
		if err != nil {
			s.abort()
			return
		}
		if over {
			_ = s.ws.Close(websocket.StatusNormalClosure, "") // the reader sees what comes of it
			return
		}
	}
}

// abort breaks the socket. The reader does the rest.
func (s *socket) abort() { go func() { _ = s.ws.CloseNow() }() }

// socketGone is called when a socket is over.
func (c *Conn) socketGone(s *socket, err error) {
	_ = s.ws.CloseNow()
	c.mu.Lock()
	if c.socket != s {
		c.mu.Unlock()
		return
	}
	c.socket = nil
	c.changed.Broadcast()
	status := websocket.CloseStatus(err)
	proper := status == websocket.StatusNormalClosure || status == websocket.StatusGoingAway
	switch {
	case c.stage == ended:
		c.release()
		c.mu.Unlock()
	case proper:
		c.mu.Unlock()
		c.end(nil, nil)
	case c.stateful && c.stage == connected:
		c.clock.deadline = now().Add(c.server.options.Resume)
		c.reschedule()
		c.mu.Unlock()
	default:
		c.mu.Unlock()
		c.end(ErrBroken, nil)
	}
}

// upgrade lends net/http's connection to a WebSocket with buffers that suit
// many idle ones.
type upgrade struct {
	http.ResponseWriter
	timeout time.Duration
}

// The sizes of the buffers of an idle WebSocket. What is larger passes by them.
const (
	readBuffer  = 512
	writeBuffer = 512
)

// Hijack implements http.Hijacker.
func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	inner, had, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	early, _ := had.Reader.Peek(had.Reader.Buffered()) // it is there
	c := &pacedConn{Conn: inner, early: bytes.Clone(early), timeout: u.timeout}
	return c, bufio.NewReadWriter(bufio.NewReaderSize(c, readBuffer), bufio.NewWriterSize(c, writeBuffer)), nil
}

// paceSize is how much must be written within Options.WriteTimeout.
const paceSize = 16 << 10

// A pacedConn gives up a peer that does not take paceSize within the timeout.
type pacedConn struct {
	net.Conn
	early   []byte // came before the connection was lent
	timeout time.Duration
}

// Read implements net.Conn.
func (c *pacedConn) Read(b []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(b, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// Write implements net.Conn.
func (c *pacedConn) Write(b []byte) (written int, err error) {
	for len(b) > 0 && err == nil {
		if err = c.SetWriteDeadline(now().Add(c.timeout)); err != nil {
			return written, err
		}
		var n int
		n, err = c.Conn.Write(b[:min(paceSize, len(b))])
		written += n
		b = b[n:]
	}
	return written, err
}
