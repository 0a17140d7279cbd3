package amqp

import (
	"bytes"

	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/amqp/wire"
)

// handle handles one frame. It reports whether the connection is over, in
// which case the error is nil; an error is one to close the connection with.
func (c *Conn) handle(h frame.Header, body []byte) (over bool, err error) {
	if h.Type != frame.TypeAMQP {
		return false, Err(FramingError, "the frame is not an AMQP frame")
	}
	if len(body) == 0 {
		return false, nil
	}
	code, items, payload, err := frame.Parse(body)
	if err != nil {
		return false, decodeError(err)
	}
	if code == frame.CodeClose {
		return c.takeClose(items)
	}
	switch code {
	case frame.CodeTransfer:
		err = c.takeTransfer(h.Channel, items, payload)
	case frame.CodeDisposition:
		err = c.takeDisposition(h.Channel, items)
	case frame.CodeFlow:
		err = c.takeFlow(h.Channel, items)
	case frame.CodeAttach, frame.CodeOpen, frame.CodeBegin:
		err = c.handleRare(h.Channel, code, body)
	case frame.CodeDetach:
		err = c.takeDetach(h.Channel, items)
	case frame.CodeEnd:
		err = c.takeEnd(h.Channel, items)
	default:
		err = Err(NotAllowed, "the frame's performative is unknown or out of place")
	}
	return false, err
}

// handleRare handles frames whose content is kept, and hence copied.
func (c *Conn) handleRare(channel uint16, code uint64, body []byte) error {
	_, items, _, err := frame.Parse(bytes.Clone(body))
	if err != nil {
		return decodeError(err)
	}
	switch code {
	case frame.CodeBegin:
		return c.takeBegin(channel, items)
	case frame.CodeAttach:
		return c.takeAttach(channel, items)
	}
	return Err(NotAllowed, "the connection is open already")
}

// session returns the session of a frame. It is nil, without an error, if the
// frame is to be passed over: we have ended the session or closed the
// connection, and the peer did not know. The lock is held.
func (c *Conn) session(channel uint16) (*Session, error) {
	if c.closeSent {
		return nil, nil
	}
	s := c.sessions[channel]
	if s == nil {
		return nil, Err(NotAllowed, "the channel has no session")
	}
	if s.ended {
		return nil, nil
	}
	return s, nil
}

// takeClose answers the peer's close, or takes it as the answer to ours (part
// 2.4.3).
func (c *Conn) takeClose(items wire.Items) (over bool, err error) {
	e, err := frame.DecodeEnd(items)
	if err != nil {
		return false, decodeError(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closeErr == nil {
		c.closeErr = e
	}
	c.closeLocked(nil)
	return true, nil
}
