package signalr

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse/gatehouse/internal/judge"
)

// prelude is what all scripts begin with.
const prelude = `
const signalr = require("@microsoft/signalr");
const { MessagePackHubProtocol } = require("@microsoft/signalr-protocol-msgpack");
const assert = require("assert");
const base = process.argv[2];
const names = { ws: signalr.HttpTransportType.WebSockets, sse: signalr.HttpTransportType.ServerSentEvents, lp: signalr.HttpTransportType.LongPolling };
function build(transport, packed, options = {}, more = b => b) {
  let b = new signalr.HubConnectionBuilder().withUrl(options.url || base, { transport: names[transport], ...options }).configureLogging(process.env.SIGNALR_LOG ? signalr.LogLevel.Trace : signalr.LogLevel.None);
  if (packed) b = b.withHubProtocol(new MessagePackHubProtocol());
  return more(b).build();
}
async function rejects(promise, pattern) {
  try { await promise; } catch (e) { assert.match(String(e), pattern); return; }
  assert.fail("it was not rejected: " + pattern);
}
const closed = c => new Promise(done => c.onclose(done));
const lines = require("readline").createInterface({ input: process.stdin });
const waiting = [], told = [];
lines.on("line", l => waiting.length ? waiting.shift()(l) : told.push(l));
const heard = () => told.length ? Promise.resolve(told.shift()) : new Promise(done => waiting.push(done));
const say = s => process.stdout.write(s + "\n");
process.on("unhandledRejection", e => { console.error(e); process.exit(1); });
(async () => {
`

// script is a script that runs with the client for JavaScript.
type script struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin interface{ Write([]byte) (int, error) }

	mu    sync.Mutex
	text  bytes.Buffer
	lines chan string
}

// run starts a script: the body of an async function.
func run(t *testing.T, address, body string) *script {
	t.Helper()
	folder := judge.Node(t, "@microsoft/signalr@10.0.11", "@microsoft/signalr-protocol-msgpack@10.0.11")
	file := filepath.Join(t.TempDir(), "script.cjs")
	text := prelude + body + "\nsay('done'); process.exit(0);\n})().catch(e => { console.error(e); process.exit(1); });\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", file, address)
	cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(folder, "node_modules"))
	s := &script{t: t, cmd: cmd, lines: make(chan string, 100)}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.stdin = stdin
	cmd.Stdout = lineWriter{s}
	cmd.Stderr = lineWriter{s}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// lineWriter hands what a script says to the test, line by line.
type lineWriter struct{ s *script }

func (w lineWriter) Write(b []byte) (int, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.text.Write(b)
	for line := range strings.Lines(string(b)) {
		select {
		case w.s.lines <- strings.TrimSpace(line):
		default:
		}
	}
	return len(b), nil
}

// hears waits for a line of the script.
func (s *script) hears(ctx context.Context, line string) {
	s.t.Helper()
	for {
		select {
		case got := <-s.lines:
			if got == line {
				return
			}
		case <-ctx.Done():
			s.mu.Lock()
			defer s.mu.Unlock()
			s.t.Fatalf("the script never said %q:\n%s", line, s.text.String())
		}
	}
}

// tell sends the script a line.
func (s *script) tell(line string) {
	s.t.Helper()
	if _, err := s.stdin.Write([]byte(line + "\n")); err != nil {
		s.t.Fatal(err)
	}
}

// wait waits until the script is done, which must have gone well.
func (s *script) wait() {
	s.t.Helper()
	err := s.cmd.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.t.Fatalf("%v:\n%s", err, s.text.String())
	}
}
