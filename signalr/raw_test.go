package signalr

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gatehouse/gatehouse/signalr/wire"
)

// client is an HTTP client of its own, so that its connections end with the test.
func client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// ask sends a request and returns status and body.
func ask(t *testing.T, c *http.Client, method, address, body string, header ...string) (status int, text string, h http.Header) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b), answer.Header
}

// token negotiates.
func token(t *testing.T, c *http.Client, address string) string {
	t.Helper()
	status, text, _ := ask(t, c, http.MethodPost, address+"/negotiate?negotiateVersion=1", "")
	var n negotiated
	if err := json.Unmarshal([]byte(text), &n); err != nil || status != http.StatusOK || n.Token == "" {
		t.Fatalf("%d %s, %v", status, text, err)
	}
	return n.Token
}

// dial opens a WebSocket for raw records.
func dial(t *testing.T, address, query string) *websocket.Conn {
	t.Helper()
	ws, answer, err := websocket.Dial(t.Context(), address+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Body != nil {
		_ = answer.Body.Close()
	}
	ws.SetReadLimit(-1)
	t.Cleanup(func() { _ = ws.CloseNow() })
	return ws
}

// put sends text as one message, with a separator at each |.
func put(t *testing.T, ws *websocket.Conn, text string) {
	t.Helper()
	if err := ws.Write(t.Context(), websocket.MessageText, []byte(strings.ReplaceAll(text, "|", "\x1e"))); err != nil {
		t.Fatal(err)
	}
}

// expect reads records until all of the text has come, with | for separators.
func expect(t *testing.T, ws *websocket.Conn, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var got string
	for len(got) < len(want) {
		_, b, err := ws.Read(ctx)
		if err != nil {
			t.Fatalf("got %q, then %v; want %q", got, err, want)
		}
		if b[len(b)-1] != wire.Separator {
			t.Fatalf("%q is not whole", b)
		}
		got += strings.ReplaceAll(string(b), "\x1e", "|")
	}
	if got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// expectClose reads until the socket is closed, and returns what came.
func expectClose(t *testing.T, ws *websocket.Conn) (text string, status websocket.StatusCode) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		_, b, err := ws.Read(ctx)
		if err != nil {
			if ctx.Err() != nil {
				t.Fatalf("it was not closed; %q came", text)
			}
			return text, websocket.CloseStatus(err)
		}
		text += strings.ReplaceAll(string(b), "\x1e", "|")
	}
}

const hello = `{"protocol":"json","version":1}|`

