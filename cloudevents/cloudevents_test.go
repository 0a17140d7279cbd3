package cloudevents

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"

	"github.com/google/go-cmp/cmp"
)

// valueText lets cmp look at values, whose fields are not exported.
var valueText = cmp.Transformer("Value", func(v gatehouse.Value) string {
	return string('0'+rune(v.Type())) + " " + string(appendTyped(nil, v))
})

func full() *gatehouse.Message {
	return &gatehouse.Message{
		ID: "m-1", Type: "com.example.reading", Subject: "pump 7", Time: time.Date(2030, 1, 31, 12, 0, 0, 5e6, time.UTC),
		ContentType: "application/json", Schema: "https://example.com/s", Source: "/acme/endpoints/pump-7",
		To: []string{"channels/telemetry", "endpoints/x"}, Key: "k", Group: "g", CorrelationID: "c", ReplyTo: "endpoints/y",
		TTL: 90 * time.Second, NotBefore: time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC),
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Attributes: []gatehouse.Attribute{
			{Name: "site", Value: gatehouse.String("Oslo")},
			{Name: "count", Value: gatehouse.Int64(-7)},
			{Name: "ok", Value: gatehouse.Bool(true)},
			{Name: "Loud", Value: gatehouse.Int64(2147483647)},
			{Name: "far", Value: gatehouse.Int64(2147483648)},
			{Name: "level", Value: gatehouse.Float64(21.5)},
			{Name: "device-id", Value: gatehouse.Uint64(7)},
			{Name: "id", Value: gatehouse.String("not the id")},
			{Name: "tags", Value: gatehouse.List(gatehouse.String("a"), gatehouse.Value{})},
			{Name: "SITE", Value: gatehouse.String("second")},
		},
		Body: []byte(`{"t":21.5}`),
	}
}

func TestAppend(t *testing.T) {
	t.Parallel()
	want := `{"specversion":"1.0","id":"m-1","source":"/acme/endpoints/pump-7","type":"com.example.reading",` +
		`"subject":"pump 7","dataschema":"https://example.com/s","partitionkey":"k","group":"g","correlationid":"c",` +
		`"replyto":"endpoints/y","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",` +
		`"time":"2030-01-31T12:00:00.005Z","to":"channels/telemetry,endpoints/x","ttl":90,"notbefore":"2031-01-01T00:00:00Z",` +
		`"datacontenttype":"application/json","site":"Oslo","count":-7,"ok":true,"loud":2147483647,"far":"2147483648","level":"21.5",` +
		`"gatehouseattributes":"{\"device-id\":{\"$uint64\":\"7\"},\"id\":\"not the id\",\"tags\":[\"a\",null],\"SITE\":\"second\"}",` +
		`"data":{"t":21.5}}`
	got := string(Append(nil, full()))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Append (-want +got):\n%s", diff)
	}
	back, err := Decode([]byte(got))
	if err != nil {
		t.Fatal(err)
	}
	m := full()
	m.Attributes = project(m.Attributes, true)
	if diff := cmp.Diff(m, back, valueText); diff != "" {
		t.Errorf("Decode of it (-want +got):\n%s", diff)
	}
}

