package adaptertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/cloudevents"

	"github.com/google/go-cmp/cmp"
)

// testCarries sends a message that has everything.
func testCarries(t *testing.T, b *bench) {
	m := full()
	must(t, b.dial(t, b.login(Sender)).Send(t.Context(), m))
	c := b.dial(t, b.login(Receiver))
	r := receive(t, c)
	want := full()
	want.Source = "/" + Account + "/endpoints/" + Sender
	if b.Keeps != nil {
		want = b.Keeps(want)
	}
	got := *r.Message
	got.Enqueued, got.Position = time.Time{}, gatehouse.Position{}
	if diff := cmp.Diff(want, &got, values); diff != "" {
		t.Errorf("-sent +received:\n%s", diff)
	}
	if r.Count > 1 {
		t.Errorf("delivery count %d", r.Count)
	}
	must(t, c.Complete(t.Context(), r))
	if err := c.Complete(t.Context(), r); !errors.Is(err, gatehouse.LockLost) {
		t.Errorf("completing twice: %v", err)
	}
	nothing(t, c)
}

// values lets messages be compared.
var values = cmp.Comparer(func(a, b gatehouse.Value) bool {
	return a.Type() == b.Type() && cloudevents.Text(a) == cloudevents.Text(b)
})

// full returns a message with every field and every type of attribute.
func full() *gatehouse.Message {
	at := time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)
	return &gatehouse.Message{
		ID: "m-1", Type: "com.example.reading", Subject: "grün/7", Time: at, ContentType: "application/json", Schema: "https://example.com/s",
		To: []string{gatehouse.EndpointPrefix + Receiver}, Key: "k", Group: "", CorrelationID: "c", ReplyTo: gatehouse.EndpointPrefix + Sender,
		TTL: time.Hour, TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Attributes: []gatehouse.Attribute{
			{Name: "site", Value: gatehouse.String("Ålesund \"north\"")},
			{Name: "count", Value: gatehouse.Int64(-7)},
			{Name: "large", Value: gatehouse.Uint64(1<<64 - 1)},
			{Name: "level", Value: gatehouse.Float64(21.5)},
			{Name: "open", Value: gatehouse.Bool(true)},
			{Name: "at", Value: gatehouse.Timestamp(at)},
			{Name: "raw", Value: gatehouse.Binary([]byte{0, 1, 255})},
			{Name: "unit", Value: gatehouse.UUID([16]byte{1, 2, 3})},
			{Name: "nothing", Value: gatehouse.Value{}},
			{Name: "tags", Value: gatehouse.List(gatehouse.String("a"), gatehouse.Int64(1))},
			{Name: "map", Value: gatehouse.Map(gatehouse.Attribute{Name: "a", Value: gatehouse.Bool(false)})},
		},
		Body: []byte(`{"t":21.5}`),
	}
}

// nothing checks that no message waits.
func nothing(t *testing.T, c Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if r, err := c.Receive(ctx); err != nil || r != nil {
		t.Errorf("a message where there should be none: %+v, %v", r, err)
	}
}

func note(i int) *gatehouse.Message {
	return &gatehouse.Message{
		ID: fmt.Sprint("n-", i), ContentType: "text/plain", Body: fmt.Append(nil, i),
		To: []string{gatehouse.EndpointPrefix + Receiver},
	}
}

// testOrder sends many messages and receives them in order.
func testOrder(t *testing.T, b *bench) {
	const n = 50
	from, to := b.dial(t, b.login(Sender)), b.dial(t, b.login(Receiver))
	for i := range n {
		must(t, from.Send(t.Context(), note(i)))
	}
	for i := range n {
		r := receive(t, to)
		if string(r.Message.Body) != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, r.Message.Body)
		}
		must(t, to.Complete(t.Context(), r))
	}
}

// testAbandon gives a message back, and gets it again at once.
func testAbandon(t *testing.T, b *bench) {
	must(t, b.dial(t, b.login(Sender)).Send(t.Context(), note(1)))
	c := b.dial(t, b.login(Receiver))
	must(t, c.Abandon(t.Context(), receive(t, c)))
	r := receive(t, c)
	if r.Count != 0 && r.Count != 2 {
		t.Errorf("delivery count %d", r.Count)
	}
	must(t, c.Complete(t.Context(), r))
	nothing(t, c)
}

// testDeadLetter rejects a message and finds it among the dead letters.
func testDeadLetter(t *testing.T, b *bench) {
	must(t, b.dial(t, b.login(Sender)).Send(t.Context(), note(1)))
	c := b.dial(t, b.login(Receiver))
	must(t, c.DeadLetter(t.Context(), receive(t, c), "Unreadable", "no such field"))
	l := b.login(Receiver)
	l.Dead = true
	dead := b.dial(t, l)
	r := receive(t, dead)
	if d := r.Message.Dead; string(r.Message.Body) != "1" || d == nil || d.Reason != "Unreadable" || d.Description != "no such field" {
		t.Errorf("dead letter %s: %+v", r.Message.Body, d)
	}
	must(t, dead.Complete(t.Context(), r))
	nothing(t, dead)
	nothing(t, c)
}

