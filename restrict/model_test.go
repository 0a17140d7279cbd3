package restrict

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/rule"

	"pgregory.net/rapid"
)

// The model says what one restriction objects to, condition by condition, from
// its text and as its documentation reads, with no thought for speed.

func modelSelects(s rule.Selector, name string, labels map[string]string) bool {
	byName := len(s.Names) == 0
	for _, glob := range s.Names {
		pattern := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(glob))
		byName = byName || regexp.MustCompile("(?is)^"+pattern+"$").MatchString(name)
	}
	byLabel := true
	if s.Labels != "" {
		for _, part := range strings.Split(s.Labels, ",") {
			key, value, unequal := strings.Cut(part, "!=")
			if !unequal {
				key, value, _ = strings.Cut(part, "=")
			}
			got, there := labels[key]
			byLabel = byLabel && (there && got == value) != unequal
		}
	}
	return byName && byLabel
}

func modelOrigin(text string) (scheme, host, port string) {
	scheme, rest, _ := strings.Cut(strings.ToLower(text), "://")
	host, port, _ = strings.Cut(rest, ":")
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return scheme, host, port
}

func modelAllowsOrigin(list []string, header string) bool {
	if len(list) == 0 || header == "" {
		return true
	}
	scheme, host, port := modelOrigin(header)
	for _, text := range list {
		if text == "*" {
			return true
		}
		s, h, p := modelOrigin(text)
		below, wild := strings.CutPrefix(h, "*")
		matches := host == h || wild && len(host) > len(below) && strings.HasSuffix(host, below)
		if matches && s == scheme && p == port {
			return true
		}
	}
	return false
}

// bits writes an address as ones and zeros: 32 of them for IPv4 in any form.
func bits(addr netip.Addr) string {
	var b strings.Builder
	for _, c := range addr.Unmap().AsSlice() {
		fmt.Fprintf(&b, "%08b", c)
	}
	return b.String()
}

func modelAllowsAddress(list []string, addr netip.Addr) bool {
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a := netip.MustParseAddr(text)
			p = netip.PrefixFrom(a, a.BitLen())
		}
		n, all := p.Bits(), bits(p.Addr())
		if p.Addr().Is4In6() {
			n -= 96
		}
		if addr.IsValid() && len(bits(addr)) == len(all) && strings.HasPrefix(bits(addr), all[:n]) {
			return true
		}
	}
	return len(list) == 0
}

var modelDays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// modelOpen tries the day before and the day itself: do hours that begin then
// hold now, on the clocks of the zone?
func modelOpen(h *Hours, now time.Time) bool {
	if h == nil {
		return true
	}
	zone, err := time.LoadLocation(h.Zone)
	if err != nil {
		panic(err)
	}
	clock := func(text, otherwise string) int {
		var hour, minute int
		if text == "" {
			text = otherwise
		}
		if _, err := fmt.Sscanf(text, "%d:%d", &hour, &minute); err != nil {
			panic(err)
		}
		return hour*60 + minute
	}
	from, to := clock(h.From, "0:00"), clock(h.To, "24:00")
	if to < from {
		to += 24 * 60
	}
	local := now.In(zone)
	for ago := range 2 {
		day := (int(local.Weekday()) + 7 - ago) % 7
		since := ago*24*60 + local.Hour()*60 + local.Minute() // minutes on the clocks
		if (len(h.Days) == 0 || slices.Contains(h.Days, modelDays[day])) && from <= since && since < to {
			return true
		}
	}
	return false
}

// modelSchemas are schemas by title, with what they ask for.
func modelSchemas() map[string]struct {
	schema map[string]any
	holds  func(any) bool
} {
	return map[string]struct {
		schema map[string]any
		holds  func(any) bool
	}{
		"object":   {map[string]any{"type": "object"}, func(v any) bool { _, ok := v.(map[string]any); return ok }},
		"positive": {map[string]any{"exclusiveMinimum": 0}, func(v any) bool { n, ok := v.(float64); return !ok || n > 0 }},
		"short":    {map[string]any{"maxItems": 1}, func(v any) bool { l, ok := v.([]any); return !ok || len(l) <= 1 }},
	}
}

