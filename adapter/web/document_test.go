package web

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/internal/judge"
)

// snippet returns the block of docs/web.md whose first line begins with that.
func snippet(t *testing.T, begin string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/web.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)```js\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		if strings.HasPrefix(block[1], begin) {
			return block[1]
		}
	}
	t.Fatalf("docs/web.md has no block that begins with %q", begin)
	return ""
}

// TestDocument runs the example of docs/web.md with a token that is minted as it
// says, as a page would, and loses its connection.
func TestDocument(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	t.Parallel()
	browser := snippet(t, "// browser")
	if lines := strings.Count(browser, "\n"); lines > 40 {
		t.Errorf("the example has %d lines", lines)
	}
	folder := judge.Node(t, signalrPackage, messagePackPackage, eventsPackage)
	s := newSite(t, quickDrain())
	s.change(&directory.PolicySpec{Name: "web", Rights: []string{"send", "listen"}, Keys: []string{"a-key-of-the-back-end"}})
	s.state(app)
	r := newRelay(s)
	script := filepath.Join(t.TempDir(), "page.mjs")
	text := snippet(t, "// mint") + `
import { createRequire } from "node:module";
const Socket = createRequire(process.env.MODULES + "/x.js")("ws");
globalThis.WebSocket = class extends Socket {
  constructor(url) { super(url, { headers: { Origin: process.env.ORIGIN } }); }
};
` + browser + `
const got = [];
let came = () => {};
const page = new Gatehouse(process.env.PAGE, async () => token(process.env.ADDRESS, "web", process.env.KEY, 60), async (d) => {
  got.push(d.data.n);
  came();
});
const send = async (n) => {
  for (;;) {
    while (page.socket?.readyState !== 1) await new Promise((r) => setTimeout(r, 10));
    try { return await page.send({ id: "m-" + n, to: "endpoints/` + receiver + `", data: { n } }); }
    catch (e) { if (!e.message.startsWith("not acknowledged")) throw e; }
  }
};
const first = await send(1);
if (first.id !== "m-1") throw new Error(JSON.stringify(first));
while (!got.includes(1)) await new Promise((r) => { came = r; });
page.socket.terminate();
await send(2);
while (!got.includes(2)) await new Promise((r) => { came = r; });
let refused;
try { await page.send({ type: process.env.DENIED }); } catch (e) { refused = e.message; }
if (!refused?.startsWith("Forbidden: ")) throw new Error("refused as " + refused);
page.socket.onclose = null;
page.socket.close();
`
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	at := r.ln.Addr().String() + "/" + adaptertest.Account + "/endpoints/" + receiver
	c := exec.CommandContext(ctx, "node", script)
	c.Env = append(os.Environ(), "MODULES="+folder, "PAGE=ws://"+at+"/ws", "ADDRESS=https://gateway.example.com/"+adaptertest.Account+"/endpoints/"+receiver,
		"KEY=a-key-of-the-back-end", "ORIGIN="+app, "DENIED="+adaptertest.DeniedType)
	if said, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, said, s.log)
	}
	s.depth(0)
}
