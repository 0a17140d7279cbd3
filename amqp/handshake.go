package amqp

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/gatehouse/gatehouse/amqp/frame"
)

func isEOF(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe)
}

// handshake goes from the first byte to both opens: protocol headers, SASL if
// the peer wants it, open (parts 2.2, 5.3.2, 2.4.1).
func (c *Conn) handshake() error {
	proto, err := c.protocol()
	if err != nil {
		return err
	}
	if proto == frame.ProtoSASL {
		if err := c.sasl(); err != nil {
			return err
		}
		if proto, err = c.protocol(); err != nil {
			return err
		}
	} else if c.server.config.RequireSASL {
		return c.refuse(frame.ProtoSASL)
	}
	if proto != frame.ProtoAMQP {
		return c.refuse(frame.ProtoAMQP)
	}
	c.send(frame.ProtocolHeader(frame.ProtoAMQP))
	c.mu.Lock()
	c.amqp = true
	c.mu.Unlock()
	return c.takeOpen()
}

// protocol reads a protocol header and returns what it asks for. Anything but
// AMQP 1.0.0, over SASL or not, is answered with the header that would do.
func (c *Conn) protocol() (byte, error) {
	head, err := c.need(frame.HeaderSize)
	if err != nil {
		return 0, err
	}
	proto := head[4]
	want := frame.ProtocolHeader(proto)
	sasl := proto == frame.ProtoSASL && len(c.server.config.Mechanisms) > 0
	if !bytes.Equal(head, want[:]) || (proto != frame.ProtoAMQP && !sasl) {
		return 0, c.refuse(c.preferred())
	}
	c.in.r += frame.HeaderSize
	return proto, nil
}

// preferred is the protocol for a peer that asked for something else.
func (c *Conn) preferred() byte {
	if len(c.server.config.Mechanisms) > 0 {
		return frame.ProtoSASL
	}
	return frame.ProtoAMQP
}

// refuse answers with the header of the protocol that the server would speak.
func (c *Conn) refuse(proto byte) error {
	c.send(frame.ProtocolHeader(proto))
	return ErrProtocol
}

func (c *Conn) send(head [frame.HeaderSize]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.borrow()
	c.out = append(c.out, head[:]...)
}

// sasl runs the SASL exchange (part 5.3.2).
func (c *Conn) sasl() error {
	mechanisms := c.server.config.Mechanisms
	c.send(frame.ProtocolHeader(frame.ProtoSASL))
	c.sendSASL(func(dst []byte) []byte { return frame.AppendMechanisms(dst, mechanisms) })
	init, err := c.takeInit()
	if err != nil {
		return err
	}
	code := frame.SASLAuth
	if slices.Contains(mechanisms, init.Mechanism) {
		code, err = c.authenticate(init)
	} else {
		err = &SASLError{Code: code, Reason: "mechanism " + init.Mechanism + " was not offered"}
	}
	c.sendSASL(func(dst []byte) []byte { return frame.AppendOutcome(dst, code) })
	if err != nil {
		return errors.Join(ErrSASL, err)
	}
	return nil
}

func (c *Conn) authenticate(init frame.Init) (frame.SASLCode, error) {
	err := c.handler.Authenticate(c, Authentication{
		Mechanism: init.Mechanism, Response: init.Response, Hostname: init.Hostname,
	})
	if err == nil {
		return frame.SASLOK, nil
	}
	var e *SASLError
	if errors.As(err, &e) && e.Code != frame.SASLOK {
		return e.Code, err
	}
	return frame.SASLAuth, err
}

