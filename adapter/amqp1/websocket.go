package amqp1

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

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
	c.run(&socket{Conn: websocket.NetConn(s.ctx, ws, websocket.MessageBinary), ws: ws})
	_ = ws.Close(websocket.StatusNormalClosure, "") // if it has not ended already
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

// A socket is a WebSocket as a stream of bytes. Closing it does not wait for
// the client.
type socket struct {
	net.Conn
	ws *websocket.Conn
}

// Close closes the connection at once.
func (s *socket) Close() error { return s.ws.CloseNow() }
