package amqp_test

import (
	"bytes"
	"encoding/hex"
	"io"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/amqp"
	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/amqp/wire"
)

// A raw is a client that sends frames by hand and looks at what comes back.
type raw struct {
	t testing.TB
	p *peer
}

// A got is a frame that came from the server.
type got struct {
	channel uint16
	code    uint64 // 0 for an empty frame
	items   wire.Items
	payload []byte
}

func (r *raw) write(b []byte) {
	r.t.Helper()
	if _, err := r.p.nc.Write(b); err != nil {
		r.t.Fatalf("write: %v", err)
	}
}

// body appends one performative.
type body interface{ Append([]byte) []byte }

func appendFrame(dst []byte, channel uint16, b body, payload ...byte) []byte {
	at := len(dst)
	dst = frame.Start(dst, frame.TypeAMQP, channel)
	return frame.Finish(append(b.Append(dst), payload...), at)
}

func (r *raw) send(channel uint16, b body, payload ...byte) {
	r.t.Helper()
	r.write(appendFrame(nil, channel, b, payload...))
}

type appendFunc func([]byte) []byte

func (f appendFunc) Append(dst []byte) []byte { return f(dst) }

func end(e *amqp.Error) body {
	return appendFunc(func(dst []byte) []byte { return frame.AppendEnd(dst, e) })
}

func closing(e *amqp.Error) body {
	return appendFunc(func(dst []byte) []byte { return frame.AppendClose(dst, e) })
}

// header reads a protocol header.
func (r *raw) header(proto byte) {
	r.t.Helper()
	b := make([]byte, frame.HeaderSize)
	r.p.nc.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(r.p.nc, b); err != nil {
		r.t.Fatalf("protocol header: %v", err)
	}
	if want := frame.ProtocolHeader(proto); !bytes.Equal(b, want[:]) {
		r.t.Fatalf("protocol header % x", b)
	}
}

// next reads a frame; ok is false at the end of the stream.
func (r *raw) next() (g got, ok bool) {
	r.t.Helper()
	r.p.nc.SetReadDeadline(time.Now().Add(patience))
	head := make([]byte, frame.HeaderSize)
	if _, err := io.ReadFull(r.p.nc, head); err != nil {
		if err != io.EOF {
			r.t.Fatalf("frame: %v", err)
		}
		return got{}, false
	}
	h, err := frame.ParseHeader(head)
	if err != nil {
		r.t.Fatalf("frame header: %v", err)
	}
	b := make([]byte, h.Size-frame.HeaderSize)
	if _, err := io.ReadFull(r.p.nc, b); err != nil {
		r.t.Fatalf("frame body: %v", err)
	}
	g.channel = h.Channel
	if len(b) == 0 {
		return g, true
	}
	if g.code, g.items, g.payload, err = frame.Parse(b); err != nil {
		r.t.Fatalf("frame %s: %v", hex.EncodeToString(b), err)
	}
	return g, true
}

// want reads the next frame, which must have the code.
func (r *raw) want(code uint64) got {
	r.t.Helper()
	g, ok := r.next()
	if !ok || g.code != code {
		r.t.Fatalf("frame %#x, want %#x", g.code, code)
	}
	return g
}

func (r *raw) flow() frame.Flow {
	r.t.Helper()
	var f frame.Flow
	r.decode(f.Decode(r.want(frame.CodeFlow).items))
	return f
}

func (r *raw) transfer() (frame.Transfer, []byte) {
	r.t.Helper()
	var f frame.Transfer
	g := r.want(frame.CodeTransfer)
	r.decode(f.Decode(g.items))
	return f, g.payload
}

func (r *raw) disposition() frame.Disposition {
	r.t.Helper()
	var f frame.Disposition
	r.decode(f.Decode(r.want(frame.CodeDisposition).items))
	return f
}

// outcome reads a disposition, passing over flows.
func (r *raw) outcome() frame.Disposition {
	r.t.Helper()
	for {
		g, ok := r.next()
		if ok && g.code == frame.CodeFlow {
			continue
		}
		if !ok || g.code != frame.CodeDisposition {
			r.t.Fatalf("frame %#x, want a disposition", g.code)
		}
		var f frame.Disposition
		r.decode(f.Decode(g.items))
		return f
	}
}

