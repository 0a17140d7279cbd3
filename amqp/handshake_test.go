package amqp_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	client "github.com/Azure/go-amqp"

	"github.com/gatehouse/gatehouse/amqp"
	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/amqp/wire"
)

var mechanisms = []string{"MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"}

// TestSASL authenticates, or not, in the ways that clients know.
func TestSASL(t *testing.T) {
	t.Parallel()
	check := func(a amqp.Authentication) error {
		switch a.Mechanism {
		case "PLAIN":
			_, user, password, ok := a.Plain()
			if ok && user == "acme/pump-7" && password == strings.Repeat("k", 900) {
				return nil
			}
			return errors.New("wrong key")
		case "EXTERNAL":
			return &amqp.SASLError{Code: frame.SASLSysTemp, Reason: "cannot tell now"}
		}
		return nil
	}
	long := strings.Repeat("k", 900) // a token, longer than the standard's 512 bytes
	for _, test := range []struct {
		name    string
		sasl    client.SASLType
		require bool
		fails   string
	}{
		{"none", nil, false, ""},
		{"none where required", nil, true, "unexpected protocol"},
		{"anonymous", client.SASLTypeAnonymous(), true, ""},
		{"plain", client.SASLTypePlain("acme/pump-7", long), true, ""},
		{"wrong password", client.SASLTypePlain("acme/pump-7", "x"), true, "0x1"},
		{"external", client.SASLTypeExternal(""), true, "0x4"},
		{"not offered", client.SASLTypeXOAUTH2("u", "b", 0), true, "XOAUTH2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := amqp.Config{Mechanisms: mechanisms, RequireSASL: test.require}
			p := serve(t, cfg, decisions{authenticate: check})
			c, err := client.NewConn(background(t), p.nc, &client.ConnOptions{SASLType: test.sasl})
			if test.fails == "" {
				if err != nil {
					t.Fatal(err)
				}
				newSession(t, c)
				c.Close()
				if err := p.ended(t); err != nil {
					t.Errorf("Serve: %v", err)
				}
				return
			}
			if err == nil {
				t.Fatal("the client was let in")
			}
			if !strings.Contains(err.Error(), test.fails) {
				t.Logf("the client says: %v", err)
			}
			if err := p.ended(t); err == nil {
				t.Error("Serve returned nil")
			}
		})
	}
}

// TestSASLByHand looks at the frames of the exchange: an array of mechanisms in
// their order, and an empty challenge where PLAIN comes without a response.
func TestSASLByHand(t *testing.T) {
	t.Parallel()
	var got amqp.Authentication
	r := &raw{t: t, p: serve(t, amqp.Config{Mechanisms: mechanisms}, decisions{
		authenticate: func(a amqp.Authentication) error { got = a; return nil },
	})}
	h := frame.ProtocolHeader(frame.ProtoSASL)
	r.write(h[:])
	r.header(frame.ProtoSASL)
	g := r.want(frame.CodeMechanisms)
	v, _ := g.items.Next()
	if v.Type() != wire.TypeArray || !slices.Equal(v.Strings(), mechanisms) {
		t.Fatalf("mechanisms %v", v.Strings())
	}
	sasl := func(b body) { r.write(frame.Finish(b.Append(frame.Start(nil, frame.TypeSASL, 0)), 0)) }
	sasl(&frame.Init{Mechanism: "PLAIN", Hostname: "host"})
	r.want(frame.CodeChallenge)
	sasl(appendFunc(func(dst []byte) []byte { return frame.AppendResponse(dst, []byte("\x00u\x00p")) }))
	v, _ = r.takeOutcome()
	if n, ok := v.Uint64(); !ok || n != 0 {
		t.Fatalf("outcome %d", n)
	}
	if _, u, p, ok := got.Plain(); !ok || u != "u" || p != "p" || got.Hostname != "host" {
		t.Errorf("authenticated %+v", got)
	}
	r.open()
	r.shut()
}

func (r *raw) takeOutcome() (wire.Value, bool) {
	r.t.Helper()
	g := r.want(frame.CodeOutcome)
	return g.items.Next()
}

