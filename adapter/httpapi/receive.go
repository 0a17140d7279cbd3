package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/cloudevents"
	"github.com/gatehouse/gatehouse/inbox"
)

const (
	// maxWait is how long a receive may wait, and does if it does not say.
	maxWait = 60 * time.Second
	// maxTake is how many messages one receive or peek may ask for.
	maxTake = 256
	// defaultPeek is how many messages a peek shows if it does not say.
	defaultPeek = 32
)

// A query is what a receive asks for behind the question mark.
type query struct {
	wait time.Duration
	most int
	many bool // the answer is an array
}

func (c *call) query() (query, error) {
	q := query{wait: maxWait, most: 1, many: accepts(c.r.Header, cloudevents.BatchContentType)}
	if c.r.URL.RawQuery == "" {
		return q, nil
	}
	values := c.r.URL.Query()
	if values.Has("session") {
		return q, gatehouse.Errorf(gatehouse.Invalid, "sessions cannot be taken over HTTP; without one you receive the messages of all groups that no other receiver has locked")
	}
	seconds, ok, err := number(values, "timeout")
	if err != nil {
		return q, err
	}
	if ok && seconds < uint64(maxWait/time.Second) {
		q.wait = time.Duration(seconds) * time.Second
	}
	most, ok, err := number(values, "maxMessages")
	if ok {
		q.most, q.many = int(min(most, maxTake)), true
	}
	if ok && most == 0 {
		err = gatehouse.Errorf(gatehouse.Invalid, "maxMessages is 0; ask for at least one message")
	}
	return q, err
}

// number reads a whole number from the query; ok says whether it is there.
func number(values url.Values, name string) (n uint64, ok bool, err error) {
	text := values.Get(name)
	if text == "" {
		return 0, false, nil
	}
	n, err = strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, false, gatehouse.Errorf(gatehouse.Invalid, "%s is %.32q, not a whole number", name, text)
	}
	return n, true, nil
}

// receive takes the next messages of an inbox: under a lock for POST, and for
// good for DELETE. It waits for one to come until the client's time is over,
// the client is gone, or the server is told to stop.
func (c *call) receive() error {
	q, err := c.query()
	if err != nil {
		return err
	}
	// What the client sent as a body means nothing, but as long as it is
	// unread, nobody notices that the client goes away.
	if _, err := c.readBody(c.MaxBody); err != nil {
		return err
	}
	c.allowTime(q.wait)
	ctx, cancel := context.WithTimeout(c.r.Context(), q.wait)
	defer cancel()
	defer context.AfterFunc(c.stopping, cancel)()
	got, err := c.take(ctx, q)
	if err != nil {
		return err
	}
	return c.deliver(got, q.many)
}

// receiveDeferred takes one message that was set aside.
func (c *call) receiveDeferred() error {
	got, err := c.takeDeferred()
	if err != nil {
		return err
	}
	return c.deliver(got, accepts(c.r.Header, cloudevents.BatchContentType))
}

// deliver answers with messages that are locked. If the client asked to have
// them removed they are, once the answer was handed to the connection; if the
// client is gone they go back.
func (c *call) deliver(got []*inbox.Delivery, many bool) error {
	if len(got) == 0 {
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if c.r.Context().Err() != nil {
		return c.withdraw(got)
	}
	if c.r.Method != http.MethodDelete {
		return c.show(http.StatusCreated, got, many)
	}
	if err := c.show(http.StatusOK, withoutLocks(got), many); err != nil {
		return err
	}
	if http.NewResponseController(c.w).Flush() != nil {
		return c.withdraw(got)
	}
	// The answer is out: it cannot be told any more if this fails. The
	// messages then come again when their locks expire.
	if err := c.complete(got); err != nil {
		c.Logger.WarnContext(c.r.Context(), "received messages could not be removed and will be delivered again",
			"account", c.target.account, "endpoint", c.target.endpoint, "messages", len(got), "error", err)
	}
	return nil
}

// withdraw gives back messages that could not be handed to the client.
func (c *call) withdraw(got []*inbox.Delivery) error {
	if err := c.giveBack(got); err != nil { // their locks will expire
		c.Logger.DebugContext(c.r.Context(), "messages for a client that is gone stay locked", "error", err)
	}
	return errGone
}

// withoutLocks returns a copy of the messages as they are shown to a client
// that has nothing to settle.
func withoutLocks(got []*inbox.Delivery) []*inbox.Delivery {
	shown := make([]*inbox.Delivery, len(got))
	for i, d := range got {
		unlocked := *d
		unlocked.Lock, unlocked.LockedUntil = inbox.LockToken{}, time.Time{}
		shown[i] = &unlocked
	}
	return shown
}

// show writes messages in the form the client asked for.
func (c *call) show(status int, got []*inbox.Delivery, many bool) error {
	if many {
		body := []byte{'['}
		for i := range got {
			if i > 0 {
				body = append(body, ',')
			}
			body = appendEvent(body, got[i])
		}
		return c.answer(status, c.arrayType(), append(body, ']'))
	}
	d := got[0]
	h := c.w.Header()
	if !d.Lock.IsZero() {
		h["Location"] = []string{c.location(d)}
	}
	if accepts(c.r.Header, cloudevents.ContentType) {
		h["BrokerProperties"] = []string{string(appendBroker(nil, d))}
		return c.answer(status, cloudevents.ContentType, appendEvent(nil, d))
	}
	writeHeader(h, d)
	h["Content-Length"] = []string{strconv.Itoa(len(d.Message.Body))}
	c.w.WriteHeader(status)
	_, _ = c.w.Write(d.Message.Body) // the lock expires if the client is gone
	return nil
}

// arrayType is the content type of an array of messages.
func (c *call) arrayType() string {
	if accepts(c.r.Header, "application/json") && !accepts(c.r.Header, cloudevents.BatchContentType) {
		return "application/json"
	}
	return cloudevents.BatchContentType
}

// appendEvent appends d as a CloudEvent with the extensions of a delivery.
func appendEvent(dst []byte, d *inbox.Delivery) []byte {
	e := cloudevents.Delivery{DeliveryCount: d.Count, Sequence: uint64(d.Sequence), Enqueued: d.Enqueued}
	if !d.Lock.IsZero() {
		e.LockToken, e.LockedUntil = d.Lock.String(), d.LockedUntil
	}
	return cloudevents.AppendDelivery(dst, d.Message, &e, cloudevents.Lower)
}

// location returns where a locked message is settled.
func (c *call) location(d *inbox.Delivery) string {
	queue := ""
	if c.target.dead {
		queue = "/$deadletterqueue"
	}
	return c.base() + "/inboxes/" + string(c.target.endpoint) + queue + "/messages/" + strconv.FormatUint(uint64(d.Sequence), 10) + "/" + d.Lock.String()
}

// peek shows messages without taking them.
func (c *call) peek() error {
	values := c.r.URL.Query()
	from, _, err := number(values, "from")
	if err != nil {
		return err
	}
	most, ok, err := number(values, "max")
	if err != nil {
		return err
	}
	if !ok {
		most = defaultPeek
	}
	got, err := c.look(gatehouse.Offset(from), int(min(most, maxTake)))
	if err != nil {
		return err
	}
	return c.show(http.StatusOK, got, true)
}
