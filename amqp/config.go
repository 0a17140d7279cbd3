package amqp

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/amqp/wire"
)

// Config is how connections are served. Zero fields take the default.
type Config struct {
	// ContainerID names the server to its peers. Default: amqp-server.
	ContainerID string

	// Properties is the map that the open frame carries. Default: none.
	Properties wire.Value

	// OfferedCapabilities is an array of symbols for the open frame. Default: none.
	OfferedCapabilities wire.Value

	// Mechanisms are the SASL mechanisms offered, the preferred one first.
	// Without any, a peer that starts with SASL is refused.
	Mechanisms []string

	// RequireSASL refuses peers that start without SASL.
	RequireSASL bool

	// MaxFrameSize is the largest frame taken and sent, in bytes. Default: 65536.
	MaxFrameSize uint32

	// MaxFirstFrame is the largest frame taken before the peer's open was
	// accepted, SASL frames included, in bytes. The standard has 512 there, which
	// tokens as passwords exceed. Default: 4096.
	MaxFirstFrame uint32

	// ChannelMax is the highest channel number of a connection, so that it has at
	// most one session more than that. Default: 4999.
	ChannelMax uint16

	// HandleMax is the highest link handle of a session, so that it has at most
	// one link more than that. Default: 255.
	HandleMax uint32

	// MaxLinks is how many links a connection may have. More are refused; at
	// twice that, with those refused and not detached, the connection is closed.
	// Default: 2048.
	MaxLinks int

	// IncomingWindow is how many transfer frames a session may send before it
	// has to wait for a flow frame. Default: 2048.
	IncomingWindow uint32

	// MaxUnfinished is how many bytes of messages whose last frame has not come
	// yet a connection may hold. Default: 8 MiB.
	MaxUnfinished int

	// OutputLimit is how many bytes wait to be written to a peer before links
	// show no more credit and reading pauses. Default: 256 KiB.
	OutputLimit int

	// IdleTimeout is advertised to peers, which send something at least that
	// often; after twice that time without a byte a connection is closed. Default:
	// 2 minutes. Negative: never.
	IdleTimeout time.Duration

	// HandshakeTimeout is how long a peer may take from the start of Serve to
	// its open frame. Default: 20 seconds.
	HandshakeTimeout time.Duration

	// WriteTimeout is how long a peer may take no byte. Default: 30 seconds.
	WriteTimeout time.Duration

	// CloseTimeout is how long a closed connection waits for the peer's own
	// close before the socket goes. Default: 3 seconds.
	CloseTimeout time.Duration
}

// minIdle is the shortest idle timeout of a peer that is kept.
const minIdle = 20 * time.Millisecond

func (c Config) withDefaults() Config {
	setDefault(&c.ContainerID, "amqp-server")
	setDefault(&c.MaxFrameSize, 65536)
	setDefault(&c.MaxFirstFrame, 4096)
	setDefault(&c.ChannelMax, 4999)
	setDefault(&c.HandleMax, 255)
	setDefault(&c.MaxLinks, 2048)
	setDefault(&c.IncomingWindow, 2048)
	setDefault(&c.MaxUnfinished, 8<<20)
	setDefault(&c.OutputLimit, 256<<10)
	setDefault(&c.IdleTimeout, 2*time.Minute)
	setDefault(&c.HandshakeTimeout, 20*time.Second)
	setDefault(&c.WriteTimeout, 30*time.Second)
	setDefault(&c.CloseTimeout, 3*time.Second)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c *Config) validate() error {
	if c.MaxFrameSize < frame.MinMaxFrameSize || c.MaxFirstFrame < frame.MinMaxFrameSize {
		return fmt.Errorf("amqp: MaxFrameSize and MaxFirstFrame must be at least %d", frame.MinMaxFrameSize)
	}
	if c.MaxFrameSize > math.MaxInt32 || c.MaxFirstFrame > math.MaxInt32 {
		return fmt.Errorf("amqp: MaxFrameSize and MaxFirstFrame must be at most %d", math.MaxInt32)
	}
	if c.IncomingWindow > math.MaxInt32 || c.MaxLinks < 0 || c.MaxUnfinished < 0 || c.OutputLimit < 0 {
		return fmt.Errorf("amqp: a limit is negative or too large")
	}
	return nil
}

// A Server makes connections that share a configuration and buffers. It may be
// used concurrently and holds nothing that needs closing.
type Server struct {
	config Config
	first  sync.Pool // *[]byte of MaxFirstFrame
	large  sync.Pool // *[]byte of largeBuffer or more

	outputs    sync.Pool // *output
	deliveries sync.Pool // *Delivery
	sendings   sync.Pool // *sending
	heads      sync.Pool // *[]byte
}

// largeBuffer is the least size of the buffer that a busy connection reads into.
const largeBuffer = 64 << 10

// NewServer returns a server. It fails on a limit that makes no sense.
func NewServer(c Config) (*Server, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	s := &Server{config: c}
	s.first.New = func() any { return newBuffer(int(c.MaxFirstFrame)) }
	s.large.New = func() any { return newBuffer(max(largeBuffer, int(c.MaxFrameSize))) }
	s.outputs.New = func() any { return new(output) }
	s.deliveries.New = func() any { return new(Delivery) }
	s.sendings.New = func() any { return new(sending) }
	s.heads.New = func() any { return new([]byte) }
	return s, nil
}

func newBuffer(n int) *[]byte {
	b := make([]byte, n)
	return &b
}
