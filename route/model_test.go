package route

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/rule"

	"pgregory.net/rapid"
)

// The model says what the documentation says, rule by rule and channel by
// channel, without anything compiled. It knows few globs, and the truth of
// conditions from Go functions beside their text.

// A truth is what a condition comes to.
type truth int

const (
	isFalse truth = iota
	isTrue
	fails
)

func truthOf(b bool) truth {
	if b {
		return isTrue
	}
	return isFalse
}

type modelCondition struct {
	text string
	of   func(m *gatehouse.Message, e rule.Endpoint, channel gatehouse.ChannelName, now time.Time) truth
}

// attribute returns what a comparison with a string attribute comes to.
func attribute(m *gatehouse.Message, name, want string) truth {
	v, ok := m.Attribute(name)
	if !ok {
		return fails
	}
	return truthOf(v.Type() == gatehouse.TypeString && v.Str() == want)
}

func modelConditions() []modelCondition {
	return []modelCondition{
		{"", func(*gatehouse.Message, rule.Endpoint, gatehouse.ChannelName, time.Time) truth { return isTrue }},
		{"false", func(*gatehouse.Message, rule.Endpoint, gatehouse.ChannelName, time.Time) truth { return isFalse }},
		{`msg.size < 4`, func(m *gatehouse.Message, _ rule.Endpoint, _ gatehouse.ChannelName, _ time.Time) truth {
			return truthOf(len(m.Body) < 4)
		}},
		{`msg.type == "order.new"`, func(m *gatehouse.Message, _ rule.Endpoint, _ gatehouse.ChannelName, _ time.Time) truth {
			return truthOf(m.Type == "order.new")
		}},
		{`msg.attributes.region == "eu"`, func(m *gatehouse.Message, _ rule.Endpoint, _ gatehouse.ChannelName, _ time.Time) truth {
			return attribute(m, "region", "eu")
		}},
		{`has(msg.attributes.region) && msg.attributes.region == "eu"`, func(m *gatehouse.Message, _ rule.Endpoint, _ gatehouse.ChannelName, _ time.Time) truth {
			return truthOf(attribute(m, "region", "eu") == isTrue)
		}},
		{`channel.name == "beta"`, func(_ *gatehouse.Message, _ rule.Endpoint, c gatehouse.ChannelName, _ time.Time) truth {
			return truthOf(c == "beta")
		}},
		{`endpoint.labels.site == "oslo"`, func(_ *gatehouse.Message, e rule.Endpoint, _ gatehouse.ChannelName, _ time.Time) truth {
			site, ok := e.Labels.Get("site")
			if !ok {
				return fails
			}
			return truthOf(site == "oslo")
		}},
		{`has(msg.json)`, func(m *gatehouse.Message, _ rule.Endpoint, _ gatehouse.ChannelName, _ time.Time) truth {
			return truthOf(string(m.Body) == `{"n":5}`)
		}},
		{`msg.json.n > 3`, func(m *gatehouse.Message, _ rule.Endpoint, _ gatehouse.ChannelName, _ time.Time) truth {
			if string(m.Body) != `{"n":5}` {
				return fails
			}
			return isTrue
		}},
		{`channel.name == "alpha" ? msg.json.n > 3 : now > msg.time`, func(m *gatehouse.Message, _ rule.Endpoint, c gatehouse.ChannelName, now time.Time) truth {
			switch {
			case c != "alpha":
				return truthOf(now.After(m.Time))
			case string(m.Body) != `{"n":5}`:
				return fails
			}
			return isTrue
		}},
	}
}

// modelGlob is a glob with at most one asterisk, at its end.
func modelGlob(glob, text string) bool {
	if before, ok := strings.CutSuffix(glob, "*"); ok {
		return strings.HasPrefix(text, before)
	}
	return glob == text
}

func modelNames(globs []string, name string) bool {
	return len(globs) == 0 || slices.ContainsFunc(globs, func(g string) bool { return modelGlob(strings.ToLower(g), strings.ToLower(name)) })
}

type model struct {
	rules      []Authorization
	conditions map[string]modelCondition
	channels   []gatehouse.ChannelName
	endpoint   rule.Endpoint
	message    *gatehouse.Message
	now        time.Time
}

// matches reports whether rule r matches the message on its way through a
// channel, its condition included.
func (m *model) matches(r *Authorization, d Direction, channel gatehouse.ChannelName) bool {
	if r.Enabled != nil && !*r.Enabled || r.Direction != d {
		return false
	}
	if !modelNames(r.Endpoints.Names, string(m.endpoint.Name)) || !modelNames(r.Channels.Names, string(channel)) {
		return false
	}
	if site, _ := m.endpoint.Labels.Get("site"); r.Endpoints.Labels == "site=oslo" && site != "oslo" {
		return false
	}
	if len(r.Types) > 0 && !slices.ContainsFunc(r.Types, func(g string) bool { return modelGlob(g, m.message.Type) }) {
		return false
	}
	t := m.conditions[r.When].of(m.message, m.endpoint, channel, m.now)
	return t == isTrue || t == fails && r.Effect == Deny
}

