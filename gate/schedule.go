package gate

import (
	"context"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/engine"
)

// ScheduleHandler is the name under which scheduled messages that may not pass
// when they are due become dead letters, of the channel they were meant for. If
// that is gone they are given up, which is logged.
const ScheduleHandler = "$schedule"

// CancelScheduled takes messages back that the session's sender has scheduled,
// by the sequence numbers of their receipts: once it has returned nil, none of
// them will be delivered. It is all or none unless storage fails: see
// channel.Set.Cancel.
func (s *Session) CancelScheduled(ctx context.Context, numbers ...uint64) error {
	if _, err := s.sender(); err != nil {
		return err
	}
	return s.gate.Channels.Cancel(ctx, channel.Sender{Source: s.source, Incarnation: s.incarnation}, numbers...)
}

// PeekScheduled returns messages that the session's sender has scheduled and
// that are not due yet, in order of their sequence numbers, from one on, at
// most limit.
func (s *Session) PeekScheduled(from uint64, limit int) ([]channel.Waiting, error) {
	if _, err := s.sender(); err != nil {
		return nil, err
	}
	return s.gate.Channels.ScheduledBy(channel.Sender{Source: s.source, Incarnation: s.incarnation}, from, limit)
}

// runSchedule releases the scheduled messages of a shard. Whether a message
// may pass, and where to, is decided again when it is due: rules may have
// changed, its sender may be gone.
func (g *Gate) runSchedule(ctx context.Context, shard engine.Shard) error {
	return g.Channels.RunSchedule(ctx, shard, g.release)
}

// release returns what is to be stored of a message that is due.
func (g *Gate) release(d *channel.Due) []engine.Record {
	if d.Err != nil {
		g.Logger.Error("a scheduled message is damaged and given up", "error", d.Err)
		return nil
	}
	m, now := d.Message, time.Now()
	meant := m.Channel
	m.Channel = ""
	channels, err := g.routeDue(d, meant, now)
	if err == nil {
		m.Enqueued = now
		return channel.Records(d.Account, m, channels...)
	}
	if f := g.Events.Refused; f != nil {
		f("schedule", gatehouse.KindOf(err))
	}
	if a := g.snapshot.Load().Account(d.Account); a == nil || a.Channel(meant) == nil {
		g.Logger.Warn("a scheduled message may not pass and is given up: the channel it was meant for, whose dead letter it would be, was deleted",
			"account", d.Account, "channel", meant, "id", m.ID, "error", err)
		return nil
	}
	return []engine.Record{channel.DeadRecord(channel.ID{Account: d.Account, Channel: meant}, ScheduleHandler, m, gatehouse.DeadLetter{
		Reason: reasonOf(err), Description: "when the message was due: " + err.Error(), From: m.Source, Time: now,
	})}
}

// routeDue decides about a message that is due as Submit would. It was counted
// against rates when it was accepted.
func (g *Gate) routeDue(d *channel.Due, meant gatehouse.ChannelName, now time.Time) ([]gatehouse.ChannelName, error) {
	name, m := d.Account, d.Message
	sender, isEndpoint := senderOf(m)
	v := newView(g.snapshot.Load(), name, sender, nil)
	if err := v.accountStands(name); err != nil {
		return nil, err
	}
	if !isEndpoint { // trusted code, which named its channel
		if v.account.Channel(meant) == nil {
			return nil, gatehouse.Errorf(gatehouse.NotFound, "account %q has no channel %q any more", name, meant)
		}
		return []gatehouse.ChannelName{meant}, nil
	}
	if v.endpoint == nil || v.incarnation() != d.Incarnation {
		// What has its name now is another.
		return nil, gatehouse.Errorf(gatehouse.Revoked, "endpoint %q, which has scheduled it, was deleted", sender)
	}
	if err := v.partyStands(name, sender, gatehouse.RightSend); err != nil {
		return nil, err
	}
	return v.ingress(nil, sender, m, now, nil)
}

// senderOf returns the endpoint that sent m; ok is false, and there is none, for
// trusted code.
func senderOf(m *gatehouse.Message) (name gatehouse.EndpointName, ok bool) {
	const segment = "/endpoints/"
	if i := strings.LastIndex(m.Source, segment); i >= 0 {
		return gatehouse.EndpointName(m.Source[i+len(segment):]), true
	}
	return "", false
}

// senderKey is the ordering key of a message that has none of its own.
func senderKey(m *gatehouse.Message) string {
	if e, ok := senderOf(m); ok {
		return gatehouse.Fold(e)
	}
	return m.Source
}

// reasonOf is the reason of a dead letter for a refusal.
func reasonOf(err error) string {
	switch kind := gatehouse.KindOf(err); kind {
	case gatehouse.Forbidden:
		return ReasonForbidden
	case gatehouse.NotFound:
		return ReasonNoChannel
	default:
		return kind.String()
	}
}
