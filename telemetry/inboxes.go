package telemetry

import "github.com/prometheus/client_golang/prometheus"

// Inboxes are the metrics of all inboxes together.
type Inboxes struct {
	routed, dead      prometheus.Counter
	put, bytes        prometheus.Counter
	refused, taken    prometheus.Counter
	lockExpired       prometheus.Counter
	corrupt           prometheus.Counter
	deadLettered      cache[string, prometheus.Counter]
	dropped, finished cache[string, prometheus.Counter]
}

func newInboxes(r prometheus.Registerer) *Inboxes {
	i := &Inboxes{
		routed:      counter(r, "routed_messages_total", "Deliveries that handlers asked for and that were stored."),
		dead:        counter(r, "routed_refused_total", "Deliveries that handlers asked for and that became dead letters of the handler instead."),
		put:         counter(r, "inbox_put_messages_total", "Messages put into inboxes."),
		bytes:       counter(r, "inbox_put_bytes_total", "Bytes of messages put into inboxes, as stored."),
		refused:     counter(r, "inbox_refused_total", "Messages refused by an inbox that is full."),
		taken:       counter(r, "inbox_taken_messages_total", "Messages taken from inboxes, repeated deliveries included."),
		lockExpired: counter(r, "inbox_lock_expired_total", "Deliveries whose lock ran out before they were settled."),
		corrupt:     counter(r, "inbox_corrupt_records_total", "Damaged records that were met and passed over. More than 0 means that the disk lies."),
	}
	settled := counterVec(r, "inbox_settled_messages_total", "Messages settled, by outcome.", "outcome")
	i.finished.make = func(outcome string) prometheus.Counter { return settled.WithLabelValues(outcome) }
	buried := counterVec(r, "inbox_dead_lettered_messages_total", "Messages moved to the dead letters of their inbox, by reason; Receiver stands for all reasons that receivers give.", "reason")
	i.deadLettered.make = func(reason string) prometheus.Counter { return buried.WithLabelValues(reason) }
	dropped := counterVec(r, "inbox_dropped_messages_total", "Messages dropped for good without having been received, by reason.", "reason")
	i.dropped.make = func(reason string) prometheus.Counter { return dropped.WithLabelValues(reason) }
	return i
}

// Routed counts what handlers asked to be delivered.
func (i *Inboxes) Routed(stored, refused int) {
	i.routed.Add(float64(stored))
	i.dead.Add(float64(refused))
}

// Put counts messages that were stored, and their bytes.
func (i *Inboxes) Put(messages, bytes int) {
	i.put.Add(float64(messages))
	i.bytes.Add(float64(bytes))
}

// Refused counts a message for a full inbox.
func (i *Inboxes) Refused() { i.refused.Inc() }

// Taken counts messages given to a receiver.
func (i *Inboxes) Taken(messages int) { i.taken.Add(float64(messages)) }

// Settled counts messages by the name of their outcome.
func (i *Inboxes) Settled(outcome string, messages int) {
	i.finished.get(outcome).Add(float64(messages))
}

// LockExpired counts locks that ran out.
func (i *Inboxes) LockExpired(messages int) { i.lockExpired.Add(float64(messages)) }

// DeadLettered counts messages by reason, which must be one of a few.
func (i *Inboxes) DeadLettered(reason string, messages int) {
	i.deadLettered.get(reason).Add(float64(messages))
}

// Dropped counts messages by reason, which must be one of a few.
func (i *Inboxes) Dropped(reason string, messages int) {
	i.dropped.get(reason).Add(float64(messages))
}

// Corrupt counts a damaged record.
func (i *Inboxes) Corrupt() { i.corrupt.Inc() }
