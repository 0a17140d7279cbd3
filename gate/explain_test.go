package gate_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/restrict"
	"github.com/gatehouse/gatehouse/route"
	"github.com/gatehouse/gatehouse/rule"

	"pgregory.net/rapid"
)

// TestExplainAgrees draws rules, endpoints, connections and messages, and holds
// what Explain says against what becomes of the message.
func TestExplainAgrees(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.change(&directory.ChannelSpec{Name: "alpha"}, &directory.ChannelSpec{Name: "beta"})
	r.delete(directory.KindRoute, "in")
	r.delete(directory.KindRoute, "not-in")
	rapid.Check(t, func(t *rapid.T) {
		r.tb = t
		defer r.redefine(t)()
		a := attempt(sender, gatehouse.RightSend)
		a.Protocol = rapid.SampledFrom([]string{"https", "amqp"}).Draw(t, "protocol")
		a.TLS = rapid.Bool().Draw(t, "tls")
		a.Remote = netip.AddrPortFrom(netip.MustParseAddr(rapid.SampledFrom([]string{"10.1.2.3", "192.0.2.9"}).Draw(t, "remote")), 1)
		m := &gatehouse.Message{
			Type:        rapid.SampledFrom([]string{"order", "note", ""}).Draw(t, "type"),
			ContentType: rapid.SampledFrom([]string{"application/json", "text/plain"}).Draw(t, "content type"),
			To:          rapid.SliceOfN(rapid.SampledFrom([]string{"channels/alpha", "channels/beta", "channels/none", "endpoints/x"}), 0, 2).Draw(t, "to"),
			Body:        make([]byte, rapid.IntRange(0, 40).Draw(t, "size")),
		}
		q := gate.Question{
			Account: account, Endpoint: sender, Message: m,
			Connection: restrict.Connection{Protocol: a.Protocol, TLS: a.TLS, Remote: a.Remote.Addr()},
		}
		answer := r.Gate.Explain(q)
		channels, err := r.live(t, a, m)
		if answer.Allowed != (err == nil) || !slices.Equal(answer.Channels, channels) {
			t.Fatalf("explained: %+v\nlive: %v, %v", answer, channels, err)
		}
		if err != nil && (answer.Kind != gatehouse.KindOf(err).String() || answer.Reason != err.Error()) {
			t.Fatalf("explained: %s, %s\nlive: %s, %v", answer.Kind, answer.Reason, gatehouse.KindOf(err), err)
		}
		if len(answer.Steps) == 0 {
			t.Fatal("no steps")
		}
	})
}

// live does what the question is about.
func (r *rig) live(t *rapid.T, a gate.Attempt, m *gatehouse.Message) ([]gatehouse.ChannelName, error) {
	s, err := r.Gate.Open(context.Background(), a)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	done := make(chan outcome, 1)
	if err := s.Submit(context.Background(), func(r gate.Receipt, err error) { done <- outcome{r, err} }, m); err != nil {
		t.Fatal(err)
	}
	o := <-done
	if o.err != nil {
		return nil, o.err
	}
	return o.Channels, nil
}

