package amqp_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse/amqp"
	"github.com/gatehouse/gatehouse/amqp/frame"
)

// bubble runs f in a bubble of its own time, with a connection over a pipe.
func bubble(t *testing.T, cfg amqp.Config, h func(testing.TB) amqp.Handler, f func(*raw)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		f(&raw{t: t, p: serveOn(t, cfg, h(t), near, far)})
	})
}

func yesHandler(t testing.TB) amqp.Handler { return yes(t) }

// TestHeartbeats sends empty frames at half the peer's idle timeout, and does
// not mind a peer that is late by less than twice its own.
func TestHeartbeats(t *testing.T) {
	bubble(t, amqp.Config{IdleTimeout: time.Minute}, yesHandler, func(r *raw) {
		h := frame.ProtocolHeader(frame.ProtoAMQP)
		r.write(h[:])
		r.header(frame.ProtoAMQP)
		r.send(0, &frame.Open{ContainerID: "raw", MaxFrameSize: 512, IdleTimeout: 10_000})
		var o frame.Open
		r.decode(o.Decode(r.want(frame.CodeOpen).items))
		if o.IdleTimeout != 60_000 || o.MaxFrameSize != 512 {
			r.t.Errorf("open %+v", o)
		}
		for range 20 { // 100 seconds
			last := time.Now()
			r.want(0)
			if d := time.Since(last); d != 5*time.Second {
				r.t.Fatalf("a heartbeat after %v", d)
			}
		}
		r.write(frame.AppendEmpty(nil))
		for range 20 {
			r.want(0)
		}
		r.shut()
	})
}

// TestSilence closes a connection that is silent for twice the idle timeout,
// and gives it up when not even the close is answered.
func TestSilence(t *testing.T) {
	bubble(t, amqp.Config{IdleTimeout: time.Minute, CloseTimeout: 3 * time.Second}, yesHandler, func(r *raw) {
		r.open()
		begun := time.Now()
		r.p.nc.SetReadDeadline(time.Now().Add(time.Hour))
		var one [1]byte
		if _, err := r.p.nc.Read(one[:]); err != nil {
			r.t.Fatal(err)
		}
		if d := time.Since(begun); d != 2*time.Minute {
			r.t.Errorf("closed after %v", d)
		}
		var e *amqp.Error
		if err := r.p.ended(r.t); !errors.As(err, &e) || e.Condition != amqp.ResourceLimitExceeded {
			r.t.Errorf("Serve: %v", err)
		}
		if d := time.Since(begun); d != 2*time.Minute+3*time.Second {
			r.t.Errorf("given up after %v", d)
		}
	})
}

// TestSlowHandshake gives up a peer that takes too long to open.
func TestSlowHandshake(t *testing.T) {
	bubble(t, amqp.Config{HandshakeTimeout: 10 * time.Second}, yesHandler, func(r *raw) {
		begun := time.Now()
		r.write([]byte("AMQP")) // and no more
		if err := r.p.ended(r.t); !errors.Is(err, amqp.ErrHandshake) {
			r.t.Errorf("Serve: %v", err)
		}
		if d := time.Since(begun); d != 10*time.Second {
			r.t.Errorf("given up after %v", d)
		}
	})
}

// TestStuckPeer gives up a peer that takes no byte.
func TestStuckPeer(t *testing.T) {
	bubble(t, amqp.Config{WriteTimeout: 10 * time.Second}, yesHandler, func(r *raw) {
		r.open()
		begun := time.Now()
		r.send(0, &frame.Begin{IncomingWindow: 1, HandleMax: 1})
		if err := r.p.ended(r.t); err == nil {
			r.t.Error("Serve returned nil")
		}
		if d := time.Since(begun); d != 10*time.Second {
			r.t.Errorf("given up after %v", d)
		}
	})
}

// TestWindowViolation ends the session of a peer that sends more frames than
// the incoming window.
func TestWindowViolation(t *testing.T) {
	bubble(t, amqp.Config{IncomingWindow: 4}, yesHandler, func(r *raw) {
		r.open()
		r.begin(0, 100)
		r.attachSender(0)
		synctest.Wait() // nothing is being written: no flow can come in between
		first := delivery(0, 0)
		first.More = true
		b := appendFrame(nil, 0, first)
		for range 4 {
			b = appendFrame(b, 0, &frame.Transfer{More: true})
		}
		r.write(b)
		r.over(frame.CodeEnd, amqp.WindowViolation)
		r.send(0, end(nil))
		r.shut()
	})
}

