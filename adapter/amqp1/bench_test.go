package amqp1

import (
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/amqp/message"
)

// The benchmarks go over loopback TCP and through the gate, onto the memory
// engine: what they allocate is what the adapter, the gate and what is behind it
// do, the engine's own copy of each message included. The client, which shares
// the process, allocates nothing for each message.

// BenchmarkPublish sends messages of 256 bytes, 256 in flight.
func BenchmarkPublish(b *testing.B) { benchmarkPublish(b, 0, payloadTo(""), 1) }

// BenchmarkPublishBatch sends them in batches of 100; figures are for a message.
func BenchmarkPublishBatch(b *testing.B) {
	const batch = 100
	var payload []byte
	for range batch {
		payload = message.AppendData(payload, payloadTo(""))
	}
	benchmarkPublish(b, formatBatch, payload, batch)
}

func benchmarkPublish(b *testing.B, format uint32, payload []byte, messages int) {
	s := newSite(b, Options{})
	c, err := s.raw()
	must(b, err)
	defer c.Close()
	must(b, c.attachSender())
	s.world.Dispatcher.Use(nil)              // nobody reads the channel
	must(b, c.publish(256, format, payload)) // buffers are warm
	b.ReportAllocs()
	b.ResetTimer()
	must(b, c.publish((b.N+messages-1)/messages, format, payload))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkThrough sends messages to an endpoint, which completes them.
func BenchmarkThrough(b *testing.B) {
	s := newSite(b, Options{})
	from, err := s.raw()
	must(b, err)
	defer from.Close()
	to, err := s.raw()
	must(b, err)
	defer to.Close()
	must(b, from.attachSender())
	must(b, to.attachReceiver())
	must(b, to.grant(uint32(b.N)))
	payload := payloadTo(gatehouse.EndpointPrefix + adaptertest.Receiver)
	sent := make(chan error, 1)
	b.ReportAllocs()
	b.ResetTimer()
	go func() { sent <- from.publish(b.N, 0, payload) }()
	must(b, to.complete(b.N))
	must(b, <-sent)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
