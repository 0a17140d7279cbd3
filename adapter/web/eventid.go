package web

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/gatehouse/gatehouse"
)

// An eventID is the id of an event: the connection it came by, and the
// sequences of all deliveries that its client had not acknowledged when it came,
// with its own. So a client that names its last event acknowledges exactly what
// it was given, even if nobody remembers the connection any more, and not what
// others were given meanwhile.
type eventID struct {
	connection string
	sequences  []gatehouse.Offset // increasing
}

// maxEvents is how many sequences an id may have.
const maxEvents = 4096

// String returns the text: the connection, a dot, and in base64 the sequences,
// each but the first as its distance from the one before.
func (e eventID) String() string {
	var space [256]byte
	b, last := space[:0], gatehouse.Offset(0)
	for _, s := range e.sequences {
		b = binary.AppendUvarint(b, uint64(s-last))
		last = s
	}
	return e.connection + "." + base64.RawURLEncoding.EncodeToString(b)
}

// parseEventID is the inverse of String. The error is of kind Invalid.
func parseEventID(text string) (eventID, error) {
	bad := gatehouse.Errorf(gatehouse.Invalid, "%.100q is not the id of an event", text)
	connection, list, ok := strings.Cut(text, ".")
	b, err := base64.RawURLEncoding.DecodeString(list)
	if !ok || err != nil || connection == "" {
		return eventID{}, bad
	}
	e := eventID{connection: connection}
	var last uint64
	for len(b) > 0 {
		distance, n := binary.Uvarint(b)
		if n <= 0 || distance == 0 || last+distance < last || len(e.sequences) == maxEvents {
			return eventID{}, bad
		}
		last += distance
		e.sequences = append(e.sequences, gatehouse.Offset(last))
		b = b[n:]
	}
	return e, nil
}

// has reports whether the client was given a delivery.
func (e *eventID) has(s gatehouse.Offset) bool {
	_, ok := slices.BinarySearch(e.sequences, s)
	return ok
}
