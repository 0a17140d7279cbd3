package web

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"

	"github.com/coder/websocket"
)

const (
	sender   = adaptertest.Sender
	receiver = adaptertest.Receiver
)

// TestCommands goes through the protocol.
func TestCommands(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	c := s.dial(receiver)
	expect := func(op, id, kind, reason string) answer {
		t.Helper()
		a := c.read()
		if a.Op != op || string(a.ID) != id || a.Kind != kind || !strings.Contains(a.Reason, reason) {
			t.Fatalf("got %+v, want %s %s %s %q", a, op, id, kind, reason)
		}
		return a
	}
	c.say(`{"op":"ping","id":"p"}`)
	expect("pong", `"p"`, "", "")
	c.say(`{"op":"ping"}`)
	expect("pong", "", "", "")
	c.say(`{"op":"send","id":1,"message":{"id":"m-1","to":"endpoints/panel","data":{"n":1}}}`)
	if a := expect("accepted", "1", "", ""); a.Receipt == nil || a.Receipt.ID != "m-1" || a.Receipt.Channels[0] != adaptertest.Channel || a.Receipt.Offset == 0 {
		t.Errorf("%+v", a.Receipt)
	}
	c.say(`{"op":"send","id":2,"message":{"type":"%s"}}`, adaptertest.DeniedType)
	expect("refused", "2", "Forbidden", "")
	c.say(`{"op":"send","id":3}`)
	expect("refused", "3", "Invalid", "no message")
	c.say(`{"op":"send","message":{"specversion":"2"}}`)
	expect("refused", "", "Invalid", "specversion")
	c.say(`{"op":"dance","id":4}`)
	expect("refused", "4", "Invalid", "one of send")
	c.say(`{"op":"credit","credit":-1,"id":5}`)
	expect("refused", "5", "Invalid", "credit")
	c.say(`{"op":"credit","credit":4}`)
	d := c.next()
	if d.ID != "m-1" || d.Data.N != 1 || d.DeliveryCount != 1 || d.Source != "/Acme/endpoints/Panel" || d.Sequence == nil || d.EnqueuedTime.IsZero() {
		t.Errorf("%+v", d)
	}
	c.say(`{"op":"renew","lockToken":"%s","id":6}`, d.LockToken)
	if a := expect("done", "6", "", ""); !a.LockedUntil.After(d.LockedUntil.Add(-time.Second)) {
		t.Errorf("locked until %v, was %v", a.LockedUntil, d.LockedUntil)
	}
	c.say(`{"op":"abandon","lockToken":"%s"}`, d.LockToken)
	again := c.next()
	if again.DeliveryCount != 2 || again.Sequence != d.Sequence {
		t.Errorf("%+v", again)
	}
	c.say(`{"op":"complete","lockToken":"%s","id":7}`, d.LockToken)
	expect("refused", "7", "LockLost", "")
	c.say(`{"op":"renew","lockToken":"%s","id":8}`, d.LockToken)
	expect("refused", "8", "LockLost", "")
	c.say(`{"op":"complete","lockToken":"x","id":9}`)
	expect("refused", "9", "Invalid", "lock token")
	c.say(`{"op":"complete","lockToken":"%s","id":10}`, again.LockToken)
	expect("done", "10", "", "")
	c.say(`{"op":"token","token":"%s","id":11}`, s.both(receiver))
	if a := expect("done", "11", "", ""); a.Expires.Before(time.Now()) {
		t.Errorf("%+v", a)
	}
	c.say(`{"op":"token","token":"%s","id":12}`, s.both(sender))
	expect("refused", "12", "Unauthenticated", "")
	s.depth(0)
}

