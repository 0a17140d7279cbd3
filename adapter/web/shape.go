package web

import (
	"encoding/json"

	"github.com/gatehouse/gatehouse/adapter"
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

// encodeReceipt returns a receipt in JSON.
func encodeReceipt(r gate.Receipt) []byte {
	text, _ := json.Marshal(adapter.ReceiptOf(&r)) // texts and numbers: cannot fail
	return text
}