// takeInit reads sasl-init. A mechanism whose client speaks first but did not
// is asked with an empty challenge.
func (c *Conn) takeInit() (frame.Init, error) {
	body, err := c.nextSASL()
	if err != nil {
		return frame.Init{}, err
	}
	code, items, _, err := frame.Parse(body)
	if err != nil || code != frame.CodeInit {
		return frame.Init{}, errors.Join(ErrSASL, err)
	}
	var init frame.Init
	if err := init.Decode(items); err != nil {
		return frame.Init{}, errors.Join(ErrSASL, err)
	}
	init.Response = bytes.Clone(init.Response)
	if init.Response != nil || init.Mechanism != "PLAIN" {
		return init, nil
	}
	c.sendSASL(func(dst []byte) []byte { return frame.AppendChallenge(dst, nil) })
	init.Response, err = c.takeResponse()
	return init, err
}

func (c *Conn) takeResponse() ([]byte, error) {
	body, err := c.nextSASL()
	if err != nil {
		return nil, err
	}
	code, items, _, err := frame.Parse(body)
	if err != nil || code != frame.CodeResponse {
		return nil, errors.Join(ErrSASL, err)
	}
	response, err := frame.DecodeResponse(items)
	if err != nil {
		return nil, errors.Join(ErrSASL, err)
	}
	return bytes.Clone(response), nil
}

func (c *Conn) nextSASL() ([]byte, error) {
	h, body, err := c.next(c.server.config.MaxFirstFrame)
	if e, ok := err.(*Error); ok {
		return nil, errors.Join(ErrSASL, e)
	}
	if err == nil && h.Type != frame.TypeSASL {
		return nil, ErrSASL
	}
	return body, err
}

func (c *Conn) sendSASL(appendBody func([]byte) []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.borrow()
	at := len(c.out)
	c.out = frame.Start(c.out, frame.TypeSASL, 0)
	c.out = frame.Finish(appendBody(c.out), at)
}

// takeOpen reads the peer's open and answers it.
func (c *Conn) takeOpen() error {
	body, err := c.firstBody()
	if err != nil {
		return err
	}
	body = bytes.Clone(body)
	code, items, _, err := frame.Parse(body)
	if err != nil {
		return decodeError(err)
	}
	if code != frame.CodeOpen {
		return Err(NotAllowed, "the first frame must be open")
	}
	remote := new(frame.Open)
	if err := remote.Decode(items); err != nil {
		return decodeError(err)
	}
	if t := remote.IdleTimeout; t > 0 && time.Duration(t)*time.Millisecond < minIdle {
		return Err(NotAllowed, "an idle timeout of less than "+minIdle.String()+" cannot be kept")
	}
	c.mu.Lock()
	c.remote = remote
	c.frameOut = int(min(remote.MaxFrameSize, c.server.config.MaxFrameSize))
	c.mu.Unlock()
	if err := c.handler.Open(c, remote); err != nil {
		return asError(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sendOpen()
	c.timer.Reset(time.Millisecond)
	return nil
}

// firstBody reads the first frame that is not empty.
func (c *Conn) firstBody() ([]byte, error) {
	for {
		h, body, err := c.next(c.server.config.MaxFirstFrame)
		if err != nil {
			return nil, err
		}
		if h.Type != frame.TypeAMQP {
			return nil, Err(FramingError, "the frame is not an AMQP frame")
		}
		if len(body) > 0 {
			return body, nil
		}
	}
}

// sendOpen sends our open, once. The lock is held.
func (c *Conn) sendOpen() {
	if c.openSent {
		return
	}
	cfg := &c.server.config
	open := frame.Open{
		ContainerID:         cfg.ContainerID,
		MaxFrameSize:        cfg.MaxFrameSize,
		ChannelMax:          cfg.ChannelMax,
		OfferedCapabilities: cfg.OfferedCapabilities,
		Properties:          cfg.Properties,
	}
	if c.remote != nil {
		open.MaxFrameSize = min(cfg.MaxFrameSize, c.remote.MaxFrameSize)
	}
	if cfg.IdleTimeout > 0 {
		open.IdleTimeout = uint32(max(cfg.IdleTimeout/time.Millisecond, 1))
	}
	at := c.open(0)
	c.out = open.Append(c.out)
	c.done(at)
	c.openSent = true
}
