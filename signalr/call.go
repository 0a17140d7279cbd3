package signalr

import (
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse/gatehouse/signalr/wire"
)

// A Call is a call of a client's method whose result is awaited.
type Call struct {
	conn   *Conn
	number uint64
	done   func(wire.Value, error)
}

// A ClientError is an error that a client's method answered with.
type ClientError struct{ Text string }

// Error returns the text.
func (e *ClientError) Error() string { return "signalr: the client failed: " + e.Text }

// Invoke calls a method of the client and awaits its answer: done is called
// exactly once unless Invoke fails or the call is forgotten, with the result
// (zero if the client returned nothing), or with a *ClientError if the client's
// method failed, gave no result or does not exist, or with ErrClosed if the
// connection ended before. Done must not block; it runs as Hub.Invoke does, and
// may run before Invoke returns. It fails with ErrFull or ErrClosed.
func (c *Conn) Invoke(target string, done func(result wire.Value, err error), arguments ...wire.Value) (*Call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.calls) >= c.server.options.Calls {
		return nil, ErrFull
	}
	call := &Call{conn: c, number: c.lastCall + 1, done: done}
	r := &wire.Record{Type: wire.Invocation, ID: callID(call.number), Target: clean(target), Arguments: arguments}
	if err := c.send(r); err != nil {
		return nil, err
	}
	c.lastCall++
	if c.calls == nil {
		c.calls = map[uint64]*Call{}
	}
	c.calls[call.number] = call
	return call, nil
}

// Forget gives the result up: done will not be called any more if it returns
// true. A result that comes later is dropped.
func (c *Call) Forget() bool {
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	if c.conn.calls[c.number] != c {
		return false
	}
	delete(c.conn.calls, c.number)
	return true
}

// completed takes the result of a call. Those that nobody awaits are dropped,
// as are the ends of streams. It holds input.
func (c *Conn) completed(r *wire.Record) {
	digits, ok := strings.CutPrefix(r.ID, "s")
	number, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil {
		return
	}
	c.mu.Lock()
	call := c.calls[number]
	delete(c.calls, number)
	if len(c.calls) == 0 {
		c.calls = nil
	}
	c.mu.Unlock()
	switch {
	case call == nil:
	case r.Failed:
		call.done(wire.Value{}, &ClientError{Text: r.Error})
	default:
		call.done(r.Result, nil)
	}
}

// takeCalls returns the calls that still await a result, in order.
func (c *Conn) takeCalls() (all []*Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, call := range c.calls {
		all = append(all, call)
	}
	c.calls = nil
	slices.SortFunc(all, func(a, b *Call) int { return int(a.number) - int(b.number) }) //nolint:gosec // they are few
	return all
}
