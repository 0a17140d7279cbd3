// Drives Azure's SDKs for JavaScript against a gateway. The first argument is
// the name of what to do, the environment says where.
const assert = require("node:assert/strict");
const { createRequire } = require("node:module");

const load = createRequire(process.env.MODULES + "/");
const { ServiceBusClient } = load("@azure/service-bus");
const { EventHubProducerClient, EventHubBufferedProducerClient, EventHubConsumerClient, earliestEventPosition } = load("@azure/event-hubs");

const { SEND, LISTEN, TRUSTED, TOKEN, PUBLISHER, INBOX, HUB, RECEIVER, DENIED } = process.env;
// Whatever the SDK thinks that trying again can help, it tries at once.
const retryOptions = { maxRetries: 1000, retryDelayInMs: 1, maxRetryDelayInMs: 20, timeoutInMs: 20000 };
const entity = (text, path) => `${text};EntityPath=${path}`;

async function withBus(text, f) {
  const client = new ServiceBusClient(text, { retryOptions });
  try {
    await f(client);
  } finally {
    await client.close();
  }
}

async function send(...messages) {
  await withBus(SEND, async (client) => {
    const sender = client.createSender(PUBLISHER);
    await sender.sendMessages(messages.map((m) => ({ body: m.messageId, to: RECEIVER, ...m })));
  });
}

async function receive(receiver, n) {
  const all = [];
  while (all.length < n) {
    all.push(...(await receiver.receiveMessages(n - all.length, { maxWaitTimeInMs: 10000 })));
  }
  return all;
}

// rejects checks that an operation fails, and returns with what.
async function rejects(operation) {
  try {
    await operation;
  } catch (err) {
    console.error("refused:", err.code, err.retryable, err.message); // shown if the test fails
    return err;
  }
  assert.fail("no error");
}

