package web

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/internal/judge"
)

// The clients of others, as they are published.
const (
	signalrPackage     = "@microsoft/signalr@10.0.11"
	messagePackPackage = "@microsoft/signalr-protocol-msgpack@10.0.11"
	eventsPackage      = "eventsource@4.0.0"
)

// A relay is between clients and a site, and cuts connections.
type relay struct {
	ln      net.Listener
	running sync.WaitGroup

	mu    sync.Mutex
	to    string
	conns map[net.Conn]struct{}
}

func newRelay(s *site) *relay {
	s.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	r := &relay{ln: ln, to: s.address, conns: make(map[net.Conn]struct{})}
	r.running.Go(r.accept)
	s.Cleanup(func() {
		_ = ln.Close()
		r.cut("")
		r.running.Wait()
	})
	return r
}

func (r *relay) accept() {
	for {
		c, err := r.ln.Accept()
		if err != nil {
			return
		}
		r.running.Go(func() { r.carry(c) })
	}
}

// carry carries bytes both ways.
func (r *relay) carry(c net.Conn) {
	defer c.Close() //nolint:errcheck // as it may
	r.mu.Lock()
	to := r.to
	r.mu.Unlock()
	gateway, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer gateway.Close() //nolint:errcheck // as it may
	r.mu.Lock()
	r.conns[c], r.conns[gateway] = struct{}{}, struct{}{}
	r.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(c, gateway)
		_ = c.Close()
	})
	_, _ = io.Copy(gateway, c)
	_ = gateway.Close()
	back.Wait()
	r.mu.Lock()
	delete(r.conns, c)
	delete(r.conns, gateway)
	r.mu.Unlock()
}

// cut cuts all connections. Further ones go to another address, if there is one.
func (r *relay) cut(to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if to != "" {
		r.to = to
	}
	for c := range r.conns {
		_ = c.Close()
	}
}

// judge lets a client in Node do something with the site, and does what it asks
// for meanwhile.
func (s *site) judge(what, transport, protocol, origin string, env ...string) {
	s.Helper()
	folder := judge.Node(s, signalrPackage, messagePackPackage, eventsPackage)
	r := newRelay(s)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "node", "testdata/judge.cjs", what, transport, protocol)
	base := "http://" + r.ln.Addr().String() + "/" + adaptertest.Account
	listen := s.token(receiver, gatehouse.PolicyListen, time.Now().Add(time.Hour))
	c.Env = append(os.Environ(), "MODULES="+folder, "RECEIVER="+receiver, "DENIED="+adaptertest.DeniedType, "ORIGIN="+origin,
		"URL_SENDER="+base+"/endpoints/"+sender+"/signalr", "TOKEN_SENDER="+s.both(sender),
		"URL_RECEIVER="+base+"/endpoints/"+receiver+"/signalr", "TOKEN_RECEIVER="+s.both(receiver),
		"URL_EVENTS="+strings.Replace(s.url("inboxes", receiver, "events", "access_token", listen), s.address, r.ln.Addr().String(), 1),
	)
	c.Env = append(c.Env, env...)
	var said bytes.Buffer
	c.Stderr = &said
	in, err := c.StdinPipe()
	if err != nil {
		s.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		s.Fatal(err)
	}
	if err := c.Start(); err != nil {
		s.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch lines.Text() {
		case "CUT":
			r.cut("")
		case "RESTART":
			s.restart()
			r.cut(s.address)
		case "REVOKE":
			s.Revoke(receiver)
		case "EMPTY":
			s.depth(0)
		default:
			s.Errorf("it says %q", lines.Text())
		}
		_, _ = fmt.Fprintln(in)
	}
	if err := c.Wait(); err != nil {
		s.Errorf("%v\n%s\n%s", err, said.String(), s.log)
	}
}

// quickDrain does not wait long for clients that have gone without a word.
func quickDrain() Options {
	var o Options
	o.Drain = 2 * time.Second
	return o
}

func TestSignalR(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	t.Parallel()
	for _, c := range []struct{ transport, protocol string }{
		{"WebSockets", "json"}, {"WebSockets", "messagepack"}, {"ServerSentEvents", "json"}, {"LongPolling", "json"}, {"LongPolling", "messagepack"},
	} {
		for _, what := range []string{"conversation", "refusals,automatic,revoked"} {
			t.Run(what+" by "+c.transport+" in "+c.protocol, func(t *testing.T) {
				t.Parallel()
				newSite(t, quickDrain()).judge(what, c.transport, c.protocol, "")
			})
		}
	}
	t.Run("conversation with stateful reconnect", func(t *testing.T) {
		t.Parallel()
		newSite(t, quickDrain()).judge("conversation,automatic", "WebSockets", "json", "", "STATEFUL=yes")
	})
	for _, transport := range []string{"WebSockets", "ServerSentEvents", "LongPolling"} {
		t.Run("origin by "+transport, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, quickDrain())
			s.judge("origin", transport, "json", app)
			s.state(app)
			s.judge("origin", transport, "json", evil)
			s.judge("automatic", transport, "json", app)
		})
	}
}

func TestEventSource(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	t.Parallel()
	s := newSite(t, quickDrain())
	s.locks(4 * time.Second)
	s.fill(0, 60, 10)
	s.judge("events", "", "", "")
}