// testLostConnection takes a message and goes away: it comes again.
func testLostConnection(t *testing.T, b *bench) {
	must(t, b.dial(t, b.login(Sender)).Send(t.Context(), note(1)))
	lost := b.dial(t, b.login(Receiver))
	receive(t, lost)
	lost.Close()
	c := b.dial(t, b.login(Receiver))
	must(t, c.Complete(t.Context(), receive(t, c)))
}

// testWrongKey shows keys that are wrong.
func testWrongKey(t *testing.T, b *bench) {
	l := b.login(Sender)
	l.SendKey, l.ListenKey = "wrong", "wrong"
	if err := b.dial(t, l).Send(t.Context(), note(1)); !errors.Is(err, gatehouse.Unauthenticated) {
		t.Errorf("sending with a wrong key: %v", err)
	}
	if r, err := b.dial(t, l).Receive(t.Context()); !errors.Is(err, gatehouse.Unauthenticated) {
		t.Errorf("receiving with a wrong key: %v, %v", r, err)
	}
	l.Endpoint = "nobody"
	if err := b.dial(t, l).Send(t.Context(), note(1)); !errors.Is(err, gatehouse.Unauthenticated) {
		t.Errorf("sending as nobody: %v", err)
	}
	l = b.login(Sender)
	l.SendKey = l.ListenKey
	if err := b.dial(t, l).Send(t.Context(), note(1)); err == nil {
		t.Error("sent with the key of the inbox")
	}
}

// testRefusals sends what no rule allows.
func testRefusals(t *testing.T, b *bench) {
	c := b.dial(t, b.login(Sender))
	m := note(1)
	m.Type = DeniedType
	if err := c.Send(t.Context(), m); !errors.Is(err, gatehouse.Forbidden) {
		t.Errorf("without a route: %v", err)
	}
	m = note(1)
	m.Body = make([]byte, MaxSize+1)
	if err := c.Send(t.Context(), m); !errors.Is(err, gatehouse.Restricted) && !errors.Is(err, gatehouse.TooLarge) {
		t.Errorf("over a restriction's size: %v", err)
	}
	// A refusal costs the connection nothing.
	must(t, c.Send(t.Context(), note(2)))
	if r := receive(t, b.dial(t, b.login(Receiver))); string(r.Message.Body) != "2" {
		t.Errorf("received %s", r.Message.Body)
	}
}

// testRevocation revokes an endpoint that waits for messages.
func testRevocation(t *testing.T, b *bench) {
	c := b.dial(t, b.login(Receiver))
	must(t, c.Send(t.Context(), note(1)))
	must(t, c.Complete(t.Context(), receive(t, c)))
	waiting := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() {
		r, err := c.Receive(ctx)
		if r != nil {
			err = errors.New("a message came")
		}
		waiting <- err
	}()
	b.world.Revoke(Receiver)
	if err := <-waiting; err == nil || ctx.Err() != nil {
		t.Errorf("a receiver that waited while it was revoked: %v", err)
	}
	if err := b.dial(t, b.login(Receiver)).Send(t.Context(), note(2)); !errors.Is(err, gatehouse.Revoked) {
		t.Errorf("sending once revoked: %v", err)
	}
}

// testCrowd has many clients send and receive at a time.
func testCrowd(t *testing.T, b *bench) {
	const clients, each = 8, 25
	var sending, receiving sync.WaitGroup
	var mu sync.Mutex
	seen := make(map[string]int)
	all, enough := context.WithTimeout(t.Context(), patience)
	defer enough()
	for i := range clients {
		from, to := b.dial(t, b.login(Sender)), b.dial(t, b.login(Receiver))
		sending.Go(func() {
			for j := range each {
				if err := from.Send(t.Context(), note(i*each+j)); err != nil {
					t.Errorf("send: %v", err)
				}
			}
		})
		receiving.Go(func() {
			for all.Err() == nil {
				r, err := to.Receive(all)
				if err != nil || r == nil {
					continue
				}
				if err := to.Complete(t.Context(), r); err != nil {
					t.Errorf("complete: %v", err)
				}
				mu.Lock()
				seen[string(r.Message.Body)]++
				if len(seen) == clients*each {
					enough()
				}
				mu.Unlock()
			}
		})
	}
	sending.Wait()
	receiving.Wait()
	if len(seen) != clients*each {
		t.Errorf("%d of %d messages came", len(seen), clients*each)
	}
	for body, n := range seen {
		if n != 1 {
			t.Errorf("message %s came %d times", body, n)
		}
	}
}

// testStop stops the adapter while a client waits.
func testStop(t *testing.T, b *bench) {
	c := b.dial(t, b.login(Receiver))
	must(t, c.Send(t.Context(), note(1)))
	must(t, c.Complete(t.Context(), receive(t, c)))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	waited := make(chan *Received, 1)
	go func() {
		r, _ := c.Receive(ctx) // no message or an error, as the protocol has it
		waited <- r
	}()
	b.stop()
	if r := <-waited; r != nil || ctx.Err() != nil {
		t.Errorf("a client that waited while the adapter was stopped got %v", r)
	}
	if err := b.dial(t, b.login(Sender)).Send(t.Context(), note(2)); err == nil {
		t.Error("sent to an adapter that was stopped")
	}
}