const judges = {
  async events() {
    for (const text of [entity(SEND, PUBLISHER), entity(TOKEN, PUBLISHER)]) {
      const producer = new EventHubProducerClient(text, { retryOptions });
      const batch = await producer.createBatch();
      assert.ok(batch.maxSizeInBytes > 900000);
      assert.ok(batch.tryAdd({ body: { t: 21.5 }, properties: { site: "oslo", level: 7, on: true }, messageId: "e-1", correlationId: "c", contentType: "application/json" }));
      assert.ok(!batch.tryAdd({ body: "x".repeat(1 << 21) }));
      await producer.sendBatch(batch);
      await producer.sendBatch([{ body: "two" }, { body: "three" }]);
      const { partitionIds } = await producer.getEventHubProperties();
      assert.ok(partitionIds.length > 0);
      const refused = await rejects(producer.sendBatch([{ body: "no", properties: { "cloudEvents:type": DENIED } }]));
      assert.match(refused.message, /not-in/, "the rule is named");
      await producer.close();
    }
    const buffered = new EventHubBufferedProducerClient(entity(SEND, PUBLISHER), { retryOptions, onSendEventsErrorHandler: (e) => assert.fail(String(e.error)) });
    await buffered.enqueueEvent({ body: "buffered" });
    await buffered.close({ flush: true });
    await consume(7);
  },

  async owners() {
    const producer = new EventHubProducerClient(entity(TRUSTED, HUB), { retryOptions });
    await producer.sendBatch([{ body: "e" }], { partitionKey: "k" });
    await producer.close();
    const clients = [];
    const open = async (ownerLevel) => {
      const client = new EventHubConsumerClient("$Default", entity(TRUSTED, HUB), { retryOptions });
      clients.push(client);
      let lost;
      const ended = new Promise((resolve) => (lost = resolve));
      await new Promise((attached) => {
        client.subscribe("0", { processEvents: async () => attached(), processError: async (err) => (attached(), lost(err)) }, { ownerLevel, startPosition: earliestEventPosition, maxWaitTimeInSeconds: 1 });
      });
      return ended;
    };
    const first = open(1);
    await Promise.race([first, open(2)]);
    assert.equal((await (await Promise.all([first]))[0]).code ?? "", "ReceiverDisconnectedError");
    await Promise.all(clients.map((c) => c.close()));
  },

  async messages() {
    await send(
      { messageId: "m0", subject: "s", correlationId: "c", contentType: "text/plain", timeToLive: 60000, applicationProperties: { site: "oslo", n: 7, x: 1.5, on: true, none: null } },
      { messageId: "m1" }, { messageId: "m2" }, { messageId: "m3" }, { messageId: "m4" },
    );
    await withBus(LISTEN, async (client) => {
      const receiver = client.createReceiver(INBOX);
      assert.equal((await receiver.peekMessages(10)).length, 5);
      const got = await receive(receiver, 5);
      const m = got[0];
      assert.deepEqual([m.messageId, m.body, m.subject, m.correlationId, m.contentType, m.timeToLive, m.to, m.deliveryCount, m.state], ["m0", "m0", "s", "c", "text/plain", 60000, RECEIVER, 0, "active"]);
      assert.deepEqual(m.applicationProperties, { site: "oslo", n: 7, x: 1.5, on: true, none: null });
      assert.ok(m.lockedUntilUtc > new Date() && m.expiresAtUtc > new Date() && m.lockToken);
      assert.ok((await receiver.renewMessageLock(m)) > new Date());
      await receiver.completeMessage(got[0]);
      await receiver.abandonMessage(got[1], { tried: true });
      await receiver.deferMessage(got[2]);
      await receiver.deadLetterMessage(got[3], { deadLetterReason: "R", deadLetterErrorDescription: "D", more: "x" });
      await receiver.completeMessage(got[4]);
      const [again] = await receive(receiver, 1);
      assert.deepEqual([again.messageId, again.deliveryCount, again.applicationProperties.tried], ["m1", 1, true]);
      await receiver.completeMessage(again);
      const [later] = await receiver.receiveDeferredMessages([got[2].sequenceNumber]);
      assert.equal(later.messageId, "m2");
      await receiver.completeMessage(later);
      assert.deepEqual(await receiver.peekMessages(10, { fromSequenceNumber: load("long").ZERO }), []);
      assert.deepEqual(await receiver.receiveMessages(1, { maxWaitTimeInMs: 50 }), []);
      await receiver.close();

      const dead = client.createReceiver(INBOX, { subQueueType: "deadLetter" });
      const [letter] = await receive(dead, 1);
      assert.deepEqual([letter.messageId, letter.deadLetterReason, letter.deadLetterErrorDescription, letter.applicationProperties.more], ["m3", "R", "D", "x"]);
      await dead.completeMessage(letter);
      await dead.close();
    });
  },

  async subscription() {
    const n = 300;
    await withBus(SEND, async (client) => {
      const sender = client.createSender(PUBLISHER);
      const batch = await sender.createMessageBatch();
      for (let i = 0; i < n; i++) assert.ok(batch.tryAddMessage({ body: i, messageId: `m${i}`, to: RECEIVER }));
      assert.ok(!batch.tryAddMessage({ body: "x".repeat(1 << 21) }));
      await sender.sendMessages(batch);
    });
    await withBus(LISTEN, async (client) => {
      const receiver = client.createReceiver(INBOX);
      const seen = [];
      await new Promise((resolve, reject) => {
        receiver.subscribe(
          { processMessage: async (m) => { if (seen.push(m.body) === n) resolve(); }, processError: async (args) => reject(args.error) },
          { maxConcurrentCalls: 1 },
        );
      });
      assert.deepEqual(seen, Array.from({ length: n }, (_, i) => i));
      await receiver.close();
    });
    await send({ messageId: "gone" });
    await withBus(LISTEN, async (client) => {
      const receiver = client.createReceiver(INBOX, { receiveMode: "receiveAndDelete" });
      assert.deepEqual((await receive(receiver, 1)).map((m) => m.messageId), ["gone"]);
      assert.deepEqual(await receiver.peekMessages(1), []);
    });
  },

  async sessions() {
    await send({ messageId: "m0", sessionId: "a" }, { messageId: "m1", sessionId: "b" }, { messageId: "m2", sessionId: "a" });
    await withBus(LISTEN, async (client) => {
      const a = await client.acceptSession(INBOX, "a");
      const b = await client.acceptNextSession(INBOX);
      assert.deepEqual([a.sessionId, b.sessionId], ["a", "b"]);
      assert.ok(a.sessionLockedUntilUtc > new Date());
      const busy = await rejects(client.acceptSession(INBOX, "a"));
      assert.equal(busy.code, "SessionCannotBeLocked");
      assert.equal(await a.getSessionState(), null);
      await a.setSessionState(Buffer.from("state"));
      assert.equal(String(await a.getSessionState()), "state");
      assert.ok((await a.renewSessionLock()) > new Date());
      assert.deepEqual((await a.peekMessages(10)).map((m) => m.messageId), ["m0", "m2"]);
      const got = await receive(a, 2);
      assert.deepEqual(got.map((m) => m.messageId), ["m0", "m2"]);
      await a.completeMessage(got[0]);
      await a.deferMessage(got[1]);
      const [later] = await a.receiveDeferredMessages(got[1].sequenceNumber);
      await a.completeMessage(later);
      const [other] = await receive(b, 1);
      await b.completeMessage(other);
      await a.close();
      await b.close();
    });
  },

  async refusals() {
    // A wrong key is what this SDK tries again, wherever it meets it.
    const wrong = new ServiceBusClient(SEND.replace(/SharedAccessKey=[^;]*/, "SharedAccessKey=wrong"), { retryOptions: { maxRetries: 0 } });
    assert.equal((await rejects(wrong.createSender(PUBLISHER).sendMessages({ body: "x" }))).code, "UnauthorizedAccess");
    await wrong.close();
    await withBus(SEND, async (client) => {
      const sender = client.createSender(PUBLISHER);
      const denied = { body: "x", applicationProperties: { "cloudEvents:type": DENIED } };
      assert.match((await rejects(sender.sendMessages(denied))).message, /not-in/);
      const soon = await sender.scheduleMessages({ body: "now", messageId: "s", to: RECEIVER }, new Date(Date.now() + 200));
      assert.equal(soon.length, 1);
      const late = await sender.scheduleMessages([{ body: "a", to: RECEIVER }, { body: "b", to: RECEIVER }], new Date(Date.now() + 3600000));
      assert.ok(late.length === 2 && late.every((n) => n.greaterThan(0)) && !late[0].equals(late[1]));
      await sender.cancelScheduledMessages(late);
      const gone = await rejects(sender.cancelScheduledMessages(late[0]));
      assert.equal(gone.code, "MessageNotFound");
      const never = await rejects(sender.scheduleMessages({ body: "x", to: RECEIVER, messageId: "never" }, new Date(Date.now() + 20 * 365 * 86400000)));
      assert.match(never.message, /ten years/);
    });
    await withBus(LISTEN, async (client) => {
      const receiver = client.createReceiver(INBOX);
      const [m] = await receive(receiver, 1);
      assert.equal(m.messageId, "s");
      await receiver.completeMessage(m);
    });
  },

  // revoked tells when it has sent, and goes on until it is told that the
  // publisher is revoked; idle waits for that without sending anything.
  async revoked() {
    const producer = new EventHubProducerClient(entity(SEND, PUBLISHER), { retryOptions });
    await producer.sendBatch([{ body: "one" }]);
    console.log("sent");
    const began = Date.now();
    const refused = await rejects((async () => {
      for (;;) await Promise.all(["a", "b", "c"].map((body) => producer.sendBatch([{ body }])));
    })());
    assert.equal(refused.code, "PublisherRevokedError");
    assert.ok(Date.now() - began < retryOptions.timeoutInMs, "it waited until its time was up");
    assert.equal((await rejects(producer.sendBatch([{ body: "two" }]))).code, "PublisherRevokedError");
    await producer.close();
  },

  async idle() {
    const producer = new EventHubProducerClient(entity(SEND, PUBLISHER), { retryOptions });
    await producer.sendBatch([{ body: "one" }]);
    console.log("sent");
    const refused = await rejects((async () => {
      for (;;) {
        await producer.createBatch(); // a batch is made on an open link only
        await new Promise(setImmediate);
      }
    })());
    assert.equal(refused.code, "PublisherRevokedError");
    assert.equal((await rejects(producer.sendBatch([{ body: "two" }]))).code, "PublisherRevokedError");
    await producer.close();
  },
};

