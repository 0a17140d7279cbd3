package test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/internal/judge"

	"github.com/chromedp/chromedp"
)

// browser starts a headless Chromium. It ends with the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(judge.Program(t, "chromium", "chromium")),
		chromedp.NoSandbox, // tests may run as root
		chromedp.WSURLReadTimeout(patience),
	)
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx); cancel() }) // waits until it has ended
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// A tab is a tab of the demo's page.
type tab struct {
	t    *testing.T
	ctx  context.Context
	name string
	said []string // in this tab
}

func openTab(t *testing.T, browser context.Context, base, name string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	tb := &tab{t: t, ctx: ctx, name: name}
	tb.run(chromedp.Navigate(base+"/demo?as="+name), chromedp.WaitVisible("#state.up"))
	return tb
}

func (tb *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	tb.t.Helper()
	if err := chromedp.Do(tb.ctx, actions...); err != nil {
		tb.t.Fatalf("%s: %v\nthe page: %v", tb.name, err, tb.shown())
	}
}

// say types a message and sends it.
func (tb *tab) say(text string) {
	tb.t.Helper()
	tb.said = append(tb.said, text)
	tb.run(chromedp.Evaluate[chromedp.Void](called(tb.t, `(text) => {
		document.getElementById("text").value = text;
		document.getElementById("form").requestSubmit();
	}`, text)))
}

// called returns a script that calls a function.
func called(t *testing.T, function string, args ...any) string {
	t.Helper()
	text, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("(%s)(...%s)", function, text)
}

// A bubble is a message as a tab shows it.
type bubble struct {
	Text, Journey string
	Mine          bool
}

func (tb *tab) shown() []bubble {
	const script = `[...document.querySelectorAll("#messages > li")].map((li) => ({
		text: li.querySelector(".text").textContent, mine: li.classList.contains("mine"),
		journey: [...li.querySelectorAll(".journey li")].map((s) => s.className + ": " + s.textContent).join("; ")}))`
	all, err := chromedp.Run(tb.ctx, chromedp.Evaluate[[]bubble](script))
	if err != nil {
		return []bubble{{Text: err.Error()}}
	}
	return all
}

// await waits until the tab shows so many messages, each at the end of its
// journey.
func (tb *tab) await(n int) {
	tb.t.Helper()
	const script = `(n) => {
		const all = [...document.querySelectorAll("#messages > li")];
		return all.length >= n && all.every((li) => {
			const steps = [...li.querySelectorAll(".journey li")];
			return steps.length >= 3 && steps.every((s) => s.className === "done");
		});
	}`
	tb.run(chromedp.PollFunction[chromedp.Void](script, chromedp.WithPollingArgs(n), chromedp.WithPollingTimeout(patience), chromedp.WithPollingInterval(50*time.Millisecond)))
}

// check compares what the tab shows with what was said.
func (tb *tab) check(other *tab) {
	tb.t.Helper()
	var mine, theirs []string
	for _, b := range tb.shown() {
		if b.Mine {
			mine = append(mine, b.Text)
		} else {
			theirs = append(theirs, b.Text)
		}
	}
	if !slices.Equal(mine, tb.said) {
		tb.t.Errorf("%s has said %q, its tab shows %q", tb.name, tb.said, mine)
	}
	if !slices.Equal(theirs, other.said) {
		tb.t.Errorf("%s has said %q, the tab of %s shows %q", other.name, other.said, tb.name, theirs)
	}
}

// startDemo starts a gateway with the demo, whose page stays at its address
// when it is started anew.
func startDemo(t *testing.T) (p *process, base string) {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	p = &process{data: t.TempDir(), args: []string{"--demo"}, more: []string{
		"GATEHOUSE_LOG_LEVEL=debug",
		"GATEHOUSE_LISTENERS=[{adapter: https, address: '127.0.0.1:0'}, {adapter: http, address: '" + address + "'}, {adapter: amqp, address: '127.0.0.1:0'}, {adapter: mqtt, address: '127.0.0.1:0'}]",
	}}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p, "http://" + address
}

