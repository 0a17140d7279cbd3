package gate

import (
	"testing"
	"time"

	"github.com/google/uuid"
)

// TestNewID makes ids: UUIDs of version 7 that sort by time.
func TestNewID(t *testing.T) {
	t.Parallel()
	last := ""
	at := time.Date(2026, 1, 2, 3, 4, 5, 999_999_000, time.UTC)
	for range 1000 {
		text := newID(at)
		id, err := uuid.Parse(text)
		if err != nil || id.Version() != 7 || id.Variant() != uuid.RFC4122 {
			t.Fatalf("%q is not a UUID of version 7: %v", text, err)
		}
		if seconds, nanos := id.Time().UnixTime(); time.Unix(seconds, nanos).UnixMilli() != at.UnixMilli() {
			t.Fatalf("%q is of %v, not %v", text, time.Unix(seconds, nanos), at)
		}
		if text <= last {
			t.Fatalf("%q does not come after %q", text, last)
		}
		last, at = text, at.Add(time.Microsecond)
	}
}
