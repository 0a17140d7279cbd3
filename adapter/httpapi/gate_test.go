package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
)

// A site is a plain adapter at work, with clients of its sender and receiver.
type site struct {
	world *adaptertest.World
	*testing.T
	address string
	sender  *client
	stop    func()
}

func newSite(t *testing.T, o Options) *site {
	t.Helper()
	ln := listen(t)
	o.H2C = true
	world := newWorld(t)
	stop := serve(t, ln, o, world.Gate)
	s := &site{T: t, world: world, address: ln.Addr().String(), stop: stop}
	s.sender = s.client(adaptertest.Sender)
	return s
}

func (s *site) client(e gatehouse.EndpointName) *client { return s.clientOf(1, e) }

// clientOf returns a client of HTTP 1.1 or 2.
func (s *site) clientOf(version int, e gatehouse.EndpointName) *client {
	c := dialer(nil, version, binaryShape)(adaptertest.Login{
		Address: s.address, Account: adaptertest.Account, Endpoint: e, SendKey: adaptertest.SendKey(e), ListenKey: adaptertest.ListenKey(e),
	}).(*client)
	s.Cleanup(c.Close)
	return c
}

// post sends a body and returns the answer, whatever it is.
func (s *site) post(body string, header ...string) (*http.Response, string) {
	s.Helper()
	return s.request(s.sender, http.MethodPost, s.sender.publisher(), s.sender.SendKey, body, header...)
}

func (s *site) request(c *client, method, url, key, body string, header ...string) (*http.Response, string) {
	s.Helper()
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	w, answer, err := c.do(s.Context(), method, url, key, h, []byte(body))
	if w == nil {
		s.Fatal(err)
	}
	return w, string(answer)
}

// take is request on the receiver's inbox.
func (s *site) take(c *client, method, below string, header ...string) (*http.Response, string) {
	s.Helper()
	return s.request(c, method, c.inbox()+below, c.ListenKey, "", header...)
}

func (s *site) want(w *http.Response, status int) {
	s.Helper()
	if w.StatusCode != status {
		s.Fatalf("%s %s: status %d, want %d", w.Request.Method, w.Request.URL.Path, w.StatusCode, status)
	}
}

const toReceiver = `{"To":"endpoints/` + string(adaptertest.Receiver) + `","MessageId":"m-1"}`

func TestReceipt(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	w, body := s.post("x", "BrokerProperties", toReceiver, "Accept", "application/json")
	s.want(w, http.StatusCreated)
	var r adapter.Receipt
	if err := json.Unmarshal([]byte(body), &r); err != nil || r.ID != "m-1" || len(r.Channels) != 1 || r.Enqueued.IsZero() {
		t.Errorf("receipt %s", body)
	}
	w, body = s.post(`[{"Body":"a"},{"Body":"b"}]`, "Content-Type", azureBatch, "Accept", "application/json")
	s.want(w, http.StatusCreated)
	var all []adapter.Receipt
	if err := json.Unmarshal([]byte(body), &all); err != nil || len(all) != 2 || all[0].ID == all[1].ID || all[0].ID == "" {
		t.Errorf("receipts %s", body)
	}
}

func TestBatchIsAllOrNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{MaxBatch: 3})
	c := s.client(adaptertest.Receiver)
	to := `"to":"endpoints/` + string(adaptertest.Receiver) + `"`
	w, body := s.post(`[{"id":"1",`+to+`},{"id":"2",`+to+`,"type":"`+adaptertest.DeniedType+`"}]`, "Content-Type", "application/cloudevents-batch+json")
	s.want(w, http.StatusForbidden)
	if !strings.Contains(body, "message 2 of the batch") {
		t.Errorf("the message at fault is not named: %s", body)
	}
	w, _ = s.take(c, http.MethodPost, "/head?timeout=0")
	s.want(w, http.StatusNoContent)
	w, _ = s.post(`[{"id":"1",`+to+`},{"id":"2",`+to+`}]`, "Content-Type", "application/cloudevents-batch+json")
	s.want(w, http.StatusCreated)
	for range 2 {
		w, _ = s.take(c, http.MethodDelete, "/head")
		s.want(w, http.StatusOK)
	}
	for contentType, body := range map[string]string{
		azureBatch:                            `[]`,
		"application/cloudevents+xml":         `<a/>`,
		"application/cloudevents+json":        `[]`,
		"application/cloudevents-batch+json ": `[{"time":"x"}]`,
	} {
		w, answer := s.post(body, "Content-Type", contentType)
		if s.want(w, http.StatusBadRequest); !strings.Contains(answer, `"kind":"Invalid"`) {
			t.Errorf("%s: %s", contentType, answer)
		}
	}
	w, _ = s.post(`[{},{},{},{}]`, "Content-Type", azureBatch)
	s.want(w, http.StatusRequestEntityTooLarge)
	w, _ = s.post("x", "Content-Encoding", "gzip")
	s.want(w, http.StatusBadRequest)
}

