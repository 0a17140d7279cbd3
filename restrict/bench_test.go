package restrict

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/rule"
)

// benchMessage is a reading of 256 bytes with three attributes.
func benchMessage() *gatehouse.Message {
	return &gatehouse.Message{
		ContentType: "application/json",
		Body:        []byte(`{"pressure":1.5,"unit":"bar","tags":["` + strings.Repeat("x", 200) + `"]}`),
		Attributes: []gatehouse.Attribute{
			{Name: "site", Value: gatehouse.String("oslo")},
			{Name: "sequence", Value: gatehouse.Int64(1)},
			{Name: "ratio", Value: gatehouse.Float64(0.5)},
		},
	}
}

func benchRestrictions(t testing.TB) map[string]Restriction {
	return map[string]Restriction{
		"none":   {},
		"size":   {MaxSize: 1 << 20},
		"type":   {ContentTypes: []string{"text/*", "application/json"}},
		"hours":  {Hours: &Hours{Days: []string{"mon-fri"}, From: "08:00", To: "17:00", Zone: "Europe/Oslo"}},
		"rate":   {Rate: &Rate{Messages: 1e12, Bytes: 1 << 49}},
		"schema": {Schema: schemaOf(t, `{"type":"object","required":["pressure"],"properties":{"pressure":{"type":"number"},"tags":{"items":{"type":"string"}}}}`)},
	}
}

// Only a schema costs memory when a message passes.
func TestMessageDoesNotAllocate(t *testing.T) {
	m := benchMessage()
	for name, r := range benchRestrictions(t) {
		if r.Schema != nil {
			continue
		}
		p, l := plan(t, r), new(Limiter)
		expect(t, name, p.Message(l, m, noon), 0, "")
		if n := testing.AllocsPerRun(100, func() { _ = p.Message(l, m, noon) }); n != 0 {
			t.Errorf("%s: a message allocates %.0f times", name, n)
		}
	}
}

func BenchmarkMessage(b *testing.B) {
	m := benchMessage()
	all := benchRestrictions(b)
	every := all["size"]
	every.ContentTypes, every.Hours, every.Rate = all["type"].ContentTypes, all["hours"].Hours, all["rate"].Rate
	all["all but schema"] = every
	for name, r := range all {
		b.Run(name, func(b *testing.B) {
			p, l, now := plan(b, r), new(Limiter), noon
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Microsecond)
				if err := p.Message(l, m, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkConnect(b *testing.B) {
	p := plan(b, Restriction{
		Origins: []string{"https://app.example.com", "https://*.example.org"}, Networks: []string{"10.0.0.0/8", "2001:db8::/32"},
		Protocols: []string{"amqp", "https"}, RequireTLS: true,
	})
	for name, origin := range map[string]string{"exact": "https://app.example.com", "wildcard": "https://a.example.org"} {
		b.Run(name, func(b *testing.B) {
			c := Connection{Protocol: "https", TLS: true, Remote: netip.MustParseAddr("2001:db8::7"), Origin: origin}
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Connect(c, noon); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPlan(b *testing.B) {
	var all []Restriction
	for i := range 50 {
		all = append(all, Restriction{Name: fmt.Sprintf("r%d", i), MaxSize: 1, Endpoints: rule.Selector{Names: []string{fmt.Sprintf("pump-%d*", i)}}})
	}
	tab, e := table(b, all...), endpoint(b, "Pump-7", nil)
	b.ReportAllocs()
	for b.Loop() {
		if tab.Plan(e) == nil {
			b.Fatal("there is no plan")
		}
	}
}
