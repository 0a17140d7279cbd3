package restrict

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/rule"

	"go.yaml.in/yaml/v3"
)

// noon is a Wednesday, 12:00 UTC.
var noon = time.Date(2026, 3, 25, 12, 0, 0, 0, time.UTC)

func endpoint(t testing.TB, name string, labels map[string]string) rule.Endpoint {
	t.Helper()
	l, err := rule.MakeLabels(labels)
	if err != nil {
		t.Fatal(err)
	}
	return rule.Endpoint{Name: gatehouse.EndpointName(name), Labels: l}
}

func table(t testing.TB, all ...Restriction) *Table {
	t.Helper()
	for i := range all {
		if all[i].Name == "" {
			all[i].Name = "r" + string(rune('1'+i))
		}
	}
	compiled, err := Compile(all)
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// plan returns the plan of the endpoint pump-7 under some restrictions, which
// are called r1, r2, … unless they have names.
func plan(t testing.TB, all ...Restriction) *Plan {
	t.Helper()
	return table(t, all...).Plan(endpoint(t, "pump-7", nil))
}

// expect holds err against a kind and a rule that must have refused; an empty
// rule wants no error.
func expect(t testing.TB, what string, err error, kind gatehouse.Kind, name string) {
	t.Helper()
	if name == "" {
		if err != nil {
			t.Errorf("%s: %v, want no objection", what, err)
		}
		return
	}
	e, ok := err.(*gatehouse.Error)
	if !ok || e.Kind != kind || e.Rule != name || !strings.Contains(e.Text, `"`+name+`"`) {
		t.Errorf("%s: %v, want %v by %q", what, err, kind, name)
	}
}

func TestWrongRestrictions(t *testing.T) {
	t.Parallel()
	many := make([]string, maxEntries+1)
	tests := map[string]Restriction{
		`restriction "r": endpoints: names: "a b"`:       {Endpoints: rule.Selector{Names: []string{"a b"}}},
		`endpoints: labels: label expression`:            {Endpoints: rule.Selector{Labels: "=x"}},
		`origins: 4097 entries`:                          {Origins: many},
		`networks: 4097 entries`:                         {Networks: many},
		`protocols: 4097 entries`:                        {Protocols: many},
		`contentTypes: 4097 entries`:                     {ContentTypes: many},
		`origins: "" is not an origin`:                   {Origins: []string{""}},
		`origins: "app.example.com" is not`:              {Origins: []string{"app.example.com"}},
		`"https://app.example.com/" has more than`:       {Origins: []string{"https://app.example.com/"}},
		`"https://app.example.com?" has more than`:       {Origins: []string{"https://app.example.com?"}},
		`"https://app.example.com#" has more than`:       {Origins: []string{"https://app.example.com#"}},
		`"https://u@app.example.com" has more than`:      {Origins: []string{"https://u@app.example.com"}},
		`"https://:8443" has no host`:                    {Origins: []string{"https://:8443"}},
		`"https://bücher.example": write the host`:       {Origins: []string{"https://bücher.example"}},
		`"https://a.example.com:x" is not an origin`:     {Origins: []string{"https://a.example.com:x"}},
		`"https://*." would let in`:                      {Origins: []string{"https://*."}},
		`"https://*.com" would let in every site`:        {Origins: []string{"https://*.com"}},
		`"https://*.com:8443" would let in every site`:   {Origins: []string{"https://*.com:8443"}},
		`"https://*": an asterisk may only`:              {Origins: []string{"https://*"}},
		`"https://a*.example.com": an asterisk may only`: {Origins: []string{"https://a*.example.com"}},
		`"https://*.*.example.com": an asterisk`:         {Origins: []string{"https://*.*.example.com"}},
		`networks: "10.0.0.0/33" is neither`:             {Networks: []string{"10.0.0.0/33"}},
		`networks: "10.0.0" is neither`:                  {Networks: []string{"10.0.0"}},
		`networks: "" is neither`:                        {Networks: []string{""}},
		`networks: "fe80::1%eth0" is neither`:            {Networks: []string{"fe80::1%eth0"}},
		`networks: "fe80::%eth0/64" is neither`:          {Networks: []string{"fe80::%eth0/64"}},
		`"10.1.2.3/16" has bits set behind its length; write 10.1.0.0/16 for the network or 10.1.2.3`: {Networks: []string{"10.1.2.3/16"}},
		`"::ffff:10.0.0.0/90" is wider than all IPv4`:                                                 {Networks: []string{"::ffff:10.0.0.0/90"}},
		`protocols: a name is missing`:                                                                {Protocols: []string{"https", ""}},
		`protocols: name "ht tp"`:                                                                     {Protocols: []string{"ht tp"}},
		`maxSize: it is negative`:                                                                     {MaxSize: -1},
		`rate: it has neither messages nor bytes`:                                                     {Rate: &Rate{}},
		`rate: messages: it is not a positive number`:                                                 {Rate: &Rate{Messages: -1}},
		`rate: messages: it is not a positive number `:                                                {Rate: &Rate{Messages: math.NaN()}},
		`rate: messages: it is not a positive number  `:                                               {Rate: &Rate{Messages: math.Inf(1)}},
		`rate: messageBurst: it is negative`:                                                          {Rate: &Rate{Messages: 1, MessageBurst: -1}},
		`rate: messageBurst: it means nothing`:                                                        {Rate: &Rate{Bytes: 1, MessageBurst: 1}},
		`rate: bytes: it is negative`:                                                                 {Rate: &Rate{Bytes: -1}},
		`rate: byteBurst: it is negative`:                                                             {Rate: &Rate{Bytes: 1, ByteBurst: -1}},
		`rate: byteBurst: it means nothing`:                                                           {Rate: &Rate{Messages: 1, ByteBurst: 1}},
		`rate: a number is greater than 1125899906842624`:                                             {Rate: &Rate{Bytes: maxBurst + 1}},
		`rate: a number is greater than 1125899906842624 `:                                            {Rate: &Rate{Messages: 1e300}},
		`contentTypes: an entry is empty`:                                                             {ContentTypes: []string{" "}},
		`contentTypes: "text/plain;charset=utf-8" has param`:                                          {ContentTypes: []string{"text/plain;charset=utf-8"}},
		`schema: it is not an object`:                                                                 {Schema: "object"},
		`hours: days: "mo" is not a day`:                                                              {Hours: &Hours{Days: []string{"mo"}}},
		`hours: days: "" is not a day`:                                                                {Hours: &Hours{Days: []string{""}}},
		`hours: days: "mon-" is not a day`:                                                            {Hours: &Hours{Days: []string{"mon-"}}},
		`hours: days: "mon-tue-wed" is not a day`:                                                     {Hours: &Hours{Days: []string{"mon-tue-wed"}}},
		`hours: from: "24:00" is not a time`:                                                          {Hours: &Hours{From: "24:00"}},
		`hours: from: "8" is not a time`:                                                              {Hours: &Hours{From: "8"}},
		`hours: from: "8:60" is not a time`:                                                           {Hours: &Hours{From: "8:60"}},
		`hours: to: "24:01" is not a time`:                                                            {Hours: &Hours{To: "24:01"}},
		`hours: to: "5pm" is not a time`:                                                              {Hours: &Hours{To: "5pm"}},
		`hours: from and to are the same`:                                                             {Hours: &Hours{From: "08:00", To: "08:00"}},
		`hours: from and to are the same; leave`:                                                      {Hours: &Hours{To: "00:00"}},
		`hours: zone: "Local" depends`:                                                                {Hours: &Hours{Zone: "Local"}},
		`hours: zone: "Europe/Olso" is not`:                                                           {Hours: &Hours{Zone: "Europe/Olso"}},
		`hours: zone: "../etc/passwd" is not`:                                                         {Hours: &Hours{Zone: "../etc/passwd"}},
	}
	off := false
	for want, r := range tests {
		for _, enabled := range []*bool{nil, &off} { // a disabled one must be valid too
			r.Name, r.Enabled = "r", enabled
			_, err := Compile([]Restriction{{Name: "fine"}, r})
			if gatehouse.KindOf(err) != gatehouse.Invalid || !strings.Contains(err.Error(), strings.TrimRight(want, " ")) || !strings.Contains(err.Error(), `restriction "r"`) {
				t.Errorf("%v, want one that says %q", err, want)
			}
		}
	}
}

func TestNamesOfRestrictions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		names []string
		want  string
	}{
		{[]string{""}, "restriction 1: name: a name is missing"},
		{[]string{"a", "b c"}, `restriction 2: name: name "b c"`},
		{[]string{"web", "WEB"}, `restriction "WEB": name: there is another`},
	} {
		var all []Restriction
		for _, name := range tt.names {
			all = append(all, Restriction{Name: name})
		}
		if _, err := Compile(all); gatehouse.KindOf(err) != gatehouse.Invalid || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want one that says %q", tt.names, err, tt.want)
		}
	}
}

