package telemetry

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

// used returns metrics each of which has been touched.
func used(t *testing.T) *Metrics {
	t.Helper()
	m := New("v1.2.3")
	p := m.Protocol("https")
	p.Opened()
	p.Opened()
	p.Closed()
	p.Refused(gatehouse.Forbidden)
	p.Accepted(3, 300)
	p.Delivered(2)
	p.Settled("complete", 2)
	m.Inboxes.Routed(4, 1)
	m.Inboxes.Put(4, 400)
	m.Inboxes.Refused()
	m.Inboxes.Taken(2)
	m.Inboxes.Settled("complete", 2)
	m.Inboxes.LockExpired(1)
	m.Inboxes.DeadLettered("TTLExpired", 1)
	m.Inboxes.Dropped("QuotaExceeded", 1)
	m.Inboxes.Corrupt()
	h := m.HandlerOf(HandlerName{"acme", "telemetry", "answers"})
	h.Handled(3, 1500*time.Millisecond, time.Unix(100, 0))
	h.Retried()
	h.DeadLettered("HandlerFailed")
	h.Damaged()
	m.Storage.Began()
	m.Storage.Ended(time.Millisecond, 8, 800, nil)
	m.Storage.Began()
	m.Storage.Ended(time.Millisecond, 8, 800, errors.New("no"))
	m.Rules.Failed()
	use(t, m)
	return m
}

// use accepts one connection and leaves it open.
func use(t *testing.T, m *Metrics) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	counted := m.Listen(ln, "https")
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := counted.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close() //nolint:errcheck // twice is once
		client.Close()
		ln.Close()
	})
}

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(w.Body)
	if err != nil || w.Code != 200 {
		t.Fatal(w.Code, err)
	}
	return string(body)
}