func modelSize(m *gatehouse.Message) int {
	n := len(m.Body)
	for _, a := range m.Attributes {
		n += len(a.Name)
		switch a.Value.Type() {
		case gatehouse.TypeString:
			n += len(a.Value.Str())
		case gatehouse.TypeInt64:
			n += 8
		}
	}
	return n
}

func modelAllowsType(list []string, contentType string) bool {
	media := strings.TrimSpace(strings.SplitN(contentType, ";", 2)[0])
	for _, glob := range list {
		if glob == "*" || media != "" && modelSelects(rule.Selector{Names: []string{glob}}, media, nil) {
			return true
		}
	}
	return len(list) == 0
}

// modelConnect returns whether r objects to a connection.
func modelConnect(r *Restriction, c Connection, now time.Time) bool {
	protocol := len(r.Protocols) == 0
	for _, p := range r.Protocols {
		protocol = protocol || strings.EqualFold(p, c.Protocol)
	}
	return r.RequireTLS && !c.TLS || !protocol || !modelAllowsAddress(r.Networks, c.Remote) || !modelAllowsOrigin(r.Origins, c.Origin) || !modelOpen(r.Hours, now)
}

// modelMessage returns the kinds of error with which r objects to a message
// that finds its rates full.
func modelMessage(r *Restriction, m *gatehouse.Message, now time.Time) (kinds []gatehouse.Kind) {
	if r.MaxSize > 0 && modelSize(m) > int(r.MaxSize) {
		kinds = append(kinds, gatehouse.TooLarge)
	}
	if r.Rate != nil && r.Rate.Bytes > 0 {
		burst := r.Rate.ByteBurst
		if burst == 0 {
			burst = r.Rate.Bytes
		}
		if modelSize(m) > int(burst) {
			kinds = append(kinds, gatehouse.TooLarge)
		}
	}
	if !modelOpen(r.Hours, now) || !modelAllowsType(r.ContentTypes, m.ContentType) {
		kinds = append(kinds, gatehouse.Restricted)
	}
	if r.Schema != nil {
		var doc any
		schema := modelSchemas()[r.Schema.(map[string]any)["title"].(string)]
		if json.Unmarshal(m.Body, &doc) != nil || !schema.holds(doc) {
			kinds = append(kinds, gatehouse.Restricted)
		}
	}
	return kinds
}

// some draws a few of all, or none.
func some(t *rapid.T, label string, all ...string) []string {
	if !rapid.Bool().Draw(t, "has "+label) {
		return nil
	}
	return rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, 3, rapid.ID[string]).Draw(t, label)
}

func drawRestriction(t *rapid.T, name string) Restriction {
	r := Restriction{
		Name: name,
		Endpoints: rule.Selector{
			Names:  some(t, "names", "pump-*", "PUMP-?", "*7", "valve-7", "*"),
			Labels: strings.Join(some(t, "labels", "site=oslo", "site!=oslo", "kind=web", "kind!=web"), ","),
		},
		Origins: some(t, "origins", "https://a.example.com", "https://*.example.com", "HTTPS://A.example.com:443", "http://a.example.com",
			"https://a.example.com:8443", "https://*.b.example.com:8443", "http://*.example.com:80", "*"),
		Networks:     some(t, "networks", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "::ffff:10.1.2.0/120", "2001:db8::/32", "2001:db8::7", "0.0.0.0/0", "::/0"),
		Protocols:    some(t, "protocols", "https", "AMQP", "mqtt"),
		RequireTLS:   rapid.Bool().Draw(t, "TLS"),
		ContentTypes: some(t, "content types", "application/json", "TEXT/*", "*+json", "*", "text/pla?n"),
	}
	if rapid.Bool().Draw(t, "has size") {
		r.MaxSize = config.Size(rapid.IntRange(1, 30).Draw(t, "size"))
	}
	if rapid.Bool().Draw(t, "has rate") {
		r.Rate = &Rate{Messages: 10, Bytes: config.Size(rapid.IntRange(0, 30).Draw(t, "bytes"))}
	}
	if rapid.IntRange(0, 2).Draw(t, "has hours") == 0 {
		r.Hours = drawHours(t)
	}
	if rapid.IntRange(0, 2).Draw(t, "has schema") == 0 {
		title := rapid.SampledFrom([]string{"object", "positive", "short"}).Draw(t, "schema")
		schema := map[string]any{"title": title}
		for key, value := range modelSchemas()[title].schema {
			schema[key] = value
		}
		r.Schema = schema
	}
	if rapid.Bool().Draw(t, "says enabled") {
		enabled := rapid.IntRange(0, 2).Draw(t, "enabled") > 0
		r.Enabled = &enabled
	}
	return r
}

