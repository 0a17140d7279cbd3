package test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	killFor       = flag.Duration("kill.for", usualKillTime(), "how long TestKill loads and kills the gateway")
	killSenders   = flag.Int("kill.senders", 16, "connections that send in TestKill")
	killDevices   = flag.Int("kill.devices", 8, "connections that send by MQTT at QoS 2 in TestKill")
	killReceivers = flag.Int("kill.receivers", 16, "connections that receive in TestKill")
)

// usualKillTime is short at a desk and longer where nobody waits.
func usualKillTime() time.Duration {
	if os.Getenv("CI") == "true" {
		return 30 * time.Second
	}
	return 10 * time.Second
}

// definitions is an account with two endpoints whose messages reach each other.
// Locks last longer than the gateway does, and no delivery is one too many, so
// that within one life of the gateway a message is delivered once.
const definitions = `
account: acme
channels: [{name: work}]
endpoints:
  - {name: sender, keys: {send: [sender-send-key-0001], listen: [sender-listen-key-01]}}
  - {name: receiver, keys: {send: [receiver-send-key-01], listen: [receiver-listen-key]}, inbox: {lock: 5m, maxDeliveries: -1}}
routes:
  - {name: in, direction: ingress, endpoints: {names: ["*"]}, channels: {names: [work]}}
  - {name: out, direction: egress, channels: {names: [work]}, endpoints: {names: [receiver]}}
handlers: [{name: answers, channel: work, kind: router}]
`

// A ledger is what the clients know of messages, by number.
type ledger struct {
	*testing.T
	*process

	mu       sync.Mutex
	next     int
	accepted map[int]bool // 201 came
	unknown  map[int]bool // sent, without an answer
	held     map[int]bool // delivered since the gateway was started
	done     map[int]bool // completed, and 200 came
	doubtful map[int]bool // completed, without an answer
	seen     map[int]int  // how often it was delivered in the end

	devices []*exact
}

// TestKill kills the gateway under load, again and again, and holds what is
// there in the end against what was acknowledged: every acknowledged message
// is there exactly once, no message whose completion was acknowledged returns,
// and none comes twice. What devices send at QoS 2 is never in doubt: they go on
// after a kill where they were, and each message is there exactly once.
func TestKill(t *testing.T) {
	l := &ledger{
		T: t, process: &process{data: t.TempDir()},
		accepted: map[int]bool{}, unknown: map[int]bool{}, done: map[int]bool{}, doubtful: map[int]bool{}, seen: map[int]int{},
	}
	t.Cleanup(l.kill)
	for i := range *killDevices {
		l.devices = append(l.devices, &exact{ledger: l, client: fmt.Sprint("device-", i)})
	}
	l.begin()
	l.command("apply", "-f", "-")
	kills := 0
	for end := time.Now().Add(*killFor); time.Now().Before(end) && !t.Failed(); kills++ {
		l.load()
		l.begin()
	}
	l.drain()
	l.check()
	t.Logf("%d kills: %d messages acknowledged, %d in doubt; %d completed under load, %d in doubt; %d received in the end",
		kills, len(l.accepted), len(l.unknown), len(l.done), len(l.doubtful), len(l.seen))
}

// begin starts the gateway. Nothing is locked then.
func (l *ledger) begin() {
	l.Helper()
	if err := l.start(); err != nil {
		l.Fatal(err)
	}
	l.held = map[int]bool{}
}

// command runs another command of the binary, with the definitions to read.
func (l *ledger) command(args ...string) string {
	l.Helper()
	c := exec.CommandContext(l.Context(), "gatehouse", args...)
	c.Env = append(append(os.Environ(), l.environment()...), "GATEHOUSE_URL=http://"+l.admin)
	c.Stdin = strings.NewReader(definitions)
	out, err := c.CombinedOutput()
	if err != nil {
		l.Fatalf("gatehouse %s: %v\n%s\n%s", strings.Join(args, " "), err, out, l.log)
	}
	return string(out)
}

// load sends and receives until the gateway is killed under it.
func (l *ledger) load() {
	var clients sync.WaitGroup
	ctx, cancel := context.WithCancel(l.Context())
	var stored atomic.Int64
	enough := 50 + rand.Int64N(2000)
	reached := make(chan struct{})
	for range *killSenders {
		clients.Go(func() {
			for ctx.Err() == nil {
				if l.send(ctx, l.number()) && stored.Add(1) == enough {
					close(reached)
				}
			}
		})
	}
	for _, d := range l.devices {
		clients.Go(func() {
			for ctx.Err() == nil {
				d.run(ctx, func() {
					if stored.Add(1) == enough {
						close(reached)
					}
				})
			}
		})
	}
	for range *killReceivers {
		clients.Go(func() {
			for ctx.Err() == nil {
				l.receive(ctx)
			}
		})
	}
	select {
	case <-reached:
	case <-l.exited:
		l.Errorf("the gateway ended by itself:\n%s", l.log)
	case <-time.After(patience):
		l.Errorf("only %d of %d messages were acknowledged in time:\n%s", stored.Load(), enough, l.log)
	}
	l.kill()
	cancel()
	clients.Wait()
}

// number returns the number of a new message.
func (l *ledger) number() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	return l.next
}

func (l *ledger) note(m map[int]bool, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m[n] = true
}

