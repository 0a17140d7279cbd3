package amqp1

import (
	"context"
	"strconv"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp/wire"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/gate"
)

// What Event Hubs has in $management: READ of a hub and of a partition.
const (
	typeHub       = "com.microsoft:eventhub"
	typePartition = "com.microsoft:partition"
)

// read describes a hub or a partition. The request names it, and may bring the
// token that proves that its sender may know.
func (l *requestLink) read(ctx context.Context, r *request) (response, error) {
	name, _ := r.properties.Get("name").Str()
	what, _ := r.properties.Get("type").Str()
	at, err := parseAddress(name)
	if err != nil {
		return response{}, err
	}
	session, err := l.reader(&at, r)
	if err != nil {
		return response{}, err
	}
	switch what {
	case typeHub:
		return l.readHub(&at, name, session)
	case typePartition:
		partition, _ := r.properties.Get("partition").Str()
		return l.readPartition(ctx, &at, name, partition, session)
	}
	return response{}, gatehouse.Errorf(gatehouse.Invalid, "type %.64q is neither %s nor %s", what, typeHub, typePartition)
}

// reader returns the session by which the hub may be looked at.
func (l *requestLink) reader(at *address, r *request) (*gate.Session, error) {
	if at.kind != nodeChannel && at.kind != nodePublisher {
		return nil, noAddress(at.path)
	}
	manage := *at
	if !at.manage {
		manage.path, manage.below, manage.manage = at.path+"/"+segmentManagement, join(at.below, segmentManagement), true
	}
	if token, _ := r.properties.Get("security_token").Str(); token != "" {
		shown := auth.FromToken(token)
		err := l.renew(at, shown)
		if gatehouse.KindOf(err) == gatehouse.Unauthenticated {
			err = l.renew(&manage, shown) // it may be for less
		}
		if err != nil {
			return nil, err
		}
	}
	cl, err := l.claimOf(&manage)
	if err != nil {
		return nil, err
	}
	return cl.session, nil
}

func join(below, segment string) string {
	if below == "" {
		return segment
	}
	return below + "/" + segment
}

// readHub describes a channel, or what a publisher sends to, which has as many
// partitions.
func (l *requestLink) readHub(at *address, name string, s *gate.Session) (response, error) {
	ids := make([]string, s.Partitions())
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	return ok(wire.Map(
		wire.String("name"), wire.String(name),
		wire.String("type"), wire.String(typeHub),
		wire.String("created_at"), wire.Timestamp(time.Unix(0, 0)),
		wire.String("partition_count"), wire.Int(int32(len(ids))),
		wire.String("partition_ids"), wire.Strings(ids...),
		wire.String("georeplication_factor"), wire.Int(1),
	))
}

// readPartition describes a partition of a channel.
func (l *requestLink) readPartition(ctx context.Context, at *address, name, partition string, s *gate.Session) (response, error) {
	if at.kind != nodeChannel {
		return response{}, gatehouse.Errorf(gatehouse.Forbidden, "a publisher may not look into partitions")
	}
	n, err := strconv.Atoi(partition)
	if err != nil || n < 0 || n >= s.Partitions() {
		return response{status: 404, text: "there is no partition " + strconv.Quote(partition), condition: conditionRange}, nil
	}
	first, next, err := s.Bounds(ctx, n)
	if err != nil {
		return response{}, err
	}
	last, offset, lastAt := int64(-1), "-1", time.Unix(0, 0)
	begin := int64(first)
	if next > first {
		last = int64(next) - 1
		offset = strconv.FormatInt(last, 10)
		if lastAt, err = lastTime(ctx, s, n, next); err != nil {
			return response{}, err
		}
	}
	return ok(wire.Map(
		wire.String("name"), wire.String(name),
		wire.String("type"), wire.String(typePartition),
		wire.String("partition"), wire.String(partition),
		wire.String("begin_sequence_number"), wire.Long(begin),
		wire.String("last_enqueued_sequence_number"), wire.Long(last),
		wire.String("last_enqueued_offset"), wire.String(offset),
		wire.String("last_enqueued_time_utc"), wire.Timestamp(lastAt),
		wire.String("is_partition_empty"), wire.Bool(last < 0),
	))
}

// lastTime returns when the last message before an offset came.
func lastTime(ctx context.Context, s *gate.Session, partition int, next gatehouse.Offset) (time.Time, error) {
	at := time.Unix(0, 0)
	_, err := s.Read(ctx, partition, next-1, func(m *gatehouse.Message) bool {
		at = m.Enqueued
		return false
	})
	return at, err
}
