package mqttadapter

import (
	"bufio"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/internal/judge"
)

// Mosquitto's clients as users call them, over TCP and TLS, in both versions.
func TestMosquitto(t *testing.T) {
	t.Parallel()
	publish, subscribe := judge.Program(t, "mosquitto_pub", "mosquitto-clients"), judge.Program(t, "mosquitto_sub", "mosquitto-clients")
	server, _ := adaptertest.TLS(t)
	authority := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificates[0].Certificate[0]}
	if err := os.WriteFile(authority, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, version string
		secure        bool
	}{{"3.1.1", "311", false}, {"5", "5", false}, {"3.1.1 over TLS", "311", true}, {"5 over TLS", "5", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := Options{}
			if c.secure {
				o.TLS = server
			}
			s := newSite(t, o)
			_, port, err := net.SplitHostPort(s.address)
			s.must(err)
			arguments := func(e gatehouse.EndpointName, more ...string) []string {
				l := s.login(e)
				a := []string{"-h", "localhost", "-p", port, "-V", c.version, "-u", adaptertest.Account + "/" + string(e), "-P", l.SendKey + "," + l.ListenKey, "-q", "1"}
				if c.secure {
					a = append(a, "--cafile", authority)
				}
				return append(a, more...)
			}
			// Sent before anyone listens, and by one who does not.
			send := func(body string, more ...string) {
				t.Helper()
				a := arguments(adaptertest.Sender, append(more, "-t", "endpoints/"+adaptertest.Receiver+"/level", "-m", body)...)
				if out, err := exec.CommandContext(s.ctx, publish, a...).CombinedOutput(); err != nil {
					t.Fatalf("mosquitto_pub: %v\n%s", err, out)
				}
			}
			send("first")
			listener := exec.CommandContext(s.ctx, subscribe, arguments(adaptertest.Receiver, "-t", "inbox/#", "-v", "-C", "3")...)
			out, err := listener.StdoutPipe()
			s.must(err)
			s.must(listener.Start())
			lines := bufio.NewScanner(out)
			expect := func(want string) {
				t.Helper()
				if !lines.Scan() || lines.Text() != want {
					t.Fatalf("mosquitto_sub printed %q instead of %q", lines.Text(), want)
				}
			}
			expect("inbox/level first")
			send("second", "-q", "2")
			expect("inbox/level second")
			if c.version == "5" {
				send("third", "-D", "publish", "user-property", "site", "oslo", "-D", "publish", "content-type", "text/plain")
			} else {
				send("third", "-r")
			}
			expect("inbox/level third")
			if err := listener.Wait(); err != nil {
				t.Errorf("mosquitto_sub: %v", err)
			}
			s.nothing()
			a := arguments(adaptertest.Sender, "-P", "wrong", "-t", "x", "-m", "y")
			refused, err := exec.CommandContext(s.ctx, publish, a...).CombinedOutput()
			if err == nil || !strings.Contains(strings.ToLower(string(refused)), "bad user") && !strings.Contains(strings.ToLower(string(refused)), "not auth") {
				t.Errorf("with a wrong key: %v %s", err, refused)
			}
		})
	}
}
