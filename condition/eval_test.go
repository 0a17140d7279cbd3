package condition

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/rule"
)

func noon() time.Time { return time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC) }

// full returns a message with everything in it.
func full() *gatehouse.Message {
	return &gatehouse.Message{
		ID: "id-1", Type: "order.new", Subject: "pumps/7", Source: "/acme/endpoints/pump-7",
		ContentType: "application/json", Schema: "https://example.com/s", To: []string{"channels/orders", "endpoints/web"},
		Key: "k", Group: "g", CorrelationID: "c", ReplyTo: "endpoints/pump-7",
		Time: noon().Add(-time.Minute), Enqueued: noon(), NotBefore: noon().Add(time.Hour), TTL: 90 * time.Second, Hops: 3,
		Body: []byte(`{"n":5,"big":9007199254740993,"items":[{"sku":"a","count":2},{"sku":"b","count":7}],"none":null,"on":true,"o":{"p":"q"}}`),
		Attributes: []gatehouse.Attribute{
			{Name: "region", Value: gatehouse.String("eu")},
			{Name: "level", Value: gatehouse.Int64(-7)},
			{Name: "count", Value: gatehouse.Uint64(1 << 63)},
			{Name: "ratio", Value: gatehouse.Float64(0.5)},
			{Name: "on", Value: gatehouse.Bool(true)},
			{Name: "at", Value: gatehouse.Timestamp(noon())},
			{Name: "raw", Value: gatehouse.Binary([]byte{0, 255})},
			{Name: "uuid", Value: gatehouse.UUID([16]byte{15: 1})},
			{Name: "null", Value: gatehouse.Value{}},
			{Name: "list", Value: gatehouse.List(gatehouse.Int64(1), gatehouse.String("two"), gatehouse.Map(gatehouse.Attribute{Name: "x", Value: gatehouse.Bool(true)}))},
			{Name: "map", Value: gatehouse.Map(gatehouse.Attribute{Name: "a", Value: gatehouse.Int64(1)}, gatehouse.Attribute{Name: "b", Value: gatehouse.List()})},
			{Name: "region", Value: gatehouse.String("second of its name")},
			{Name: "with space", Value: gatehouse.String("s")},
		},
	}
}

func vars(m *gatehouse.Message) *Vars {
	return &Vars{
		Message: m, Channel: "Orders", Now: noon(),
		Endpoint: rule.Endpoint{Name: "pump-7", Labels: rule.Labels{{Key: "kind", Value: "pump"}, {Key: "site", Value: "oslo"}}},
	}
}

func TestTrue(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`msg.id == "id-1" && msg.type == "order.new" && msg.subject == "pumps/7" && msg.source == "/acme/endpoints/pump-7"`,
		`msg.contentType == "application/json" && msg.schema == "https://example.com/s"`,
		`msg.key == "k" && msg.group == "g" && msg.correlationId == "c" && msg.replyTo == "endpoints/pump-7"`,
		`msg.to == ["channels/orders", "endpoints/web"] && "endpoints/web" in msg.to && msg.to.size() == 2 && msg.to[0].startsWith("channels/")`,
		`msg.time == timestamp("2026-05-04T11:59:00Z") && now - msg.time == duration("1m")`,
		`msg.enqueued == now && msg.notBefore > now && msg.ttl == duration("90s") && msg.ttl < duration("2m")`,
		`msg.hops == 3 && msg.hops < 16`,
		`msg.size == size(msg.body) && msg.size > 100 && msg.size < 1e6 && size(msg.body) < 4096`,
		`endpoint.name == "pump-7" && endpoint.labels.site == "oslo" && endpoint.labels["kind"] in ["pump", "valve"] && !("x" in endpoint.labels)`,
		`channel.name == "Orders"`,
		`now.getFullYear() == 2026 && now.getHours() == 12 && now.getHours("Europe/Oslo") == 14 && now.getDayOfWeek() == 1`,

		`msg.attributes.region == "eu" && msg.attributes["with space"] == "s"`,
		`msg.attributes.level == -7 && msg.attributes.level < 0 && msg.attributes.count > 9223372036854775807u && msg.attributes.ratio * 2.0 == 1.0`,
		`msg.attributes.on && msg.attributes.at == now && msg.attributes.raw == b"\x00\xff" && msg.attributes["null"] == null`,
		`msg.attributes.uuid == "00000000-0000-0000-0000-000000000001"`,
		`msg.attributes.list[0] == 1 && msg.attributes.list[1] == "two" && msg.attributes.list[2].x && size(msg.attributes.list) == 3`,
		`msg.attributes.map == {"a": 1, "b": []} && {"a": 1, "b": []} == msg.attributes.map && msg.attributes.map.size() == 2`,
		`msg.attributes.map != {"a": 1} && msg.attributes.map != {"a": 1, "c": []} && msg.attributes.map != {"a": 2, "b": []}`,
		`has(msg.attributes.region) && !has(msg.attributes.nothing) && "level" in msg.attributes && !("Level" in msg.attributes)`,
		`msg.attributes.size() == 12 && msg.attributes.exists_one(a, a == "region") && msg.attributes.all(a, a != "")`,
		`type(msg.attributes.map) == map && type(msg.attributes.uuid) == string && type(msg.attributes.count) == uint`,
		`msg.attributes == msg.attributes`,

		`msg.json.n == 5 && msg.json.n > 4 && msg.json.n < 5.5 && msg.json.o.p == "q" && msg.json["on"] && msg.json.none == null`,
		`msg.json.items.exists(i, i.sku == "b" && i.count > 5) && msg.json.items.map(i, i.sku) == ["a", "b"] && size(msg.json.items) == 2`,
		`has(msg.json) && has(msg.json.n) && !has(msg.json.m) && has(msg.json.none)`,
		`type(msg.json.n) == double && type(msg.json) == map`,

		`msg == msg && dyn(msg) != dyn(channel) && type(msg) != type(channel) && dyn(msg).id == "id-1" && dyn(msg)["id"] == "id-1"`,
		`[msg, msg].all(m, m.type == "order.new") && has(dyn(msg).id)`,
		`msg.subject.matches("^pumps/[0-9]+$") && msg.subject.contains("/") && msg.subject.endsWith("7")`,
		`msg.subject.split("/")[1] == "7" && msg.id.upperAscii() == "ID-1" && msg.id.substring(3) == "1" && " a ".trim() == "a" && msg.id.indexOf("-") == 2`,
		`string(msg.body).contains("sku") && bytes(msg.id) == b"id-1"`,
		`msg.size > 5 ? msg.hops == 3 : false`,
		"msg.id == \"id-1\" && // the first\n\tmsg.hops == 3",
	} {
		c, err := Compile(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if is, err := c.Eval(vars(full())); !is || err != nil {
			t.Errorf("%s: got %v, %v; want true", text, is, err)
		}
	}
}

