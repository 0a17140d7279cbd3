package httpapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/cloudevents"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/problem"
)

// A shape is a way for a client to write and ask for messages.
type shape int

const (
	binaryShape shape = iota // headers
	structuredShape
	batchShape
)

// A client is one that speaks HTTP as a device would.
type client struct {
	adaptertest.Login
	scheme string
	shape  shape
	http   *http.Client
}

// dialer returns a Dial for a harness. Without config it speaks plain HTTP.
func dialer(config *tls.Config, version int, s shape) func(adaptertest.Login) adaptertest.Client {
	return func(l adaptertest.Login) adaptertest.Client {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(version == 1)
		protocols.SetHTTP2(version == 2 && config != nil)
		protocols.SetUnencryptedHTTP2(version == 2 && config == nil)
		// A transport writes to its configuration.
		transport := &http.Transport{TLSClientConfig: config.Clone(), Protocols: protocols}
		c := &client{Login: l, scheme: ProtocolPlain, shape: s, http: &http.Client{Transport: transport}}
		if config != nil {
			c.scheme = ProtocolTLS
		}
		return c
	}
}

func (c *client) Close() { c.http.CloseIdleConnections() }

func (c *client) publisher() string {
	return fmt.Sprintf("%s://%s/%s/publishers/%s/messages", c.scheme, c.Address, c.Account, c.Endpoint)
}

func (c *client) inbox() string {
	dead := ""
	if c.Dead {
		dead = "/%24DeadLetterQueue"
	}
	return fmt.Sprintf("%s://%s/%s/inboxes/%s%s/messages", c.scheme, c.Address, c.Account, c.Endpoint, dead)
}

// do makes a request and turns a problem back into an error.
func (c *client) do(ctx context.Context, method, url, key string, h http.Header, body []byte) (*http.Response, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	for name, values := range h {
		r.Header[name] = values
	}
	r.SetBasicAuth(string(c.Account)+"/"+string(c.Endpoint), key)
	w, err := c.http.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer w.Body.Close()
	answer, err := io.ReadAll(w.Body)
	if err != nil {
		return nil, nil, err
	}
	if w.StatusCode >= 400 {
		return w, answer, problemError(w, answer)
	}
	return w, answer, nil
}

func problemError(w *http.Response, body []byte) error {
	var p problem.Problem
	if err := json.Unmarshal(body, &p); err != nil || p.Status != w.StatusCode || w.Header.Get("Content-Type") != problem.ContentType {
		return fmt.Errorf("status %d without a problem: %q", w.StatusCode, body)
	}
	return p.Err()
}

func (c *client) Send(ctx context.Context, m *gatehouse.Message) error {
	h, body := http.Header{}, m.Body
	switch c.shape {
	case structuredShape:
		h.Set("Content-Type", cloudevents.ContentType)
		body = cloudevents.Append(nil, m)
	case batchShape:
		h.Set("Content-Type", cloudevents.BatchContentType)
		body = cloudevents.AppendBatch(nil, m)
	default:
		writeHeader(h, &inbox.Delivery{Message: m})
	}
	w, answer, err := c.do(ctx, http.MethodPost, c.publisher(), c.SendKey, h, body)
	if err == nil && (w.StatusCode != http.StatusCreated || len(answer) > 0) {
		err = fmt.Errorf("status %d, body %q", w.StatusCode, answer)
	}
	return err
}

func (c *client) Receive(ctx context.Context) (*adaptertest.Received, error) {
	h, query := http.Header{}, "?timeout=60"
	switch c.shape {
	case structuredShape:
		h.Set("Accept", cloudevents.ContentType)
	case batchShape:
		query += "&maxMessages=1"
	}
	w, body, err := c.do(ctx, http.MethodPost, c.inbox()+"/head"+query, c.ListenKey, h, nil)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, nil
	case err != nil:
		return nil, err
	case w.StatusCode == http.StatusNoContent:
		return nil, nil
	case w.StatusCode != http.StatusCreated:
		return nil, fmt.Errorf("status %d", w.StatusCode)
	}
	if c.shape == binaryShape {
		return readReceived(w, body)
	}
	return c.readEvent(w, body)
}

// readReceived reads the message from the headers, as a device would.
func readReceived(w *http.Response, body []byte) (*adaptertest.Received, error) {
	m := &gatehouse.Message{Body: body}
	if err := readHeader(m, w.Header); err != nil {
		return nil, err
	}
	var p struct{ DeliveryCount uint32 }
	if err := json.Unmarshal([]byte(w.Header.Get("BrokerProperties")), &p); err != nil {
		return nil, err
	}
	if reason := w.Header.Get("DeadLetterReason"); reason != "" {
		m.Dead = &gatehouse.DeadLetter{Reason: parseProperty(reason).Str(), Description: parseProperty(w.Header.Get("DeadLetterErrorDescription")).Str()}
	}
	return &adaptertest.Received{Message: m, Count: p.DeliveryCount, Handle: w.Header.Get("Location")}, nil
}

// readEvent reads the message from a CloudEvent, or an array of one.
func (c *client) readEvent(w *http.Response, body []byte) (*adaptertest.Received, error) {
	if c.shape == batchShape {
		body = body[1 : len(body)-1]
	}
	m, err := cloudevents.Decode(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, body)
	}
	var d struct {
		LockToken, DeadLetterReason, DeadLetterDetail string
		DeliveryCount                                 uint32
	}
	if err := json.Unmarshal(body, &d); err != nil {
		return nil, err
	}
	if d.DeadLetterReason != "" {
		m.Dead = &gatehouse.DeadLetter{Reason: d.DeadLetterReason, Description: d.DeadLetterDetail}
	}
	location := w.Header.Get("Location")
	if c.shape == batchShape {
		location = c.inbox() + "/any/" + d.LockToken
	}
	return &adaptertest.Received{Message: m, Count: d.DeliveryCount, Handle: location}, nil
}

func (c *client) settle(ctx context.Context, method string, r *adaptertest.Received, below string, body []byte) error {
	_, _, err := c.do(ctx, method, r.Handle.(string)+below, c.ListenKey, nil, body)
	return err
}

func (c *client) Complete(ctx context.Context, r *adaptertest.Received) error {
	return c.settle(ctx, http.MethodDelete, r, "", nil)
}

func (c *client) Abandon(ctx context.Context, r *adaptertest.Received) error {
	return c.settle(ctx, http.MethodPut, r, "", nil)
}

func (c *client) DeadLetter(ctx context.Context, r *adaptertest.Received, reason, description string) error {
	return c.settle(ctx, http.MethodPost, r, "/deadletter", []byte(`{"reason":`+strconv.Quote(reason)+`,"description":`+strconv.Quote(description)+`}`))
}
