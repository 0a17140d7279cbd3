package restrict

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
)

func TestSize(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		value gatehouse.Value
		want  int
	}{
		"null":      {gatehouse.Value{}, 0},
		"string":    {gatehouse.String("blåbær"), 8},
		"int64":     {gatehouse.Int64(1), 8},
		"uint64":    {gatehouse.Uint64(1), 8},
		"float64":   {gatehouse.Float64(1), 8},
		"bool":      {gatehouse.Bool(true), 8},
		"timestamp": {gatehouse.Timestamp(noon), 8},
		"binary":    {gatehouse.Binary(make([]byte, 5)), 5},
		"UUID":      {gatehouse.UUID([16]byte{}), 16},
		"list":      {gatehouse.List(gatehouse.Int64(1), gatehouse.List(gatehouse.String("ab")), gatehouse.Value{}), 10},
		"map":       {gatehouse.Map(gatehouse.Attribute{Name: "abc", Value: gatehouse.Map(gatehouse.Attribute{Name: "d", Value: gatehouse.Bool(true)})}), 12},
	}
	for name, tt := range tests {
		m := &gatehouse.Message{
			ID: "not counted", Subject: "nor this", To: []string{"nor/this"}, Body: make([]byte, 100),
			Attributes: []gatehouse.Attribute{{Name: "1234567", Value: tt.value}, {Name: "x"}},
		}
		if got := Size(m); got != 100+7+1+tt.want {
			t.Errorf("%s: size %d, want %d", name, got, 108+tt.want)
		}
	}
	if got := Size(&gatehouse.Message{}); got != 0 {
		t.Errorf("an empty message has size %d", got)
	}
}

func TestMaxSize(t *testing.T) {
	t.Parallel()
	p := plan(t, Restriction{Name: "wide", MaxSize: 100}, Restriction{Name: "narrow", MaxSize: 10}, Restriction{Name: "same", MaxSize: 10})
	withBody := func(n int) *gatehouse.Message {
		return &gatehouse.Message{Body: make([]byte, n), Attributes: []gatehouse.Attribute{{Name: "ab", Value: gatehouse.String("c")}}}
	}
	expect(t, "as large as allowed", p.Message(nil, withBody(7), noon), 0, "")
	err := p.Message(nil, withBody(8), noon)
	expect(t, "a byte more", err, gatehouse.TooLarge, "narrow")
	if !strings.Contains(err.Error(), "more than 10 bytes") || !strings.Contains(err.Error(), "has 11") {
		t.Errorf("%v does not say how large", err)
	}
	expect(t, "much more", p.Message(nil, withBody(1000), noon), gatehouse.TooLarge, "narrow")
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	p := plan(t, Restriction{ContentTypes: []string{"application/json", " Text/* ", "*+xml", "image/x-?"}})
	for contentType, want := range map[string]bool{
		"application/json":                  true,
		"Application/JSON":                  true,
		"application/json;charset=utf-8":    true,
		" application/json ; charset=utf-8": true,
		"application/jsonp":                 false,
		"application/json-seq":              false,
		"text/plain":                        true,
		"TEXT/HTML; a=b":                    true,
		"text":                              false,
		"application/atom+xml":              true,
		"application/atom+xml2":             false,
		"image/x-a":                         true,
		"image/x-ab":                        false,
		"":                                  false,
		" ":                                 false,
		";charset=utf-8":                    false,
		"application/xml;text/plain":        false,
	} {
		name := ""
		if !want {
			name = "r1"
		}
		expect(t, quote(contentType), p.Message(nil, &gatehouse.Message{ContentType: contentType}, noon), gatehouse.Restricted, name)
	}
	err := p.Message(nil, &gatehouse.Message{}, noon)
	if !strings.Contains(err.Error(), "messages without a content type") {
		t.Errorf("no content type: %v", err)
	}
	every := plan(t, Restriction{ContentTypes: []string{"*"}})
	expect(t, "none where all are allowed", every.Message(nil, &gatehouse.Message{}, noon), 0, "")
	slash := plan(t, Restriction{ContentTypes: []string{"*/*"}})
	expect(t, "none where some type is asked for", slash.Message(nil, &gatehouse.Message{}, noon), gatehouse.Restricted, "r1")
	both := plan(t, Restriction{ContentTypes: []string{"text/*"}}, Restriction{ContentTypes: []string{"*/plain"}})
	expect(t, "two lists", both.Message(nil, &gatehouse.Message{ContentType: "text/plain"}, noon), 0, "")
	expect(t, "the second of two lists", both.Message(nil, &gatehouse.Message{ContentType: "text/html"}, noon), gatehouse.Restricted, "r2")
	long := p.Message(nil, &gatehouse.Message{ContentType: strings.Repeat("x", 1e5)}, noon)
	if len(long.Error()) > 500 {
		t.Errorf("the error is %d bytes long", len(long.Error()))
	}
}

// What is refused for another reason is not counted; what a schema refuses is.
func TestOrderOfConditions(t *testing.T) {
	t.Parallel()
	p := plan(t,
		Restriction{Name: "rate", Rate: &Rate{Messages: 1, Bytes: 100}},
		Restriction{Name: "schema", Schema: map[string]any{"type": "object"}},
		Restriction{Name: "type", ContentTypes: []string{"application/json"}},
		Restriction{Name: "size", MaxSize: 50},
		Restriction{Name: "hours", Hours: &Hours{From: "08:00"}},
	)
	l := new(Limiter)
	good := &gatehouse.Message{ContentType: "application/json", Body: []byte("{}")}
	large := &gatehouse.Message{ContentType: "text/plain", Body: make([]byte, 51)}
	typed := &gatehouse.Message{ContentType: "text/plain", Body: []byte("1")}
	night := noon.Add(-10 * time.Hour)
	for range 5 {
		expect(t, "at night", p.Message(l, large, night), gatehouse.Restricted, "hours")
		expect(t, "large", p.Message(l, large, noon), gatehouse.TooLarge, "size")
		expect(t, "type", p.Message(l, typed, noon), gatehouse.Restricted, "type")
	}
	expect(t, "the first", p.Message(l, good, noon), 0, "")
	expect(t, "the second", p.Message(l, good, noon), gatehouse.RateLimited, "rate")
	wrong := &gatehouse.Message{ContentType: "application/json", Body: []byte("1")}
	expect(t, "wrong", p.Message(l, wrong, noon.Add(time.Second)), gatehouse.Restricted, "schema")
	expect(t, "good after wrong", p.Message(l, good, noon.Add(time.Second)), gatehouse.RateLimited, "rate")
	expect(t, "not counted", p.Message(nil, good, noon), 0, "")
	expect(t, "not counted, but wrong", p.Message(nil, wrong, noon), gatehouse.Restricted, "schema")
}