func TestReceiveAndDelete(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	c := s.client(adaptertest.Receiver)
	w, _ := s.post("payload", "BrokerProperties", toReceiver, "Priority", `"High"`, "Content-Type", "text/plain")
	s.want(w, http.StatusCreated)
	w, body := s.take(c, http.MethodDelete, "/head?timeout=5")
	s.want(w, http.StatusOK)
	h := w.Header
	if body != "payload" || h.Get("Priority") != `"High"` || h.Get("Content-Type") != "text/plain" || h.Get("Location") != "" ||
		strings.Contains(h.Get("BrokerProperties"), "Lock") || !strings.Contains(h.Get("BrokerProperties"), `"MessageId":"m-1"`) {
		t.Errorf("%q %v", body, h)
	}
	w, _ = s.take(c, http.MethodDelete, "/head?timeout=0")
	s.want(w, http.StatusNoContent)
}

func TestDeferAndRenewAndPeek(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	c := s.client(adaptertest.Receiver)
	w, _ := s.post("payload", "BrokerProperties", toReceiver)
	s.want(w, http.StatusCreated)
	w, _ = s.take(c, http.MethodPost, "/head")
	s.want(w, http.StatusCreated)
	location := w.Header.Get("Location")
	var p struct {
		SequenceNumber uint64
		LockToken      string
		LockedUntilUtc string
	}
	if err := json.Unmarshal([]byte(w.Header.Get("BrokerProperties")), &p); err != nil || p.SequenceNumber == 0 ||
		location != fmt.Sprintf("%s/%d/%s", c.inbox(), p.SequenceNumber, p.LockToken) {
		t.Fatalf("Location %s, %+v, %v", location, p, err)
	}
	w, _ = s.request(c, http.MethodPost, location, c.ListenKey, "")
	s.want(w, http.StatusOK)
	if got := w.Header.Get("BrokerProperties"); !strings.Contains(got, p.LockToken) || !strings.Contains(got, "LockedUntilUtc") {
		t.Errorf("renewed: %s", got)
	}
	w, _ = s.request(c, http.MethodPost, location+"/defer", c.ListenKey, "")
	s.want(w, http.StatusOK)
	w, _ = s.request(c, http.MethodDelete, location, c.ListenKey, "")
	s.want(w, http.StatusNotFound) // the lock is gone
	w, _ = s.take(c, http.MethodPost, "/head?timeout=0")
	s.want(w, http.StatusNoContent)

	w, body := s.take(c, http.MethodGet, "?max=5")
	s.want(w, http.StatusOK)
	var peeked []struct {
		ID             string
		SequenceNumber json.Number
		LockToken      string
	}
	if err := json.Unmarshal([]byte(body), &peeked); err != nil || len(peeked) != 1 || peeked[0].ID != "m-1" || peeked[0].LockToken != "" {
		t.Errorf("peeked %s", body)
	}
	deferred := fmt.Sprintf("/deferred/%d", p.SequenceNumber)
	w, _ = s.take(c, http.MethodPost, deferred)
	s.want(w, http.StatusCreated)
	w, _ = s.request(c, http.MethodDelete, w.Header.Get("Location"), c.ListenKey, "")
	s.want(w, http.StatusOK)
	w, _ = s.take(c, http.MethodDelete, deferred)
	s.want(w, http.StatusNotFound)
	w, body = s.take(c, http.MethodGet, "?from=0&max=5", "Accept", "application/json")
	if s.want(w, http.StatusOK); body != "[]" || w.Header.Get("Content-Type") != "application/json" {
		t.Errorf("peeked %s", body)
	}
}

