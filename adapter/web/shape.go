package web

import (
	"encoding/json"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/cloudevents"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/inbox"
)

// appendDelivery appends a delivery as clients get it by every door: a
// CloudEvent in JSON with what a client needs to settle it.
func appendDelivery(dst []byte, d *inbox.Delivery) []byte {
	return cloudevents.AppendDelivery(dst, d.Message, &cloudevents.Delivery{
		LockToken: d.Lock.String(), LockedUntil: d.LockedUntil, DeliveryCount: d.Count, Sequence: uint64(d.Sequence), Enqueued: d.Enqueued,
	}, cloudevents.Camel)
}

// A receipt tells a client what became of a message that was accepted. It is
// that of HTTP.
type receipt struct {
	ID        string                  `json:"id"`
	Channels  []gatehouse.ChannelName `json:"channels"`
	Partition uint16                  `json:"partition"`
	Offset    uint64                  `json:"offset"`
	Enqueued  time.Time               `json:"enqueued"`
	Duplicate bool                    `json:"duplicate,omitempty"`
	Scheduled bool                    `json:"scheduled,omitempty"`
}

// encodeReceipt returns a receipt in JSON.
func encodeReceipt(r gate.Receipt) []byte {
	shown := receipt{
		ID: r.ID, Channels: r.Channels, Partition: r.Position.Partition, Offset: uint64(r.Position.Offset),
		Enqueued: r.Enqueued.UTC(), Duplicate: r.Duplicate, Scheduled: r.Scheduled,
	}
	if r.Channels == nil {
		shown.Channels = []gatehouse.ChannelName{}
	}
	text, _ := json.Marshal(&shown) // texts and numbers: cannot fail
	return text
}
