package signalr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gatehouse/gatehouse/signalr/wire"
)

// resumable negotiates with stateful reconnect, and shakes hands.
func resumable(t *testing.T, h *hub, address string) (query string, ws *websocket.Conn) {
	t.Helper()
	status, text, _ := ask(t, client(t), http.MethodPost, address+"/negotiate?negotiateVersion=1&useStatefulReconnect=true", "")
	if status != 200 || !strings.Contains(text, `"useStatefulReconnect":true`) {
		t.Fatalf("%d %s", status, text)
	}
	_, rest, _ := strings.Cut(text, `"connectionToken":"`)
	secret, _, _ := strings.Cut(rest, `"`)
	ws = dial(t, address, "?id="+secret)
	put(t, ws, strings.Replace(hello, `"version":1`, `"version":2`, 1))
	expect(t, ws, `{}|`)
	h.await(t, "connected", func() bool { return len(h.conns) == 1 })
	return "?id=" + secret, ws
}

const echo = `{"type":1,"invocationId":"%d","target":"echo","arguments":[%d]}|`

func answers(from, to int) (text string) {
	for i := from; i <= to; i++ {
		text += fmt.Sprintf(`{"type":3,"invocationId":"%d","result":%d}|`, i, i)
	}
	return text
}

func TestSequences(t *testing.T) {
	t.Parallel()
	h := &hub{}
	_, address := serve(t, h, Options{})
	query, ws := resumable(t, h, address)
	for i := 1; i <= 3; i++ {
		put(t, ws, fmt.Sprintf(echo, i, i))
	}
	expect(t, ws, answers(1, 3))
	expect(t, ws, `{"type":8,"sequenceId":3}|`)
	put(t, ws, `{"type":8,"sequenceId":1}|{"type":8,"sequenceId":1000}|`) // the second claims too much: it has all
	put(t, ws, fmt.Sprintf(echo, 4, 4))
	expect(t, ws, answers(4, 4))

	again := dial(t, address, query)            // while the old one looks alive
	put(t, again, fmt.Sprintf(echo, 9, 9))      // does not count yet
	put(t, again, `{"type":9,"sequenceId":3}|`) // 3 and 4 come again
	put(t, again, fmt.Sprintf(echo, 3, 3))      // known
	put(t, again, fmt.Sprintf(echo, 4, 4))      // known
	put(t, again, fmt.Sprintf(echo, 5, 5))      // new
	expect(t, again, `{"type":9,"sequenceId":4}|`+answers(4, 5))
	if _, _, err := ws.Read(t.Context()); err == nil {
		t.Error("the old socket goes on")
	}
	_ = again.CloseNow()

	third := dial(t, address, query)
	put(t, third, `{"type":9,"sequenceId":7}|`) // but only 5 came
	text, _ := expectClose(t, third)
	if !strings.HasSuffix(text, `{"type":7,"error":"malformed record"}|`) {
		t.Errorf("%q", text)
	}
	h.await(t, "closed", func() bool { return len(h.closed) == 1 && errors.Is(h.closed[0], wire.ErrRecord) })
}

func TestAcknowledgementsFreeTheBuffer(t *testing.T) {
	t.Parallel()
	h := &hub{}
	_, address := serve(t, h, Options{SendBuffer: 1000})
	_, ws := resumable(t, h, address)
	put(t, ws, `{"type":6}|`)
	c := h.conns[0]
	sent := 0
	var want string
	for c.Send("Receive", wire.Integer(int64(sent))) == nil {
		want += fmt.Sprintf(`{"type":1,"target":"Receive","arguments":[%d]}|`, sent)
		sent++
	}
	expect(t, ws, want)
	if n := c.Buffered(); n != len(want) || n < 1000 {
		t.Errorf("%d bytes wait to be acknowledged, of %d", n, len(want))
	}
	room := make(chan struct{})
	c.Flushed(0, func() { close(room) })
	put(t, ws, fmt.Sprintf(`{"type":8,"sequenceId":%d}|`, sent-1))
	put(t, ws, fmt.Sprintf(`{"type":8,"sequenceId":%d}|`, sent))
	<-room
	if err := c.Send("Receive", wire.Integer(0)); err != nil || c.Buffered() == 0 {
		t.Errorf("%v, %d", err, c.Buffered())
	}
}

