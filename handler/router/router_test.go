package router_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/handler"
	"github.com/gatehouse/gatehouse/handler/handlertest"
	"github.com/gatehouse/gatehouse/handler/router"
)

func build(t testing.TB, config string) handler.Handler {
	t.Helper()
	h, err := router.Kind.Make(json.RawMessage(config), handler.Deps{
		Account: "acme", Channel: "commands", Name: "answers", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatalf("%s: %v", config, err)
	}
	return h
}

// sent collects what is sent, as text.
type sent struct {
	t    testing.TB
	of   *gatehouse.Message
	what []string
}

func (s *sent) Send(address string, m *gatehouse.Message) {
	if m != s.of {
		s.t.Errorf("another message is sent to %s", address)
	}
	s.what = append(s.what, address)
}

func (s *sent) SendLabels(selector string, m *gatehouse.Message) {
	s.Send("labels "+selector, m)
}

func TestHandler(t *testing.T) {
	t.Parallel()
	handlertest.Run(t, handlertest.Harness{
		New: func(t *testing.T) handler.Handler {
			return build(t, `{"replyTo":true,"unaddressed":"deadLetter","expression":"msg.type == 'x' ? ['endpoints/' + msg.subject] : msg.type == 'bad' ? [string(msg.attributes.gone)] : []"}`)
		},
		Messages: []*gatehouse.Message{
			{ID: "to", To: []string{"endpoints/a", "channels/c"}},
			{ID: "reply", ReplyTo: "channels/answers"},
			{ID: "all", To: []string{"endpoints/a", "endpoints/b"}, ReplyTo: "endpoints/A", Type: "x", Subject: "c"},
		},
		Rejected: map[string]*gatehouse.Message{
			router.ReasonNoDestination: {ID: "nobody", To: []string{"channels/c"}},
			router.ReasonExpression:    {ID: "bad", Type: "bad", To: []string{"endpoints/a"}},
		},
	})
}

func TestWhere(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, config string
		message      gatehouse.Message
		want         []string
	}{
		{"nobody", ``, gatehouse.Message{}, nil},
		{"to", ``, gatehouse.Message{To: []string{"endpoints/a", "Endpoints/b"}}, []string{"endpoints/a", "Endpoints/b"}},
		{"not back into a channel", ``, gatehouse.Message{To: []string{"channels/telemetry", "endpoints/a", "CHANNELS/commands"}}, []string{"endpoints/a"}},
		{"each once", ``, gatehouse.Message{To: []string{"endpoints/a", "endpoints/b", "endpoints/A"}}, []string{"endpoints/a", "endpoints/b"}},
		{"what is no address is for the dead letters", ``, gatehouse.Message{To: []string{"mars"}}, []string{"mars"}},
		{"no reply unless asked", ``, gatehouse.Message{ReplyTo: "endpoints/r"}, nil},
		{"reply", `{"replyTo":true}`, gatehouse.Message{To: []string{"endpoints/a"}, ReplyTo: "endpoints/r"}, []string{"endpoints/a", "endpoints/r"}},
		{"reply only", `{"to":false,"replyTo":true}`, gatehouse.Message{To: []string{"endpoints/a"}, ReplyTo: "channels/r"}, []string{"channels/r"}},
		{"no reply wanted", `{"replyTo":true}`, gatehouse.Message{}, nil},
		{"expression", `{"expression":"'endpoints/' + msg.subject"}`, gatehouse.Message{Subject: "s"}, []string{"endpoints/s"}},
		{"expression with a list", `{"to":false,"expression":"['endpoints/a', 'channels/' + channel.name, 'endpoints/a']"}`, gatehouse.Message{To: []string{"endpoints/x"}}, []string{"endpoints/a", "channels/commands"}},
		{"back to the sender", `{"expression":"'endpoints/' + endpoint.name"}`, gatehouse.Message{Source: "/acme/endpoints/pump-7"}, []string{"endpoints/pump-7"}},
		{"now is when it came in", `{"expression":"now == msg.enqueued ? 'endpoints/same' : 'endpoints/other'"}`, gatehouse.Message{Enqueued: time.Unix(1e9, 5)}, []string{"endpoints/same"}},
		{"labels", `{"labels":"site=oslo"}`, gatehouse.Message{}, []string{"labels site=oslo"}},
		{"labels and more", `{"labels":"site=oslo","unaddressed":"deadLetter"}`, gatehouse.Message{To: []string{"endpoints/a"}}, []string{"endpoints/a", "labels site=oslo"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out := sent{t: t, of: &tt.message}
			if err := build(t, tt.config).Handle(context.Background(), &tt.message, &out); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(out.what, tt.want) {
				t.Errorf("sent to %q; want %q", out.what, tt.want)
			}
		})
	}
}

func TestManyAddresses(t *testing.T) {
	t.Parallel()
	var m gatehouse.Message
	var want []string
	for i := range 1000 {
		a := fmt.Sprint("endpoints/e", i)
		want = append(want, a)
		m.To = append(m.To, a, strings.ToUpper(a))
	}
	out := sent{t: t, of: &m}
	if err := build(t, ``).Handle(context.Background(), &m, &out); err != nil || !slices.Equal(out.what, want) {
		t.Errorf("sent to %d addresses, %v; want %d", len(out.what), err, len(want))
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ config, text string }{
		{`{"to":false}`, "would deliver to nobody"},
		{`{"expresion":"x"}`, `unknown field "expresion"; did you mean "expression"?`},
		{`{"expression":"msg.nope"}`, "expression: "},
		{`{"expression":"1 + 1"}`, "expression: "},
		{`{"labels":"site in oslo"}`, "labels: "},
		{`{"unaddressed":"drop"}`, `unaddressed is "drop"; it must be "ignore" or "deadLetter"`},
	} {
		err := router.Kind.Check(json.RawMessage(tt.config))
		if !errors.Is(err, gatehouse.Invalid) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v; want Invalid with %q", tt.config, err, tt.text)
		}
		if _, err := router.Kind.Make(json.RawMessage(tt.config), handler.Deps{}); !errors.Is(err, gatehouse.Invalid) {
			t.Errorf("%s: Make: %v; want Invalid", tt.config, err)
		}
	}
	config, err := router.Kind.Defaults()
	if err != nil || router.Kind.Check(config) != nil {
		t.Errorf("the defaults are refused: %s, %v", config, err)
	}
}

func BenchmarkHandle(b *testing.B) {
	m := &gatehouse.Message{To: []string{"channels/telemetry", "endpoints/pump-7"}, Type: "reading", Subject: "s"}
	for _, config := range []string{`{}`, `{"expression":"'endpoints/' + msg.subject"}`} {
		b.Run(config, func(b *testing.B) {
			h := build(b, config)
			out := sent{t: b, of: m}
			b.ReportAllocs()
			for range b.N {
				out.what = out.what[:0]
				if err := h.Handle(context.Background(), m, &out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
