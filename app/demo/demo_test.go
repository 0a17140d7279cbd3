package demo_test

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/app"
	"github.com/gatehouse/gatehouse/app/demo"
	"github.com/gatehouse/gatehouse/config"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, text string) *app.App { t.Helper(); return serveWith(t, text, app.Options{}) }

func serveWith(t *testing.T, text string, o app.Options) *app.App {
	t.Helper()
	cfg, err := config.Parse(fmt.Appendf(nil, "data: %q\nadmin: {address: '127.0.0.1:0'}\nengine: {kind: memory}\nshards: 2\n%s", t.TempDir(), text), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	<-a.Ready()
	return a
}

const twoListeners = "listeners: [{adapter: https, address: ':0'}, {adapter: http, address: '127.0.0.1:0'}]\n"

func prepare(t *testing.T, a *app.App) *demo.Demo {
	t.Helper()
	d, err := demo.Prepare(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func show(t *testing.T, d *demo.Demo, j *demo.Journey, p demo.Paint) string {
	t.Helper()
	var b strings.Builder
	if err := d.Show(&b, j, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestJourney(t *testing.T) {
	t.Parallel()
	a := serve(t, twoListeners)
	d := prepare(t, a)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	j, err := d.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if j.RouteIn != "reports-in" || j.RouteOut != "reports-out" || j.Channel != demo.Channel || j.Deliveries != 1 {
		t.Errorf("%+v", j)
	}
	text := show(t, d, j, demo.Paint{})
	for _, want := range []string{"https://localhost:", "http://127.0.0.1:", "/demo ", "route reports-in → channel telemetry", "curl --cacert"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") || !strings.Contains(show(t, d, j, demo.Paint{Colour: true}), "\x1b[1mGatehouse\x1b[0m") {
		t.Error("colours are not as asked")
	}
	// What is there stays: the commands that were shown go on working.
	again := prepare(t, a)
	if next, err := again.Run(ctx); err != nil || next.ID == j.ID {
		t.Errorf("%+v, %v", next, err)
	}
	if show(t, again, j, demo.Paint{}) != text {
		t.Error("the keys have changed")
	}
}

// TestCommands types what the demo says to type.
func TestCommands(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	d := prepare(t, serve(t, twoListeners))
	var commands []string
	for line := range strings.Lines(show(t, d, &demo.Journey{}, demo.Paint{})) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "curl ") {
			commands = append(commands, line)
		}
	}
	if len(commands) != 2 {
		t.Fatalf("%q", commands)
	}
	var got []byte
	for _, command := range []string{commands[1], commands[0]} { // send, then receive
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		c := exec.CommandContext(ctx, "sh", "-c", strings.Replace(command, "curl", "curl -sS --fail-with-body", 1))
		var problem bytes.Buffer
		c.Stderr = &problem
		var err error
		if got, err = c.Output(); err != nil {
			t.Fatalf("%s: %v: %s%s", command, err, problem.String(), got)
		}
	}
	if string(got) != "hello" {
		t.Errorf("curl received %q", got)
	}
}

func TestNeedsHTTPS(t *testing.T) {
	t.Parallel()
	a := serve(t, "listeners: [{adapter: http, address: '127.0.0.1:0'}]\n")
	if _, err := demo.Prepare(t.Context(), a); err == nil || !strings.Contains(err.Error(), "needs a listener with adapter https") {
		t.Errorf("%v", err)
	}
}
