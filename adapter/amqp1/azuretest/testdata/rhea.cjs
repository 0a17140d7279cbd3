// Drives rhea, a client for AMQP 1.0 that knows nothing of Azure, against a
// gateway. The first argument is the name of what to do, the environment says
// where.
const assert = require("node:assert/strict");
const { createRequire } = require("node:module");
const { once } = require("node:events");

const rhea = createRequire(process.env.MODULES + "/")("rhea");
const { HOST, PORT, SENDER, RECEIVER, SEND_KEY, LISTEN_KEY, PUBLISHER, INBOX, TO, DENIED, SEND_TOKEN, LISTEN_TOKEN } = process.env;

// connect returns a connection in a container of its own.
function connect(options) {
  return rhea.create_container().connect({ host: HOST, port: Number(PORT), reconnect: false, ...options });
}

const asSender = (options) => connect({ username: SENDER, password: SEND_KEY, ...options });
const asReceiver = (options) => connect({ username: RECEIVER, password: LISTEN_KEY, ...options });

async function close(connection) {
  connection.close();
  await once(connection, "connection_close");
}

// send sends messages one after the other and returns how each was settled.
async function send(connection, messages, options) {
  const sender = connection.open_sender({ target: PUBLISHER, ...options });
  const outcomes = [];
  const done = new Promise((resolve, reject) => {
    for (const name of ["accepted", "rejected", "released", "modified"]) {
      sender.on(name, (context) => {
        const { delivery } = context;
        outcomes[Number(delivery.tag.toString())] = { name, error: delivery.remote_state.error };
      });
    }
    sender.on("settled", () => {
      if (Object.keys(outcomes).length === messages.length) resolve();
    });
    sender.on("sender_error", (context) => reject(context.sender.error));
  });
  let next = 0;
  const fill = () => {
    while (next < messages.length && sender.sendable()) {
      sender.send({ to: TO, ...messages[next] }, String(next));
      next++;
    }
  };
  sender.on("sendable", fill);
  await done;
  sender.close();
  await once(sender, "sender_close");
  return outcomes;
}

// take receives n messages and lets each be settled by f; the rest of credit is
// drained.
async function take(connection, n, f, options) {
  const receiver = connection.open_receiver({ source: INBOX, credit_window: 0, autoaccept: false, ...options });
  const got = [];
  await new Promise((resolve, reject) => {
    receiver.on("message", (context) => {
      got.push(context.message);
      f(context.delivery, context.message);
      if (got.length === n) resolve();
    });
    receiver.on("receiver_error", (context) => reject(context.receiver.error));
    receiver.add_credit(n);
  });
  receiver.close();
  await once(receiver, "receiver_close");
  return got;
}

const accept = (delivery) => delivery.accept();

