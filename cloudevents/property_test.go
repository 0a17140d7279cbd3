package cloudevents

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func scalars() *rapid.Generator[gatehouse.Value] {
	return rapid.OneOf(
		rapid.Map(rapid.String(), gatehouse.String),
		rapid.Map(rapid.Int64(), gatehouse.Int64),
		rapid.Map(rapid.Int64Range(-5, 5), gatehouse.Int64),
		rapid.Map(rapid.Uint64(), gatehouse.Uint64),
		rapid.Map(rapid.Float64(), gatehouse.Float64),
		rapid.Map(rapid.Bool(), gatehouse.Bool),
		rapid.Map(rapid.Int64Range(0, 4e12), func(ms int64) gatehouse.Value { return gatehouse.Timestamp(time.UnixMilli(ms)) }),
		rapid.Map(rapid.SliceOf(rapid.Byte()), gatehouse.Binary),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 16, 16), func(b []byte) gatehouse.Value { return gatehouse.UUID([16]byte(b)) }),
		rapid.Just(gatehouse.Value{}),
	)
}

func values() *rapid.Generator[gatehouse.Value] {
	inner := scalars()
	return rapid.OneOf(inner,
		rapid.Map(rapid.SliceOfN(inner, 0, 3), func(v []gatehouse.Value) gatehouse.Value { return gatehouse.List(v...) }),
		rapid.Custom(func(t *rapid.T) gatehouse.Value {
			var entries []gatehouse.Attribute
			for _, name := range rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "keys") {
				entries = append(entries, gatehouse.Attribute{Name: name, Value: inner.Draw(t, "entry")})
			}
			return gatehouse.Map(gatehouse.Attribute{Name: "inner", Value: gatehouse.Map(entries...)})
		}))
}

func messages() *rapid.Generator[*gatehouse.Message] {
	names := rapid.OneOf(rapid.StringMatching(`[a-z0-9]{1,6}`), rapid.StringMatching(`[A-Za-z_-]{1,6}`), rapid.String(),
		rapid.SampledFrom([]string{"id", "to", "ttl", "locktoken", "gatehouseattributes", "Data"}))
	return rapid.Custom(func(t *rapid.T) *gatehouse.Message {
		text := rapid.String()
		m := &gatehouse.Message{
			ID: text.Draw(t, "id"), Type: text.Draw(t, "type"), Subject: text.Draw(t, "subject"), Schema: text.Draw(t, "schema"),
			Source: text.Draw(t, "source"), Key: text.Draw(t, "key"), Group: text.Draw(t, "group"),
			CorrelationID: text.Draw(t, "correlation"), ReplyTo: text.Draw(t, "replyto"), TraceParent: text.Draw(t, "trace"),
			TTL: time.Duration(rapid.Int64Min(0).Draw(t, "ttl")),
			To:  rapid.SliceOfN(rapid.StringMatching(`channels/[a-zA-Z0-9][a-z._-]{0,5}`), 0, 3).Draw(t, "to"),
		}
		if rapid.Bool().Draw(t, "timed") {
			m.Time = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "time"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC()
			m.NotBefore = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "notbefore"), 0).UTC()
		}
		for range rapid.IntRange(0, 6).Draw(t, "attributes") {
			m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: names.Draw(t, "name"), Value: values().Draw(t, "value")})
		}
		if len(m.To) == 0 {
			m.To = nil
		}
		if m.Type == DefaultType {
			m.Type = ""
		}
		return m
	})
}

func TestJSONRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := messages().Draw(t, "message")
		m.ContentType = rapid.SampledFrom([]string{"", "application/json", "text/plain", "a/b+json", "application/x", "text/plain; charset=latin1"}).Draw(t, "type")
		m.Body = rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 1, 20), rapid.SampledFrom([][]byte{[]byte("null"), []byte(`{"a":[1,{}]}`), []byte(`"x"`)})).Draw(t, "body")
		text := Append(nil, m)
		if !json.Valid(text) {
			t.Fatalf("not JSON: %s", text)
		}
		back, err := Decode(text)
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		want := *m
		want.Attributes = project(m.Attributes, true)
		if IsJSON(m.ContentType) && json.Valid(m.Body) {
			want.Body, back.Body = bytes.TrimSpace(m.Body), bytes.TrimSpace(back.Body)
		}
		if diff := cmp.Diff(&want, back, valueText); diff != "" {
			t.Fatalf("-want +got:\n%s\n%s", diff, text)
		}
		// What has been through once does not change any more.
		if again := Append(nil, back); !bytes.Equal(again, Append(nil, mustDecode(t, again))) {
			t.Fatalf("not stable: %s", again)
		}
	})
}

func mustDecode(t *rapid.T, text []byte) *gatehouse.Message {
	m, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestHeaderRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := messages().Draw(t, "message")
		back := new(gatehouse.Message)
		carry := func(name, value string) {
			value = EncodeHeader(value)
			if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' }) {
				t.Fatalf("header %s has value %q", name, value)
			}
			decoded, err := DecodeHeader(value)
			if err == nil {
				err = Set(back, name, decoded)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for name, value := range Context(m) {
			carry(name, value)
		}
		for name, value := range Extensions(m) {
			carry(name, value)
		}
		want := *m
		want.Attributes = project(m.Attributes, false)
		if diff := cmp.Diff(&want, back, valueText); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	})
}