// TestBadHandshakes shows what a peer gets that does not speak the protocol:
// the header that would do, an outcome, or a close, and in any case the end.
func TestBadHandshakes(t *testing.T) {
	t.Parallel()
	header := func(b ...byte) []byte { return append([]byte("AMQP"), b...) }
	saslHead, amqpHead := header(3, 1, 0, 0), header(0, 1, 0, 0)
	saslFrame := func(b body) []byte { return frame.Finish(b.Append(frame.Start(nil, frame.TypeSASL, 0)), 0) }
	init := saslFrame(&frame.Init{Mechanism: "ANONYMOUS", Response: []byte{}})
	big := make([]byte, 5000)
	copy(big, []byte{0, 0, 0x13, 0x88, 2, 1, 0, 0})
	bigOpen := slices.Clone(big)
	bigOpen[5] = 0
	for _, test := range []struct {
		name    string
		mechs   []string
		input   [][]byte
		headers []byte // what comes back, in turn
		code    uint64 // then this frame; 0: none
		err     error
	}{
		{"HTTP", mechanisms, [][]byte{[]byte("GET / HTTP/1.1\r\n\r\n")}, []byte{3}, 0, amqp.ErrProtocol},
		{"HTTP without SASL", nil, [][]byte{[]byte("GET / HTTP/1.1\r\n\r\n")}, []byte{0}, 0, amqp.ErrProtocol},
		{"AMQP 0-9-1", nil, [][]byte{header(0, 0, 9, 1)}, []byte{0}, 0, amqp.ErrProtocol},
		{"TLS inside", mechanisms, [][]byte{header(2, 1, 0, 0)}, []byte{3}, 0, amqp.ErrProtocol},
		{"SASL not offered", nil, [][]byte{saslHead}, []byte{0}, 0, amqp.ErrProtocol},
		{"SASL twice", mechanisms, [][]byte{saslHead, init, saslHead}, []byte{3}, frame.CodeMechanisms, amqp.ErrProtocol},
		{"mechanism not offered", mechanisms, [][]byte{saslHead, saslFrame(&frame.Init{Mechanism: "X"})}, []byte{3}, frame.CodeMechanisms, amqp.ErrSASL},
		{"AMQP frame for SASL", mechanisms, [][]byte{saslHead, frameOf(0x40)}, []byte{3}, frame.CodeMechanisms, amqp.ErrSASL},
		{"SASL frame too large", mechanisms, [][]byte{saslHead, big}, []byte{3}, frame.CodeMechanisms, amqp.ErrSASL},
		{"no open", nil, [][]byte{amqpHead, appendFrame(nil, 0, &frame.Begin{})}, []byte{0}, frame.CodeOpen, &amqp.Error{Condition: amqp.NotAllowed}},
		{"open too large", nil, [][]byte{amqpHead, bigOpen}, []byte{0}, frame.CodeOpen, &amqp.Error{Condition: amqp.FramingError}},
		{"frames of 100 bytes", nil, [][]byte{amqpHead, appendFrame(nil, 0, &frame.Open{ContainerID: "x", MaxFrameSize: 100})}, []byte{0}, frame.CodeOpen, &amqp.Error{Condition: amqp.InvalidField}},
		{"idle timeout of 1 ms", nil, [][]byte{amqpHead, appendFrame(nil, 0, &frame.Open{ContainerID: "x", MaxFrameSize: 1000, IdleTimeout: 1})}, []byte{0}, frame.CodeOpen, &amqp.Error{Condition: amqp.NotAllowed}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := &raw{t: t, p: serve(t, amqp.Config{Mechanisms: test.mechs}, decisions{})}
			for _, b := range test.input {
				r.write(b)
			}
			for _, proto := range test.headers {
				r.header(proto)
			}
			if test.code != 0 {
				r.want(test.code)
			}
			want, isClose := test.err.(*amqp.Error)
			if isClose {
				r.over(frame.CodeClose, want.Condition)
			}
			r.p.nc.(interface{ CloseWrite() error }).CloseWrite()
			err := r.p.ended(t)
			var e *amqp.Error
			if isClose && (!errors.As(err, &e) || e.Condition != want.Condition) || !isClose && !errors.Is(err, test.err) {
				t.Errorf("Serve: %v, want %v", err, test.err)
			}
		})
	}
}

// TestOpenRefused closes with the Handler's error, after an open.
func TestOpenRefused(t *testing.T) {
	t.Parallel()
	p := serve(t, amqp.Config{}, decisions{open: func(_ *amqp.Conn, o *frame.Open) error {
		return amqp.Err(amqp.NotFound, "no host "+o.Hostname)
	}})
	c, err := client.NewConn(background(t), p.nc, &client.ConnOptions{HostName: "nowhere"})
	if err == nil { // the client takes the open for success and learns the rest next
		_, err = c.NewSession(background(t), nil)
		c.Close()
	}
	checkCondition(t, err, amqp.NotFound, "no host nowhere")
	var e *amqp.Error
	if err := p.ended(t); !errors.As(err, &e) || e.Condition != amqp.NotFound {
		t.Errorf("Serve: %v", err)
	}
}

// TestFieldsAreComplete counts the fields of open, begin and attach (trap 23).
func TestFieldsAreComplete(t *testing.T) {
	t.Parallel()
	r := &raw{t: t, p: serve(t, amqp.Config{}, yes(t))}
	h := frame.ProtocolHeader(frame.ProtoAMQP)
	r.write(h[:])
	r.header(frame.ProtoAMQP)
	count := func(code uint64, n int) wire.Value {
		t.Helper()
		g := r.want(code)
		if g.items.Len() != n {
			t.Errorf("%#x has %d fields, want %d", code, g.items.Len(), n)
		}
		var last wire.Value
		for v, ok := g.items.Next(); ok; v, ok = g.items.Next() {
			last = v
		}
		if last.Type() != wire.TypeMap {
			t.Errorf("the last field of %#x is a %v", code, last.Type())
		}
		return last
	}
	r.send(0, &frame.Open{ContainerID: "raw", MaxFrameSize: 65536})
	count(frame.CodeOpen, 10)
	r.send(0, &frame.Begin{HandleMax: 10, IncomingWindow: 10})
	count(frame.CodeBegin, 8)
	r.send(0, sender(0))
	count(frame.CodeAttach, 14)
	r.flow()
	r.send(0, receiverOf(1))
	count(frame.CodeAttach, 14)
	r.shut()
}
