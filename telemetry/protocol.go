package telemetry

import (
	"github.com/gatehouse/gatehouse"

	"github.com/prometheus/client_golang/prometheus"
)

// protocols are the metrics of what passes the gate, by protocol.
type protocols struct {
	sessions  *prometheus.GaugeVec
	opened    *prometheus.CounterVec
	refused   *prometheus.CounterVec
	accepted  *prometheus.CounterVec
	bytes     *prometheus.CounterVec
	delivered *prometheus.CounterVec
	settled   *prometheus.CounterVec
	known     cache[string, *Protocol]
}

func newProtocols(r prometheus.Registerer) *protocols {
	p := &protocols{
		sessions:  gaugeVec(r, "sessions", "Sessions open now. A session is one proven identity on one connection.", "protocol"),
		opened:    counterVec(r, "sessions_opened_total", "Sessions opened.", "protocol"),
		refused:   counterVec(r, "refused_total", "Sessions and messages refused, by the kind of error.", "protocol", "kind"),
		accepted:  counterVec(r, "accepted_messages_total", "Messages taken in and durable.", "protocol"),
		bytes:     counterVec(r, "accepted_bytes_total", "Bytes of the bodies of messages taken in.", "protocol"),
		delivered: counterVec(r, "delivered_messages_total", "Messages that clients took from inboxes, repeated deliveries included.", "protocol"),
		settled:   counterVec(r, "settled_messages_total", "Deliveries that clients settled, by what they decided.", "protocol", "outcome"),
	}
	p.known.make = p.protocol
	return p
}

// A Protocol is the metrics of one protocol.
type Protocol struct {
	sessions         prometheus.Gauge
	opened           prometheus.Counter
	accepted, bytes  prometheus.Counter
	delivered        prometheus.Counter
	refused, settled cache[string, prometheus.Counter]
}

func (p *protocols) protocol(name string) *Protocol {
	one := &Protocol{
		sessions: p.sessions.WithLabelValues(name), opened: p.opened.WithLabelValues(name),
		accepted: p.accepted.WithLabelValues(name), bytes: p.bytes.WithLabelValues(name),
		delivered: p.delivered.WithLabelValues(name),
	}
	one.refused.make = func(kind string) prometheus.Counter { return p.refused.WithLabelValues(name, kind) }
	one.settled.make = func(outcome string) prometheus.Counter { return p.settled.WithLabelValues(name, outcome) }
	return one
}

// Protocol returns the metrics of a protocol, by the name of its adapter.
func (m *Metrics) Protocol(name string) *Protocol { return m.protocols.known.get(name) }

// Opened counts a session.
func (p *Protocol) Opened() {
	p.opened.Inc()
	p.sessions.Inc()
}

// Closed tells that a session has ended.
func (p *Protocol) Closed() { p.sessions.Dec() }

// Refused counts a session or message that was refused.
func (p *Protocol) Refused(kind gatehouse.Kind) { p.refused.get(kind.String()).Inc() }

// Accepted counts messages that were taken in.
func (p *Protocol) Accepted(messages, bytes int) {
	p.accepted.Add(float64(messages))
	p.bytes.Add(float64(bytes))
}

// Delivered counts messages that a client took.
func (p *Protocol) Delivered(messages int) { p.delivered.Add(float64(messages)) }

// Settled counts deliveries that a client settled, by the name of the outcome.
func (p *Protocol) Settled(outcome string, messages int) {
	p.settled.get(outcome).Add(float64(messages))
}
