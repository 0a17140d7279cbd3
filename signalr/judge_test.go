package signalr

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"
)

// everyTransport is a script about what is the same in all of them.
const everyTransport = `
for (const [transport, packed, name] of [["ws", false, "WebSockets json"], ["ws", true, "WebSockets messagepack"], ["sse", false, "ServerSentEvents json"],
    ["lp", false, "LongPolling json"], ["lp", true, "LongPolling messagepack"]]) {
  const c = build(transport, packed);
  const got = [];
  c.on("Receive", v => { got.push(v); });
  c.on("Answer", (a, b) => { if (a === "boom") throw new Error("no"); if (a === "nothing") return; return { sum: a + b }; });
  await c.start();
  assert.strictEqual(await c.invoke("Describe"), name);
  const value = { a: [1, -2, 2.5, "é𝄞", null, true], b: { c: "x\ny\u001e" }, big: 9007199254740991 };
  assert.deepStrictEqual(await c.invoke("eChO", value), value);
  assert.strictEqual(await c.invoke("AsJSON", { n: 1 }), '{"n":1}');
  if (packed) {
    assert.strictEqual(await c.invoke("AsJSON", new Uint8Array([255, 0, 1])), '"/wAB"');
    assert.deepStrictEqual(Array.from(await c.invoke("Echo", new Uint8Array([255, 0, 1]))), [255, 0, 1]);
    assert.strictEqual(await c.invoke("AsJSON", new Date(Date.UTC(2026, 0, 2))), '"2026-01-02T00:00:00Z"');
  }
  assert.ok((await c.invoke("Void")) == null);
  assert.strictEqual(await c.invoke("Null"), null);
  await rejects(c.invoke("Fail"), /quota: inbox full/);
  await rejects(c.invoke("Nonsense"), /no such method: Nonsense/);
  await c.send("Void");
  await c.send("Fail");
  await c.invoke("CallMe", "hello");
  await c.invoke("CallMe", { x: 1 });
  assert.deepStrictEqual(got, ["hello", { x: 1 }]);
  assert.deepStrictEqual(await c.invoke("Ask", 2, 3), { sum: 5 });
  await rejects(c.invoke("Ask", "boom", 1), /the client failed/);
  await rejects(c.invoke("Ask", "nothing", 1), /the client failed/);
  await rejects(new Promise((_, no) => c.stream("Echo", 1).subscribe({ next() {}, complete() {}, error: no })), /no streams/);
  const subject = new signalr.Subject();
  const up = c.invoke("Echo", subject);
  subject.next(1); subject.next(2); subject.complete();
  await rejects(up, /takes no streams/);
  for (let i = 0; i < 5; i++) await c.send("Void"); // the items and the end of the stream go out one by one
  const many = [];
  for (let i = 0; i < 500; i++) many.push(c.invoke("Echo", i));
  assert.deepStrictEqual(await Promise.all(many), [...Array(500).keys()]);
  const large = "x".repeat(200000);
  assert.strictEqual(await c.invoke("Echo", large), large);
  await c.stop();
  say(name);
}
`

func TestEveryTransport(t *testing.T) {
	t.Parallel()
	h := &hub{}
	_, address := serve(t, h, Options{MaxRecord: 1 << 20})
	run(t, address, everyTransport).wait()
	h.await(t, "five connections closed", func() bool { return len(h.closed) == 5 })
	for i, err := range h.closed {
		if err != nil {
			t.Errorf("connection %d closed with %v", i, err)
		}
	}
}

func TestServerCloses(t *testing.T) {
	t.Parallel()
	_, address := serve(t, &hub{}, Options{})
	run(t, address, `
for (const transport of ["ws", "sse", "lp"]) for (const packed of transport === "sse" ? [false] : [false, true]) {
  const fatal = build(transport, packed, {}, b => b.withAutomaticReconnect([0, 0]));
  fatal.onreconnecting(() => { console.error("it reconnects"); process.exit(1); });
  await fatal.start();
  const over = closed(fatal);
  await fatal.invoke("CloseMe", "revoked", false).catch(() => {});
  assert.match(String(await over), /revoked/);

  const again = build(transport, packed, {}, b => b.withAutomaticReconnect([0, 0, 1000]));
  const back = new Promise(done => again.onreconnected(done));
  await again.start();
  const first = again.connectionId;
  await again.invoke("CloseMe", "drain", true).catch(() => {});
  await back;
  assert.notStrictEqual(again.connectionId, first);
  assert.strictEqual(await again.invoke("Echo", 1), 1);
  await again.stop();
  say(transport);
}
`).wait()
}

// listener is a server that can be restarted at one address.
type restartable struct {
	t       *testing.T
	address string
	web     *http.Server
	server  *Server
	served  chan struct{}
}

