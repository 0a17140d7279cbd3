package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/problem"

	"github.com/coder/websocket"
)

// Subprotocol is what a client may offer to be sure of what is spoken.
const Subprotocol = "gatehouse.v1"

// WebSocket returns a handler that serves the JSON protocol over WebSocket. stop
// ends its connections within the drain time, and returns when all are gone; the
// handler is not to be called any more then.
func (a *Adapter) WebSocket(g *gate.Gate) (h http.Handler, stop func()) {
	v := newServing(a, g, ProtocolWebSocket)
	return http.HandlerFunc(v.serveWebSocket), v.stop
}

func (v *serving) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("rest") != "" {
		v.refuse(w, gatehouse.Errorf(gatehouse.NotFound, "nothing is at this address; a WebSocket is at /ACCOUNT/endpoints/ENDPOINT/ws"))
		return
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") && r.ProtoMajor == 1 {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this is the WebSocket of an endpoint: connect to it with a client of that", http.StatusUpgradeRequired)
		return
	}
	if err := v.admit(); err != nil {
		v.refuse(w, err)
		return
	}
	c, err := v.connect(w, r)
	if err != nil {
		v.leave()
		return
	}
	// The goroutine of the request has a large stack, which its connection does
	// not need any more.
	go func() {
		defer v.leave()
		c.run()
	}()
}

// connect opens the session and the WebSocket of a client. The client was told
// of the error.
func (v *serving) connect(w http.ResponseWriter, r *http.Request) (*socket, error) {
	s, err := v.open(r, gatehouse.RightSend|gatehouse.RightListen)
	if err != nil {
		v.refuse(w, err)
		return nil, err
	}
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:       []string{Subprotocol},
		InsecureSkipVerify: true, // which origins are let in, the gate has said
	})
	if err != nil {
		s.gate.Close()
		return nil, err
	}
	return newSocket(s, ws), nil
}

// A socket is a client of the JSON protocol. Beside the goroutine that reads it
// has one while there is something to write, and one while it asks a silent
// client whether it is there.
type socket struct {
	*session
	ws      *websocket.Conn
	out     outbox
	sending *budget
	working sync.WaitGroup // the end, and the asking

	pingLock sync.Mutex
	pings    *time.Timer // nil: not yet, or not any more
}

func newSocket(s *session, ws *websocket.Conn) *socket {
	c := &socket{session: s, ws: ws, sending: newBudget(s.options.Sending, s.options.SendingBytes)}
	c.out.write = c.write
	s.deliver, s.ended = c.pass, c.part
	ws.SetReadLimit(s.options.MaxBody*4/3 + maxEnvelope)
	return c
}

// maxEnvelope is how large the rest of a text is, beside a body in base64.
const maxEnvelope = 64 << 10

// run serves the client until its connection ends.
func (c *socket) run() {
	c.take(c.session)
	if c.start() == nil {
		c.hello()
		c.askLater()
		c.finish(c.read())
		c.askNoMore()
	}
	<-c.told
	c.working.Wait()
	c.out.close()
	_ = c.ws.CloseNow()
	c.out.idle.Wait()
}

// errGone says that there is nobody to tell.
var errGone = errors.New("the client is gone")

// read takes what the client says until it is gone. It waits while a client that
// does not read has many answers to come: more than deliveries alone can be.
func (c *socket) read() error {
	for {
		if !c.out.wait(c.ctx, 2*c.options.WindowBytes) {
			return errGone
		}
		kind, text, err := c.ws.Read(c.ctx)
		if err != nil {
			return errGone
		}
		if kind != websocket.MessageText {
			return gatehouse.Errorf(gatehouse.Invalid, "the WebSocket takes text in JSON, not binary messages")
		}
		if err := c.command(text); err != nil {
			return err
		}
	}
}

// write writes one text.
func (c *socket) write(text []byte) error {
	ctx, cancel := context.WithTimeout(c.ctx, c.options.WriteTime)
	defer cancel()
	return c.ws.Write(ctx, websocket.MessageText, text)
}

// askLater has the client asked in a while whether it is there.
func (c *socket) askLater() {
	c.pingLock.Lock()
	defer c.pingLock.Unlock()
	c.pings = time.AfterFunc(c.options.KeepAlive, c.ask)
}

func (c *socket) askNoMore() {
	c.pingLock.Lock()
	defer c.pingLock.Unlock()
	c.pings.Stop()
	c.pings = nil
}

// ask closes the connection unless the client shows that it is there.
func (c *socket) ask() {
	c.pingLock.Lock()
	if c.pings == nil {
		c.pingLock.Unlock()
		return
	}
	c.working.Add(1)
	c.pingLock.Unlock()
	defer c.working.Done()
	ctx, cancel := context.WithTimeout(c.ctx, c.options.KeepAlive)
	defer cancel()
	if c.ws.Ping(ctx) != nil {
		_ = c.ws.CloseNow() // which reading notices
		return
	}
	c.pingLock.Lock()
	defer c.pingLock.Unlock()
	if c.pings != nil {
		c.pings.Reset(c.options.KeepAlive)
	}
}

// pass hands a delivery to the client, unless it reads too slowly: what waits
// to be written is bounded.
func (c *socket) pass(d *inbox.Delivery) bool {
	if !c.out.wait(c.ctx, c.options.WindowBytes) {
		return false
	}
	select {
	case <-c.over: // it is not to have it any more
		return false
	default:
	}
	text := append([]byte(nil), `{"op":"delivery","delivery":`...)
	return c.out.put(append(appendDelivery(text, d), '}'))
}

// part tells the client why its session has ended.
func (c *socket) part(err error) {
	c.working.Go(func() {
		if err == errGone { //nolint:errorlint // ours, bare
			_ = c.ws.CloseNow() // is closed
			return
		}
		ctx, cancel := context.WithTimeout(c.ctx, c.options.WriteTime)
		defer cancel()
		if err != errStopping { //nolint:errorlint // ours, bare
			c.out.drop() // it is not to have it any more
		}
		c.out.wait(ctx, 0)
		code, reason := c.closing(err)
		_ = c.ws.Close(code, reason) // the client may be gone
	})
}

// maxReason is how long the reason of a close may be.
const maxReason = 123

// closing returns the code and the reason with which a session ends: 1001 if
// the client should connect again, else 4000 and the status that HTTP has for
// it.
func (c *socket) closing(err error) (websocket.StatusCode, string) {
	p := c.tell(err)
	code := websocket.StatusCode(4000 + p.Status)
	if err == errStopping { //nolint:errorlint // ours, bare
		code = websocket.StatusGoingAway
	}
	return code, shorten(p)
}

// shorten returns the kind and the text of a problem, at most maxReason bytes.
func shorten(p problem.Problem) string {
	reason := p.Kind + ": " + p.Detail
	if len(reason) <= maxReason {
		return reason
	}
	n := maxReason - len("…")
	for !utf8.RuneStart(reason[n]) {
		n--
	}
	return reason[:n] + "…"
}
