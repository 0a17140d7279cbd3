package web

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/cloudevents"
	"github.com/gatehouse/gatehouse/sas"

	"github.com/coder/websocket"
)

// An answer is anything the gateway says.
type answer struct {
	Op          string           `json:"op"`
	ID          json.RawMessage  `json:"id"`
	Kind        string           `json:"kind"`
	Reason      string           `json:"reason"`
	Receipt     *adapter.Receipt `json:"receipt"`
	Delivery    json.RawMessage  `json:"delivery"`
	LockedUntil time.Time        `json:"lockedUntil"`
	Expires     time.Time        `json:"expires"`
	Send        bool             `json:"send"`
	Receive     bool             `json:"receive"`
	Connection  string           `json:"connection"`
}

// A line is a WebSocket on which a test speaks by hand.
type line struct {
	testing.TB
	ws  *websocket.Conn
	ctx context.Context
}

// dial connects; the first answer was read.
func (s *site) dial(e gatehouse.EndpointName, parameters ...string) *line {
	s.Helper()
	c, err := s.tryDial(e, nil, parameters...)
	if err != nil {
		s.Fatal(err)
	}
	if a := c.read(); a.Op != "hello" || a.Connection == "" {
		s.Fatalf("the first answer is %+v", a)
	}
	return c
}

func (s *site) tryDial(e gatehouse.EndpointName, h http.Header, parameters ...string) (*line, error) {
	ctx := s.within()
	ws, w, err := websocket.Dial(ctx, s.url("endpoints", e, "ws", append([]string{"access_token", s.both(e)}, parameters...)...), &websocket.DialOptions{
		HTTPHeader: h, HTTPClient: &http.Client{Transport: &http.Transport{}},
	})
	if err != nil {
		if w != nil {
			err = fmt.Errorf("%d: %w", w.StatusCode, err)
		}
		return nil, err
	}
	ws.SetReadLimit(-1)
	s.Cleanup(func() { _ = ws.CloseNow() })
	return &line{TB: s.TB, ws: ws, ctx: ctx}, nil
}

func (c *line) say(format string, args ...any) {
	c.Helper()
	if err := c.ws.Write(c.ctx, websocket.MessageText, fmt.Appendf(nil, format, args...)); err != nil {
		c.Fatal(err)
	}
}

func (c *line) read() answer {
	c.Helper()
	_, text, err := c.ws.Read(c.ctx)
	if err != nil {
		c.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal(text, &a); err != nil {
		c.Fatalf("%s: %v", text, err)
	}
	return a
}

// next reads a delivery.
func (c *line) next() delivery {
	c.Helper()
	a := c.read()
	if a.Op != "delivery" {
		c.Fatalf("instead of a delivery came %+v", a)
	}
	var d delivery
	if err := json.Unmarshal(a.Delivery, &d); err != nil {
		c.Fatal(err)
	}
	return d
}

// closed reads until the end, and returns how the gateway closed.
func (c *line) closed() websocket.CloseError {
	c.Helper()
	for {
		_, _, err := c.ws.Read(c.ctx)
		if err == nil {
			continue
		}
		e, ok := errors.AsType[websocket.CloseError](err)
		if !ok {
			c.Fatalf("not closed in order: %v", err)
		}
		return e
	}
}

// A client is one of the suite.
type client struct {
	login  adaptertest.Login
	scheme string
	http   *http.Client

	mu      sync.Mutex
	ws      *websocket.Conn
	err     error // of the connection
	asked   int
	answers map[int]chan answer
	come    chan json.RawMessage
	held    int
	done    sync.WaitGroup
}

func dialer(scheme string, config *tls.Config) func(adaptertest.Login) adaptertest.Client {
	return func(l adaptertest.Login) adaptertest.Client {
		return &client{
			login: l, scheme: scheme, http: &http.Client{Transport: &http.Transport{TLSClientConfig: config.Clone()}},
			answers: make(map[int]chan answer), come: make(chan json.RawMessage, maxWindow),
		}
	}
}

// connect connects if it is not.
func (c *client) connect(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ws != nil {
		return c.err
	}
	q := url.Values{"access_token": {c.tokens()}}
	if c.login.Dead {
		q.Set("deadLetters", "true")
	}
	ws, w, err := websocket.Dial(ctx, c.scheme+"://"+c.login.Address+"/"+string(c.login.Account)+"/endpoints/"+string(c.login.Endpoint)+"/ws?"+q.Encode(),
		&websocket.DialOptions{HTTPClient: c.http, Subprotocols: []string{Subprotocol}})
	if err != nil {
		if w != nil {
			var p struct{ Kind string }
			_ = json.NewDecoder(w.Body).Decode(&p)
			return told(p.Kind, err.Error())
		}
		return err
	}
	ws.SetReadLimit(-1)
	c.ws = ws
	c.done.Go(c.readAll)
	return nil
}

// tokens proves the login by its keys.
func (c *client) tokens() string {
	until := time.Now().Add(time.Hour)
	sign := func(kind, policy, key string) string {
		return sas.Sign("https://"+c.login.Address+"/"+string(c.login.Account)+"/"+kind+"/"+string(c.login.Endpoint), policy, key, until)
	}
	return sign("publishers", "send", c.login.SendKey) + "," + sign("inboxes", "listen", c.login.ListenKey)
}

// told turns a kind back into an error.
func told(kind, text string) error {
	for _, k := range gatehouse.Kinds() {
		if k.String() == kind {
			return gatehouse.Errorf(k, "%s", text)
		}
	}
	return errors.New(text)
}

func (c *client) readAll() {
	for {
		_, text, err := c.ws.Read(context.Background())
		var a answer
		if err == nil {
			err = json.Unmarshal(text, &a)
		}
		if err != nil {
			if e, ok := errors.AsType[websocket.CloseError](err); ok {
				kind, text, _ := strings.Cut(e.Reason, ": ")
				err = told(kind, text)
			}
			c.fail(err)
			return
		}
		if a.Op == "delivery" {
			c.come <- a.Delivery
			continue
		}
		var id int
		_ = json.Unmarshal(a.ID, &id)
		c.mu.Lock()
		if waiting := c.answers[id]; waiting != nil {
			waiting <- a
			delete(c.answers, id)
		}
		c.mu.Unlock()
	}
}

func (c *client) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	for _, waiting := range c.answers {
		close(waiting)
	}
	c.answers = nil
	close(c.come)
}

