package web

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
)

// A source is a client of Server-Sent Events, as a browser's EventSource is,
// but that it does not connect again by itself.
type source struct {
	testing.TB
	cancel context.CancelFunc
	w      *http.Response
	lines  *bufio.Reader
	retry  int
}

// An event is one that came.
type event struct {
	id, kind, data string
}

// listen connects. last is the id of the last event, if not empty.
func (s *site) listen(last string, parameters ...string) *source {
	s.Helper()
	ctx, cancel := context.WithCancel(s.within())
	s.Cleanup(cancel)
	token := s.token(receiver, gatehouse.PolicyListen, time.Now().Add(time.Hour))
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url("inboxes", receiver, "events", append([]string{"access_token", token}, parameters...)...), nil)
	if err != nil {
		s.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	w, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = w.Body.Close() })
	if w.StatusCode != http.StatusOK || w.Header.Get("Content-Type") != "text/event-stream" {
		s.Fatalf("%d %v", w.StatusCode, w.Header)
	}
	return &source{TB: s.TB, cancel: cancel, w: w, lines: bufio.NewReader(w.Body)}
}

// read returns the next event; ok is false at the end.
func (c *source) read() (e event, ok bool) {
	c.Helper()
	for {
		line, err := c.lines.ReadString('\n')
		if err != nil {
			return event{}, false
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "":
			if e.data != "" {
				return e, true
			}
		case "id":
			e.id = value
		case "event":
			e.kind = value
		case "data":
			e.data += value
		case "retry":
			c.retry, _ = strconv.Atoi(value)
		}
	}
}

// next returns the next delivery and the id of its event.
func (c *source) next() (delivery, string) {
	c.Helper()
	e, ok := c.read()
	var d delivery
	if !ok || e.kind != "" || e.id == "" {
		c.Fatalf("instead of a delivery came %+v", e)
	}
	if err := json.Unmarshal([]byte(e.data), &d); err != nil {
		c.Fatalf("%s: %v", e.data, err)
	}
	return d, e.id
}

// expect reads messages in order, each delivered for the first time.
func (c *source) expect(from, to int) (last string) {
	c.Helper()
	for n := from; n < to; n++ {
		d, id := c.next()
		if d.Data.N != n || d.DeliveryCount != 1 || d.LockToken == "" {
			c.Fatalf("instead of message %d came %+v", n, d)
		}
		last = id
	}
	return last
}

// end reads to the end, and returns what came last.
func (c *source) end() (last event) {
	c.Helper()
	for {
		e, ok := c.read()
		if !ok {
			return last
		}
		last = e
	}
}

// TestResume loses the connection, and names the last event on the next: what
// it was given is done with, and the rest comes.
func TestResume(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.fill(0, 10, 10)
	c := s.listen("")
	last := c.expect(0, 4)
	c.cancel()
	c = s.listen(last)
	if c.expect(4, 10); c.retry != 2000 {
		t.Errorf("retry: %d", c.retry)
	}
	s.depth(6)
	c.cancel()
	s.none(receiver)
	s.listen("").expect(4, 10) // nobody has acknowledged them
	s.depth(6)
}

// TestResumeFromNobody resumes where nobody remembers the connection, as after
// a crash.
func TestResumeFromNobody(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.fill(0, 10, 10)
	c := s.listen("")
	last := c.expect(0, 4)
	c.cancel()
	s.none(receiver)
	s.listen("", "lastEventId", last).expect(4, 10)
	s.depth(6)
}

// TestResumeIsExact acknowledges what the client was given, and not what was
// before that with others.
func TestResumeIsExact(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.fill(0, 4, 10)
	other := s.dial(receiver)
	other.say(`{"op":"credit","credit":2}`)
	other.next()
	other.next()
	c := s.listen("")
	last := c.expect(2, 4)
	_ = other.ws.CloseNow()
	c.expect(0, 1) // comes back
	c.cancel()
	s.none(receiver)
	s.listen(last).expect(0, 2)
	s.depth(2)
}

