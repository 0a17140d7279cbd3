package amqp1

import (
	"net/http"

	"github.com/gatehouse/gatehouse/adapter"
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
	offered := adapter.Offered(r.Header, subprotocols[:]...)
	switch {
	case offered == "":
		http.Error(w, "this is AMQP over WebSocket: connect with sub-protocol AMQPWSB10 or amqp", http.StatusBadRequest)
		return
	case !s.conns.Admit():
		http.Error(w, "the gateway has as many connections as it may, or is stopping; try again shortly", http.StatusServiceUnavailable)
		return
	}
	defer s.conns.Leave()
	nc, err := adapter.AcceptSocket(s.ctx, w, r, offered, closeTime, s.closeCode)
	if err != nil {
		return // the client was told
	}
	c := &connection{serving: s, protocol: ProtocolPlain, origin: r.Header.Get("Origin"), remote: adapter.RemoteOfRequest(r)}
	if r.TLS != nil {
		c.protocol, c.secure, c.shown = ProtocolTLS, true, certificateOf(r.TLS)
	}
	c.run(nc)
	nc.Finish()
}

// closeCode is what a client is told at the end of its connection.
func (s *serving) closeCode() websocket.StatusCode {
	if s.conns.Stopped() {
		return websocket.StatusGoingAway
	}
	return websocket.StatusNormalClosure
}
