// Microsoft's client of SignalR and an EventSource, as they are published, do
// what pages do with them. The first argument says what, joined by commas; the environment where.
// What the test has to do meanwhile it is told by a line: CUT, RESTART, REVOKE.
"use strict";
const path = require("node:path");
const readline = require("node:readline");
const load = (name) => require(path.join(process.env.MODULES, "node_modules", name));
const signalR = load("@microsoft/signalr");
const { MessagePackHubProtocol } = load("@microsoft/signalr-protocol-msgpack");

const [, , what, transport, protocol] = process.argv;
const { URL_SENDER, URL_RECEIVER, URL_EVENTS, TOKEN_SENDER, TOKEN_RECEIVER, RECEIVER, DENIED, ORIGIN } = process.env;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const fail = (text) => { throw new Error(text); };
const check = (ok, text) => { if (!ok) fail(text); };

// tell says a line to the test, and waits until it is done.
const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const tell = async (line) => {
  console.log(line);
  await answers.next();
};

// hub returns a connection to a hub.
function hub(url, token, options = {}) {
  const builder = new signalR.HubConnectionBuilder()
    .withUrl(url, {
      transport: signalR.HttpTransportType[transport], accessTokenFactory: () => token,
      headers: ORIGIN ? { Origin: ORIGIN } : {}, ...options,
    })
    .configureLogging(signalR.LogLevel.None)
    .withAutomaticReconnect({ nextRetryDelayInMilliseconds: () => 50 });
  if (process.env.STATEFUL) builder.withStatefulReconnect();
  if (protocol === "messagepack") builder.withHubProtocol(new MessagePackHubProtocol());
  return builder.build();
}

const message = (n, more) => ({
  specversion: "1.0", id: `m-${n}`, type: "chat", source: "x", to: `endpoints/${RECEIVER}`,
  datacontenttype: "application/json", data: { n }, ...more,
});

// connected resolves once a connection is there.
async function connected(connection) {
  while (connection.state !== "Connected") await pause(5);
}

// answered waits for an answer, but not for ever: with stateful reconnect a call
// that is made while the client is told to connect anew may stay without one.
const answered = (call) => Promise.race([call, pause(3000).then(() => fail("no answer"))]);

async function rejects(call, start) {
  let text;
  try { await call; } catch (e) { text = e.message; }
  check(text !== undefined, `not refused: ${start}`);
  // The client writes what the server says behind words of its own.
  check(text.includes(start), `refused as ${text}, want ${start}`);
}