func TestNothingRestrictsNothing(t *testing.T) {
	t.Parallel()
	var none *Table
	pump := endpoint(t, "pump-7", nil)
	for name, p := range map[string]*Plan{
		"nil table":     none.Plan(pump),
		"empty table":   table(t).Plan(pump),
		"other's":       table(t, Restriction{Endpoints: rule.Selector{Names: []string{"x"}}, MaxSize: 1}).Plan(pump),
		"no conditions": table(t, Restriction{}).Plan(pump),
	} {
		expect(t, name+": connect", p.Connect(Connection{Protocol: "amqp"}, noon), 0, "")
		e, ok := errors.AsType[*gatehouse.Error](p.Connect(Connection{Origin: "null"}, noon))
		if !ok || e.Kind != gatehouse.Restricted || e.Rule != RuleOrigins {
			t.Errorf("%s: a web page is told %+v", name, e)
		}
		expect(t, name+": message", p.Message(new(Limiter), &gatehouse.Message{Body: []byte("ab")}, noon), 0, "")
		if p.Timed() {
			t.Errorf("%s: it is timed", name)
		}
	}
}

func TestPlansAreShared(t *testing.T) {
	t.Parallel()
	tab := table(
		t,
		Restriction{Endpoints: rule.Selector{Names: []string{"pump-*"}}, MaxSize: 1},
		Restriction{Endpoints: rule.Selector{Labels: "site=oslo"}, MaxSize: 2},
	)
	oslo := map[string]string{"site": "oslo"}
	one, two, both := tab.Plan(endpoint(t, "pump-1", nil)), tab.Plan(endpoint(t, "valve", oslo)), tab.Plan(endpoint(t, "pump-1", oslo))
	if one != tab.Plan(endpoint(t, "PUMP-2", nil)) || two != tab.Plan(endpoint(t, "x", oslo)) || both != tab.Plan(endpoint(t, "pump-3", oslo)) {
		t.Error("endpoints with the same restrictions have plans of their own")
	}
	if one == two || two == both || one == both {
		t.Error("endpoints with different restrictions share a plan")
	}
}

