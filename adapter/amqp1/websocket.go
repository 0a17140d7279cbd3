package amqp1

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse/gate"

	"github.com/coder/websocket"
)

// WebSocketPath is where clients expect AMQP over WebSocket.
const WebSocketPath = "/$servicebus/websocket"

// The sub-protocols of AMQP over WebSocket: Azure's, and that of the draft of
// OASIS. A client gets the one that it offers.
var subprotocols = [...]string{"AMQPWSB10", "amqp"}

// WebSocket returns a handler that serves AMQP over WebSocket with what the
// adapter serves otherwise: as amqps where the request came by TLS, else as
// amqp. stop ends its connections within the drain time, and returns when all
// are gone; the handler is not to be called any more then.
func (a *Adapter) WebSocket(g *gate.Gate) (h http.Handler, stop func()) {
	s := newServing(a, g)
	return http.HandlerFunc(s.serveWebSocket), s.stop
}

func (s *serving) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	offered := offeredProtocol(r.Header)
	switch {
	case offered == "":
		http.Error(w, "this is AMQP over WebSocket: connect with sub-protocol AMQPWSB10 or amqp", http.StatusBadRequest)
		return
	case !s.admit():
		http.Error(w, "the gateway has as many connections as it may, or is stopping; try again shortly", http.StatusServiceUnavailable)
		return
	}
	defer s.leave()
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:       []string{offered},
		InsecureSkipVerify: true, // which origins are let in, the gate says
	})
	if err != nil {
		return // the client was told
	}
	c := &connection{serving: s, protocol: ProtocolPlain, origin: r.Header.Get("Origin")}
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		c.remote = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	}
	if r.TLS != nil {
		c.protocol, c.secure, c.shown = ProtocolTLS, true, certificateOf(r.TLS)
	}
	nc := &socket{Conn: websocket.NetConn(s.ctx, ws, websocket.MessageBinary), ws: ws, stopping: s.stopping}
	c.run(nc)
	nc.finish()
}

// stopping reports whether connections are told to stop.
func (s *serving) stopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// offeredProtocol returns the first sub-protocol of ours that a client offers,
// in its spelling.
func offeredProtocol(h http.Header) string {
	for _, list := range h.Values("Sec-WebSocket-Protocol") {
		for name := range strings.SplitSeq(list, ",") {
			name = strings.TrimSpace(name)
			for _, known := range subprotocols {
				if strings.EqualFold(name, known) {
					return name
				}
			}
		}
	}
	return ""
}

// A socket is a WebSocket as a stream of bytes. However the connection ends,
// the client is sent a close frame behind what was said before.
type socket struct {
	net.Conn
	ws       *websocket.Conn
	stopping func() bool
	once     sync.Once
	closing  sync.WaitGroup
}

// Close begins to close the connection, and does not wait for the client. What
// reads still ends when the client has answered, or when it takes too long.
func (s *socket) Close() error { return s.CloseWrite() }

// CloseWrite is the same: a WebSocket can still be read after its close frame.
func (s *socket) CloseWrite() error {
	s.once.Do(func() {
		code := websocket.StatusNormalClosure
		if s.stopping() {
			code = websocket.StatusGoingAway
		}
		_ = s.SetReadDeadline(time.Now().Add(closeTime))
		s.closing.Go(func() { _ = s.ws.Close(code, "") }) // it may have ended already
	})
	return nil
}

// finish waits until the connection is closed.
func (s *socket) finish() {
	_ = s.Close()
	_, _ = io.Copy(io.Discard, s.Conn) // ends with the connection, or at its deadline
	s.closing.Wait()
}