func TestNegotiation(t *testing.T) {
	t.Parallel()
	server, address := serve(t, &hub{}, Options{HandshakeTimeout: time.Minute})
	c := client(t)
	for query, want := range map[string]string{
		"":                     `{"negotiateVersion":0,"connectionId":"*","availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]},{"transport":"ServerSentEvents","transferFormats":["Text"]},{"transport":"LongPolling","transferFormats":["Text","Binary"]}]}`,
		"?NEGOTIATEversion=7":  `{"negotiateVersion":1,"connectionId":"*","connectionToken":"*","availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]},{"transport":"ServerSentEvents","transferFormats":["Text"]},{"transport":"LongPolling","transferFormats":["Text","Binary"]}]}`,
		"?negotiateVersion=x":  `{"negotiateVersion":0,"error":"negotiateVersion must be an integer of 0 or more"}`,
		"?negotiateVersion=-1": `{"negotiateVersion":0,"error":"negotiateVersion must be an integer of 0 or more"}`,
	} {
		status, text, h := ask(t, c, http.MethodPost, address+"/negotiate"+query, "")
		var n map[string]any
		if err := json.Unmarshal([]byte(text), &n); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"connectionId", "connectionToken"} {
			if id, ok := n[key].(string); ok {
				if strings.ContainsAny(id, "+/=&?% ") || len(id) < 16 {
					t.Errorf("%s is %q", key, id)
				}
				text = strings.Replace(text, id, "*", 1)
			}
		}
		if status != http.StatusOK || strings.TrimSpace(text) != want || h.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s %v", query, status, text, h)
		}
	}
	if status, _, _ := ask(t, c, http.MethodGet, address+"/negotiate", ""); status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", status)
	}
	if n := server.Len(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

func TestStatusCodes(t *testing.T) {
	t.Parallel()
	h := &hub{}
	_, address := serve(t, h, Options{MaxConnections: 3, PollGap: time.Second})
	c := client(t)
	is := func(want int, method, query string, header ...string) {
		t.Helper()
		if status, text, _ := ask(t, c, method, address+query, "", header...); status != want {
			t.Errorf("%s %s: %d %s; want %d", method, query, status, text, want)
		}
	}
	events := []string{"Accept", "text/event-stream"}
	upgrade := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="}
	is(400, http.MethodGet, "")
	is(400, http.MethodPost, "")
	is(404, http.MethodGet, "?id=none")
	is(404, http.MethodPost, "?id=none")
	is(404, http.MethodDelete, "?id=none")
	is(404, http.MethodGet, "?id=none", upgrade...)
	is(405, http.MethodPut, "?id=none")

	if status, _, _ := ask(t, c, http.MethodGet, address+"?id=none", "body"); status != 400 {
		t.Errorf("a body: %d", status)
	}

	socket := token(t, c, address)
	is(404, http.MethodPost, "?id="+socket) // no transport yet
	ws := dial(t, address, "?id="+socket)
	put(t, ws, hello)
	expect(t, ws, `{}|`)
	is(405, http.MethodPost, "?id="+socket)
	is(400, http.MethodGet, "?id="+socket)
	is(400, http.MethodGet, "?id="+socket, events...)
	is(409, http.MethodGet, "?id="+socket, upgrade...)
	is(400, http.MethodDelete, "?id="+socket)

	polling := token(t, c, address)
	is(200, http.MethodGet, "?id="+polling+"&_=1") // at once
	is(400, http.MethodGet, "?id="+polling, upgrade...)
	is(400, http.MethodGet, "?id="+polling, events...)
	token(t, c, address)
	is(503, http.MethodPost, "/negotiate")
	is(503, http.MethodGet, "", upgrade...)
	is(202, http.MethodDelete, "?id="+polling)
	is(404, http.MethodDelete, "?id="+polling)
	is(404, http.MethodGet, "?id="+polling)
	_ = ws.Close(websocket.StatusNormalClosure, "")

	_, off := serve(t, &hub{}, Options{WithoutWebSockets: true, WithoutServerSentEvents: true})
	if status, text, _ := ask(t, c, http.MethodPost, off+"/negotiate", ""); status != 200 || strings.Contains(text, "WebSockets") || strings.Contains(text, "Events") {
		t.Errorf("switched off: %d %s", status, text)
	}
	if status, _, _ := ask(t, c, http.MethodGet, off, "", events...); status != 404 {
		t.Errorf("events are off: %d", status)
	}
	if status, _, _ := ask(t, c, http.MethodGet, off, "", upgrade...); status != 404 {
		t.Errorf("sockets are off: %d", status)
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	_, address := serve(t, &hub{}, Options{
		Origin:       func(_ *http.Request, origin string) bool { return origin == "https://good.example" },
		AllowHeaders: []string{"X-Mine"},
	})
	c := client(t)
	status, _, h := ask(t, c, http.MethodOptions, address+"/negotiate", "", "Origin", "https://good.example", "Access-Control-Request-Method", "POST")
	if status != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "https://good.example" || h.Get("Access-Control-Allow-Credentials") != "true" ||
		!strings.Contains(h.Get("Access-Control-Allow-Headers"), "X-SignalR-User-Agent, X-Mine") || !strings.Contains(h.Get("Access-Control-Allow-Methods"), "DELETE") {
		t.Errorf("preflight: %d %v", status, h)
	}
	if status, _, h := ask(t, c, http.MethodPost, address+"/negotiate", "", "Origin", "https://good.example"); status != 200 ||
		h.Get("Access-Control-Allow-Origin") != "https://good.example" || h.Get("Vary") != "Origin" {
		t.Errorf("negotiation: %d %v", status, h)
	}
	for _, method := range []string{http.MethodOptions, http.MethodPost, http.MethodGet} {
		if status, _, h := ask(t, c, method, address+"/negotiate", "", "Origin", "https://evil.example"); status != http.StatusForbidden || h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s from elsewhere: %d %v", method, status, h)
		}
	}
	_, answer, err := websocket.Dial(t.Context(), address, &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"https://evil.example"}}})
	if err == nil || answer == nil || answer.StatusCode != http.StatusForbidden {
		t.Errorf("a socket from elsewhere: %v, %v", answer, err)
	}
	_, same := serve(t, &hub{}, Options{})
	if status, _, _ := ask(t, c, http.MethodPost, same+"/negotiate", "", "Origin", strings.TrimSuffix(same, "/hub")); status != 200 {
		t.Errorf("its own origin: %d", status)
	}
	if status, _, _ := ask(t, c, http.MethodPost, same+"/negotiate", "", "Origin", "http://elsewhere.example"); status != http.StatusForbidden {
		t.Errorf("another origin: %d", status)
	}
}

