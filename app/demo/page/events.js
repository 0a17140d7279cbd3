// The gateway by Server-Sent Events, which bring what is in the inbox, and
// fetch, which sends and acknowledges.
import { pause } from "/demo/chat.js";
import { tab, token } from "/demo/token.js";

export class Events {
  up = false;

  constructor(endpoint, received, changed) {
    this.endpoint = endpoint;
    this.received = received;
    this.changed = (up, text) => changed((this.up = up), text);
  }

  // open connects. The browser connects anew by itself when the connection is
  // lost, but with the same token: once that is refused it takes a fresh one.
  async open() {
    let source;
    for (;;) {
      try {
        this.tokens = await token(this.endpoint);
        source = new EventSource(`/demo/inboxes/${this.endpoint}/events?ack=explicit&client=${tab}&access_token=${encodeURIComponent(this.tokens.listen)}`);
        break;
      } catch {
        this.changed(false, "the gateway is away");
        await pause(1000);
      }
    }
    let before = Promise.resolve(); // one delivery after the other
    source.onmessage = (e) => { before = before.then(() => this.received(JSON.parse(e.data))).catch(() => {}); };
    source.onopen = () => this.changed(true, "connected");
    source.onerror = async () => {
      this.changed(false, "the gateway is away");
      if (source.readyState !== EventSource.CLOSED) return;
      await pause(1000);
      this.open();
    };
  }

  // send resolves once the message is stored for good.
  async send(event) {
    const answer = await this.ask("POST", `publishers/${this.endpoint}/messages`, "send", JSON.stringify(event), {
      "Content-Type": "application/cloudevents+json", "Accept": "application/json",
    });
    return answer.json();
  }

  async complete(delivery) {
    await this.ask("DELETE", `inboxes/${this.endpoint}/messages/${encodeURIComponent(delivery.id)}/${delivery.lockToken}`, "listen");
  }

  // ask makes a request. An error that says why it was refused is final; an
  // answer that does not come is not.
  async ask(method, path, right, body, headers) {
    const request = () => fetch(`/demo/${path}`, { method, body, headers: { ...headers, Authorization: this.tokens[right] } });
    let r = await request();
    if (r.status === 401) {
      this.tokens = await token(this.endpoint); // the old ones have expired
      r = await request();
    }
    if (r.ok) return r;
    const problem = await r.json();
    const e = new Error(problem.detail ?? problem.title);
    e.refused = r.status < 500 && r.status !== 401 && r.status !== 429;
    throw e;
  }
}