func drawHours(t *rapid.T) *Hours {
	clock := rapid.SampledFrom([]string{"", "00:00", "02:30", "08:00", "17:00", "23:59"})
	h := &Hours{Days: some(t, "days", modelDays...), From: clock.Draw(t, "from"), To: clock.Draw(t, "to")}
	h.Zone = rapid.SampledFrom([]string{"", "UTC", "Europe/Oslo", "America/New_York", "Pacific/Kiritimati"}).Draw(t, "zone")
	if _, err := compileHours(h); err != nil { // from and to are the same
		h.From, h.To = "08:00", "02:30"
	}
	return h
}

func drawConnection(t *rapid.T) Connection {
	c := Connection{
		Protocol: rapid.SampledFrom([]string{"https", "HTTPS", "amqp", "mqtt", "signalr"}).Draw(t, "protocol"),
		TLS:      rapid.IntRange(0, 3).Draw(t, "TLS") > 0,
		Origin: rapid.SampledFrom([]string{
			"", "https://a.example.com", "https://A.EXAMPLE.com:443", "https://example.com", "https://x.b.example.com:8443", "https://b.example.com:8443",
			"http://a.example.com", "http://a.example.com:80", "https://a.example.com:8443", "https://aexample.com", "https://a.example.com.evil.io",
		}).Draw(t, "origin"),
	}
	if text := rapid.SampledFrom([]string{"", "10.1.2.3", "::ffff:10.1.2.3", "10.2.0.1", "11.0.0.1", "2001:db8::7", "2001:db8:1::1", "2001:db9::1", "::1"}).Draw(t, "remote"); text != "" {
		c.Remote = netip.MustParseAddr(text)
	}
	return c
}

func drawMessage(t *rapid.T) *gatehouse.Message {
	m := &gatehouse.Message{
		ContentType: rapid.SampledFrom([]string{"", "application/json", "Application/JSON; a=b", "text/plain", "text/html", "application/x+json", ";a=b"}).Draw(t, "content type"),
		Body:        []byte(rapid.SampledFrom([]string{"", "{}", "1", "0", "-1.5", "[1]", "[1,2]", `{"a":[1,2]}`, `"text"`, "{", "null", `{"a":"0123456789"}`}).Draw(t, "body")),
	}
	for range rapid.IntRange(0, 2).Draw(t, "attributes") {
		v := gatehouse.Int64(1)
		if rapid.Bool().Draw(t, "text") {
			v = gatehouse.String(rapid.StringN(0, 8, -1).Draw(t, "value"))
		}
		m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: rapid.StringN(0, 4, -1).Draw(t, "name"), Value: v})
	}
	return m
}

