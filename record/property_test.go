package record

import (
	"bytes"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"

	"pgregory.net/rapid"
)

func drawTime(t *rapid.T, label string) time.Time {
	switch rapid.IntRange(0, 3).Draw(t, label) {
	case 0:
		return time.Time{}
	case 1: // any that time.Time has
		seconds := rapid.Int64Range(math.MinInt64/2, math.MaxInt64/2).Draw(t, label+" seconds")
		return time.Unix(seconds, rapid.Int64Range(0, 999_999_999).Draw(t, label+" nanoseconds")).UTC()
	}
	return time.Unix(0, rapid.Int64().Draw(t, label+" nanoseconds")).UTC()
}

func drawValue(t *rapid.T, depth int) gatehouse.Value {
	most := gatehouse.TypeMap
	if depth == 0 {
		most = gatehouse.TypeUUID
	}
	switch gatehouse.ValueType(rapid.IntRange(0, int(most)).Draw(t, "type")) {
	case gatehouse.TypeString:
		return gatehouse.String(rapid.String().Draw(t, "string"))
	case gatehouse.TypeInt64:
		return gatehouse.Int64(rapid.Int64().Draw(t, "int64"))
	case gatehouse.TypeUint64:
		return gatehouse.Uint64(rapid.Uint64().Draw(t, "uint64"))
	case gatehouse.TypeFloat64:
		return gatehouse.Float64(math.Float64frombits(rapid.Uint64().Draw(t, "float64")))
	case gatehouse.TypeBool:
		return gatehouse.Bool(rapid.Bool().Draw(t, "bool"))
	case gatehouse.TypeTimestamp:
		return gatehouse.Timestamp(time.UnixMilli(rapid.Int64().Draw(t, "timestamp")))
	case gatehouse.TypeBinary:
		return gatehouse.Binary(rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "binary"))
	case gatehouse.TypeUUID:
		return gatehouse.UUID([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uuid")))
	case gatehouse.TypeList:
		var list []gatehouse.Value
		for range rapid.IntRange(0, 4).Draw(t, "list") {
			list = append(list, drawValue(t, depth-1))
		}
		return gatehouse.List(list...)
	case gatehouse.TypeMap:
		return gatehouse.Map(drawAttributes(t, 4, depth-1)...)
	}
	return gatehouse.Value{}
}

func drawAttributes(t *rapid.T, most, depth int) []gatehouse.Attribute {
	var all []gatehouse.Attribute
	for range rapid.IntRange(0, most).Draw(t, "attributes") {
		all = append(all, gatehouse.Attribute{Name: rapid.String().Draw(t, "name"), Value: drawValue(t, depth)})
	}
	return all
}

func drawMessage(t *rapid.T) *gatehouse.Message {
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.StringN(120, 300, -1))
	m := &gatehouse.Message{
		ID:            text.Draw(t, "id"),
		Type:          text.Draw(t, "type"),
		Subject:       text.Draw(t, "subject"),
		Time:          drawTime(t, "time"),
		ContentType:   text.Draw(t, "content type"),
		Schema:        text.Draw(t, "schema"),
		Source:        text.Draw(t, "source"),
		Key:           text.Draw(t, "key"),
		Group:         text.Draw(t, "group"),
		CorrelationID: text.Draw(t, "correlation id"),
		ReplyTo:       text.Draw(t, "reply to"),
		TTL:           time.Duration(rapid.Int64().Draw(t, "ttl")),
		NotBefore:     drawTime(t, "not before"),
		TraceParent:   text.Draw(t, "trace parent"),
		Attributes:    drawAttributes(t, 8, 4),
		Hops:          rapid.Byte().Draw(t, "hops"),
		Enqueued:      drawTime(t, "enqueued"),
		Channel:       gatehouse.ChannelName(text.Draw(t, "channel")),
	}
	if rapid.Bool().Draw(t, "addressed") {
		m.To = rapid.SliceOfN(text, 1, 5).Draw(t, "to")
	}
	if rapid.Bool().Draw(t, "has body") {
		m.Body = rapid.SliceOfN(rapid.Byte(), 1, 400).Draw(t, "body")
	}
	if rapid.Bool().Draw(t, "dead") {
		m.Dead = &gatehouse.DeadLetter{
			Reason:      text.Draw(t, "reason"),
			Description: text.Draw(t, "description"),
			From:        text.Draw(t, "from"),
			To:          text.Draw(t, "to"),
			Labels:      text.Draw(t, "labels"),
			Time:        drawTime(t, "died"),
		}
	}
	return m
}

func TestRoundTripProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := drawMessage(t)
		if got := roundTrip(t, want); !reflect.DeepEqual(got, want) {
			t.Fatalf("got\n%+v, want\n%+v", got, want)
		}
	})
}

// Cutting a record short, or changing bytes in it, never passes unnoticed as
// another encoding of something.
func TestDamageProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		data := Append(nil, drawMessage(t))
		cut := rapid.IntRange(0, len(data)-1).Draw(t, "cut")
		if _, err := Decode(slices.Clone(data[:cut])); err == nil {
			t.Fatalf("cut to %d of %d bytes, it is decoded", cut, len(data))
		}
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			data[rapid.IntRange(0, len(data)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		checkCanonical(t, data)
	})
}

func checkCanonical(t interface{ Fatalf(string, ...any) }, data []byte) {
	m, err := Decode(slices.Clone(data))
	if err != nil {
		return
	}
	if again := Append(nil, m); !bytes.Equal(again, data) {
		t.Fatalf("decoded and encoded:\n%x, was\n%x", again, data)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{version, 0})
	f.Add(Append(nil, full()))
	f.Add(Append(nil, typical()))
	f.Add(Append(nil, withValue(nest(gatehouse.Int64(1), 5))))
	f.Fuzz(func(t *testing.T, data []byte) { checkCanonical(t, data) })
}
