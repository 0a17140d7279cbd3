package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func try(t *testing.T, args ...string) (code int, out, err string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, streams{strings.NewReader(""), &o, &e})
	return code, o.String(), e.String()
}

func TestVersion(t *testing.T) {
	if code, out, _ := try(t, "version"); code != exitOK || !strings.HasPrefix(out, "gatehouse ") {
		t.Errorf("%d, %q", code, out)
	}
}

func TestHelp(t *testing.T) {
	if code, out, _ := try(t, "--help"); code != exitOK || !strings.Contains(out, "serve") {
		t.Errorf("%d, %q", code, out)
	}
}

// TestHelpOfEveryCommand holds that every command, argument and flag says what
// it is for.
func TestHelpOfEveryCommand(t *testing.T) {
	var line commandLine
	k, err := kong.New(&line)
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range k.Model.Leaves(false) {
		path := strings.Fields(command.Path())
		if code, out, e := try(t, append(path, "--help")...); code != exitOK || e != "" || !strings.Contains(out, "Usage: gatehouse "+path[0]) {
			t.Errorf("%s: %d, %q, %q", command.Path(), code, out, e)
		}
		for _, about := range append(command.Flags, k.Model.Flags...) {
			if about.Help == "" {
				t.Errorf("%s: --%s is not explained", command.Path(), about.Name)
			}
		}
		for _, about := range command.Positional {
			if about.Help == "" {
				t.Errorf("%s: %s is not explained", command.Path(), about.Name)
			}
		}
		if command.Help == "" {
			t.Errorf("%s is not explained", command.Path())
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"sing"}, {"serve", "--loud"}, {"serve", "--config", "/no/such"}} {
		if code, _, err := try(t, args...); code != exitUsage || err == "" {
			t.Errorf("%q: %d, %q", args, code, err)
		}
	}
}

func TestBadConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "g.yaml")
	if err := os.WriteFile(file, []byte("shards: 1\nlistner: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, err := try(t, "serve", "--config", file)
	if want := file + `:2: unknown key "listner"; did you mean "listeners"?`; code != exitUsage || !strings.Contains(err, want) {
		t.Errorf("%d, %q", code, err)
	}
}

// TestServeDemo starts the gateway as make run does, and stops it when it has
// shown its journey.
func TestServeDemo(t *testing.T) {
	t.Setenv("GATEHOUSE_ADMIN_ADDRESS", "127.0.0.1:0")
	t.Setenv("GATEHOUSE_LISTENERS", "[{adapter: https, address: '127.0.0.1:0'}, {adapter: http, address: '127.0.0.1:0'}]")
	t.Setenv("GATEHOUSE_ENGINE_KIND", "pebbledb")
	t.Setenv("GATEHOUSE_SHRADS", "3")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	var log bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"serve", "--demo", "--data", t.TempDir()}, streams{strings.NewReader(""), w, &log})
		w.Close()
	}()
	var shown strings.Builder
	for b := make([]byte, 4096); !strings.Contains(shown.String(), "-d 'hello'"); {
		n, err := r.Read(b)
		shown.Write(b[:n])
		if err != nil {
			t.Fatalf("it ended with %d: %s%s", <-ended, shown.String(), log.String())
		}
	}
	cancel()
	if code := <-ended; code != exitOK {
		t.Errorf("exit code %d: %s", code, log.String())
	}
	if !strings.Contains(shown.String(), "gone from the inbox") {
		t.Error(shown.String())
	}
	if !strings.Contains(log.String(), "GATEHOUSE_SHRADS is not one of the gateway's; did you mean GATEHOUSE_SHARDS?") {
		t.Error(log.String())
	}
}