// TestBrokenCommands ends connections whose clients speak no JSON.
func TestBrokenCommands(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	for _, text := range []string{"{", "[]", "7", `{"id":"` + strings.Repeat("x", maxID) + `"}`, `{"op":1}`} {
		c := s.dial(receiver)
		c.say("%s", text)
		if e := c.closed(); e.Code != 4400 || !strings.HasPrefix(e.Reason, "Invalid: ") || len(e.Reason) > maxReason {
			t.Errorf("%s: %v", text, e)
		}
	}
	c := s.dial(receiver)
	if err := c.ws.Write(c.ctx, websocket.MessageBinary, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if e := c.closed(); e.Code != 4400 {
		t.Errorf("binary: %v", e)
	}
	// The gateway does not read to the end of what is too large: the client may
	// learn the reason, or only that nobody reads any more.
	c = s.dial(receiver)
	_ = c.ws.Write(c.ctx, websocket.MessageText, []byte(`{"op":"send","id":1,"message":{"data":"`+strings.Repeat("x", 2<<20)+`"}}`))
	_, text, err := c.ws.Read(c.ctx)
	if e, ok := errors.AsType[websocket.CloseError](err); err == nil || ok && e.Code != websocket.StatusMessageTooBig {
		t.Errorf("too large: %s, %v", text, err)
	}
	s.none(receiver)
}

// TestOneSide shows proofs for one side only: the other is refused.
func TestOneSide(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	until := time.Now().Add(time.Hour)
	for _, side := range []gatehouse.PolicyName{gatehouse.PolicySend, gatehouse.PolicyListen} {
		c, err := s.tryDial(sender, nil, "access_token", s.token(sender, side, until))
		if err != nil {
			t.Fatal(err)
		}
		sends := side == gatehouse.PolicySend
		if a := c.read(); a.Op != "hello" || a.Send != sends || a.Receive == sends {
			t.Errorf("%s: %+v", side, a)
		}
		c.say(`{"op":"send","id":1,"message":{"data":1}}`)
		if a := c.read(); (a.Op == "accepted") != sends || !sends && a.Kind != "Forbidden" {
			t.Errorf("%s: %+v", side, a)
		}
		c.say(`{"op":"credit","id":2,"credit":1}`)
		if a := c.read(); (a.Op == "done") == sends || sends && a.Kind != "Forbidden" {
			t.Errorf("%s: %+v", side, a)
		}
	}
}

// TestPolicyToken shows the token of an account's policy, which is good for
// both sides.
func TestPolicyToken(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	c, err := s.tryDial(sender, nil, "access_token", s.policyToken(sender))
	if err != nil {
		t.Fatal(err)
	}
	if a := c.read(); !a.Send || !a.Receive {
		t.Errorf("%+v", a)
	}
}

func TestRefusedConnections(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	for _, c := range []struct{ token, want string }{
		{"", "401"},
		{"SharedAccessSignature sr=a&sig=b&se=1&skn=send", "401"},
		{"x", "401"},
		{s.both(sender), "401"},
		{s.token(receiver, gatehouse.PolicyListen, time.Now().Add(-time.Minute)), "401"},
	} {
		if _, err := s.tryDial(receiver, nil, "access_token", c.token); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q: %v", c.token, err)
		}
	}
	if _, err := s.tryDial("nobody", nil); err == nil || !strings.HasPrefix(err.Error(), "401") {
		t.Errorf("nobody: %v", err)
	}
	if _, err := s.tryDial(receiver, nil, "client", "a b"); err == nil || !strings.HasPrefix(err.Error(), "400") {
		t.Errorf("a wrong name: %v", err)
	}
	if status := s.status("GET", s.url("endpoints", receiver, "ws", "access_token", s.both(receiver))); status != http.StatusUpgradeRequired {
		t.Errorf("without an upgrade: %d", status)
	}
	if status := s.status("GET", s.url("endpoints", receiver, "ws/x")); status != http.StatusNotFound {
		t.Errorf("below: %d", status)
	}
}

// TestReconnect loses connections in the middle of things: each message is
// completed once, and in order.
func TestReconnect(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	const n, batch = 60, 7
	s.fill(0, n, 10)
	for next := 0; next < n; {
		c := s.dial(receiver, "client", "tab-1")
		c.say(`{"op":"credit","credit":16}`)
		for range min(batch, n-next) { // the others it only sees
			d := c.next()
			if d.Data.N != next || d.DeliveryCount != 1 {
				t.Fatalf("message %d came, delivered %d times, instead of %d", d.Data.N, d.DeliveryCount, next)
			}
			next++
			c.say(`{"op":"complete","lockToken":"%s"}`, d.LockToken)
		}
		c.say(`{"op":"ping"}`)
		c.waitFor("pong") // the gateway has read it all
		_ = c.ws.CloseNow()
	}
	s.depth(0)
}

// TestTakeOver connects again before the gateway knows that the first
// connection is lost.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.fill(0, 5, 10)
	first := s.dial(receiver, "client", "tab-1")
	first.say(`{"op":"credit","credit":3}`)
	for range 3 {
		first.next()
	}
	second := s.dial(receiver, "client", "tab-1")
	second.say(`{"op":"credit","credit":5}`)
	for i := range 5 {
		if d := second.next(); d.Data.N != i || d.DeliveryCount != 1 {
			t.Errorf("message %d is %+v", i, d)
		}
	}
	if e := first.closed(); e.Code != 4409 || !strings.HasPrefix(e.Reason, "Conflict: ") {
		t.Errorf("%v", e)
	}
	// Another name, and another endpoint, are others.
	third, fourth := s.dial(receiver, "client", "tab-2"), s.dial(sender, "client", "tab-1")
	for _, c := range []*line{second, third, fourth} {
		c.say(`{"op":"ping","id":1}`)
		c.waitFor("pong")
	}
}

