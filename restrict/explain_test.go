package restrict

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/rule"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	off := false
	tab := table(
		t,
		Restriction{Name: "off", Enabled: &off, RequireTLS: true},
		Restriction{Name: "others", Endpoints: rule.Selector{Names: []string{"valve-*"}}, MaxSize: 1},
		Restriction{Name: "nothing"},
		Restriction{Name: "where", RequireTLS: true, Protocols: []string{"https"}, Networks: []string{"10.0.0.0/8"}, Origins: []string{"https://a.example.com"}},
		Restriction{Name: "what", MaxSize: 10, ContentTypes: []string{"text/*"}, Rate: &Rate{Bytes: 5, ByteBurst: 8}, Schema: schemaOf(t, `{"type":"number"}`)},
		Restriction{Name: "when", Hours: &Hours{From: "08:00", To: "17:00"}},
	)
	p := tab.Plan(endpoint(t, "pump-7", nil))
	conn := Connection{Protocol: "https", TLS: true, Remote: netip.MustParseAddr("10.1.1.1"), Origin: "https://a.example.com"}
	good := &gatehouse.Message{ContentType: "text/plain", Body: []byte("1.5")}
	first := []rule.Step{
		{Rule: "off", Kind: "restriction", Outcome: "skipped", Reason: "it is disabled"},
		{Rule: "others", Kind: "restriction", Outcome: "skipped", Reason: "its selector does not match the endpoint"},
		{Rule: "nothing", Kind: "restriction", Outcome: "skipped", Reason: "it has no condition on this"},
	}
	step := func(name, outcome, reason string) rule.Step {
		return rule.Step{Rule: name, Kind: "restriction", Outcome: outcome, Reason: reason}
	}
	const (
		fineWhere = "it allows it: TLS, protocol, network, origin"
		fineWhat  = "it allows it: size 3 of 10, content type, rate (not counted here), schema"
		fineWhen  = "it allows it: hours"
		noWord    = "it has no condition on this"
	)
	tests := map[string]struct {
		conn              Connection
		m                 *gatehouse.Message
		now               time.Time
		where, what, when rule.Step
	}{
		"good":            {conn, good, noon, step("where", Passed, fineWhere), step("what", Passed, fineWhat), step("when", Passed, fineWhen)},
		"connection only": {conn, nil, noon, step("where", Passed, fineWhere), step("what", Skipped, noWord), step("when", Passed, fineWhen)},
		"message only":    {Connection{}, good, noon, step("where", Skipped, noWord), step("what", Passed, fineWhat), step("when", Passed, fineWhen)},
		"neither":         {Connection{}, nil, noon, step("where", Skipped, noWord), step("what", Skipped, noWord), step("when", Passed, fineWhen)},
		"any protocol": {
			Connection{AnyProtocol: true, TLS: true, Remote: conn.Remote},
			nil, noon,
			step("where", Passed, "it allows it: TLS, network, origin, protocol (none was named)"), step("what", Skipped, noWord), step("when", Passed, fineWhen),
		},
		"all wrong": {
			Connection{Protocol: "amqp", TLS: true},
			&gatehouse.Message{ContentType: "text/plain", Body: []byte(`"1"`)},
			noon.Add(6 * time.Hour),
			step("where", Refused, `restriction "where" does not allow protocol "amqp"; connect by https`),
			step("what", Refused, `restriction "what" does not allow a body that does not follow its schema; mend it: at the document: got string, want number`),
			step("when", Refused, `restriction "when" does not allow this endpoint in at Wed 18:00; its hours are 08:00 to 17:00 UTC`),
		},
		"too large ever": {
			Connection{},
			&gatehouse.Message{ContentType: "text/plain", Body: []byte(`123456789`)},
			noon,
			step("where", Skipped, noWord),
			step("what", Refused, `restriction "what" allows at most 8 bytes at once (its byteBurst), and this message has 9 in body and attributes; send less at once`),
			step("when", Passed, fineWhen),
		},
	}
	for name, tt := range tests {
		want := append(append([]rule.Step(nil), first...), tt.where, tt.what, tt.when)
		if got := p.Explain(tt.conn, tt.m, tt.now); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%+v, want\n%+v", name, got, want)
		}
	}
	var none *Plan
	if got := none.Explain(Connection{Protocol: "https"}, good, noon); got != nil {
		t.Errorf("no restrictions are explained as %v", got)
	}
	if got := none.Explain(conn, good, noon); len(got) != 1 || got[0].Rule != RuleOrigins || got[0].Outcome != Refused {
		t.Errorf("a web page without origins is explained as %v", got)
	}
}

// Explaining takes nothing from rates.
func TestExplainDoesNotCount(t *testing.T) {
	t.Parallel()
	p, l := plan(t, Restriction{Rate: &Rate{Messages: 1}}), new(Limiter)
	for range 10 {
		if got := p.Explain(Connection{}, sized(1), noon)[0]; got.Outcome != Passed || !strings.Contains(got.Reason, "not counted") {
			t.Fatalf("got %+v", got)
		}
	}
	expect(t, "the first", p.Message(l, sized(1), noon), 0, "")
}