// TestAcknowledge acknowledges by requests.
func TestAcknowledge(t *testing.T) {
	t.Parallel()
	for _, parameters := range [][]string{nil, {"ack", "explicit"}} {
		s := newSite(t, Options{})
		s.fill(0, 6, 10)
		c := s.listen("", parameters...)
		first := c.expect(0, 2)
		rest := c.expect(2, 6)
		token := s.token(receiver, gatehouse.PolicyListen, time.Now().Add(time.Hour))
		for _, ask := range []struct {
			method, id, token string
			status, left      int
		}{
			{"POST", first, token, http.StatusNoContent, 4},
			{"POST", first, token, http.StatusNoContent, 4},
			{"DELETE", rest, s.token(sender, gatehouse.PolicyListen, time.Now().Add(time.Hour)), http.StatusUnauthorized, 4},
			{"DELETE", rest, token, http.StatusNoContent, 0},
			{"DELETE", "nobody.AQ", token, http.StatusNotFound, 0},
			{"POST", "x", token, http.StatusBadRequest, 0},
			{"POST", "a.###", token, http.StatusBadRequest, 0},
			{"PUT", first, token, http.StatusMethodNotAllowed, 0},
		} {
			if got := s.status(ask.method, s.url("inboxes", receiver, "events/"+ask.id, "access_token", ask.token)); got != ask.status {
				t.Errorf("%s %s: %d, want %d", ask.method, ask.id, got, ask.status)
			}
			s.depth(ask.left)
		}
		s.fill(6, 1, 10)
		c.expect(6, 7)
	}
	s := newSite(t, Options{})
	if got := s.status("POST", s.url("inboxes", receiver, "events", "access_token", s.both(receiver))); got != http.StatusMethodNotAllowed {
		t.Errorf("POST to the stream: %d", got)
	}
}

// TestExplicit says that only requests acknowledge where the client wants that.
func TestExplicit(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{Window: 4})
	s.locks(time.Second)
	s.fill(0, 6, 10)
	c := s.listen("", "ack", "explicit")
	last := c.expect(0, 4)
	// The window is full, and its locks are renewed for as long as it takes.
	other := s.dial(receiver)
	other.say(`{"op":"credit","credit":2}`)
	for range 2 {
		if d := other.next(); d.Data.N < 4 {
			t.Fatalf("%+v", d)
		}
	}
	for range 2 { // its locks run out meanwhile
		if d := other.next(); d.Data.N < 4 || d.DeliveryCount != 2 {
			t.Fatalf("%+v", d)
		}
	}
	c.cancel()
	c = s.listen(last, "ack", "explicit")
	c.expect(0, 4)
	s.depth(6)
}

// TestTurn reads a full window: the client is made to come again, which
// acknowledges it, and what it holds is kept for it until then.
func TestTurn(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{Window: 4})
	s.fill(0, 10, 10)
	last := ""
	for _, part := range [][2]int{{0, 4}, {4, 8}} {
		c := s.listen(last)
		last = c.expect(part[0], part[1])
		if e := c.end(); e.data != "" || c.retry != 10 {
			t.Errorf("at the end of a turn: %+v, retry %d", e, c.retry)
		}
		other := s.dial(receiver) // gets nothing of what is kept
		other.say(`{"op":"credit","credit":1}`)
		if d := other.next(); d.Data.N != part[1] {
			t.Errorf("another client got %+v", d)
		}
		_ = other.ws.CloseNow()
		s.sessions(receiver, 1)
	}
	s.listen(last).expect(8, 10)
	s.depth(2)
}