// allows reports whether the message may pass, and the names of the rules that
// deny it.
func (m *model) allows(d Direction, channel gatehouse.ChannelName) (allowed bool, deniers []string) {
	for i := range m.rules {
		r := &m.rules[i]
		if !m.matches(r, d, channel) {
			continue
		}
		if r.Effect == Deny {
			deniers = append(deniers, r.Name)
		} else {
			allowed = true
		}
	}
	return allowed && deniers == nil, deniers
}

// defined returns the channel of that name, if there is one.
func (m *model) defined(name string) (gatehouse.ChannelName, bool) {
	for _, c := range m.channels {
		if strings.EqualFold(string(c), name) {
			return c, true
		}
	}
	return "", false
}

// ingress returns where the message goes, and who may be blamed if nowhere.
func (m *model) ingress() (to []gatehouse.ChannelName, ok bool, deniers []string) {
	named := false
	for _, address := range m.message.To {
		name, ok := strings.CutPrefix(strings.ToLower(address), "channels/")
		if !ok {
			continue
		}
		named = true
		c, ok := m.defined(name)
		if !ok {
			return nil, false, nil
		}
		allowed, deniers := m.allows(Ingress, c)
		if !allowed {
			return nil, false, deniers
		}
		if !slices.Contains(to, c) {
			to = append(to, c)
		}
	}
	if named {
		return to, true, nil
	}
	for _, c := range m.channels {
		allowed, who := m.allows(Ingress, c)
		if allowed {
			to = append(to, c)
		}
		deniers = append(deniers, who...)
	}
	slices.SortFunc(to, func(a, b gatehouse.ChannelName) int {
		return strings.Compare(strings.ToLower(string(a)), strings.ToLower(string(b)))
	})
	return to, len(to) > 0, deniers
}

func drawRules(t *rapid.T, conditions []modelCondition) []Authorization {
	n := rapid.IntRange(0, 6).Draw(t, "rules")
	rules := make([]Authorization, n)
	some := func(label string, of ...string) []string {
		return rapid.SliceOfN(rapid.SampledFrom(of), 0, 2).Draw(t, label)
	}
	for i := range rules {
		r := &rules[i]
		r.Name = fmt.Sprintf("r%d", i)
		r.Direction = rapid.SampledFrom([]Direction{Ingress, Egress}).Draw(t, "direction")
		r.Effect = rapid.SampledFrom([]Effect{"", Allow, Allow, Deny}).Draw(t, "effect")
		r.Endpoints.Names = some("endpoints", "pump-*", "Pump-7", "web", "*")
		r.Endpoints.Labels = rapid.SampledFrom([]string{"", "", "site=oslo"}).Draw(t, "labels")
		r.Channels.Names = some("channels", "Alpha", "be*", "gamma", "*", "none")
		r.Types = some("types", "*", "order.*", "order.new", "Order.new", "alarm")
		r.When = conditions[rapid.IntRange(0, len(conditions)-1).Draw(t, "when")].text
		if rapid.IntRange(0, 9).Draw(t, "enabled") == 0 {
			r.Enabled = new(bool)
		}
	}
	return rules
}

func drawMessage(t *rapid.T, now time.Time) *gatehouse.Message {
	m := &gatehouse.Message{
		ID:   "1",
		Type: rapid.SampledFrom([]string{"order.new", "order.old", "alarm", "Alarm", "", "other"}).Draw(t, "type"),
		Body: []byte(rapid.SampledFrom([]string{"", "abc", "abcdef", `{"n":5}`}).Draw(t, "body")),
		Time: now.Add(rapid.SampledFrom([]time.Duration{-time.Hour, time.Hour}).Draw(t, "time")),
		To:   rapid.SliceOfN(rapid.SampledFrom([]string{"channels/alpha", "channels/ALPHA", "Channels/beta", "channels/gamma", "channels/none", "endpoints/web"}), 0, 3).Draw(t, "to"),
	}
	if rapid.Bool().Draw(t, "has region") {
		m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: "region", Value: rapid.SampledFrom([]gatehouse.Value{
			gatehouse.String("eu"), gatehouse.String("us"), gatehouse.Int64(3), {},
		}).Draw(t, "region")})
	}
	return m
}

func drawEndpoint(t *rapid.T) rule.Endpoint {
	e := rule.Endpoint{Name: rapid.SampledFrom([]gatehouse.EndpointName{"pump-7", "PUMP-8", "web"}).Draw(t, "endpoint")}
	if site := rapid.SampledFrom([]string{"", "oslo", "rome"}).Draw(t, "site"); site != "" {
		e.Labels = rule.Labels{{Key: "site", Value: site}}
	}
	return e
}

