package directory_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/restrict"
	"github.com/gatehouse/gatehouse/route"
	"github.com/gatehouse/gatehouse/rule"
)

func pointer[T any](v T) *T { return &v }

// oneOfEach is an account with a definition of every kind.
func oneOfEach() []directory.Spec {
	return []directory.Spec{
		&directory.AccountSpec{Name: "Acme", Description: "a tenant", Inbox: &directory.InboxSpec{Lock: pointer(config.Duration(time.Minute))}},
		&directory.ChannelSpec{Name: "Telemetry", Retention: directory.Retention{Age: config.Duration(24 * time.Hour), Bytes: 10 << 30}, Duplicates: config.Duration(time.Hour)},
		&directory.EndpointSpec{
			Name: "Pump-7", Labels: map[string]string{"site": "oslo"}, Protocols: []string{"AMQP", "mqtt", "amqp"}, Description: "a pump",
			Inbox: &directory.InboxSpec{MaxMessages: pointer(10), OnFull: "dropOldest"},
		},
		routeSpec("In", "pump-*", "telemetry"),
		&directory.RestrictionSpec{Restriction: restrict.Restriction{Name: "Web", Origins: []string{"https://app.example.com"}, Schema: map[string]any{"type": "object"}}},
		&directory.HandlerSpec{Name: "Answers", Channel: "telemetry", Kind: "webhook", Config: directory.Raw(`{"url":"https://x.example"}`), From: "now"},
		&directory.PolicySpec{Name: "Backend", Rights: []string{"channels", "manage"}},
	}
}

func TestEveryKind(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	e := newEngine(t)
	d := open(t, e)
	var last uint64
	for _, spec := range oneOfEach() {
		_, err := d.Put(ctx, "acme", spec, 77)
		wantKind(t, err, gatehouse.Conflict, "is gone")
		row, err := d.Put(ctx, "acme", spec, directory.Absent)
		if err != nil {
			t.Fatal(err)
		}
		if row.Kind != spec.SpecKind() || row.Name != spec.SpecName() || row.Account != "Acme" || row.Revision <= last {
			t.Fatalf("row %v of revision %d after %d", row.Ref, row.Revision, last)
		}
		last = row.Revision
		_, err = d.Put(ctx, "acme", spec, directory.Absent)
		wantKind(t, err, gatehouse.Conflict, row.Kind.String(), row.Name[1:], "is there already")
		_, err = d.Put(ctx, "acme", spec, last-1)
		wantKind(t, err, gatehouse.Conflict, fmt.Sprintf("it has revision %d, not %d", last, last-1))
		again, err := d.Put(ctx, "ACME", spec, last)
		if err != nil || again.Revision != last {
			t.Fatalf("the same %s again: revision %d, %v; want %d", row.Kind, again.Revision, err, last)
		}
	}
	fresh := open(t, e)
	if got, want := dump(t, d), dump(t, fresh); !slices.Equal(got, want) || len(got) != 8 {
		t.Fatalf("%d lines; read again they differ:\n%s", len(got), difference(got, want))
	}
	for _, k := range []directory.Kind{directory.KindHandler, directory.KindPolicy, directory.KindRestriction, directory.KindRoute, directory.KindEndpoint, directory.KindChannel} {
		row := account(t, d).Rows(k, "", 0)[0]
		wantKind(t, d.Delete(ctx, "acme", k, row.Name, row.Revision+1), gatehouse.Conflict, row.Name)
		if err := d.Delete(ctx, "acme", k, strings.ToUpper(row.Name), row.Revision); err != nil {
			t.Fatal(err)
		}
		wantKind(t, d.Delete(ctx, "acme", k, row.Name, 0), gatehouse.NotFound, k.String(), row.Name)
		if _, err := account(t, d).Row(k, row.Name); !errors.Is(err, gatehouse.NotFound) || account(t, d).Count(k) != 0 {
			t.Fatalf("the %s is still there: %v", k, err)
		}
	}
	if err := d.Delete(ctx, "acme", directory.KindAccount, "acme", 0); err != nil {
		t.Fatal(err)
	}
	wantKind(t, d.Delete(ctx, "acme", directory.KindAccount, "acme", 0), gatehouse.NotFound, "acme")
	_, err := d.Put(ctx, "acme", &directory.EndpointSpec{Name: "x"}, 0)
	wantKind(t, err, gatehouse.NotFound, `there is no account "acme"`)
}

