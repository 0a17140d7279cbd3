package demo

import (
	"bytes"
	"embed"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/httpapi"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/sas"
)

// Who chats on the demo's page, and where.
const (
	Alice       = "alice"
	Bob         = "bob"
	ChatChannel = "chat"
)

// PagePath is where the demo's page is.
const PagePath = "/demo"

// files are the page. signalr.min.js is Microsoft's client as it is published.
//
//go:embed page
var files embed.FS

// types are the media types of the files.
func types() map[string]string {
	return map[string]string{
		"index.html":     "text/html; charset=utf-8",
		"chat.css":       "text/css; charset=utf-8",
		"chat.js":        "text/javascript; charset=utf-8",
		"events.js":      "text/javascript; charset=utf-8",
		"signalr.js":     "text/javascript; charset=utf-8",
		"token.js":       "text/javascript; charset=utf-8",
		"signalr.min.js": "text/javascript; charset=utf-8",
	}
}

// A Page lets two tabs of a browser chat with each other across two endpoints.
// It stands in for an application: it serves the page, and mints the
// short-lived tokens that the page shows the gateway. As it asks nobody for a
// password, it serves browsers on this machine alone.
type Page struct {
	demo atomic.Pointer[Demo] // nil until it is prepared
}

// chatters are the endpoints that the page has tokens for.
func chatters() []string { return []string{Alice, Bob} }

// Guests returns what the listeners are to serve. Until a Demo is prepared
// with the page it answers that it is not ready.
func (p *Page) Guests() []httpapi.Guest {
	guests := []httpapi.Guest{
		p.guest(PagePath, p.file("index.html")),
		p.guest(PagePath+"/token", p.token),
	}
	for name := range types() {
		guests = append(guests, p.guest(PagePath+"/"+name, p.file(name)))
	}
	return guests
}

func (p *Page) guest(path string, serve http.HandlerFunc) httpapi.Guest {
	return httpapi.Guest{Path: path, Begin: func(*gate.Gate) (http.Handler, func()) {
		return localOnly(serve), func() {}
	}}
}

// localOnly keeps others than browsers on this machine out: what comes from
// elsewhere, and pages that have a name of theirs stand for this machine.
func localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		remote, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !remote.Addr().Unmap().IsLoopback() || !isLocal(r.Host) {
			http.Error(w, "the demo's page is for browsers on the gateway's own machine, at http://localhost", http.StatusForbidden)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "the demo's page takes GET", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLocal reports whether a Host header names this machine.
func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// file returns a handler that serves one of the files.
func (p *Page) file(name string) http.HandlerFunc {
	kind := types()[name]
	return func(w http.ResponseWriter, r *http.Request) {
		text, err := files.ReadFile("page/" + name)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
	}
}

// tokenTime is how long the page's tokens are good for.
const tokenTime = 10 * time.Minute

// token mints tokens for one of the two.
func (p *Page) token(w http.ResponseWriter, r *http.Request) {
	d := p.demo.Load()
	if d == nil {
		http.Error(w, "the demo is not ready yet; try again", http.StatusServiceUnavailable)
		return
	}
	name := r.FormValue("endpoint")
	if !slices.Contains(chatters(), name) {
		http.Error(w, "the page is for alice and bob", http.StatusNotFound)
		return
	}
	keys, err := d.app.Directory.Reveal(Account, gatehouse.EndpointName(name))
	if err != nil {
		http.Error(w, "the demo account is not whole; restart the demo", http.StatusInternalServerError)
		return
	}
	until := time.Now().Add(tokenTime)
	send := sas.Sign("https://"+r.Host+"/"+Account+"/publishers/"+name, string(gatehouse.PolicySend), keys.Send.Primary, until)
	listen := sas.Sign("https://"+r.Host+"/"+Account+"/inboxes/"+name, string(gatehouse.PolicyListen), keys.Listen.Primary, until)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	// A client that has gone away needs no token.
	_ = json.NewEncoder(w).Encode(map[string]string{"send": send, "listen": listen, "both": send + "," + listen})
}
