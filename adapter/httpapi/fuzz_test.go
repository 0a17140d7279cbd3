package httpapi

import (
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/inbox"

	"pgregory.net/rapid"
)

func FuzzBroker(f *testing.F) {
	f.Add(`{"MessageId":"m1","CorrelationId":7,"TimeToLive":1.5,"ScheduledEnqueueTimeUtc":"Thu, 31 Jan 2030 12:00:00 GMT","To":"a,b"}`)
	f.Add(`{"TimeToLiveTimeSpan":"1.12:30:00.5","SessionId":"a","PartitionKey":"a","ReplyToSessionId":"\u00e4"}`)
	f.Fuzz(func(t *testing.T, text string) {
		m := new(gatehouse.Message)
		if parseBroker(m, text) != nil {
			return
		}
		// Seconds are all the dates have, and TTL is a float of seconds.
		m.TTL = m.TTL.Truncate(1e9)
		if m.TTL > math.MaxInt64/2 || m.NotBefore.Year() > 9999 || m.NotBefore.Year() < 1 {
			return
		}
		again := new(gatehouse.Message)
		out := string(appendBroker(nil, &inbox.Delivery{Message: m}))
		if strings.ContainsFunc(out, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("not fit for a header: %q", out)
		}
		if err := parseBroker(again, out); err != nil {
			t.Fatalf("own output refused: %v: %s", err, out)
		}
		m.NotBefore = m.NotBefore.Truncate(1e9)
		if a, b := describe(m), describe(again); a != b {
			t.Fatalf("%s\n%s\n%s", out, a, b)
		}
	})
}

func FuzzBatch(f *testing.F) {
	f.Add([]byte(`[{"Body":"one","BrokerProperties":{"Label":"M1"},"UserProperties":{"a":1,"b":"x"}},{"Body":"AAEC","IsBodyBase64":true}]`))
	f.Add([]byte(`[{"Body":{"a":[1]},"ContentType":"x/y"}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		batch, err := decodeBatch(data, 100)
		if err != nil {
			if k := gatehouse.KindOf(err); k != gatehouse.Invalid && k != gatehouse.TooLarge {
				t.Fatalf("kind of %v", err)
			}
			return
		}
		for _, m := range batch {
			if m == nil {
				t.Fatal("no message")
			}
		}
	})
}

func FuzzHeaders(f *testing.F) {
	f.Add("Ce-Subject", "Euro%20%E2%82%AC", "Priority", `"High"`)
	f.Add("X-A", "1", "X-B", `"\ud83d\ude00"`)
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2 string) {
		m := new(gatehouse.Message)
		if readHeader(m, http.Header{n1: {v1}, n2: {v2}}) != nil {
			return
		}
		h := http.Header{}
		writeHeader(h, &inbox.Delivery{Message: m})
		for name, values := range h {
			for _, v := range values {
				if name != "Content-Type" && name != "Traceparent" && strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
					t.Fatalf("%s: %q is not fit for a header", name, v)
				}
			}
		}
	})
}

// TestPropertyRoundTrip says which values come back from a header as they
// went: all that Azure's form can tell apart.
func TestPropertyRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.OneOf(
			rapid.Map(rapid.String(), gatehouse.String),
			rapid.Map(rapid.Int64(), gatehouse.Int64),
			rapid.Map(rapid.Uint64Min(1<<63), gatehouse.Uint64),
			rapid.Map(rapid.Float64(), gatehouse.Float64),
			rapid.Map(rapid.Bool(), gatehouse.Bool),
			rapid.Just(gatehouse.Value{}),
		).Draw(t, "value")
		text := formatProperty(v)
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q is not fit for a header", text)
		}
		back := parseProperty(text)
		if back.Type() != v.Type() || back.Text() != v.Text() {
			t.Fatalf("%q came back as %s %q", text, typeName(back), back.Text())
		}
	})
}