// send sends message n and reports whether it was acknowledged.
func (l *ledger) send(ctx context.Context, n int) bool {
	w, body, err := l.request(ctx, http.MethodPost, l.url("https")+"/acme/publishers/sender/messages", "acme/sender", "sender-send-key-0001", strconv.Itoa(n),
		"BrokerProperties", fmt.Sprintf(`{"MessageId":"m-%d","To":"endpoints/receiver"}`, n))
	switch {
	case err != nil:
		l.note(l.unknown, n)
	case w.StatusCode == http.StatusCreated:
		l.note(l.accepted, n)
		return true
	case w.StatusCode == http.StatusServiceUnavailable: // it may be stored all the same
		l.note(l.unknown, n)
	default:
		l.Errorf("message %d: %s: %s", n, w.Status, body)
	}
	return false
}

// receive takes a message and completes it, mostly: some stay under their
// locks, which the kill ends.
func (l *ledger) receive(ctx context.Context) {
	n, location := l.take(ctx)
	if location == "" || rand.IntN(3) == 0 {
		return
	}
	w, body, err := l.complete(ctx, location)
	switch {
	case err != nil:
		l.note(l.doubtful, n)
	case w.StatusCode == http.StatusOK:
		l.note(l.done, n)
	default:
		l.note(l.doubtful, n)
		if w.StatusCode != http.StatusServiceUnavailable {
			l.Errorf("completing message %d: %s: %s", n, w.Status, body)
		}
	}
}

// take takes one message; location is where to settle it, "" if none came.
func (l *ledger) take(ctx context.Context) (n int, location string) {
	w, body, err := l.request(ctx, http.MethodPost, l.url("https")+"/acme/inboxes/receiver/messages/head?timeout=1", "acme/receiver", "receiver-listen-key", "")
	if err != nil || w.StatusCode == http.StatusNoContent || w.StatusCode == http.StatusServiceUnavailable {
		return 0, ""
	}
	n, err = strconv.Atoi(body)
	if w.StatusCode != http.StatusCreated || err != nil {
		l.Errorf("receiving: %s: %q", w.Status, body)
		return 0, ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done[n] {
		l.Errorf("message %d returned though its completion was acknowledged", n)
	}
	if l.held[n] {
		l.Errorf("message %d came twice while it was locked", n)
	}
	l.held[n] = true
	return n, w.Header.Get("Location")
}

func (l *ledger) complete(ctx context.Context, location string) (*http.Response, string, error) {
	return l.request(ctx, http.MethodDelete, location, "acme/receiver", "receiver-listen-key", "")
}

func (l *ledger) request(ctx context.Context, method, url, user, key, body string, header ...string) (*http.Response, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	r.SetBasicAuth(user, key)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w, err := l.client.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer w.Body.Close()
	b, err := io.ReadAll(w.Body)
	return w, string(b), err
}

// drain receives what is left, with several clients. It sends one last message
// behind all others of its endpoint: since they come in order, nothing is left
// once that has come.
func (l *ledger) drain() {
	if l.Failed() {
		return
	}
	l.settleDevices()
	last := l.number()
	if !l.send(l.Context(), last) {
		l.Fatalf("the last message is not taken:\n%s", l.log)
	}
	ctx, cancel := context.WithTimeout(l.Context(), 5*patience)
	defer cancel()
	var over atomic.Bool
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for !over.Load() && ctx.Err() == nil {
				n, location := l.take(ctx)
				if location == "" {
					continue
				}
				if n == last {
					over.Store(true)
				}
				w, body, err := l.complete(ctx, location)
				if err != nil || w.StatusCode != http.StatusOK {
					l.Errorf("completing message %d: %v %s", n, err, body)
				}
				l.mu.Lock()
				l.seen[n]++
				l.mu.Unlock()
			}
		})
	}
	clients.Wait()
	if !over.Load() {
		l.Errorf("the last message does not come:\n%s", l.log)
	}
}

// settleDevices has the devices find out what became of their last messages.
func (l *ledger) settleDevices() {
	var all sync.WaitGroup
	for _, d := range l.devices {
		if d.n == 0 {
			continue
		}
		all.Go(func() {
			ctx, cancel := context.WithCancel(l.Context())
			defer cancel()
			last := d.n
			d.run(ctx, cancel)
			if !d.received && !l.unknown[last] {
				l.Errorf("%s does not get an answer to message %d:\n%s", d.client, last, l.log)
			}
		})
	}
	all.Wait()
}

func (l *ledger) check() {
	missing := 0
	for n := range l.accepted {
		if !l.done[n] && !l.doubtful[n] && l.seen[n] == 0 {
			missing++
		}
	}
	if missing > 0 {
		l.Errorf("%d acknowledged messages are missing", missing)
	}
	for n, times := range l.seen {
		if times > 1 {
			l.Errorf("message %d came %d times", n, times)
		}
		if l.done[n] {
			l.Errorf("message %d was completed and came again", n)
		}
		if !l.accepted[n] && !l.unknown[n] {
			l.Errorf("message %d was never sent", n)
		}
	}
	var left struct{ Active, Locked, Deferred, Scheduled, Dead int }
	if err := json.Unmarshal([]byte(l.command("inbox", "acme/receiver", "-o", "json")), &left); err != nil {
		l.Fatal(err)
	}
	if left.Active+left.Locked+left.Deferred+left.Scheduled+left.Dead != 0 {
		l.Errorf("left in the inbox: %+v", left)
	}
}
