package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/adapter/httpapi"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/auth/secret"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/restrict"
	"github.com/gatehouse/gatehouse/rule"
	"github.com/gatehouse/gatehouse/sas"
)

const (
	app  = "https://app.example.com"
	evil = "https://evil.example"
)

func newEngine() engine.Engine { return memory.New(memory.Options{}) }

func newAuth(keys auth.Keys) auth.Authenticator { return auth.Chain{secret.New(keys)} }

// doors returns an adapter of HTTP with the doors as its guests.
func doors(o Options, tls *tls.Config) *httpapi.Adapter {
	a := New(o)
	h := httpapi.Options{Options: o.Options, Guests: []httpapi.Guest{
		{Below: WebSocketPath, Begin: a.WebSocket},
		{Below: EventsPath, Begin: a.Events},
		{Below: SignalRPath, Begin: a.SignalR},
	}}
	h.TLS = tls
	return httpapi.New(h)
}

// A site is a gateway with the doors open.
type site struct {
	testing.TB
	*adaptertest.World
	address string
	log     *logs
	options Options
	stop    func()
}

// logs keep what is logged.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newSite(t testing.TB, o Options) *site {
	t.Helper()
	return newSiteOver(t, o, newEngine)
}

func newSiteOver(t testing.TB, o Options, newEngine func() engine.Engine) *site {
	t.Helper()
	s := &site{TB: t, World: adaptertest.NewWorld(t, newEngine, newAuth), log: new(logs)}
	o.Logger = slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.options = o
	s.serve()
	t.Cleanup(func() { s.stop() })
	return s
}

// serve begins to serve, at an address of its own.
func (s *site) serve() {
	s.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	s.address = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- doors(s.options, nil).Serve(ctx, ln, s.Gate) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			s.Errorf("Serve: %v", err)
		}
	})
}

// restart stops serving, and begins again.
func (s *site) restart() {
	s.Helper()
	s.stop()
	s.serve()
}

// within is how long a step of a test may take before it has failed.
func (s *site) within() context.Context {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	s.Cleanup(cancel)
	return ctx
}

// url returns an address of an endpoint, with parameters NAME, VALUE, …
func (s *site) url(kind string, e gatehouse.EndpointName, below string, parameters ...string) string {
	q := make(url.Values)
	for i := 0; i < len(parameters); i += 2 {
		q.Set(parameters[i], parameters[i+1])
	}
	u := url.URL{Scheme: "http", Host: s.address, Path: "/" + adaptertest.Account + "/" + kind + "/" + string(e) + "/" + below, RawQuery: q.Encode()}
	return u.String()
}

// token returns a token for one of an endpoint's sides.
func (s *site) token(e gatehouse.EndpointName, right gatehouse.PolicyName, until time.Time) string {
	kind, key := "publishers", adaptertest.SendKey(e)
	if right == gatehouse.PolicyListen {
		kind, key = "inboxes", adaptertest.ListenKey(e)
	}
	return sas.Sign("https://"+s.address+"/"+adaptertest.Account+"/"+kind+"/"+string(e), string(right), key, until)
}

// both returns tokens for both sides.
func (s *site) both(e gatehouse.EndpointName) string {
	until := time.Now().Add(time.Hour)
	return s.token(e, gatehouse.PolicySend, until) + "," + s.token(e, gatehouse.PolicyListen, until)
}

// policyToken returns a token of the account's policy for an endpoint.
func (s *site) policyToken(e gatehouse.EndpointName) string {
	return sas.Sign("https://"+s.address+"/"+adaptertest.Account+"/endpoints/"+string(e), adaptertest.Policy, adaptertest.PolicyKey(), time.Now().Add(time.Hour))
}

func (s *site) change(specs ...directory.Spec) {
	s.Helper()
	changes := make([]directory.Change, len(specs))
	for i, spec := range specs {
		changes[i].Spec = spec
	}
	if _, err := s.Directory.Update(s.within(), adaptertest.Account, changes...); err != nil {
		s.Fatal(err)
	}
}

// state states which web pages may use the endpoints.
func (s *site) state(origins ...string) {
	s.Helper()
	s.change(&directory.RestrictionSpec{Restriction: restrict.Restriction{Name: "web", Endpoints: rule.Selector{Names: []string{"*"}}, Origins: origins}})
}

// locks sets how long the receiver's locks are.
func (s *site) locks(length time.Duration) {
	s.Helper()
	spec := s.Directory.Current().Account(adaptertest.Account).Endpoint(adaptertest.Receiver).Spec()
	d := config.Duration(length)
	spec.Inbox = &directory.InboxSpec{Lock: &d}
	s.change(spec)
}

// fill puts messages into the receiver's inbox, numbered from the first.
func (s *site) fill(from, n, size int) {
	s.Helper()
	session, err := s.Gate.Open(s.within(), gate.Attempt{
		Account: adaptertest.Account, Endpoint: adaptertest.Sender, Need: gatehouse.RightSend, Protocol: "test", TLS: true,
		Credentials: auth.FromToken(s.both(adaptertest.Sender)),
	})
	if err != nil {
		s.Fatal(err)
	}
	defer session.Close()
	var stored sync.WaitGroup
	for i := range n {
		m := &gatehouse.Message{
			ID: fmt.Sprint("n-", from+i), ContentType: "application/json", Body: fmt.Appendf(nil, `{"n":%d,"pad":"%s"}`, from+i, bytes.Repeat([]byte("x"), size)),
			To: []string{gatehouse.EndpointPrefix + adaptertest.Receiver},
		}
		stored.Add(1)
		err := session.Submit(s.within(), func(_ gate.Receipt, err error) {
			if err != nil {
				s.Errorf("message %d: %v", from+i, err)
			}
			stored.Done()
		}, m)
		if err != nil {
			s.Fatal(err)
		}
	}
	stored.Wait()
}

// depth waits until the receiver's inbox has so many messages, locked or not.
func (s *site) depth(want int) {
	s.Helper()
	ctx := s.within()
	k := inbox.Key{Account: adaptertest.Account, Endpoint: adaptertest.Receiver}
	for {
		got, err := s.Gate.Inboxes.Peek(ctx, k, 0, 1024)
		if err != nil {
			s.Fatal(err)
		}
		if len(got) == want {
			return
		}
		select {
		case <-ctx.Done():
			s.Fatalf("the inbox has %d messages, want %d", len(got), want)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// A body is what fill puts into a message.
type body struct {
	N int `json:"n"`
}

// A delivery is what clients get.
type delivery struct {
	ID            string    `json:"id"`
	Source        string    `json:"source"`
	Data          body      `json:"data"`
	LockToken     string    `json:"lockToken"`
	LockedUntil   time.Time `json:"lockedUntil"`
	DeliveryCount int       `json:"deliveryCount"`
	Sequence      any       `json:"sequence"`
	EnqueuedTime  time.Time `json:"enqueuedTime"`
}

// status makes a request and returns the status of the answer.
func (s *site) status(method, url string, header ...string) int {
	s.Helper()
	r, err := http.NewRequestWithContext(s.within(), method, url, nil)
	if err != nil {
		s.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	w, err := client.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	_ = w.Body.Close()
	return w.StatusCode
}
