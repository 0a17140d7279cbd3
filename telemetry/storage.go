package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Storage is the metrics of commits.
type Storage struct {
	duration, size         prometheus.Histogram
	records, bytes, failed prometheus.Counter
	inFlight               prometheus.Gauge
}

func newStorage(r prometheus.Registerer) *Storage {
	flight := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "commits_in_flight", Help: "Commits on their way to the disk now."})
	r.MustRegister(flight)
	return &Storage{
		duration: histogram(r, "commit_duration_seconds", "How long commits took to become durable: the wait for fsync, or for a quorum.",
			prometheus.ExponentialBuckets(50e-6, 2, 16)),
		size: histogram(r, "commit_records", "How many records one commit stored together.",
			prometheus.ExponentialBuckets(1, 4, 8)),
		records:  counter(r, "stored_records_total", "Records stored, in logs and queues."),
		bytes:    counter(r, "stored_bytes_total", "Bytes of records stored."),
		failed:   counter(r, "commit_failures_total", "Commits that failed. Their messages were not acknowledged."),
		inFlight: flight,
	}
}

// Began counts a commit that is on its way.
func (s *Storage) Began() { s.inFlight.Inc() }

// Ended counts a commit that is durable, or has failed.
func (s *Storage) Ended(took time.Duration, records, bytes int, err error) {
	s.inFlight.Dec()
	if err != nil {
		s.failed.Inc()
		return
	}
	s.duration.Observe(took.Seconds())
	s.size.Observe(float64(records))
	s.records.Add(float64(records))
	s.bytes.Add(float64(bytes))
}

// Rules is the metrics of rules.
type Rules struct{ failed prometheus.Counter }

func newRules(r prometheus.Registerer) *Rules {
	return &Rules{failed: counter(r, "rule_errors_total", "Conditions of rules that failed while they were evaluated, and so did not match; a deny rule then denies.")}
}

// Failed counts a condition that could not be evaluated.
func (r *Rules) Failed() { r.failed.Inc() }
