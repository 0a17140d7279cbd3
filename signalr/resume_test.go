package signalr

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/signalr/wire"
)

// stateful is a script that calls in a burst while the socket breaks again and
// again, and checks that each call got its own answer, that the server had each
// once and in order, and that what the server sent came once and in order.
const stateful = `
const packed = process.env.PACKED === "1";
const c = build("ws", packed, {}, b => b.withStatefulReconnect());
const got = [];
let full;
const all = new Promise(done => full = done);
c.on("Receive", v => { got.push(v); if (got.length === 300) full(); });
c.on("Answer", v => v * 2);
let reconnects = 0;
c.onreconnecting(() => { console.error("a plain reconnect"); process.exit(1); });
c.onclose(e => { if (e) { console.error("closed", e); process.exit(1); } });
await c.start();
say("started");
for (let round = 0; round < 6; round++) {
  const calls = [];
  for (let i = 0; i < 50; i++) {
    const n = round * 50 + i;
    calls.push(c.invoke("Note", n));
    calls.push(c.invoke("CallMe", n));
    calls.push(c.invoke("Ask", n).then(v => assert.strictEqual(v, n * 2)));
    if (i === 25) say("cut");
  }
  await Promise.all(calls);
}
await all;
assert.deepStrictEqual(got, [...Array(300).keys()]);
await c.stop();
`

func TestStatefulReconnect(t *testing.T) {
	for _, packed := range []string{"0", "1"} {
		t.Setenv("PACKED", packed)
		h := &hub{}
		_, address := serve(t, h, Options{})
		p := newProxy(t, strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/hub"))
		s := run(t, "http://"+p.address()+"/hub", stateful)
		s.hears(t.Context(), "started")
		cut := 0
		for range 6 {
			s.hears(t.Context(), "cut")
			cut += p.cut()
		}
		if cut == 0 {
			t.Error("there was nothing to cut")
		}
		s.wait()
		if len(h.log) != 300 {
			t.Fatalf("%d notes came", len(h.log))
		}
		for i, line := range h.log {
			if line != fmt.Sprint(i) {
				t.Fatalf("note %d is %s", i, line)
			}
		}
		h.await(t, "closed", func() bool { return len(h.closed) == 1 })
		if len(h.conns) != 1 || h.closed[0] != nil {
			t.Errorf("%d connections, closed with %v", len(h.conns), h.closed)
		}
	}
}

func TestStatefulFromTheServer(t *testing.T) {
	t.Parallel()
	h := &hub{}
	_, address := serve(t, h, Options{})
	p := newProxy(t, strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/hub"))
	s := run(t, "http://"+p.address()+"/hub", `
const c = build("ws", false, {}, b => b.withStatefulReconnect());
const got = [];
let full;
const all = new Promise(done => full = done);
c.on("Receive", v => { got.push(v); if (got.length % 100 === 0) say("hundred"); if (got.length === 1000) full(); });
await c.start();
await all;
assert.deepStrictEqual(got, [...Array(1000).keys()]);
await c.stop();
`)
	h.await(t, "connected", func() bool { return len(h.conns) == 1 })
	c := h.conns[0]
	pad := wire.Text(strings.Repeat("x", 400)) // more in all than is sent without an acknowledgement
	for i := range 1000 {
		if err := c.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Send("Receive", wire.Integer(int64(i)), pad); err != nil {
			t.Fatal(err)
		}
		if i%100 == 99 {
			s.hears(t.Context(), "hundred")
			p.cut()
		}
	}
	s.wait()
}

func TestNobodyComesBack(t *testing.T) {
	t.Parallel()
	h := &hub{}
	_, address := serve(t, h, Options{Resume: 100 * time.Millisecond})
	p := newProxy(t, strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/hub"))
	s := run(t, "http://"+p.address()+"/hub", `
const c = build("ws", false, {}, b => b.withStatefulReconnect());
await c.start();
say("started");
await heard();
`)
	s.hears(t.Context(), "started")
	h.await(t, "connected", func() bool { return len(h.conns) == 1 })
	var once sync.Once
	gone := make(chan error, 1)
	if _, err := h.conns[0].Invoke("Receive", func(_ wire.Value, err error) { once.Do(func() { gone <- err }) }); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	h.await(t, "closed", func() bool { return len(h.closed) == 1 })
	if err := h.closed[0]; err != ErrTimeout {
		t.Errorf("closed with %v", err)
	}
	if err := <-gone; err != ErrClosed {
		t.Errorf("the call ended with %v", err)
	}
}