const judges = {
  // Many messages, with the client's own flow control, in order.
  async flow() {
    const n = 3000; // more than rhea's window of 2048
    const sender = asSender();
    const outcomes = await send(sender, Array.from({ length: n }, (_, i) => ({ message_id: `m${i}`, body: i })));
    assert.ok(outcomes.length === n && outcomes.every((o) => o.name === "accepted"));
    await close(sender);
    const connection = asReceiver();
    const receiver = connection.open_receiver(INBOX); // window of 1000, accepts of itself
    const got = [];
    await new Promise((resolve) => {
      receiver.on("message", (context) => {
        if (got.push(context.message.body) === n) resolve();
      });
    });
    assert.deepEqual(got, Array.from({ length: n }, (_, i) => i));
    await close(connection);
    await nothingLeft();
  },

  // What a message has arrives, in its types.
  async message() {
    const types = rhea.types;
    const sent = {
      message_id: rhea.string_to_uuid("00112233-4455-6677-8899-aabbccddeeff"), user_id: Buffer.from("me"), subject: "s", reply_to: "r", correlation_id: 7,
      content_type: "text/plain", content_encoding: "none", creation_time: 1700000000000, group_id: "g", group_sequence: 3, reply_to_group_id: "rg",
      durable: true, priority: 7, ttl: 60000,
      application_properties: { text: "Ålesund", yes: true, byte: types.wrap_byte(-8), long: types.wrap_long(1234567), double: 1.5, symbol: types.wrap_symbol("sym"), when: types.wrap_timestamp(1700000000000) },
      message_annotations: { "x-opt-mine": "note" }, footer: { end: "f" },
      body: { map: [1, "two", { three: 3 }], none: null },
    };
    const sender = asSender();
    await send(sender, [sent]);
    await close(sender);
    const connection = asReceiver();
    const [m] = await take(connection, 1, accept);
    await close(connection);
    for (const key of ["user_id", "subject", "reply_to", "correlation_id", "content_type", "content_encoding", "group_id", "group_sequence", "reply_to_group_id", "durable", "priority", "ttl", "body", "footer"]) {
      assert.deepEqual(m[key], sent[key], key);
    }
    assert.equal(rhea.uuid_to_string(m.message_id), "00112233-4455-6677-8899-aabbccddeeff");
    assert.equal(m.creation_time.getTime(), sent.creation_time);
    const { when, ...rest } = m.application_properties;
    assert.deepEqual([rest, when.getTime()], [{ text: "Ålesund", yes: true, byte: -8, long: 1234567, double: 1.5, symbol: "sym" }, 1700000000000]);
    assert.equal(m.message_annotations["x-opt-mine"], "note");
    assert.ok(m.message_annotations["x-opt-sequence-number"] > 0);
  },

  async outcomes() {
    const sender = asSender();
    await send(sender, ["accepted", "released", "rejected", "modified", "deferred"].map((message_id) => ({ message_id, body: "x" })));
    await close(sender);
    const connection = asReceiver();
    const how = {
      accepted: (d) => d.accept(),
      released: (d) => d.release(),
      rejected: (d) => d.reject({ condition: "com.example:bad", description: "it is bad" }),
      modified: (d) => d.modified({ delivery_failed: true, message_annotations: { tried: "once" } }),
      deferred: (d) => d.modified({ delivery_failed: true, undeliverable_here: true }),
    };
    const receiver = connection.open_receiver({ source: INBOX, credit_window: 0, autoaccept: false });
    const held = [];
    await new Promise((resolve) => {
      receiver.on("message", (context) => {
        const { delivery, message } = context;
        if (held.push({ delivery, message }) === 5) resolve();
      });
      receiver.add_credit(5);
    });
    for (const { delivery, message } of held) {
      how[message.message_id](delivery);
      await new Promise(setImmediate); // rhea takes the first two outcomes of a moment for the same
    }
    receiver.close();
    await once(receiver, "receiver_close");
    const again = await take(connection, 2, accept);
    const found = Object.fromEntries(again.map((m) => [m.message_id, m]));
    assert.equal(found.released.delivery_count, 0);
    assert.equal(found.modified.delivery_count, 1);
    assert.equal(found.modified.application_properties.tried, "once");
    const [dead] = await take(connection, 1, accept, { source: `${INBOX}/$DeadLetterQueue` });
    assert.deepEqual([dead.message_id, dead.application_properties.DeadLetterReason, dead.application_properties.DeadLetterErrorDescription], ["rejected", "com.example:bad", "it is bad"]);
    await close(connection);
  },

  async drain() {
    const sender = asSender();
    await send(sender, [{ body: 0 }, { body: 1 }, { body: 2 }]);
    await close(sender);
    const connection = asReceiver();
    const receiver = connection.open_receiver({ source: INBOX, credit_window: 0 });
    const got = [];
    receiver.on("message", (context) => got.push(context.message.body));
    for (const n of [3, 0]) { // the second time there is nothing
      got.length = 0;
      receiver.drain = true;
      receiver.add_credit(10);
      await once(receiver, "receiver_drained");
      assert.equal(got.length, n);
      assert.equal(receiver.credit, 0);
      receiver.drain = false;
    }
    receiver.add_credit(1); // the link goes on
    const next = once(receiver, "message");
    const another = asSender();
    await send(another, [{ body: "next" }]);
    await close(another);
    assert.equal((await next)[0].message.body, "next");
    await close(connection);
  },

  // Messages of many frames, both ways.
  async large() {
    const body = "0123456789abcdef".repeat(58000); // 928,000 bytes
    for (const max_frame_size of [512, 65536, undefined]) {
      const sender = asSender({ max_frame_size });
      const outcomes = await send(sender, [{ body }, { body: "small" }]);
      assert.deepEqual(outcomes.map((o) => o.name), ["accepted", "accepted"]);
      await close(sender);
      const connection = asReceiver({ max_frame_size });
      const got = await take(connection, 2, accept);
      assert.deepEqual(got.map((m) => m.body === body), [true, false]);
      await close(connection);
    }
  },

  // What is refused is told as the standard has it.
  async refusals() {
    const sender = asSender();
    const [refused, fine] = await send(sender, [{ body: "x", application_properties: { "cloudEvents:type": DENIED } }, { body: "y" }]);
    assert.equal(refused.name, "rejected");
    assert.deepEqual([refused.error.condition, fine.name], ["amqp:not-allowed", "accepted"]);
    assert.match(refused.error.description, /not-in/);
    const attach = async (options, kind) => {
      const link = kind === "sender" ? sender.open_sender(options) : sender.open_receiver(options);
      await once(link, `${kind}_error`);
      return link.error.condition;
    };
    assert.equal(await attach({ target: "nowhere" }, "sender"), "amqp:not-allowed");
    assert.equal(await attach({ target: INBOX }, "sender"), "amqp:unauthorized-access");
    assert.equal(await attach({ source: INBOX }, "receiver"), "amqp:unauthorized-access");
    assert.equal(await attach({ target: {} }, "sender"), "amqp:not-implemented"); // to whatever a message names
    assert.equal(await attach({ source: { dynamic: true } }, "receiver"), "amqp:not-implemented");
    await send(sender, [{ body: "z" }]); // the connection goes on
    await close(sender);
    const wrong = connect({ username: SENDER, password: "wrong" });
    await once(wrong, "connection_error");
    const connection = asReceiver();
    assert.deepEqual((await take(connection, 2, accept)).map((m) => m.body), ["y", "z"]);
    await close(connection);
  },

  // Links whose deliveries are sent settled.
  async settled() {
    const connection = asSender();
    const sender = connection.open_sender({ target: PUBLISHER, snd_settle_mode: 1 });
    await once(sender, "sendable");
    sender.send({ to: TO, body: "settled" });
    await close(connection); // what was sent before counts
    const receiving = asReceiver();
    const [m] = await take(receiving, 1, () => {}, { snd_settle_mode: 1 });
    assert.equal(m.body, "settled");
    await close(receiving);
    await nothingLeft();
  },

  // Tokens put by hand, without SASL and with ANONYMOUS.
  async claims() {
    for (const options of [{}, { username: "anybody" }]) {
      const connection = connect(options);
      await putToken(connection, PUBLISHER, SEND_TOKEN, 200);
      await putToken(connection, INBOX, LISTEN_TOKEN, 200);
      await putToken(connection, INBOX, SEND_TOKEN, 401);
      await send(connection, [{ body: "by token" }]);
      const [m] = await take(connection, 1, accept);
      assert.equal(m.body, "by token");
      await close(connection);
    }
  },

  // A connection that is cut comes again, with its links.
  async reconnect() {
    const retry = { reconnect: true, initial_reconnect_delay: 10, max_reconnect_delay: 100 };
    const sending = asSender(retry);
    const receiving = asReceiver(retry);
    const sender = sending.open_sender(PUBLISHER);
    const got = [];
    receiving.open_receiver(INBOX);
    const back = [sending, receiving].map((c) => once(c, "disconnected").then(() => once(c, "connection_open")));
    const both = new Promise((resolve) => {
      receiving.on("message", (context) => {
        got.push(context.message.body);
        if (got.length === 1) console.log("received");
        else resolve();
      });
    });
    await once(sender, "sendable");
    sender.send({ to: TO, body: "one" });
    await Promise.all(back); // both were cut
    if (!sender.sendable()) await once(sender, "sendable");
    sender.send({ to: TO, body: "two" });
    await both;
    assert.deepEqual(got, ["one", "two"]);
    await Promise.all([close(sending), close(receiving)]);
  },
};

