package route

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/rule"
)

func names(globs ...string) rule.Selector { return rule.Selector{Names: globs} }

func channels() []gatehouse.ChannelName {
	return []gatehouse.ChannelName{"Telemetry", "orders", "alarms"}
}

func compileAll(t *testing.T, options []Option, rules ...Authorization) *Table {
	t.Helper()
	table, err := Compile(rules, channels(), options...)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func pump() rule.Endpoint { return rule.Endpoint{Name: "pump-7"} }

func TestCompileErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a    Authorization
		want string
	}{
		{Authorization{Direction: Ingress}, "route authorization 2: name: a name is missing"},
		{Authorization{Name: "FIRST", Direction: Ingress}, `route authorization "FIRST": name: there is another of that name; names are compared without case`},
		{Authorization{Name: "a"}, `route authorization "a": direction: "" is neither ingress nor egress`},
		{Authorization{Name: "a", Direction: "Ingress"}, `route authorization "a": direction: "Ingress" is neither ingress nor egress`},
		{Authorization{Name: "a", Direction: Ingress, Effect: "maybe"}, `route authorization "a": effect: "maybe" is neither allow nor deny`},
		{Authorization{Name: "a", Direction: Ingress, Endpoints: rule.Selector{Labels: "="}}, `route authorization "a": endpoints: labels: `},
		{Authorization{Name: "a", Direction: Ingress, Channels: names("a b")}, `route authorization "a": channels: names: `},
		{Authorization{Name: "a", Direction: Ingress, Channels: rule.Selector{Labels: "a=b"}}, `route authorization "a": channels: labels: channels have none; select them by names`},
		{Authorization{Name: "a", Direction: Ingress, Types: []string{"x", ""}}, `route authorization "a": types: `},
		{Authorization{Name: "a", Direction: Ingress, Types: make([]string, maxTypes+1)}, `route authorization "a": types: there are 4097; at most 4096 are allowed`},
		{Authorization{Name: "a", Direction: Ingress, When: "msg.tipe == 1"}, `route authorization "a": when: 1:5: undefined field 'tipe'`},
		{Authorization{Name: "a", Direction: Ingress, When: " "}, `route authorization "a": when: the expression is empty`},
		{Authorization{Name: "a", Direction: Ingress, When: "1 +", Enabled: new(bool)}, `route authorization "a": when: 1:4: Syntax error`},
	} {
		_, err := Compile([]Authorization{{Name: "first", Direction: Egress}, test.a}, channels())
		if err == nil || !strings.HasPrefix(err.Error(), test.want) || gatehouse.KindOf(err) != gatehouse.Invalid {
			t.Errorf("%+v: got %v; want %s", test.a, err, test.want)
		}
	}
}