// consume reads n events of all partitions, and describes them.
async function consume(n) {
  const consumer = new EventHubConsumerClient("$Default", entity(TRUSTED, HUB), { retryOptions, loadBalancingOptions: { strategy: "greedy", updateIntervalInMs: 100 } });
  for (const id of await consumer.getPartitionIds()) {
    const p = await consumer.getPartitionProperties(id);
    assert.equal(p.isEmpty, p.lastEnqueuedSequenceNumber === -1);
  }
  const got = [];
  let subscription;
  await new Promise((resolve, reject) => {
    subscription = consumer.subscribe(
      {
        processEvents: async (events, context) => {
          got.push(...events);
          if (events.length > 0) await context.updateCheckpoint(events.at(-1));
          if (got.length >= n) resolve();
        },
        processError: async (err) => reject(err),
      },
      { startPosition: earliestEventPosition, trackLastEnqueuedEventProperties: true, maxWaitTimeInSeconds: 1 },
    );
  });
  await subscription.close();
  await consumer.close();
  assert.equal(got.length, n);
  const bodies = got.map((e) => e.body);
  assert.deepEqual(bodies.slice(0, 3), [{ t: 21.5 }, "two", "three"]);
  const [e] = got;
  assert.deepEqual([e.properties, e.messageId, e.correlationId, e.contentType, e.partitionKey], [{ site: "oslo", level: 7, on: true }, "e-1", "c", "application/json", PUBLISHER.split("/").at(-1)]);
}

judges[process.argv[2]]().then(
  () => process.exit(0), // timers of the SDKs would keep it for a while
  (err) => {
    console.error(err);
    process.exit(1);
  },
);