func TestViews(t *testing.T) {
	t.Parallel()
	d := open(t, newEngine(t))
	put(t, d, oneOfEach()...)
	a := account(t, d)
	if a.Name() != "Acme" || a.Disabled() {
		t.Fatalf("account %q, disabled %v", a.Name(), a.Disabled())
	}
	c := a.Channel("TELEMETRY")
	if age, bytes := c.Retention(); c.Name() != "Telemetry" || c.Duplicates() != time.Hour || age != 24*time.Hour || bytes != 10<<30 || c.DeadLetterRetention() != 0 {
		t.Fatalf("channel %+v", c.Spec())
	}
	h := a.Handler("answers")
	if h.Name() != "Answers" || h.Channel() != "telemetry" || h.Kind() != "webhook" || !h.Enabled() || !h.FromNow() || string(h.Config()) != `{"url":"https://x.example"}` {
		t.Fatalf("handler %+v", h.Spec())
	}
	if p := a.Policy("backend"); p.Rights() != gatehouse.RightChannels|gatehouse.RightManage {
		t.Fatalf("policy has rights %v", p.Rights())
	}
	e := a.Endpoint("PUMP-7")
	if e.Name() != "Pump-7" || e.Party().Name != "Pump-7" || e.Description() != "a pump" || e.Disabled() || e.Revoked() != (directory.Revoked{}) {
		t.Fatalf("endpoint %+v", e.Spec())
	}
	if site, _ := e.Labels().Get("site"); site != "oslo" {
		t.Fatalf("labels %v", e.Labels())
	}
	if got := e.Spec().Protocols; !slices.Equal(got, []string{"amqp", "mqtt"}) {
		t.Fatalf("protocols %v", got)
	}
	if channels, err := a.Routes().Plan(e.Party()).Ingress(nil, &gatehouse.Message{ID: "1"}, now); err != nil || !slices.Equal(channels, []gatehouse.ChannelName{"Telemetry"}) {
		t.Fatalf("routed to %v, %v", channels, err)
	}
	err := a.Restrictions().Plan(e.Party()).Message(nil, &gatehouse.Message{Body: []byte("1")}, now)
	wantKind(t, err, gatehouse.Restricted, "Web")
	if d.Current().Account("other") != nil || a.Endpoint("x") != nil || a.Channel("x") != nil || a.Handler("x") != nil || a.Policy("x") != nil {
		t.Fatal("there is something that nobody has defined")
	}
}

func TestAllows(t *testing.T) {
	t.Parallel()
	d := open(t, newEngine(t))
	acme(t, d)
	put(t, d,
		&directory.EndpointSpec{Name: "any"}, &directory.EndpointSpec{Name: "plain", AllowPlaintext: true},
		&directory.EndpointSpec{Name: "few", Protocols: []string{"amqp", "Https"}})
	for _, c := range []struct {
		endpoint, protocol string
		plaintext          bool
		text               string
	}{
		{"any", "mqtt", false, ""},
		{"any", "mqtt", true, "set allowPlaintext on the endpoint"},
		{"plain", "mqtt", true, ""},
		{"plain", "mqtt", false, ""},
		{"few", "AMQP", false, ""},
		{"few", "https", false, ""},
		{"few", "https", true, "allowPlaintext"},
		{"few", "mqtt", false, `endpoint "few" may not use mqtt, only amqp, https; add mqtt to the endpoint's protocols`},
	} {
		err := account(t, d).Endpoint(gatehouse.EndpointName(c.endpoint)).Allows(c.protocol, c.plaintext)
		if c.text == "" && err != nil {
			t.Errorf("%+v: %v", c, err)
		} else if c.text != "" {
			wantKind(t, err, gatehouse.Restricted, c.text, c.endpoint)
		}
	}
}