// TestRefusals shows what people are told.
func TestRefusals(t *testing.T) {
	t.Parallel()
	table := compileAll(t, nil,
		Authorization{Name: "in", Direction: Ingress, Channels: names("telemetry"), Types: []string{"reading.*"}},
		Authorization{Name: "big", Direction: Ingress, Channels: names("orders"), When: "msg.size > 3"},
		Authorization{Name: "eu", Direction: Ingress, Channels: names("alarms"), When: `msg.attributes.region == "eu"`, Types: []string{"alarm"}},
		Authorization{Name: "no-tests", Direction: Ingress, Types: []string{"reading.test"}, Effect: Deny},
		Authorization{Name: "no-old", Direction: Ingress, Types: []string{"old"}, When: `msg.attributes.age > 3`, Effect: Deny},
		Authorization{Name: "out", Direction: Egress, Channels: names("orders"), When: "msg.size > 3"},
		Authorization{Name: "no-alarms", Direction: Egress, Channels: names("alarms"), Effect: Deny},
	)
	plan := table.Plan(pump())
	message := func(typ string, to ...string) *gatehouse.Message { return &gatehouse.Message{Type: typ, To: to} }
	aged := message("old", "channels/orders")
	aged.Attributes = []gatehouse.Attribute{{Name: "age", Value: gatehouse.Int64(4)}}
	_, err := table.Plan(pump()).Ingress(nil, message("x", "channels/../etc"), time.Time{})
	if gatehouse.KindOf(err) != gatehouse.Invalid {
		t.Errorf("a malformed address: %v", err)
	}
	const add = "; add an ingress route that does, or send "
	for _, test := range []struct {
		m          *gatehouse.Message
		rule, want string
	}{
		{message("", "channels/none"), "", `channel "none" does not exist, or no route authorization lets endpoint "pump-7" send messages without a type to it` + add + `to another channel`},
		{message("other", "channels/alarms"), "", `channel "alarms" does not exist, or no route authorization lets endpoint "pump-7" send type "other" to it` + add + `to another channel`},
		{message("reading.x", "channels/telemetry", "channels/ORDERS"), "", `no route authorization lets endpoint "pump-7" send type "reading.x" to channel "orders"; the condition of "big" is not true of this message`},
		{message("alarm", "channels/alarms"), "", `no route authorization lets endpoint "pump-7" send type "alarm" to channel "alarms"; the condition of "eu" cannot be evaluated on this message (no such key: region)`},
		{message("reading.test", "channels/telemetry"), "no-tests", `route authorization "no-tests" does not let endpoint "pump-7" send type "reading.test" to channel "Telemetry": it denies that; have it changed or disabled if that is wrong`},
		{message("reading.test"), "no-tests", `route authorization "no-tests" does not let endpoint "pump-7" send type "reading.test" to any channel: it denies that; have it changed or disabled if that is wrong`},
		{message("old", "channels/orders"), "no-old", `route authorization "no-old" does not let endpoint "pump-7" send type "old" to channel "orders": it denies what its condition cannot judge (no such key: age); mend the message or the condition`},
		{aged, "no-old", `route authorization "no-old" does not let endpoint "pump-7" send type "old" to channel "orders": it denies what its condition is true of; send something else or have it changed`},
		{message("other"), "", `no route authorization lets endpoint "pump-7" send type "other" to any channel; the condition of "big" is not true of this message`},
	} {
		_, err := plan.Ingress(nil, test.m, time.Time{})
		check(t, err, test.rule, test.want)
	}
	check(t, plan.Egress("telemetry", message("x"), time.Time{}), "", `no route authorization lets endpoint "pump-7" receive type "x" from channel "telemetry"; add an egress route that does`)
	check(t, plan.Egress("ORDERS", message("x"), time.Time{}), "", `no route authorization lets endpoint "pump-7" receive type "x" from channel "orders"; the condition of "out" is not true of this message`)
	check(t, plan.Egress("alarms", message("x"), time.Time{}), "no-alarms", `route authorization "no-alarms" does not let endpoint "pump-7" receive type "x" from channel "alarms": it denies that; have it changed or disabled if that is wrong`)

	var none *Table
	_, err = none.Plan(pump()).Ingress(nil, message("x"), time.Time{})
	check(t, err, "", `no route authorization lets endpoint "pump-7" send type "x" to any channel`+add+`another type`)
	check(t, none.Plan(pump()).Egress("orders", message("x"), time.Time{}), "", `no route authorization lets endpoint "pump-7" receive type "x" from channel "orders"; add an egress route that does`)
}

func check(t *testing.T, err error, ruleName, want string) {
	t.Helper()
	e, ok := err.(*gatehouse.Error)
	if !ok || e.Kind != gatehouse.Forbidden || e.Rule != ruleName || e.Text != want {
		t.Errorf("got %v\nwant rule %q, %s", err, ruleName, want)
	}
}

