// A chat between two endpoints. What the gateway guarantees needs this much of
// a page, and no more: keep what is to be sent until it is acknowledged, and
// acknowledge what was received once it is kept.
//
//   outbox    messages without an acknowledgement; sent one by one, in order,
//             again after an interruption. The channel detects duplicates.
//   history   what is shown; survives a reload.

import { SignalR } from "/demo/signalr.js";
import { Events } from "/demo/events.js";

const people = {
  alice: { name: "Alice", other: "bob", door: SignalR, how: "SignalR" },
  bob: { name: "Bob", other: "alice", door: Events, how: "Server-Sent Events and fetch" },
};

const as = new URLSearchParams(location.search).get("as");
if (people[as]) start(as, people[as]);

function start(endpoint, me) {
  const history = stored(endpoint + ".history", []);
  const outbox = stored(endpoint + ".outbox", []);
  const other = people[me.other].name;
  const page = show(me, other);
  for (const m of history.value) page.message(m);

  const keep = (m) => {
    const at = history.value.findIndex((h) => h.id === m.id);
    if (at < 0) history.value.push(m);
    else history.value[at] = m;
    history.value = history.value.slice(-200);
    history.save();
    page.message(m);
  };
  const find = (id) => history.value.find((m) => m.id === id);

  // What comes in. Delivery is at least once: an id seen before is only
  // acknowledged again.
  const received = async (d) => {
    if (d.type === "chat.read") {
      const m = find(d.correlationid);
      if (m && !m.read) keep({ ...m, read: { ...d.data, back: Date.now() } });
    } else if (!find(d.id)) {
      keep({
        id: d.id, text: d.data.text, mine: false, sent: Date.parse(d.time), enqueued: Date.parse(d.enqueuedTime),
        received: Date.now(), deliveries: d.deliveryCount, sequence: d.sequence,
      });
    }
    const m = find(d.id);
    if (d.type === "chat.message" && !m.told) {
      post("chat.read", { sequence: d.sequence, deliveries: d.deliveryCount, received: m.received }, d.id);
      keep({ ...m, told: true });
    }
    await settle(d);
    if (d.type === "chat.message") keep({ ...find(d.id), completed: Date.now() });
  };

  // settle acknowledges a delivery. Without an answer nobody knows whether it
  // was taken: it is tried again. If the lock is lost the message is either gone
  // from the inbox, or comes again.
  const settle = async (d) => {
    for (;;) {
      try {
        return await door.complete(d);
      } catch (e) {
        if (e.refused) return;
        await pause(500);
      }
    }
  };

  // What goes out.
  const post = (type, data, of) => {
    const event = {
      specversion: "1.0", id: crypto.randomUUID(), source: "demo", type, time: new Date().toISOString(),
      to: "endpoints/" + me.other, datacontenttype: "application/json", data, ...(of && { correlationid: of }),
    };
    outbox.value.push(event);
    outbox.save();
    flush();
    return event;
  };
  let flushing = false;
  const flush = async () => {
    if (flushing || !door.up) return;
    flushing = true;
    while (outbox.value.length && door.up) {
      const event = outbox.value[0];
      let news;
      try {
        const { channels, partition, offset } = await door.send(event);
        news = { stored: { channel: channels[0], partition, offset, at: Date.now() } };
      } catch (e) {
        if (!e.refused) { await pause(500); continue; } // not acknowledged: again
        news = { refused: e.message };
      }
      const m = find(event.id);
      if (m) keep({ ...m, ...news });
      outbox.value.shift();
      outbox.save();
    }
    flushing = false;
  };

  const door = new me.door(endpoint, received, (up, text) => { page.state(up, text); flush(); });
  page.onSend((text) => {
    const event = post("chat.message", { text });
    keep({ id: event.id, text, mine: true, sent: Date.parse(event.time) });
  });
  door.open();
}

// show fills in the page, and returns what can be done with it.
function show(me, other) {
  const $ = (id) => document.getElementById(id);
  document.title = me.name + " – Gatehouse";
  $("who").textContent = `You are ${me.name}, writing to ${other}. This tab speaks ${me.how}.`;
  $("choose").hidden = true;
  $("chat").hidden = $("state").hidden = false;
  $("text").placeholder = `Write to ${other}`;
  const rows = new Map();
  return {
    state(up, text) {
      $("state").textContent = text;
      $("state").className = up ? "up" : "down";
    },
    message(m) {
      let row = rows.get(m.id);
      if (!row) {
        row = $("message").content.firstElementChild.cloneNode(true);
        row.dataset.id = m.id;
        row.querySelector(".text").textContent = m.text;
        row.classList.toggle("mine", m.mine);
        $("messages").append(row);
        row.scrollIntoView({ block: "end" });
        rows.set(m.id, row);
      }
      row.querySelector(".journey").replaceChildren(...journey(m, other).map(([text, state]) => {
        const step = document.createElement("li");
        step.textContent = text;
        step.className = state;
        return step;
      }));
    },
    onSend(f) {
      $("text").focus();
      $("form").addEventListener("submit", (e) => {
        e.preventDefault();
        const text = $("text").value.trim();
        $("text").value = "";
        if (text) f(text);
      });
    },
  };
}

// journey tells how far a message has come.
function journey(m, other) {
  if (m.refused) return [["refused: " + m.refused, "failed"]];
  const after = (t) => Math.max(0, t - m.sent) + " ms";
  if (!m.mine) {
    return [
      [`stored for you ${after(m.enqueued)} after it was sent`, "done"],
      [`no. ${m.sequence} of the inbox, delivery ${m.deliveries}, after ${after(m.received)}`, "done"],
      m.completed ? ["acknowledged, gone from the inbox", "done"] : ["not acknowledged yet", ""],
    ];
  }
  const steps = [["sent", "done"]];
  if (!m.stored) return [...steps, ["waiting for the gateway", ""]];
  const { channel, partition, offset } = m.stored;
  steps.push([`stored in channel ${channel}, partition ${partition}, offset ${offset} after ${after(m.stored.at)}`, "done"]);
  if (!m.read) return [...steps, [`on its way to ${other}`, ""]];
  return [...steps, [`read by ${other} after ${after(m.read.received)}, delivery ${m.read.deliveries}`, "done"]];
}

// stored returns a value that survives a reload.
function stored(key, value) {
  key = "gatehouse." + key;
  const s = { value: JSON.parse(localStorage.getItem(key)) ?? value, save: () => localStorage.setItem(key, JSON.stringify(s.value)) };
  return s;
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
