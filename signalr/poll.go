package signalr

import (
	"net/http"
	"strconv"
	"time"
)

// A poll is a request of long polling that waits for data.
type poll struct {
	gone chan struct{} // closed when another one took its place
}

// servePoll answers a request of long polling: the first at once, the others
// when there is something.
func (c *Conn) servePoll(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache, no-store")
	h.Set("Pragma", "no-cache")
	h.Set("Expires", "Thu, 01 Jan 1970 00:00:00 GMT")
	p := &poll{gone: make(chan struct{})}
	first, wrong := c.beginPoll(p)
	if wrong {
		refuse(w, http.StatusBadRequest, "the connection uses another transport")
		return
	}
	if first {
		h.Set("Content-Length", "0")
		w.WriteHeader(http.StatusOK)
		return
	}
	defer c.endPoll(p)
	unhurried(w)
	limit := time.NewTimer(c.server.options.PollTimeout)
	defer limit.Stop()
	for {
		chunk, over := c.takePoll(p)
		switch {
		case over:
			w.WriteHeader(http.StatusNoContent)
			return
		case len(chunk) > 0:
			c.answerPoll(w, chunk)
			return
		}
		select {
		case <-c.wake:
		case <-p.gone:
		case <-limit.C:
			h.Set("Content-Length", "0")
			w.WriteHeader(http.StatusOK)
			return
		case <-r.Context().Done():
			return
		}
	}
}

// beginPoll makes p the poll of the connection, in place of another. The first
// one just settles the transport.
func (c *Conn) beginPoll(p *poll) (first, wrong bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transport == "" && c.stage != ended {
		c.begin(LongPolling)
		return true, false
	}
	if c.transport != LongPolling {
		return false, true
	}
	if c.poll != nil {
		close(c.poll.gone)
	}
	c.poll = p
	if c.stage == connected {
		c.clock.deadline = instant{}
		c.reschedule()
	}
	return false, false
}

// takePoll returns what waits for p; over: there is nothing more for it.
func (c *Conn) takePoll(p *poll) (chunk []byte, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.poll != p {
		c.signal() // it may have been meant for the other one
		return nil, true
	}
	if c.stage != greeting {
		chunk = c.take()
	}
	if len(chunk) == 0 && c.stage == ended {
		c.release()
		return chunk, true
	}
	return chunk, false
}

// answerPoll sends what was taken.
func (c *Conn) answerPoll(w http.ResponseWriter, chunk []byte) {
	defer giveBuffer(chunk)
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.Itoa(len(chunk)))
	w.WriteHeader(http.StatusOK)
	err := paced(w, chunk, c.server.options.WriteTimeout)
	c.wrote()
	if err != nil {
		c.end(ErrBroken, nil)
	}
}

// endPoll notes that p is over: the next one must come soon.
func (c *Conn) endPoll(p *poll) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.poll != p {
		return
	}
	c.poll = nil
	if c.stage == connected || c.stage == ended {
		c.clock.deadline = now().Add(c.server.options.PollGap)
		c.reschedule()
	}
}
