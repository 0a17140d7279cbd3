// Package telemetry counts what happens, for Prometheus to collect. It is the
// only package that knows the Prometheus library: the others have hooks of
// their own, which the application joins with the methods here.
//
// Nothing is global: a Metrics has its own registry. Its methods are safe for
// concurrent use, do not block, and those on the path of messages allocate
// nothing once the names they are called with are known.
//
// Labels have few values by construction: protocols, kinds of errors, outcomes,
// listeners, and the accounts, channels and names of handlers. No label is ever
// an endpoint, an address or a text from a client.
package telemetry

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// namespace is what the names of all metrics begin with.
const namespace = "gatehouse"

// A Metrics is all the metrics of one gateway.
type Metrics struct {
	Inboxes *Inboxes
	Storage *Storage
	Rules   *Rules

	registry  *prometheus.Registry
	protocols *protocols
	handlers  *handlers
	listeners *listeners
}

// New returns metrics that are all zero. version is that of the program.
func New(version string) *Metrics {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m := newFamilies(r)
	m.registry = r
	build := gaugeVec(r, "build_info", "Always 1; the label tells the version of the program.", "version")
	build.WithLabelValues(version).Set(1)
	return m
}

// newFamilies registers what is the gateway's own.
func newFamilies(r prometheus.Registerer) *Metrics {
	return &Metrics{
		Inboxes: newInboxes(r), Storage: newStorage(r), Rules: newRules(r),
		protocols: newProtocols(r), handlers: newHandlers(r), listeners: newListeners(r),
	}
}

// Handler serves the metrics, in the text formats that Prometheus reads.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry, EnableOpenMetrics: true})
}

// Gauge adds a metric that is read when it is collected; read must be quick.
// It panics if there is one of that name already.
func (m *Metrics) Gauge(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, read))
}

// Counter is Gauge for a value that only grows; its name ends in _total.
func (m *Metrics) Counter(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, read))
}

func counterVec(r prometheus.Registerer, name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	r.MustRegister(v)
	return v
}

func counter(r prometheus.Registerer, name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	r.MustRegister(c)
	return c
}

func gaugeVec(r prometheus.Registerer, name, help string, labels ...string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
	r.MustRegister(v)
	return v
}

func histogram(r prometheus.Registerer, name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
	r.MustRegister(h)
	return h
}
