package mqttadapter

import (
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/internal/judge"
)

// The client that web pages and Node use, in both versions.
func TestNode(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes processes")
	}
	modules := filepath.Join(judge.Node(t, "mqtt@5.16.0"), "node_modules")
	script, err := filepath.Abs(filepath.Join("testdata", "client.cjs"))
	if err != nil {
		t.Fatal(err)
	}
	everyWay(t, func(t *testing.T, w way) {
		for _, version := range []string{"4", "5"} {
			l := w.site.login(adaptertest.Receiver)
			c := exec.CommandContext(w.site.ctx, "node", script, w.url("mqtt", "mqtts", "ws", "wss"), version,
				adaptertest.Account+"/"+adaptertest.Receiver, l.SendKey+","+l.ListenKey, adaptertest.Receiver)
			c.Env = append(c.Environ(), "NODE_PATH="+modules, "NODE_NO_WARNINGS=1")
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("version %s: %v\n%s", version, err, out)
			}
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			for i := range lines {
				lines[i] = strings.TrimSpace(lines[i])
			}
			sort.Strings(lines)
			want := []string{"inbox/level 0", "inbox/level 1", "inbox/level 2"}
			if version == "5" {
				want = []string{"inbox/level 0 text/plain oslo 9,700", "inbox/level 1 text/plain oslo 9,700", "inbox/level 2 text/plain oslo 9,700", "refused 135"}
			}
			if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") {
				t.Errorf("version %s:\n%s", version, got)
			}
		}
	})
}
