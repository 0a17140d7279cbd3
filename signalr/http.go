package signalr

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// paced writes to a client that must take paceSize within the timeout, and
// flushes.
func paced(w http.ResponseWriter, b []byte, timeout time.Duration) error {
	control := http.NewResponseController(w)
	defer control.SetWriteDeadline(time.Time{}) //nolint:errcheck // the next request sets its own
	for {
		_ = control.SetWriteDeadline(now().Add(timeout)) // without it a slow client costs more, no worse
		n, err := w.Write(b[:min(paceSize, len(b))])
		if err != nil {
			return err
		}
		if err := control.Flush(); err != nil {
			return err
		}
		if b = b[n:]; len(b) == 0 {
			return nil
		}
	}
}

// unhurried lets a request wait longer than the server's time-outs allow.
func unhurried(w http.ResponseWriter) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{})  // what cannot be set is not in force,
	_ = control.SetWriteDeadline(time.Time{}) // or ends the request early, which clients bear
}

// post takes what a client sends beside its events or polls.
func (s *Server) post(w http.ResponseWriter, r *http.Request) {
	c := s.connOf(w, r, false)
	if c == nil {
		return
	}
	c.mu.Lock()
	transport, over, turn := c.transport, c.stage == ended, c.posting
	c.mu.Unlock()
	switch {
	case over:
		refuse(w, http.StatusNotFound, "there is no such connection")
		return
	case transport == WebSockets:
		refuse(w, http.StatusMethodNotAllowed, "the connection uses a WebSocket")
		return
	case transport == "":
		refuse(w, http.StatusNotFound, "the connection has no transport yet")
		return
	}
	if !takeTurn(r.Context(), c, turn) {
		refuse(w, http.StatusConflict, "the connection has ended")
		return
	}
	defer func() { <-turn }()
	if err := c.readBody(w, r.Body); err != nil {
		c.end(ErrBroken, nil)
		w.Header().Set("Connection", "close")
		refuse(w, http.StatusBadRequest, "the body broke off")
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusOK)
}

// takeTurn waits until no other POST of the connection is being read.
func takeTurn(ctx context.Context, c *Conn, turn chan struct{}) bool {
	select {
	case turn <- struct{}{}:
		return true
	case <-ctx.Done():
	case <-c.ctx.Done():
	}
	return false
}

// readBody takes the records of a body. What is of no interest any more is not
// read. Unless all has been read the time-out stays in force, for the server to
// drop the rest.
func (c *Conn) readBody(w http.ResponseWriter, body io.Reader) error {
	control := http.NewResponseController(w)
	buffer := make([]byte, readSize)
	for {
		_ = control.SetReadDeadline(now().Add(c.server.options.BodyTimeout)) // the server's own hold where it cannot be set
		n, err := body.Read(buffer)
		whole := errors.Is(err, io.EOF)
		if whole {
			_ = control.SetReadDeadline(time.Time{})
		}
		if n > 0 && !c.feed(nil, buffer[:n]) || whole {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// drop ends a connection of long polling.
func (s *Server) drop(w http.ResponseWriter, r *http.Request) {
	c := s.connOf(w, r, false)
	if c == nil {
		return
	}
	if t := c.Transport(); t != LongPolling && t != "" {
		refuse(w, http.StatusBadRequest, "only connections of long polling are deleted")
		return
	}
	c.end(nil, nil)
	c.mu.Lock()
	if c.poll == nil {
		c.release()
	}
	c.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusAccepted)
}

// begin makes t the transport of the connection if it has none. It holds mu.
func (c *Conn) begin(t Transport) {
	c.transport, c.stage = t, shaking
	c.wake = make(chan struct{}, 1)
	c.posting = make(chan struct{}, 1)
	c.clock.deadline = now().Add(c.server.options.HandshakeTimeout)
	c.reschedule()
}
