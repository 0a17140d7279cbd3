package mqttadapter

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

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
	switch {
	case !offers(r.Header):
		http.Error(w, "this is MQTT over WebSocket: connect with sub-protocol mqtt", http.StatusBadRequest)
		return
	case !s.admit():
		http.Error(w, "the gateway has as many connections as it may, or is stopping; try again shortly", http.StatusServiceUnavailable)
		return
	}
	defer s.leave()
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:       []string{subprotocol},
		InsecureSkipVerify: true, // which origins are let in, the gate says
	})
	if err != nil {
		return // the client was told
	}
	c := &connection{serving: s, protocol: ProtocolPlain, origin: r.Header.Get("Origin"), web: true}
	c.deadline = time.Now().Add(s.options.ConnectTime)
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		c.remote = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	}
	if r.TLS != nil {
		c.protocol, c.secure = ProtocolTLS, true
	}
	c.show(r.TLS)
	nc := &socket{Conn: websocket.NetConn(s.ctx, ws, websocket.MessageBinary), ws: ws}
	c.run(nc)
	nc.finish()
}

// offers reports whether a client offers our sub-protocol.
func offers(h http.Header) bool {
	for _, list := range h.Values("Sec-WebSocket-Protocol") {
		names := strings.Split(list, ",")
		if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(strings.TrimSpace(n), subprotocol) }) {
			return true
		}
	}
	return false
}

// A socket is a WebSocket as a stream of bytes. However the connection ends,
// the client is sent a close frame behind what was said before.
type socket struct {
	net.Conn
	ws      *websocket.Conn
	once    sync.Once
	closing sync.WaitGroup
}

// Close begins to close the connection, and does not wait for the client.
func (s *socket) Close() error { return s.CloseWrite() }

// CloseWrite is the same: a WebSocket can still be read after its close frame.
func (s *socket) CloseWrite() error {
	s.once.Do(func() {
		_ = s.SetReadDeadline(time.Now().Add(lingerTime))
		s.closing.Go(func() { _ = s.ws.Close(websocket.StatusNormalClosure, "") }) // it may have ended already
	})
	return nil
}

// finish returns when the connection is closed.
func (s *socket) finish() {
	_ = s.CloseWrite()
	_, _ = io.Copy(io.Discard, s.Conn) // ends with the connection, or at its deadline
	s.closing.Wait()
}
