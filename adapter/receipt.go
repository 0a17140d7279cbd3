package adapter

import (
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/gate"
)

// A Receipt tells a client in JSON what became of a message that was accepted.
type Receipt struct {
	ID        string                  `json:"id"`
	Channels  []gatehouse.ChannelName `json:"channels"`
	Partition uint16                  `json:"partition"`
	Offset    uint64                  `json:"offset"`
	Enqueued  time.Time               `json:"enqueued"`
	Duplicate bool                    `json:"duplicate,omitempty"`
	Scheduled bool                    `json:"scheduled,omitempty"`
}

// ReceiptOf returns a receipt of the gate as clients get it.
func ReceiptOf(r *gate.Receipt) Receipt {
	shown := Receipt{
		ID: r.ID, Channels: r.Channels, Partition: r.Position.Partition, Offset: uint64(r.Position.Offset),
		Enqueued: r.Enqueued.UTC(), Duplicate: r.Duplicate, Scheduled: r.Scheduled,
	}
	if r.Channels == nil {
		shown.Channels = []gatehouse.ChannelName{}
	}
	return shown
}
