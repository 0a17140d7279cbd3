// Tokens live for minutes. The application's back end mints them; here the demo
// stands in for it.
export async function token(endpoint) {
  const r = await fetch("/demo/token?endpoint=" + endpoint, { cache: "no-store" });
  if (!r.ok) throw new Error(`no token: ${r.status} ${await r.text()}`);
  return r.json(); // {send, listen, both}
}

// tab names this tab. The gateway takes what an older connection of the same
// name still holds from it first, so that the order stays.
export const tab = (sessionStorage.tab ??= crypto.randomUUID());
