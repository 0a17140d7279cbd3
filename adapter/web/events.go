package web

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/inbox"
)

// Events returns a handler that serves inboxes as Server-Sent Events. stop ends
// its connections and returns when all are gone; the handler is not to be called
// any more then.
func (a *Adapter) Events(g *gate.Gate) (h http.Handler, stop func()) {
	v := newServing(a, g, ProtocolEvents)
	return http.HandlerFunc(v.serveEvents), v.stop
}

func (v *serving) serveEvents(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("rest")
	switch {
	case id == "" && r.Method == http.MethodGet:
		v.stream(w, r)
	case id == "":
		v.refuseMethod(w, r, "GET, OPTIONS")
	case r.Method == http.MethodPost || r.Method == http.MethodDelete:
		v.acknowledge(w, r, id)
	default:
		v.refuseMethod(w, r, "POST, DELETE, OPTIONS")
	}
}

// acknowledge completes what a client was given up to an event.
func (v *serving) acknowledge(w http.ResponseWriter, r *http.Request, text string) {
	id, err := parseEventID(text)
	if err == nil {
		err = v.complete(r, &id)
	}
	if err != nil {
		v.refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (v *serving) complete(r *http.Request, id *eventID) error {
	asking, err := v.open(r, gatehouse.RightListen)
	if err != nil {
		return err
	}
	defer asking.gate.Close()
	who := asking.gate.Identity()
	s := v.find(id.connection, who.Account, who.Endpoint)
	if s == nil {
		return gatehouse.Errorf(gatehouse.LockLost, "the connection that this event came by is gone; what was not acknowledged comes again")
	}
	done := make(chan error, 1)
	all := s.upTo(id)
	if len(all) == 0 {
		return nil // acknowledged already, or lost
	}
	if err := s.settleAll(all, func(err error) { done <- err }); err != nil {
		return err
	}
	return <-done
}

// How long things take on a stream.
const (
	// turnTime is how long a client may leave deliveries unacknowledged before
	// it is made to come again, which acknowledges them; at most half of their
	// locks.
	turnTime = 15 * time.Second
	// keepTime is how long what it holds is kept for it then.
	keepTime = 10 * time.Second
	// How soon a client comes again: after its turn, and if it lost the
	// connection.
	retryTurn = 10 * time.Millisecond
	retryLost = 2 * time.Second
)

// A stream is a client of Server-Sent Events. It is served by the goroutine of
// its request.
type stream struct {
	*session
	w        http.ResponseWriter
	control  *http.ResponseController
	explicit bool                 // only requests acknowledge
	coming   chan *inbox.Delivery // to be written
	gone     context.Context      // of the request
	why      error                // of the end; set before told is closed
	kept     bool                 // the session goes on without a request; set before it is finished
	text     []byte
}

// stream opens a stream and serves it.
func (v *serving) stream(w http.ResponseWriter, r *http.Request) {
	last, err := lastEvent(r)
	if err == nil && r.ContentLength != 0 { // it could hold the connection for ever
		err = gatehouse.Errorf(gatehouse.Invalid, "this request has no body")
	}
	if err == nil {
		err = v.admit()
	}
	if err != nil {
		v.refuse(w, err)
		return
	}
	s, err := v.open(r, gatehouse.RightListen)
	if err != nil {
		v.leave()
		v.refuse(w, err)
		return
	}
	c := &stream{
		session: s, w: w, control: http.NewResponseController(w), gone: r.Context(),
		explicit: r.URL.Query().Get("ack") == "explicit", coming: make(chan *inbox.Delivery),
	}
	s.deliver = c.pass
	s.ended = func(err error) {
		c.why = err
		if c.kept {
			v.leave()
		}
	}
	if !c.serve(last) {
		v.leave()
	}
}

// lastEvent returns the id of the event a client says it got last.
func lastEvent(r *http.Request) (eventID, error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("lastEventId")
	}
	if text == "" {
		return eventID{}, nil
	}
	return parseEventID(text)
}

// pass hands a delivery to the goroutine that writes.
func (c *stream) pass(d *inbox.Delivery) bool {
	select {
	case c.coming <- d:
		return true
	case <-c.over:
		return false
	case <-c.gone.Done():
		return false
	}
}

// serve writes events until the stream ends. It returns true if the session
// goes on without it.
func (c *stream) serve(last eventID) (kept bool) {
	c.succeed(&last)
	c.take(c.session)
	if c.start() != nil {
		<-c.told
		c.refuse(c.w, c.why)
		return false
	}
	h := c.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache, no-store")
	h.Set("X-Accel-Buffering", "no")
	_ = c.control.SetReadDeadline(time.Time{}) // the request was read
	c.text = appendRetry(append(c.text, ": hello\n"...), retryLost)
	if c.flush() == nil && c.receive(c.asked) == nil && c.run() && c.keep() {
		return true
	}
	c.finish(errGone)
	<-c.told
	return false
}

// succeed takes over from the connection that the client's last event came by:
// what it was given is acknowledged, and the rest, if any, goes back.
func (c *stream) succeed(last *eventID) {
	if last.connection == "" {
		return
	}
	if !c.explicit {
		c.seen = make(map[gatehouse.Offset]struct{}, len(last.sequences))
		for _, sequence := range last.sequences {
			c.seen[sequence] = struct{}{}
		}
	}
	who := c.gate.Identity()
	old := c.find(last.connection, who.Account, who.Endpoint)
	if old == nil {
		return
	}
	if all := old.upTo(last); !c.explicit && len(all) > 0 {
		// If it fails they are taken again, and completed as seen.
		done := make(chan error, 1)
		if old.settleAll(all, func(err error) { done <- err }) == nil {
			<-done
		}
	}
	old.finish(errTakenOver)
	<-old.over
}

// run writes what there is to write. It returns true if the client is to come
// again to acknowledge what it has.
func (c *stream) run() (turn bool) {
	beat := time.NewTicker(c.options.KeepAlive)
	defer beat.Stop()
	due := time.NewTimer(never)
	defer due.Stop()
	for {
		var err error
		select {
		case d := <-c.coming:
			err = c.event(d)
			turn = c.look(due)
		case <-due.C:
			turn = c.look(due)
		case <-beat.C:
			c.text = append(c.text, ": \n\n"...)
			err = c.flush()
		case <-c.gone.Done():
			return false
		case <-c.told:
			c.farewell()
			return false
		}
		if err != nil {
			return false
		}
		if turn {
			c.text = appendRetry(c.text, retryTurn)
			return c.flush() == nil
		}
	}
}

const (
	never   = 24 * time.Hour         // when nothing is due
	minLook = 100 * time.Millisecond // between two looks at what cannot be renewed
)

// look looks after what the client has not acknowledged, and sets when to do so
// next. It returns true if it is the client's turn.
func (c *stream) look(due *time.Timer) (turn bool) {
	full, wait := c.state()
	if full || wait <= 0 {
		c.renewAll() // forgets what was settled in another way
		full, wait = c.state()
		turn = !c.explicit && (full || wait <= 0)
		if !turn {
			c.more()
		}
	}
	due.Reset(max(wait, minLook))
	return turn
}

// state says whether the client has as much as the window holds, and how long the client may take to
// acknowledge the first of it, or its locks can wait to be renewed.
func (c *stream) state() (full bool, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, wait, shown := time.Now(), never, 0
	for _, h := range c.held {
		if h.shown {
			shown++
		}
		since := h.taken
		if c.explicit {
			since = h.renewed
		}
		wait = min(wait, since.Add(min(turnTime, h.until.Sub(h.renewed)/2)).Sub(now))
	}
	full = shown == len(c.held) && (shown >= c.window || c.bytes >= c.options.WindowBytes)
	return full, wait
}

// keep has the session wait without a request for the client to come again, and
// reports whether it does.
func (c *stream) keep() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished || c.stopping {
		return false
	}
	c.kept = true
	c.window = 0
	c.withdraw()
	time.AfterFunc(keepTime, func() { c.finish(errGone) })
	return true
}

