package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain is also the process of the gateway.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == ServeCommand {
		if err := Serve(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// TestAMQP measures for a moment: every figure is there, and is one.
func TestAMQP(t *testing.T) {
	var out bytes.Buffer
	o := Options{Dir: t.TempDir(), For: 100 * time.Millisecond, Body: 256, Connections: 20, Out: &out, JSON: true}
	if err := Run(t.Context(), o, "amqp"); err != nil {
		t.Fatal(err)
	}
	var r Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("the output is not one document: %v\n%s", err, out.Bytes())
	}
	for _, name := range []string{"fdatasync, p50", "16x64", "1x256", "batches", "paced", "paced, p99", "through", "through, allocations each", "idle, with a link to send, heap"} {
		i := slices.IndexFunc(r.Figures, func(f Figure) bool { return f.Measurement == "amqp" && f.Name == name })
		if i < 0 || r.Figures[i].Value <= 0 {
			t.Errorf("no figure %q in %s", name, out.Bytes())
		}
	}
}

// TestUnknown says what can be measured.
func TestUnknown(t *testing.T) {
	t.Parallel()
	if err := Run(t.Context(), Options{Out: new(bytes.Buffer)}, "nothing"); err == nil {
		t.Fatal("nothing was measured, without an error")
	}
}
