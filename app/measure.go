package app

import (
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/dispatch"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/telemetry"
)

// measured is an engine whose commits are counted and timed.
type measured struct {
	engine.Engine
	storage *telemetry.Storage
}

// Commit times b from here until it is durable.
func (m measured) Commit(s engine.Shard, b *engine.Batch, done func(error)) {
	began, records, bytes := time.Now(), len(b.Records), 0
	for i := range b.Records {
		bytes += len(b.Records[i].Data)
	}
	m.storage.Began()
	m.Engine.Commit(s, b, func(err error) {
		m.storage.Ended(time.Since(began), records, bytes, err)
		done(err)
	})
}

func gateEvents(m *telemetry.Metrics) gate.Events {
	return gate.Events{
		Opened:    func(protocol string) { m.Protocol(protocol).Opened() },
		Closed:    func(protocol string) { m.Protocol(protocol).Closed() },
		Refused:   func(protocol string, kind gatehouse.Kind) { m.Protocol(protocol).Refused(kind) },
		Accepted:  func(protocol string, messages, bytes int) { m.Protocol(protocol).Accepted(messages, bytes) },
		Delivered: func(protocol string, messages int) { m.Protocol(protocol).Delivered(messages) },
		Settled: func(protocol string, o inbox.Outcome, messages int) {
			m.Protocol(protocol).Settled(o.String(), messages)
		},
		Routed: m.Inboxes.Routed,
	}
}

func inboxEvents(m *telemetry.Metrics) inbox.Events {
	return inbox.Events{
		Put:          m.Inboxes.Put,
		Refused:      func(inbox.Key) { m.Inboxes.Refused() },
		Taken:        m.Inboxes.Taken,
		Settled:      func(o inbox.Outcome, messages int) { m.Inboxes.Settled(o.String(), messages) },
		LockExpired:  m.Inboxes.LockExpired,
		DeadLettered: func(_ inbox.Key, reason string, n int) { m.Inboxes.DeadLettered(fewReasons(reason), n) },
		Dropped:      func(_ inbox.Key, reason string, n int) { m.Inboxes.Dropped(fewReasons(reason), n) },
		Corrupt:      func(*engine.CorruptError) { m.Inboxes.Corrupt() },
	}
}

// fewReasons keeps what receivers write as a reason from becoming a label.
func fewReasons(reason string) string {
	switch reason {
	case inbox.ReasonMaxDeliveries, inbox.ReasonExpired, inbox.ReasonQuota, inbox.ReasonReceiver, inbox.ReasonCorrupt:
		return reason
	}
	return "Receiver"
}

func handlerEvents(m *telemetry.Metrics) dispatch.Events {
	of := func(s *dispatch.Spec) *telemetry.Handler { return m.HandlerOf(handlerName(s)) }
	return dispatch.Events{
		Handled:      func(s *dispatch.Spec, n int, lag time.Duration) { of(s).Handled(n, lag, time.Now()) },
		Retried:      func(s *dispatch.Spec, _ error) { of(s).Retried() },
		DeadLettered: func(s *dispatch.Spec, _ *gatehouse.Message, d *gatehouse.DeadLetter) { of(s).DeadLettered(d.Reason) },
		Damaged:      func(s *dispatch.Spec, _ error) { of(s).Damaged() },
	}
}

func handlerName(s *dispatch.Spec) telemetry.HandlerName {
	return telemetry.HandlerName{Account: string(s.Channel.Account), Channel: string(s.Channel.Channel), Handler: s.Name}
}