func TestValues(t *testing.T) {
	t.Parallel()
	text := scrape(t, used(t))
	for _, want := range []string{
		`gatehouse_build_info{version="v1.2.3"} 1`,
		`gatehouse_sessions{protocol="https"} 1`,
		`gatehouse_sessions_opened_total{protocol="https"} 2`,
		`gatehouse_refused_total{kind="Forbidden",protocol="https"} 1`,
		`gatehouse_accepted_messages_total{protocol="https"} 3`,
		`gatehouse_accepted_bytes_total{protocol="https"} 300`,
		`gatehouse_delivered_messages_total{protocol="https"} 2`,
		`gatehouse_settled_messages_total{outcome="complete",protocol="https"} 2`,
		`gatehouse_routed_messages_total 4`,
		`gatehouse_routed_refused_total 1`,
		`gatehouse_inbox_put_bytes_total 400`,
		`gatehouse_inbox_dead_lettered_messages_total{reason="TTLExpired"} 1`,
		`gatehouse_handler_messages_total{account="acme",channel="telemetry",handler="answers"} 3`,
		`gatehouse_handler_lag_seconds{account="acme",channel="telemetry",handler="answers"} 1.5`,
		`gatehouse_handler_last_handled_timestamp_seconds{account="acme",channel="telemetry",handler="answers"} 100`,
		`gatehouse_handler_dead_letters_total{account="acme",channel="telemetry",handler="answers",reason="HandlerFailed"} 1`,
		`gatehouse_commit_duration_seconds_count 1`,
		`gatehouse_stored_records_total 8`,
		`gatehouse_commit_failures_total 1`,
		`gatehouse_commits_in_flight 0`,
		`go_goroutines `,
		`process_open_fds `,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestConnections(t *testing.T) {
	t.Parallel()
	m := New("")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	counted := m.Listen(ln, "mqtt")
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := counted.Accept()
	if err != nil {
		t.Fatal(err)
	}
	labels := fmt.Sprintf(`{adapter="mqtt",address=%q} `, ln.Addr())
	if text := scrape(t, m); !strings.Contains(text, "gatehouse_connections"+labels+"1") {
		t.Error(text)
	}
	for range 2 {
		_ = c.Close() // the second fails, and does not count
	}
	text := scrape(t, m)
	for _, want := range []string{"gatehouse_connections" + labels + "0", "gatehouse_connections_accepted_total" + labels + "1"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestHandlersAreForgotten(t *testing.T) {
	t.Parallel()
	m := New("")
	stays, goes := HandlerName{"a", "c", "stays"}, HandlerName{"a", "c", "goes"}
	for _, n := range []HandlerName{stays, goes} {
		m.HandlerOf(n).Handled(1, 0, time.Now())
		m.HandlerOf(n).DeadLettered("x")
	}
	m.KeepHandlers(func(n HandlerName) bool { return n == stays })
	text := scrape(t, m)
	if strings.Contains(text, "goes") || !strings.Contains(text, "stays") {
		t.Error(text)
	}
	m.HandlerOf(goes).Handled(1, 0, time.Now())
	if !strings.Contains(scrape(t, m), `handler_messages_total{account="a",channel="c",handler="goes"} 1`) {
		t.Error("a handler that comes back is not counted from zero")
	}
}

func TestFuncs(t *testing.T) {
	t.Parallel()
	m := New("")
	m.Gauge("disk_bytes", "x", func() float64 { return 5 })
	m.Counter("things_total", "x", func() float64 { return 6 })
	if text := scrape(t, m); !strings.Contains(text, "\ngatehouse_disk_bytes 5") || !strings.Contains(text, "\ngatehouse_things_total 6") {
		t.Error(text)
	}
}

// TestHotPath proves that what is called for every message allocates nothing.
func TestHotPath(t *testing.T) {
	m := New("")
	n := testing.AllocsPerRun(100, func() {
		p := m.Protocol("https")
		p.Accepted(1, 100)
		p.Refused(gatehouse.Forbidden)
		p.Delivered(1)
		p.Settled("complete", 1)
		m.HandlerOf(HandlerName{"a", "b", "c"}).Handled(1, time.Second, time.Time{})
		m.Inboxes.Put(1, 100)
		m.Inboxes.Settled("complete", 1)
		m.Storage.Began()
		m.Storage.Ended(time.Second, 1, 1, nil)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestNames holds our metrics to the conventions.
func TestNames(t *testing.T) {
	t.Parallel()
	families, err := used(t).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), namespace) {
			continue
		}
		problems, err := promlint.NewWithMetricFamilies([]*dto.MetricFamily{f}).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// described returns the names of all metrics of ours that are registered.
func described() []string {
	r := recorder{registry: prometheus.NewRegistry()}
	newFamilies(&r)
	name := regexp.MustCompile(`fqName: "([^"]+)"`)
	names := []string{"gatehouse_build_info"}
	for _, c := range r.collectors {
		ch := make(chan *prometheus.Desc, 16)
		c.Describe(ch)
		close(ch)
		for d := range ch {
			names = append(names, name.FindStringSubmatch(d.String())[1])
		}
	}
	slices.Sort(names)
	return names
}

// A recorder remembers what is registered.
type recorder struct {
	registry   *prometheus.Registry
	collectors []prometheus.Collector
}

func (r *recorder) Register(c prometheus.Collector) error { return r.registry.Register(c) }

func (r *recorder) MustRegister(c ...prometheus.Collector) { r.collectors = append(r.collectors, c...) }

func (r *recorder) Unregister(c prometheus.Collector) bool { return r.registry.Unregister(c) }

const reference = "../docs/metrics.md"

// TestReference holds docs/metrics.md to what is registered; run it with
// -update to write the page.
func TestReference(t *testing.T) {
	families, err := used(t).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var page strings.Builder
	page.WriteString(pageHead)
	var names []string
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), namespace) {
			continue
		}
		names = append(names, f.GetName())
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp())
	}
	page.WriteString(pageTail)
	if diff := cmp.Diff(described(), names); diff != "" {
		t.Errorf("a metric is registered and not used here: %s", diff)
	}
	if *update {
		if err := os.WriteFile(reference, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), page.String()); diff != "" {
		t.Errorf("docs/metrics.md is stale; run go test ./telemetry -update\n%s", diff)
	}
}

const pageHead = `# Metrics

The admin listener serves them at ` + "`/metrics`" + ` for Prometheus, without a login. This page is made from the code.

` + "```yaml" + `
scrape_configs:
  - job_name: gatehouse
    static_configs: [{targets: ["127.0.0.1:7070"]}]
` + "```" + `

| metric | type | labels | what it tells |
|---|---|---|---|
`

const pageTail = `
Beside these are the usual ` + "`go_`, `process_` and `promhttp_`" + ` metrics. ` + "`protocol` and `adapter`" + ` are the names of adapters, ` + "`kind`" + `
is one of the kinds of errors, ` + "`outcome`" + ` complete, abandon, release, defer or deadletter.

## What to watch

- ` + "`gatehouse_commit_duration_seconds`" + `: an acknowledgement waits for one commit. Its high percentiles are the disk's.
- ` + "`gatehouse_commit_failures_total`" + `: above 0, storage refuses: full disk, I/O errors, quorum lost. ` + "`/readyz`" + ` tells, too.
- ` + "`time() - gatehouse_handler_last_handled_timestamp_seconds`" + ` together with ` + "`rate(gatehouse_handler_retries_total[5m]) > 0`" + `: a handler is stuck.
- ` + "`gatehouse_handler_dead_letters_total`, `gatehouse_inbox_dead_lettered_messages_total`" + `: somebody should look.
- ` + "`gatehouse_inbox_corrupt_records_total`, `gatehouse_handler_damaged_total`" + `: above 0, restore from a backup and replace the disk.
- ` + "`rate(gatehouse_refused_total[5m])`" + ` by kind: Unauthenticated is someone guessing or a device with an old key, RateLimited a device gone wild.
`
