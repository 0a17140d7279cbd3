package app_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/app"
	"github.com/gatehouse/gatehouse/app/demo"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/directory"
)

// TestAcross sends a message in over HTTPS and takes it out of an inbox.
func TestAcross(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{inMemory, "engine: {kind: pebbledb, cache: 8MiB, memTable: 4MiB}\n"} {
		g := serve(t, configure(t, t.TempDir(), engine))
		g.mustSend("m-1")
		a := g.mustTake()
		if id, _ := a.properties(t); id != "m-1" || a.body != "body of m-1" {
			t.Errorf("%s: %s, %q", engine, id, a.body)
		}
		if source := a.header.Get("Ce-Source"); source != "" && source != "/demo/endpoints/"+demo.Sender {
			t.Errorf("the source is %q", source)
		}
	}
}

func TestHealthAndMetrics(t *testing.T) {
	t.Parallel()
	g := serve(t, configure(t, t.TempDir(), inMemory))
	g.mustSend("m-1")
	g.mustTake()
	if a := g.admin("/healthz"); a.status != http.StatusOK {
		t.Errorf("%+v", a)
	}
	if a := g.admin("/readyz"); a.status != http.StatusOK {
		t.Errorf("%+v", a)
	}
	text := g.admin("/metrics").body
	for _, want := range []string{
		`gatehouse_accepted_messages_total{protocol="https"} 1`,
		`gatehouse_sessions_opened_total{protocol="https"} 2`,
		`gatehouse_handler_messages_total{account="demo",channel="telemetry",handler="deliver"} 1`,
		`gatehouse_inbox_put_messages_total 1`,
		`gatehouse_connections_accepted_total{adapter="https",address="` + strings.TrimPrefix(g.base, "https://") + `"} 1`,
		`gatehouse_build_info{version="test"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, onlyOurs(text))
		}
	}
	if strings.Contains(text, "gatehouse_commit_duration_seconds_count 0") {
		t.Error("commits are not timed")
	}
}

func onlyOurs(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "gatehouse_") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// TestRestart proves that what was acknowledged is there after a restart, as
// are keys, definitions and certificates.
func TestRestart(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	g := serve(t, configure(t, data, ""))
	g.mustSend("m-1")
	send, listen := g.keys(demo.Sender)
	ca, err := os.ReadFile(g.CA())
	if err != nil {
		t.Fatal(err)
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	g = serve(t, configure(t, data, ""))
	if id, _ := g.mustTake().properties(t); id != "m-1" {
		t.Errorf("took %q", id)
	}
	if s, l := g.keys(demo.Sender); s != send || l != listen {
		t.Error("the keys have changed")
	}
	if again, err := os.ReadFile(g.CA()); err != nil || string(again) != string(ca) {
		t.Errorf("the authority has changed: %v", err)
	}
	g.mustSend("m-2")
	if id, _ := g.mustTake().properties(t); id != "m-2" {
		t.Errorf("took %q", id)
	}
}

// TestRevocation revokes an inbox while its client waits at it.
func TestRevocation(t *testing.T) {
	t.Parallel()
	g := serve(t, configure(t, t.TempDir(), inMemory))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	type outcome struct {
		*answer
		err error
	}
	polled := make(chan outcome, 1)
	go func() {
		a, err := g.take(ctx, 60)
		polled <- outcome{a, err}
	}()
	for len(g.Gate.Sessions(demo.Account)) == 0 { // until it waits
		select {
		case o := <-polled:
			t.Fatalf("the poll ended: %+v", o)
		case <-time.After(time.Millisecond):
		}
	}
	if err := g.Directory.Revoke(ctx, demo.Account, demo.Receiver, directory.Revoked{Listen: true}); err != nil {
		t.Fatal(err)
	}
	if n := len(g.Gate.Sessions(demo.Account)); n != 0 {
		t.Errorf("%d sessions are open after Revoke has returned", n)
	}
	// The client asked to wait for 60 s, which is more than patience.
	if o := <-polled; o.err != nil || o.status/100 != 4 || !strings.Contains(o.body, "revoked") {
		t.Errorf("the poll was answered %+v, %v", o.answer, o.err)
	}
	if a, err := g.take(ctx, 0); err != nil || a.status/100 != 4 {
		t.Errorf("after that: %+v, %v", a, err)
	}
	if err := g.Directory.Restore(ctx, demo.Account, demo.Receiver, directory.Revoked{Listen: true}); err != nil {
		t.Fatal(err)
	}
	g.mustSend("m-1")
	g.mustTake()
}

// TestStopUnderLoad stops a gateway while clients send, and proves that every
// message that was acknowledged is in the inbox afterwards.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	g := serve(t, configure(t, data, ""))
	const senders, enough = 8, 200
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	ends := make(chan string, senders) // why a sender stopped
	plenty, none := make(chan struct{}), make(chan struct{})
	key, _ := g.keys(demo.Sender)
	var all sync.WaitGroup
	for s := range senders {
		all.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("m-%d-%d", s, n)
				a, err := g.send(t.Context(), key, id)
				if err != nil || a.status != http.StatusCreated {
					ends <- fmt.Sprintf("%s: %+v, %v", id, a, err) // the gateway stops
					return
				}
				mu.Lock()
				acknowledged[id] = true
				if len(acknowledged) == enough {
					close(plenty)
				}
				mu.Unlock()
			}
		})
	}
	go func() { all.Wait(); close(none) }()
	select {
	case <-plenty:
	case <-none:
		t.Fatalf("all senders stopped before the gateway did, the first at %s", <-ends)
	}
	if err := g.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	all.Wait()

	g = serve(t, configure(t, data, ""))
	for len(acknowledged) > 0 {
		id, _ := g.mustTake().properties(t)
		delete(acknowledged, id)
	}
}

// TestHalfBuilt proves that New undoes what it did before it failed.
func TestHalfBuilt(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	data := t.TempDir()
	for _, spoil := range []func(*config.Config){
		func(c *config.Config) {
			c.Listeners = append(c.Listeners, config.Listener{Adapter: "http", Address: taken.Addr().String()})
		},
		func(c *config.Config) { c.Admin.Address = taken.Addr().String() },
	} {
		cfg := configure(t, data, "")
		spoil(cfg)
		_, err := app.New(t.Context(), cfg, app.Options{})
		if !errors.Is(err, gatehouse.Invalid) || !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("%v", err)
		}
	}
	// The folder is free again, which an engine left open would have locked.
	serve(t, configure(t, data, ""))
}

func TestNotRun(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	a, err := app.New(t.Context(), configure(t, data, ""), app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.CheckReady(t.Context()); !errors.Is(err, gatehouse.Unavailable) {
		t.Errorf("ready before it runs: %v", err)
	}
	for range 2 {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	serve(t, configure(t, data, ""))
}

// TestStoppedAtOnce stops a gateway before it has begun.
func TestStoppedAtOnce(t *testing.T) {
	t.Parallel()
	a, err := app.New(t.Context(), configure(t, t.TempDir(), ""), app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Run(ctx); err != nil {
		t.Error(err)
	}
}

// TestFaults holds what New says about a configuration that no gateway can be
// made of.
func TestFaults(t *testing.T) {
	t.Parallel()
	for more, want := range map[string]string{
		"listeners:\n  - {adapter: htps}\n":                       `test.yaml:6: listeners[0].adapter: there is no adapter "htps"; there are https, http`,
		"listeners:\n  - adapter: https\n    idletime: 3s\n":      `test.yaml:7: unknown key "idletime" in listeners[0]; did you mean "idleTime"?`,
		"engine: {kind: pebble}\n":                                `test.yaml:6: engine.kind: there is no engine "pebble"; there are pebbledb, memory`,
		"engine: {cash: 3MiB}\n":                                  `unknown key "cash" in engine; did you mean "cache"?`,
		"tls: {certificate: /no/such, key: /no/such}\n":           "test.yaml:6: tls: the certificate cannot be read",
		"tls: {clientCA: /no/such}\n":                             "test.yaml:6: tls.clientCA: the authorities",
		"listeners: [{adapter: http, clientCertificates: ask}]\n": "test.yaml:5: listeners[0].clientCertificates: http has no TLS",
		"encryption: {keyFile: /no/such}\n":                       "test.yaml:6: encryption.keyFile: ",
		"encryption: {keyEnv: GATEHOUSE_TEST_NO_SUCH_VARIABLE}\n": "encryption.keyEnv: environment variable GATEHOUSE_TEST_NO_SUCH_VARIABLE is not set",
	} {
		_, err := app.New(t.Context(), configure(t, t.TempDir(), more), app.Options{})
		if !errors.Is(err, gatehouse.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", more, err)
		}
	}
	cfg := configure(t, t.TempDir(), "")
	cfg.Data = "/dev/null/x"
	if _, err := app.New(t.Context(), cfg, app.Options{}); !errors.Is(err, gatehouse.Invalid) {
		t.Errorf("a folder that cannot be made: %v", err)
	}
	cfg.Shards = 0
	if _, err := app.New(t.Context(), cfg, app.Options{}); !errors.Is(err, gatehouse.Invalid) {
		t.Errorf("an invalid configuration: %v", err)
	}
}

// TestHandlersFollowTheDirectory disables and enables the account and its
// handler while messages come.
func TestHandlersFollowTheDirectory(t *testing.T) {
	t.Parallel()
	g := serve(t, configure(t, t.TempDir(), inMemory))
	set := func(enabled bool) {
		t.Helper()
		h := demo.File().Handlers[0]
		h.Enabled = &enabled
		if _, err := g.Directory.Put(t.Context(), demo.Account, &h, 0); err != nil {
			t.Fatal(err)
		}
	}
	g.mustSend("m-1")
	g.mustTake()
	set(false)
	g.mustSend("m-2")
	set(true)
	if id, _ := g.mustTake().properties(t); id != "m-2" {
		t.Errorf("took %q", id)
	}
}

func TestAddPlain(t *testing.T) {
	t.Parallel()
	c := app.AddPlain(config.Default())
	var names []string
	for _, l := range c.Listeners {
		names = append(names, l.Adapter)
		if secure := strings.HasSuffix(l.Adapter, "s"); !secure && !strings.HasPrefix(l.Address, "127.0.0.1:") {
			t.Errorf("%+v", l)
		}
	}
	if got := strings.Join(names, " "); got != "https amqps mqtts http amqp mqtt" {
		t.Error(got)
	}
	own := config.Default()
	own.Listeners = []config.Listener{{Adapter: "http", Address: ":1"}}
	if c := app.AddPlain(own); len(c.Listeners) != 3 || c.Listeners[0].Address != ":1" || c.Listeners[1].Adapter != "amqp" || c.Listeners[2].Adapter != "mqtt" {
		t.Errorf("%+v", c.Listeners)
	}
}
