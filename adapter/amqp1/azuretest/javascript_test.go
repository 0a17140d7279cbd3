package azuretest

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/sas"
)

// The SDKs for JavaScript, as they are published.
const (
	busPackage  = "@azure/service-bus@7.9.5"
	hubsPackage = "@azure/event-hubs@6.0.4"
)

// missing skips a test for want of something, but not on CI, which is to have
// everything.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// modules returns a folder in which the SDKs are installed. It is kept for the
// next time.
func modules(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing(t, "%s is not installed; the SDKs for JavaScript were not tried", tool)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		missing(t, "there is no folder for the SDKs for JavaScript: %v", err)
	}
	folder := filepath.Join(cache, "gatehouse-test", "azure-bus-7.9.5-hubs-6.0.4")
	if _, err := os.Stat(folder); err == nil {
		return folder
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		missing(t, "%v", err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(folder), "new-")
	if err != nil {
		missing(t, "%v", err)
	}
	defer os.RemoveAll(fresh) //nolint:errcheck // it is of no use any more
	install := exec.CommandContext(t.Context(), "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", fresh, busPackage, hubsPackage)
	install.Dir = fresh
	if text, err := install.CombinedOutput(); err != nil {
		missing(t, "the SDKs for JavaScript could not be installed: %v\n%s", err, text)
	}
	if err := os.Rename(fresh, folder); err != nil {
		if _, other := os.Stat(folder); other != nil { // nobody else was faster
			t.Fatal(err)
		}
	}
	return folder
}

// node returns a command that lets the SDKs do something with the site.
func (s *site) node(folder, what string) (c *exec.Cmd, output *bytes.Buffer) {
	c = exec.CommandContext(s.ctx, "node", "testdata/judge.cjs", what)
	token := sas.Sign("sb://"+s.address+"/"+publisher, "send", adaptertest.SendKey(adaptertest.Sender), time.Now().Add(time.Hour))
	c.Env = append(os.Environ(), "MODULES="+folder,
		"SEND="+s.connectionString("send", adaptertest.SendKey(adaptertest.Sender), ""),
		"LISTEN="+s.connectionString("listen", adaptertest.ListenKey(adaptertest.Receiver), ""),
		"TRUSTED="+s.connectionString(adaptertest.Policy, adaptertest.PolicyKey(), ""),
		fmt.Sprintf("TOKEN=Endpoint=sb://%s;SharedAccessSignature=%s;UseDevelopmentEmulator=true", s.address, token),
		"PUBLISHER="+publisher, "INBOX="+inboxOf, "HUB="+hub, "RECEIVER="+receiver, "DENIED="+adaptertest.DeniedType,
	)
	output = new(bytes.Buffer)
	c.Stderr = output
	return c, output
}

// The SDKs for JavaScript do what those for Go do.
func TestJavaScript(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	t.Parallel()
	folder := modules(t)
	for _, what := range []string{"events", "owners", "messages", "subscription", "sessions", "refusals"} {
		t.Run(what, func(t *testing.T) {
			s := newSite(t)
			c, output := s.node(folder, what)
			c.Stdout = output
			if err := c.Run(); err != nil {
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
	t.Run("revoked", func(t *testing.T) {
		s := newSite(t)
		c, output := s.node(folder, "revoked")
		in, err := c.StdinPipe()
		s.must(err)
		out, err := c.StdoutPipe()
		s.must(err)
		s.must(c.Start())
		if !bufio.NewScanner(out).Scan() {
			t.Errorf("it has not sent: %v\n%s", c.Wait(), output)
			return
		}
		s.world.Revoke(adaptertest.Sender)
		_, err = fmt.Fprintln(in, "again")
		s.must(err)
		if err := c.Wait(); err != nil {
			t.Errorf("%v\n%s", err, output)
		}
	})
}