// ask says something and waits for the answer.
func (c *client) ask(ctx context.Context, command map[string]any) error {
	if err := c.connect(ctx); err != nil {
		return err
	}
	waiting := make(chan answer, 1)
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return c.err
	}
	c.asked++
	command["id"] = c.asked
	c.answers[c.asked] = waiting
	c.mu.Unlock()
	text, err := json.Marshal(command)
	if err != nil {
		return err
	}
	if err := c.ws.Write(ctx, websocket.MessageText, text); err != nil {
		return err
	}
	select {
	case a, ok := <-waiting:
		switch {
		case !ok:
			return c.err
		case a.Op == "refused":
			return told(a.Kind, a.Reason)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *client) Send(ctx context.Context, m *gatehouse.Message) error {
	return c.ask(ctx, map[string]any{"op": "send", "message": json.RawMessage(cloudevents.Append(nil, m))})
}

// Receive takes one more delivery than the client has.
func (c *client) Receive(ctx context.Context) (*adaptertest.Received, error) {
	if len(c.come) == 0 {
		if err := c.ask(ctx, map[string]any{"op": "credit", "credit": c.held + 1}); err != nil {
			if ctx.Err() != nil {
				return nil, nil
			}
			return nil, err
		}
	}
	var text json.RawMessage
	select {
	case got, ok := <-c.come:
		if !ok {
			return nil, c.err
		}
		text = got
	case <-ctx.Done():
		_ = c.ask(context.WithoutCancel(ctx), map[string]any{"op": "credit", "credit": c.held})
		select {
		case got, ok := <-c.come: // it came all the same
			if !ok {
				return nil, c.err
			}
			text = got
		default:
			return nil, nil
		}
	}
	return c.received(text)
}

func (c *client) received(text json.RawMessage) (*adaptertest.Received, error) {
	var told struct {
		LockToken                                          string
		DeliveryCount                                      uint32
		DeadLetterReason, DeadLetterDetail, DeadLetterFrom string
	}
	if err := json.Unmarshal(text, &told); err != nil {
		return nil, err
	}
	event, _, _ := strings.Cut(string(text), `,"lockToken":`) // what follows is no CloudEvent's
	m, err := cloudevents.Decode([]byte(event + "}"))
	if err != nil {
		return nil, err
	}
	if told.DeadLetterReason != "" {
		m.Dead = &gatehouse.DeadLetter{Reason: told.DeadLetterReason, Description: told.DeadLetterDetail, From: told.DeadLetterFrom}
	}
	c.held++
	return &adaptertest.Received{Message: m, Count: told.DeliveryCount, Handle: told.LockToken}, nil
}

func (c *client) settle(ctx context.Context, op string, r *adaptertest.Received, more map[string]any) error {
	command := map[string]any{"op": op, "lockToken": r.Handle}
	for name, value := range more {
		command[name] = value
	}
	err := c.ask(ctx, command)
	if err == nil {
		c.held--
	}
	return err
}

func (c *client) Complete(ctx context.Context, r *adaptertest.Received) error {
	return c.settle(ctx, "complete", r, nil)
}

func (c *client) Abandon(ctx context.Context, r *adaptertest.Received) error {
	return c.settle(ctx, "abandon", r, nil)
}

func (c *client) DeadLetter(ctx context.Context, r *adaptertest.Received, reason, description string) error {
	return c.settle(ctx, "deadLetter", r, map[string]any{"reason": reason, "description": description})
}

func (c *client) Close() {
	c.mu.Lock()
	ws := c.ws
	c.mu.Unlock()
	if ws != nil {
		_ = ws.CloseNow()
		c.done.Wait()
	}
	c.http.CloseIdleConnections()
}

// keeps says what arrives of a message whose attributes travel as CloudEvents
// in JSON.
func keeps(m *gatehouse.Message) *gatehouse.Message {
	var plain, rest []gatehouse.Attribute
	for _, a := range m.Attributes {
		switch a.Value.Type() {
		case gatehouse.TypeNull, gatehouse.TypeList, gatehouse.TypeMap:
			rest = append(rest, a)
			continue
		case gatehouse.TypeBool, gatehouse.TypeInt64:
		default:
			a.Value = gatehouse.String(cloudevents.Text(a.Value))
		}
		plain = append(plain, a)
	}
	m.Attributes = append(plain, rest...)
	return m
}

func TestWebSocketAdapter(t *testing.T) {
	t.Parallel()
	server, trusting := adaptertest.TLS(t)
	for _, c := range []struct {
		name    string
		harness adaptertest.Harness
	}{
		{"secure", adaptertest.Harness{Adapter: doors(Options{}, server), Dial: dialer("https", trusting)}},
		{"plain", adaptertest.Harness{Adapter: doors(Options{}, nil), Dial: dialer("http", nil)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.harness.Protocol, c.harness.Keeps, c.harness.Engine, c.harness.Auth = ProtocolWebSocket, keeps, newEngine, newAuth
			adaptertest.Run(t, c.harness)
		})
	}
}