func TestMissingAcknowledgementsEnd(t *testing.T) {
	t.Parallel()
	h := &hub{}
	_, address := serve(t, h, Options{SendBuffer: 1000})
	_, ws := resumable(t, h, address)
	for i := range 1000 {
		if ws.Write(t.Context(), websocket.MessageText, []byte(strings.ReplaceAll(fmt.Sprintf(echo, i, i), "|", "\x1e"))) != nil {
			break
		}
	}
	text, _ := expectClose(t, ws)
	if !strings.HasSuffix(text, `{"type":7,"error":"acknowledgements are missing","allowReconnect":true}|`) {
		t.Errorf("%q", text[max(0, len(text)-200):])
	}
}

func TestOnlyStatefulConnectionsResume(t *testing.T) {
	t.Parallel()
	h := &hub{}
	server, address := serve(t, h, Options{Resume: -1})
	status, text, _ := ask(t, client(t), http.MethodPost, address+"/negotiate?negotiateVersion=1&useStatefulReconnect=true", "")
	if status != 200 || strings.Contains(text, "useStatefulReconnect") {
		t.Errorf("%d %s", status, text)
	}
	ws := dial(t, address, "")
	put(t, ws, strings.Replace(hello, `"version":1`, `"version":2`, 1)) // and without negotiation it is not agreed on
	expect(t, ws, `{}|`)
	_ = ws.CloseNow()
	h.await(t, "closed", func() bool { return len(h.closed) == 1 && h.closed[0] == ErrBroken })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := server.Close(ctx); err != nil {
		t.Error(err)
	}
}

func TestCloseDoesNotWaitForever(t *testing.T) {
	t.Parallel()
	h := &hub{}
	server, address := serve(t, h, Options{})
	c := client(t)
	at := address + "?id=" + token(t, c, address)
	ask(t, c, http.MethodGet, at, "") // a poll, and no other
	ask(t, c, http.MethodPost, at, strings.ReplaceAll(hello, "|", "\x1e"))
	ws := dial(t, address, "") // does not answer the close frame, as nobody reads
	put(t, ws, hello)
	h.await(t, "connected", func() bool { return len(h.conns) == 2 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := server.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	h.await(t, "closed", func() bool { return len(h.closed) == 2 })
	if status, _, _ := ask(t, c, http.MethodPost, address+"/negotiate", ""); status != http.StatusServiceUnavailable {
		t.Errorf("then: %d", status)
	}
}

func TestEventsMayHaveLineEnds(t *testing.T) {
	t.Parallel()
	if got, want := string(appendEvent(nil, []byte("a\nb\r\nc"))), "data: a\r\ndata: b\r\ndata: \r\ndata: c\r\n\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPingsOfTheServer(t *testing.T) {
	t.Parallel()
	h := &hub{}
	_, address := serve(t, h, Options{KeepAlive: 20 * time.Millisecond, ClientTimeout: 200 * time.Millisecond})
	ws := dial(t, address, "")
	put(t, ws, hello)
	expect(t, ws, `{}|{"type":6}|{"type":6}|{"type":6}|`)
	packed := dial(t, address, "")
	put(t, packed, strings.Replace(hello, "json", "messagepack", 1))
	_, b, err := packed.Read(t.Context())
	if err != nil || string(b) != "{}\x1e" {
		t.Fatalf("%q, %v", b, err)
	}
	if kind, b, err := packed.Read(t.Context()); err != nil || kind != websocket.MessageBinary || string(b) != "\x02\x91\x06" {
		t.Errorf("%v %q, %v", kind, b, err)
	}
	if n := h.conns[0].ID(); n == h.conns[1].ID() {
		t.Errorf("two connections are named %s", n)
	}
	_ = ws.CloseNow()
	put(t, packed, "\x02\x91\x06") // one ping, then silence
	text, _ := expectClose(t, packed)
	if !strings.Contains(text, "silent for too long") {
		t.Errorf("%q", text)
	}
}
