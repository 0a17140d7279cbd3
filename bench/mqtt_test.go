package bench

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMQTT measures for a moment: every figure is there, and is one.
func TestMQTT(t *testing.T) {
	var out bytes.Buffer
	o := Options{Dir: t.TempDir(), For: 100 * time.Millisecond, Body: 256, Connections: 20, Out: &out, JSON: true}
	if err := Run(t.Context(), o, "mqtt"); err != nil {
		t.Fatal(err)
	}
	var r Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("the output is not one document: %v\n%s", err, out.Bytes())
	}
	for _, name := range []string{
		"16x64", "1x256", "paced", "paced, p99", "through", "through, allocations each", "idle, that may send, heap",
		"connected", "attached", "waiting, heap", "drained", "drained, cpu each",
	} {
		i := slices.IndexFunc(r.Figures, func(f Figure) bool { return f.Measurement == "mqtt" && f.Name == name })
		if i < 0 || r.Figures[i].Unit == "/s" && r.Figures[i].Value <= 0 { // of so few the bytes of each say nothing
			t.Errorf("no figure %q in %s", name, out.Bytes())
		}
	}
}

// TestTooManyConnections says what is missing before anything is measured.
func TestTooManyConnections(t *testing.T) {
	var out bytes.Buffer
	err := Run(t.Context(), Options{Dir: t.TempDir(), For: time.Millisecond, Body: 1, Connections: 1 << 30, Out: &out}, "mqtt")
	if err == nil || !strings.Contains(err.Error(), "may open") {
		t.Errorf("%v; %s", err, out.Bytes())
	}
}
