package httpapi

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter"
	"github.com/gatehouse/gatehouse/cloudevents"
	"github.com/gatehouse/gatehouse/gate"
)

// send takes a message or a batch in and answers 201 when all of it is
// durable. Nothing of a batch is stored if one of its messages is refused.
func (c *call) send() error {
	if e := c.r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return gatehouse.Errorf(gatehouse.Invalid, "content encoding %.32q is not supported; send the body as it is", e)
	}
	body, err := c.readBody(c.MaxBody)
	if err != nil {
		return err
	}
	switch t := mediaType(c.r.Header); t {
	case azureBatch:
		batch, err := decodeBatch(body, c.MaxBatch)
		if err != nil {
			return err
		}
		return c.submitAll(batch)
	case cloudevents.BatchContentType:
		batch, err := cloudevents.DecodeBatch(body, c.MaxBatch)
		if err != nil {
			return err
		}
		return c.submitAll(batch)
	case cloudevents.ContentType:
		m, err := cloudevents.Decode(body)
		if err != nil {
			return err
		}
		c.trace(m)
		return c.submit(m)
	default:
		if strings.HasPrefix(t, "application/cloudevents") {
			return gatehouse.Errorf(gatehouse.Invalid, "CloudEvents format %.64q is not supported; use %s or %s", t, cloudevents.ContentType, cloudevents.BatchContentType)
		}
	}
	m := &gatehouse.Message{Body: body}
	if err := readHeader(m, c.r.Header); err != nil {
		return err
	}
	return c.submit(m)
}

// trace gives m the request's trace context if it has none of its own.
func (c *call) trace(m *gatehouse.Message) {
	if m.TraceParent == "" {
		m.TraceParent = c.r.Header.Get(headerTraceParent)
	}
}

// A waiter waits for the receipts of one request.
type waiter struct {
	ready chan struct{} // has a token when all are there
	done  func(gate.Receipt, error)

	// Written by done, one call at a time; read after ready.
	missing  int
	receipts []gate.Receipt
	errs     []error
	failed   int
}

var waiters = sync.Pool{New: func() any {
	w := &waiter{ready: make(chan struct{}, 1)}
	w.done = w.take
	return w
}}

// maxKept bounds the memory of a waiter that is kept for the next request.
const maxKept = 64

func newWaiter(n int) *waiter {
	w := waiters.Get().(*waiter)
	w.missing, w.failed = n, 0
	w.receipts, w.errs = w.receipts[:0], w.errs[:0]
	return w
}

func (w *waiter) take(r gate.Receipt, err error) {
	w.receipts = append(w.receipts, r)
	w.errs = append(w.errs, err)
	if err != nil {
		w.failed++
	}
	if w.missing--; w.missing == 0 {
		w.ready <- struct{}{}
	}
}

// free keeps w for another request. It must be ready.
func (w *waiter) free() {
	if cap(w.receipts) <= maxKept {
		clear(w.receipts)
		clear(w.errs)
		waiters.Put(w)
	}
}

// wait returns once all receipts are there, or the client is gone. In that
// case the receipts are still to come, and w is not kept.
func (c *call) wait(w *waiter) error {
	select {
	case <-w.ready:
		return nil
	case <-c.r.Context().Done():
		return c.r.Context().Err()
	}
}

func (c *call) submit(m *gatehouse.Message) error {
	w := newWaiter(1)
	if err := c.session.Submit(c.r.Context(), w.done, m); err != nil {
		w.free()
		return err
	}
	if err := c.wait(w); err != nil {
		return err
	}
	defer w.free()
	if w.failed > 0 {
		return w.errs[0]
	}
	return c.created(w.receipts, false)
}

func (c *call) submitAll(batch []*gatehouse.Message) error {
	if len(batch) == 0 {
		return gatehouse.Errorf(gatehouse.Invalid, "the batch is empty; send at least one message")
	}
	for _, m := range batch {
		c.trace(m)
	}
	w := newWaiter(len(batch))
	if err := c.session.SubmitAll(c.r.Context(), w.done, batch...); err != nil {
		w.free()
		return err
	}
	if err := c.wait(w); err != nil {
		return err
	}
	defer w.free()
	if w.failed > 0 {
		return c.batchFailed(w)
	}
	return c.created(w.receipts, true)
}

// batchFailed answers for a batch of which at least one message was not
// stored. Either the gate refused one and stored none, or storing failed
// midway: then the answer lists what is stored nevertheless.
func (c *call) batchFailed(w *waiter) error {
	var accepted []int
	var first error
	for i, err := range w.errs {
		switch {
		case err == nil:
			accepted = append(accepted, i+1)
		case first == nil:
			first = err
		}
	}
	if len(accepted) == 0 || c.r.Context().Err() != nil {
		return first
	}
	p := newProblem(c.Logger, c.r, first)
	p.Accepted = accepted
	p.Detail += "; the messages listed as accepted are stored all the same, so send only the others again"
	p.write(c.w, c.r)
	return nil
}

// created answers 201: with no body, as Azure does, or with receipts for a
// client that accepts JSON.
func (c *call) created(receipts []gate.Receipt, batch bool) error {
	if !accepts(c.r.Header, "application/json") {
		c.w.WriteHeader(http.StatusCreated)
		return nil
	}
	all := make([]adapter.Receipt, len(receipts))
	for i := range receipts {
		all[i] = adapter.ReceiptOf(&receipts[i])
	}
	var shown any = all
	if !batch {
		shown = all[0]
	}
	body, err := json.Marshal(shown)
	if err != nil {
		return gatehouse.Wrap(gatehouse.Internal, err, "the receipt could not be written")
	}
	return c.answer(http.StatusCreated, "application/json", body)
}

// answer sends a whole body.
func (c *call) answer(status int, contentType string, body []byte) error {
	h := c.w.Header()
	h.Set(headerContentType, contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // the client may be gone
	return nil
}
