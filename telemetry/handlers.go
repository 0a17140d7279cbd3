package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A HandlerName names a handler. It is as the directory has it, in its case.
type HandlerName struct{ Account, Channel, Handler string }

// handlers are the metrics of handlers, by name.
type handlers struct {
	handled, retried, damaged *prometheus.CounterVec
	dead                      *prometheus.CounterVec
	lag, at                   *prometheus.GaugeVec
	known                     cache[HandlerName, *Handler]
}

func newHandlers(r prometheus.Registerer) *handlers {
	labels := []string{"account", "channel", "handler"}
	h := &handlers{
		handled: counterVec(r, "handler_messages_total", "Messages a handler is done with, its dead letters included.", labels...),
		retried: counterVec(r, "handler_retries_total", "Attempts that failed for the moment and are made again.", labels...),
		damaged: counterVec(r, "handler_damaged_total", "Damaged messages that were passed over.", labels...),
		dead:    counterVec(r, "handler_dead_letters_total", "Messages a handler gave up, by reason.", append(labels, "reason")...),
		lag:     gaugeVec(r, "handler_lag_seconds", "The age of the message handled last, when it was done with.", labels...),
		at:      gaugeVec(r, "handler_last_handled_timestamp_seconds", "When a message was last handled, in Unix time.", labels...),
	}
	h.known.make = h.handler
	return h
}

// A Handler is the metrics of one handler.
type Handler struct {
	handled, retried, damaged prometheus.Counter
	lag, at                   prometheus.Gauge
	dead                      cache[string, prometheus.Counter]
}

func (h *handlers) handler(n HandlerName) *Handler {
	one := &Handler{
		handled: h.handled.WithLabelValues(n.Account, n.Channel, n.Handler),
		retried: h.retried.WithLabelValues(n.Account, n.Channel, n.Handler),
		damaged: h.damaged.WithLabelValues(n.Account, n.Channel, n.Handler),
		lag:     h.lag.WithLabelValues(n.Account, n.Channel, n.Handler),
		at:      h.at.WithLabelValues(n.Account, n.Channel, n.Handler),
	}
	one.dead.make = func(reason string) prometheus.Counter {
		return h.dead.WithLabelValues(n.Account, n.Channel, n.Handler, reason)
	}
	return one
}

// HandlerOf returns the metrics of a handler.
func (m *Metrics) HandlerOf(n HandlerName) *Handler { return m.handlers.known.get(n) }

// KeepHandlers forgets the metrics of all handlers that wanted does not want.
func (m *Metrics) KeepHandlers(wanted func(HandlerName) bool) {
	m.handlers.known.keep(wanted, m.handlers.drop)
}

func (h *handlers) drop(n HandlerName) {
	labels := prometheus.Labels{"account": n.Account, "channel": n.Channel, "handler": n.Handler}
	for _, v := range []interface{ DeletePartialMatch(prometheus.Labels) int }{h.handled, h.retried, h.damaged, h.dead, h.lag, h.at} {
		v.DeletePartialMatch(labels)
	}
}

// Handled counts messages that are done with, the last of the given age.
func (h *Handler) Handled(messages int, lag time.Duration, now time.Time) {
	h.handled.Add(float64(messages))
	h.lag.Set(lag.Seconds())
	h.at.Set(float64(now.UnixMilli()) / 1000)
}

// Retried counts an attempt that failed.
func (h *Handler) Retried() { h.retried.Inc() }

// DeadLettered counts a message that was given up, for one of a few reasons.
func (h *Handler) DeadLettered(reason string) { h.dead.get(reason).Inc() }

// Damaged counts a message that cannot be read.
func (h *Handler) Damaged() { h.damaged.Inc() }
