package app_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/app"
	"github.com/gatehouse/gatehouse/app/demo"
	"github.com/gatehouse/gatehouse/config"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a step may take before it has failed.
const patience = 30 * time.Second

// A gateway is an App that runs on free ports, with the demo account.
type gateway struct {
	*app.App
	t      testing.TB
	client *http.Client
	base   string
	stop   func() error
}

// configure returns a configuration with the given data folder and free ports,
// changed by a YAML text.
func configure(t testing.TB, data, more string) *config.Config {
	t.Helper()
	text := fmt.Sprintf("data: %q\nadmin: {address: '127.0.0.1:0'}\ndrain: 5s\nshards: 2\n", data)
	if !strings.Contains(more, "listeners:") {
		text += "listeners: [{adapter: https, address: '127.0.0.1:0'}]\n"
	}
	cfg, err := config.Parse([]byte(text+more), "test.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

const inMemory = "engine: {kind: memory}\n"

// serve runs a gateway until the end of the test.
func serve(t testing.TB, cfg *config.Config) *gateway {
	t.Helper()
	a, err := app.New(t.Context(), cfg, app.Options{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- a.Run(ctx) }()
	g := &gateway{App: a, t: t}
	g.stop = sync.OnceValue(func() error {
		cancel()
		g.client.CloseIdleConnections()
		return <-served
	})
	g.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots(t, a.CA())}, ForceAttemptHTTP2: true}}
	t.Cleanup(func() {
		if err := g.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	select {
	case <-a.Ready():
	case err := <-served:
		served <- err
		t.Fatalf("Run ended: %v", err)
	}
	if _, err := a.Directory.Apply(t.Context(), demo.File(), false); err != nil {
		t.Fatal(err)
	}
	for _, l := range a.Listeners() {
		if l.Adapter == "https" {
			g.base = "https://" + l.Address
		}
	}
	return g
}

func roots(t testing.TB, file string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return pool
}

// An answer is what the gateway answered.
type answer struct {
	status int
	header http.Header
	body   string
}

// properties returns the id and the delivery count of a delivery.
func (a *answer) properties(t testing.TB) (id string, count int) {
	t.Helper()
	var p struct {
		MessageID     string `json:"MessageId"`
		DeliveryCount int
	}
	if err := json.Unmarshal([]byte(a.header.Get("BrokerProperties")), &p); err != nil {
		t.Fatalf("%d %q: %v", a.status, a.body, err)
	}
	return p.MessageID, p.DeliveryCount
}

// do makes a request as an endpoint of the demo account.
func (g *gateway) do(ctx context.Context, endpoint, key, method, url string, header http.Header, body string) (*answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.SetBasicAuth(demo.Account+"/"+endpoint, key)
	w, err := g.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	return &answer{w.StatusCode, w.Header, string(text)}, err
}

func (g *gateway) keys(endpoint string) (send, listen string) {
	g.t.Helper()
	k, err := g.Directory.Reveal(demo.Account, gatehouse.EndpointName(endpoint))
	if err != nil {
		g.t.Fatal(err)
	}
	return k.Send.Primary, k.Listen.Primary
}

// send sends a message from the demo's sender to its receiver.
func (g *gateway) send(ctx context.Context, key, id string) (*answer, error) {
	h := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {id}, "Ce-To": {"endpoints/" + demo.Receiver}}
	return g.do(ctx, demo.Sender, key, http.MethodPost, g.base+"/demo/publishers/"+demo.Sender+"/messages", h, "body of "+id)
}

func (g *gateway) mustSend(id string) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	key, _ := g.keys(demo.Sender)
	a, err := g.send(ctx, key, id)
	if err != nil || a.status != http.StatusCreated {
		g.t.Fatalf("send: %v, %+v", err, a)
	}
}

// take receives a message of the demo's receiver, and removes it.
func (g *gateway) take(ctx context.Context, seconds int) (*answer, error) {
	_, key := g.keys(demo.Receiver)
	url := fmt.Sprintf("%s/demo/inboxes/%s/messages/head?timeout=%d", g.base, demo.Receiver, seconds)
	return g.do(ctx, demo.Receiver, key, http.MethodDelete, url, nil, "")
}

func (g *gateway) mustTake() *answer {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	a, err := g.take(ctx, 30)
	if err != nil || a.status != http.StatusOK {
		g.t.Fatalf("take: %v, %+v", err, a)
	}
	return a
}

// admin gets a page of the admin listener.
func (g *gateway) admin(path string) *answer {
	g.t.Helper()
	w, err := http.Get("http://" + g.AdminAddress() + path)
	if err != nil {
		g.t.Fatal(err)
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return &answer{w.StatusCode, w.Header, string(text)}
}
