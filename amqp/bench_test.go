package amqp_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/gatehouse/gatehouse/amqp"
	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/amqp/message"
)

// settledCounter reads frames until n deliveries were settled.
func settledCounter(b *testing.B, nc net.Conn, n int) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		in := bufio.NewReaderSize(nc, 64<<10)
		head, buf := make([]byte, frame.HeaderSize), make([]byte, 64<<10)
		for n > 0 {
			if _, err := io.ReadFull(in, head); err != nil {
				b.Error(err)
				return
			}
			h, _ := frame.ParseHeader(head)
			body := buf[:h.Size-frame.HeaderSize]
			if _, err := io.ReadFull(in, body); err != nil {
				b.Error(err)
				return
			}
			code, items, _, _ := frame.Parse(body)
			var d frame.Disposition
			if code == frame.CodeDisposition && d.Decode(items) == nil {
				n -= int(d.Last-d.First) + 1
			}
		}
	}()
	return done
}

// BenchmarkIncoming sends messages of 256 bytes over loopback TCP as fast as
// they are taken; each is accepted. The client's own work is little.
func BenchmarkIncoming(b *testing.B) {
	r := start(b, amqp.Config{IncomingWindow: 1 << 30}, acceptAll(b, accepting{}, nil, amqp.IncomingOptions{Window: 1 << 30}))
	r.begin(0, 1<<30)
	r.attachSender(0)
	done := settledCounter(b, r.p.nc, b.N)
	payload := message.AppendData(nil, make([]byte, 256))
	out := bufio.NewWriterSize(r.p.nc, 64<<10)
	var buf []byte
	b.SetBytes(256)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		buf = appendFrame(buf[:0], 0, &frame.Transfer{
			DeliveryID: frame.Some(uint32(i)), DeliveryTag: []byte{1, 2, 3, 4}, MessageFormat: frame.Some(0),
		}, payload...)
		out.Write(buf)
	}
	out.Flush()
	<-done
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "transfers/s")
}

// pump is a Sender that sends n messages of 256 bytes, settled by the peer.
type pump struct {
	left    int
	message []byte
}

func (p *pump) Ready(o *amqp.Outgoing) {
	for p.left > 0 && o.Credit() > 0 {
		if err := o.Send(amqp.Message{Body: p.message, Tag: p.message[:16], Settled: true}); err != nil {
			return
		}
		p.left--
	}
}
func (p *pump) Outcome(amqp.Sent, amqp.State) {}
func (p *pump) Closed(error)                  {}

// BenchmarkOutgoing receives messages of 256 bytes over loopback TCP.
func BenchmarkOutgoing(b *testing.B) {
	p := &pump{message: message.AppendData(nil, make([]byte, 256)), left: b.N}
	r := start(b, amqp.Config{}, acceptAll(b, nil, p, amqp.IncomingOptions{}))
	r.begin(0, 1<<30)
	r.send(0, receiverOf(0))
	r.attached()
	in := bufio.NewReaderSize(r.p.nc, 64<<10)
	head := make([]byte, frame.HeaderSize)
	b.SetBytes(256)
	b.ReportAllocs()
	b.ResetTimer()
	r.send(0, &frame.Flow{
		NextIncomingID: frame.Some(0), IncomingWindow: 1 << 30, OutgoingWindow: 1,
		Handle: frame.Some(0), DeliveryCount: frame.Some(0), LinkCredit: frame.Some(1 << 30),
	})
	for range b.N {
		if _, err := io.ReadFull(in, head); err != nil {
			b.Fatal(err)
		}
		h, _ := frame.ParseHeader(head)
		in.Discard(int(h.Size) - frame.HeaderSize)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "transfers/s")
}

// BenchmarkIdle tells what 1,000 idle connections cost, each with a session and
// a link in both directions: heap and stacks, the sockets' own part included.
func BenchmarkIdle(b *testing.B) {
	const conns = 1000
	for b.Loop() {
		server, err := amqp.NewServer(amqp.Config{})
		if err != nil {
			b.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		var far []net.Conn
		near := make([]net.Conn, conns)
		for i := range near {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			far = append(far, c)
			if near[i], err = l.Accept(); err != nil {
				b.Fatal(err)
			}
		}
		before := inUse()
		done := make(chan error, conns)
		h := acceptAll(b, accepting{}, new(pump), amqp.IncomingOptions{})
		for i := range near {
			c := server.NewConn(near[i], h)
			go func() { done <- c.Serve(context.Background()) }()
			r := &raw{t: b, p: &peer{nc: far[i]}}
			r.open()
			r.begin(0, 100)
			r.attachSender(0)
			r.send(0, receiverOf(1))
			r.attached()
		}
		b.ReportMetric(float64(inUse()-before)/conns, "B/conn")
		for _, c := range far {
			c.Close()
		}
		for range near {
			<-done
		}
		l.Close()
	}
}

func inUse() uint64 {
	for range 3 { // pools are let go in the second collection
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