func TestPollsReplaceEachOther(t *testing.T) {
	t.Parallel()
	h := &hub{}
	_, address := serve(t, h, Options{PollTimeout: 200 * time.Millisecond})
	c := client(t)
	at := address + "?id=" + token(t, c, address)
	get := func() (int, string) { status, text, _ := ask(t, c, http.MethodGet, at, ""); return status, text }
	if status, text := get(); status != 200 || text != "" {
		t.Fatalf("%d %q", status, text)
	}
	if status, text, _ := ask(t, c, http.MethodPost, at, strings.ReplaceAll(hello, "|", "\x1e")); status != 200 || text != "" {
		t.Fatalf("%d %q", status, text)
	}
	if status, text := get(); status != 200 || text != "{}\x1e" {
		t.Fatalf("%d %q", status, text)
	}
	if status, text := get(); status != 200 || text != "" { // the time-out
		t.Fatalf("%d %q", status, text)
	}
	var replaced, empty, full atomic.Int32
	done := make(chan struct{})
	for range 8 {
		go func() {
			defer func() { done <- struct{}{} }()
			switch status, text := get(); {
			case status == 204:
				replaced.Add(1)
			case status == 200 && text == "":
				empty.Add(1)
			default:
				full.Add(1)
			}
		}()
	}
	for range 8 {
		<-done
	}
	if full.Load() != 0 || replaced.Load()+empty.Load() != 8 {
		t.Errorf("%d replaced, %d empty, %d with data", replaced.Load(), empty.Load(), full.Load())
	}
	if err := h.conns[0].Send("Receive", wire.Text("x")); err != nil {
		t.Fatal(err)
	}
	if status, text := get(); status != 200 || text != `{"type":1,"target":"Receive","arguments":["x"]}`+"\x1e" {
		t.Errorf("%d %q", status, text)
	}
	if status, _, _ := ask(t, c, http.MethodDelete, at, ""); status != 202 {
		t.Errorf("%d", status)
	}
}

func TestNoMorePolls(t *testing.T) {
	t.Parallel()
	h := &hub{}
	server, address := serve(t, h, Options{PollGap: 100 * time.Millisecond})
	c := client(t)
	at := address + "?id=" + token(t, c, address)
	ask(t, c, http.MethodGet, at, "")
	ask(t, c, http.MethodPost, at, strings.ReplaceAll(hello, "|", "\x1e"))
	h.await(t, "given up", func() bool { return len(h.closed) == 1 && h.closed[0] == ErrTimeout })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := server.Close(ctx); err != nil || server.Len() != 0 { // it is forgotten, too
		t.Errorf("%v, %d connections are left", err, server.Len())
	}
}