// Everything that is wrong with a change is told, with kind, name, field and
// what to do, and none of it is made.
func TestProblems(t *testing.T) {
	t.Parallel()
	d := open(t, newEngine(t), func(o *directory.Options) { o.Protocols = []string{"https", "amqp"} })
	acme(t, d)
	put(t, d, &directory.ChannelSpec{Name: "telemetry"})
	wrong := map[directory.Spec]string{
		&directory.EndpointSpec{Name: "pump 7"}:                                                                          `endpoint "pump 7": name: name "pump 7": character ' ' is not allowed`,
		&directory.EndpointSpec{Name: "a1", Labels: map[string]string{"-": "x"}}:                                         `endpoint "a1": labels: label key "-"`,
		&directory.EndpointSpec{Name: "a2", Protocols: []string{"smtp"}}:                                                 `endpoint "a2": protocols: "smtp" is not a protocol of this gateway; there are https, amqp`,
		&directory.EndpointSpec{Name: "a3", Inbox: &directory.InboxSpec{OnFull: "explode"}}:                              `endpoint "a3": inbox.onFull: "explode" is not refuse, dropOldest or deadLetter`,
		&directory.EndpointSpec{Name: "a4", Inbox: &directory.InboxSpec{MaxDeliveries: pointer(0)}}:                      `endpoint "a4": inbox.maxDeliveries: 0 is not a number of deliveries; give 1 or more, or -1`,
		&directory.EndpointSpec{Name: "a5", Inbox: &directory.InboxSpec{Lock: pointer(config.Duration(0))}}:              `endpoint "a5": inbox.lock: 0s is not between 0 and 1d`,
		&directory.EndpointSpec{Name: "a6", Description: strings.Repeat("x", 2000)}:                                      `endpoint "a6": description: it is 2000 bytes long`,
		&directory.EndpointSpec{Name: "a7", Keys: &directory.KeySpec{Send: []string{"x"}}}:                               `endpoint "a7": keys.send[0]: it has 1 characters; give at least 16`,
		&directory.ChannelSpec{Name: "c1", Duplicates: config.Duration(8 * 24 * time.Hour)}:                              `channel "c1": duplicates: 8d is not between 0 and 7d`,
		&directory.ChannelSpec{Name: "c2", Retention: directory.Retention{Bytes: -1}}:                                    `channel "c2": retention.bytes: it is negative`,
		&directory.RouteSpec{Authorization: route.Authorization{Name: "r1", Direction: "sideways"}}:                      `route "r1": direction: `,
		&directory.RouteSpec{Authorization: route.Authorization{Name: "r2", Direction: "ingress", When: "msg.x ="}}:      `route "r2": when: `,
		&directory.RouteSpec{Authorization: route.Authorization{Name: "r 3", Direction: "ingress"}}:                      `route "r 3": name: `,
		&directory.RestrictionSpec{Restriction: restrict.Restriction{Name: "x1", Networks: []string{"nowhere"}}}:         `restriction "x1": networks: `,
		&directory.RestrictionSpec{Restriction: restrict.Restriction{Name: "x2", Endpoints: rule.Selector{Labels: "="}}}: `restriction "x2": endpoints: `,
		&directory.HandlerSpec{Name: "h1", Channel: "telemetry", Kind: "robot"}:                                          `handler "h1": kind: there is no handler kind "robot"; the kinds are router and webhook`,
		&directory.HandlerSpec{Name: "h2", Channel: "telemetry", Kind: "webhook"}:                                        `handler "h2": config: url is missing`,
		&directory.HandlerSpec{Name: "h3", Channel: "alarms", Kind: "router"}:                                            `handler "h3": channel: account "acme" has no channel "alarms"; create it first`,
		&directory.HandlerSpec{Name: "h4", Channel: "telemetry", Kind: "router", From: "then"}:                           `handler "h4": from: "then" is neither first nor now`,
		&directory.HandlerSpec{Name: "h5"}:                                                                               `handler "h5": channel: it is missing`,
		&directory.HandlerSpec{Name: "h6", Channel: "telemetry", Kind: "router", Config: directory.Raw("{")}:             `handler "h6": config: it is not valid JSON`,
		&directory.PolicySpec{Name: "p1"}:                                                                                `policy "p1": rights: there are none; give one or more of send, listen, manage and channels`,
		&directory.PolicySpec{Name: "p2", Rights: []string{"rule"}}:                                                      `policy "p2": rights: "rule" is not a right`,
		&directory.PolicySpec{Name: "Send", Rights: []string{"send"}}:                                                    `policy "Send": name: "Send" is what endpoints call their own`,
		&directory.PolicySpec{Name: "p3", Rights: []string{"send"}, Keys: []string{"x"}}:                                 `policy "p3": keys[0]: it has 1 characters`,
		&directory.AccountSpec{Name: "acme", Environment: "other"}:                                                       `account "acme": environment: this gateway manages accounts of environment "test", not of "other"`,
	}
	changes := []directory.Change{{Spec: &directory.EndpointSpec{Name: "good"}}, {Spec: &directory.EndpointSpec{Name: "Good"}}}
	for spec := range wrong {
		changes = append(changes, directory.Change{Spec: spec})
	}
	before := d.Current()
	_, err := d.Update(context.Background(), "acme", changes...)
	wantKind(t, err, gatehouse.Invalid, `endpoint "Good": name: it is there twice`)
	for spec, text := range wrong {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not say %q", text)
		}
		_, alone := d.Put(context.Background(), "acme", spec, 0)
		if alone == nil || !strings.HasPrefix(alone.Error(), text) || gatehouse.KindOf(alone) != gatehouse.Invalid {
			t.Errorf("alone: error %v; want %q", alone, text)
		}
	}
	problems, ok := errors.AsType[directory.Problems](err)
	if !ok || len(problems) < len(wrong)+1 {
		t.Fatalf("%d problems are told of %d", len(problems), len(wrong)+1)
	}
	for _, p := range problems {
		if p.Kind == 0 || p.Account != "acme" || p.Name == "" || p.Text == "" {
			t.Errorf("problem %+v", p)
		}
	}
	if d.Current() != before {
		t.Fatal("something was changed")
	}
	if t.Failed() {
		t.Log(err)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	t.Parallel()
	d := open(t, newEngine(t))
	acme(t, d)
	changes := make([]directory.Change, 1000)
	for i := range changes {
		changes[i].Spec = &directory.EndpointSpec{Name: fmt.Sprintf("pump %d", i)}
	}
	_, err := d.Update(context.Background(), "acme", changes...)
	wantKind(t, err, gatehouse.Invalid, "and perhaps more")
	if n := strings.Count(err.Error(), "\n"); n > 60 {
		t.Fatalf("the error has %d lines", n)
	}
}

func TestAllOrNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := open(t, newEngine(t))
	acme(t, d)
	put(t, d, &directory.ChannelSpec{Name: "telemetry"}, &directory.HandlerSpec{Name: "h", Channel: "Telemetry", Kind: "router"})
	before := d.Current()
	_, err := d.Update(ctx, "acme", directory.Change{Spec: &directory.EndpointSpec{Name: "pump-7"}}, directory.Change{Kind: directory.KindChannel, Name: "telemetry"})
	wantKind(t, err, gatehouse.Conflict, `channel "telemetry" cannot be deleted: it is followed by handler "h"`)
	_, err = d.Update(ctx, "acme", directory.Change{Spec: &directory.EndpointSpec{Name: "pump-7"}}, directory.Change{Kind: directory.KindRoute, Name: "none"})
	wantKind(t, err, gatehouse.NotFound, `account "acme" has no route "none"`)
	_, err = d.Update(ctx, "acme", directory.Change{Spec: &directory.EndpointSpec{Name: "pump-7"}}, directory.Change{Kind: directory.KindAccount, Name: "acme"})
	wantKind(t, err, gatehouse.Invalid, "cannot be deleted and changed at once")
	_, err = d.Update(ctx, "acme", directory.Change{Spec: &directory.AccountSpec{Name: "other"}})
	wantKind(t, err, gatehouse.Invalid, `account "other" cannot be changed together with account "acme"`)
	_, err = d.Update(ctx, "acme", directory.Change{Name: "pump-7"})
	wantKind(t, err, gatehouse.Invalid, "change 1 names no kind")
	_, err = d.Update(ctx, "ac me", directory.Change{Spec: &directory.EndpointSpec{Name: "pump-7"}})
	wantKind(t, err, gatehouse.Invalid, "account: ")
	if d.Current() != before {
		t.Fatal("something was changed")
	}

	// What is wrong one by one may be right together.
	_, err = d.Update(ctx, "acme",
		directory.Change{Kind: directory.KindChannel, Name: "TELEMETRY"}, directory.Change{Kind: directory.KindHandler, Name: "h"},
		directory.Change{Spec: &directory.HandlerSpec{Name: "h2", Channel: "alarms", Kind: "router"}}, directory.Change{Spec: &directory.ChannelSpec{Name: "Alarms"}})
	if err != nil {
		t.Fatal(err)
	}
	if a := account(t, d); a.Count(directory.KindChannel) != 1 || a.Count(directory.KindHandler) != 1 {
		t.Fatal("not all of it was made")
	}
}