func TestData(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, contentType, body, want string }{
		{"json", "application/json", `[1, 2]`, `"data":[1, 2]`},
		{"json with parameters", "application/vnd.x+json; charset=utf-8", `"x"`, `"data":"x"`},
		{"json that is none", "application/json", `{oops`, `"data_base64":"e29vcHM="`},
		{"json null", "application/json", `null`, `"data_base64":"bnVsbA=="`},
		{"text", "text/plain", "a \"b\"\n", `"data":"a \"b\"\n"`},
		{"xml", "application/atom+xml;type=entry;charset=utf-8", "<a/>", `"data":"<a/>"`},
		{"text in another charset", "text/plain; charset=ISO-8859-1", "abc", `"data_base64":"YWJj"`},
		{"text that is not UTF-8", "text/plain", "\xff", `"data_base64":"/w=="`},
		{"binary", "application/octet-stream", "\x00\x01", `"data_base64":"AAE="`},
		{"no type", "", "abc", `"data_base64":"YWJj"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := Append(nil, &gatehouse.Message{ID: "1", Source: "/", ContentType: c.contentType, Body: []byte(c.body)})
			if !strings.HasSuffix(string(text), ","+c.want+"}") {
				t.Errorf("got %s, want …,%s}", text, c.want)
			}
			m, err := Decode(text)
			if err != nil {
				t.Fatal(err)
			}
			if string(m.Body) != c.body || m.ContentType != c.contentType {
				t.Errorf("came back as %q of %q", m.Body, m.ContentType)
			}
		})
	}
}

func TestDecodeLenient(t *testing.T) {
	t.Parallel()
	m, err := Decode([]byte(`{"type":"t","data":{"a":1},"to":["channels/a","endpoints/b"],"ttl":"1.5","id":7,"subject":null,
		"big":18446744073709551615,"frac":1.25,"locktoken":"x","sequencenumber":9,"time":"2030-01-31T13:00:00+01:00"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &gatehouse.Message{
		ID: "7", Type: "t", ContentType: "application/json", To: []string{"channels/a", "endpoints/b"}, TTL: 1500 * time.Millisecond,
		Time: time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC), Body: []byte(`{"a":1}`),
		Attributes: []gatehouse.Attribute{{Name: "big", Value: gatehouse.Uint64(1<<64 - 1)}, {Name: "frac", Value: gatehouse.Float64(1.25)}},
	}
	if diff := cmp.Diff(want, m, valueText); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		``:                                "malformed",
		`{"id":"1"`:                       "malformed at byte",
		`[]`:                              "not", // see below
		`{"id":"1","id":"2"}`:             `"id" twice`,
		`{"specversion":"0.3"}`:           `"0.3" is not supported`,
		`{"specversion":1.0}`:             "not a string",
		`{"fooBar":"x"}`:                  `"fooBar" is not allowed`,
		`{"foo_bar":"x"}`:                 `"foo_bar" is not allowed`,
		`{"x":{}}`:                        "object or array",
		`{"data":1,"data_base64":"AA=="}`: "both",
		`{"data_base64":"A"}`:             "not base64",
		`{"data_base64":1}`:               "not a string",
		`{"ttl":-1}`:                      "number of seconds",
		`{"ttl":"1.x"}`:                   "number of seconds",
		`{"time":"today"}`:                "RFC 3339",
		`{"to":[1]}`:                      "not a string",
		"{\"id\":\"\xff\"}":               "UTF-8",
		`{"gatehouseattributes":"[]"}`:    "JSON object",
		`{"gatehouseattributes":"{\"a\":{\"$x\":\"1\"}}"}`: "$uint64",
	} {
		_, err := Decode([]byte(in))
		if in == `[]` {
			want = "this is none"
		}
		if !errors.Is(err, gatehouse.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want Invalid with %q", in, err, want)
		}
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	a, b := full(), &gatehouse.Message{ID: "2", Source: "/"}
	text := AppendBatch(nil, a, b)
	got, err := DecodeBatch(text, 2)
	if err != nil || len(got) != 2 || got[0].ID != "m-1" || got[1].ID != "2" || got[1].Type != "" {
		t.Fatalf("got %v, %v", got, err)
	}
	if _, err := DecodeBatch(text, 1); !errors.Is(err, gatehouse.TooLarge) {
		t.Errorf("over the limit: %v", err)
	}
	if got, err := DecodeBatch([]byte(" [ ] "), 1); err != nil || len(got) != 0 {
		t.Errorf("an empty batch: %v, %v", got, err)
	}
	if _, err := DecodeBatch([]byte(`[{},{"time":"x"}]`), 9); err == nil || !strings.HasPrefix(err.Error(), "event 2 of the batch") {
		t.Errorf("a bad event: %v", err)
	}
	if _, err := DecodeBatch([]byte(`{}`), 9); !errors.Is(err, gatehouse.Invalid) {
		t.Errorf("no array: %v", err)
	}
}

func TestAppendDelivery(t *testing.T) {
	t.Parallel()
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	m := &gatehouse.Message{
		ID: "1", Source: "/", Attributes: []gatehouse.Attribute{{Name: "locktoken", Value: gatehouse.String("mine")}},
		Dead: &gatehouse.DeadLetter{Reason: "TTLExpired", Description: "too late", From: "inboxes/a", Time: at},
	}
	d := &Delivery{LockToken: "tok", LockedUntil: at, DeliveryCount: 2, Sequence: 1 << 40, Enqueued: at}
	lower := string(AppendDelivery(nil, m, d, Lower))
	want := `,"locktoken":"tok","lockeduntil":"2030-01-01T00:00:00Z","deliverycount":2,"sequencenumber":"1099511627776","enqueuedtime":"2030-01-01T00:00:00Z",` +
		`"deadletterreason":"TTLExpired","deadletterdetail":"too late","deadletterfrom":"inboxes/a","deadlettertime":"2030-01-01T00:00:00Z"}`
	if !strings.HasSuffix(lower, want) {
		t.Errorf("got %s\nwant …%s", lower, want)
	}
	back, err := Decode([]byte(lower))
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := back.Attribute("locktoken"); v.Str() != "mine" || len(back.Attributes) != 1 {
		t.Errorf("a received event sent on has attributes %v", back.Attributes)
	}
	if camel := string(AppendDelivery(nil, m, d, Camel)); !strings.Contains(camel, `"lockToken":"tok","lockedUntil":"2030-01-01T00:00:00Z","deliveryCount":2,"sequence":"1099511627776","enqueuedTime":`) {
		t.Errorf("camel case: %s", camel)
	}
}

func TestSetAndContext(t *testing.T) {
	t.Parallel()
	m := full()
	back := new(gatehouse.Message)
	var names []string
	for name, value := range Context(m) {
		names = append(names, name)
		if err := Set(back, strings.ToUpper(name), value); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range Extensions(m) {
		names = append(names, name)
		if err := Set(back, name, value); err != nil {
			t.Fatal(err)
		}
	}
	want := strings.Fields("specversion id source type subject dataschema partitionkey group correlationid replyto traceparent time to ttl notbefore " +
		"site count ok loud far level gatehouseattributes")
	if !slices.Equal(names, want) {
		t.Errorf("names %v", names)
	}
	m.Attributes = project(m.Attributes, false)
	m.ContentType, m.Body = "", nil
	if diff := cmp.Diff(m, back, valueText); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, bad := range []string{"", "a_b", "data", "é", strings.Repeat("a", 65)} {
		if err := Set(back, bad, "x"); !errors.Is(err, gatehouse.Invalid) {
			t.Errorf("Set(%q): %v", bad, err)
		}
	}
}

// project says, in other words than the code, what attributes become when they
// travel as JSON or, if not, as texts.
func project(in []gatehouse.Attribute, json bool) []gatehouse.Attribute {
	var plain, rest []gatehouse.Attribute
	taken := map[string]bool{}
	for name := range strings.FieldsSeq("specversion id source type datacontenttype dataschema subject time data to partitionkey group correlationid " +
		"replyto ttl notbefore traceparent gatehouseattributes locktoken lockeduntil deliverycount sequencenumber enqueuedtime " +
		"deadletterreason deadletterdetail deadletterfrom deadlettertime") {
		taken[name] = true
	}
	for _, a := range in {
		name := strings.ToLower(a.Name)
		legal := a.Name != "" && len(a.Name) <= 64 && strings.Trim(a.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
		typ := a.Value.Type()
		if !legal || taken[name] || typ == gatehouse.TypeNull || typ == gatehouse.TypeList || typ == gatehouse.TypeMap {
			rest = append(rest, a)
			taken[name] = true
			continue
		}
		taken[name] = true
		kept := typ == gatehouse.TypeString || json && typ == gatehouse.TypeBool ||
			json && typ == gatehouse.TypeInt64 && int64(int32(a.Value.Int64())) == a.Value.Int64()
		switch {
		case kept:
		case json && typ == gatehouse.TypeUint64 && a.Value.Uint64() < 1<<31:
			a.Value = gatehouse.Int64(int64(a.Value.Uint64()))
		default:
			a.Value = gatehouse.String(Text(a.Value))
		}
		plain = append(plain, gatehouse.Attribute{Name: name, Value: a.Value})
	}
	return append(plain, rest...)
}

func TestNativeAttributesStay(t *testing.T) {
	t.Parallel()
	m := &gatehouse.Message{ID: "1", Attributes: []gatehouse.Attribute{
		{Name: NativeAMQP, Value: gatehouse.Binary([]byte{1})}, {Name: "Ä", Value: gatehouse.Bool(true)},
	}}
	for name, value := range Extensions(m) {
		if name != AttributesExtension || value != `{"Ä":true}` {
			t.Errorf("%s: %s", name, value)
		}
	}
	if text := string(Append(nil, m)); strings.Contains(text, "$amqp") {
		t.Error(text)
	}
}
