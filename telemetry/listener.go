package telemetry

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
)

// listeners are the metrics of listeners, by adapter and address.
type listeners struct {
	accepted *prometheus.CounterVec
	open     *prometheus.GaugeVec
}

func newListeners(r prometheus.Registerer) *listeners {
	return &listeners{
		accepted: counterVec(r, "connections_accepted_total", "Connections accepted.", "adapter", "address"),
		open:     gaugeVec(r, "connections", "Connections open now.", "adapter", "address"),
	}
}

// Listen returns ln with its connections counted.
func (m *Metrics) Listen(ln net.Listener, adapter string) net.Listener {
	address := ln.Addr().String()
	return &listener{
		Listener: ln,
		accepted: m.listeners.accepted.WithLabelValues(adapter, address),
		open:     m.listeners.open.WithLabelValues(adapter, address),
	}
}

type listener struct {
	net.Listener
	accepted prometheus.Counter
	open     prometheus.Gauge
}

// Accept counts a connection.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.accepted.Inc()
	l.open.Inc()
	return &conn{Conn: c, open: l.open}, nil
}

type conn struct {
	net.Conn
	open   prometheus.Gauge
	closed atomic.Bool
}

// Close closes the connection; the first call counts.
func (c *conn) Close() error {
	if !c.closed.Swap(true) {
		c.open.Dec()
	}
	return c.Conn.Close()
}

// SyscallConn returns that of the connection itself.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	inner, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return inner.SyscallConn()
}
