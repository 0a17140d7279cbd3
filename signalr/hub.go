package signalr

import (
	"fmt"
	"net/http"
)

// A Hub decides on what clients ask for. Its methods are called concurrently
// for different connections; for one connection, Connected, Invoke and Closed
// come one after the other.
type Hub interface {
	// Open decides on a request that begins a connection: a negotiation, or a
	// WebSocket without one. The owner is kept with the connection (Conn.Owner);
	// Closed is called once for each that was returned, whatever became of it. An
	// error refuses the request: a *Refusal as it says, any other with 403.
	Open(r *http.Request) (owner any, err error)

	// Continue decides on each later request of a connection, which may carry
	// another token than the one before. It must refuse who is not the owner, and
	// may take over a renewed token. Errors are treated as those of Open; the
	// connection goes on. It may run at the same time as the other callbacks.
	Continue(c *Conn, r *http.Request) error

	// Connected is called when the client's handshake has succeeded. From now on
	// the connection can send. An error closes the connection, with its text as
	// what the client is told if it is a *CloseError.
	Connected(c *Conn) error

	// Invoke is called for each call of a hub method, with or without an id. The
	// Invocation must be finished exactly once, now or later, by Complete or Fail.
	// No more than Options.Invocations of a connection are unfinished at a time:
	// then nothing is read from it, answers to Conn.Invoke neither.
	Invoke(c *Conn, i *Invocation)

	// Closed is called once, as the last callback of the connection, also for one
	// that never was connected. Err is why: nil if the client closed it
	// (dropping its event stream counts as that), a *CloseError if this side did, otherwise what went wrong.
	Closed(c *Conn, err error)
}

// A Refusal is an answer to an HTTP request that is not granted. Clients ask
// for a fresh token when they negotiate and for each WebSocket. After status 401
// to a poll or POST they should too, but Microsoft's for JavaScript (10.0.11)
// ends instead: close its connection with AllowReconnect before its token runs
// out.
type Refusal struct {
	Status int    // of HTTP; not 2xx
	Text   string // the body, plain text; the client shows it or drops it
}

// Error returns status and text.
func (e *Refusal) Error() string { return fmt.Sprintf("signalr: %d: %s", e.Status, e.Text) }

// A CloseError tells a client why its connection ends.
type CloseError struct {
	Text           string // what the client's onclose gets; empty: an ordinary end
	AllowReconnect bool   // the client may connect anew, if it was told to do so
}

// Error returns the text.
func (e *CloseError) Error() string {
	if e.Text == "" {
		return "signalr: closed by the server"
	}
	return "signalr: closed by the server: " + e.Text
}