// redefine draws rules and returns what takes them away again.
func (r *rig) redefine(t *rapid.T) (undo func()) {
	var specs []directory.Spec
	names := []string{"r1", "r2", "r3"}
	for _, name := range names[:rapid.IntRange(1, 3).Draw(t, "rules")] {
		specs = append(specs, &directory.RouteSpec{Authorization: route.Authorization{
			Name: name, Direction: route.Ingress,
			Endpoints: rapid.SampledFrom([]rule.Selector{{}, {Names: []string{"pump-*"}}, {Labels: "site=oslo"}}).Draw(t, "endpoints"),
			Channels:  rapid.SampledFrom([]rule.Selector{{}, {Names: []string{"alpha"}}, {Names: []string{"b*"}}}).Draw(t, "channels"),
			Types:     rapid.SampledFrom([][]string{nil, {"order"}, {"n*"}}).Draw(t, "types"),
			When:      rapid.SampledFrom([]string{"", "msg.size > 20", "msg.attributes.missing == 1"}).Draw(t, "when"),
			Effect:    rapid.SampledFrom([]route.Effect{route.Allow, route.Allow, route.Deny}).Draw(t, "effect"),
		}})
	}
	specs = append(specs, &directory.RestrictionSpec{Restriction: restrict.Restriction{
		Name:         "drawn",
		Endpoints:    rapid.SampledFrom([]rule.Selector{{}, {Names: []string{"other"}}}).Draw(t, "restricted"),
		MaxSize:      config.Size(rapid.SampledFrom([]int64{0, 30}).Draw(t, "max size")),
		ContentTypes: rapid.SampledFrom([][]string{nil, {"application/*"}}).Draw(t, "content types"),
		Networks:     rapid.SampledFrom([][]string{nil, {"10.0.0.0/8"}}).Draw(t, "networks"),
		RequireTLS:   rapid.Bool().Draw(t, "require TLS"),
	}})
	e := r.spec(sender)
	e.Protocols = rapid.SampledFrom([][]string{nil, {"https"}}).Draw(t, "protocols")
	e.AllowPlaintext = rapid.Bool().Draw(t, "plaintext")
	e.Labels = rapid.SampledFrom([]map[string]string{nil, {"site": "oslo"}}).Draw(t, "labels")
	r.change(append(specs, e)...)
	return func() {
		for _, s := range specs {
			r.delete(s.SpecKind(), s.SpecName())
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, c := range map[string]struct {
		question gate.Question
		kind     gatehouse.Kind
		allowed  bool
	}{
		"allowed out":    {question: gate.Question{Account: account, Endpoint: receiver, From: work}, allowed: true},
		"no account":     {question: gate.Question{Account: "nobody", Endpoint: receiver}, kind: gatehouse.Revoked},
		"no endpoint":    {question: gate.Question{Account: account, Endpoint: "nobody"}, kind: gatehouse.NotFound},
		"no channel out": {question: gate.Question{Account: account, Endpoint: receiver, From: "nowhere"}, kind: gatehouse.NotFound},
	} {
		a := r.Gate.Explain(c.question)
		if a.Allowed != c.allowed || !c.allowed && a.Kind != c.kind.String() || len(a.Steps) == 0 {
			t.Errorf("%s: %+v", name, a)
		}
	}
	r.Revoke(sender)
	if a := r.Gate.Explain(gate.Question{Account: account, Endpoint: sender}); a.Allowed || a.Kind != gatehouse.Revoked.String() || len(a.Steps) < 3 {
		t.Errorf("revoked: %+v", a)
	}
	if _, err := r.Gate.Open(context.Background(), attempt(sender, gatehouse.RightSend)); !errors.Is(err, gatehouse.Revoked) {
		t.Error(err)
	}
}

// TestExplainWithoutProtocol asks about a connection whose protocol is not
// named: the rest is looked at.
func TestExplainWithoutProtocol(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.spec(sender)
	e.Protocols, e.AllowPlaintext = []string{"mqtts"}, false
	r.change(e, &directory.RestrictionSpec{Restriction: restrict.Restriction{
		Name: "where", Protocols: []string{"amqps"}, Networks: []string{"10.0.0.0/8"},
	}})
	inside := netip.MustParseAddr("10.1.2.3")
	for name, c := range map[string]struct {
		connection restrict.Connection
		rule       string // that refuses
		protocol   string // outcome of the step
	}{
		"fine":          {restrict.Connection{TLS: true, Remote: inside}, "", restrict.Skipped},
		"wrong network": {restrict.Connection{TLS: true, Remote: netip.MustParseAddr("192.0.2.1")}, "where", restrict.Skipped},
		"plain":         {restrict.Connection{Remote: inside}, "allowPlaintext", restrict.Refused},
		"named":         {restrict.Connection{Protocol: "https", TLS: true, Remote: inside}, "protocols", restrict.Refused},
		"one of two":    {restrict.Connection{Protocol: "mqtts", TLS: true, Remote: inside}, "where", restrict.Passed},
	} {
		a := r.Gate.Explain(gate.Question{Account: account, Endpoint: sender, Connection: c.connection})
		i := slices.IndexFunc(a.Steps, func(s rule.Step) bool { return s.Kind == "protocol" })
		if a.Allowed != (c.rule == "") || a.Rule != c.rule || i < 0 || a.Steps[i].Outcome != c.protocol {
			t.Errorf("%s: %+v", name, a)
		}
	}
}
