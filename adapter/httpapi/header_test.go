package httpapi

import (
	"bufio"
	"bytes"
	"flag"
	"maps"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/inbox"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// describe shows a message as lines of text.
func describe(m *gatehouse.Message) string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			b.WriteString(name + ": " + value + "\n")
		}
	}
	line("id", m.ID)
	line("type", m.Type)
	line("subject", m.Subject)
	line("source", m.Source)
	line("schema", m.Schema)
	line("content type", m.ContentType)
	line("to", strings.Join(m.To, " "))
	line("key", m.Key)
	line("group", m.Group)
	line("correlation", m.CorrelationID)
	line("reply to", m.ReplyTo)
	line("traceparent", m.TraceParent)
	if m.TTL != 0 {
		line("ttl", m.TTL.String())
	}
	if !m.Time.IsZero() {
		line("time", m.Time.Format(time.RFC3339Nano))
	}
	if !m.NotBefore.IsZero() {
		line("not before", m.NotBefore.Format(time.RFC3339Nano))
	}
	for _, a := range m.Attributes {
		line("attribute "+a.Name, typeName(a.Value)+" "+formatProperty(a.Value))
	}
	if body := strconv.Quote(string(m.Body)); len(m.Body) > 0 {
		line("body", body)
	}
	return b.String()
}

func typeName(v gatehouse.Value) string {
	return [...]string{"null", "string", "int64", "uint64", "float64", "bool", "timestamp", "binary", "uuid", "list", "map"}[v.Type()]
}

// TestReadHeader reads testdata/in/*.txt: the headers of a request, then ---,
// then the message they describe.
func TestReadHeader(t *testing.T) {
	t.Parallel()
	golden(t, "testdata/in/*.txt", func(t *testing.T, in string) string {
		text, err := textproto.NewReader(bufio.NewReader(strings.NewReader(in + "\n\n"))).ReadMIMEHeader()
		if err != nil {
			t.Fatal(err)
		}
		m := new(gatehouse.Message)
		if err := readHeader(m, http.Header(text)); err != nil {
			return gatehouse.KindOf(err).String() + ": " + err.Error() + "\n"
		}
		return describe(m)
	})
}

// golden runs what is before the line --- of each file through f and compares
// the outcome with what is behind it.
func golden(t *testing.T, pattern string, f func(*testing.T, string) string) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s: %v", pattern, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in, want, _ := strings.Cut(string(text), "\n---\n")
			got := f(t, in)
			if *update {
				if err := os.WriteFile(file, []byte(in+"\n---\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func fullMessage() *gatehouse.Message {
	at := time.Date(2030, 1, 31, 12, 0, 0, 5e6, time.UTC)
	return &gatehouse.Message{
		ID: "m/1", Type: "com.example.reading", Subject: "grün \"x\"", Time: at, ContentType: "application/json", Schema: "https://example.com/s",
		Source: "/acme/endpoints/pump-7", To: []string{"channels/telemetry", "endpoints/x"}, Key: "k", Group: "k", CorrelationID: "c",
		ReplyTo: "endpoints/y", TTL: 90 * time.Second, NotBefore: at, TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Attributes: []gatehouse.Attribute{
			{Name: "Priority", Value: gatehouse.String("High")},
			{Name: "deviceId", Value: gatehouse.String("Größe 😀\r\nX: y")},
			{Name: "count", Value: gatehouse.Int64(-7)},
			{Name: "ok", Value: gatehouse.Bool(true)},
			{Name: "level", Value: gatehouse.Float64(21)},
			{Name: "at", Value: gatehouse.Timestamp(at)},
			{Name: "raw", Value: gatehouse.Binary([]byte{1, 2})},
			{Name: "none", Value: gatehouse.Value{}},
			{Name: "list", Value: gatehouse.List(gatehouse.String("ä"), gatehouse.Int64(1))},
			{Name: "Content-Length", Value: gatehouse.String("99")},
			{Name: "set-cookie", Value: gatehouse.String("a=b")},
			{Name: "two words", Value: gatehouse.String("x")},
			{Name: "ReplyToSessionId", Value: gatehouse.String("rs")},
		},
		Body: []byte(`{}`), Enqueued: at,
		Dead: &gatehouse.DeadLetter{Reason: "TTLExpired", Description: "too late", From: "inboxes/pump-7", Time: at},
	}
}

func TestWriteHeader(t *testing.T) {
	t.Parallel()
	lock, err := inbox.ParseLockToken(lockA)
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	writeHeader(h, &inbox.Delivery{
		Message: fullMessage(), Lock: lock, LockedUntil: time.Date(2030, 1, 31, 12, 1, 0, 0, time.UTC), Count: 2, Sequence: 17,
		Enqueued: time.Date(2030, 1, 31, 12, 0, 0, 5e6, time.UTC),
	})
	var got strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h)) {
		got.WriteString(name + ": " + strings.Join(h[name], " | ") + "\n")
		for _, v := range h[name] {
			if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("header %s has the value %q", name, v)
			}
		}
	}
	const file = "testdata/out/full.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestHeaderRoundTrip sends what was received: a gateway's own answer is a
// complete request.
func TestHeaderRoundTrip(t *testing.T) {
	t.Parallel()
	in := fullMessage()
	h := http.Header{}
	writeHeader(h, &inbox.Delivery{Message: in, Count: 1, Sequence: 1})
	var wire bytes.Buffer
	if err := h.Write(&wire); err != nil {
		t.Fatal(err)
	}
	wire.WriteString("\r\n")
	read, err := textproto.NewReader(bufio.NewReader(&wire)).ReadMIMEHeader()
	if err != nil {
		t.Fatal(err)
	}
	out := new(gatehouse.Message)
	if err := readHeader(out, http.Header(read)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"two words", "Content-Length", "none", "list", "set-cookie"} {
		a, _ := in.Attribute(name)
		b, ok := out.Attribute(name)
		if !ok || typeName(a) != typeName(b) || formatProperty(a) != formatProperty(b) {
			t.Errorf("attribute %q came back as %v %s", name, ok, formatProperty(b))
		}
	}
	in.Attributes, out.Attributes, in.Dead, in.Body, in.Enqueued = nil, nil, nil, nil, time.Time{}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAccepts(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"":                                    false,
		"*/*":                                 false,
		"application/xml":                     true,
		"text/html, Application/XML;q=0.9":    true,
		"application/xml;q=0":                 false,
		"application/xml;q=0.000, text/plain": false,
		"application/xhtml+xml":               false,
	} {
		if got := accepts(http.Header{"Accept": {accept}}, "application/xml", "text/xml"); got != want {
			t.Errorf("%q: %v", accept, got)
		}
	}
}