// TestModel holds decisions and explanations against the model.
func TestModel(t *testing.T) {
	t.Parallel()
	conditions := modelConditions()
	byText := make(map[string]modelCondition)
	for _, c := range conditions {
		byText[c.text] = c
	}
	check := func(t *rapid.T) {
		m := &model{conditions: byText, rules: drawRules(t, conditions), channels: []gatehouse.ChannelName{"beta", "gamma", "alpha"}}
		table, err := Compile(m.rules, m.channels)
		if err != nil {
			t.Fatal(err)
		}
		m.now = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
		for range rapid.IntRange(1, 4).Draw(t, "messages") {
			m.endpoint, m.message = drawEndpoint(t), drawMessage(t, m.now)
			plan := table.Plan(m.endpoint)
			m.checkIngress(t, plan)
			from := rapid.SampledFrom([]gatehouse.ChannelName{"alpha", "BETA", "gamma", "none"}).Draw(t, "from")
			m.checkEgress(t, plan, from)
		}
	}
	for range 20 { // of a hundred rule sets each
		rapid.Check(t, check)
	}
}

func (m *model) checkIngress(t *rapid.T, plan Plan) {
	want, ok, deniers := m.ingress()
	prefix := []gatehouse.ChannelName{"kept"}
	got, err := plan.Ingress(prefix, m.message, m.now)
	if ok {
		if err != nil {
			t.Fatalf("Ingress refuses (%v), the model lets it go to %v", err, want)
		}
		if !slices.Equal(got, append(prefix, want...)) {
			t.Fatalf("Ingress returns %v, the model %v", got, want)
		}
	} else {
		checkRefusal(t, err, deniers)
	}
	steps, channels := plan.ExplainIngress(m.message, m.now)
	if !slices.Equal(channels, want) {
		t.Fatalf("ExplainIngress returns %v, the model %v", channels, want)
	}
	m.checkSteps(t, steps, err)
}

func (m *model) checkEgress(t *rapid.T, plan Plan, from gatehouse.ChannelName) {
	var want bool
	var deniers []string
	if c, ok := m.defined(string(from)); ok {
		want, deniers = m.allows(Egress, c)
	}
	err := plan.Egress(from, m.message, m.now)
	if want && err != nil {
		t.Fatalf("Egress refuses (%v), the model does not", err)
	}
	if !want {
		checkRefusal(t, err, deniers)
	}
	steps, allowed := plan.ExplainEgress(from, m.message, m.now)
	if allowed != want {
		t.Fatalf("ExplainEgress says %v, the model %v", allowed, want)
	}
	m.checkSteps(t, steps, err)
}

// checkRefusal checks that err refuses and blames one of the deniers, if there
// are any.
func checkRefusal(t *rapid.T, err error, deniers []string) {
	if gatehouse.KindOf(err) != gatehouse.Forbidden || err == nil {
		t.Fatalf("error %v is not Forbidden", err)
	}
	e := err.(*gatehouse.Error)
	switch {
	case len(deniers) == 0 && e.Rule != "":
		t.Fatalf("it blames %q, the model nobody: %v", e.Rule, err)
	case len(deniers) > 0 && !slices.Contains(deniers, e.Rule):
		t.Fatalf("it blames %q, the model %v: %v", e.Rule, deniers, err)
	case e.Rule != "" && !strings.Contains(e.Text, fmt.Sprintf("%q", e.Rule)):
		t.Fatalf("the text does not name rule %q: %v", e.Rule, err)
	}
}

// checkSteps checks that an explanation has a step for every rule, in their
// order, that they have reasons, and that they fit the error: the last step
// repeats it, the rule it blames denies, and what passes some rule allows.
func (m *model) checkSteps(t *rapid.T, steps []rule.Step, err error) {
	outcomes := make(map[string][]string)
	var order []string
	for _, s := range steps {
		if s.Kind != StepKind || s.Reason == "" {
			t.Fatalf("step %+v is incomplete", s)
		}
		if s.Rule != "" && !slices.Contains(order, s.Rule) {
			order = append(order, s.Rule)
		}
		outcomes[s.Rule] = append(outcomes[s.Rule], s.Outcome)
	}
	want := make([]string, len(m.rules))
	for i := range m.rules {
		want[i] = m.rules[i].Name
	}
	if !slices.Equal(order, want) {
		t.Fatalf("steps are about %v, the rules are %v", order, want)
	}
	if err == nil {
		if !slices.ContainsFunc(steps, func(s rule.Step) bool { return s.Outcome == Allowed }) || len(outcomes[""]) > 0 {
			t.Fatalf("it is allowed, but not according to the steps: %+v", steps)
		}
		return
	}
	if last := steps[len(steps)-1]; last.Rule != "" || last.Outcome != Denied || last.Reason != err.Error() {
		t.Fatalf("the last step is %+v, the error %v", last, err)
	}
	if by := err.(*gatehouse.Error).Rule; by != "" && !slices.Contains(outcomes[by], Denied) {
		t.Fatalf("the error blames %q, whose outcomes are %v", by, outcomes[by])
	}
}