// TestEmpty is about what a message that has nothing makes of every field.
func TestEmpty(t *testing.T) {
	t.Parallel()
	env, err := theEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	for object, names := range map[string][]string{"msg": env.message.names, "endpoint": env.endpoint.names, "channel": env.channel.names} {
		for _, name := range names {
			c, err := Compile("has(" + object + "." + name + ")")
			if err != nil {
				t.Fatal(err)
			}
			if is, err := c.Eval(&Vars{Message: &gatehouse.Message{}}); is || err != nil {
				t.Errorf("has(%s.%s) of nothing: got %v, %v; want false", object, name, is, err)
			}
			if is, err := c.Eval(vars(full())); !is || err != nil {
				t.Errorf("has(%s.%s) of everything: got %v, %v; want true", object, name, is, err)
			}
		}
	}
	for _, text := range []string{
		`msg.id == "" && msg.to == [] && msg.size == 0 && msg.body == b"" && msg.attributes == {} && msg.attributes.size() == 0`,
		`msg.time < now || msg.time == timestamp("0001-01-01T00:00:00Z")`, `msg.ttl == duration("0s")`, `endpoint.labels == {}`,
	} {
		c, err := Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		if is, err := c.Eval(&Vars{Message: &gatehouse.Message{}}); !is || err != nil {
			t.Errorf("%s: got %v, %v; want true", text, is, err)
		}
	}
}

func TestNotTrue(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)
	long := `["` + strings.Repeat("a", maxJSON) + `"]`
	many := "[" + strings.Repeat("1,", 300_000) + "1]"
	for _, test := range []struct {
		text, body string
		err        string // that it has; none: it is false
	}{
		{`msg.id == "x"`, ``, ""},
		{`msg.attributes.nothing == 1`, ``, "no such key: nothing"},
		{`msg.attributes.nothing == 1 && msg.id == "x"`, ``, ""}, // false whatever the first says
		{`msg.attributes.region.x == 1`, ``, "no such"},
		{`msg.attributes.region < 1`, ``, "no such overload"},
		{`msg.attributes.list[7] == 1`, ``, "index"},
		{`endpoint.labels.nothing == "1"`, ``, "no such key: nothing"},
		{`dyn(msg).nothing == 1`, ``, "nothing"},
		{`has(dyn(msg).nothing)`, ``, "no such field: nothing"},
		{`1 / (msg.hops - 3) == 1`, ``, "division by zero"},
		{`msg.json.n == 1`, ``, "the body is empty"},
		{`msg.json.n == 1`, `{"n":1}}`, "the body is not JSON"},
		{`msg.json.n == 1`, "\"\xff\"", "not valid UTF-8"},
		{`msg.json.n == 1`, `{"n":1e999}`, "the body is not JSON"},
		{`msg.json.n == 1`, `[` + deep + `]`, "nested more than 256 deep"},
		{`msg.json[0] == 1`, deep, ""},
		{`msg.json.n == 1`, long, "longer than"},
		{`msg.json.n == 1`, `[1]`, "unsupported index type"},
		{`msg.json.exists(x, x == 2)`, many, "cost"},
		{`[msg.json].exists(l, l.exists(x, x == 2))`, many, "cost"},
	} {
		c, err := Compile(test.text)
		if err != nil {
			t.Fatal(err)
		}
		m := full()
		m.Body = []byte(test.body)
		is, err := c.Eval(vars(m))
		switch {
		case is:
			t.Errorf("%s of %.40s: it is true", test.text, test.body)
		case test.err == "" && err != nil:
			t.Errorf("%s of %.40s: got error %v", test.text, test.body, err)
		case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
			t.Errorf("%s of %.40s: got error %v; want %s", test.text, test.body, err, test.err)
		case err != nil && len(err.Error()) > maxReason+len("…"):
			t.Errorf("%s: the error has %d bytes", test.text, len(err.Error()))
		}
	}
}