// What is decided, and what is explained, is what the model says.
func TestDecisionProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var all []Restriction
		for i := range rapid.IntRange(0, 4).Draw(t, "restrictions") {
			all = append(all, drawRestriction(t, fmt.Sprintf("r%d", i)))
		}
		tab, err := Compile(all)
		if err != nil {
			t.Fatal(err)
		}
		labels := rapid.MapOf(rapid.SampledFrom([]string{"site", "kind"}), rapid.SampledFrom([]string{"oslo", "web", "x"})).Draw(t, "labels")
		l, err := rule.MakeLabels(labels)
		if err != nil {
			t.Fatal(err)
		}
		name := rapid.SampledFrom([]string{"pump-7", "Pump-70", "VALVE-7", "x"}).Draw(t, "endpoint")
		p := tab.Plan(rule.Endpoint{Name: gatehouse.EndpointName(name), Labels: l})
		conn, m := drawConnection(t), drawMessage(t)
		now := noon.Add(time.Duration(rapid.Int64Range(0, 365*24*60).Draw(t, "minutes")) * time.Minute)

		connect, message := make(map[string][]gatehouse.Kind), make(map[string][]gatehouse.Kind)
		stated := conn.Origin == "" // or some restriction says which pages may come
		for i := range all {
			r := &all[i]
			if r.Enabled != nil && !*r.Enabled || !modelSelects(r.Endpoints, name, labels) {
				continue
			}
			stated = stated || len(r.Origins) > 0
			if modelConnect(r, conn, now) {
				connect[r.Name] = []gatehouse.Kind{gatehouse.Restricted}
			}
			if kinds := modelMessage(r, m, now); kinds != nil {
				message[r.Name] = kinds
			}
		}
		steps := p.Explain(conn, m, now)
		if !stated {
			connect[RuleOrigins] = []gatehouse.Kind{gatehouse.Restricted}
			last := len(steps) - 1
			if s := steps[last]; s.Rule != RuleOrigins || s.Outcome != Refused {
				t.Fatalf("explained as %+v", s)
			}
			steps = steps[:last]
		}
		checkDecision(t, "connect", p.Connect(conn, now), connect)
		checkDecision(t, "message", p.Message(new(Limiter), m, now), message)
		checkDecision(t, "message that is not counted", p.Message(nil, m, now), message)
		for i, s := range steps {
			_, byConnect := connect[s.Rule]
			_, byMessage := message[s.Rule]
			if s.Rule != all[i].Name || (s.Outcome == Refused) != (byConnect || byMessage) {
				t.Fatalf("explained as %+v; the model objects to the connection: %t, to the message: %t", s, byConnect, byMessage)
			}
			concerned := (all[i].Enabled == nil || *all[i].Enabled) && modelSelects(all[i].Endpoints, name, labels)
			if s.Outcome == Passed && !concerned || s.Reason == "" {
				t.Fatalf("explained as %+v, and is concerned: %t", s, concerned)
			}
		}
	})
}

func checkDecision(t *rapid.T, what string, err error, objections map[string][]gatehouse.Kind) {
	if err == nil {
		if len(objections) > 0 {
			t.Fatalf("%s: no objection, the model has %v", what, objections)
		}
		return
	}
	e, ok := err.(*gatehouse.Error)
	if !ok || !slices.Contains(objections[e.Rule], e.Kind) {
		t.Fatalf("%s: %v by %q, the model has %v", what, err, e.Rule, objections)
	}
}

// The hours of the model and the compiled ones agree over whole years, minute
// by minute around the hours that clocks skip and repeat.
func TestHoursProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := drawHours(t)
		c, err := compileHours(h)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Unix(rapid.Int64Range(0, math.MaxInt32).Draw(t, "start"), 0)
		if rapid.Bool().Draw(t, "clocks change") {
			start = rapid.SampledFrom([]time.Time{
				time.Date(2026, 3, 28, 22, 0, 0, 0, time.UTC), time.Date(2026, 10, 24, 22, 0, 0, 0, time.UTC), time.Date(2026, 3, 8, 4, 0, 0, 0, time.UTC),
			}).Draw(t, "change")
		}
		for minute := range 300 {
			now := start.Add(time.Duration(minute) * time.Minute)
			if got, want := c.open(now), modelOpen(h, now); got != want {
				t.Fatalf("%s: open is %t, want %t", now, got, want)
			}
		}
	})
}
