package web

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/inbox"

	"github.com/coder/websocket"
)

// TestAbandonedElsewhere abandons a delivery by another door: it comes again on
// the stream, and the id of its event acknowledges it.
func TestAbandonedElsewhere(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.fill(0, 2, 10)
	c := s.listen("", "ack", "explicit")
	first, _ := c.next()
	c.next()
	other := s.dial(receiver)
	other.say(`{"op":"abandon","lockToken":"%s"}`, first.LockToken)
	again, id := c.next()
	if again.ID != first.ID || again.DeliveryCount != 2 {
		t.Fatalf("%+v", again)
	}
	token := s.token(receiver, gatehouse.PolicyListen, time.Now().Add(time.Hour))
	if got := s.status("POST", s.url("inboxes", receiver, "events/"+id, "access_token", token)); got != http.StatusNoContent {
		t.Fatalf("acknowledging %s: %d", id, got)
	}
	s.depth(0)
}

// TestStreamWithBody says that a stream is not opened by a request with a body:
// as long as it is to come the stream cannot begin, nor its connection end.
func TestStreamWithBody(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()                                     //nolint:errcheck // nothing is lost
	_ = c.SetDeadline(time.Now().Add(30 * time.Second)) // its error would show below
	u, err := url.Parse(s.url("inboxes", receiver, "events", "access_token", s.both(receiver)))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", u.RequestURI())
	w, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if w.StatusCode != http.StatusBadRequest {
		t.Errorf("answered with %d", w.StatusCode)
	}
}

// TestNothingAfterTheEnd has a delivery wait for a client that reads slowly:
// when the session ends, it does not get it any more.
func TestNothingAfterTheEnd(t *testing.T) {
	t.Parallel()
	v := newServing(New(Options{WindowBytes: 8}), nil, ProtocolWebSocket)
	c := &socket{session: &session{serving: v, over: make(chan struct{})}}
	writing, written := make(chan struct{}, 3), make(chan struct{})
	c.out.write = func([]byte) error { writing <- struct{}{}; <-written; return nil }
	c.out.put([]byte("x"))
	<-writing
	c.out.put([]byte("more than eight bytes"))
	passed := make(chan bool)
	go func() { passed <- c.pass(&inbox.Delivery{Message: new(gatehouse.Message)}) }()
	c.out.waited(t)
	close(c.over)
	c.out.drop()
	if <-passed {
		t.Error("a delivery was handed over")
	}
	close(written)
	c.out.idle.Wait()
}

// waited returns once somebody waits.
func (o *outbox) waited(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		o.mu.Lock()
		waits := o.room != nil
		o.mu.Unlock()
		if waits {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody waits")
		}
	}
}

// A lent is the answer to a request whose connection is one end of a pipe.
type lent struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

// Hijack implements http.Hijacker.
func (l lent) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return l.conn, bufio.NewReadWriter(bufio.NewReader(l.conn), bufio.NewWriter(l.conn)), nil
}

// TestAnswersAreBounded has a client ask and ask and not read the answers: it
// is not read from any more.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := newServing(New(Options{WindowBytes: 1 << 10}), nil, ProtocolWebSocket)
		client, server := net.Pipe()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}}
		ws, err := websocket.Accept(lent{httptest.NewRecorder(), server}, r, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := newSocket(&session{serving: v}, ws)
		read := make(chan error)
		go func() { read <- c.read() }()
		go func() {
			text := `{"op":"ping"}`
			frame := append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...) // a text, masked with zeros
			for range 10_000 {
				if _, err := client.Write(frame); err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		c.out.mu.Lock()
		waiting := c.out.bytes
		c.out.mu.Unlock()
		if waiting > 4<<10 {
			t.Errorf("%d bytes of answers wait to be read", waiting)
		}
		_ = client.Close()
		if err := <-read; err != errGone { //nolint:errorlint // ours, bare
			t.Error(err)
		}
		_ = ws.CloseNow()
		c.out.idle.Wait()
	})
}

// TestLongReason gives a reason that no header of HTTP could carry to those who
// receive the dead letter.
func TestLongReason(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.fill(0, 1, 10)
	c := s.dial(receiver)
	c.say(`{"op":"credit","credit":1}`)
	d := c.next()
	long := strings.Repeat("x", maxReasons)
	c.say(`{"op":"deadLetter","lockToken":"%s","id":1,"reason":"x","description":"%s"}`, d.LockToken, long)
	if a := c.read(); a.Op != "refused" || a.Kind != gatehouse.TooLarge.String() {
		t.Fatalf("%+v", a)
	}
	c.say(`{"op":"deadLetter","lockToken":"%s","id":2,"description":"%s"}`, d.LockToken, long)
	if a := c.read(); a.Op != "done" {
		t.Fatalf("%+v", a)
	}
	s.depth(0)
}