// TestOrder is about where messages go, in which order and under which name.
func TestOrder(t *testing.T) {
	t.Parallel()
	plan := compileAll(t, nil, Authorization{Name: "all", Direction: Ingress}).Plan(pump())
	for _, test := range []struct{ to, want string }{
		{"", "alarms orders Telemetry"},
		{"endpoints/web", "alarms orders Telemetry"},
		{"channels/TELEMETRY endpoints/web channels/alarms channels/telemetry", "Telemetry alarms"},
	} {
		got, err := plan.Ingress(nil, &gatehouse.Message{To: strings.Fields(test.to)}, time.Time{})
		if err != nil || strings.Trim(fmt.Sprint(got), "[]") != test.want {
			t.Errorf("%q: got %v, %v; want %s", test.to, got, err, test.want)
		}
	}
	// A channel that dst holds already is not one of the message's.
	got, err := plan.Ingress([]gatehouse.ChannelName{"orders"}, &gatehouse.Message{To: []string{"channels/orders"}}, time.Time{})
	if err != nil || !slices.Equal(got, []gatehouse.ChannelName{"orders", "orders"}) {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestExplain shows what an explanation says.
func TestExplain(t *testing.T) {
	t.Parallel()
	table := compileAll(t, nil,
		Authorization{Name: "off", Direction: Ingress, Enabled: new(bool)},
		Authorization{Name: "out", Direction: Egress},
		Authorization{Name: "web", Direction: Ingress, Endpoints: names("web")},
		Authorization{Name: "orders", Direction: Ingress, Types: []string{"order.*", "offer"}},
		Authorization{Name: "gone", Direction: Ingress, Channels: names("gone")},
		Authorization{Name: "all", Direction: Ingress},
		Authorization{Name: "some", Direction: Ingress, When: `channel.name == "orders"`, Effect: Deny},
		Authorization{Name: "json", Direction: Ingress, When: `msg.json.n == 1`},
		Authorization{Name: "judge", Direction: Ingress, When: `msg.json.n == 1`, Effect: Deny, Channels: names("alarms")},
	)
	steps, to := table.Plan(pump()).ExplainIngress(&gatehouse.Message{Type: "x"}, time.Time{})
	if !slices.Equal(to, []gatehouse.ChannelName{"Telemetry"}) {
		t.Errorf("it goes to %v", to)
	}
	want := []string{
		"off skipped: it is disabled",
		"out skipped: it is for egress",
		"web skipped: its selector does not match the endpoint",
		`orders no match: the message is of type "x", and it is for order.*, offer`,
		"gone no match: its selector matches no channel",
		"all allowed: it allows channels alarms, orders, Telemetry",
		"some no match: its condition is false, for channels alarms, Telemetry",
		"some denied: its condition is true; it denies channel orders",
		"json no match: its condition cannot be evaluated: msg.json: the body is empty",
		"judge denied: its condition cannot be evaluated (msg.json: the body is empty), which counts as true where it denies; it denies channel alarms",
	}
	got := make([]string, len(steps))
	for i, s := range steps {
		got[i] = fmt.Sprintf("%s %s: %s", s.Rule, s.Outcome, s.Reason)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var none *Table
	if steps, to := none.Plan(pump()).ExplainIngress(&gatehouse.Message{}, time.Time{}); len(steps) != 1 || to != nil {
		t.Errorf("without a table: %v, %v", steps, to)
	}
	if steps, ok := none.Plan(pump()).ExplainEgress("orders", &gatehouse.Message{}, time.Time{}); len(steps) != 1 || ok {
		t.Errorf("without a table: %v, %v", steps, ok)
	}
}

// TestOnError is about what is counted: a condition that fails, once for all
// channels unless it depends on them, and not in explanations.
func TestOnError(t *testing.T) {
	t.Parallel()
	failed := make(map[string]int)
	count := OnError(func(rule string, err error) {
		if err == nil {
			t.Error("there is no error")
		}
		failed[rule]++
	})
	plan := compileAll(
		t, []Option{count},
		Authorization{Name: "once", Direction: Ingress, When: `msg.json.n == 1`},
		Authorization{Name: "each", Direction: Ingress, When: `msg.json.n == 1 || channel.name == "x"`},
		Authorization{Name: "fine", Direction: Ingress, When: `msg.size == 0`},
	).Plan(pump())
	for range 2 {
		if to, err := plan.Ingress(nil, &gatehouse.Message{}, time.Time{}); err != nil || len(to) != 3 {
			t.Fatal(to, err)
		}
		plan.ExplainIngress(&gatehouse.Message{}, time.Time{})
	}
	if failed["once"] != 2 || failed["each"] != 6 || failed["fine"] != 0 {
		t.Errorf("got %v", failed)
	}
}

// TestPlans is about what endpoints share.
func TestPlans(t *testing.T) {
	t.Parallel()
	table := compileAll(
		t, nil,
		Authorization{Name: "pumps", Direction: Ingress, Endpoints: names("pump-*")},
		Authorization{Name: "all", Direction: Ingress},
	)
	a, b, c := table.Plan(rule.Endpoint{Name: "pump-1"}), table.Plan(rule.Endpoint{Name: "PUMP-2"}), table.Plan(rule.Endpoint{Name: "web"})
	if a.set != b.set || a.set == c.set {
		t.Error("endpoints that the same rules concern do not share a set, or others do")
	}
	if b.endpoint.Name != "PUMP-2" {
		t.Errorf("the plan is for %q", b.endpoint.Name)
	}
}

// TestTypes sends far more types than are kept, from several sides at once.
func TestTypes(t *testing.T) {
	t.Parallel()
	var rules []Authorization
	for i := range 8 {
		rules = append(rules, Authorization{Name: fmt.Sprintf("r%d", i), Direction: Ingress, Types: []string{fmt.Sprintf("*%d*", i)}, Channels: names([]string{"alarms", "orders"}[i%2])})
	}
	plan := compileAll(t, nil, rules...).Plan(pump())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 3 * keptTypes {
				typ := fmt.Sprint(i, strings.Repeat("x", i%2*longestKey))
				var want []gatehouse.ChannelName
				if strings.ContainsAny(typ, "0246") {
					want = append(want, "alarms")
				}
				if strings.ContainsAny(typ, "1357") {
					want = append(want, "orders")
				}
				if got, err := plan.Ingress(nil, &gatehouse.Message{Type: typ}, time.Time{}); !slices.Equal(got, want) || (err == nil) != (want != nil) {
					t.Errorf("type %.10s: got %v, %v; want %v", typ, got, err, want)
				}
			}
		})
	}
	all.Wait()
	w := plan.set.ingress
	if n := len(*w.types.Load()); n > keptTypes || n == 0 {
		t.Errorf("%d types are kept", n)
	}
	if len(w.lanes) > keptLanes || len(w.lanes) == 0 {
		t.Errorf("%d lanes are kept", len(w.lanes))
	}
}

// TestJSON is about the form in which authorizations are written.
func TestJSON(t *testing.T) {
	t.Parallel()
	text := `{"name":"out","direction":"egress","endpoints":{"labels":"site=oslo"},"channels":{"names":["telemetry"]},"types":["*"],"when":"msg.size \u003c 4096","effect":"deny","enabled":false}`
	var a Authorization
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatal(err)
	}
	want := Authorization{
		Name: "out", Direction: Egress, Endpoints: rule.Selector{Labels: "site=oslo"}, Channels: names("telemetry"),
		Types: []string{"*"}, When: "msg.size < 4096", Effect: Deny, Enabled: new(bool),
	}
	if !reflect.DeepEqual(a, want) {
		t.Errorf("got %+v", a)
	}
	back, err := json.Marshal(a)
	if err != nil || string(back) != text {
		t.Errorf("got %s, %v", back, err)
	}
	if least, err := json.Marshal(Authorization{Name: "a", Direction: Ingress}); err != nil || string(least) != `{"name":"a","direction":"ingress"}` {
		t.Errorf("got %s, %v", least, err)
	}
}
