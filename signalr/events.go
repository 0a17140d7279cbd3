package signalr

import (
	"bytes"
	"net/http"
)

// serveEvents sends what there is as Server-Sent Events, until the connection
// or the request ends.
func (c *Conn) serveEvents(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	over, transport := c.stage == ended, c.transport
	if !over && transport == "" {
		c.begin(ServerSentEvents)
	}
	c.mu.Unlock()
	switch {
	case over:
		refuse(w, http.StatusNotFound, "there is no such connection")
		return
	case transport == ServerSentEvents:
		refuse(w, http.StatusConflict, "the connection is in use")
		return
	case transport != "":
		refuse(w, http.StatusBadRequest, "the connection uses another transport")
		return
	}
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.release()
	}()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache, no-store")
	h.Set("Content-Encoding", "identity")
	h.Set("X-Accel-Buffering", "no")
	unhurried(w)
	err := paced(w, []byte(":\r\n"), c.server.options.WriteTimeout) // some browsers need a first byte
	for err == nil && c.awaitOutput(r) {
		err = c.sendEvents(w)
	}
	if err == nil {
		c.end(nil, nil) // clients drop the request without waiting for their goodbye to arrive
		return
	}
	c.end(ErrBroken, nil)
}

// awaitOutput waits until there may be something to send. It returns false if
// the request is over, or all has been sent of a connection that has ended.
func (c *Conn) awaitOutput(r *http.Request) bool {
	c.mu.Lock()
	over := c.stage == ended && c.out.empty()
	c.mu.Unlock()
	if over {
		return false
	}
	select {
	case <-c.wake:
		return true
	case <-r.Context().Done():
		return false
	}
}

// sendEvents sends what waits as one event.
func (c *Conn) sendEvents(w http.ResponseWriter) error {
	c.mu.Lock()
	chunk := c.take()
	c.mu.Unlock()
	defer giveBuffer(chunk)
	if len(chunk) == 0 {
		return nil
	}
	event := appendEvent(takeBuffer(), chunk)
	defer giveBuffer(event)
	err := paced(w, event, c.server.options.WriteTimeout)
	c.wrote()
	return err
}

// appendEvent appends an event with data, which may have line ends (as white
// space of JSON).
func appendEvent(to, data []byte) []byte {
	for {
		to = append(to, "data: "...)
		i := bytes.IndexAny(data, "\r\n")
		if i < 0 {
			return append(append(to, data...), "\r\n\r\n"...)
		}
		to = append(append(to, data[:i]...), "\r\n"...)
		data = data[i+1:]
	}
}