// TestDispositionsAreCoalesced accepts a hundred deliveries in a bad order; one
// frame says so.
func TestDispositionsAreCoalesced(t *testing.T) {
	var got *collector
	h := func(t testing.TB) amqp.Handler {
		got = newCollector()
		return acceptAll(t, got, nil, amqp.IncomingOptions{Window: 1000})
	}
	bubble(t, amqp.Config{}, h, func(r *raw) {
		r.open()
		r.begin(0, 100)
		r.attachSender(0)
		var all []*amqp.Delivery
		for id := range uint32(100) {
			r.send(0, delivery(0, 0xffffffff-50+id)) // ids wrap around
			all = append(all, <-got.deliveries)
		}
		synctest.Wait()
		// The pipe holds the writer up with the first outcome until it is read;
		// the rest comes together behind it.
		all[0].Accept()
		synctest.Wait()
		for i := 99; i > 0; i -= 2 {
			all[i].Accept()
		}
		for i := 98; i > 0; i -= 2 {
			all[i].Accept()
		}
		if d := r.disposition(); d.First != 0xffffffff-50 || d.Last != d.First {
			r.t.Fatalf("disposition %+v", d)
		}
		if d := r.disposition(); d.First != 0xffffffff-49 || d.Last != 48 || !d.Settled || d.State.Kind != frame.Accepted {
			r.t.Fatalf("disposition %+v", d)
		}
		r.shut()
	})
}

// TestShutdown closes with amqp:connection:forced when the context ends, tells
// every link, and waits for the peer's answer.
func TestShutdown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		got := newCollector()
		server, err := amqp.NewServer(amqp.Config{})
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		defer far.Close()
		ctx, cancel := context.WithCancel(t.Context())
		p := &peer{conn: server.NewConn(near, acceptAll(t, got, nil, amqp.IncomingOptions{})), nc: far, result: make(chan error, 1)}
		go func() { p.result <- p.conn.Serve(ctx) }()
		r := &raw{t: t, p: p}
		r.open()
		r.begin(0, 100)
		r.attachSender(0)
		cancel()
		r.over(frame.CodeClose, amqp.ConnectionForced)
		r.send(0, closing(nil))
		var e *amqp.Error
		if err := p.ended(t); !errors.As(err, &e) || e.Condition != amqp.ConnectionForced {
			t.Errorf("Serve: %v", err)
		}
		if err := <-got.closed; !errors.As(err, &e) || e.Condition != amqp.ConnectionForced {
			t.Errorf("Closed(%v)", err)
		}
	})
}

// TestByteByByte feeds a conversation one byte at a time, as fragments of
// WebSocket messages may come.
func TestByteByByte(t *testing.T) {
	bubble(t, amqp.Config{}, yesHandler, func(r *raw) {
		h := frame.ProtocolHeader(frame.ProtoAMQP)
		b := append([]byte{}, h[:]...)
		b = appendFrame(b, 0, &frame.Open{ContainerID: "raw", MaxFrameSize: 65536, ChannelMax: 9})
		b = appendFrame(b, 0, &frame.Begin{IncomingWindow: 10, HandleMax: 9})
		b = appendFrame(b, 0, sender(0))
		b = appendFrame(b, 0, delivery(0, 0), make([]byte, 101)...)
		b = appendFrame(b, 0, delivery(0, 1), make([]byte, 100)...)
		go func() {
			for i := range b {
				if _, err := r.p.nc.Write(b[i : i+1]); err != nil {
					r.t.Error(err)
				}
			}
		}()
		r.header(frame.ProtoAMQP)
		r.want(frame.CodeOpen)
		r.want(frame.CodeBegin)
		r.attached()
		for id, kind := range []frame.StateKind{frame.Rejected, frame.Accepted} {
			if d := r.outcome(); d.First != uint32(id) || d.State.Kind != kind {
				r.t.Fatalf("disposition %+v", d)
			}
		}
		r.shut()
	})
}