const judges = {
  // Two converse, and lose their connections in the middle of it.
  async conversation() {
    const n = 40;
    const alice = hub(URL_SENDER, TOKEN_SENDER), bob = hub(`${URL_RECEIVER}?client=bob`, TOKEN_RECEIVER);
    const seen = [];
    let last = -1, done, all = new Promise((resolve) => { done = resolve; });
    let before = Promise.resolve();
    bob.on("Receive", (d) => {
      before = before.then(async () => {
        check(d.lockToken && d.deliveryCount && d.sequence && d.enqueuedTime, `a delivery without its members: ${JSON.stringify(d)}`);
        if (d.data.n === last + 1) {
          last++;
          seen.push(d.data.n);
        }
        check(d.data.n <= last, `message ${d.data.n} came after ${last}`);
        try { await answered(bob.invoke("Complete", d.lockToken)); } catch { return; } // it comes again
        if (last === n - 1) done();
      }).catch((e) => { console.error(e); process.exit(1); });
    });
    await Promise.all([alice.start(), bob.start()]);
    for (let i = 0; i < n; i++) {
      for (;;) { // until it is acknowledged
        await connected(alice);
        try {
          const receipt = await answered(alice.invoke("Send", message(i)));
          check(receipt.id === `m-${i}` && receipt.channels.length === 1, JSON.stringify(receipt));
          break;
        } catch (e) { // some errors of the client are texts
          if (/(Forbidden|Invalid|Restricted|Unauthenticated|Internal): /.test(e.message ?? e)) throw e;
          await pause(10);
        }
      }
      if (i === 8 || i === 16 || i === 24) await tell("CUT");
      if (i === 32) await tell("RESTART");
    }
    await all;
    check(seen.length === n, `${seen.length} of ${n} came`);
    await alice.stop();
    await bob.stop();
  },

  // What is refused is refused with a code first.
  async refusals() {
    const c = hub(URL_RECEIVER, TOKEN_RECEIVER);
    const got = [];
    let came = () => {};
    c.on("Receive", (d) => { got.push(d); came(); });
    const next = async () => {
      while (got.length === 0) await new Promise((resolve) => { came = resolve; });
      return got.shift();
    };
    await c.start();
    await rejects(c.invoke("Send", message(1, { type: DENIED })), "Forbidden: ");
    await rejects(c.invoke("Send", message(1, { specversion: "2.0" })), "Invalid: ");
    await rejects(c.invoke("Send", "text"), "Invalid: ");
    await rejects(c.invoke("Send"), "Invalid: ");
    await rejects(c.invoke("Dance"), "NotFound: ");
    await rejects(c.invoke("Complete", "x"), "Invalid: ");
    await rejects(c.invoke("Complete", 7), "Invalid: ");
    await rejects(c.invoke("Token", "x"), "Unauthenticated: ");
    await c.send("Send", message(1)); // without an answer
    let d = await next();
    check(d.data.n === 1 && d.source.endsWith("/endpoints/" + RECEIVER), JSON.stringify(d));
    const until = await c.invoke("Renew", d.lockToken);
    check(Date.parse(until) > Date.now(), until);
    await c.invoke("Abandon", d.lockToken);
    const again = await next();
    check(again.deliveryCount === 2 && again.sequence === d.sequence, JSON.stringify(again));
    await rejects(c.invoke("Complete", d.lockToken), "LockLost: ");
    await c.invoke("deadletter", again.lockToken, "Unreadable", null);
    await rejects(c.invoke("Complete", again.lockToken), "LockLost: ");
    const expires = await c.invoke("Token", TOKEN_RECEIVER);
    check(Date.parse(expires) > Date.now(), expires);
    await c.stop();
  },

  // A delivery is completed when the handler has run, and abandoned if it fails.
  async automatic() {
    const c = hub(`${URL_RECEIVER}?ack=auto&window=4`, TOKEN_RECEIVER);
    const seen = [];
    let done, all = new Promise((resolve) => { done = resolve; });
    c.on("Receive", async (d) => {
      seen.push(`${d.data.n}/${d.deliveryCount}`);
      await pause(1);
      if (d.data.n === 3 && d.deliveryCount === 1) throw new Error("not now");
      if (seen.length === 11) done();
      return true;
    });
    await c.start();
    for (let i = 0; i < 10; i++) await c.invoke("Send", message(i));
    await all;
    check(seen.includes("3/2") && new Set(seen).size === 11, seen.join(" "));
    await tell("EMPTY");
    await c.stop();
  },

  // A page of another origin gets nowhere.
  async origin() {
    await rejects(hub(URL_RECEIVER, TOKEN_RECEIVER).start(), "403");
    if (transport === "WebSockets") await rejects(hub(URL_RECEIVER, TOKEN_RECEIVER, { skipNegotiation: true }).start(), "");
  },

  // Who is revoked is told so, and does not come again.
  async revoked() {
    const c = hub(URL_RECEIVER, TOKEN_RECEIVER);
    const closed = new Promise((resolve) => c.onclose(resolve));
    await c.start();
    await tell("REVOKE");
    const error = await closed;
    check(error && error.message.includes("Revoked: "), `closed with ${error}`);
    await rejects(hub(URL_RECEIVER, TOKEN_RECEIVER).start(), "401");
  },

  // An EventSource loses its connection now and then. It comes again by itself,
  // and gets each message once, in order.
  async events() {
    const n = 60;
    const { EventSource } = await import(require("node:url").pathToFileURL(path.join(process.env.MODULES, "node_modules/eventsource/dist/index.js")).href);
    const source = new EventSource(URL_EVENTS);
    let last = -1, done, all = new Promise((resolve) => { done = resolve; });
    source.onmessage = (e) => {
      const d = JSON.parse(e.data);
      if (d.data.n !== last + 1) { console.error(`message ${d.data.n} came after ${last}`); process.exit(1); }
      last = d.data.n;
      if (last === 10 || last === 35) tell("CUT");
      if (last === 25) tell("RESTART");
      if (last === n - 1) done();
    };
    await all;
    await tell("EMPTY"); // the last ones are acknowledged by itself
    source.close();
  },
};

(async () => {
  for (const one of what.split(",")) await judges[one]();
})().then(() => process.exit(0), (e) => { console.error(e); process.exit(1); });
