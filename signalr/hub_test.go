package signalr

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehouse/gatehouse/signalr/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hub is a Hub whose methods the tests call, and which notes what happens.
type hub struct {
	mu      sync.Mutex
	conns   []*Conn
	held    []*Invocation
	waiters []chan struct{}
	log     []string
	closed  []error
	tokens  map[string]string // owner by token; nil: everybody is "anyone"
	refuse  error             // by Connected
	greet   bool              // Connected sends something
}

// note adds a line to what happened.
func (h *hub) note(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log = append(h.log, line)
	h.changed()
}

// changed wakes those who wait. It holds mu.
func (h *hub) changed() {
	for _, w := range h.waiters {
		close(w)
	}
	h.waiters = nil
}

// await waits until a condition on the hub holds. It is called with mu held.
func (h *hub) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for {
		h.mu.Lock()
		if holds() {
			h.mu.Unlock()
			return
		}
		w := make(chan struct{})
		h.waiters = append(h.waiters, w)
		h.mu.Unlock()
		select {
		case <-w:
		case <-limit.C:
			h.mu.Lock()
			defer h.mu.Unlock()
			t.Fatalf("in vain: %s; what happened: %q, closed: %v", what, h.log, h.closed)
		}
	}
}

// awaitLog waits for a line of the log.
func (h *hub) awaitLog(t *testing.T, line string) {
	t.Helper()
	h.await(t, line, func() bool {
		for _, l := range h.log {
			if l == line {
				return true
			}
		}
		return false
	})
}

func (h *hub) owner(r *http.Request) (string, error) {
	if h.tokens == nil {
		return "anyone", nil
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if token == "" {
		token = r.URL.Query().Get("access_token")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if owner := h.tokens[token]; owner != "" {
		return owner, nil
	}
	return "", &Refusal{Status: http.StatusUnauthorized, Text: "the token is not known"}
}

func (h *hub) Open(r *http.Request) (any, error) {
	owner, err := h.owner(r)
	return owner, err
}

func (h *hub) Continue(c *Conn, r *http.Request) error {
	owner, err := h.owner(r)
	if err == nil && owner != c.Owner() {
		return errors.New("somebody else's")
	}
	return err
}

func (h *hub) Connected(c *Conn) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refuse != nil {
		return h.refuse
	}
	h.conns = append(h.conns, c)
	h.changed()
	if h.greet {
		return c.Send("Receive", wire.Text("hello"))
	}
	return nil
}

func (h *hub) Closed(_ *Conn, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = append(h.closed, err)
	h.changed()
}

// json returns an argument as JSON.
func argument(i *Invocation, n int) string {
	if n >= len(i.Arguments) {
		return ""
	}
	text, err := i.Arguments[n].AppendJSON(nil)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (h *hub) Invoke(c *Conn, i *Invocation) {
	switch strings.ToLower(i.Target) {
	case "echo":
		i.Complete(i.Arguments[0])
	case "void":
		i.Complete(wire.Value{})
	case "null":
		i.Complete(wire.JSON([]byte("null")))
	case "fail":
		i.Fail("quota: inbox full")
	case "asjson":
		i.Complete(wire.Text(argument(i, 0)))
	case "note":
		h.note(argument(i, 0))
		i.Complete(wire.Value{})
	case "hold": // until release
		h.mu.Lock()
		h.held = append(h.held, i)
		h.changed()
		h.mu.Unlock()
	case "callme": // sends the argument back by a method of the client
		if err := c.Send("Receive", i.Arguments[0]); err != nil {
			i.Fail(err.Error())
			return
		}
		i.Complete(wire.Value{})
	case "ask": // for a result of the client, which becomes ours
		_, err := c.Invoke("Answer", func(result wire.Value, err error) {
			if err != nil {
				i.Fail(err.Error())
				return
			}
			i.Complete(result)
		}, i.Arguments...)
		if err != nil {
			i.Fail(err.Error())
		}
	case "closeme":
		i.Complete(wire.Value{})
		allow, _ := i.Arguments[1].Bool()
		text, _ := i.Arguments[0].Str()
		c.Close(text, allow)
	case "describe":
		i.Complete(wire.Text(string(c.Transport()) + " " + c.Protocol()))
	default:
		i.Fail("there is no such method: " + i.Target)
	}
}

// serve serves a hub until the test ends.
func serve(t *testing.T, h *hub, o Options) (server *Server, address string) {
	t.Helper()
	server = NewServer(h, o)
	web := httptest.NewServer(server)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := server.Close(ctx); err != nil {
			t.Errorf("the server did not close in time: %v", err)
		}
		web.Close()
	})
	return server, web.URL + "/hub"
}
