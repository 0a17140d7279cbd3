package signalr

import (
	"context"
	"errors"

	"github.com/gatehouse/gatehouse/signalr/wire"
)

var (
	// ErrClosed means that the connection has ended, or is not connected yet.
	ErrClosed = errors.New("signalr: the connection is closed")

	// ErrFull means that the client does not read fast enough, or does not answer
	// calls: the record was not taken. See Conn.Wait and Conn.Flushed.
	ErrFull = errors.New("signalr: too much waits to be sent to the client")
)

// A Transport is how the bytes of a connection travel.
type Transport string

// The transports, by the names they have in negotiation.
const (
	WebSockets       Transport = "WebSockets"
	ServerSentEvents Transport = "ServerSentEvents"
	LongPolling      Transport = "LongPolling"
)

// A Conn is a connection of one client.
type Conn struct {
	id    string
	owner any
}

// ID returns the public name of the connection, which the client knows too.
func (c *Conn) ID() string { return c.id }

// Owner returns what Hub.Open returned.
func (c *Conn) Owner() any { return c.owner }

// Transport returns how the bytes travel; empty before the client has come.
func (c *Conn) Transport() Transport { return "" }

// Protocol returns the hub protocol, "json" or "messagepack"; empty before the
// handshake.
func (c *Conn) Protocol() string { return "" }

// Context is done when the connection has ended; its cause is the error that
// Hub.Closed gets (context.Canceled for nil).
func (c *Conn) Context() context.Context { return context.Background() }

// Send calls a method of the client without awaiting an answer. The values are
// encoded before it returns. It fails with ErrFull or ErrClosed.
func (c *Conn) Send(target string, arguments ...wire.Value) error { return ErrClosed }

// Invoke calls a method of the client and awaits its answer: done is called
// exactly once unless Invoke fails or the call is forgotten, with the result
// (zero if the client returned nothing), or with a *ClientError if the client's
// method failed, gave no result or does not exist, or with ErrClosed if the
// connection ended before. Done must not block; it runs as Hub.Invoke does. It
// fails with ErrFull or ErrClosed.
func (c *Conn) Invoke(target string, done func(result wire.Value, err error), arguments ...wire.Value) (*Call, error) {
	return nil, ErrClosed
}

// A Call is a call of a client's method whose result is awaited.
type Call struct{}

// Forget gives the result up: done will not be called any more if it returns
// true. A result that comes later is dropped.
func (c *Call) Forget() bool { return false }

// A ClientError is an error that a client's method answered with.
type ClientError struct{ Text string }

// Error returns the text.
func (e *ClientError) Error() string { return "signalr: the client failed: " + e.Text }

// Buffered returns how many bytes wait to be sent, or with stateful reconnect
// to be acknowledged.
func (c *Conn) Buffered() int { return 0 }

// Flushed calls do once, from another goroutine, when no more than below bytes
// are Buffered (at once if that is so now), or the connection has ended. Do must
// not block. A later call replaces one that still waits.
func (c *Conn) Flushed(below int, do func()) {}

// Wait returns when no more than half of Options.SendBuffer is Buffered. It fails with
// ErrClosed when the connection ends, or with the error of ctx.
func (c *Conn) Wait(ctx context.Context) error { return ErrClosed }

// Close ends the connection: what was sent before is still delivered, if the
// client takes it, then the client is told text (empty: no error) and whether it
// may connect anew. Later calls have no effect. It does not wait.
func (c *Conn) Close(text string, allowReconnect bool) {}
