package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"

	"github.com/coder/websocket"
)

// A hubLine is a connection of SignalR on which a test speaks by hand, in JSON
// over a WebSocket without negotiation.
type hubLine struct {
	testing.TB
	ws   *websocket.Conn
	ctx  context.Context
	rest [][]byte
}

// A hubRecord is anything the hub says.
type hubRecord struct {
	Type           int               `json:"type"`
	ID             string            `json:"invocationId"`
	Target         string            `json:"target"`
	Arguments      []json.RawMessage `json:"arguments"`
	Result         json.RawMessage   `json:"result"`
	Error          string            `json:"error"`
	AllowReconnect bool              `json:"allowReconnect"`
}

func (s *site) tryHub(e gatehouse.EndpointName, h http.Header, parameters ...string) (*hubLine, error) {
	ctx := s.within()
	ws, w, err := websocket.Dial(ctx, s.url("endpoints", e, "signalr", append([]string{"access_token", s.both(e)}, parameters...)...), &websocket.DialOptions{
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
	return &hubLine{TB: s.TB, ws: ws, ctx: ctx}, nil
}

// hub connects to a hub.
func (s *site) hub(e gatehouse.EndpointName, parameters ...string) *hubLine {
	s.Helper()
	c, err := s.tryHub(e, nil, parameters...)
	if err != nil {
		s.Fatal(err)
	}
	c.say(`{"protocol":"json","version":1}`)
	if r := c.record(); string(r) != "{}" {
		s.Fatalf("the handshake is answered by %s", r)
	}
	return c
}

func (c *hubLine) say(format string, args ...any) {
	c.Helper()
	if err := c.ws.Write(c.ctx, websocket.MessageText, append(fmt.Appendf(nil, format, args...), 0x1e)); err != nil {
		c.Fatal(err)
	}
}

func (c *hubLine) record() []byte {
	c.Helper()
	for len(c.rest) == 0 {
		_, text, err := c.ws.Read(c.ctx)
		if err != nil {
			c.Fatal(err)
		}
		c.rest = bytes.Split(bytes.TrimSuffix(text, []byte{0x1e}), []byte{0x1e})
	}
	r := c.rest[0]
	c.rest = c.rest[1:]
	return r
}

// read returns the next record that is no ping.
func (c *hubLine) read() hubRecord {
	c.Helper()
	for {
		var r hubRecord
		text := c.record()
		if err := json.Unmarshal(text, &r); err != nil {
			c.Fatalf("%s: %v", text, err)
		}
		if r.Type != 6 {
			return r
		}
	}
}

// next returns the next delivery, and the id of the call if an answer is wanted.
func (c *hubLine) next() (delivery, string) {
	c.Helper()
	r := c.read()
	if r.Type != 1 || r.Target != "Receive" || len(r.Arguments) != 1 {
		c.Fatalf("instead of a delivery came %+v", r)
	}
	var d delivery
	if err := json.Unmarshal(r.Arguments[0], &d); err != nil {
		c.Fatal(err)
	}
	return d, r.ID
}

// closing reads to the record that says why the connection ends.
func (c *hubLine) closing() hubRecord {
	c.Helper()
	for {
		if r := c.read(); r.Type == 7 {
			return r
		}
	}
}

func (c *hubLine) invoke(id, method, arguments string) hubRecord {
	c.Helper()
	c.say(`{"type":1,"invocationId":"%s","target":"%s","arguments":[%s]}`, id, method, arguments)
	r := c.read()
	if r.Type != 3 || r.ID != id {
		c.Fatalf("%s is answered by %+v", method, r)
	}
	return r
}

// TestHub goes through the methods.
func TestHub(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	c := s.hub(receiver)
	r := c.invoke("1", "send", `{"id":"m-1","to":"endpoints/Panel","data":{"n":1},"type":"`+"com.example.denied"+`"}`)
	if !strings.HasPrefix(r.Error, "Forbidden: ") {
		t.Errorf("%+v", r)
	}
	c.say(`{"type":1,"target":"Send","arguments":[{"id":"m-1","to":"endpoints/Panel","data":{"n":1}}]}`)
	d, id := c.next()
	if d.Data.N != 1 || id != "" {
		t.Errorf("%+v, answer wanted as %q", d, id)
	}
	for _, call := range []struct{ method, arguments, failure string }{
		{"Renew", `"%s"`, ""},
		{"Renew", `"x"`, "Invalid: "},
		{"Renew", ``, "Invalid: "},
		{"DeadLetter", `"%s","a","b","c"`, "Invalid: "},
		{"DeadLetter", `null`, "Invalid: "},
		{"Token", `"` + s.both(receiver) + `"`, ""},
		{"Token", `"` + s.both(sender) + `"`, "Unauthenticated: "},
		{"Dance", ``, "NotFound: "},
		{"COMPLETE", `"%s"`, ""},
		{"Complete", `"%s"`, "LockLost: "},
	} {
		arguments := strings.ReplaceAll(call.arguments, "%s", d.LockToken)
		if r := c.invoke("2", call.method, arguments); (r.Error == "") != (call.failure == "") || !strings.HasPrefix(r.Error, call.failure) {
			t.Errorf("%s(%s): %+v", call.method, arguments, r)
		}
	}
	s.depth(0)
}

// TestHubReconnects loses connections and comes again under its name.
func TestHubReconnects(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	const n = 30
	s.fill(0, n, 10)
	for next := 0; next < n; {
		c := s.hub(receiver, "client", "tab-1", "window", "8")
		for range min(5, n-next) {
			d, _ := c.next()
			if d.Data.N != next || d.DeliveryCount != 1 {
				t.Fatalf("message %d came, delivered %d times, instead of %d", d.Data.N, d.DeliveryCount, next)
			}
			next++
			c.say(`{"type":1,"target":"Complete","arguments":["%s"]}`, d.LockToken)
		}
		// The connection is not closed, only left: the next one takes over.
		for r := c.invokeLast(); r.Type == 1; r = c.read() {
			continue
		}
	}
	s.depth(0)
}

// invokeLast calls a method that does not exist, and returns the first record
// that comes then.
func (c *hubLine) invokeLast() hubRecord {
	c.Helper()
	c.say(`{"type":1,"invocationId":"last","target":"Nothing","arguments":[]}`)
	return c.read()
}

// TestHubCompletes has the client's answers settle deliveries.
func TestHubCompletes(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.fill(0, 3, 10)
	c := s.hub(receiver, "ack", "auto", "window", "1")
	d, id := c.next()
	if d.Data.N != 0 || id == "" {
		t.Fatalf("%+v, answer wanted as %q", d, id)
	}
	c.say(`{"type":3,"invocationId":"%s","error":"not now"}`, id)
	again, id := c.next()
	if again.Data.N != 0 || again.DeliveryCount != 2 {
		t.Fatalf("%+v", again)
	}
	c.say(`{"type":3,"invocationId":"%s","result":true}`, id)
	d, _ = c.next()
	if d.Data.N != 1 {
		t.Fatalf("%+v", d)
	}
	_ = c.ws.CloseNow() // unanswered
	next := s.hub(receiver, "client", "x")
	if d, _ := next.next(); d.Data.N != 1 && d.Data.N != 2 {
		t.Fatalf("%+v", d)
	}
	s.depth(2)
}

func TestHubEnds(t *testing.T) {
	t.Parallel()
	for kind, c := range map[string]struct {
		end   func(*site)
		again bool
	}{
		"Revoked":     {func(s *site) { s.Revoke(receiver) }, false},
		"Unavailable": {func(s *site) { go s.stop() }, true},
		"Conflict":    {func(s *site) { s.hub(receiver, "client", "tab") }, false},
		"Restricted":  {func(s *site) { s.protocols("https", "websocket", "sse") }, false},
	} {
		s := newSite(t, Options{})
		line := s.hub(receiver, "client", "tab")
		c.end(s)
		if r := line.closing(); !strings.HasPrefix(r.Error, kind+": ") || r.AllowReconnect != c.again {
			t.Errorf("%s: %+v", kind, r)
		}
		_ = line.ws.Close(websocket.StatusNormalClosure, "") // it may be gone
	}
}

// TestHubExpiry lets a token expire while the client is connected.
func TestHubExpiry(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	c := s.hub(receiver, "access_token", s.token(receiver, gatehouse.PolicyListen, time.Now().Add(2*time.Second)))
	if r := c.closing(); !strings.HasPrefix(r.Error, "Expired: ") || !r.AllowReconnect {
		t.Errorf("%+v", r)
	}
}

func TestHubRefuses(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	refused := func(what, status string, err error) {
		t.Helper()
		if err == nil || !strings.HasPrefix(err.Error(), status) {
			t.Errorf("%s: %v, want %s", what, err, status)
		}
	}
	_, err := s.tryHub(receiver, http.Header{"Origin": {app}})
	refused("no origins are stated", "403", err)
	s.state(app)
	if _, err := s.tryHub(receiver, http.Header{"Origin": {app}}); err != nil {
		t.Errorf("a page that is let in: %v", err)
	}
	_, err = s.tryHub(receiver, http.Header{"Origin": {evil}})
	refused("another page", "403", err)
	_, err = s.tryHub("nobody", http.Header{"Origin": {app}})
	refused("an endpoint that does not exist", "403", err)
	_, err = s.tryHub(receiver, nil, "access_token", s.both(sender))
	refused("another endpoint's token", "401", err)
	if status := s.status("POST", s.url("endpoints", receiver, "signalr/negotiate", "negotiateVersion", "1")); status != http.StatusUnauthorized {
		t.Errorf("negotiation without a token: %d", status)
	}
	if status := s.status("POST", s.url("endpoints", receiver, "SignalR/Negotiate/", "negotiateVersion", "1", "access_token", s.both(receiver))); status != http.StatusOK {
		t.Errorf("negotiation: %d", status)
	}
	if status := s.status("GET", s.url("endpoints", receiver, "signalr/x")); status != http.StatusNotFound {
		t.Errorf("below: %d", status)
	}
}

// TestHubOwner shows the id of a connection without being its owner.
func TestHubOwner(t *testing.T) {
	t.Parallel()
	s := newSite(t, quickDrain())
	w, err := http.Post(s.url("endpoints", receiver, "signalr/negotiate", "negotiateVersion", "1", "access_token", s.both(receiver)), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	var negotiated struct{ ConnectionToken string }
	err = json.NewDecoder(w.Body).Decode(&negotiated)
	_ = w.Body.Close()
	if err != nil || negotiated.ConnectionToken == "" {
		t.Fatalf("%+v: %v", negotiated, err)
	}
	for _, c := range []struct {
		endpoint gatehouse.EndpointName
		token    string
		want     int
	}{
		{sender, s.both(sender), http.StatusNotFound},
		{receiver, s.both(sender), http.StatusUnauthorized},
		{receiver, "", http.StatusUnauthorized},
		{receiver, s.policyToken(receiver), http.StatusOK}, // the first poll, which is answered at once
	} {
		if status := s.status("GET", s.url("endpoints", c.endpoint, "signalr", "id", negotiated.ConnectionToken, "access_token", c.token)); status != c.want {
			t.Errorf("%+v: %d", c, status)
		}
	}
	s.Revoke(receiver) // the connection is there a little longer, for its owner
	for _, token := range []string{"", s.both(sender)} {
		if status := s.status("GET", s.url("endpoints", receiver, "signalr", "id", negotiated.ConnectionToken, "access_token", token)); status != http.StatusNotFound {
			t.Errorf("after the end: %d", status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestKindsAreTold(t *testing.T) {
	t.Parallel()
	for _, k := range gatehouse.Kinds() {
		final := k != gatehouse.Expired && k != gatehouse.Unavailable && k != gatehouse.Internal
		if mayReturn(k) == final {
			t.Errorf("%v: may return: %t", k, mayReturn(k))
		}
		v := newServing(New(Options{}), nil, ProtocolWebSocket)
		code, reason := (&socket{session: &session{serving: v}}).closing(gatehouse.Errorf(k, "%s", strings.Repeat("ä", 200)))
		v.cut()
		if code < 4400 || code > 4599 || !strings.HasPrefix(reason, k.String()+": ") || len(reason) > maxReason {
			t.Errorf("%v: %d %q", k, code, reason)
		}
	}
}