// Definitions that were not changed keep their pointers, and rules are
// compiled again only if they are concerned.
func TestWhatDoesNotChangeStays(t *testing.T) {
	t.Parallel()
	d := open(t, newEngine(t))
	put(t, d, oneOfEach()...)
	put(t, d, &directory.EndpointSpec{Name: "pump-8"})
	old := account(t, d)
	for _, c := range []struct {
		spec           directory.Spec
		routes, limits bool
	}{
		{&directory.EndpointSpec{Name: "pump-8", Description: "changed"}, false, false},
		{&directory.ChannelSpec{Name: "Telemetry", Description: "changed"}, false, false},
		{&directory.ChannelSpec{Name: "telemetry"}, true, false},
		{&directory.ChannelSpec{Name: "alarms"}, true, false},
		{routeSpec("out", "*", "*"), true, false},
		{&directory.RestrictionSpec{Restriction: restrict.Restriction{Name: "other", MaxSize: 5}}, false, true},
		{&directory.HandlerSpec{Name: "more", Channel: "telemetry", Kind: "router"}, false, false},
		{&directory.PolicySpec{Name: "more", Rights: []string{"send"}}, false, false},
		{&directory.AccountSpec{Name: "acme", Disabled: true}, false, false},
	} {
		before := account(t, d)
		put(t, d, c.spec)
		after := account(t, d)
		if before == after {
			t.Errorf("%s: nothing changed", c.spec.SpecName())
		}
		if changed := before.Routes() != after.Routes(); changed != c.routes {
			t.Errorf("%s %s: routes compiled again: %v; want %v", c.spec.SpecKind(), c.spec.SpecName(), changed, c.routes)
		}
		if changed := before.Restrictions() != after.Restrictions(); changed != c.limits {
			t.Errorf("%s %s: restrictions compiled again: %v; want %v", c.spec.SpecKind(), c.spec.SpecName(), changed, c.limits)
		}
		if after.Endpoint("pump-7") != old.Endpoint("pump-7") {
			t.Errorf("%s %s: pump-7 is another", c.spec.SpecKind(), c.spec.SpecName())
		}
	}
	if old.Endpoint("pump-8") == account(t, d).Endpoint("pump-8") {
		t.Error("pump-8 is the same though it was changed")
	}
	if old.Disabled() || !account(t, d).Disabled() || old.Count(directory.KindChannel) != 1 {
		t.Error("a snapshot that was taken before has changed")
	}
}