func TestReceiveMany(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	c := s.client(adaptertest.Receiver)
	for i := range 3 {
		w, _ := s.post(fmt.Sprint(i), "BrokerProperties", `{"To":"endpoints/`+string(adaptertest.Receiver)+`"}`, "Content-Type", "text/plain")
		s.want(w, http.StatusCreated)
	}
	var got []struct{ Data, LockToken string }
	for len(got) < 3 { // until all have come to the inbox
		w, body := s.take(c, http.MethodGet, "")
		s.want(w, http.StatusOK)
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
	}
	w, body := s.take(c, http.MethodPost, "/head?maxMessages=2")
	s.want(w, http.StatusCreated)
	if err := json.Unmarshal([]byte(body), &got); err != nil || len(got) != 2 || got[0].Data != "0" || got[1].Data != "1" {
		t.Fatalf("%s: %v", body, err)
	}
	for _, d := range got {
		w, _ := s.take(c, http.MethodDelete, "/x/"+d.LockToken)
		s.want(w, http.StatusOK)
	}
	w, body = s.take(c, http.MethodDelete, "/head?maxMessages=9", "Accept", "application/json")
	s.want(w, http.StatusOK)
	if err := json.Unmarshal([]byte(body), &got); err != nil || len(got) != 1 || got[0].Data != "2" || strings.Contains(body, "locktoken") {
		t.Errorf("%s: %v", body, err)
	}
	for _, bad := range []string{"?timeout=-1", "?timeout=x", "?maxMessages=0", "?maxMessages=a"} {
		w, _ := s.take(c, http.MethodPost, "/head"+bad)
		s.want(w, http.StatusBadRequest)
	}
	w, _ = s.take(c, http.MethodGet, "?from=x")
	s.want(w, http.StatusBadRequest)
}

// TestGoneWhileWaiting lets a client go away while it waits: the message that
// comes then is not lost, nor locked for nobody.
func TestGoneWhileWaiting(t *testing.T) {
	t.Parallel()
	for name, version := range map[string]int{"POST 1.1": 1, "DELETE 1.1": 1, "POST 2": 2, "DELETE 2": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			method, _, _ := strings.Cut(name, " ")
			s := newSite(t, Options{})
			gone, c := s.clientOf(version, adaptertest.Receiver), s.client(adaptertest.Receiver)
			ctx, cancel := context.WithCancel(t.Context())
			ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { cancel() }})
			if _, _, err := gone.do(ctx, method, gone.inbox()+"/head", gone.ListenKey, nil, nil); err == nil {
				t.Fatal("an answer came")
			}
			w, _ := s.post("x", "BrokerProperties", toReceiver)
			s.want(w, http.StatusCreated)
			w, body := s.take(c, http.MethodDelete, "/head")
			if s.want(w, http.StatusOK); body != "x" {
				t.Errorf("received %q", body)
			}
		})
	}
}

func TestErrorsAsXML(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	c := s.client(adaptertest.Receiver)
	c.ListenKey = "wrong"
	w, body := s.take(c, http.MethodPost, "/head", "Accept", "application/atom+xml")
	s.want(w, http.StatusUnauthorized)
	var e struct {
		XMLName xml.Name `xml:"Error"`
		Code    int
	}
	if err := xml.Unmarshal([]byte(body), &e); err != nil || e.Code != 401 || w.Header.Get("WWW-Authenticate") != "SharedAccessSignature" {
		t.Errorf("%s: %v", body, err)
	}
}

// dialRaw opens a connection to speak HTTP by hand.
func (s *site) dialRaw() (net.Conn, *bufio.Reader) {
	s.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = c.Close() })
	return c, bufio.NewReader(c)
}

func (s *site) rawRequest(key, headers, body string) string {
	r, _ := http.NewRequest(http.MethodPost, s.sender.publisher(), nil)
	r.SetBasicAuth(string(adaptertest.Account)+"/"+string(adaptertest.Sender), key)
	return "POST " + r.URL.Path + " HTTP/1.1\r\nHost: x\r\nAuthorization: " + r.Header.Get("Authorization") + "\r\n" + headers + "\r\n" + body
}

