package signalr

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gatehouse/gatehouse/signalr/wire"
)

func TestRecordsInPieces(t *testing.T) {
	t.Parallel()
	h := &hub{}
	_, address := serve(t, h, Options{})
	ws := dial(t, address, "") // without negotiation
	all := hello + `{"type":6}|{"invocationId":"1","type":1,"target":"echo","arguments":[5],"headers":{"a":"b"}}|{"type":77}|{"type":1,"target":"note","arguments":["x"]}|`
	for i := range len(all) {
		put(t, ws, all[i:i+1])
	}
	expect(t, ws, `{}|{"type":3,"invocationId":"1","result":5}|`)
	h.awaitLog(t, `"x"`)
	put(t, ws, `{"type":5,"invocationId":"9"}|{"type":2,"invocationId":"9","item":1}|{"type":3,"invocationId":"s9"}|{"type":3,"invocationId":"zzz"}|{"type":1,"invocationId":"2","target":"VOID","arguments":[]}|`)
	expect(t, ws, `{"type":3,"invocationId":"2"}|`)
	put(t, ws, `{"type":7}|`)
	if text, status := expectClose(t, ws); text != "" || status != websocket.StatusNormalClosure {
		t.Errorf("%q, %v", text, status)
	}
	h.await(t, "closed", func() bool { return len(h.closed) == 1 && h.closed[0] == nil })
}

func TestAnswersLeaveInOrder(t *testing.T) {
	t.Parallel()
	h := &hub{}
	_, address := serve(t, h, Options{Invocations: 4})
	ws := dial(t, address, "")
	text := hello
	for i := range 6 {
		text += fmt.Sprintf(`{"type":1,"invocationId":"%d","target":"hold","arguments":[]}|`, i)
	}
	text += `{"type":1,"target":"note","arguments":["last"]}|`
	put(t, ws, text)
	expect(t, ws, `{}|`)
	h.await(t, "four held", func() bool { return len(h.held) == 4 })
	h.held[2].Complete(wire.Integer(2))
	h.held[1].Fail("one")
	h.held[3].Complete(wire.Value{})
	h.held[1].Complete(wire.Integer(99)) // too late
	h.mu.Lock()
	if len(h.held) != 4 {
		t.Errorf("%d are held, of 4", len(h.held))
	}
	h.mu.Unlock()
	h.held[0].Complete(wire.Integer(0))
	expect(t, ws, `{"type":3,"invocationId":"0","result":0}|{"type":3,"invocationId":"1","error":"one"}|{"type":3,"invocationId":"2","result":2}|{"type":3,"invocationId":"3"}|`)
	h.await(t, "all held", func() bool { return len(h.held) == 6 })
	h.awaitLog(t, `"last"`)
	_ = ws.CloseNow()
	h.await(t, "closed", func() bool { return len(h.closed) == 1 && h.closed[0] == ErrBroken })
	h.held[4].Complete(wire.Value{}) // harmless
}

func TestBrokenRecordsEndTheConnection(t *testing.T) {
	t.Parallel()
	h := &hub{}
	_, address := serve(t, h, Options{MaxRecord: 100})
	for text, want := range map[string]string{
		`{"protocol":"xml","version":1}|`:      `{"error":"malformed record: the protocol \"xml\" is not supported; json and messagepack are"}|`,
		`nonsense|`:                            `{"error":"`,
		strings.Repeat("x", 2000):              `{"error":"a record is too large"}|`,
		hello + `{"type":1}|`:                  `{}|{"type":7,"error":"malformed record"}|`,
		hello + `nonsense|`:                    `{}|{"type":7,"error":"malformed record"}|`,
		hello + strings.Repeat(" ", 101):       `{}|{"type":7,"error":"a record is too large"}|`,
		hello + strings.Repeat(" ", 101) + "|": `{}|{"type":7,"error":"a record is too large"}|`,
	} {
		ws := dial(t, address, "")
		put(t, ws, text)
		got, status := expectClose(t, ws)
		if !strings.HasPrefix(got, want) || status != websocket.StatusNormalClosure {
			t.Errorf("%.40q: %q, %v; want %q", text, got, status, want)
		}
	}
	h.await(t, "all closed", func() bool { return len(h.closed) == 7 })
}

func TestTheHubRefuses(t *testing.T) {
	t.Parallel()
	h := &hub{refuse: &CloseError{Text: "closed on Sundays"}}
	_, address := serve(t, h, Options{})
	ws := dial(t, address, "")
	put(t, ws, hello)
	if text, _ := expectClose(t, ws); text != `{"error":"closed on Sundays"}|` {
		t.Errorf("%q", text)
	}
	h.await(t, "closed", func() bool { return len(h.closed) == 1 && errors.Is(h.closed[0], h.refuse) })
}