func (r *raw) attached() frame.Attach {
	r.t.Helper()
	var f frame.Attach
	r.decode(f.Decode(r.want(frame.CodeAttach).items))
	return f
}

func (r *raw) decode(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// detached reads a detach with the condition.
func (r *raw) detached(handle uint32, condition string) {
	r.t.Helper()
	var f frame.Detach
	r.decode(f.Decode(r.want(frame.CodeDetach).items))
	if f.Handle != handle || !f.Closed {
		r.t.Fatalf("detach %+v", f)
	}
	r.checkError(f.Error, condition)
}

// over reads an end or a close with the condition.
func (r *raw) over(code uint64, condition string) {
	r.t.Helper()
	e, err := frame.DecodeEnd(r.want(code).items)
	r.decode(err)
	r.checkError(e, condition)
}

func (r *raw) checkError(e *amqp.Error, condition string) {
	r.t.Helper()
	if e == nil && condition == "" {
		return
	}
	if e == nil || e.Condition != condition {
		r.t.Fatalf("error %v, want %s", e, condition)
	}
}

// start serves a connection and opens it.
func start(t testing.TB, cfg amqp.Config, h amqp.Handler) *raw {
	t.Helper()
	r := &raw{t: t, p: serve(t, cfg, h)}
	r.open()
	return r
}

func (r *raw) open() {
	r.t.Helper()
	h := frame.ProtocolHeader(frame.ProtoAMQP)
	r.write(h[:])
	r.header(frame.ProtoAMQP)
	r.send(0, &frame.Open{ContainerID: "raw", MaxFrameSize: 65536, ChannelMax: 65535})
	r.want(frame.CodeOpen)
}

// begin begins a session with the given incoming window.
func (r *raw) begin(channel uint16, window uint32) {
	r.t.Helper()
	r.send(channel, &frame.Begin{IncomingWindow: window, OutgoingWindow: 100, HandleMax: 1000})
	var b frame.Begin
	r.decode(b.Decode(r.want(frame.CodeBegin).items))
	if !b.RemoteChannel.Set || b.RemoteChannel.Value != uint32(channel) {
		r.t.Fatalf("begin %+v", b)
	}
}

func sender(handle uint32) *frame.Attach {
	return &frame.Attach{
		Name: "s", Handle: handle, Role: frame.RoleSender, SenderMode: frame.SenderMixed,
		Source: frame.Source{Present: true}, Target: frame.Target{Present: true, Address: "queue"},
		InitialDeliveryCount: frame.Some(0),
	}
}

func receiverOf(handle uint32) *frame.Attach {
	return &frame.Attach{
		Name: "r", Handle: handle, Role: frame.RoleReceiver, SenderMode: frame.SenderMixed,
		Source: frame.Source{Present: true, Address: "queue"}, Target: frame.Target{Present: true},
	}
}

// attachSender attaches a link to send on, and returns its credit, which comes
// right behind the attach (trap 25).
func (r *raw) attachSender(handle uint32) uint32 {
	r.t.Helper()
	r.send(0, sender(handle))
	r.attached()
	return r.flow().LinkCredit.Value
}

// credit gives link credit on channel 0.
func (r *raw) credit(handle, n uint32, drain bool) {
	r.t.Helper()
	r.send(0, &frame.Flow{
		NextIncomingID: frame.Some(0), IncomingWindow: 1000, OutgoingWindow: 1000,
		Handle: frame.Some(handle), DeliveryCount: frame.Some(0), LinkCredit: frame.Some(n), Drain: drain,
	})
}

func delivery(handle, id uint32) *frame.Transfer {
	return &frame.Transfer{
		Handle: handle, DeliveryID: frame.Some(id), DeliveryTag: []byte{byte(id)}, MessageFormat: frame.Some(0),
	}
}

// shut closes the connection and waits for Serve's result, which must be nil.
func (r *raw) shut() {
	r.t.Helper()
	r.send(0, closing(nil))
	for {
		g, ok := r.next()
		if !ok {
			r.t.Fatal("no close")
		}
		if g.code == frame.CodeClose {
			break
		}
	}
	if err := r.p.ended(r.t); err != nil {
		r.t.Errorf("Serve: %v", err)
	}
}