func (s *site) answer(r *bufio.Reader) *http.Response {
	s.Helper()
	w, err := http.ReadResponse(r, nil)
	if err != nil {
		s.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, w.Body)
	return w
}

// TestBodyIsReadAfterAuthentication says that nobody's bytes are waited for
// before it is known who sends them.
func TestBodyIsReadAfterAuthentication(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	c, r := s.dialRaw()
	if _, err := io.WriteString(c, s.rawRequest("wrong", "Content-Length: 1000000\r\nExpect: 100-continue\r\n", "")); err != nil {
		t.Fatal(err)
	}
	if w := s.answer(r); w.StatusCode != http.StatusUnauthorized { // and not 100
		t.Errorf("status %d", w.StatusCode)
	}
	c, r = s.dialRaw()
	if _, err := io.WriteString(c, s.rawRequest(s.sender.SendKey, "Content-Length: 1\r\nExpect: 100-continue\r\n", "")); err != nil {
		t.Fatal(err)
	}
	if line, err := textproto.NewReader(r).ReadLine(); err != nil || line != "HTTP/1.1 100 Continue" {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := io.WriteString(c, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Discard(2); err != nil {
		t.Fatal(err)
	}
	if w := s.answer(r); w.StatusCode != http.StatusCreated {
		t.Errorf("status %d", w.StatusCode)
	}
}

func TestBodyLimits(t *testing.T) {
	t.Parallel()
	o := Options{BodyTime: 200 * time.Millisecond}
	o.MaxBody = 1000
	s := newSite(t, o)
	for name, c := range map[string]struct {
		headers, body string
		status        int
	}{
		"announced too long": {"Content-Length: 1001\r\n", "", 413},
		"chunked too long":   {"Transfer-Encoding: chunked\r\n", "3e9\r\n" + strings.Repeat("x", 1001) + "\r\n0\r\n\r\n", 413},
		"chunked":            {"Transfer-Encoding: chunked\r\n", "3e8\r\n" + strings.Repeat("x", 1000) + "\r\n0\r\n\r\n", 201},
		"never complete":     {"Content-Length: 1000\r\n", "x", 400},
		"bad chunks":         {"Transfer-Encoding: chunked\r\n", "zz\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, r := s.dialRaw()
			if _, err := io.WriteString(conn, s.rawRequest(s.sender.SendKey, c.headers, c.body)); err != nil {
				t.Fatal(err)
			}
			if w := s.answer(r); w.StatusCode != c.status {
				t.Errorf("status %d, want %d", w.StatusCode, c.status)
			}
		})
	}
}

// TestWaitBeyondBodyTime says that the timeouts for requests do not cut off
// one that waits.
func TestWaitBeyondBodyTime(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{BodyTime: 50 * time.Millisecond, WriteTime: 100 * time.Millisecond})
	for _, version := range []int{1, 2} {
		w, _ := s.take(s.clientOf(version, adaptertest.Receiver), http.MethodPost, "/head?timeout=1")
		s.want(w, http.StatusNoContent)
	}
}

func TestPipelining(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	c, r := s.dialRaw()
	const n = 20
	var all strings.Builder
	for i := range n {
		body := fmt.Sprintf(`{"id":"p-%d"}`, i)
		all.WriteString(s.rawRequest(s.sender.SendKey, fmt.Sprintf("Content-Type: application/cloudevents+json\r\nContent-Length: %d\r\n", len(body)), body))
	}
	if _, err := io.WriteString(c, all.String()); err != nil {
		t.Fatal(err)
	}
	for range n {
		if w := s.answer(r); w.StatusCode != http.StatusCreated {
			t.Fatalf("status %d", w.StatusCode)
		}
	}
}

func TestTooManyFailures(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	c, r := s.dialRaw()
	for i := range maxFailures {
		if _, err := io.WriteString(c, s.rawRequest("wrong", "Content-Length: 0\r\n", "")); err != nil {
			t.Fatal(err)
		}
		w := s.answer(r)
		if w.StatusCode != http.StatusUnauthorized || w.Close != (i == maxFailures-1) {
			t.Fatalf("answer %d: status %d, close %v", i+1, w.StatusCode, w.Close)
		}
	}
}
