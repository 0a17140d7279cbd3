package gate_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/handler"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/route"
	"github.com/gatehouse/gatehouse/rule"
)

func to(address string, m *gatehouse.Message) handler.Output {
	return handler.Output{Address: address, Message: m}
}

func labelled(selector string, m *gatehouse.Message) handler.Output {
	return handler.Output{Labels: selector, Message: m}
}

// TestDeliverOnce gives the same outputs again, divided in another way, and
// after failures.
func TestDeliverOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const toReceiver = gatehouse.EndpointPrefix + receiver
	r.deliver(1, to(toReceiver, note(1)))
	r.deliver(1, to(toReceiver, note(1)))
	r.engine.Fail(gatehouse.Errorf(gatehouse.Unavailable, "disk full"))
	if err := r.tryDeliver(2, to(toReceiver, note(2))); !errors.Is(err, gatehouse.Unavailable) {
		t.Errorf("%v", err)
	}
	r.engine.Fail(nil)
	b := &handler.Batch{Account: account, Channel: work, Handler: "h", Group: "h", Partition: 3, Through: 5}
	for i := 1; i <= 4; i++ {
		b.Outputs = append(b.Outputs, handler.Output{Address: toReceiver, Message: note(i), Source: gatehouse.Offset(i)})
	}
	for range 2 {
		if err := r.Gate.Deliver(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	// Another handler, and another partition, are on their own.
	b.Group, b.Outputs, b.Through = "other", b.Outputs[:1], 1
	if err := r.Gate.Deliver(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	b.Partition = 4
	if err := r.Gate.Deliver(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	l := r.receiver()
	for _, want := range []int{1, 2, 3, 4, 1, 1} {
		if d := receive(t, l, false); d.Message.ID != fmt.Sprint("n-", want) {
			t.Fatalf("received %s, want %d", d.Message.ID, want)
		}
	}
	nothing(t, l)
}

// TestDeliverAfterRestart says that what was delivered is known from the disk.
func TestDeliverAfterRestart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.deliver(7, to(gatehouse.EndpointPrefix+receiver, note(1)))
	fresh := gate.New(r.Gate.Config)
	err := fresh.Deliver(context.Background(), &handler.Batch{
		Account: account, Channel: work, Handler: "h", Group: "h", Partition: 3, Through: 8,
		Outputs: []handler.Output{
			{Address: gatehouse.EndpointPrefix + receiver, Message: note(1), Source: 7},
			{Address: gatehouse.EndpointPrefix + receiver, Message: note(2), Source: 8},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	l := r.receiver()
	for _, want := range []string{"n-1", "n-2"} {
		if d := receive(t, l, false); d.Message.ID != want {
			t.Errorf("received %s, want %s", d.Message.ID, want)
		}
	}
	nothing(t, l)
}

// TestDeliverBehindDeletion says that what was decided about an endpoint, which
// was deleted before that was stored, is a dead letter, and not in the inbox of
// who has its name now.
func TestDeliverBehindDeletion(t *testing.T) {
	for name, remove := range map[string]func(*rig){
		"deleted":       func(r *rig) { r.delete(directory.KindEndpoint, receiver) },
		"created again": func(r *rig) { r.Recreate(receiver) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				release := make(chan struct{})
				hold := &engine.Op{Prepare: func(*engine.Op) error { <-release; return gatehouse.Unavailable }, Done: func(*engine.Op, error) {}}
				key := inbox.Key{Account: account, Endpoint: receiver}
				if err := r.Gate.Commit.Write(context.Background(), r.Gate.Inboxes.Shard(key), hold); err != nil {
					r.Fatal(err)
				}
				done := make(chan struct{})
				go func() {
					defer close(done)
					r.deliver(2, to(gatehouse.EndpointPrefix+receiver, note(1)))
				}()
				synctest.Wait()
				remove(r)
				close(release)
				<-done
				dead := r.dead("h")
				if len(dead) != 1 || dead[0].ID != "n-1" || dead[0].Dead == nil || dead[0].Dead.Reason != gate.ReasonNoEndpoint {
					r.Errorf("dead letters: %+v", dead)
				}
				if s, err := r.Gate.Inboxes.Stats(context.Background(), key); err != nil || s.Active != 0 {
					r.Errorf("the inbox holds %d, %v", s.Active, err)
				}
			})
		})
	}
}

// TestDeadLetters sends what may not pass or has nowhere to go.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	full := r.spec(sender)
	one := 1
	full.Name, full.Keys, full.Inbox = "full", nil, &directory.InboxSpec{MaxMessages: &one}
	r.change(full, &directory.RouteSpec{Authorization: route.Authorization{
		Name: "no-secrets", Direction: route.Egress, Types: []string{"secret"}, Effect: route.Deny,
	}})
	r.deliver(1, to("endpoints/full", note(0)))
	looped := note(7)
	looped.Hops = gatehouse.MaxHops
	forbidden := note(2)
	forbidden.Type = "secret"
	r.deliver(
		2,
		to("endpoints/nobody", note(1)),
		to("endpoints/"+receiver, forbidden),
		to("nonsense", note(3)),
		to("channels/nowhere", note(4)),
		labelled("kind=none", note(5)),
		labelled("!!", note(6)),
		to("channels/"+work, looped),
		to("endpoints/full", note(8)),
	)
	want := map[string]string{
		"n-1": gate.ReasonNoEndpoint, "n-2": gate.ReasonForbidden, "n-3": gate.ReasonAddress, "n-4": gate.ReasonNoChannel,
		"n-5": gate.ReasonNoEndpoint, "n-6": gate.ReasonLabels, "n-7": gate.ReasonHops, "n-8": gate.ReasonQuota,
	}
	dead := r.dead("h")
	for _, m := range dead {
		if m.Dead == nil || m.Dead.Reason != want[m.ID] || m.Dead.Description == "" || m.Dead.From != "channels/"+work {
			t.Errorf("%s: %+v, want reason %s", m.ID, m.Dead, want[m.ID])
		}
		delete(want, m.ID)
	}
	if len(want) > 0 || len(dead) != 8 {
		t.Errorf("%d dead letters; missing: %v", len(dead), want)
	}
}

func TestAccountGone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.change(&directory.AccountSpec{Name: account, Disabled: true})
	r.deliver(1, to("endpoints/"+receiver, note(1)), labelled("a=b", note(2)), to("channels/"+work, note(3)))
	for _, m := range r.dead("h") {
		if m.Dead.Reason != gate.ReasonAccount {
			t.Errorf("%+v", m.Dead)
		}
	}
	if n := len(r.dead("h")); n != 3 {
		t.Errorf("%d dead letters", n)
	}
}

