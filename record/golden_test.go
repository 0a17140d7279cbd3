package record

import (
	"encoding/hex"
	"flag"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
)

var update = flag.Bool("update", false, "write testdata/v1.txt anew; records on disks are of the old format then")

const goldenFile = "testdata/v1.txt"

// golden are the messages whose records testdata holds.
func golden() map[string]*gatehouse.Message {
	m := map[string]*gatehouse.Message{
		"empty":   {},
		"full":    full(),
		"typical": typical(),
		"dead":    {ID: "1", Dead: &gatehouse.DeadLetter{Reason: "r"}},
		"far":     {NotBefore: time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), TTL: -1},
	}
	whole := full()
	for i := range whole.Attributes {
		if a := whole.Attributes[i]; a.Name != "" {
			m["value-"+a.Name+"-"+string(rune('a'+i))] = withValue(a.Value)
		}
	}
	return m
}

// The format is what is on the disks of those who run Gatehouse: this test
// must never need an update for version 1.
func TestGolden(t *testing.T) {
	t.Parallel()
	if *update {
		writeGolden(t)
	}
	text, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	left := golden()
	for line := range strings.Lines(string(text)) {
		name, code, _ := strings.Cut(strings.TrimSpace(line), " ")
		want, ok := left[name]
		if !ok {
			t.Errorf("%s: there is no such message", name)
			continue
		}
		delete(left, name)
		data, err := hex.DecodeString(code)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := hex.EncodeToString(Append(nil, want)); got != code {
			t.Errorf("%s: encoded to\n%s, want\n%s", name, got, code)
		}
		got, err := Decode(data)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: decoded to\n%+v, %v, want\n%+v", name, got, err, want)
		}
	}
	if len(left) > 0 {
		t.Errorf("no golden records of %v", slices.Sorted(maps.Keys(left)))
	}
}

func writeGolden(t *testing.T) {
	t.Helper()
	all := golden()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		b.WriteString(name + " " + hex.EncodeToString(Append(nil, all[name])) + "\n")
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(goldenFile, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
