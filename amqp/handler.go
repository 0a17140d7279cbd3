package amqp

import (
	"bytes"

	"github.com/gatehouse/gatehouse/amqp/frame"
)

// A Handler decides on what the peer of one connection asks for. Its methods
// run on the Serve goroutine. Authenticate and Open may take their time: nothing
// else happens on the connection meanwhile.
type Handler interface {
	// Authenticate decides on SASL credentials. An error refuses them: a
	// *SASLError with its code, any other with "auth".
	Authenticate(c *Conn, a Authentication) error

	// Open is called with the peer's open frame, after SASL if there was any. An
	// error closes the connection with it.
	Open(c *Conn, open *frame.Open) error

	// Attach is called when the peer attaches a link. The link must be accepted
	// or refused, at once or later, from any goroutine.
	Attach(a *Attach)
}

// A Receiver takes what comes in on a link whose peer sends.
type Receiver interface {
	// Message takes a complete message. The delivery and its bytes belong to the
	// Receiver, which must finish it exactly once, now or later.
	Message(d *Delivery)

	// Closed is called once, as the last callback of the link: the peer detached
	// it, or its session or the connection ended. Err is what the peer or the
	// connection gave as the reason, nil if nothing.
	Closed(err error)
}

// A Sender fills a link whose peer receives.
type Sender interface {
	// Ready is called when Send can take something (Outgoing.Credit tells how
	// much) or the peer wants the link drained (Outgoing.Draining). It may be
	// called from another goroutine than the other callbacks, at the same time as
	// they or even just after Closed; Send then fails.
	Ready(o *Outgoing)

	// Outcome is called when the peer tells where a delivery stands. If the peer
	// has settled it (Sent.Settled), that is its end; otherwise the Sender is
	// expected to call Sent.Settle, now or later. A state of kind NoState with the
	// delivery settled leaves the outcome to the source's default.
	Outcome(s Sent, state State)

	// Closed is called once, as the last callback of the link. Deliveries that
	// were not settled stay so.
	Closed(err error)
}

// An Authentication is what a peer offers in its SASL exchange (part 5.3.3).
type Authentication struct {
	Mechanism string
	Response  []byte // the initial response; owned by the Handler
	Hostname  string // the host the peer wants to reach, if it says so
}

// Plain returns the parts of a PLAIN response (RFC 4616).
func (a Authentication) Plain() (authorize, user, password string, ok bool) {
	parts := bytes.SplitN(a.Response, []byte{0}, 3)
	if len(parts) != 3 {
		return "", "", "", false
	}
	return string(parts[0]), string(parts[1]), string(parts[2]), true
}

// A SASLError refuses credentials with a code of its own.
type SASLError struct {
	Code   frame.SASLCode
	Reason string // for the server's log; the peer only sees the code
}

// Error returns the reason.
func (e *SASLError) Error() string { return "amqp: SASL: " + e.Reason }