// TestCredit holds no more deliveries than the client wants.
func TestCredit(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.fill(0, 10, 10)
	c := s.dial(receiver)
	c.say(`{"op":"credit","credit":2}`)
	a, b := c.next(), c.next()
	if a.Data.N != 0 || b.Data.N != 1 {
		t.Fatalf("%+v %+v", a, b)
	}
	c.say(`{"op":"complete","lockToken":"%s"}`, a.LockToken)
	if d := c.next(); d.Data.N != 2 {
		t.Fatalf("%+v", d)
	}
	c.say(`{"op":"credit","credit":0,"id":1}`)
	c.waitFor("done")
	c.say(`{"op":"complete","lockToken":"%s","id":2}`, b.LockToken)
	if a := c.read(); a.Op != "done" {
		t.Fatalf("without credit came %+v", a)
	}
	c.say(`{"op":"credit","credit":2}`) // it holds one
	if d := c.next(); d.Data.N != 3 {
		t.Fatalf("%+v", d)
	}
}

// TestLostLocks has a client sit on its deliveries: their locks run out, and
// they come again.
func TestLostLocks(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.locks(time.Second)
	s.fill(0, 1, 10)
	c := s.dial(receiver)
	c.say(`{"op":"credit","credit":1}`)
	first := c.next()
	again := c.next()
	if again.Data.N != 0 || again.DeliveryCount != 2 || again.LockToken == first.LockToken {
		t.Errorf("%+v", again)
	}
}

// waitFor reads until an answer of that kind comes.
func (c *line) waitFor(op string) answer {
	c.Helper()
	for {
		switch a := c.read(); a.Op {
		case op:
			return a
		case "delivery":
		default:
			c.Fatalf("instead of %s came %+v", op, a)
		}
	}
}

// TestSlowReader does not read, nor settle. It holds a few messages and no more,
// and loses their locks: all of them come to another client.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	for name, slow := range map[string]func(*site){
		"WebSocket": func(s *site) { s.dial(receiver).say(`{"op":"credit","credit":1024}`) },
		"SignalR":   func(s *site) { s.hub(receiver, "window", "1024") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, Options{WindowBytes: 64 << 10})
			s.locks(2 * time.Second)
			const n, size = 40, 30 << 10
			s.fill(0, n, size)
			slow(s)
			c := s.dial(receiver)
			c.say(`{"op":"credit","credit":4}`)
			seen := make(map[int]int)
			for len(seen) < n {
				d := c.next()
				seen[d.Data.N] = d.DeliveryCount
				c.say(`{"op":"complete","lockToken":"%s"}`, d.LockToken)
			}
			late := 0
			for _, count := range seen {
				if count > 1 {
					late++
				}
			}
			// Its window, and the one behind it, perhaps more than once.
			if late == 0 || late > 5*(64<<10/size+1) {
				t.Errorf("a client that does not read had %d messages", late)
			}
			s.depth(0)
		})
	}
}

// TestStuckReader does not read though there is much for it: it is given up when
// a write takes too long, and its messages go back.
func TestStuckReader(t *testing.T) {
	t.Parallel()
	for name, stuck := range map[string]func(*site){
		"WebSocket": func(s *site) { s.dial(receiver).say(`{"op":"credit","credit":1024}`) },
		"SignalR":   func(s *site) { s.hub(receiver, "window", "1024") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, Options{WindowBytes: 64 << 20, WriteTime: 500 * time.Millisecond})
			s.locks(5 * time.Minute)
			const n, size = 400, 60 << 10
			s.fill(0, n, size)
			stuck(s)
			s.none(receiver)
			s.depth(n)
			c := s.dial(receiver)
			c.say(`{"op":"credit","credit":8}`)
			for i := range 20 {
				d := c.next()
				if d.Data.N != i || d.DeliveryCount != 1 {
					t.Fatalf("message %d is %d, delivered %d times", i, d.Data.N, d.DeliveryCount)
				}
				c.say(`{"op":"complete","lockToken":"%s"}`, d.LockToken)
			}
		})
	}
}