// sessions waits until an endpoint has so many sessions.
func (s *site) sessions(e gatehouse.EndpointName, want int) {
	s.Helper()
	ctx := s.within()
	for {
		open := 0
		for _, session := range s.Gate.Sessions(adaptertest.Account) {
			if session.Identity().Endpoint == e {
				open++
			}
		}
		if open == want {
			return
		}
		select {
		case <-ctx.Done():
			s.Fatalf("%d sessions, want %d", open, want)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestTurnOfFew leaves deliveries unacknowledged for half of their locks: the
// client is made to come again, unless they were settled in another way.
func TestTurnOfFew(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.locks(2 * time.Second)
	s.fill(0, 3, 10)
	c := s.listen("")
	last := c.expect(0, 2)
	d, _ := c.next()
	settled := s.status("DELETE", s.url("inboxes", receiver, "messages/x/"+d.LockToken), "Authorization", s.token(receiver, gatehouse.PolicyListen, time.Now().Add(time.Hour)))
	if settled != http.StatusOK {
		t.Errorf("settled by HTTP: %d", settled)
	}
	if e := c.end(); e.data != "" || c.retry != 10 {
		t.Errorf("%+v, retry %d", e, c.retry)
	}
	s.listen(last)
	s.depth(0)
}

// TestEventsEnd says why streams end.
func TestEventsEnd(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*site){
		"Revoked":     func(s *site) { s.Revoke(receiver) },
		"Unavailable": func(s *site) { s.stop() },
		"Conflict":    func(s *site) { s.listen("", "client", "tab") },
		"Restricted":  func(s *site) { s.protocols("https") },
	} {
		s := newSite(t, Options{})
		c := s.listen("", "client", "tab")
		end(s)
		if e := c.end(); e.kind != "closing" || !strings.Contains(e.data, `"kind":"`+name+`"`) {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// protocols sets what the receiver may come by.
func (s *site) protocols(names ...string) {
	spec := s.Directory.Current().Account(adaptertest.Account).Endpoint(receiver).Spec()
	spec.Protocols = names
	s.change(spec)
}

func TestEventsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	token := s.token(receiver, gatehouse.PolicyListen, time.Now().Add(time.Hour))
	for _, c := range []struct {
		want   int
		header []string
		query  []string
	}{
		{http.StatusUnauthorized, nil, nil},
		{http.StatusUnauthorized, nil, []string{"access_token", s.token(receiver, gatehouse.PolicySend, time.Now().Add(time.Hour))}},
		{http.StatusBadRequest, []string{"Last-Event-ID", "x"}, []string{"access_token", token}},
		{http.StatusForbidden, []string{"Origin", app}, []string{"access_token", token}},
		{http.StatusOK, []string{"Authorization", token}, nil},
		{http.StatusOK, []string{"Authorization", "Bearer " + token}, nil},
	} {
		if got := s.status("GET", s.url("inboxes", receiver, "events", c.query...), c.header...); got != c.want {
			t.Errorf("%v %v: %d, want %d", c.header, c.query, got, c.want)
		}
	}
	s.state(app)
	if got := s.status("GET", s.url("inboxes", receiver, "events", "access_token", token), "Origin", app); got != http.StatusOK {
		t.Errorf("a page that is let in: %d", got)
	}
	if got := s.status("GET", s.url("inboxes", receiver, "events", "access_token", token), "Origin", evil); got != http.StatusForbidden {
		t.Errorf("another page: %d", got)
	}
}

// TestHeartbeat keeps a stream alive on which nothing comes.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{KeepAlive: 10 * time.Millisecond})
	c := s.listen("")
	for beats := 0; beats < 3; {
		line, err := c.lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == ": \n" {
			beats++
		}
	}
}

func TestAppendData(t *testing.T) {
	t.Parallel()
	if got := string(appendData(nil, []byte("{\r\n\"a\":\n1}"))); got != "data: {\ndata: \ndata: \"a\":\ndata: 1}\n\n" {
		t.Errorf("%q", got)
	}
}

func FuzzEventID(f *testing.F) {
	f.Add(eventID{"abc", []gatehouse.Offset{1, 2, 900, 1 << 60}}.String())
	f.Add("a.")
	f.Add("a.AAE")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := parseEventID(text)
		if err != nil {
			return
		}
		again, err := parseEventID(id.String())
		if err != nil || again.connection != id.connection || len(again.sequences) != len(id.sequences) {
			t.Fatalf("%q became %+v, then %+v: %v", text, id, again, err)
		}
		for i, s := range id.sequences {
			if again.sequences[i] != s || !again.has(s) {
				t.Fatalf("%q: %d", text, s)
			}
		}
	})
}