func TestSelectionAndEnabling(t *testing.T) {
	t.Parallel()
	off, on := false, true
	tab := table(
		t,
		Restriction{Name: "off", Enabled: &off, MaxSize: 1},
		Restriction{Name: "on", Enabled: &on, MaxSize: 50, Endpoints: rule.Selector{Names: []string{"pump-*"}}},
		Restriction{Name: "oslo", MaxSize: 20, Endpoints: rule.Selector{Labels: "site=oslo"}},
	)
	for _, tt := range []struct {
		name string
		site string
		size int
		want string
	}{
		{"pump-7", "bergen", 50, ""},
		{"pump-7", "bergen", 51, "on"},
		{"PUMP-7", "bergen", 51, "on"},
		{"valve", "bergen", 1000, ""},
		{"valve", "oslo", 20, ""},
		{"valve", "oslo", 21, "oslo"},
		{"pump-7", "oslo", 21, "oslo"},
	} {
		p := tab.Plan(endpoint(t, tt.name, map[string]string{"site": tt.site}))
		expect(t, tt.name+" of "+tt.site, p.Message(nil, &gatehouse.Message{Body: make([]byte, tt.size)}, noon), gatehouse.TooLarge, tt.want)
	}
}

// A restriction means the same in the JSON of the API and the YAML of files,
// and what is written is read back.
func TestFormsOfRestrictions(t *testing.T) {
	t.Parallel()
	const asYAML = `
name: web-only
endpoints: {labels: "kind=web"}
enabled: true
origins: ["https://app.example.com"]
networks: [10.1.0.0/16]
protocols: [https]
requireTLS: true
maxSize: 64KiB
rate: {messages: 2.5, messageBurst: 10, bytes: 1MiB, byteBurst: 2MiB}
contentTypes: [application/json]
schema: {type: object, properties: {n: {type: integer, minimum: 1}}}
hours: {days: [mon-fri], from: "08:00", to: "17:00", zone: Europe/Oslo}
`
	var first, second Restriction
	if err := yaml.Unmarshal([]byte(asYAML), &first); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &second); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	again, err := yaml.Marshal(second)
	if err != nil {
		t.Fatal(err)
	}
	var third Restriction
	if err := yaml.Unmarshal(again, &third); err != nil {
		t.Fatalf("%s: %v", again, err)
	}
	for form, r := range map[string]Restriction{"YAML": first, "JSON": second, "YAML again": third} {
		p := table(t, r).Plan(endpoint(t, "browser", map[string]string{"kind": "web"}))
		m := &gatehouse.Message{ContentType: "application/json", Body: []byte(`{"n":1}`)}
		expect(t, form+": a good message", p.Message(new(Limiter), m, noon), 0, "")
		m.Body = []byte(`{"n":0}`)
		expect(t, form+": a bad message", p.Message(new(Limiter), m, noon), gatehouse.Restricted, "web-only")
		m.Body = make([]byte, 64<<10+1)
		expect(t, form+": a large message", p.Message(new(Limiter), m, noon), gatehouse.TooLarge, "web-only")
		expect(t, form+": at night", p.Message(new(Limiter), m, noon.Add(12*time.Hour)), gatehouse.Restricted, "web-only")
		expect(t, form+": without TLS", p.Connect(Connection{Protocol: "https"}, noon), gatehouse.Restricted, "web-only")
	}
}