// Two tabs of a browser talk. The gateway is killed in mid-conversation, and
// they go on talking: nothing is lost, nothing comes twice or out of order.
func TestPage(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	ctx := browser(t)
	p, base := startDemo(t)
	alice, bob := openTab(t, ctx, base, "alice"), openTab(t, ctx, base, "bob")
	for i := range 5 {
		alice.say(fmt.Sprintf("hello %d, Bob", i))
		bob.say(fmt.Sprintf("hello %d, Alice <b>& co.</b>", i))
	}
	alice.await(10)
	bob.await(10)
	for i := range 12 {
		alice.say(fmt.Sprintf("from Alice, across a crash: %d", i))
		bob.say(fmt.Sprintf("from Bob, across a crash: %d", i))
		if i == 5 {
			p.kill()
		}
	}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	alice.await(34)
	bob.await(34)
	// A tab that was away finds what it was sent meanwhile.
	bob.run(chromedp.Navigate("about:blank"))
	for i := range 5 {
		alice.say(fmt.Sprintf("while Bob is away: %d", i))
	}
	bob.run(chromedp.Navigate(base + "/demo?as=bob"))
	alice.await(39)
	bob.await(39)
	alice.check(bob)
	bob.check(alice)
}

// A page of another origin cannot use an endpoint, even with a token that is
// good; the demo's own page can.
func TestForeignPage(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	ctx := browser(t)
	_, base := startDemo(t)
	tokens := struct{ Send, Listen, Both string }{}
	openTab(t, ctx, base, "alice") // the demo is ready then
	answer, err := http.Get(base + "/demo/token?endpoint=alice")
	if err != nil {
		t.Fatal(err)
	}
	err = json.NewDecoder(answer.Body).Decode(&tokens)
	_ = answer.Body.Close() // it is read
	if err != nil {
		t.Fatal(err)
	}
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>elsewhere</title>") // the test would fail
	}))
	t.Cleanup(foreign.Close)
	const script = `async (base, send, listen, both) => {
		const query = "?access_token=" + encodeURIComponent(both);
		const opens = (s) => new Promise((done) => { s.onopen = () => { done("open"); s.close(); }; s.onerror = () => { done("refused"); s.close(); }; });
		const fetched = fetch(base + "/demo/publishers/alice/messages", {method: "POST", body: "hello", headers: {Authorization: send, "ce-specversion": "1.0", "ce-type": "chat.message", "ce-to": "endpoints/bob"}});
		return {
			fetch: await fetched.then((r) => r.ok ? "open" : "refused", () => "refused"),
			negotiate: await fetch(base + "/demo/endpoints/alice/signalr/negotiate?negotiateVersion=1", {method: "POST", credentials: "include", headers: {Authorization: "Bearer " + both}}).then((r) => r.ok ? "open" : "refused", () => "refused"),
			websocket: await opens(new WebSocket(base.replace("http", "ws") + "/demo/endpoints/alice/ws" + query)),
			signalr: await opens(new WebSocket(base.replace("http", "ws") + "/demo/endpoints/alice/signalr" + query)),
			events: await opens(new EventSource(base + "/demo/inboxes/alice/events?access_token=" + encodeURIComponent(listen))),
		};
	}`
	for at, want := range map[string]string{base + "/demo": "open", foreign.URL: "refused"} {
		tab, cancel := chromedp.NewContext(ctx)
		defer cancel()
		if err := chromedp.Do(tab, chromedp.Navigate(at)); err != nil {
			t.Fatal(err)
		}
		got, err := chromedp.Run(tab, chromedp.Evaluate[map[string]string](called(t, script, base, tokens.Send, tokens.Listen, tokens.Both), chromedp.EvalAwaitPromise))
		if err != nil {
			t.Fatal(err)
		}
		for transport, outcome := range got {
			if outcome != want {
				t.Errorf("from %s: %s is %s, want %s", strings.TrimPrefix(at, "http://"), transport, outcome, want)
			}
		}
		if len(got) != 5 {
			t.Errorf("%v", got)
		}
	}
}