func TestStandingStaysUnlessGiven(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := open(t, newEngine(t))
	acme(t, d)
	put(t, d, &directory.EndpointSpec{Name: "pump-7", Disabled: pointer(true)})
	if err := d.Revoke(ctx, "acme", "PUMP-7", directory.Revoked{Listen: true}); err != nil {
		t.Fatal(err)
	}
	put(t, d, &directory.EndpointSpec{Name: "pump-7", Description: "replaced"})
	e := account(t, d).Endpoint("pump-7")
	if !e.Disabled() || e.Revoked() != (directory.Revoked{Listen: true}) || e.Description() != "replaced" {
		t.Fatalf("after replacing it: %+v", e.Spec())
	}
	if err := d.Revoke(ctx, "acme", "pump-7", directory.Revoked{Send: true}); err != nil {
		t.Fatal(err)
	}
	if got := account(t, d).Endpoint("pump-7").Revoked(); got != (directory.Revoked{Send: true, Listen: true}) {
		t.Fatalf("revoked %+v", got)
	}
	before := account(t, d).Endpoint("pump-7")
	if err := d.Revoke(ctx, "acme", "pump-7", directory.Revoked{Send: true}); err != nil || account(t, d).Endpoint("pump-7") != before {
		t.Fatalf("revoking what is revoked: %v, or it changed something", err)
	}
	if err := d.Restore(ctx, "acme", "pump-7", directory.Revoked{Listen: true}); err != nil {
		t.Fatal(err)
	}
	put(t, d, &directory.EndpointSpec{Name: "pump-7", Disabled: pointer(false)})
	if e := account(t, d).Endpoint("pump-7"); e.Disabled() || e.Revoked() != (directory.Revoked{Send: true}) {
		t.Fatalf("in the end: %+v", e.Spec())
	}
	wantKind(t, d.Revoke(ctx, "acme", "pump-8", directory.Revoked{Send: true}), gatehouse.NotFound, "pump-8")
	wantKind(t, d.Restore(ctx, "other", "pump-8", directory.Revoked{Send: true}), gatehouse.NotFound, "other")
}

// An endpoint can be revoked even if it could not be defined as it is today.
func TestRevokeNeedsNoValidity(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	d := open(t, e)
	acme(t, d)
	put(t, d, &directory.EndpointSpec{Name: "pump-7", Protocols: []string{"mqtt"}})
	d = open(t, e, func(o *directory.Options) { o.Protocols = []string{"https"} })
	if err := d.Revoke(context.Background(), "acme", "pump-7", directory.Revoked{Send: true}); err != nil {
		t.Fatal(err)
	}
}

func TestInboxPolicy(t *testing.T) {
	t.Parallel()
	e := newEngine(t)
	d := open(t, e)
	put(t, d, oneOfEach()...)
	put(t, d, &directory.EndpointSpec{Name: "plain"})
	want := inbox.DefaultPolicy
	if got := d.InboxPolicy(inbox.Key{Account: "other", Endpoint: "x"}); got != want {
		t.Fatalf("of nobody: %+v", got)
	}
	want.Lock = time.Minute
	if got := d.InboxPolicy(inbox.Key{Account: "acme", Endpoint: "Plain"}); got != want {
		t.Fatalf("of an endpoint that says nothing: %+v", got)
	}
	want.MaxMessages, want.OnFull = 10, inbox.DropOldest
	if got := d.InboxPolicy(inbox.Key{Account: "ACME", Endpoint: "pump-7"}); got != want {
		t.Fatalf("of one that does: %+v", got)
	}
	d = open(t, e, func(o *directory.Options) {
		o.Inbox = config.Default().Inbox
		o.Inbox.MaxBytes, o.Inbox.MaxDeliveries = 1000, 3
	})
	want.MaxBytes, want.MaxDeliveries = 1000, 3
	if got := d.InboxPolicy(inbox.Key{Account: "acme", Endpoint: "pump-7"}); got != want {
		t.Fatalf("over the environment: %+v", got)
	}
}

func TestDeletedAccountLeavesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	e := newEngine(t)
	d := open(t, e)
	put(t, d, oneOfEach()...)
	if _, err := d.Import(ctx, "acme", manyEndpoints(1234)); err != nil {
		t.Fatal(err)
	}
	put(t, d, &directory.PolicySpec{Name: "more", Rights: []string{"send"}})
	if _, err := d.Put(ctx, "acme-2", &directory.AccountSpec{Name: "acme-2"}, 0); err != nil {
		t.Fatal(err)
	}
	var told []directory.Ref
	d.Subscribe(func(_, _ *directory.Snapshot, changed []directory.Ref) { told = append(told, changed...) })
	if err := d.Delete(ctx, "ACME", directory.KindAccount, "", 0); err != nil {
		t.Fatal(err)
	}
	if d.Current().Account("acme") != nil || d.Current().Account("acme-2") == nil {
		t.Fatal("not exactly acme is gone")
	}
	if len(told) != 7 || told[0] != (directory.Ref{Kind: directory.KindAccount, Account: "Acme", Name: "Acme"}) {
		t.Fatalf("told of %v", told)
	}
	left := 0
	if _, err := e.Table("directory").Scan(ctx, "acme/", func(engine.TableRow) error { left++; return nil }); err != nil || left != 1 {
		t.Fatalf("%d rows are left, %v; want the fence alone", left, err)
	}
	acme(t, d)
	if a := account(t, d); a.Count(directory.KindEndpoint)+a.Count(directory.KindPolicy) != 0 {
		t.Fatal("the new account has what the old one had")
	}
}

// What a deletion that was cut off has left does not come back with a new
// account of the same name.
func TestLeftoversAreCleared(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	e := newEngine(t)
	d := open(t, e)
	acme(t, d)
	if _, err := d.Import(ctx, "acme", manyEndpoints(1234)); err != nil {
		t.Fatal(err)
	}
	old, err := d.Reveal("acme", "pump-0000007")
	if err != nil {
		t.Fatal(err)
	}
	table(t, e, engine.Change{Key: "acme/a/"})
	d = open(t, e)
	if d.Current().Account("acme") != nil {
		t.Fatal("the account is still there")
	}
	if _, err := d.Update(ctx, "acme", directory.Change{Spec: &directory.AccountSpec{Name: "acme"}}, directory.Change{Spec: &directory.EndpointSpec{Name: "pump-0000007"}}); err != nil {
		t.Fatal(err)
	}
	if n := account(t, d).Count(directory.KindEndpoint); n != 1 {
		t.Fatalf("there are %d endpoints; want 1", n)
	}
	if fresh, err := d.Reveal("acme", "pump-0000007"); err != nil || fresh == old {
		t.Fatalf("it has the keys of the former endpoint, or %v", err)
	}
	if got, want := dump(t, d), dump(t, open(t, e)); !slices.Equal(got, want) {
		t.Fatal(difference(got, want))
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	d := open(t, newEngine(t))
	acme(t, d)
	d.Close()
	_, err := d.Put(context.Background(), "acme", &directory.EndpointSpec{Name: "x"}, 0)
	wantKind(t, err, gatehouse.Unavailable, "shutting down")
	if d.Current().Account("acme") == nil {
		t.Fatal("it cannot be read any more")
	}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	for _, k := range directory.Kinds() {
		for _, text := range []string{k.String(), strings.ToUpper(k.String()), strings.TrimSuffix(k.String(), "y") + map[bool]string{true: "ies", false: "s"}[strings.HasSuffix(k.String(), "y")]} {
			if got, err := directory.ParseKind(text); err != nil || got != k {
				t.Errorf("ParseKind(%q) = %v, %v; want %v", text, got, err, k)
			}
		}
		text, err := json.Marshal(directory.Ref{Kind: k, Account: "a", Name: "n"})
		var back directory.Ref
		if err != nil || json.Unmarshal(text, &back) != nil || back.Kind != k {
			t.Errorf("%s as JSON: %s, %v", k, text, err)
		}
	}
	_, err := directory.ParseKind("gizmo")
	wantKind(t, err, gatehouse.Invalid, "gizmo", "restriction")
}