func TestTheHubGreets(t *testing.T) {
	t.Parallel()
	h := &hub{greet: true}
	_, address := serve(t, h, Options{})
	ws := dial(t, address, "")
	put(t, ws, hello)
	expect(t, ws, `{}|{"type":1,"target":"Receive","arguments":["hello"]}|`)
	c := client(t)
	at := address + "?id=" + token(t, c, address)
	ask(t, c, http.MethodGet, at, "")
	ask(t, c, http.MethodPost, at, strings.ReplaceAll(hello, "|", "\x1e"))
	if _, text, _ := ask(t, c, http.MethodGet, at, ""); text != "{}\x1e"+`{"type":1,"target":"Receive","arguments":["hello"]}`+"\x1e" {
		t.Errorf("%q", text)
	}
	ask(t, c, http.MethodDelete, at, "")
	stateful := &hub{greet: true}
	_, address = serve(t, stateful, Options{})
	_, again := resumable(t, stateful, address) // waits for the first record of the client
	put(t, again, `{"type":6}|`)
	expect(t, again, `{"type":1,"target":"Receive","arguments":["hello"]}|`)
}

func TestSlowHandshakes(t *testing.T) {
	t.Parallel()
	h := &hub{}
	server, address := serve(t, h, Options{HandshakeTimeout: 100 * time.Millisecond, ClientTimeout: 200 * time.Millisecond})
	c := client(t)
	token(t, c, address) // and never comes
	ws := dial(t, address, "")
	put(t, ws, hello[:10])
	if text, _ := expectClose(t, ws); text != `{"error":"the client did not come in time"}|` {
		t.Errorf("%q", text)
	}
	half := dial(t, address, "")
	put(t, half, hello+`{"type":1,`)
	if text, _ := expectClose(t, half); text != `{}|{"type":7,"error":"the client was silent for too long","allowReconnect":true}|` {
		t.Errorf("%q", text)
	}
	polling := token(t, c, address)
	if status, _, _ := ask(t, c, http.MethodGet, address+"?id="+polling, ""); status != 200 {
		t.Errorf("%d", status)
	}
	h.await(t, "all closed", func() bool { return len(h.closed) == 4 })
	if status, text, _ := ask(t, c, http.MethodGet, address+"?id="+polling, ""); status != 200 || !strings.HasPrefix(text, `{"error"`) {
		t.Errorf("%d %q", status, text)
	}
	if status, _, _ := ask(t, c, http.MethodGet, address+"?id="+polling, ""); status != 204 {
		t.Errorf("%d", status)
	}
	if n := server.Len(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

func TestASlowReaderIsBounded(t *testing.T) {
	t.Parallel()
	h := &hub{}
	_, address := serve(t, h, Options{SendBuffer: 64 << 10, WriteTimeout: 300 * time.Millisecond})
	ws := dial(t, address, "")
	put(t, ws, hello)
	expect(t, ws, `{}|`)
	c := h.conns[0]
	text := wire.Text(strings.Repeat("x", 16<<10))
	full := 0
	for {
		err := c.Send("Receive", text)
		if errors.Is(err, ErrClosed) {
			break
		}
		if errors.Is(err, ErrFull) {
			full++
			if n := c.Buffered(); n > 64<<10+17<<10 {
				t.Fatalf("%d bytes wait", n)
			}
			if c.Wait(t.Context()) != nil {
				break
			}
		}
	}
	if full == 0 {
		t.Error("it was never full")
	}
	h.await(t, "given up", func() bool { return len(h.closed) == 1 && h.closed[0] == ErrBroken })
	if err := c.Send("Receive", text); !errors.Is(err, ErrClosed) {
		t.Errorf("then: %v", err)
	}
}

func TestCalls(t *testing.T) {
	t.Parallel()
	h := &hub{}
	_, address := serve(t, h, Options{Calls: 2})
	ws := dial(t, address, "")
	put(t, ws, hello)
	expect(t, ws, `{}|`)
	c := h.conns[0]
	results := make(chan string, 10)
	done := func(v wire.Value, err error) {
		s, _ := v.Str()
		results <- fmt.Sprint(s, err)
	}
	first, err := c.Invoke("A", done)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Invoke("B", done, wire.Integer(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Invoke("C", done); !errors.Is(err, ErrFull) {
		t.Errorf("the third: %v", err)
	}
	expect(t, ws, `{"type":1,"invocationId":"s1","target":"A","arguments":[]}|{"type":1,"invocationId":"s2","target":"B","arguments":[1]}|`)
	if !first.Forget() || first.Forget() {
		t.Error("it can be forgotten once")
	}
	put(t, ws, `{"type":3,"invocationId":"s1","result":"late"}|{"type":3,"invocationId":"s2","result":"yes"}|{"type":3,"invocationId":"s2","result":"again"}|`)
	if got := <-results; got != "yes<nil>" {
		t.Errorf("%q", got)
	}
	if _, err := c.Invoke("D", done); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Invoke("E", done, wire.JSON([]byte("{"))); !errors.Is(err, wire.ErrValue) {
		t.Errorf("a broken argument: %v", err)
	}
	expect(t, ws, `{"type":1,"invocationId":"s3","target":"D","arguments":[]}|`)
	c.Close("enough", false)
	if text, status := expectClose(t, ws); text != `{"type":7,"error":"enough"}|` || status != websocket.StatusNormalClosure {
		t.Errorf("%q, %v", text, status)
	}
	if got := <-results; got != fmt.Sprint(ErrClosed) {
		t.Errorf("%q", got)
	}
	if len(results) != 0 {
		t.Errorf("%q too", <-results)
	}
}