// none waits until an endpoint has no session.
func (s *site) none(e gatehouse.EndpointName) {
	s.Helper()
	ctx := s.within()
	for {
		open := 0
		for _, session := range s.Gate.Sessions(adaptertest.Account) {
			if session.Identity().Endpoint == e {
				open++
			}
		}
		if open == 0 {
			return
		}
		select {
		case <-ctx.Done():
			s.Fatalf("%d sessions are left", open)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestSilentClient does not answer pings: it is given up.
func TestSilentClient(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{KeepAlive: 50 * time.Millisecond})
	alive := s.dial(sender)
	_ = s.dial(receiver) // nobody reads, so nobody answers
	said := make(chan answer, 1)
	go func() { said <- alive.read() }()
	s.none(receiver)
	alive.say(`{"op":"ping"}`)
	if a := <-said; a.Op != "pong" {
		t.Errorf("%+v", a)
	}
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	c := s.dial(receiver)
	s.Revoke(receiver)
	if e := c.closed(); e.Code != 4401 || !strings.HasPrefix(e.Reason, "Revoked: ") {
		t.Errorf("%v", e)
	}
	if _, err := s.tryDial(receiver, nil); err == nil || !strings.HasPrefix(err.Error(), "401") {
		t.Errorf("connected once revoked: %v", err)
	}
}

// TestExpiry lets a token expire: what the client held is back at once, for the
// connection with the next token.
func TestExpiry(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.fill(0, 1, 10)
	c, err := s.tryDial(receiver, nil, "access_token", s.token(receiver, gatehouse.PolicyListen, time.Now().Add(2*time.Second)))
	if err != nil {
		t.Fatal(err)
	}
	c.say(`{"op":"credit","credit":1}`)
	c.waitForHello()
	if d := c.next(); d.Data.N != 0 {
		t.Fatalf("%+v", d)
	}
	if e := c.closed(); e.Code != 4401 || !strings.HasPrefix(e.Reason, "Expired: ") {
		t.Errorf("%v", e)
	}
	next := s.dial(receiver)
	next.say(`{"op":"credit","credit":1}`)
	if d := next.next(); d.Data.N != 0 || d.DeliveryCount != 1 {
		t.Errorf("%+v", d)
	}
}

func (c *line) waitForHello() {
	c.Helper()
	if a := c.read(); a.Op != "hello" {
		c.Fatalf("%+v", a)
	}
}

// TestStop tells clients to connect again, once they have their answers.
func TestStop(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	c := s.dial(receiver)
	for i := range 50 {
		c.say(`{"op":"send","id":%d,"message":{"data":1}}`, i)
	}
	c.waitFor("accepted")
	var stopped sync.WaitGroup
	stopped.Go(s.stop)
	if e := c.closed(); e.Code != websocket.StatusGoingAway {
		t.Errorf("%v", e)
	}
	stopped.Wait()
}

// TestWebSocketOrigins lets in the pages that a restriction states.
func TestWebSocketOrigins(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	from := func(origin string) (*line, error) { return s.tryDial(receiver, http.Header{"Origin": {origin}}) }
	if _, err := from(app); err == nil || !strings.HasPrefix(err.Error(), "403") {
		t.Errorf("no origins are stated: %v", err)
	}
	s.state(app)
	c, err := from(app)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := from(evil); err == nil || !strings.HasPrefix(err.Error(), "403") {
		t.Errorf("from elsewhere: %v", err)
	}
	c.waitForHello() // or it may be told the end first
	s.state("https://other.example.com")
	if e := c.closed(); e.Code != 4403 || !strings.HasPrefix(e.Reason, "Restricted: ") {
		t.Errorf("its origin was taken away: %v", e)
	}
}

// TestTokensAreNotLogged looks for tokens in what is logged at every level.
func TestTokensAreNotLogged(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	c := s.dial(receiver)
	_ = c.ws.CloseNow()
	_, _ = s.tryDial(receiver, nil, "access_token", s.both(sender))
	_ = s.status("GET", s.url("inboxes", receiver, "events", "access_token", "SharedAccessSignature sr=a&sig=abc&se=1&skn=x"))
	_ = s.status("POST", s.url("inboxes", receiver, "events/x", "access_token", s.both(receiver)))
	s.none(receiver)
	s.stop()
	for _, secret := range []string{"SharedAccessSignature", "access_token", "sig="} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("%s is in the log:\n%s", secret, s.log)
		}
	}
}

var crowd = flag.Int("crowd", 5000, "connections of TestManyConnections") //nolint:gochecknoglobals // a flag

// TestManyConnections holds many connections at a time; each of them is alive.
func TestManyConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	s := newSite(t, Options{})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	token := s.both(sender)
	all := make([]*websocket.Conn, *crowd)
	var dialing sync.WaitGroup
	for part := range 8 {
		dialing.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			for i := part; i < len(all); i += 8 {
				ws, _, err := websocket.Dial(ctx, s.url("endpoints", sender, "ws", "access_token", token), &websocket.DialOptions{HTTPClient: client})
				if err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
				all[i] = ws
			}
		})
	}
	dialing.Wait()
	if t.Failed() {
		return
	}
	if n := len(s.Gate.Sessions(adaptertest.Account)); n != len(all) {
		t.Errorf("%d sessions for %d connections", n, len(all))
	}
	for i, ws := range all {
		if err := ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"op":"ping","id":%d}`, i)); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	for i, ws := range all {
		for range 2 { // hello and pong
			if _, _, err := ws.Read(ctx); err != nil {
				t.Fatalf("connection %d: %v", i, err)
			}
		}
		_ = ws.CloseNow()
	}
	s.none(sender)
}