// TestLabels reaches the endpoints that a selector matches and that may have
// the message.
func TestLabels(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i := range 20 {
		site := "oslo"
		if i%2 == 1 {
			site = "bergen"
		}
		r.change(&directory.EndpointSpec{Name: fmt.Sprint("e-", i), Labels: map[string]string{"site": site}})
	}
	r.change(&directory.RouteSpec{Authorization: route.Authorization{
		Name: "not-4", Direction: route.Egress, Endpoints: rule.Selector{Names: []string{"e-4"}}, Effect: route.Deny,
	}})
	r.deliver(1, labelled("site=oslo", note(1)))
	for i := range 20 {
		want := 1
		if i%2 == 1 || i == 4 {
			want = 0
		}
		s, err := r.Gate.Inboxes.Stats(context.Background(), inbox.Key{Account: account, Endpoint: gatehouse.EndpointName(fmt.Sprint("e-", i))})
		if err != nil || s.Active != want {
			t.Errorf("e-%d holds %d, want %d: %v", i, s.Active, want, err)
		}
	}
	if dead := r.dead("h"); len(dead) != 0 {
		t.Errorf("%d dead letters", len(dead))
	}
}

// TestReachedOnce names an endpoint twice, and by labels besides: it gets the
// message once. A message from another source is another message.
func TestReachedOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.spec(receiver)
	e.Labels = map[string]string{"site": "oslo"}
	r.change(e)
	r.deliver(1, to("endpoints/"+receiver, note(1)), to("endpoints/PANEL", note(1)), labelled("site=oslo", note(1)))
	r.deliver(2, to("endpoints/"+receiver, note(2)))
	l := r.receiver()
	for _, want := range []string{"n-1", "n-2"} {
		if d := receive(t, l, false); d.Message.ID != want {
			t.Errorf("received %s, want %s", d.Message.ID, want)
		}
	}
	nothing(t, l)
	if dead := r.dead("h"); len(dead) != 0 {
		t.Errorf("%d dead letters", len(dead))
	}
}