func (r *restartable) start(h *hub, o Options) {
	r.t.Helper()
	address := r.address
	if address == "" {
		address = "127.0.0.1:0"
	}
	var l net.Listener
	var err error
	for deadline := time.Now().Add(10 * time.Second); ; {
		if l, err = (&net.ListenConfig{}).Listen(r.t.Context(), "tcp", address); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.address = l.Addr().String()
	r.server = NewServer(h, o)
	r.web = &http.Server{Handler: r.server, ReadHeaderTimeout: time.Minute}
	r.served = make(chan struct{})
	go func() { defer close(r.served); _ = r.web.Serve(l) }()
}

func (r *restartable) stop() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := r.server.Close(ctx); err != nil {
		r.t.Error(err)
	}
	_ = r.web.Close()
	<-r.served
}

func TestServerRestarts(t *testing.T) {
	t.Parallel()
	r := &restartable{t: t}
	r.start(&hub{}, Options{})
	s := run(t, "http://"+r.address+"/hub", `
const all = [];
for (const transport of ["ws", "sse", "lp"]) {
  const c = build(transport, false, {}, b => b.withAutomaticReconnect({ nextRetryDelayInMilliseconds: () => 20 }));
  await c.start();
  all.push([c, new Promise(done => c.onreconnected(done))]);
}
say("connected");
for (const [c, back] of all) { await back; assert.strictEqual(await c.invoke("Echo", "again"), "again"); }
for (const [c] of all) await c.stop();
`)
	s.hears(t.Context(), "connected")
	r.stop()
	r.start(&hub{}, Options{})
	s.wait()
	r.stop()
}

func TestTokens(t *testing.T) {
	t.Parallel()
	h := &hub{tokens: map[string]string{"one": "Panel", "two": "Panel", "other": "Robot"}}
	_, address := serve(t, h, Options{PollGap: time.Second})
	s := run(t, address, `
await rejects(build("ws", false, { accessTokenFactory: () => "wrong" }).start(), /401|Unauthorized/);
await rejects(build("lp", false).start(), /401|Unauthorized/);
for (const transport of ["ws", "sse", "lp"]) {
  let calls = 0; // negotiation has one token, what follows another of the same owner
  const c = build(transport, false, { accessTokenFactory: () => ++calls === 1 ? "one" : "two" });
  await c.start();
  assert.strictEqual(await c.invoke("Echo", 1), 1);
  await c.stop();
}
{
  let calls = 0; // somebody else's token does not get the connection
  const c = build("ws", false, { accessTokenFactory: () => ++calls === 1 ? "one" : "other" });
  await rejects(c.start(), /./);
}
{
  const c = build("lp", false, { accessTokenFactory: () => "one" });
  await c.start();
  say("expire");
  await heard();
  await rejects(c.invoke("Echo", 1), /401/);
}
`)
	s.hears(t.Context(), "expire")
	h.mu.Lock()
	delete(h.tokens, "one")
	h.mu.Unlock()
	s.tell("expired")
	s.wait()
}

func TestKeepAlive(t *testing.T) {
	t.Parallel()
	h := &hub{}
	_, address := serve(t, h, Options{KeepAlive: 50 * time.Millisecond, ClientTimeout: 1500 * time.Millisecond})
	s := run(t, address, `
const all = [];
for (const transport of ["ws", "sse"]) {
  const c = build(transport, false, {}, b => b.withServerTimeout(5000).withKeepAliveInterval(50));
  await c.start();
  all.push(c);
}
say("quiet"); // for longer than the client's time-out, kept alive by pings
await new Promise(done => setTimeout(done, 2500));
for (const c of all) { assert.strictEqual(await c.invoke("Echo", 1), 1); await c.stop(); }
say("alive");
await Promise.all(["ws", "sse"].map(async transport => { // pings once, then never again
  const c = build(transport, false, {}, b => b.withServerTimeout(20000).withKeepAliveInterval(10000));
  const over = closed(c);
  await c.start();
  assert.match(String(await over), /silent/);
}));
`)
	s.wait()
	h.await(t, "all closed", func() bool { return len(h.closed) == 4 })
}

func TestLargeRecordsAreRefused(t *testing.T) {
	t.Parallel()
	_, address := serve(t, &hub{}, Options{})
	run(t, address, `
for (const [transport, packed] of [["ws", false], ["ws", true], ["sse", false], ["lp", false], ["lp", true]]) {
  const c = build(transport, packed);
  await c.start();
  assert.strictEqual((await c.invoke("Echo", "x".repeat(32000))).length, 32000);
  const over = closed(c);
  await rejects(c.invoke("Echo", "x".repeat(33000)), /./);
  assert.match(String(await over), /too large/);
}
`).wait()
}
