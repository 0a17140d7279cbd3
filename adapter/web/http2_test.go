package web

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/adapter/httpapi"
)

// TestStreamOutlivesTimeouts reads a stream for longer than a request may take
// otherwise, over both versions of HTTP.
func TestStreamOutlivesTimeouts(t *testing.T) {
	t.Parallel()
	outlive(t, Options{KeepAlive: 50 * time.Millisecond}, 12) // three times as long as a request
}

// TestStreamOutlivesWrites has nothing written for longer than a write may take.
func TestStreamOutlivesWrites(t *testing.T) {
	t.Parallel()
	outlive(t, Options{KeepAlive: 1500 * time.Millisecond, WriteTime: time.Second}, 2)
}

// outlive reads so many heartbeats.
func outlive(t *testing.T, options Options, count int) {
	t.Helper()
	server, trusting := adaptertest.TLS(t)
	world := adaptertest.NewWorld(t, newEngine, newAuth)
	o := httpapi.Options{BodyTime: 200 * time.Millisecond, WriteTime: 200 * time.Millisecond, Guests: []httpapi.Guest{
		{Below: EventsPath, Begin: New(options).Events},
	}}
	o.TLS = server
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- httpapi.New(o).Serve(ctx, ln, world.Gate) }()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	s := &site{TB: t, World: world, address: ln.Addr().String()}
	url := strings.Replace(s.url("inboxes", receiver, "events", "access_token", s.token(receiver, gatehouse.PolicyListen, time.Now().Add(time.Hour))), "http:", "https:", 1)
	for _, version := range []int{1, 2} {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(version == 1)
		protocols.SetHTTP2(version == 2)
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: trusting.Clone(), Protocols: protocols, DisableKeepAlives: true}}
		r, err := http.NewRequestWithContext(s.within(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		w, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if w.ProtoMajor != version || w.StatusCode != http.StatusOK {
			t.Errorf("%s %s", w.Proto, w.Status)
		}
		lines := bufio.NewReader(w.Body)
		for beats := 0; beats < count; {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("version %d, after %d heartbeats: %v", version, beats, err)
			}
			if line == ": \n" {
				beats++
			}
		}
		_ = w.Body.Close()
	}
}