// TestReplayReachesWhoWasMissed has a message that named two endpoints reach one,
// and by a replay the other, and nobody twice.
func TestReplayReachesWhoWasMissed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := note(1)
	m.To = append(m.To, "endpoints/late")
	if o := one(t, r.sender(), m); o.err != nil {
		t.Fatal(o.err)
	}
	l := r.receiver()
	receive(t, l, false)
	// The dead letter is durable with what was delivered beside it, or soon.
	for len(r.dead("relay")) == 0 {
		<-time.After(time.Millisecond)
	}
	if d := r.dead("relay")[0].Dead; d.Reason != gate.ReasonNoEndpoint || d.To != "endpoints/late" {
		t.Fatalf("%+v", d)
	}
	r.change(&directory.EndpointSpec{Name: "late"})
	n, err := r.Dispatcher.Replay(context.Background(), channel.ID{Account: account, Channel: work}, "relay")
	if n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	nothing(t, l)
	s, err := r.Gate.Inboxes.Stats(context.Background(), inbox.Key{Account: account, Endpoint: "late"})
	if err != nil || s.Active != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestForward sends on to another channel.
func TestForward(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.change(&directory.ChannelSpec{Name: "next"})
	m := note(1)
	m.Source, m.Hops = "/"+account+"/endpoints/"+sender, 2
	r.deliver(1, to("channels/NEXT", m))
	r.deliver(1, to("channels/NEXT", m))
	var got []*gatehouse.Message
	for p := range r.Gate.Channels.Partitions() {
		_, err := r.Gate.Channels.Read(context.Background(), channel.ID{Account: account, Channel: "next"}, engine.Shard(p), 0, nil, func(m *gatehouse.Message) bool {
			got = append(got, m)
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 1 || got[0].Hops != 3 || m.Hops != 2 {
		t.Errorf("%+v", got)
	}
}

// TestQuotaLeavesATrace refuses what an inbox has no room for, in the commit of
// what it has room for.
func TestQuotaLeavesATrace(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.spec(receiver)
	size := config.Size(1 << 20)
	three := 3
	e.Inbox = &directory.InboxSpec{MaxMessages: &three, MaxBytes: &size}
	r.change(e)
	b := &handler.Batch{Account: account, Channel: work, Handler: "h", Group: "h", Partition: 3, Through: 10}
	for i := range 10 {
		b.Outputs = append(b.Outputs, handler.Output{Address: "endpoints/" + receiver, Message: note(i), Source: gatehouse.Offset(i + 1)})
	}
	for range 2 {
		if err := r.Gate.Deliver(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	if dead := r.dead("h"); len(dead) != 7 || dead[0].Dead.Reason != gate.ReasonQuota {
		t.Errorf("%d dead letters", len(dead))
	}
	l := r.receiver()
	for range 3 {
		receive(t, l, false)
	}
	nothing(t, l)
}

// TestResubmit puts dead letters back only while they are authorized.
func TestResubmit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.deliver(1, to("endpoints/"+receiver, note(1)))
	l := r.receiver()
	d := receive(t, l, false)
	if err := l.Settle(context.Background(), false, inbox.Settlement{Lock: d.Lock, Outcome: inbox.DeadLetter, Reason: "R"}); err != nil {
		t.Fatal(err)
	}
	r.delete(directory.KindRoute, "out")
	done, err := r.Gate.Resubmit(context.Background(), account, receiver)
	if err != nil || done.Moved != 0 || done.Kept != 1 || !errors.Is(done.Err, gatehouse.Forbidden) {
		t.Fatalf("%+v, %v", done, err)
	}
	r.change(&directory.RouteSpec{Authorization: route.Authorization{Name: "out", Direction: route.Egress}})
	done, err = r.Gate.Resubmit(context.Background(), account, receiver)
	if err != nil || done.Moved != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	if d := receive(t, l, false); d.Message.ID != "n-1" || d.Message.Dead != nil {
		t.Errorf("%+v", d.Message)
	}
	if _, err := r.Gate.Resubmit(context.Background(), account, "nobody"); !errors.Is(err, gatehouse.NotFound) {
		t.Errorf("%v", err)
	}
}
