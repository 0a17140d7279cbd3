package amqp1

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp"
	"github.com/gatehouse/gatehouse/amqp/wire"
	"github.com/gatehouse/gatehouse/gate"
)

const (
	filterSelector     = "apache.org:selector-filter:string"
	filterSelectorCode = 0x0000468C00000004
	annotationPrefix   = "amqp.annotation."
	annotationUTC      = "x-opt-enqueuedtimeutc" // an older name of annotationEnqueued
)

// A position is where a reader begins, as its filter says. The zero position
// is the beginning.
type position struct {
	from  gatehouse.Offset // the first offset
	end   bool             // behind the last message there is
	since time.Time        // not before, or only after
	after bool             // since is excluded
}

// startOf finds the selector among filters and reads it.
func startOf(filters wire.Value) (position, error) {
	for key, value := range filters.Entries() {
		descriptor, inner, described := value.Described()
		code, _ := descriptor.Uint64()
		if described && code != filterSelectorCode && !descriptor.Is(filterSelector) || !described && !key.Is(filterSelector) {
			continue
		}
		if described {
			value = inner
		}
		text, ok := value.Str()
		if !ok {
			return position{}, errSelector("")
		}
		return parseSelector(text)
	}
	return position{}, nil
}

func errSelector(text string) error {
	return amqp.Err(amqp.InvalidField, "the selector "+strconv.Quote(text)+" is not like amqp.annotation.x-opt-offset > '42'; x-opt-sequence-number and x-opt-enqueued-time may stand there too, and >=")
}

// parseSelector reads one comparison.
func parseSelector(text string) (position, error) {
	left, right, ok := strings.Cut(text, ">")
	if !ok {
		return position{}, errSelector(text)
	}
	right, inclusive := strings.CutPrefix(right, "=")
	field, ok := strings.CutPrefix(gatehouse.Fold(strings.TrimSpace(left)), annotationPrefix)
	if !ok {
		return position{}, errSelector(text)
	}
	value := strings.Trim(strings.TrimSpace(right), "'\"")
	if field == annotationOffset && (value == "-1" || strings.EqualFold(value, "@latest")) {
		return position{end: value != "-1"}, nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return position{}, errSelector(text)
	}
	switch field {
	case annotationOffset, annotationSequence:
		if !inclusive {
			n++
		}
		return position{from: gatehouse.Offset(max(n, 0))}, nil
	case annotationEnqueued, annotationUTC:
		return position{since: time.UnixMilli(n), after: !inclusive}, nil
	}
	return position{}, errSelector(text)
}

// offset returns the first offset to read in a partition. A place beyond its
// end, which a client may remember from before a restore, is the end.
func (p position) offset(ctx context.Context, s *gate.Session, partition int) (gatehouse.Offset, error) {
	if !p.since.IsZero() {
		return s.Seek(ctx, partition, p.since)
	}
	first, next, err := s.Bounds(ctx, partition)
	if err != nil {
		return 0, err
	}
	if p.end {
		return next, nil
	}
	return min(max(p.from, first), next), nil
}

// skips reports whether a message came before the time to begin at, to the
// millisecond.
func (p position) skips(m *gatehouse.Message) bool {
	if p.since.IsZero() {
		return false
	}
	at := m.Enqueued.Truncate(time.Millisecond)
	return at.Before(p.since) || p.after && !at.After(p.since)
}
