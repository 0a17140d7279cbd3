package azuretest

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/internal/judge"
	"github.com/gatehouse/gatehouse/sas"
)

// The SDKs for JavaScript, as they are published.
const (
	busPackage  = "@azure/service-bus@7.9.5"
	hubsPackage = "@azure/event-hubs@6.0.4"
)

// node returns a command that lets the SDKs do something with the site. With
// TOKEN, they do so without SASL (trap 1).
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
	folder := judge.Node(t, busPackage, hubsPackage)
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
	for _, what := range []string{"revoked", "idle"} {
		t.Run(what, func(t *testing.T) {
			s := newSite(t)
			c, output := s.node(folder, what)
			out, err := c.StdoutPipe()
			s.must(err)
			s.must(c.Start())
			if !bufio.NewScanner(out).Scan() {
				t.Errorf("it has not sent: %v\n%s", c.Wait(), output)
				return
			}
			s.world.Revoke(adaptertest.Sender)
			if err := c.Wait(); err != nil {
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
}