// nothingLeft checks that the inbox is empty.
async function nothingLeft() {
  const connection = asReceiver();
  const receiver = connection.open_receiver({ source: INBOX, credit_window: 0 });
  receiver.on("message", (context) => assert.fail(`left: ${context.message.body}`));
  receiver.drain = true;
  receiver.add_credit(1);
  await once(receiver, "receiver_drained");
  await close(connection);
}

// putToken proves something by hand.
async function putToken(connection, address, token, status) {
  const reply_to = "answers";
  const receiver = connection.open_receiver({ source: "$cbs", target: reply_to });
  const sender = connection.open_sender("$cbs");
  await once(sender, "sendable");
  const answered = once(receiver, "message");
  sender.send({ message_id: "1", reply_to, application_properties: { operation: "put-token", type: "servicebus.windows.net:sastoken", name: `amqp://${HOST}:${PORT}/${address}` }, body: token });
  const { message } = (await answered)[0];
  assert.deepEqual([message.correlation_id, message.application_properties["status-code"]], ["1", status]);
  for (const [link, name] of [[sender, "sender_close"], [receiver, "receiver_close"]]) {
    link.close();
    await once(link, name);
  }
}

judges[process.argv[2]]().then(
  () => process.exit(0),
  (err) => {
    console.error(err);
    process.exit(1);
  },
);
