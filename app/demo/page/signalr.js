// The gateway by SignalR: one connection sends and receives.
import { pause } from "/demo/chat.js";
import { tab, token } from "/demo/token.js";

export class SignalR {
  up = false;

  constructor(endpoint, received, changed) {
    this.received = received;
    this.changed = (up, text) => changed((this.up = up), text);
    this.hub = new signalR.HubConnectionBuilder()
      .withUrl(`/demo/endpoints/${endpoint}/signalr?client=${tab}`, { accessTokenFactory: async () => (await token(endpoint)).both })
      .withAutomaticReconnect({ nextRetryDelayInMilliseconds: () => 1000 })
      .configureLogging(signalR.LogLevel.None)
      .build();
    let before = Promise.resolve(); // one delivery after the other
    this.hub.on("Receive", (delivery) => { before = before.then(() => this.received(delivery)).catch(() => {}); });
    this.hub.onreconnecting(() => this.changed(false, "the gateway is away"));
    this.hub.onreconnected(() => this.changed(true, "connected"));
    this.hub.onclose(() => this.open());
  }

  async open() {
    for (;;) {
      try {
        await this.hub.start();
        return this.changed(true, "connected");
      } catch (e) {
        this.changed(false, "not connected: " + e.message);
        await pause(1000);
      }
    }
  }

  // send resolves once the message is stored for good.
  send(event) { return this.invoke("Send", event); }

  complete(delivery) { return this.invoke("Complete", delivery.lockToken); }

  // invoke calls a method of the hub. An error that says why it was refused is
  // final, unless it may pass; a connection that is lost is not.
  async invoke(method, argument) {
    try {
      return await this.hub.invoke(method, argument);
    } catch (e) {
      const passing = /^(Unavailable|RateLimited|Internal|Expired):/.test(e.message);
      e.refused = this.hub.state === signalR.HubConnectionState.Connected && !passing;
      throw e;
    }
  }
}
