package azuretest

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/adapter/amqp1"
	"github.com/gatehouse/gatehouse/internal/judge"
	"github.com/gatehouse/gatehouse/sas"
)

// Clients for AMQP 1.0 that know nothing of Azure do with the gateway what they
// do with any other: they prove themselves by user name and key, or put a token
// by hand.

// rheaPackage is the client that most of JavaScript's have inside.
const rheaPackage = "rhea@3.0.5"

// generic returns a command with what clients have to know of the site.
func (s *site) generic(name string, args ...string) (c *exec.Cmd, output *bytes.Buffer) {
	s.t.Helper()
	host, port, err := net.SplitHostPort(s.address)
	s.must(err)
	token := func(address, policy, key string) string {
		return sas.Sign("amqp://"+s.address+"/"+address, policy, key, time.Now().Add(time.Hour))
	}
	send, listen := adaptertest.SendKey(adaptertest.Sender), adaptertest.ListenKey(adaptertest.Receiver)
	c = exec.CommandContext(s.ctx, name, args...)
	c.Env = append(
		os.Environ(), "HOST="+host, "PORT="+port, "PUBLISHER="+publisher, "INBOX="+inboxOf, "TO="+receiver, "DENIED="+adaptertest.DeniedType,
		"SENDER="+adaptertest.Account+"/"+adaptertest.Sender, "SEND_KEY="+send, "SEND_TOKEN="+token(publisher, "send", send),
		"RECEIVER="+adaptertest.Account+"/"+adaptertest.Receiver, "LISTEN_KEY="+listen, "LISTEN_TOKEN="+token(inboxOf, "listen", listen),
	)
	output = new(bytes.Buffer)
	c.Stderr = output
	return c, output
}

// judgeGeneric lets a client do what its script has, each in a world of its own.
// The client is run by the command that command returns.
func judgeGeneric(t *testing.T, all []string, command func(s *site, what string) (*exec.Cmd, *bytes.Buffer)) {
	t.Helper()
	for _, what := range all {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := newSiteWith(t, amqp1.Options{})
			s.unrestricted()
			c, output := command(s, what)
			if what == "reconnect" {
				s.cutting(c, output)
				return
			}
			c.Stdout = output
			if err := c.Run(); err != nil {
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
}

// cutting runs a command, and cuts its connections when it says so.
func (s *site) cutting(c *exec.Cmd, output *bytes.Buffer) {
	s.t.Helper()
	out, err := c.StdoutPipe()
	s.must(err)
	s.must(c.Start())
	if !bufio.NewScanner(out).Scan() {
		s.t.Errorf("it has not received: %v\n%s", c.Wait(), output)
		return
	}
	s.wires.cut()
	if err := c.Wait(); err != nil {
		s.t.Errorf("%v\n%s", err, output)
	}
}

// rhea, for JavaScript.
func TestRhea(t *testing.T) {
	t.Parallel()
	folder := judge.Node(t, rheaPackage)
	judgeGeneric(t, []string{"flow", "message", "outcomes", "drain", "large", "refusals", "settled", "claims", "reconnect"}, func(s *site, what string) (*exec.Cmd, *bytes.Buffer) {
		c, output := s.generic("node", "testdata/rhea.cjs", what)
		c.Env = append(c.Env, "MODULES="+folder)
		return c, output
	})
}

// Qpid Proton, for Python: what many clients in C, C++, Ruby and Python have
// inside.
func TestProton(t *testing.T) {
	t.Parallel()
	python := judge.Python(t, "proton", "python3-qpid-proton", "libsasl2-modules")
	judgeGeneric(t, []string{"flow", "message", "outcomes", "drain", "large", "refusals", "settled", "claims", "reconnect"}, func(s *site, what string) (*exec.Cmd, *bytes.Buffer) {
		return s.generic(python, "testdata/proton_judge.py", what)
	})
}
