package mqttadapter

import (
	"net/http"
	"time"

	"github.com/gatehouse/gatehouse/adapter"
	"github.com/gatehouse/gatehouse/gate"

	"github.com/coder/websocket"
)

// Where clients expect MQTT over WebSocket: they themselves, and device code
// written for Azure IoT Hub.
const (
	WebSocketPath       = "/mqtt"
	WebSocketPathIoTHub = "/$iothub/websocket"
)

// subprotocol is that of MQTT over WebSocket (5.0 section 6.0).
const subprotocol = "mqtt"

// WebSocket returns a handler that serves MQTT over WebSocket with what the
// adapter serves otherwise: as mqtts where the request came by TLS, else as
// mqtt. stop ends its connections within the drain time, and returns when all
// are gone; the handler is not to be called any more then.
func (a *Adapter) WebSocket(g *gate.Gate) (h http.Handler, stop func()) {
	s := newServing(a, g)
	return http.HandlerFunc(s.serveWebSocket), s.stop
}

func (s *serving) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	offered := adapter.Offered(r.Header, subprotocol)
	switch {
	case offered == "":
		http.Error(w, "this is MQTT over WebSocket: connect with sub-protocol mqtt", http.StatusBadRequest)
		return
	case !s.conns.Admit():
		http.Error(w, "the gateway has as many connections as it may, or is stopping; try again shortly", http.StatusServiceUnavailable)
		return
	}
	defer s.conns.Leave()
	nc, err := adapter.AcceptSocket(s.ctx, w, r, offered, lingerTime, func() websocket.StatusCode { return websocket.StatusNormalClosure })
	if err != nil {
		return // the client was told
	}
	c := &connection{serving: s, protocol: ProtocolPlain, origin: r.Header.Get("Origin"), remote: adapter.RemoteOfRequest(r), web: true}
	c.deadline = time.Now().Add(s.options.ConnectTime)
	if r.TLS != nil {
		c.protocol, c.secure = ProtocolTLS, true
	}
	c.show(r.TLS)
	if c.enter(nc) {
		c.attend()
	}
	nc.Finish()
}