// TestJSONOnce is about when the body is parsed: only if used, and once for
// all conditions over the same Vars.
func TestJSONOnce(t *testing.T) {
	t.Parallel()
	unused, err := Compile(`msg.type == "order.new" || msg.json.n == 1`)
	if err != nil {
		t.Fatal(err)
	}
	used, err := Compile(`msg.json.n == 1 && msg.json.m != 2 && has(msg.json)`)
	if err != nil {
		t.Fatal(err)
	}
	m := full()
	m.Body = []byte(`{"n":1,"m":1}`)
	v := vars(m)
	if is, err := unused.Eval(v); !is || err != nil || v.memo.json.message != nil {
		t.Fatalf("got %v, %v; parsed: %v", is, err, v.memo.json.message != nil)
	}
	if is, err := used.Eval(v); !is || err != nil {
		t.Fatal(is, err)
	}
	// What nobody may do shows that nobody looks again.
	copy(m.Body, bytes.Repeat([]byte("?"), len(m.Body)))
	if is, err := used.Eval(v); !is || err != nil {
		t.Fatal("it was parsed again:", is, err)
	}
	other := *m
	v.Message = &other
	if is, _ := used.Eval(v); is {
		t.Fatal("another message was not parsed")
	}
}

// TestUsesChannel is about what may be asked once for all channels.
func TestUsesChannel(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`channel.name == "a"`:                          true,
		`msg.to.exists(t, t.endsWith(channel.name))`:   true,
		`msg.type == "channel" && endpoint.name != ""`: false,
	} {
		c, err := Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		if c.UsesChannel() != want {
			t.Errorf("%s: got %v", text, !want)
		}
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text string
		want []string
		err  string
	}{
		{`"endpoints/" + msg.key`, []string{"endpoints/k"}, ""},
		{`msg.to`, []string{"channels/orders", "endpoints/web"}, ""},
		{`["channels/a", msg.replyTo]`, []string{"channels/a", "endpoints/pump-7"}, ""},
		{`msg.to.filter(t, t.startsWith("x"))`, nil, ""},
		{`msg.json.items.map(i, "endpoints/" + string(i.sku))`, []string{"endpoints/a", "endpoints/b"}, ""},
		{`msg.hops > 5 ? ["channels/a"] : ["channels/b"]`, []string{"channels/b"}, ""},
		{`string(msg.attributes.nothing)`, nil, "no such key"},
		{`msg.json.none.map(i, "x")`, nil, "expected iterable type"},
	} {
		a, err := CompileAddresses(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		got, err := a.Eval(vars(full()))
		if !slices.Equal(got, test.want) || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: got %q, %v; want %q, %s", test.text, got, err, test.want, test.err)
		}
	}
	a, err := CompileAddresses(`msg.to`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Eval(vars(&gatehouse.Message{To: make([]string, MaxAddresses+1)})); err == nil {
		t.Error("more than MaxAddresses are let through")
	}
}

func TestNoMessage(t *testing.T) {
	t.Parallel()
	c, err := Compile("true")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Eval(&Vars{}); err == nil {
		t.Error("it was evaluated without a message")
	}
}

// TestConcurrent is for the race detector: conditions are shared.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	c, err := Compile(`msg.json.items.exists(i, i.count > 5) && msg.attributes.region == "eu" && endpoint.labels.site == "oslo" && msg.id == channel.name`)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			m := full()
			m.ID = fmt.Sprint(i)
			v := vars(m)
			for j := range 200 {
				v.Channel = gatehouse.ChannelName(fmt.Sprint(j % 8))
				if is, err := c.Eval(v); is != (i == j%8) || err != nil {
					t.Errorf("message %d, channel %d: got %v, %v", i, j%8, is, err)
				}
			}
		})
	}
	all.Wait()
}
