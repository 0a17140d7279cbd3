package azuretest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/internal/judge"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// root is the folder of the module.
const root = "../../.."

// snippets returns the code in docs/amqp.md that is in a language.
func snippets(t *testing.T, language string) []string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs", "amqp.md"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, part := range strings.Split(string(page), "\n```"+language+"\n")[1:] {
		code, _, ok := strings.Cut(part, "\n```\n")
		if !ok {
			t.Fatalf("a snippet has no end: %s", part)
		}
		all = append(all, code+"\n")
	}
	if len(all) == 0 {
		t.Fatalf("there are no snippets in %s", language)
	}
	return all
}

// here makes a snippet one about the site, as which it is to be used: its host,
// port and keys take the place of those in the page.
func (s *site) here(code string) string {
	s.t.Helper()
	host, port, err := net.SplitHostPort(s.address)
	s.must(err)
	code = strings.NewReplacer(
		"SEND_KEY", adaptertest.SendKey(adaptertest.Sender), "LISTEN_KEY", adaptertest.ListenKey(adaptertest.Sender), "BACKEND_KEY", adaptertest.PolicyKey(),
		"sb://localhost", "sb://"+s.address, `amqp://localhost:5672"`, "amqp://"+s.address+`"`, `amqp://localhost"`, "amqp://"+s.address+`"`, `amqps://localhost"`, "amqps://"+s.address+`"`,
		`host: "localhost", port: 5672`, fmt.Sprintf("host: %q, port: %s", host, port),
	).Replace(code)
	if strings.Contains(code, "localhost") || strings.Contains(code, "KEY") {
		s.t.Fatalf("not all of it is about the site:\n%s", code)
	}
	return code
}

// newPageSite is a site with what the snippets expect to be there: an event in
// each partition, and a message in the inbox of the endpoint.
func newPageSite(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	producer, c := s.trusted(), s.consumer(adaptertest.PolicyKey())
	for i, empty := 0, true; empty; i++ {
		s.must(s.produce(producer, &azeventhubs.EventDataBatchOptions{PartitionKey: new(fmt.Sprint("k", i))}, "event"))
		empty = false
		for id := range partitions {
			p, err := c.GetPartitionProperties(s.ctx, fmt.Sprint(id), nil)
			s.must(err)
			empty = empty || p.IsEmpty
		}
	}
	m := message("waiting", "")
	m.To = new(gatehouse.EndpointPrefix + adaptertest.Sender)
	s.must(s.sender().SendMessage(s.ctx, m, nil))
	return s
}

// finishes runs a command to its end.
func (s *site) finishes(c *exec.Cmd, code string) {
	s.t.Helper()
	if text, err := c.CombinedOutput(); err != nil {
		s.t.Errorf("%v\n%s\n%s", err, text, code)
	}
}

// declared finds the variables that a snippet declares and may not use.
var declared = regexp.MustCompile(`(?m)^([a-z]+), err :=`) //nolint:gochecknoglobals // a constant

// goProgram makes a program of a snippet for Go.
func goProgram(code string) string {
	var b strings.Builder
	if strings.Contains(code, "roots") {
		code = "roots := x509.NewCertPool()\n" + code
	}
	b.WriteString("package main\n\nimport (\n\t\"context\"\n\t\"log\"\n")
	for name, path := range map[string]string{
		"fmt": "fmt", "time": "time", "tls": "crypto/tls", "x509": "crypto/x509", "amqp": "github.com/Azure/go-amqp", "to": "github.com/Azure/azure-sdk-for-go/sdk/azcore/to",
		"azeventhubs": "github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2", "azservicebus": "github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus",
	} {
		if regexp.MustCompile(`\b` + name + `\.[A-Z]`).MatchString(code) {
			fmt.Fprintf(&b, "\t%q\n", path)
		}
	}
	b.WriteString(")\n\nfunc main() {\n\tif err := snippet(context.Background()); err != nil {\n\t\tlog.Fatal(err)\n\t}\n}\n\nfunc snippet(ctx context.Context) error {\n")
	b.WriteString(code)
	for _, m := range declared.FindAllStringSubmatch(code, -1) {
		fmt.Fprintf(&b, "_ = %s\n", m[1])
	}
	b.WriteString("return err\n}\n")
	return b.String()
}

// buildGo compiles a program as if it stood in the module.
func buildGo(ctx context.Context, t *testing.T, code string) (program string) {
	t.Helper()
	module, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	source, overlay := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json")
	shown, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(module, "docs", "snippet", "main.go"): source}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{source: []byte(code), overlay: shown} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program = filepath.Join(dir, "snippet")
	c := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", program, "./docs/snippet")
	c.Dir = module
	if text, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, text, code)
	}
	return program
}

// What docs/amqp.md shows works as it stands, but for where and who.
func TestPage(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	t.Parallel()
	for i, code := range snippets(t, "go") {
		t.Run(fmt.Sprint("go", i), func(t *testing.T) {
			s := newPageSite(t)
			code = goProgram(s.here(code))
			program := buildGo(s.ctx, t, code)
			if !strings.Contains(code, "LoadX509KeyPair") { // which has files of its own
				s.finishes(exec.CommandContext(s.ctx, program), code)
			}
		})
	}
	for i, code := range snippets(t, "js") {
		t.Run(fmt.Sprint("js", i), func(t *testing.T) {
			packages := []string{busPackage, hubsPackage}
			if strings.Contains(code, `"rhea"`) {
				packages = []string{rheaPackage}
			}
			folder := judge.Node(t, packages...)
			s := newPageSite(t)
			code = "(async () => {\n" + s.here(code) + "})().then(() => process.exit(0), (err) => { console.error(err); process.exit(1); });"
			c := exec.CommandContext(s.ctx, "node", "-e", code)
			c.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(folder, "node_modules"))
			s.finishes(c, code)
		})
	}
	for i, code := range snippets(t, "python") {
		t.Run(fmt.Sprint("python", i), func(t *testing.T) {
			python := judge.Python(t, "proton", "python3-qpid-proton", "libsasl2-modules")
			s := newPageSite(t)
			code = s.here(code)
			s.finishes(exec.CommandContext(s.ctx, python, "-c", code), code)
		})
	}
}
