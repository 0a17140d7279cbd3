package adapter

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Offered returns the first of the sub-protocols for WebSocket in a request's
// headers that is one of names, in the client's spelling, or nothing.
func Offered(h http.Header, names ...string) string {
	for _, list := range h.Values("Sec-WebSocket-Protocol") {
		for name := range strings.SplitSeq(list, ",") {
			name = strings.TrimSpace(name)
			for _, known := range names {
				if strings.EqualFold(name, known) {
					return name
				}
			}
		}
	}
	return ""
}

// A Socket is a WebSocket as a stream of bytes. However the connection ends,
// the client is sent a close frame behind what was said before.
type Socket struct {
	net.Conn
	ws      *websocket.Conn
	linger  time.Duration
	code    func() websocket.StatusCode
	once    sync.Once
	closing sync.WaitGroup
}

// AcceptSocket answers a client that has offered a sub-protocol. ctx cuts the
// socket off; linger is how long the client may take to close it, code what it
// is told then. Without an error, Finish must be called. After one the client
// was told.
func AcceptSocket(ctx context.Context, w http.ResponseWriter, r *http.Request, offered string, linger time.Duration, code func() websocket.StatusCode) (*Socket, error) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:       []string{offered},
		InsecureSkipVerify: true, // which origins are let in, the gate says
	})
	if err != nil {
		return nil, err
	}
	return &Socket{Conn: websocket.NetConn(ctx, ws, websocket.MessageBinary), ws: ws, linger: linger, code: code}, nil
}

// Close begins to close the connection, and does not wait for the client. What
// reads still ends when the client has answered, or when it takes too long.
func (s *Socket) Close() error { return s.CloseWrite() }

// CloseWrite is the same: a WebSocket can still be read after its close frame.
func (s *Socket) CloseWrite() error {
	s.once.Do(func() {
		code := s.code()
		_ = s.SetReadDeadline(time.Now().Add(s.linger))
		s.closing.Go(func() { _ = s.ws.Close(code, "") }) // it may have ended already
	})
	return nil
}

// Finish closes the connection if it is not, and waits until that is done.
func (s *Socket) Finish() {
	_ = s.Close()
	_, _ = io.Copy(io.Discard, s.Conn) // ends with the connection, or at its deadline
	s.closing.Wait()
}