// event writes a delivery.
func (c *stream) event(d *inbox.Delivery) error {
	id := eventID{connection: c.id, sequences: c.show(d)}
	c.text = append(append(append(c.text, "id: "...), id.String()...), '\n')
	c.text = appendData(c.text, appendDelivery(nil, d))
	return c.flush()
}

// farewell tells the client why its stream ends.
func (c *stream) farewell() {
	p := c.tell(c.why)
	text, _ := json.Marshal(struct { // texts: cannot fail
		Kind   string `json:"kind"`
		Reason string `json:"reason"`
	}{p.Kind, p.Detail})
	c.text = appendData(append(c.text, "event: closing\n"...), text)
	_ = c.flush() // it may be gone
}

// flush writes what was appended to text.
func (c *stream) flush() error {
	err := c.control.SetWriteDeadline(time.Now().Add(c.options.WriteTime))
	if err == nil {
		_, err = c.w.Write(c.text)
	}
	if err == nil {
		err = c.control.Flush()
	}
	if err == nil { // over HTTP/2 it would end the stream, were nothing written
		err = c.control.SetWriteDeadline(time.Time{})
	}
	c.text = c.text[:0]
	if cap(c.text) > maxEnvelope {
		c.text = nil
	}
	return err
}

func appendRetry(dst []byte, after time.Duration) []byte {
	return append(strconv.AppendInt(append(dst, "retry: "...), after.Milliseconds(), 10), "\n\n"...)
}

// appendData appends the data of an event and ends it. A line of its own begins
// behind every end of line, of which there are three kinds; where JSON has them
// they mean nothing.
func appendData(dst, text []byte) []byte {
	dst = append(dst, "data: "...)
	for _, b := range text {
		switch b {
		case '\r', '\n':
			dst = append(dst, "\ndata: "...)
		default:
			dst = append(dst, b)
		}
	}
	return append(dst, "\n\n"...)
}
